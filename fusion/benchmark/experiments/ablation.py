"""What each part of PyraMEF is worth: mean MEF-SSIM of the fused luma, before it is rounded, over a folder of pairs.

python fusion/benchmark/experiments/ablation.py DATASET
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn
from tqdm import tqdm

from fusion.io import colour
from fusion.io.image import load_pair
from fusion.methods.mertens import exposure_fusion
from fusion.methods.pyramef import PyraMEF
from fusion.metrics.mef_ssim import mef_ssim
from fusion.runtime import weights
from fusion.training.datasets import find_pairs

Fuse = Callable[[Tensor, Tensor], Tensor]


def network(relaxations: tuple[int, int] = (6, 2), *, trained: bool = True, scan: bool = True) -> Fuse:
    """PyraMEF on two photographs (1, 3, H, W); without the scan, its trained weights meet what it left."""
    torch.manual_seed(0)
    net = PyraMEF(relaxations=relaxations).eval()
    if trained:
        weights.load("pyramef", net)
    if not scan:
        net.context = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda under, over: net(colour.luma(under), colour.luma(over))


VARIANTS: dict[str, Fuse] = {
    "Mertens": lambda under, over: colour.luma(exposure_fusion((under, over))),
    "the formula, not relaxed, untrained": network((0, 0), trained=False),
    "the formula, relaxed 6 and 2 times, untrained": network(trained=False),
    "trained, then not relaxed": network((0, 0)),
    "trained, then without the scan": network(scan=False),
    "trained: PyraMEF": network(),
    "trained, relaxed 12 and 2 times": network((12, 2)),
}


@torch.inference_mode()
def main(dataset: Path) -> None:
    """Print the table."""
    scores: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for files in tqdm(find_pairs(dataset), unit="pair"):
        pair = load_pair(files.under, files.over)
        under, over = pair.under[None], pair.over[None]
        for name, fuse in VARIANTS.items():
            fused = fuse(under, over).clamp(0, 1)
            scores[name].append(float(mef_ssim(fused, colour.luma(under), colour.luma(over))))
    for name, values in scores.items():
        print(f"| {name} | {fmean(values):.4f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
