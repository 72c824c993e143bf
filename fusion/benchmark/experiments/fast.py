"""What fast mode costs in quality: each method's fast result beside its exact one, over a folder of pairs.

    python -m fusion.benchmark.experiments.fast DATASET

The pairs of the usual datasets are smaller than the copy that a network sees in fast mode. So here the copy is made
smaller: it has a half of each pair's pixels, as for a photograph of 6 megapixels, and a sixth, as for one of 18. Two
kinds of methods are left out: those that always see a small copy (`Needs.largest`), and those that always work at full
size (`Needs.cheap`).
"""

from __future__ import annotations

from statistics import fmean

import numpy as np
from skimage.metrics import structural_similarity
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io.image import load_pair, to_uint8
from fusion.methods import METHODS
from fusion.methods.base import Fuser
from fusion.metrics import mef_ssim
from fusion.metrics.picture import Sources
from fusion.training.datasets import find_pairs

DURATION = "This takes about three seconds for each pair and method."

PARTS = (2, 6)
"""The network sees one pixel in this many."""


def main(dataset: Dataset) -> None:
    """Print a row for each method as soon as it is measured."""
    pairs = find_pairs(dataset)
    print("| | MEF-SSIM, exact | " + " | ".join(f"at 1/{part} of the pixels | SSIM to exact" for part in PARTS) + " |")
    print("|---" * (2 + 2 * len(PARTS)) + "|", flush=True)
    for method in METHODS:
        if method.needs.cheap or method.needs.largest or method.unavailable:
            continue
        exact: list[float] = []
        fast: dict[int, list[tuple[float, float]]] = {part: [] for part in PARTS}
        for files in tqdm(pairs, desc=method.name, unit="pair", leave=False):
            pair = load_pair(files.under, files.over)
            sources = Sources(to_uint8(pair.under), to_uint8(pair.over))
            whole = to_uint8(Fuser(method)(pair, mode="exact"))
            exact.append(mef_ssim.METRIC.measure(whole, sources))
            for part in PARTS:
                fuser = Fuser(method, fast_pixels=pair.size[0] * pair.size[1] // part)
                carried = to_uint8(fuser(pair, mode="fast"))
                similarity = structural_similarity(whole, carried, channel_axis=2)
                fast[part].append((mef_ssim.METRIC.measure(carried, sources), float(similarity)))  # pyright: ignore[reportArgumentType]
        cells = [f"{value:.4f}" for part in PARTS for value in np.mean(fast[part], axis=0)]
        print(f"| `{method.name}` | {fmean(exact):.4f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    run(main, DURATION)
