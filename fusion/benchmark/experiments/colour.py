"""How two ways to merge colour compare, on the same fused luma, over a folder of <scene>/under.*, over.* pairs.

    python -m fusion.benchmark.experiments.colour examples

Hue error: as `fusion.metrics.colourfulness` has it, against the photograph that shows the pixel better (the brighter
one where it is not clipped). Colourfulness: of the result, over that of the more colourful photograph.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

import numpy as np

from fusion.io import colour
from fusion.io.image import load_pair, to_uint8
from fusion.methods.pyramef import carry_colour
from fusion.metrics.colourfulness import colourfulness, hue_error
from fusion.metrics.picture import Pixels
from fusion.pipeline import fuse

MERGES = {"by colourfulness (DeepFuse, eq. 2)": colour.by_colourfulness, "PyraMEF's": carry_colour}
_CLIPPED = 250


def better_shown(under: Pixels, over: Pixels) -> Pixels:
    """Of every pixel, the brighter photograph's where it is not clipped."""
    return np.where((over.max(-1) < _CLIPPED)[..., None], over, under)


def main(folder: Path) -> None:
    """Print the table: means over the scenes."""
    errors: dict[str, list[float]] = {name: [] for name in MERGES}
    shares: dict[str, list[float]] = {name: [] for name in MERGES}
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        pair = load_pair(*(next(scene.glob(f"{which}.*")) for which in ("under", "over")))
        luma = colour.luma(fuse(pair.under, pair.over, method="pyramef"))[None]
        under, over = to_uint8(pair.under), to_uint8(pair.over)
        most = max(colourfulness(photo) for photo in (under, over))
        for name, merge in MERGES.items():
            fused = to_uint8(merge((pair.under[None], pair.over[None]), luma)[0].clamp(0, 1))
            errors[name].append(hue_error(fused, better_shown(under, over)))
            shares[name].append(colourfulness(fused) / most)
    print("| merge of the chroma | hue error, degrees | colourfulness, of the sources' |")
    for name in MERGES:
        print(f"| {name} | {fmean(errors[name]):.2f} | {fmean(shares[name]):.3f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
