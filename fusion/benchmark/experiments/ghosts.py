"""How well ghosts are found and taken out: a thing is moved between the exposures of each example, and fused.

    python -m fusion.benchmark.experiments.ghosts examples

In each scene, a patch of it is put down at two places, at one before the darker exposure and at the other before the
brighter one. Without ghosts, each place shows one of three scenes: without the patch, with it there, or with it at the
other place. The ghosts' energy is the mean squared difference from the nearest of them, summed over both places.

Before that, what is found in each scene as it is, and with smaller things moved in it; the page tells of it unasked
where it is certain.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from fusion.exposures.ghosts import find_ghosts
from fusion.io.image import ExposurePair, Photo, load_pair
from fusion.pipeline import fuse_pair
from fusion.training.camera import SIDE, Square, as_photo, draw_moving_disc

METHODS = ("mertens", "pyramef")
SEEDS = range(1, 9)
SIDES = (0.04, 0.06, 0.08)
"""Of the shorter side: smaller things, for what is found."""


def main(folder: Path) -> None:
    """Print the tables, and the means."""
    scenes = {scene.name: _pair(scene) for scene in sorted(path for path in folder.iterdir() if path.is_dir())}
    print("| | found in the scene as it is | certain | certain, with a thing moved in it |")
    for name, pair in scenes.items():
        found = find_ghosts(pair)
        made = [find_ghosts(_moved(pair, seed, (side, side))[0]) for side in SIDES for seed in SEEDS]
        told = f"{sum(bool(ghosts and ghosts.certain) for ghosts in made)} of {len(made)}"
        print(f"| {name} | {100 * found.share if found else 0:.2f} % | {bool(found and found.certain)} | {told} |")
    print("| | energy, plain | without ghosts | drop | changed elsewhere, levels of 255 |")
    for method in METHODS:
        drops: list[float] = []
        for name, pair in scenes.items():
            for seed in SEEDS:
                before, after, elsewhere = _energies(pair, method, seed)
                drops.append(1 - after / before)
                print(
                    f"| `{method}`, {name} {seed} | {before:.4f} | {after:.4f} | {100 * drops[-1]:.0f} % "
                    f"| {255 * elsewhere:.2f} |"
                )
        good = fmean(drop >= 0.8 for drop in drops)
        print(f"| `{method}`, mean | | | {100 * fmean(drops):.0f} % | |")
        print(f"{method}: {100 * good:.0f} % of {len(drops)} lose 80 % or more.\n")


def _pair(scene: Path) -> ExposurePair:
    return load_pair(*(next(scene.glob(f"{which}.*")) for which in ("under", "over")))


def _moved(
    pair: ExposurePair, seed: int, sides: tuple[float, float] = SIDE
) -> tuple[ExposurePair, list[ExposurePair], tuple[Square, Square]]:
    """The pair with a thing that moved, with it at rest at either place, and the places."""
    under, over = (photo.permute(1, 2, 0).numpy() for photo in (pair.under, pair.over))
    thing = draw_moving_disc((under, over), np.random.default_rng(seed), sides)
    places = thing.first, thing.second

    def scene(before_under: Square, before_over: Square) -> ExposurePair:
        return ExposurePair(as_photo(thing.put(under, before_under)), as_photo(thing.put(over, before_over)))

    return scene(*places), [scene(place, place) for place in places], places


def _energies(pair: ExposurePair, method: str, seed: int) -> tuple[float, float, float]:
    """The energy of the plain result and of the other, and the largest change outside the ghosts' mask."""
    moved, there, places = _moved(pair, seed)
    wanted = [fuse_pair(still, method, mode="exact") for still in (pair, *there)]
    plain, clean = (fuse_pair(moved, method, ghosts=handling, mode="exact") for handling in ("ignore", "remove"))
    ghosts = find_ghosts(moved)
    elsewhere = (plain - clean).abs()[:, ghosts.mask[0] == 0].max() if ghosts else torch.zeros(())

    def energy(result: Photo) -> float:
        off = [(result - one).square().permute(1, 2, 0).numpy() for one in wanted]
        return sum(min(float(place.of(square).mean()) for square in off) for place in places)

    return energy(plain), energy(clean), float(elsewhere)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
