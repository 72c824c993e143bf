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

import numpy as np
import torch

from fusion.camera import Place, as_photo, draw_thing
from fusion.ghost import find_ghosts
from fusion.image import ExposurePair, Photo, load_pair
from fusion.pipeline import fuse_pair

METHODS = ("mertens", "pyramef")
SEEDS = (5, 6)


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
    under, over = (photo.permute(1, 2, 0).numpy() for photo in (pair.under, pair.over))
    thing = draw_thing((under, over), rng)
    places = thing.first, thing.second

    def scene(before_under: Place, before_over: Place) -> ExposurePair:
        return ExposurePair(as_photo(thing.put(under, before_under)), as_photo(thing.put(over, before_over)))

    moved = scene(*places)
    there = [scene(place, place) for place in places]
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
