"""How ways to merge colour compare on the same fused luma, over a folder of pairs.

    python -m fusion.benchmark.experiments.colour DATASET

The hue error is that of `fusion.metrics.colourfulness`, against the photograph that shows the pixel better: the
brighter one, or the darker one where the brighter one is clipped. Colourfulness is the result's over that of the more
colourful photograph. The last column says by how many levels of 255 a merge moves the luma that was fused, on the mean,
because a colour does not fit or because 8 bits round it.
"""

from __future__ import annotations

from statistics import fmean

import numpy as np
import torch
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io import colour
from fusion.io.image import load_pair, to_uint8
from fusion.methods.exposed_colour import carry_colour
from fusion.metrics.colourfulness import colourfulness, hue_error
from fusion.metrics.picture import Pixels
from fusion.pipeline import Session
from fusion.settings import Settings
from fusion.training.datasets import find_pairs

DURATION = "This takes up to a minute for each pair."

METHODS = "pyramef", "mambamef", "deepfuse"
"""Methods on luma whose lumas are coloured: the sharpest, the one that sees a small copy, and the simplest."""
MERGES = {"published (DeepFuse, eq. 2)": colour.by_colourfulness, "natural": carry_colour}
_CLIPPED = 250
"""Levels of 255 from which the brighter photograph counts as clipped."""


def better_shown(under: Pixels, over: Pixels) -> Pixels:
    """For each pixel the brighter photograph's value, or the darker photograph's where that is clipped."""
    return np.where((over.max(-1) < _CLIPPED)[..., None], over, under)


def main(dataset: Dataset) -> None:
    """Print the means over the scenes."""
    settings = Settings(align=False, ghosts="ignore")
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with Session() as session:
        for files in tqdm(find_pairs(dataset), unit="pair", leave=False):
            pair = load_pair(files.under, files.over)
            scene = session.prepare(pair, settings)
            under, over = to_uint8(pair.under), to_uint8(pair.over)
            shown, most = better_shown(under, over), max(colourfulness(photo) for photo in (under, over))
            for method in METHODS:
                luma = colour.luma(session.fuse(scene, method, settings).photo)[None]
                for name, merge in MERGES.items():
                    fused = to_uint8(merge((pair.under[None], pair.over[None]), luma)[0].clamp(0, 1))
                    made = colour.luma(torch.from_numpy(fused).movedim(-1, 0) / 255)
                    moved = 255 * float((made - luma[0]).abs().mean())
                    values = hue_error(fused, shown), colourfulness(fused) / most, moved
                    rows.setdefault((method, name), []).append(values)
    print("| luma of | merge of the chroma | hue error, degrees | colourfulness over the sources' | luma moved |")
    print("|---|---|---|---|---|")
    for (method, name), values in rows.items():
        hue, colourful, moved = map(fmean, zip(*values, strict=True))
        print(f"| `{method}` | {name} | {hue:.2f} | {colourful:.3f} | {moved:.2f} |")


if __name__ == "__main__":
    run(main, DURATION)
