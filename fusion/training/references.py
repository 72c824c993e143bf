"""Scenes with a reference picture, and crops of them that are spoilt in the ways in which photographs differ.

A scene is a folder as `datasets.find_pairs` reads it, with a reference. A file `train_references.csv` beside the scenes
may name folders of a second dataset that show the same scenes in other exposures; its columns are `train_folder` and
`reference_folder`. All exposures of a scene together are a bracket. Every crop of a batch has as many exposures, which
are drawn from the bracket: at least one of the dark and one of the bright ones.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fusion.errors import DatasetError
from fusion.io.image import load, load_pair, to_uint8
from fusion.io.sandbox import Sandbox
from fusion.training.datasets import PairFiles, Pixels, find_pairs

HELD_OUT_EVERY = 6
"""One scene in so many is held out. There are fewer scenes than without references."""

LIST = "train_references.csv"
"""Name of the file that names further folders of the same scenes."""

_COUNTS = (2, 3, 4), (0.7, 0.2, 0.1)
"""Numbers of exposures in a batch, and how often each is drawn."""


def find_references(folder: Path, more: Path | None = None) -> list[PairFiles]:
    """The pairs with a reference: those in `folder`, then those of the dataset `more` that its list names.

    Raises `DatasetError` where a scene has no reference, and where a folder of the list is missing.
    """
    pairs = find_pairs(folder)
    for pair in pairs:
        if pair.reference is None:
            raise DatasetError(f"scene {pair.scene} has no reference; it must be called reference.* or *_GT.*.")
    listed = folder / LIST
    if more is None or not listed.is_file():
        return pairs
    by_scene = {pair.scene: pair for pair in pairs}
    others = {pair.scene: pair for pair in find_pairs(more)}
    with listed.open(newline="", encoding="utf-8") as file:
        rows = [(row["train_folder"], row["reference_folder"]) for row in csv.DictReader(file)]
    for name, scene in rows:
        if name in by_scene:
            continue  # the same pair
        if name not in others or scene not in by_scene:
            raise DatasetError(f"{listed} names {name} and {scene}, and one of these folders is missing.")
        pairs.append(replace(others[name], reference=by_scene[scene].reference))
    return pairs


@dataclass(frozen=True)
class Bracket:
    """The exposures of a scene and the reference, all 8-bit and of one size, (H, W, 3)."""

    dark: list[Pixels]
    bright: list[Pixels]
    reference: Pixels


def load_brackets(pairs: Sequence[PairFiles]) -> list[Bracket]:
    """Load pairs, of which those with the same reference make one bracket. Larger ones are reduced to its size."""
    from tqdm import tqdm

    files: dict[Path, list[PairFiles]] = {}
    for pair in pairs:
        if pair.reference is not None:
            files.setdefault(pair.reference, []).append(pair)

    def read(reference: Path, members: Sequence[PairFiles]) -> Bracket:
        target = to_uint8(load(reference, sandbox=sandbox).photo)
        loaded = [load_pair(pair.under, pair.over, sandbox=sandbox).frames for pair in members]
        dark, bright = ([_sized(to_uint8(photo), target) for photo in side] for side in zip(*loaded, strict=True))
        return Bracket(dark, bright, target)

    with Sandbox() as sandbox, ThreadPoolExecutor(2) as pool:
        made = pool.map(read, files, files.values())
        return list(tqdm(made, total=len(files), desc="reading", unit="scene", leave=False))


def _sized(picture: Pixels, like: Pixels) -> Pixels:
    if picture.shape == like.shape:
        return picture
    return np.asarray(cv2.resize(picture, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


class ReferenceCrops:
    """Random crops of brackets that are held in memory. Seed, step and position in the batch decide each crop."""

    def __init__(self, pairs: Sequence[PairFiles], side: int, seed: int) -> None:
        self.side = side
        self.seed = seed
        self.brackets = load_brackets(pairs)

    def batch(self, step: int, positions: Iterable[int]) -> tuple[tuple[Tensor, ...], Tensor]:
        """The exposures, from dark to bright, and the references, (positions, 3, side, side) each, from 0 to 1."""
        count = int(np.random.default_rng((self.seed, step)).choice(_COUNTS[0], p=_COUNTS[1]))
        crops = [self._crop(count, np.random.default_rng((self.seed, step, position))) for position in positions]
        *exposures, reference = (
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255 for pictures in zip(*crops, strict=True)
        )
        return tuple(exposures), reference

    def _crop(self, count: int, rng: np.random.Generator) -> list[Pixels]:
        """`count` exposures and the reference."""
        fitting = [bracket for bracket in self.brackets if 2 * len(bracket.dark) >= count]
        bracket = fitting[int(rng.integers(len(fitting)))]
        view = _view(bracket.reference, self.side, rng)
        exposures, reference = [view(photo) for photo in _chosen(bracket, count, rng)], view(bracket.reference)
        special = rng.uniform()
        if special < 0.06:  # nothing to fuse: the photograph that shows something is what should come back
            reference = exposures[int(rng.integers(count))]
            exposures = [reference] * count
            if special < 0.02:
                exposures = [np.zeros_like(reference), *exposures[1:]]
            elif special < 0.03:
                exposures = [*exposures[:-1], np.full_like(reference, 255)]
        elif special > 0.97:
            exposures, reference = [_grey(photo) for photo in exposures], _grey(reference)
        if rng.uniform() < 0.5:
            tone = _tone(rng, 0.07, 0.03 if special <= 0.97 else 0, 0)
            exposures, reference = [tone(photo) for photo in exposures], tone(reference)
        exposures = [_spoilt(photo, rng) for photo in exposures]
        return [*exposures, reference]


def _chosen(bracket: Bracket, count: int, rng: np.random.Generator) -> list[Pixels]:
    """`count` exposures of a bracket, from dark to bright, with at least one of each half."""
    dark, bright = list(rng.permutation(len(bracket.dark))), list(rng.permutation(len(bracket.bright)))
    first, last = bracket.dark[dark.pop()], bracket.bright[bright.pop()]
    others = [*(bracket.dark[k] for k in dark), *(bracket.bright[k] for k in bright)]
    between = [others[k] for k in rng.permutation(len(others))[: count - 2]]
    return sorted([first, last, *between], key=lambda photo: float(photo.mean()))


def _grey(photo: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _view(picture: Pixels, side: int, rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    """A part of a picture with at least 60 percent of each side, or all of it, as a square, turned and mirrored."""
    height, width = picture.shape[:2]
    shares = rng.uniform(0.6, 1, 2) if rng.uniform() < 0.6 else np.ones(2)
    h, w = (max(1, round(share * length)) for share, length in zip(shares, (height, width), strict=True))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    turns, flip = int(rng.integers(4)), rng.integers(2)

    def view(photo: Pixels) -> Pixels:
        part = photo[top : top + h, left : left + w]
        method = cv2.INTER_AREA if min(h, w) >= side else cv2.INTER_LINEAR
        part = np.rot90(np.asarray(cv2.resize(part, (side, side), interpolation=method), np.uint8), turns)
        return np.ascontiguousarray(part[:, ::-1] if flip else part)

    return view


def _tone(rng: np.random.Generator, gamma: float, balance: float, contrast: float) -> Callable[[Pixels], Pixels]:
    """A random response: gamma, white balance and an S-curve, each with this standard deviation."""
    exponent, bend = np.exp(rng.normal(0, gamma)), float(np.clip(rng.normal(0, contrast), -0.5, 0.5))
    factors = np.exp(rng.normal(0, balance, 3))
    values = np.linspace(0, 1, 256)[:, None] ** (exponent * np.ones(3))
    values = (values + bend * (values**2 * (3 - 2 * values) - values)) * factors
    table = np.round(255 * values.clip(0, 1)).astype(np.uint8)[None]
    return lambda photo: np.asarray(cv2.LUT(photo, table), np.uint8)


def _spoilt(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """A photograph with another response, shifted by less than a pixel, with noise, and through JPEG: each at times."""
    kind = rng.uniform()
    if kind < 0.35:
        photo = _tone(rng, 0.04, 0.03, 0.1)(photo)
    elif kind < 0.42:
        photo = _tone(rng, 0.1, 0.08, 0.2)(photo)
    if rng.uniform() < 0.15:
        right, down = rng.uniform(-0.5, 0.5, 2)
        shift = np.array([[1, 0, right], [0, 1, down]])
        moved = cv2.warpAffine(photo, shift, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
        photo = np.asarray(moved, np.uint8)
    if rng.uniform() < 0.3:
        noise = rng.standard_normal(photo.shape, np.float32) * (255 * rng.uniform(0.002, 0.012))
        photo = np.round(photo + noise).clip(0, 255).astype(np.uint8)
    if rng.uniform() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        blob = cv2.imencode(".jpg", photo[..., ::-1], quality)[1]
        photo = np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return photo


def whole(pairs: Sequence[PairFiles], side: int) -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
    """Every pair, darkest first, and its reference, (1, 3, h, w) each, with a longest side of at most `side`."""

    def sized(picture: Pixels) -> Tensor:
        scale = min(1.0, side / max(picture.shape[:2]))
        if scale < 1:
            size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        return torch.from_numpy(picture).permute(2, 0, 1)[None] / 255

    return [
        ((sized(under), sized(over)), sized(bracket.reference))
        for bracket in load_brackets(pairs)
        for under, over in zip(bracket.dark, bracket.bright, strict=True)
    ]
