"""How well shaken exposures are aligned: 200 made shakes over the pairs of folders, and what becomes of the pairs.

    python -m fusion.benchmark.experiments.align FOLDER [FOLDER ...]

Folders are searched as `fuse-folder` searches them. A scene's light is the exposure fusion of its pair, made linear. It
is photographed twice (`fusion.training.camera`), 1 to 5 stops apart about the scene's own mid-grey, the brighter one
by a camera that has moved: by up to 4 % of the longer side to the right and down, 2 degrees about the middle, and a
perspective that changes the scale by up to 2 % from side to side. Both get noise of 2 levels of 255 and are rounded to
8 bits. What the moved camera would see beyond the scene is its mirror image.

Error: how far places all over the picture come to lie from where they should, in pixels, on average.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fusion.exposures.align import Motion, motion, registered
from fusion.exposures.brackets import find_brackets
from fusion.io.image import Photo, load_pair
from fusion.pipeline import fuse
from fusion.training.camera import Radiance, as_photo, expose

SHAKES = 200
STOPS = (1, 2, 3, 4, 5)
SHIFT, TURN, TILT = 0.04, 2.0, 0.02
"""At most: shares of the longer side, degrees, and the change of scale from side to side."""
NOISE = 2.0
"""Standard deviation, in levels of 255."""
MID_GREY = 0.18
FINE, BAD = 0.5, 2.0
"""Pixels: what the error should be below, and what it must never be above."""


@dataclass(frozen=True)
class Outcome:
    """Of one shake."""

    stops: float
    error: float
    """Pixels; infinite where the movement was refused."""


def light_of(files: Sequence[Path]) -> Radiance:
    """What a pair shows, (H, W, 3), as linear light whose median luminance is mid-grey."""
    fused = fuse(*files, method="mertens", align=False).permute(1, 2, 0).numpy()
    light = np.where(fused <= 0.04045, fused / 12.92, ((fused + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return light * np.float32(MID_GREY / max(float(np.median(light)), 1e-3))


def shake(size: tuple[int, int], rng: np.random.Generator) -> Motion:
    """How the picture of a moved camera lies on that of the still one; both of `size`, height and width."""
    side = max(size)
    right, down = rng.uniform(-SHIFT, SHIFT, 2) * side
    turn = np.radians(rng.uniform(-TURN, TURN))
    tilt = rng.uniform(-TILT, TILT, 2) / side
    centred = np.array([[1, 0, -size[1] / 2], [0, 1, -size[0] / 2], [0, 0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [*tilt, 1]])
    shifted = np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])
    return Motion(shifted @ np.linalg.inv(centred) @ turned @ centred, 0.0, 0)


def photographs(light: Radiance, stops: float, true: Motion, rng: np.random.Generator) -> tuple[Photo, Photo]:
    """A dark one by a still camera, and one so many stops brighter by a camera that has moved."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = light.shape[1::-1]
    seen = cv2.warpPerspective(light, true.matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return photograph(light, -stops / 2, rng), photograph(np.asarray(seen, np.float32), stops / 2, rng)


def photograph(light: Radiance, stops: float, rng: np.random.Generator) -> Photo:
    """An exposure with noise, of 8 bits."""
    levels = expose(light, stops, "srgb") * 255 + rng.normal(0, NOISE, light.shape)
    return as_photo((levels.round().clip(0, 255) / 255).astype(np.float32))


def error(found: Motion, true: Motion, size: tuple[int, int]) -> float:
    """Pixels, on average over a picture of `size`, height and width."""
    places = np.mgrid[0 : size[1] : 9j, 0 : size[0] : 9j].reshape(2, -1).T
    return float(np.mean(np.hypot(*(found.apply(places) - true.apply(places)).T)))


def aligned(light: Radiance, rng: np.random.Generator) -> Outcome:
    """One shake, and how far off what is found of it is."""
    height, width, _ = light.shape
    stops, true = rng.uniform(STOPS[0], STOPS[-1]), shake((height, width), rng)
    under, over = photographs(light, stops, true, rng)
    found = motion(over, under)
    return Outcome(stops, error(found, true, (height, width)) if found else np.inf)


def shakes(pairs: Sequence[Sequence[Path]]) -> Iterator[Outcome]:
    """All of them, spread evenly over the pairs; the first pairs get one more."""
    with tqdm(total=SHAKES, unit="shake") as bar:
        for index, files in enumerate(pairs):
            light = light_of(files)
            for number in range(index, SHAKES, len(pairs)):
                yield aligned(light, np.random.default_rng(number))
                bar.update()


def row(name: str, outcomes: Sequence[Outcome]) -> str:
    """One line of the table."""
    errors = np.array([one.error for one in outcomes])
    accepted = errors[np.isfinite(errors)]
    median, most, worst = np.quantile(accepted, [0.5, 0.95, 1]) if len(accepted) else (np.nan,) * 3
    cells = [
        name,
        str(len(errors)),
        f"{100 * len(accepted) / len(errors):.1f} %",
        *(f"{error:.2f}" for error in (median, most, worst)),
        f"{100 * np.mean(errors < FINE):.1f} %",
        str(np.sum(accepted > BAD)),
    ]
    return "| " + " | ".join(cells) + " |"


def as_they_are(pairs: Sequence[Sequence[Path]]) -> Iterator[str]:
    """A sentence on the pairs themselves, and one for each that was not left alone."""
    told: list[str] = []
    for files in tqdm(pairs, unit="pair"):
        pair = load_pair(*files)
        after = registered(pair).pair
        if not all(map(torch.equal, after.frames, pair.frames)) or after.notes != pair.notes:
            told.append(f"{files[0].parent.name}: {' '.join(after.notes[len(pair.notes) :])}")
    yield f"Of the {len(pairs)} pairs themselves, {len(pairs) - len(told)} are left as they are, without a word."
    yield from told


def main(folders: Sequence[Path]) -> None:
    """Print the table, then what becomes of the pairs themselves."""
    found = [[folder / file for file in one.files] for folder in folders for one in find_brackets(folder)[0]]
    pairs = [files for files in found if len(files) == 2]
    outcomes = list(shakes(pairs))
    print(
        "| stops apart | shakes | aligned | error, px: median | 95 % | worst "
        f"| below {FINE} px, of all | aligned, and above {BAD:.0f} px |"
    )
    for low, high in pairwise(STOPS):
        print(row(f"{low} to {high}", [one for one in outcomes if low <= one.stops < high]))
    print(row("all", outcomes))
    print(*as_they_are(pairs), sep="\n")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
