"""How well brackets of more than two exposures are fused, all at once and two by two.

    python -m fusion.benchmark.experiments.brackets MAPS > docs/brackets.md

MAPS is a folder with the HDR radiance maps that `fusion.benchmark.experiments.reference` names; the views and the
camera are the same as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from tqdm import tqdm

from fusion.benchmark.experiments.command import Maps, run
from fusion.benchmark.experiments.reference import MAPS, MapNames, Recipe, find_maps
from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo, as_pair, to_uint8
from fusion.methods import METHODS
from fusion.metrics.mef_ssim import mef_ssim
from fusion.metrics.picture import Sources
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse_pair, halves
from fusion.training.camera import Noise, as_photo, expose, view
from fusion.training.radiance import PairOptions, read_map, render

DURATION = "This takes minutes for each map; a bar shows the time left, and the table is printed at the end."

COUNTS = 3, 5, 9
OPTIONS = PairOptions(count=1, gap=(4.0, 8.0))
"""One view of each map, with 4 to 8 stops between the darkest and the brightest exposure."""
SSIM = next(one.measure for one in REFERENCE if one.name == "reference_ssim")
TEXT = f"""One view of each HDR radiance map is photographed in 3, 5 and 9 exposures. No network was trained on these
maps. The longest side is 768 pixels, the darkest and the brightest exposure are {OPTIONS.gap[0]:.0f} to
{OPTIONS.gap[1]:.0f} stops apart with the others at equal distances between them, and the camera adds a sensor's noise.
Methods that take any number of exposures fuse all at once and, for comparison, two by two. The other methods fuse two
by two: the darker half, the brighter half, and then the two results. MEF-SSIM compares with all exposures, as Ma, Zeng
and Wang (TIP 2015) define it. SSIM compares with a reference made from many exposures of the same view, which is a
convention, not the truth ([fusion/training/camera.py](../fusion/training/camera.py)); its windows are uniform, 7 × 7,
over R, G and B, as scikit-image's defaults are. The maps are named in
[fusion/benchmark/experiments/reference.py](../fusion/benchmark/experiments/reference.py)."""


def main(maps: Maps, name: MapNames = None, *, recipe: Recipe = "spd") -> None:
    """Print the table as Markdown."""
    scores: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for label, file in tqdm(find_maps(maps, name or MAPS).items(), unit="map", leave=False):
        radiance = read_map(file)
        made = render(radiance, f"{label}.exr", 0, replace(OPTIONS, recipe=recipe))
        shot, rng = made.shot, np.random.default_rng(0)
        seen, noise = view(radiance, shot.view, OPTIONS.side), Noise(shot.full_well, shot.read_noise)
        for count in COUNTS:
            stops = np.linspace(shot.middle - shot.gap / 2, shot.middle + shot.gap / 2, count)
            frames = [as_photo(expose(seen, float(stop), shot.response, noise, rng)) for stop in stops]
            bracket = as_pair(*frames)
            for row, fused in _fused(bracket):
                similarity = SSIM(to_uint8(fused), Sources(to_uint8(made.reference)))
                scores.setdefault((row, count), []).append((_quality(fused, bracket), similarity))
    command = f"`python -m fusion.benchmark.experiments.brackets MAPS --recipe {recipe}`"
    print(f"# Brackets\n\n{TEXT}\n\nMeans over {len(name or MAPS)} maps, printed by {command}:\n")
    print("| | " + " | ".join(f"{count} exposures: MEF-SSIM ↑ | SSIM ↑" for count in COUNTS) + " |")
    print("|---" * (1 + 2 * len(COUNTS)) + "|")
    for row in dict.fromkeys(row for row, _ in scores):
        means = [map(fmean, zip(*scores[row, count], strict=True)) for count in COUNTS]
        print(f"| {row} | " + " | ".join(f"{quality:.4f} | {similarity:.3f}" for quality, similarity in means) + " |")


def _fused(bracket: ExposurePair) -> Iterator[tuple[str, Photo]]:
    for method in METHODS:
        if method.needs.many:
            yield f"`{method.name}`, at once", fuse_pair(bracket, method.name)
            yield f"`{method.name}`, two by two", _two_by_two(bracket.frames, method.name)
        else:
            yield f"`{method.name}`, two by two", fuse_pair(bracket, method.name)


def _two_by_two(frames: Sequence[Photo], method: str) -> Photo:
    """Fuse as `fusion.pipeline` does with a method that takes two exposures."""
    if len(frames) == 1:
        return frames[0]
    dark, bright = (_two_by_two(half, method) for half in halves(frames))
    return fuse_pair(ExposurePair(dark, bright), method)


def _quality(fused: Photo, bracket: ExposurePair) -> float:
    return float(mef_ssim(*(luma(photo)[None].double() for photo in (fused, *bracket.frames))))


if __name__ == "__main__":
    run(main, DURATION)
