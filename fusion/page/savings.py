"""The ways in which the page saves a picture."""

from __future__ import annotations

from functools import partial

from fusion.errors import FusionError
from fusion.io.saving import Saving

_SAVINGS = {
    "jpeg": partial(Saving, "jpeg"),
    "png": partial(Saving, "png"),
    "tiff": partial(Saving, "tiff", bits=16),
    "ultra-hdr": partial(Saving, "ultra-hdr"),
    "exr": partial(Saving, "exr"),
}


def named(name: str, *, keep_metadata: bool = False) -> Saving:
    """The way of this name. Raises `FusionError` for a name that is not here, and where a package is missing.

    >>> named("tiff").bits
    16
    """
    if name not in _SAVINGS:
        raise FusionError("The page does not save in this format; choose another one.")
    return _SAVINGS[name](keep_metadata=keep_metadata)


def offered() -> list[str]:
    """The names of the ways that work here, where a package may be missing."""
    return [name for name in _SAVINGS if _works(name)]


def _works(name: str) -> bool:
    try:
        named(name)
    except FusionError:
        return False
    return True
