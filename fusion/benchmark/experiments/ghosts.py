"""How well ghosts are found and removed: an object is moved between the two exposures of each pair, which are fused.

    python -m fusion.benchmark.experiments.ghosts examples

A patch of each scene is placed at one point in the darker exposure and at another point in the brighter one. A result
without ghosts shows one of three scenes at each point: without the patch, with the patch there, or with the patch at
the other point. The energy of the ghosts is the mean squared difference from the nearest of these, summed over both
points.

A first table says how much movement is found in each pair as it is, and how often a smaller moved object is found with
certainty. The page mentions movement on its own only where it is certain.
"""

from __future__ import annotations

from statistics import fmean

import numpy as np
import torch
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.exposures.ghosts import find_ghosts
from fusion.io.image import ExposurePair, Photo, load_pair
from fusion.pipeline import fuse_pair
from fusion.training.camera import SIDE, Square, as_photo, draw_moving_disc
from fusion.training.datasets import find_pairs

DURATION = "This takes a minute or more for each pair; rows are printed as they are measured."

METHODS = ("mertens", "pyramef")
SEEDS = range(1, 9)
SIDES = (0.04, 0.06, 0.08)
"""Sizes of smaller objects for the first table, as parts of the shorter side."""
_LOST = 0.8
"""The part of the energy that a good removal takes away."""


def main(dataset: Dataset) -> None:
    """Print both tables, each row as soon as it is measured, and the means."""
    scenes = {files.scene: load_pair(files.under, files.over) for files in find_pairs(dataset)}
    print("| | movement found in the pair as it is | certain | certain, with a moved object |")
    for name, pair in scenes.items():
        found = find_ghosts(pair)
        made = [find_ghosts(_moved(pair, seed, (side, side))[0]) for side in SIDES for seed in SEEDS]
        told = f"{sum(bool(ghosts and ghosts.certain) for ghosts in made)} of {len(made)}"
        print(
            f"| {name} | {100 * found.share if found else 0:.2f} % | {bool(found and found.certain)} | {told} |",
            flush=True,
        )
    print("\n| | energy, not removed | removed | drop | largest change elsewhere, levels of 255 |")
    for method in METHODS:
        drops: list[float] = []
        for name, pair in scenes.items():
            for seed in tqdm(SEEDS, desc=f"{method}, {name}", leave=False):
                before, after, elsewhere = _energies(pair, method, seed)
                drops.append(1 - after / before)
                print(
                    f"| `{method}`, {name} {seed} | {before:.4f} | {after:.4f} | {100 * drops[-1]:.0f} % "
                    f"| {255 * elsewhere:.2f} |",
                    flush=True,
                )
        good = fmean(drop >= _LOST for drop in drops)
        print(f"| `{method}`, mean | | | {100 * fmean(drops):.0f} % | |")
        print(f"{method}: {100 * good:.0f} % of {len(drops)} ghosts lose {100 * _LOST:.0f} % or more.\n")


def _moved(
    pair: ExposurePair, seed: int, sides: tuple[float, float] = SIDE
) -> tuple[ExposurePair, list[ExposurePair], tuple[Square, Square]]:
    """The pair with a moved object, the pairs with the object at rest at either place, and the two places."""
    under, over = (photo.permute(1, 2, 0).numpy() for photo in (pair.under, pair.over))
    thing = draw_moving_disc((under, over), np.random.default_rng(seed), sides)
    places = thing.first, thing.second

    def scene(before_under: Square, before_over: Square) -> ExposurePair:
        return ExposurePair(as_photo(thing.put(under, before_under)), as_photo(thing.put(over, before_over)))

    return scene(*places), [scene(place, place) for place in places], places


def _energies(pair: ExposurePair, method: str, seed: int) -> tuple[float, float, float]:
    """The ghosts' energy without and with removal, and the largest change outside the ghosts' mask."""
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
    run(main, DURATION)
