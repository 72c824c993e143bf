"""Every method against a true reference: pairs made from free HDR radiance maps, still, hand-held, and with a moving
thing.

    python -m fusion.benchmark.experiments.reference FOLDER > docs/reference.md

FOLDER holds the maps, at any depth: those of Debian's packages psychtoolbox-3-common and blender-data, for instance
unpacked by `dpkg-deb -x`. They need the package OpenEXR. What a reference is, `fusion/training/camera.py` says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fusion.exposures.align import registered
from fusion.exposures.ghosts import Handling
from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.methods import METHODS
from fusion.metrics.picture import Sources
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse_pair
from fusion.training.camera import Place, as_photo
from fusion.training.radiance import Options, Pair, read_map, render

MAPS = (
    *("CandleGlass", "Desk", "GoldenGate", "Ocean", "StillLife"),  # Industrial Light & Magic
    *("city", "courtyard", "forest", "interior", "sunrise"),  # Greg Zaal
)
"""Networks were trained on views of other maps, among them what may be the rest of Blender's."""
MEASURES = [one.measure for name in ("reference_psnr", "reference_ssim") for one in REFERENCE if one.name == name]
PAIRS = 2
"""Of each map."""
SHAKE = 12.0
"""Pixels, of 768."""


@dataclass(frozen=True)
class Variant:
    """One way to make the pairs, and to treat them."""

    title: str
    options: Options
    align: bool = False
    ghosts: Handling = "ignore"


STILL, SHAKEN, MOVING = Options(count=PAIRS), Options(count=PAIRS, shake=SHAKE), Options(count=PAIRS, move=True)
VARIANTS = (
    Variant("still", STILL),
    Variant("hand-held", SHAKEN),
    Variant("hand-held, aligned", SHAKEN, align=True),
    Variant("moving", MOVING),
    Variant("moving, ghosts removed", MOVING, ghosts="remove"),
)


def main(folder: Path) -> None:
    """Print the table as Markdown."""
    maps = {name: read_map(next(folder.rglob(f"{name}.exr"))) for name in MAPS}
    likenesses: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for variant in VARIANTS:
        for name, radiance in maps.items():
            for index in range(PAIRS):
                for method, values in _measured(render(radiance, f"{name}.exr", index, variant.options), variant):
                    likenesses.setdefault((variant.title, method), []).append(values)
    print(f"# Against a reference\n\n{_told()}\n")
    print("| | " + " | ".join(f"{variant.title}: PSNR, dB ↑ | SSIM ↑" for variant in VARIANTS) + " |")
    print("|---" * (1 + 2 * len(VARIANTS)) + "|")
    for method in METHODS:
        means = [map(fmean, zip(*likenesses[variant.title, method.name], strict=True)) for variant in VARIANTS]
        print(f"| `{method.name}` | " + " | ".join(f"{psnr:.2f} | {ssim:.3f}" for psnr, ssim in means) + " |")


def _measured(made: Pair, variant: Variant) -> Iterator[tuple[str, tuple[float, float]]]:
    """PSNR and SSIM of each method; of a pair in which something moved, where it did."""
    aligned = registered(ExposurePair(made.under, made.over)) if variant.align else None
    pair = aligned.pair if aligned else ExposurePair(made.under, made.over)
    reference = made.reference[(slice(None), *aligned.kept)] if aligned else made.reference
    for method in METHODS:
        fused = fuse_pair(pair, method.name, ghosts=variant.ghosts)
        yield method.name, _at_things(fused, made) if made.thing else _likeness(fused, reference)


def _at_things(fused: Photo, made: Pair) -> tuple[float, float]:
    """Mean over both places, at each beside the likelier moment: a thing may be where either photograph shows it."""
    assert made.thing and made.later is not None  # noqa: S101, PT018
    values = [
        max(_likeness(_part(fused, place), _part(truth, place)) for truth in (made.reference, made.later))
        for place in (made.thing.first, made.thing.second)
    ]
    return fmean(psnr for psnr, _ in values), fmean(ssim for _, ssim in values)


def _likeness(photo: Photo, reference: Photo) -> tuple[float, float]:
    sources = Sources(to_uint8(reference))
    psnr, ssim = (measure(to_uint8(photo), sources) for measure in MEASURES)
    return psnr, ssim


def _part(photo: Photo, place: Place) -> Photo:
    return as_photo(place.of(photo.permute(1, 2, 0).numpy()))


def _told() -> str:
    return (
        f"{PAIRS} pairs of each of {len(MAPS)} HDR radiance maps, of 768 pixels at most, 2 to 8 stops apart, with a "
        "sensor's noise; none of these maps was trained on. PSNR and SSIM against a picture of a dense burst of the "
        "same view, which is a convention, not the truth "
        "([fusion/training/camera.py](../fusion/training/camera.py)). Hand-held: the "
        f"brighter photograph is shifted by up to {SHAKE:.0f} pixels and turned. Moving: a disc of the scene is "
        "elsewhere in the brighter photograph; measured at its two places alone, each beside the moment that it is "
        "more like. Printed by `python -m fusion.benchmark.experiments.reference FOLDER`, "
        "[which says](../fusion/benchmark/experiments/reference.py) where the maps are from."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
