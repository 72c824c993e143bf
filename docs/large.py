"""How long large files of phones and cameras take to the first tiles of the page, and how much memory.

    python -m docs.large heic examples/courtyard      # two HEIC files; needs the program heif-enc (libheif-examples)
    python -m docs.large raw examples/courtyard       # three DNG files; needs rawpy and tifffile

An example is enlarged to 24 megapixels; of RAW files, the third exposure is the mean of both. Then the page's own
steps are timed, after its warm-up: first what reading, aligning and looking for ghosts take by themselves, then when
each tile is there. Memory is the process's peak.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from fusion.align import registered
from fusion.ghost import find_ghosts
from fusion.image import Photo, load, load_pair, save
from fusion.page.gallery import follow
from fusion.pipeline import compare, method, warm_up

SIZE = 4000, 6000
METHODS = ("pyramef", "mertens")
"""The page's first ticked one, and the classic."""

_T = TypeVar("_T")


def main(kind: str, example: Path) -> None:
    """Print the seconds and the memory."""
    with tempfile.TemporaryDirectory() as place:
        files = {"heic": _heic, "raw": _raw}[kind](_enlarged(example), Path(place))
        warm_up("cpu")
        _time_the_start(files)
        start, shown = time.perf_counter(), set[str]()
        events = compare(files[0], files[1], METHODS, more=files[2:], device="cpu")
        for run in follow(events, [method(name) for name in METHODS], Path(place) / "cache"):
            for tile in run.finished:
                if tile.name not in shown:
                    shown.add(tile.name)
                    print(f"{time.perf_counter() - start:7.2f} s  the tile {tile.name} is there")
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 10):7.0f} MB at most")


def _time_the_start(files: Sequence[Path]) -> None:
    pair = _timed("reading", partial(load_pair, *files))
    pair = _timed("aligning", partial(registered, pair)).pair
    _timed("looking for ghosts", partial(find_ghosts, pair))


def _timed(what: str, work: Callable[[], _T]) -> _T:
    start = time.perf_counter()
    result = work()
    print(f"{time.perf_counter() - start:7.2f} s  {what}")
    return result


def _enlarged(example: Path) -> list[Photo]:
    photos = (load(next(example.glob(f"{which}.*"))).photo for which in ("under", "over"))
    return [F.interpolate(photo[None], SIZE, mode="bicubic")[0].clamp(0, 1) for photo in photos]


def _heic(photos: Sequence[Photo], place: Path) -> list[Path]:
    files = [place / f"{index}.heic" for index in range(len(photos))]
    for photo, file in zip(photos, files, strict=True):
        save(photo, file.with_suffix(".png"))
        command = ["heif-enc", "-q", "80", str(file.with_suffix(".png")), "-o", str(file)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return files


def _raw(photos: Sequence[Photo], place: Path) -> list[Path]:
    under, over = photos
    files: list[Path] = []
    for index, photo in enumerate((under, (under + over) / 2, over)):
        files.append(place / f"{index}.dng")
        files[-1].write_bytes(negative(bayer(photo)))
    return files


def bayer(photo: Photo) -> NDArray[np.float32]:
    """The light behind a sensor's filters: red at the upper left of every four pixels."""
    light = torch.where(photo <= 0.04045, photo / 12.92, ((photo + 0.055) / 1.055) ** 2.4).numpy()
    bayer = light[1].copy()
    bayer[::2, ::2], bayer[1::2, 1::2] = light[0, ::2, ::2], light[2, 1::2, 1::2]
    return bayer


def negative(light: NDArray[np.floating[Any]]) -> bytes:
    """A DNG of the light behind a sensor's filters (H, W), 0 to 1: 16 bits, white balanced, sRGB's primaries."""
    to_camera = [3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570]
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Test", True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50717, "I", 1, 65535, True),
        (50721, "2i", 9, [number for value in to_camera for number in (round(value * 10000), 10000)], True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    data = io.BytesIO()
    levels = (light * 65535).round().astype(np.uint16)
    tifffile.imwrite(data, levels, photometric="cfa", extratags=tags, metadata=None)
    return data.getvalue()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
