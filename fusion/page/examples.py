"""The pairs that come with the page, and the cards that offer them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.image import load, save_preview
from fusion.page import views

FOLDER = Path(__file__).resolve().parents[2] / "examples"
_TITLES = {"candleglass": "Candle and glass", "goldengate": "Golden Gate", "stilllife": "Still life"}
_THUMBNAIL_SIDE = 320


@dataclass(frozen=True)
class Example:
    """Two photographs of one scene."""

    name: str
    under: Path
    over: Path

    @property
    def title(self) -> str:
        """For the visitor."""
        return _TITLES.get(self.name, self.name.capitalize())


EXAMPLES: tuple[Example, ...] = tuple(
    Example(path.parent.name, path, path.with_name("over.png")) for path in sorted(FOLDER.glob("*/under.png"))
)


def cards(folder: Path) -> list[dict[str, Any]]:
    """A card for each example. Its thumbnails lie in `folder`, and are made again when an hour has taken them away."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        views.example(_thumbnail(example.under, folder), _thumbnail(example.over, folder), example.title)
        for example in EXAMPLES
    ]


def _thumbnail(picture: Path, folder: Path) -> Path:
    path = folder / f"{picture.parent.name}-{picture.stem}.jpg"
    if not path.exists():
        save_preview(load(picture).photo, path, _THUMBNAIL_SIDE)
    return path
