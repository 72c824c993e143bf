"""What each metric rewards: mean scores of pictures whose worth is known, over a folder of pairs.

    python -m fusion.benchmark.experiments.metrics examples

The pairs are <scene>/under.*, over.* or <scene>/*_A.*, *_B.*, and *_GT.* where there is a reference; all are reduced to
a quarter of a megapixel. Behind each score stands in how many scenes the picture was the best of them all.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fusion.io.image import Photo, load, load_pair, to_uint8
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Better, Metric, scored_size
from fusion.metrics.picture import Pixels, Sources, grey
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse

_PIXELS = 250_000
_BLUR = 1.5
_NOISE = 5
_SHARPENED = 2.0


def _blurred(pixels: Pixels, sigma: float) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float64), (0, 0), sigma), np.float64)


def _rounded(levels: NDArray[np.floating]) -> Pixels:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


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


def _file(scene: Path, *names: str) -> Path | None:
    return next((path for name in names for path in sorted(scene.glob(name))), None)


def _reduced(photo: Photo) -> Pixels:
    height, width = scored_size(photo.shape[1], photo.shape[2], _PIXELS)
    return np.asarray(cv2.resize(to_uint8(photo), (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def main(folder: Path) -> None:
    """Print the tables."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for scene in tqdm(sorted(path for path in folder.iterdir() if path.is_dir())):
        under_file, over_file = _file(scene, "under.*", "*_A.*"), _file(scene, "over.*", "*_B.*")
        if not under_file or not over_file:
            continue
        pair = load_pair(under_file, over_file)
        mertens = fuse(pair.under, pair.over, method="mertens", align=False)
        under, over, fused = (_reduced(photo) for photo in (pair.under, pair.over, mertens))
        reference_file = _file(scene, "*_GT.*")
        reference = _reduced(load(reference_file, "The reference").photo) if reference_file else None
        sources = Sources(under, over)
        for name, pixels in pictures(under, over, fused).items():
            for metric in BENCHMARK:
                scores[metric.name][name].append(metric.measure(pixels, sources))
            if reference is not None:
                for measure in REFERENCE:
                    scores[measure.name][name].append(measure.measure(pixels, Sources(reference)))
    for metric in (*BENCHMARK, *REFERENCE):
        if metric.name in scores:
            _print(metric, scores[metric.name])
    for name in ("over", "plain mean"):
        above = [metric.title for metric in BENCHMARK if metric.mefb and _above(metric, scores[metric.name], name)]
        print(f"\n{name} is above Mertens on {len(above)} of MEFB's twenty: {', '.join(above)}")


def _above(metric: Metric, scores: dict[str, list[float]], name: str) -> bool:
    return (fmean(scores[name]) > fmean(scores["Mertens"])) is (metric.better is Better.HIGHER)


def _print(metric: Metric, scores: dict[str, list[float]]) -> None:
    """The metric's table, best first, and its caution."""
    sign = -1 if metric.better is Better.LOWER else 1
    scenes = list(zip(*scores.values(), strict=True))
    best = [max(scene, key=lambda value: sign * value) for scene in scenes]
    print(f"\n{metric.title} ({metric.name}), {metric.better.value}, {metric.bounds[0]:.4g} to {metric.bounds[1]:.4g}")
    for name, values in sorted(scores.items(), key=lambda item: -sign * fmean(item[1])):
        wins = sum(value == most for value, most in zip(values, best, strict=True))
        print(f"  {fmean(values):12.4f}  best in {wins:2d} of {len(scenes)}  {name}")
    print(f"  {metric.caution}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
