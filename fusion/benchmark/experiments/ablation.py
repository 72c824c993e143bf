"""What each part of PyraMEF contributes: the mean MEF-SSIM of the fused luma, before rounding, over a folder of pairs.

python -m fusion.benchmark.experiments.ablation DATASET
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import fmean

import torch
from torch import Tensor, nn
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io import colour
from fusion.io.image import load_pair
from fusion.methods.mertens import exposure_fusion
from fusion.methods.pyramef import PyraMEF
from fusion.metrics.mef_ssim import mef_ssim
from fusion.runtime import weights
from fusion.training.datasets import find_pairs

Fuse = Callable[[Tensor, Tensor], Tensor]
"""Fuses two photographs (1, 3, H, W) to a luma (1, 1, H, W)."""

DURATION = "This takes about two seconds for each pair and row; there are seven rows."


def pyramef(relaxations: tuple[int, int] = (6, 2), *, trained: bool = True, scan: bool = True) -> Fuse:
    """PyraMEF with parts left out. Without the scan, the trained weights stay as they are."""
    torch.manual_seed(0)
    network = PyraMEF(relaxations=relaxations).eval()
    if trained:
        weights.load("pyramef", network)
    if not scan:
        network.context = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda under, over: network(colour.luma(under), colour.luma(over))


def mertens() -> Fuse:
    """Mertens' exposure fusion, as the baseline."""
    return lambda under, over: colour.luma(exposure_fusion((under, over)))


VARIANTS: dict[str, Callable[[], Fuse]] = {
    "Mertens": mertens,
    "the formula, not relaxed, untrained": partial(pyramef, (0, 0), trained=False),
    "the formula, relaxed 6 and 2 times, untrained": partial(pyramef, trained=False),
    "trained, then not relaxed": partial(pyramef, (0, 0)),
    "trained, then without the scan": partial(pyramef, scan=False),
    "trained: PyraMEF": pyramef,
    "trained, relaxed 12 and 2 times": partial(pyramef, (12, 2)),
}


@torch.inference_mode()
def main(dataset: Dataset) -> None:
    """Print the mean MEF-SSIM of each variant as soon as it is known."""
    pairs = find_pairs(dataset)
    for name, build in VARIANTS.items():
        fuse, scores = build(), list[float]()
        for files in tqdm(pairs, desc=name, unit="pair", leave=False):
            pair = load_pair(files.under, files.over)
            under, over = pair.under[None], pair.over[None]
            fused = fuse(under, over).clamp(0, 1)
            scores.append(float(mef_ssim(fused, colour.luma(under), colour.luma(over))))
        print(f"| {name} | {fmean(scores):.4f} |", flush=True)


if __name__ == "__main__":
    run(main, DURATION)
