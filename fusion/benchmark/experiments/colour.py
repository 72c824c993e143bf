"""How two ways to merge colour compare on the same fused luma, over a folder of pairs.

    python -m fusion.benchmark.experiments.colour examples

The hue error is that of `fusion.metrics.colourfulness`, against the photograph that shows the pixel better: the
brighter one, or the darker one where the brighter one is clipped. Colourfulness is the result's over that of the more
colourful photograph.
"""

from __future__ import annotations

from statistics import fmean

import numpy as np
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io import colour
from fusion.io.image import load_pair, to_uint8
from fusion.methods.exposed_colour import carry_colour
from fusion.metrics.base import Pixels
from fusion.metrics.colourfulness import colourfulness, hue_error
from fusion.pipeline import fuse_pair
from fusion.training.datasets import find_pairs

DURATION = "This takes a few seconds for each pair."

MERGES = {"by colourfulness (DeepFuse, eq. 2)": colour.by_colourfulness, "PyraMEF's": carry_colour}
_CLIPPED = 250
"""Levels of 255 from which the brighter photograph counts as clipped."""


def better_shown(under: Pixels, over: Pixels) -> Pixels:
    """For each pixel the brighter photograph's value, or the darker photograph's where that is clipped."""
    return np.where((over.max(-1) < _CLIPPED)[..., None], over, under)


def main(dataset: Dataset) -> None:
    """Print the means over the scenes."""
    errors: dict[str, list[float]] = {name: [] for name in MERGES}
    ratios: dict[str, list[float]] = {name: [] for name in MERGES}
    for files in tqdm(find_pairs(dataset), unit="pair", leave=False):
        pair = load_pair(files.under, files.over)
        luma = colour.luma(fuse_pair(pair, "pyramef"))[None]
        under, over = to_uint8(pair.under), to_uint8(pair.over)
        most = max(colourfulness(photo) for photo in (under, over))
        for name, merge in MERGES.items():
            fused = to_uint8(merge((pair.under[None], pair.over[None]), luma)[0].clamp(0, 1))
            errors[name].append(hue_error(fused, better_shown(under, over)))
            ratios[name].append(colourfulness(fused) / most)
    print("| merge of the chroma | hue error, degrees | colourfulness over the sources' |")
    for name in MERGES:
        print(f"| {name} | {fmean(errors[name]):.2f} | {fmean(ratios[name]):.3f} |")


if __name__ == "__main__":
    run(main, DURATION)
