"""Photographs in memory: how they are read from files, checked, ordered by brightness, and saved."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
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
from fusion.io.colour_space import Gamut, from_srgb_to_display_p3
from fusion.io.decode import MAX_BYTES, MIN_SIDE, out_of_memory, upright
from fusion.io.encode import encode, filtered_exif
from fusion.io.files import write_atomically
from fusion.io.sandbox import MAX_DECODERS, Sandbox

Photo: TypeAlias = Tensor
"""A float32 tensor (3, H, W), sRGB-encoded, with values from 0 to 1, upright."""

Mask: TypeAlias = Tensor
"""A bool tensor (H, W)."""

Bits: TypeAlias = Literal[8, 16]
"""Bits of each channel of a saved picture."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
"""Words for the exposures of one scene in sentences; there may be as many exposures as words."""


@dataclass(frozen=True, eq=False)
class Metadata:
    """The data that a file held besides its pixels, unchanged, so that it can be written into a result."""

    exif: bytes = b""
    """The camera data (Exif)."""
    profile: bytes = b""
    """The colour profile (ICC) of the file. The pixels of a `Photo` have been converted to sRGB."""


@dataclass(frozen=True, eq=False)
class LoadedPhoto:
    """A photograph that was read from one file."""

    photo: Photo
    bits: int
    """16 if the file holds more than 8 bits a channel, else 8."""
    notes: tuple[str, ...]
    """Sentences for the user that say what was changed when the file was read."""
    metadata: Metadata = Metadata()
    opaque: Mask | None = None
    """Where the photograph is not transparent; None where it is opaque everywhere."""
    orientation: int = 1
    """The Exif orientation, 1 to 8, by which the photograph was made upright."""
    gamut: Gamut = "srgb"
    """Whether the photograph is in sRGB or in Display P3."""
    saturation: int = 0
    """The sensor's level that became white, where the file is camera RAW; else 0."""


@dataclass(frozen=True, eq=False)
class ExposurePair:
    """Two or more exposures of one scene, all of the same size. `under` is the darkest and `over` the brightest."""

    under: Photo
    over: Photo
    bits: int = 8
    """16 if a source holds more than 8 bits a channel, else 8."""
    notes: tuple[str, ...] = ()
    """Sentences for the user that say what was changed: order, transparency, profile, orientation."""
    between: tuple[Photo, ...] = ()
    """Further exposures, from dark to bright."""
    metadata: Metadata = Metadata()
    """The metadata of the exposure in the middle, or of the darker one of two."""
    masks: tuple[Mask | None, ...] = ()
    """Where each exposure is not transparent, from dark to bright; empty if all are opaque everywhere."""
    gamut: Gamut = "srgb"
    """Whether the exposures are in sRGB or in Display P3."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.under.shape[-2], self.under.shape[-1]

    @property
    def frames(self) -> tuple[Photo, ...]:
        """All exposures, from dark to bright."""
        return self.under, *self.between, self.over


def load_pair(*files: str | PathLike[str], sandbox: Sandbox | None = None, gamut: Gamut = "srgb") -> ExposurePair:
    """Read two to nine files, given in any order, as the exposures of one scene, ordered by brightness.

    The files are decoded in processes of `sandbox`, or of one that is opened for this call. With the `gamut`
    "display-p3", all are in Display P3 if one of them has colours beyond sRGB; a note says if none has. Raises
    `ImageError` where `load` does, for another number of files, and for two that differ in size, are identical, or are
    equally bright.

    >>> load_pair("examples/desk/over.png", "examples/desk/under.png").size
    (874, 644)
    """
    check_count(len(files))
    with ThreadPoolExecutor(MAX_DECODERS) as pool, _opened(sandbox) as opened:

        def read(at: int, saturation: int = 0) -> LoadedPhoto:
            name = f"The {ORDINALS[at]} picture"
            return load(files[at], name, sandbox=opened, gamut=gamut, saturation=saturation)

        pictures = list(pool.map(read, range(len(files))))
        # One sensor has one level of saturation, which only exposures that are bright enough show.
        level = min((one.saturation for one in pictures if one.saturation), default=0)
        others = [at for at, one in enumerate(pictures) if one.saturation not in (0, level)]
        for at, one in zip(others, pool.map(partial(read, saturation=level), others), strict=True):
            pictures[at] = one
    pair = _ordered(turned_alike(_in_one_gamut(pictures)))
    if gamut != pair.gamut:
        pair = replace(pair, notes=(*pair.notes, "No exposure has colours beyond sRGB, so the result is in sRGB."))
    return pair


def _in_one_gamut(pictures: Sequence[LoadedPhoto]) -> list[LoadedPhoto]:
    """The pictures, all in Display P3 if one of them is."""

    def converted(one: LoadedPhoto) -> LoadedPhoto:
        pixels = from_srgb_to_display_p3(one.photo.permute(1, 2, 0).numpy())
        return replace(one, photo=torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), gamut="display-p3")

    wide = any(one.gamut == "display-p3" for one in pictures)
    return [converted(one) if wide and one.gamut == "srgb" else one for one in pictures]


def as_pair(*pictures: Photo | NDArray[Any]) -> ExposurePair:
    """Take two to nine pictures in memory, in any order, as the exposures of one scene, ordered by brightness.

    A picture is a float tensor (3, H, W) from 0 to 1, or an array (H, W, 3) of uint8 or uint16. Raises `ImageError` for
    other shapes and types, values outside 0 to 1, sides below 16 pixels, another number of pictures, and two that
    differ in size, are identical, or are equally bright.

    >>> pair = as_pair(torch.full((3, 20, 30), 0.8), torch.full((3, 20, 30), 0.2))
    >>> bool(pair.under.mean() < pair.over.mean()), pair.size
    (True, (20, 30))
    """
    check_count(len(pictures))
    names = (f"The {ordinal} picture" for ordinal in ORDINALS)
    return _ordered([_in_memory(picture, name) for picture, name in zip(pictures, names, strict=False)])


def check_count(count: int) -> None:
    """Raise `ImageError` unless there are two to nine exposures."""
    if not 2 <= count <= len(ORDINALS):
        given = "1 picture was" if count == 1 else f"{count} pictures were"
        raise ImageError(f"{given} given; choose two to nine exposures of one scene.")


def _ordered(pictures: Sequence[LoadedPhoto]) -> ExposurePair:
    """Order pictures by brightness and collect their notes. Raises `ImageError` if they cannot be used together."""
    sizes = list(dict.fromkeys(f"{one.photo.shape[-1]}×{one.photo.shape[-2]}" for one in pictures))
    pair = len(pictures) == 2
    if len(sizes) > 1:
        which = "two pictures" if pair else "pictures"
        raise ImageError(f"The {which} differ in size ({' and '.join(sizes)}); choose {which} of the same size.")
    shared = _opaque_in_all(pictures)
    brightness = [float(luma(one.photo)[0][shared].mean()) for one in pictures]
    order = sorted(range(len(pictures)), key=brightness.__getitem__)
    alike: list[str] = []
    for darker, brighter in pairwise(order):
        first, second = sorted((darker, brighter))
        both = "The two pictures" if pair else f"The {ORDINALS[first]} and the {ORDINALS[second]} picture"
        equal = torch.equal(pictures[darker].photo, pictures[brighter].photo)
        if equal or brightness[brighter] - brightness[darker] < 0.5 / 255:
            what = f"{both} are {'identical' if equal else 'equally bright'}"
            if brightness[order[-1]] - brightness[order[0]] < 0.5 / 255:
                raise ImageError(f"{what}; choose a darker and a brighter picture of one scene.")
            alike.append(f"{what}; both are used.")
    notes = [*(note for one in pictures for note in one.notes), *alike]
    if pair and order == [1, 0]:
        notes.insert(0, "The first picture is brighter than the second, so it was used as the over-exposed one.")
    if len(pictures) > 2:
        notes.append(f"Metrics compare the result with the darkest and the brightest of the {len(pictures)} exposures.")
    under, *between, over = (pictures[index].photo for index in order)
    bits, middle = max(one.bits for one in pictures), pictures[order[(len(order) - 1) // 2]]
    masks = tuple(pictures[index].opaque for index in order)
    return ExposurePair(
        under,
        over,
        bits,
        tuple(notes),
        tuple(between),
        middle.metadata,
        masks if any(mask is not None for mask in masks) else (),
        pictures[0].gamut,
    )


def _opaque_in_all(pictures: Sequence[LoadedPhoto]) -> Mask:
    """Where no picture is transparent; everywhere if they have no such place in common."""
    everywhere = torch.ones(pictures[0].photo.shape[1:], dtype=torch.bool)
    shared = everywhere.clone()
    for one in pictures:
        shared &= everywhere if one.opaque is None else one.opaque
    return shared if bool(shared.any()) else everywhere


def turned_alike(pictures: Sequence[LoadedPhoto]) -> list[LoadedPhoto]:
    """Turn pictures of one bracket alike if the camera wrote another Exif orientation into some of them.

    A camera that points up or down may change its mind about its attitude during a bracket. The pictures agree as they
    are stored then, and the orientation of most of them, or of the first one of two, is taken for all; a note says so.
    Pictures that agree as they are upright, since some were turned by a program, stay as they are.
    """
    turns = [one.orientation for one in pictures]
    if len(set(turns)) == 1:
        return list(pictures)
    stored = [_turned(one, _INVERSE[one.orientation]) for one in pictures]
    if _likeness(stored) <= _likeness(pictures):
        return list(pictures)
    chosen = max(turns, key=turns.count)  # the first one of equally frequent ones
    result: list[LoadedPhoto] = []
    for ordinal, one, raw in zip(ORDINALS, pictures, stored, strict=False):
        if one.orientation == chosen:
            result.append(one)
            continue
        note = f"The {ordinal} picture has another Exif orientation than the others; it was turned as they are."
        notes = *(said for said in one.notes if "Exif orientation" not in said), note
        result.append(replace(_turned(raw, chosen), notes=notes, orientation=chosen))
    return result


_INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""The orientation that undoes each Exif orientation."""


def _turned(one: LoadedPhoto, orientation: int) -> LoadedPhoto:
    """Turn and mirror a picture as an Exif orientation, 1 to 8, demands."""
    photo = torch.from_numpy(np.ascontiguousarray(upright(one.photo.permute(1, 2, 0).numpy(), orientation)))
    opaque = one.opaque
    if opaque is not None:
        opaque = torch.from_numpy(np.ascontiguousarray(upright(opaque.numpy(), orientation)))
    return replace(one, photo=photo.permute(2, 0, 1).contiguous(), opaque=opaque)


def _likeness(pictures: Sequence[LoadedPhoto]) -> float:
    """How alike pictures are: the mean rank correlation of small copies, or -1 if they differ in size."""
    if len({one.photo.shape for one in pictures}) > 1:
        return -1.0
    small = [torch.nn.functional.adaptive_avg_pool2d(luma(one.photo)[None], 24).flatten() for one in pictures]
    ranks = torch.stack([copy.argsort().argsort().float() for copy in small])
    return float(torch.corrcoef(ranks).mean())


def _in_memory(picture: Photo | NDArray[Any], name: str) -> LoadedPhoto:
    """Check a picture in memory and convert it to a `Photo`; `name` begins the sentences about it."""
    if isinstance(picture, np.ndarray):
        if picture.dtype.name not in {"uint8", "uint16"} or picture.ndim != 3 or picture.shape[2] != 3:
            raise ImageError(f"{name} must be (H, W, 3) of uint8 or uint16, or a float tensor (3, H, W).")
        bits = 8 * picture.dtype.itemsize
        photo = _photo(picture, bits)
    else:
        if picture.ndim != 3 or len(picture) != 3 or not picture.is_floating_point():
            raise ImageError(f"{name} must be a float tensor (3, H, W), or (H, W, 3) of uint8 or uint16.")
        photo, bits = picture.detach().float().cpu(), 8
        if not (float(photo.min()) >= 0 and float(photo.max()) <= 1):  # so that NaN is refused too
            raise ImageError(f"{name} has values outside 0 to 1; scale it first.")
    if min(photo.shape[1:]) < MIN_SIDE:
        raise ImageError(f"{name} is too small; each side needs at least {MIN_SIDE} pixels.")
    return LoadedPhoto(photo, bits, ())


def load(
    path: str | PathLike[str],
    name: str = "The picture",
    *,
    sandbox: Sandbox | None = None,
    gamut: Gamut = "srgb",
    saturation: int = 0,
) -> LoadedPhoto:
    """Read a file of any format that `fusion.io.decode` lists; `name` begins the sentences about it.

    Values v become v / 255, or v / (2^bits - 1) for more bits. The file is decoded in a process of `sandbox`; if none
    is given, one is opened for this file, which takes a fifth of a second. With the `gamut` "display-p3", a file with
    colours beyond sRGB is converted to Display P3. In camera RAW, the sensor's level `saturation` becomes white; 0
    leaves it to the file. Raises `ImageError` with a `Refusal` as its code, and nothing else, for a file that cannot be
    used.

    >>> loaded = load("examples/desk/under.png")
    >>> loaded.photo.shape, loaded.bits
    (torch.Size([3, 874, 644]), 8)
    """
    data = _read(Path(path), name)
    with _opened(sandbox) as opened:
        file = opened.decode(data, name, gamut, saturation)
    try:
        photo = _photo(file.pixels, file.bits)
        if file.table is not None:
            converted = icc.apply_table(file.table, photo.permute(1, 2, 0).numpy())
            photo = _photo(converted, 32)
    except MemoryError as error:
        raise out_of_memory(name) from error
    bits = 16 if file.bits > 8 else 8
    opaque = None if file.opaque is None else torch.from_numpy(file.opaque)
    metadata = Metadata(file.exif, file.profile)
    return LoadedPhoto(photo, bits, tuple(file.notes), metadata, opaque, file.orientation, file.gamut, file.saturation)


def _opened(sandbox: Sandbox | None) -> Sandbox | nullcontext[Sandbox]:
    """`sandbox` itself, or a new one that the `with` statement closes."""
    return nullcontext(sandbox) if sandbox else Sandbox()


def _read(path: Path, name: str) -> bytes:
    """The bytes of a file that is not too large."""
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
    """Convert pixels (H, W) or (H, W, 3), integers of `bits` bits or float32 from 0 to 1, to a photograph."""
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
    metadata: Metadata | None = None,
    keep_location: bool = False,
    gamut: Gamut = "srgb",
) -> None:
    """Save a photograph (3, H, W) from 0 to 1, or its pixels (H, W, 3) of uint8, as a PNG, TIFF or JPEG file.

    The ending of `path` decides the format. Values are clamped to 0 ... 1 and rounded to `bits` bits, 8 or 16;
    `quality`, 0 to 100, matters for JPEG alone. With `metadata`, the file has the colour profile of its photograph and
    says how it was taken, with `keep_location` also where; without, it is sRGB and has no metadata. A photograph whose
    `gamut` is Display P3 always has the profile of that. The file is written
    whole or not at all. Raises `ImageError` for another ending, for a JPEG of 16 bits, and if the file cannot be
    written; its folder must exist.
    """
    path = Path(path)
    ending = path.suffix.lower()
    data = encoded(
        photo, ending, bits=bits, quality=quality, metadata=metadata, keep_location=keep_location, gamut=gamut
    )
    write_picture(data, path)


def encoded(
    photo: Photo | NDArray[np.uint8],
    ending: str,
    *,
    bits: int = 8,
    quality: int = 95,
    metadata: Metadata | None = None,
    keep_location: bool = False,
    gamut: Gamut = "srgb",
) -> bytes:
    """The bytes of the file that `save` writes under a name with this ending."""
    exif = profile = b""
    if metadata:
        exif = filtered_exif(metadata.exif, keep_location=keep_location)
        if gamut == "srgb":
            photo, profile = _in_profile(photo, metadata.profile)
    if gamut == "display-p3":
        profile = icc.display_p3()
    pixels = photo if isinstance(photo, np.ndarray) else {8: to_uint8, 16: _to_uint16}[bits](photo)
    return encode(pixels, ending, quality=quality, exif=exif, profile=profile)


def _in_profile(photo: Photo | NDArray[np.uint8], profile: bytes) -> tuple[Photo | NDArray[np.uint8], bytes]:
    """Convert a photograph from sRGB to an RGB profile. For another profile, return the same photograph and none."""
    if not profile:
        return photo, b""
    pixels = np.float32(photo) / 255 if isinstance(photo, np.ndarray) else photo.permute(1, 2, 0).numpy()
    try:
        converted = icc.from_srgb(profile).convert_floats(pixels)
    except ValueError:
        return photo, b""
    return torch.from_numpy(converted).permute(2, 0, 1), profile


def save_preview(photo: Photo | NDArray[np.uint8], path: str | PathLike[str], side: int = 1600) -> None:
    """Save a `preview` as a JPEG file, whatever its ending. Raises `ImageError` if it cannot be written."""
    write_picture(preview(photo, side), Path(path))


def preview(photo: Photo | NDArray[np.uint8], side: int, quality: int = 92) -> bytes:
    """Encode a photograph (3, H, W), or its pixels (H, W, 3) of uint8, as a JPEG of at most `side` pixels a side.

    >>> preview(torch.rand(3, 60, 90), side=30)[:3]
    b'\\xff\\xd8\\xff'
    """
    import cv2

    pixels = photo if isinstance(photo, np.ndarray) else to_uint8(photo)
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        reduced = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, reduced, interpolation=cv2.INTER_AREA)
    # A WebP would be smaller, but encoding it takes much longer.
    return encode(pixels, ".jpg", quality=quality)


def to_uint8(photo: Photo) -> NDArray[np.uint8]:
    """Convert a photograph (3, H, W) from 0 to 1 to pixels (H, W, 3), rounded to 0 ... 255.

    >>> to_uint8(torch.full((3, 1, 1), 0.5)).tolist()
    [[[128, 128, 128]]]
    """
    pixels = torch.empty(*photo.shape[1:], len(photo), dtype=torch.uint8)
    for channel, plane in enumerate(photo.detach()):  # one at a time, since all three would not stay in the cache
        pixels[..., channel] = plane.clamp(0, 1).mul_(255).round_()
    return pixels.numpy()


def _to_uint16(photo: Photo) -> NDArray[np.uint16]:
    """Convert a photograph (3, H, W) from 0 to 1 to pixels (H, W, 3), rounded to 0 ... 65535."""
    pixels = (photo.detach().clamp(0, 1) * 65535).round()
    return pixels.permute(1, 2, 0).cpu().numpy().astype(np.uint16, order="C")


def write_picture(data: bytes, path: Path) -> None:
    """Write the bytes of a picture, whole or not at all. Raises `ImageError` if they cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError("The picture cannot be saved; check that its folder exists and has room.") from error
