"""How well ghosts are found and taken out: a thing is moved between the exposures of each example, and fused.

    python -m docs.ghost examples

In each scene, a patch of it is put down at two places, at one before the darker exposure and at the other before the
brighter one. Without ghosts, each place shows one of three scenes: without the patch, with it there, or with it at the
other place. The ghosts' energy is the mean squared difference from the nearest of them, summed over both places.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fusion.ghost import find_ghosts
from fusion.image import ExposurePair, Photo, load_pair
from fusion.pipeline import fuse_pair

METHODS = ("mertens", "pyramef")
SEEDS = (5, 6)


class Place(NamedTuple):
    """The upper left corner of a square, and its side, in pixels."""

    y: int
    x: int
    side: int

    def of(self, photo: Photo) -> Photo:
        """What a photograph shows there, as a view."""
        return photo[:, self.y : self.y + self.side, self.x : self.x + self.side]


def main(folder: Path) -> None:
    """Print the table, and the means."""
    print("| | energy, plain | without ghosts | drop | changed elsewhere, levels of 255 |")
    for method in METHODS:
        drops: list[float] = []
        for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
            pair = load_pair(*(next(scene.glob(f"{which}.*")) for which in ("under", "over")))
            for seed in SEEDS:
                before, after, elsewhere = _energies(pair, method, np.random.default_rng(seed))
                drops.append(1 - after / before)
                print(
                    f"| `{method}`, {scene.name} {seed} | {before:.4f} | {after:.4f} | {100 * drops[-1]:.0f} % "
                    f"| {255 * elsewhere:.2f} |"
                )
        good = fmean(drop >= 0.8 for drop in drops)
        print(f"| `{method}`, mean | | | {100 * fmean(drops):.0f} % | |")
        print(f"{method}: {100 * good:.0f} % of {len(drops)} lose 80 % or more.\n")


def _energies(pair: ExposurePair, method: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """The energy of the plain result and of the other, and the largest change outside the ghosts' mask."""
    patch, first, second, shape = _things(pair, rng)
    under, over = (patch.of(photo).clone() for photo in (pair.under, pair.over))
    moved = ExposurePair(_put(pair.under, under, first, shape), _put(pair.over, over, second, shape))
    there = [
        ExposurePair(_put(pair.under, under, at, shape), _put(pair.over, over, at, shape)) for at in (first, second)
    ]
    wanted = [fuse_pair(scene, method, mode="exact") for scene in (pair, *there)]
    plain, clean = (fuse_pair(moved, method, ghosts=handling, mode="exact") for handling in ("ignore", "remove"))
    ghosts = find_ghosts(moved)
    elsewhere = (plain - clean).abs()[:, ghosts.mask[0] == 0].max() if ghosts else torch.zeros(())

    def energy(result: Photo) -> float:
        return sum(min(float((at.of(result) - at.of(one)).square().mean()) for one in wanted) for at in (first, second))

    return energy(plain), energy(clean), float(elsewhere)


def _things(pair: ExposurePair, rng: np.random.Generator) -> tuple[Place, Place, Place, Tensor]:
    """A patch, two places beside one another that look least like it, and its soft shape (side, side)."""
    height, width = pair.size
    side = int(min(height, width) * rng.uniform(0.12, 0.18))
    best: tuple[float, Place, Place, Place] | None = None
    for _ in range(60):
        (patch, first) = (
            Place(int(rng.integers(0, height - side)), int(rng.integers(0, width - side)), side) for _ in range(2)
        )
        aside = int(rng.choice([-1, 1]) * rng.uniform(1.2, 2) * side)
        if not 0 <= first.x + aside <= width - side:
            continue
        second = first._replace(x=first.x + aside)
        unlike = sum(
            float((patch.of(photo) - at.of(photo)).abs().mean())
            for photo in (pair.under, pair.over)
            for at in (first, second)
        )
        if best is None or unlike > best[0]:
            best = unlike, patch, first, second
    assert best is not None  # noqa: S101
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return *best[1:], ((1 - torch.hypot(x, y)) * side / 6).clamp(0, 1)


def _put(photo: Photo, thing: Photo, place: Place, shape: Tensor) -> Photo:
    """A photograph with a thing in it."""
    photo = photo.clone()
    place.of(photo).lerp_(thing, shape)
    return photo


if __name__ == "__main__":
    main(Path(sys.argv[1]))
