"""How brackets of three exposures are fused by Virtual Bracket, SPD-MEF and Mertens as the gaps between them grow.

    python -m fusion.benchmark.experiments.gaps MAPS

MAPS is a folder with the HDR radiance maps that `fusion.benchmark.experiments.reference` names; the views and the
camera are the same as there. The first column says how near Virtual Bracket comes to SPD-MEF of the same exposures, and
the others how near each method comes to the reference, which is SPD-MEF of many exposures.
"""

from __future__ import annotations

from statistics import fmean

import numpy as np
from tqdm import tqdm

from fusion.benchmark.experiments.command import Maps, run
from fusion.benchmark.experiments.reference import MAPS, MapNames, find_maps
from fusion.io.image import as_pair, to_uint8
from fusion.metrics.reference import psnr
from fusion.pipeline import Session
from fusion.settings import Settings
from fusion.training.camera import Noise, as_photo, expose, view
from fusion.training.radiance import PairOptions, read_map, render

DURATION = "This takes about half a minute for each map; a bar shows the time left."

STOPS = 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0
OPTIONS = PairOptions(count=1, gap=(4.0, 8.0))
METHODS = "virtual-bracket", "spdmef", "mertens"


def main(maps: Maps, name: MapNames = None) -> None:
    """Print the table as Markdown."""
    rows: dict[float, list[list[float]]] = {stops: [] for stops in STOPS}
    settings = Settings(align=False, repair=False, ghosts="ignore")
    with Session() as session:
        for label, file in tqdm(find_maps(maps, name or MAPS).items(), unit="map", leave=False):
            radiance = read_map(file)
            made = render(radiance, f"{label}.exr", 0, OPTIONS)
            shot, rng = made.shot, np.random.default_rng(0)
            seen, noise = view(radiance, shot.view, OPTIONS.side), Noise(shot.full_well, shot.read_noise)
            for stops, scores in rows.items():
                places = (shot.middle + stops * step for step in (-1, 0, 1))
                frames = [as_photo(expose(seen, place, shot.response, noise, rng)) for place in places]
                scene = session.prepare(as_pair(*frames), settings)
                ours, classic, mertens = (to_uint8(session.fuse(scene, one, settings).photo) for one in METHODS)
                target = to_uint8(made.reference)
                against = [psnr(picture, target) for picture in (ours, classic, mertens)]
                scores.append([psnr(ours, classic), *against])
    print("| stops between neighbours | to SPD-MEF of the bracket, dB: mean | least | to the reference, dB: ", end="")
    print(" | ".join(f"`{one}`" for one in METHODS) + " |\n" + "|---" * (3 + len(METHODS)) + "|")
    for stops, scores in rows.items():
        near, *against = zip(*scores, strict=True)
        means = " | ".join(f"{fmean(column):.2f}" for column in against)
        print(f"| {stops:g} | {fmean(near):.1f} | {min(near):.1f} | {means} |")


if __name__ == "__main__":
    run(main, DURATION)
