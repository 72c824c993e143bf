"""How two ways to merge colour compare, on the same fused luma, over a folder of <scene>/under.*, over.* pairs.

    python -m docs.colour examples

Hue error: the mean angle, in degrees of CIELAB, between the result's hue and that of the photograph that shows the
pixel better (the brighter one where it is not clipped), weighted by that photograph's chroma: where it shows no colour,
there is none to keep. Colourfulness: Hasler and Suesstrunk, "Measuring colorfulness in natural images", 2003,
eqs. 3 and 4, of the result, over that of the more colourful photograph.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from fusion import color, fuse
from fusion.image import Photo, load_pair
from fusion.methods.pyramef import carry_colour

MERGES = {"by colourfulness (DeepFuse, eq. 2)": color.by_colourfulness, "PyraMEF's": carry_colour}
_CLIPPED = 250 / 255


def hue_error(fused: Photo, under: Photo, over: Photo) -> float:
    """Degrees, 0 to 180."""
    shown = over.amax(0, keepdim=True) < _CLIPPED
    reference = over.where(shown, under)
    ours, theirs = (rgb2lab(photo.permute(1, 2, 0).numpy())[..., 1:] for photo in (fused, reference))
    chroma = np.hypot(*np.moveaxis(theirs, -1, 0))
    angles = [np.arctan2(ab[..., 1], ab[..., 0]) for ab in (ours, theirs)]
    apart = np.abs(np.angle(np.exp(1j * (angles[0] - angles[1]))))
    return float(np.degrees((apart * chroma).sum() / chroma.sum()))


def colourfulness(photo: Photo) -> float:
    """In units of 0 to 255."""
    red, green, blue = photo.double().numpy() * 255
    opponents: list[NDArray[np.float64]] = [red - green, (red + green) / 2 - blue]
    return float(np.hypot(*(x.std() for x in opponents)) + 0.3 * np.hypot(*(x.mean() for x in opponents)))


def main(folder: Path) -> None:
    """Print the table: means over the scenes."""
    errors: dict[str, list[float]] = {name: [] for name in MERGES}
    shares: dict[str, list[float]] = {name: [] for name in MERGES}
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        pair = load_pair(*(next(scene.glob(f"{which}.*")) for which in ("under", "over")))
        luma = color.luma(fuse(pair.under, pair.over, method="pyramef"))[None]
        most = max(colourfulness(photo) for photo in (pair.under, pair.over))
        for name, merge in MERGES.items():
            fused = merge(pair.under[None], pair.over[None], luma)[0].clamp(0, 1)
            errors[name].append(hue_error(fused, pair.under, pair.over))
            shares[name].append(colourfulness(fused) / most)
    print("| merge of the chroma | hue error, degrees | colourfulness, of the sources' |")
    for name in MERGES:
        print(f"| {name} | {fmean(errors[name]):.2f} | {fmean(shares[name]):.3f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
