"""Photographs: what they are, how they come out of files and go back into them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import ImageError, Refusal
from fusion.io import icc
from fusion.io.colour import luma
from fusion.io.decode import MAX_BYTES, MIN_SIDE, out_of_memory
from fusion.io.encode import encode, kept_exif
from fusion.io.files import write_atomically
from fusion.io.sandbox import CHILDREN, Sandbox

Photo: TypeAlias = Tensor
"""float32 (3, H, W), sRGB-encoded, 0 to 1, upright."""

Bits: TypeAlias = Literal[8, 16]
"""Bits of each channel of a saved picture."""

NAMES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
"""What sentences call the exposures of one scene: as many as there may be."""


@dataclass(frozen=True, eq=False)
class Origin:
    """What a file said beside its pixels, as it stood there: to be handed on where that is asked for."""

    exif: bytes = b""
    profile: bytes = b""
    """The colour profile (ICC); pixels have left it for sRGB."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One file, decoded."""

    photo: Photo
    bits: int
    """16 where the file holds more than 8 bits a channel, else 8."""
    notes: tuple[str, ...]
    """Sentences for the visitor: what was changed on the way in."""
    origin: Origin = Origin()


@dataclass(frozen=True, eq=False)
class ExposurePair:
    """Photographs of one scene, of equal size; `under` is the darkest and `over` the brightest, in whatever order they
    came. Mostly there are two."""

    under: Photo
    over: Photo
    bits: int = 8
    """16 where a source holds more than 8 bits a channel, else 8."""
    notes: tuple[str, ...] = ()
    """Sentences for the visitor: what was changed on the way in (order, alpha, profile, orientation)."""
    between: tuple[Photo, ...] = ()
    """Further exposures, from dark to bright."""
    origin: Origin = Origin()
    """Of the exposure in the middle, or the darker one of two."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.under.shape[-2], self.under.shape[-1]

    @property
    def frames(self) -> tuple[Photo, ...]:
        """All exposures, from dark to bright."""
        return self.under, *self.between, self.over


def load_pair(*files: str | PathLike[str], sandbox: Sandbox | None = None) -> ExposurePair:
    """Read two to nine files as the exposures of one scene, ordered by brightness. `sandbox` is that of `load`.

    Raises ImageError where `load` does, for another number of files, and where two differ in size, are the same, or are
    equally bright.
    """
    check_count(len(files))
    names = (f"The {name} picture" for name in NAMES)
    with ThreadPoolExecutor(CHILDREN) as pool, _opened(sandbox) as opened:
        return _ordered(list(pool.map(partial(load, sandbox=opened), files, names)))


def as_pair(*pictures: Photo | NDArray[Any]) -> ExposurePair:
    """Two to nine pictures in memory as the exposures of one scene: photographs (3, H, W), or pixels (H, W, 3) of uint8
    or uint16.

    Raises ImageError for other shapes and types, values outside 0 to 1, sides below 16 pixels, and where `load_pair`
    does.
    """
    check_count(len(pictures))
    return _ordered([_in_memory(one, f"The {name} picture") for one, name in zip(pictures, NAMES, strict=False)])


def check_count(count: int) -> None:
    """Raise ImageError for a number of exposures that cannot be fused."""
    if not 2 <= count <= len(NAMES):
        raise ImageError(f"{count} pictures were given; choose two to nine exposures of one scene.")


def _ordered(pictures: Sequence[Picture]) -> ExposurePair:
    sizes = list(dict.fromkeys(f"{one.photo.shape[-1]}×{one.photo.shape[-2]}" for one in pictures))
    pair = len(pictures) == 2
    if len(sizes) > 1:
        which = "two pictures" if pair else "pictures"
        raise ImageError(f"The {which} differ in size ({' and '.join(sizes)}); choose {which} of the same size.")
    brightness = [float(luma(one.photo).mean()) for one in pictures]
    order = sorted(range(len(pictures)), key=brightness.__getitem__)
    for darker, brighter in pairwise(order):
        first, second = sorted((darker, brighter))
        both = "The two pictures" if pair else f"The {NAMES[first]} and the {NAMES[second]} picture"
        if torch.equal(pictures[darker].photo, pictures[brighter].photo):
            raise ImageError(f"{both} are identical; choose a darker and a brighter picture of one scene.")
        if brightness[brighter] - brightness[darker] < 0.5 / 255:
            raise ImageError(f"{both} are equally bright; choose a darker and a brighter picture of one scene.")
    notes = [note for one in pictures for note in one.notes]
    if pair and order == [1, 0]:
        notes.insert(0, "The first picture was the brighter one, so it is used as the over-exposed one.")
    if len(pictures) > 2:
        notes.append(f"Metrics are measured against the darkest and the brightest of the {len(pictures)} exposures.")
    under, *between, over = (pictures[index].photo for index in order)
    bits, middle = max(one.bits for one in pictures), pictures[order[(len(order) - 1) // 2]]
    return ExposurePair(under, over, bits, tuple(notes), tuple(between), middle.origin)


def _in_memory(picture: Photo | NDArray[Any], name: str) -> Picture:
    if isinstance(picture, np.ndarray):
        if picture.dtype.name not in {"uint8", "uint16"} or picture.ndim != 3 or picture.shape[2] != 3:
            raise ImageError(f"{name} must be (H, W, 3) of uint8 or uint16, or a float tensor (3, H, W).")
        bits = 8 * picture.dtype.itemsize
        photo = _photo(picture, bits)
    else:
        if picture.ndim != 3 or len(picture) != 3 or not picture.is_floating_point():
            raise ImageError(f"{name} must be a float tensor (3, H, W), or (H, W, 3) of uint8 or uint16.")
        photo, bits = picture.detach().float().cpu(), 8
        if not (float(photo.min()) >= 0 and float(photo.max()) <= 1):  # NaN as well
            raise ImageError(f"{name} has values outside 0 to 1; scale it first.")
    if min(photo.shape[1:]) < MIN_SIDE:
        raise ImageError(f"{name} is too small; each side needs at least {MIN_SIDE} pixels.")
    return Picture(photo, bits, ())


def load(path: str | PathLike[str], name: str = "The picture", *, sandbox: Sandbox | None = None) -> Picture:
    """Read a file of any format of `fusion.io.decode` as a photograph; `name` begins the sentences about it.

    Values are v / 255, or v / (2^bits - 1) for more bits. The file is decoded in a process of `sandbox`; where none is
    given, one is opened for this file, which takes a fifth of a second. Raises ImageError with a `Refusal` as its code,
    and nothing else, for a file that cannot be used.
    """
    data = _read(Path(path), name)
    with _opened(sandbox) as opened:
        file = opened.decode(data, name)
    try:
        photo = _photo(file.pixels, file.bits)
        if file.table is not None:
            converted = icc.looked_up(file.table, photo.permute(1, 2, 0).numpy())
            photo = _photo(converted, 32)
    except MemoryError as error:
        raise out_of_memory(name) from error
    bits = 16 if file.bits > 8 else 8
    return Picture(photo, bits, tuple(file.notes), Origin(file.exif, file.profile))


def _opened(sandbox: Sandbox | None) -> Sandbox | nullcontext[Sandbox]:
    """A sandbox for a `with` statement, which closes it only where it was opened here."""
    return nullcontext(sandbox) if sandbox else Sandbox()


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(f"{name} is a folder; choose a picture file.", Refusal.NOT_READABLE)
        if not path.is_file():
            raise ImageError(f"{name} does not exist; choose it again.", Refusal.NOT_READABLE)
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ImageError(
                f"{name} is a file of {size / 1e6:.1f} MB; make it smaller first: at most {MAX_BYTES // 10**6} MB.",
                Refusal.TOO_MANY_BYTES,
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} cannot be opened; choose it again.", Refusal.NOT_READABLE) from error


def _photo(pixels: NDArray[Any], bits: int) -> Photo:
    """(H, W) or (H, W, 3) of whole numbers of `bits` bits, or of float32 from 0 to 1, as a photograph."""
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, 3))
    values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    if pixels.dtype != np.float32:
        values /= (1 << bits) - 1
    return torch.from_numpy(values)


def save(
    photo: Photo | NDArray[np.uint8],
    path: str | PathLike[str],
    *,
    bits: int = 8,
    quality: int = 95,
    origin: Origin | None = None,
    place: bool = False,
) -> None:
    """A photograph (3, H, W), or its 8-bit pixels (H, W, 3), as PNG or TIFF of 8 or 16 bits or as JPEG, all or none.

    Values are rounded. The kind is told by the path's ending. With `origin`, the file says how its photograph was taken
    (where, with `place` only) and has its colour profile; else it is sRGB without metadata. Raises ImageError for
    another ending, for a JPEG of 16 bits, and where the file cannot be written; folders are not created.
    """
    exif = profile = b""
    if origin:
        exif = kept_exif(origin.exif, place=place)
        photo, profile = _in_profile(photo, origin.profile)
    pixels = photo if isinstance(photo, np.ndarray) else {8: to_uint8, 16: _to_uint16}[bits](photo)
    path = Path(path)
    _write(encode(pixels, path.suffix.lower(), quality=quality, exif=exif, profile=profile), path)


def _in_profile(photo: Photo | NDArray[np.uint8], profile: bytes) -> tuple[Photo | NDArray[np.uint8], bytes]:
    """The photograph as a colour profile's values, and the profile; both as they are where it is not one of RGB."""
    if not profile:
        return photo, b""
    pixels = np.float32(photo) / 255 if isinstance(photo, np.ndarray) else photo.permute(1, 2, 0).numpy()
    try:
        converted = icc.from_srgb(profile).of_floats(pixels)
    except ValueError:
        return photo, b""
    return torch.from_numpy(converted).permute(2, 0, 1), profile


def save_preview(photo: Photo | NDArray[np.uint8], path: str | PathLike[str], side: int = 1600) -> None:
    """`preview` as a file. Raises ImageError where it cannot be written."""
    _write(preview(photo, side), Path(path))


def preview(photo: Photo | NDArray[np.uint8], side: int, quality: int = 92) -> bytes:
    """A photograph (3, H, W), or its pixels (H, W, 3), as JPEG, its longest side reduced to `side` pixels."""
    import cv2

    pixels = photo if isinstance(photo, np.ndarray) else to_uint8(photo)
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        reduced = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, reduced, interpolation=cv2.INTER_AREA)
    # WebP would be smaller, and much slower.
    return encode(pixels, ".jpg", quality=quality)


def to_uint8(photo: Photo) -> NDArray[np.uint8]:
    """(H, W, 3), rounded, not truncated."""
    pixels = torch.empty(*photo.shape[1:], len(photo), dtype=torch.uint8)
    for channel, plane in enumerate(photo.detach()):  # one at a time: the whole would not stay in the cache
        pixels[..., channel] = plane.clamp(0, 1).mul_(255).round_()
    return pixels.numpy()


def _to_uint16(photo: Photo) -> NDArray[np.uint16]:
    """(H, W, 3), rounded, not truncated."""
    pixels = (photo.detach().clamp(0, 1) * 65535).round()
    return pixels.permute(1, 2, 0).cpu().numpy().astype(np.uint16, order="C")


def _write(data: bytes, path: Path) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError("The picture cannot be saved; check that its folder exists and has room.") from error
