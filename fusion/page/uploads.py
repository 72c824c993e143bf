"""The files that a visitor has chosen, and previews of those that a browser cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusion.io import suffixes
from fusion.io.files import new_folder
from fusion.io.image import load, save_preview
from fusion.io.sandbox import Sandbox

SEVERAL = ["image", *suffixes.PICTURES, *suffixes.RAW]
"""The types that the chooser of several files offers. Whether a file can be used depends on its content alone."""
PREVIEW_SIDE = 800
"""Longest side, in pixels, of a preview in a slot."""

_SHOWN = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"GIF8")
"""The first bytes of the files that every browser shows."""


def preview_of(path: str, folder: Path, sandbox: Sandbox) -> str | None:
    """Make a JPEG of a file that browsers do not show (HEIC, TIFF, RAW), in a new folder inside `folder`.

    Returns its path, or None for a file that browsers show themselves.

    Raises `ImageError` for a file that cannot be used.
    """
    with Path(path).open("rb") as stream:
        start = stream.read(12)
    if start.startswith(_SHOWN) or start[4:] == b"ftypavif":
        return None
    preview = new_folder(folder, "slot") / "preview.jpg"
    save_preview(load(path, sandbox=sandbox).photo, preview, PREVIEW_SIDE)
    return str(preview)


def chosen(
    under: str | None, over: str | None, several: Sequence[str] | None, originals: dict[str, str]
) -> list[str] | None:
    """Return the files to fuse: the several ones, if there are any, else those of the two slots.

    `originals` are the files behind previews. Returns None where a slot is empty.
    """
    if several:
        return list(several)
    if not under or not over:
        return None
    return [originals.get(path, path) for path in (under, over)]
