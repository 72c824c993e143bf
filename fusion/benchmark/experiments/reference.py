"""Every method against a reference, on pairs made from free HDR radiance maps: still, hand-held, and with movement.

    python -m fusion.benchmark.experiments.reference MAPS > docs/reference.md

MAPS is a folder with the maps, at any depth. They are those of Debian's packages psychtoolbox-3-common and
blender-data, which `dpkg-deb -x` unpacks. Reading them needs the package OpenEXR. The file `fusion/training/camera.py`
says what a reference is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, TypeAlias

import typer
from tqdm import tqdm

from fusion.benchmark.experiments.command import Maps, run
from fusion.errors import DatasetError
from fusion.exposures.align import registered
from fusion.exposures.ghosts import Handling
from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.methods import METHODS
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse_pair
from fusion.training.camera import Square, as_photo
from fusion.training.radiance import PairOptions, RenderedPair, read_map, render

DURATION = "This takes minutes for each map; a bar shows the time left, and the table is printed at the end."

MAPS = (
    *("CandleGlass", "Desk", "GoldenGate", "Ocean", "StillLife"),  # Industrial Light & Magic
    *("city", "courtyard", "forest", "interior", "sunrise"),  # Greg Zaal
)
"""The default maps. Networks were trained on views of others, perhaps including the rest of Blender's."""
MapNames: TypeAlias = Annotated[
    Sequence[str], typer.Option("--map", help="A map's name, without .exr; may be repeated.", show_default=False)
]

MEASURES = [one.measure for name in ("reference_psnr", "reference_ssim") for one in REFERENCE if one.name == name]
PAIRS = 2
"""Pairs made from each map."""
SHAKE = 12.0
"""The largest shift of the brighter photograph, in pixels of 768."""


@dataclass(frozen=True)
class Variant:
    """One way to make the pairs and to fuse them; a group of columns in the table."""

    title: str
    options: PairOptions
    align: bool = False
    ghosts: Handling = "ignore"


STILL, SHAKEN, MOVING = (
    PairOptions(count=PAIRS),
    PairOptions(count=PAIRS, shake=SHAKE),
    PairOptions(count=PAIRS, move=True),
)
VARIANTS = (
    Variant("still", STILL),
    Variant("hand-held", SHAKEN),
    Variant("hand-held, aligned", SHAKEN, align=True),
    Variant("moving", MOVING),
    Variant("moving, ghosts removed", MOVING, ghosts="remove"),
)


def find_maps(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files `<name>.exr` below a folder, in upper or lower case. Raises `DatasetError` where one is missing."""
    files = {file.stem.casefold(): file for file in sorted(folder.rglob("*.exr"))}
    if missing := [name for name in names if name.casefold() not in files]:
        raise DatasetError(f"{folder} has no map called {', '.join(missing)}; choose others with --map NAME.")
    return {name: files[name.casefold()] for name in names}


def main(maps: Maps, name: MapNames = MAPS) -> None:
    """Print the table as Markdown."""
    found = find_maps(maps, name)
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tqdm(total=len(found) * len(VARIANTS) * PAIRS, unit="pair", leave=False) as bar:
        for label, file in found.items():
            radiance = read_map(file)
            for variant in VARIANTS:
                for index in range(PAIRS):
                    for method, values in _measured(render(radiance, f"{label}.exr", index, variant.options), variant):
                        scores.setdefault((variant.title, method), []).append(values)
                    bar.update()
    print(f"# Against a reference\n\n{_text(len(found))}\n")
    print("| | " + " | ".join(f"{variant.title}: PSNR, dB ↑ | SSIM ↑" for variant in VARIANTS) + " |")
    print("|---" * (1 + 2 * len(VARIANTS)) + "|")
    for method in METHODS:
        means = [map(fmean, zip(*scores[variant.title, method.name], strict=True)) for variant in VARIANTS]
        print(f"| `{method.name}` | " + " | ".join(f"{psnr:.2f} | {ssim:.3f}" for psnr, ssim in means) + " |")


def _measured(made: RenderedPair, variant: Variant) -> Iterator[tuple[str, tuple[float, float]]]:
    """PSNR and SSIM of each method; where something moved in a pair, only around what moved."""
    aligned = registered(ExposurePair(made.under, made.over)) if variant.align else None
    pair = aligned.pair if aligned else ExposurePair(made.under, made.over)
    reference = made.reference[(slice(None), *aligned.kept)] if aligned else made.reference
    for method in METHODS:
        fused = fuse_pair(pair, method.name, ghosts=variant.ghosts)
        yield method.name, _at_things(fused, made) if made.thing else _scores(fused, reference)


def _at_things(fused: Photo, made: RenderedPair) -> tuple[float, float]:
    """Mean PSNR and SSIM over both places of the moved object.

    At each place, the result is compared with the scene at both moments and the better score counts, since the object
    may be where either photograph shows it.
    """
    assert made.thing and made.later is not None  # noqa: S101, PT018
    values = [
        max(_scores(_part(fused, place), _part(truth, place)) for truth in (made.reference, made.later))
        for place in (made.thing.first, made.thing.second)
    ]
    return fmean(psnr for psnr, _ in values), fmean(ssim for _, ssim in values)


def _scores(photo: Photo, reference: Photo) -> tuple[float, float]:
    psnr, ssim = (measure(to_uint8(photo), to_uint8(reference)) for measure in MEASURES)
    return psnr, ssim


def _part(photo: Photo, place: Square) -> Photo:
    return as_photo(place.of(photo.permute(1, 2, 0).numpy()))


def _text(maps: int) -> str:
    return (
        f"{PAIRS} pairs are made from each of {maps} HDR radiance maps. No network was trained on these maps. The "
        "longest side is 768 pixels, the exposures are 2 to 8 stops apart, and the camera adds a sensor's noise. PSNR "
        "and SSIM compare with a reference made from many exposures of the same view, which is a convention, not the "
        "truth ([fusion/training/camera.py](../fusion/training/camera.py)). Hand-held: the brighter photograph is "
        f"shifted by up to {SHAKE:.0f} pixels and rotated. Moving: a disc of the scene is elsewhere in the brighter "
        "photograph; only its two places are measured, each against the better fitting moment. The table is printed by "
        "`python -m fusion.benchmark.experiments.reference MAPS`; "
        "[its file](../fusion/benchmark/experiments/reference.py) says where the maps are from."
    )


if __name__ == "__main__":
    run(main, DURATION)
