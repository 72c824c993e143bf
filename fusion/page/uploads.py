"""The exposures that a visitor has chosen: each is read once, checked against the others, and shown with its EV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from fusion.errors import FusionError, ImageError
from fusion.exposures.camera_data import Shot, shot_of
from fusion.io.colour import luma
from fusion.io.files import new_folder
from fusion.io.image import ORDINALS, load, save_preview
from fusion.io.sandbox import Sandbox

PREVIEW_SIDE = 480
"""Longest side, in pixels, of the picture that stands for an exposure."""
MOST = len(ORDINALS)
"""How many exposures a scene may have."""


@dataclass(frozen=True)
class Exposure:
    """A photograph that was chosen, and what is shown of it."""

    path: str
    name: str
    """The file's name, as the visitor knows it."""
    preview: Path
    size: tuple[int, int]
    """Width and height in pixels."""
    brightness: float
    """The mean luma, 0 to 1, by which exposures are ordered."""
    shot: Shot | None = None
    """What the camera recorded."""


@dataclass(frozen=True)
class Tray:
    """The exposures that will be fused, from dark to bright."""

    exposures: tuple[Exposure, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files to fuse."""
        return [exposure.path for exposure in self.exposures]

    @property
    def stops(self) -> list[float | None]:
        """The EV of each exposure: the bias that the camera recorded, or else its distance from the middle exposure."""
        shots = [exposure.shot for exposure in self.exposures]
        biases = [shot.bias if shot else None for shot in shots]
        if None not in biases and len(set(biases)) > 1:
            return biases
        levels = [shot.exposure for shot in shots if shot and shot.exposure is not None]
        alike = len({shot.recorded for shot in shots if shot}) == 1
        if len(levels) < max(2, len(shots)) or not alike:
            return [None] * len(shots)
        middle = median_low(levels)
        return [level - middle for level in levels]

    def taking(self, new: Exposure) -> Tray:
        """Return the tray with one exposure more. Raises `ImageError` where it cannot be fused with the others."""
        for old in self.exposures:
            if old.path == new.path:
                raise ImageError(f"{new.name} was chosen already.")
            if sorted(old.size) != sorted(new.size):  # the camera may have turned one of them
                there, here = (f"{one.size[0]} × {one.size[1]}" for one in (old, new))
                raise ImageError(f"{new.name} has {here} pixels and {old.name} has {there}; choose equal sizes.")
        if len(self.exposures) == MOST:
            raise ImageError(f"{new.name} was left out, because a scene has at most nine exposures.")
        return Tray(tuple(sorted((*self.exposures, new), key=lambda exposure: exposure.brightness)))

    def without(self, index: int) -> Tray:
        """Return the tray without one exposure."""
        return Tray(tuple(one for number, one in enumerate(self.exposures) if number != index))


def read(path: str | Path, name: str, folder: Path, sandbox: Sandbox) -> Exposure:
    """Read a photograph, and write a small copy of it into a new folder inside `folder`.

    Raises `ImageError` for a file that cannot be used. `name` begins the sentence on it.
    """
    loaded = load(path, name, sandbox=sandbox)
    preview = new_folder(folder, "slot") / "preview.jpg"
    save_preview(loaded.photo, preview, PREVIEW_SIDE)
    height, width = loaded.photo.shape[-2:]
    exif = loaded.metadata.exif
    shot = shot_of(Path(path), exif) if exif else None
    return Exposure(str(path), name, preview, (width, height), float(luma(loaded.photo).mean()), shot)


def uploaded(given: Any, folder: Path) -> list[tuple[str, str]]:
    """The paths and names of files that a browser says it has uploaded.

    Gradio does not check what comes with an event, so that a path may be anything. Raises `FusionError` unless each one
    is a file below `folder`, and for more files than a scene may have.
    """
    found: list[tuple[str, str]] = []
    if not isinstance(given, list) or len(given) > MOST:
        raise FusionError("Choose two to nine photographs.")
    for one in given:
        path, name = (one.get("path"), one.get("name")) if isinstance(one, dict) else (None, None)
        if not isinstance(path, str) or "\0" in path or not _lies_in(Path(path), folder):
            raise FusionError("This is no uploaded photograph; choose it again.")
        found.append((path, _shown(name) or Path(path).name))
    return found


def _lies_in(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve()) and path.is_file()
    except OSError:  # a name that is too long
        return False


def _shown(name: Any) -> str:
    """A file's name without what could break a line, and not longer than one."""
    return "".join(filter(str.isprintable, str(name or "")))[:80]


def of_files(files: Sequence[str | Path], folder: Path, sandbox: Sandbox) -> Tray:
    """Read several files of one scene, such as an example's. Raises `ImageError` as `read` and `Tray.taking` do."""
    tray = Tray()
    for path in files:
        tray = tray.taking(read(path, Path(path).name, folder, sandbox))
    return tray
