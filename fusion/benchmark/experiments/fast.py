"""What fast mode costs: each method's fast result beside its exact one, over a folder of pairs.

    python -m fusion.benchmark.experiments.fast DATASET

Pairs of the usual collections are smaller than what the network sees in fast mode, so here it sees less: a half of each
pair's pixels, as of a photograph of 6 megapixels, and a sixth, as of one of 18. Not in the table: methods that always
see a small copy (`Method.largest`), and those that never do (`Method.cheap`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

import numpy as np
from skimage.metrics import structural_similarity
from tqdm import tqdm

from fusion.io.image import load_pair, to_uint8
from fusion.methods import METHODS
from fusion.methods.base import Fuser
from fusion.metrics import mef_ssim
from fusion.metrics.picture import Sources
from fusion.training.datasets import find_pairs

SHARES = (2, 6)


def main(dataset: Path) -> None:
    """Print the table."""
    methods = [method for method in METHODS if not (method.cheap or method.largest or method.unavailable)]
    exact: dict[str, list[float]] = {method.name: [] for method in methods}
    fast: dict[tuple[str, int], list[tuple[float, float]]] = {(m.name, share): [] for m in methods for share in SHARES}
    for files in tqdm(find_pairs(dataset), unit="pair"):
        pair = load_pair(files.under, files.over)
        sources = Sources(to_uint8(pair.under), to_uint8(pair.over))
        for method in methods:
            whole = to_uint8(Fuser(method)(pair, mode="exact"))
            exact[method.name].append(mef_ssim.METRIC.measure(whole, sources))
            for share in SHARES:
                fuser = Fuser(method, fast_pixels=pair.size[0] * pair.size[1] // share)
                carried = to_uint8(fuser(pair, mode="fast"))
                like = structural_similarity(whole, carried, channel_axis=2)
                fast[method.name, share].append((float(like), mef_ssim.METRIC.measure(carried, sources)))  # pyright: ignore[reportArgumentType]
    print("| | MEF-SSIM, exact | " + " | ".join(f"at 1/{s} of the pixels | SSIM to exact" for s in SHARES) + " |")
    for name, scores in exact.items():
        cells = [f"{fmean(scores):.4f}"]
        for share in SHARES:
            like, score = np.mean(fast[name, share], axis=0)
            cells += [f"{score:.4f}", f"{like:.4f}"]
        print(f"| `{name}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
