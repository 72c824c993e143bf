"""Folders of exposure pairs, and random crops of them.

Each scene has a folder, and its files are `under.*` and `over.*`, with `reference.*` where there is one, or `*_A.*`,
`*_B.*` and `*_GT.*` in MEFB's way. Upper and lower case are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import DatasetError
from fusion.io.image import load_pair, to_uint8
from fusion.io.sandbox import Sandbox

Pixels = NDArray[np.uint8]

LAYOUT = "<scene>/under.* and over.*, or <scene>/*_A.* and *_B.*"
ORIGINS = (
    "MEFB is at github.com/xingchenzhang/MEFB (Zhang, Information Fusion 2021), "
    "SICE at github.com/csjcai/SICE (Cai, Gu and Zhang, TIP 2018)."
)
"""Where the datasets that papers use come from."""


@dataclass(frozen=True)
class PairFiles:
    """The files of one scene."""

    scene: str
    under: Path
    over: Path
    reference: Path | None = None
    """A picture of what a good fusion looks like, where the dataset has one."""


def find_pairs(folder: Path) -> list[PairFiles]:
    """The pair of every scene in `folder`, sorted by name.

    A scene's files are named as at the top of this file; folders without any such file are left out. MEFB is at
    github.com/xingchenzhang/MEFB, SICE at github.com/csjcai/SICE. Raises `DatasetError` where there is no scene, and
    where a scene is not exactly one pair.

    >>> [pair.scene for pair in find_pairs(Path("examples"))][:3]
    ['candleglass', 'courtyard', 'desk']
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Give a folder of pairs: {LAYOUT}.")
    pairs: list[PairFiles] = []
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(file for file in scene.iterdir() if not file.name.startswith("."))  # as macOS leaves beside each
        under, over, reference = ([f for f in files if _is(f, *names)] for names in _NAMES)
        if not under and not over:
            continue
        if len(under) != 1 or len(over) != 1:
            raise DatasetError(
                f"scene {scene.name} has {len(under)} pictures called under or *_A and {len(over)} called over or *_B; "
                "it needs one each."
            )
        pairs.append(PairFiles(scene.name, under[0], over[0], reference[0] if reference else None))
    if not pairs:
        raise DatasetError(f"no pairs were found in {folder}; they must be called {LAYOUT}. {ORIGINS}")
    return pairs


_NAMES = (("under", "_A"), ("over", "_B"), ("reference", "_GT"))
"""Whole names, and ends of names, of the pictures of a scene."""


def _is(file: Path, name: str, end: str) -> bool:
    return file.stem.lower() == name or file.stem.upper().endswith(end)


def split(pairs: Sequence[PairFiles], every: int = 40) -> tuple[list[PairFiles], list[PairFiles]]:
    """Split the pairs into those to train on and those to validate on.

    One scene in `every` is held out, at least one in all, together with its moderate twin (`-mod`). Raises
    `DatasetError` for a single scene.

    >>> fit, held_out = split([PairFiles(f"scene{i:02}", Path(), Path()) for i in range(80)])
    >>> len(fit), [pair.scene for pair in held_out]
    (78, ['scene20', 'scene60'])
    """
    scenes = sorted({_scene(pair) for pair in pairs})
    if len(scenes) < 2:
        raise DatasetError("there is only one scene; training needs two, one of them to validate on.")
    held_out = set(scenes[every // 2 :: every] or scenes[-1:])
    return [p for p in pairs if _scene(p) not in held_out], [p for p in pairs if _scene(p) in held_out]


def _scene(pair: PairFiles) -> str:
    return pair.scene.removesuffix("-mod")


class Crops:
    """Random square crops of pairs that are held in memory. Seed, step and position in the batch decide each crop."""

    def __init__(self, pairs: Sequence[PairFiles], side: int, zoom: float, seed: int) -> None:
        self.pairs = list(pairs)
        self.side = side
        self.zoom = zoom
        self.seed = seed
        self.pictures = _load(self.pairs)
        weights = np.array([_weight(pair.scene) for pair in self.pairs])
        self.chances = weights / weights.sum()

    def batch(self, step: int, positions: Iterable[int]) -> tuple[list[int], Tensor, Tensor]:
        """The numbers of the pairs at these positions of the step's batch, and their `under` and `over` crops.

        Crops are (positions, 3, side, side), from 0 to 1.
        """
        rngs = [np.random.default_rng((self.seed, step, position)) for position in positions]
        chosen = [int(rng.choice(len(self.pairs), p=self.chances)) for rng in rngs]
        return chosen, *_stack([self._crop(*self.pictures[i], rng) for i, rng in zip(chosen, rngs, strict=True)])

    def _crop(self, under: Pixels, over: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        import cv2

        height, width = under.shape[:2]
        side = self.side * rng.uniform(1, self.zoom)
        # Square pictures of the usual collections were squashed. A random aspect ratio undoes this bias.
        aspect = np.sqrt(rng.uniform(0.67, 1.5)) if height == width else 1.0
        h, w = min(height, round(side * aspect)), min(width, round(side / aspect))
        if aspect == 1.0:
            h = w = min(h, w)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        turns, flip = rng.integers(4), rng.integers(2)

        def view(picture: Pixels) -> Pixels:
            crop = picture[top : top + h, left : left + w]
            if (h, w) != (self.side, self.side):
                method = cv2.INTER_AREA if min(h, w) >= self.side else cv2.INTER_LINEAR
                crop = np.asarray(cv2.resize(crop, (self.side, self.side), interpolation=method), np.uint8)
            crop = np.rot90(crop, int(turns))
            return crop[:, ::-1] if flip else crop

        return view(under), view(over)


def centres(pairs: Sequence[PairFiles], side: int) -> tuple[Tensor, Tensor]:
    """The middle square of every pair at `side` x `side` pixels: `under` and `over`, (pairs, 3, side, side) each."""
    import cv2

    def middle(picture: Pixels) -> Pixels:
        h, w = picture.shape[:2]
        s = min(h, w)
        crop = picture[(h - s) // 2 : (h + s) // 2, (w - s) // 2 : (w + s) // 2]
        return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)

    return _stack([(middle(under), middle(over)) for under, over in _load(pairs)])


def _load(pairs: Sequence[PairFiles]) -> list[tuple[Pixels, Pixels]]:
    from tqdm import tqdm

    def read(files: PairFiles) -> tuple[Pixels, Pixels]:
        pair = load_pair(files.under, files.over, sandbox=sandbox)
        return to_uint8(pair.under), to_uint8(pair.over)

    with Sandbox() as sandbox, ThreadPoolExecutor(2) as pool:  # decoding does not hold the interpreter's lock
        return list(tqdm(pool.map(read, pairs), total=len(pairs), desc="reading", unit="pair", leave=False))


def _stack(crops: Sequence[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    under, over = (
        torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255 for pictures in zip(*crops, strict=True)
    )
    return under, over


def _weight(scene: str) -> float:
    """Return how often a scene is drawn. Moderate pairs count half, as do views of HDR panoramas, which are soft."""
    return (0.5 if scene.endswith("-mod") else 1.0) * (0.5 if scene.startswith("hdr_pano") else 1.0)
