"""How well hand-held exposures are aligned, over 200 simulated camera movements.

    python -m fusion.benchmark.experiments.align examples

Each DATASET is a folder of pairs. A scene's light is the exposure fusion of its pair, made linear. The light is
photographed twice (`fusion.training.camera`), 1 to 5 stops apart around the scene's own mid-grey. The camera moves
before the brighter photograph: by up to 4 % of the longer side in both directions, by up to 2 degrees about the
middle, and with a perspective that changes the scale by up to 2 % from side to side. Both photographs get noise of
2 levels of 255 and are rounded to 8 bits. Beyond the scene's border, the moved camera sees a mirror image.

The error is how far points all over the picture lie from where they should, in pixels, on average. Finally, the pairs
themselves are aligned, and those that are not left unchanged are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from tqdm import tqdm

from fusion.benchmark.experiments.command import run
from fusion.exposures.align import Motion, motion, registered
from fusion.io.image import Photo, load_pair
from fusion.pipeline import fuse
from fusion.training.camera import Radiance, as_photo, expose
from fusion.training.datasets import PairFiles, find_pairs

DURATION = "This takes about half a second for each camera movement, and a second for each pair."

SHAKES = 200
STOPS = (1, 2, 3, 4, 5)
SHIFT, TURN, TILT = 0.04, 2.0, 0.02
"""The largest movement: parts of the longer side, degrees, and the change of scale from side to side."""
NOISE = 2.0
"""Standard deviation, in levels of 255."""
MID_GREY = 0.18
FINE, BAD = 0.5, 2.0
"""Pixels: the error should be below the first, and never above the second."""


@dataclass(frozen=True)
class ShakeResult:
    """The result of undoing one simulated camera movement."""

    stops: float
    error: float
    """Mean error in pixels; infinite where no movement was accepted."""


def light_of(files: PairFiles) -> Radiance:
    """The scene of a pair, (H, W, 3), as linear light whose median luminance is mid-grey."""
    fused = fuse(files.under, files.over, method="mertens", align=False).permute(1, 2, 0).numpy()
    light = np.where(fused <= 0.04045, fused / 12.92, ((fused + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return light * np.float32(MID_GREY / max(float(np.median(light)), 1e-3))


def shake(size: tuple[int, int], rng: np.random.Generator) -> Motion:
    """A random camera movement: it maps the moved camera's picture to the still one's; `size` is height and width."""
    side = max(size)
    right, down = rng.uniform(-SHIFT, SHIFT, 2) * side
    turn = np.radians(rng.uniform(-TURN, TURN))
    tilt = rng.uniform(-TILT, TILT, 2) / side
    centred = np.array([[1, 0, -size[1] / 2], [0, 1, -size[0] / 2], [0, 0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [*tilt, 1]])
    shifted = np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])
    return Motion(shifted @ np.linalg.inv(centred) @ turned @ centred, 0.0, 0)


def photographs(light: Radiance, stops: float, true: Motion, rng: np.random.Generator) -> tuple[Photo, Photo]:
    """A dark photograph by a still camera, and one that is `stops` brighter by the moved camera."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = light.shape[1::-1]
    seen = cv2.warpPerspective(light, true.matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return photograph(light, -stops / 2, rng), photograph(np.asarray(seen, np.float32), stops / 2, rng)


def photograph(light: Radiance, stops: float, rng: np.random.Generator) -> Photo:
    """One exposure (3, H, W) with noise, rounded to 8 bits."""
    levels = expose(light, stops, "srgb") * 255 + rng.normal(0, NOISE, light.shape)
    return as_photo((levels.round().clip(0, 255) / 255).astype(np.float32))


def error(found: Motion, true: Motion, size: tuple[int, int]) -> float:
    """The mean error in pixels over a picture of `size`, height and width."""
    places = np.mgrid[0 : size[1] : 9j, 0 : size[0] : 9j].reshape(2, -1).T
    return float(np.mean(np.hypot(*(found.apply(places) - true.apply(places)).T)))


def aligned(light: Radiance, rng: np.random.Generator) -> ShakeResult:
    """Simulate one camera movement, align the two photographs, and compare."""
    height, width, _ = light.shape
    stops, true = rng.uniform(STOPS[0], STOPS[-1]), shake((height, width), rng)
    under, over = photographs(light, stops, true, rng)
    found = motion(over, under)
    return ShakeResult(stops, error(found, true, (height, width)) if found else np.inf)


def shakes(pairs: Sequence[PairFiles]) -> Iterator[ShakeResult]:
    """`SHAKES` simulated movements, spread evenly over the pairs; the first pairs may get one more."""
    with tqdm(total=SHAKES, unit="shake") as bar:
        for index, files in enumerate(pairs):
            light = light_of(files)
            for number in range(index, SHAKES, len(pairs)):
                yield aligned(light, np.random.default_rng(number))
                bar.update()


def row(name: str, outcomes: Sequence[ShakeResult]) -> str:
    """One row of the table."""
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


def unshaken(pairs: Sequence[PairFiles]) -> Iterator[str]:
    """A sentence on the pairs themselves, and one for each pair that was not left unchanged."""
    told: list[str] = []
    for files in tqdm(pairs, unit="pair"):
        pair = load_pair(files.under, files.over)
        after = registered(pair).pair
        if not all(map(torch.equal, after.frames, pair.frames)) or after.notes != pair.notes:
            told.append(f"{files.scene}: {' '.join(after.notes[len(pair.notes) :])}")
    yield f"Of the {len(pairs)} pairs themselves, {len(pairs) - len(told)} are left unchanged, without a note."
    yield from told


def main(datasets: Annotated[list[Path], typer.Argument(metavar="DATASET...", help="Folders of pairs.")]) -> None:
    """Print the table, then a sentence on the pairs themselves."""
    pairs = [files for dataset in datasets for files in find_pairs(dataset)]
    outcomes = list(shakes(pairs))
    print(
        "| stops apart | shakes | aligned | error, px: median | 95 % | worst "
        f"| below {FINE} px, of all | aligned, and above {BAD:.0f} px |"
    )
    for low, high in pairwise(STOPS):
        print(row(f"{low} to {high}", [one for one in outcomes if low <= one.stops < high]), flush=True)
    print(row("all", outcomes))
    print(*unshaken(pairs), sep="\n")


if __name__ == "__main__":
    run(main, DURATION)
