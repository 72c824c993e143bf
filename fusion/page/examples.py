"""The example photographs that come with the page, and the cards that offer them."""

from __future__ import annotations

import filecmp
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusion.errors import FusionError
from fusion.io.image import load, save_preview
from fusion.io.sandbox import Sandbox
from fusion.methods.base import Options
from fusion.page import views
from fusion.page.texts import ENGLISH, Texts
from fusion.pipeline import by_method
from fusion.runtime.package_data import data_folder

_THUMBNAIL_SIDE = 320


@dataclass(frozen=True)
class Example:
    """Two photographs of one scene."""

    name: str
    under: Path
    over: Path


def shipped() -> list[Example]:
    """The pairs that come with the page, in the order of their names."""
    files = sorted(data_folder("examples").glob("*/under.png"))
    return [Example(file.parent.name, file, file.with_name("over.png")) for file in files]


@dataclass(frozen=True)
class Linked:
    """The choices that a link asks for, as far as they are available here."""

    example: Example | None
    methods: tuple[str, ...]
    """Names of methods. Where the link names none that is available, the visitor's own choice stands."""
    options: Mapping[str, Options] = field(default_factory=dict[str, Options])
    """Options by the method's name."""
    problem: str = ""
    """A sentence on what was left out. It never repeats the link's words, since anyone can write a link."""


def linked(query: Mapping[str, str], methods: Collection[str], text: Texts = ENGLISH) -> Linked:
    """Read a link such as `?example=desk&methods=pyramef,mertens&mertens.sigma=0.3`, given the available `methods`."""
    wanted = [name for name in query.get("methods", "").split(",") if name]
    known = tuple(name for name in methods if name in wanted)
    example = next((example for example in shipped() if example.name == query.get("example")), None)
    try:
        options = by_method((name, float(value)) for name, value in query.items() if "." in name)
    except (FusionError, ValueError):
        return Linked(example, known, problem=text["link"]["option"])
    if query.get("example") and not example:
        return Linked(None, known, options, text["link"]["example"])
    if len(known) < len(set(wanted)):
        return Linked(example, known, options, text["link"]["method"])
    return Linked(example, known, options)


def name_of(files: Sequence[str]) -> str:
    """Return the name of the example whose content these files have; empty if they have none's."""
    for example in shipped():
        pair = example.under, example.over
        if len(files) == len(pair) and all(map(_alike, pair, files)):
            return example.name
    return ""


def _alike(one: Path, other: str) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def cards(folder: Path, sandbox: Sandbox, linked: Example | None = None, text: Texts = ENGLISH) -> list[dict[str, Any]]:
    """Make a card for each example, and mark the one that a link asks for.

    Thumbnails lie in `folder`, and are made again after they have been swept away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        views.example(
            e.name,
            _thumbnail(e.under, folder, sandbox),
            _thumbnail(e.over, folder, sandbox),
            text,
            linked=e == linked,
        )
        for e in shipped()
    ]


def _thumbnail(picture: Path, folder: Path, sandbox: Sandbox) -> Path:
    path = folder / f"{picture.parent.name}-{picture.stem}.jpg"
    if not path.exists():
        save_preview(load(picture, sandbox=sandbox).photo, path, _THUMBNAIL_SIDE)
    return path
