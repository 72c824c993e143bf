"""How brackets of more than two exposures are fused, at once and two by two.

    python -m fusion.benchmark.experiments.brackets FOLDER > docs/brackets.md

FOLDER holds HDR radiance maps, those of `fusion.benchmark.experiments.reference`, whose views and camera these are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from fusion.benchmark.experiments.reference import MAPS
from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo, as_pair, to_uint8
from fusion.methods import METHODS
from fusion.metrics.mef_ssim import mef_ssim
from fusion.metrics.picture import Sources
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse_pair, halves
from fusion.training.camera import Noise, as_photo, expose, view
from fusion.training.radiance import Options, read_map, render

COUNTS = 3, 5, 9
OPTIONS = Options(count=1, gap=(4.0, 8.0))
"""Stops between the darkest and the brightest exposure."""
SSIM = next(one.measure for one in REFERENCE if one.name == "reference_ssim")
TOLD = f"""One view of each of {len(MAPS)} HDR radiance maps, none of which was trained on: of 768 pixels at most, its
darkest and its brightest exposure {OPTIONS.gap[0]:.0f} to {OPTIONS.gap[1]:.0f} stops apart, the others at equal
distances between, with a sensor's noise. Methods that take any number of exposures fuse them at once, and, for
comparison, two by two like the others: the darker half, the brighter half, and then both. MEF-SSIM is of all exposures,
as Ma, Zeng and Wang (TIP 2015) define it; SSIM is against a dense burst's picture, which is a convention, not the truth
([fusion/training/camera.py](../fusion/training/camera.py)). Printed by `python -m
fusion.benchmark.experiments.brackets FOLDER`, of the maps that
[fusion/benchmark/experiments/reference.py](../fusion/benchmark/experiments/reference.py) names."""


def main(folder: Path) -> None:
    """Print the table as Markdown."""
    scores: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for name in MAPS:
        radiance = read_map(next(folder.rglob(f"{name}.exr")))
        made = render(radiance, f"{name}.exr", 0, OPTIONS)
        shot, rng = made.shot, np.random.default_rng(0)
        seen, noise = view(radiance, shot.view, OPTIONS.side), Noise(shot.full_well, shot.read_noise)
        for count in COUNTS:
            stops = np.linspace(shot.middle - shot.gap / 2, shot.middle + shot.gap / 2, count)
            frames = [as_photo(expose(seen, float(stop), shot.response, noise, rng)) for stop in stops]
            bracket = as_pair(*frames)
            for row, fused in _fused(bracket):
                likeness = SSIM(to_uint8(fused), Sources(to_uint8(made.reference)))
                scores.setdefault((row, count), []).append((_quality(fused, bracket), likeness))
    print(f"# Brackets\n\n{TOLD}\n")
    print("| | " + " | ".join(f"{count} exposures: MEF-SSIM ↑ | SSIM ↑" for count in COUNTS) + " |")
    print("|---" * (1 + 2 * len(COUNTS)) + "|")
    for row in dict.fromkeys(row for row, _ in scores):
        means = [map(fmean, zip(*scores[row, count], strict=True)) for count in COUNTS]
        print(f"| {row} | " + " | ".join(f"{quality:.4f} | {likeness:.3f}" for quality, likeness in means) + " |")


def _fused(bracket: ExposurePair) -> Iterator[tuple[str, Photo]]:
    for method in METHODS:
        if method.many:
            yield f"`{method.name}`, at once", fuse_pair(bracket, method.name)
            yield f"`{method.name}`, two by two", _two_by_two(bracket.frames, method.name)
        else:
            yield f"`{method.name}`, two by two", fuse_pair(bracket, method.name)


def _two_by_two(frames: Sequence[Photo], method: str) -> Photo:
    """As `fusion.pipeline` does with a method for two."""
    if len(frames) == 1:
        return frames[0]
    dark, bright = (_two_by_two(half, method) for half in halves(frames))
    return fuse_pair(ExposurePair(dark, bright), method)


def _quality(fused: Photo, bracket: ExposurePair) -> float:
    return float(mef_ssim(*(luma(photo)[None].double() for photo in (fused, *bracket.frames))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
