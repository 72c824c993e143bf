"""What each metric rewards: its mean scores for pictures of known quality, over a folder of pairs.

    python -m fusion.benchmark.experiments.metrics examples
    python -m fusion.benchmark.experiments.metrics examples --metric vif

All pictures are reduced to a quarter of a megapixel. Metrics against a reference are measured where a scene has one.
Each row also says in how many scenes the picture was the best of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.errors import FusionError
from fusion.io.image import Photo, load, load_pair, to_uint8
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Better, Metric, Pixels, ReferenceMetric, scored_size
from fusion.metrics.grey import grey
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse_pair
from fusion.training.datasets import PairFiles, find_pairs

DURATION = "This takes about a second for each pair and metric; each metric's table is printed when it is done."

_PIXELS = 250_000
_BLUR = 1.5
"""Standard deviation in pixels."""
_NOISE = 5
"""Standard deviation in levels of 255."""
_SHARPENED = 2.0
"""Standard deviation, in pixels, of the blur that unsharp masking subtracts."""


@dataclass(frozen=True, eq=False)
class ReducedScene:
    """A scene's sources, the pictures that are scored, and the reference where there is one, all of one size."""

    under: Pixels
    over: Pixels
    pictures: dict[str, Pixels]
    reference: Pixels | None

    @staticmethod
    def of(files: PairFiles) -> ReducedScene:
        """Load, fuse and reduce a scene."""
        pair = load_pair(files.under, files.over)
        under, over, fused = (_reduced(photo) for photo in (pair.under, pair.over, fuse_pair(pair, "mertens")))
        reference = _reduced(load(files.reference, "The reference").photo) if files.reference else None
        return ReducedScene(under, over, pictures(under, over, fused), reference)


def pictures(under: Pixels, over: Pixels, fused: Pixels) -> dict[str, Pixels]:
    """The pictures that are scored, by their names in the table; `fused` is Mertens' result."""
    noise = np.random.default_rng(0).normal(0, _NOISE, fused.shape)
    return {
        "over": over,
        "plain mean": _rounded((under.astype(np.float64) + over) / 2),
        "Mertens": fused,
        f"blurred, σ {_BLUR}": _rounded(_blurred(fused, _BLUR)),
        f"noise, σ {_NOISE}": _rounded(fused + noise),
        f"sharpened, σ {_SHARPENED}": _rounded(2.0 * fused - _blurred(fused, _SHARPENED)),
        "darker, × 0.7": _rounded(0.7 * fused),
        "grey": np.repeat(grey(fused)[..., None], 3, axis=2),
    }


def _blurred(pixels: Pixels, sigma: float) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float64), (0, 0), sigma), np.float64)


def _rounded(levels: NDArray[np.floating]) -> Pixels:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def _reduced(photo: Photo) -> Pixels:
    height, width = scored_size(photo.shape[1], photo.shape[2], _PIXELS)
    return np.asarray(cv2.resize(to_uint8(photo), (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def main(
    dataset: Dataset,
    metric: Annotated[list[str] | None, typer.Option(help="A metric's name; may be repeated. Default: all.")] = None,
) -> None:
    """Print each metric's table as soon as it is measured, with the metric's caution."""
    every = (*BENCHMARK, *REFERENCE)
    if unknown := {*(metric or ())} - {one.name for one in every}:
        known = ", ".join(one.name for one in every)
        raise FusionError(f"There is no metric called {min(unknown)}; choose from {known}.")
    scenes = [ReducedScene.of(files) for files in tqdm(find_pairs(dataset), desc="fusing", unit="pair", leave=False)]
    above: dict[str, list[str]] = {"over": [], "plain mean": []}
    for one in every:
        if metric and one.name not in metric:
            continue
        scores = [_scores(one, scene) for scene in tqdm(scenes, desc=one.name, unit="pair", leave=False)]
        if not (known := [scene for scene in scores if scene]):
            continue  # it needs references, and there are none
        means = {name: fmean(scene[name] for scene in known) for name in known[0]}
        _print(one, known, means)
        for name, titles in above.items():
            better = (means[name] > means["Mertens"]) is (one.better is Better.HIGHER)
            if isinstance(one, Metric) and one.mefb and better:
                titles.append(one.title)
    if not metric:
        for name, titles in above.items():
            print(f"\n{name} is above Mertens on {len(titles)} of MEFB's twenty: {', '.join(titles)}")


def _scores(metric: Metric | ReferenceMetric, scene: ReducedScene) -> dict[str, float]:
    """The score of each picture by its name; empty where the metric needs a reference that the scene lacks."""
    if isinstance(metric, Metric):
        return {name: metric.measure(one, scene.under, scene.over) for name, one in scene.pictures.items()}
    if scene.reference is None:
        return {}
    return {name: metric.measure(one, scene.reference) for name, one in scene.pictures.items()}


def _print(metric: Metric | ReferenceMetric, scores: list[dict[str, float]], means: dict[str, float]) -> None:
    """The metric's table, the best picture first."""
    sign = -1 if metric.better is Better.LOWER else 1
    best = [max(scene.values(), key=lambda value: sign * value) for scene in scores]
    print(f"\n{metric.title} ({metric.name}), {metric.better.value}, {metric.bounds[0]:.4g} to {metric.bounds[1]:.4g}")
    for name in sorted(means, key=lambda name: -sign * means[name]):
        wins = sum(scene[name] == most for scene, most in zip(scores, best, strict=True))
        print(f"  {means[name]:12.4f}  best in {wins:2d} of {len(scores)}  {name}")
    print(f"  {metric.caution}.", flush=True)


if __name__ == "__main__":
    run(main, DURATION)
