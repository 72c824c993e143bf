"""What is written beside the pictures: the table of metrics, the settings that made them, a sheet to look at."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from fusion.io.image import Photo, to_uint8
from fusion.methods.base import Method
from fusion.metrics.base import Metric
from fusion.pipeline import Scored
from fusion.runtime import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Scores = Mapping[str, float]
Row = dict[str, str | int | bool | None]


def method_row(method: Method) -> Row:
    """What there is to know about a method before it runs."""
    return {
        "name": method.name,
        "title": method.title,
        "paper": method.paper,
        "parameters": method.parameters,
        "available": method.unavailable is None,
        "reason": method.unavailable,
        "options": ", ".join(f"{o.name} {o.low:g} to {o.high:g} ({o.default:g})" for o in method.options) or None,
    }


def metrics_csv(rows: Sequence[Scored], metrics: Sequence[Metric]) -> str:
    """One line a method: its name, seconds, and every metric with six decimals."""
    names = [metric.name for metric in metrics]
    return table_csv(
        ["method", "seconds", *names],
        [[row.method.name, f"{row.fused.seconds:.3f}", *(f"{row.scores[name]:.6f}" for name in names)] for row in rows],
    )


def table_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV, with plain line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def settings(methods: Sequence[str], metrics: Sequence[str], device: str) -> dict[str, object]:
    """What it takes to make the same pictures again: choices, versions, and the weights' hashes."""
    used = {name: entry["sha256"] for name, entry in weights.entries().items() if name in {*methods, "iat"}}
    return {
        "methods": list(methods),
        "metrics": list(metrics),
        "device": device,
        "weights_sha256": used,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def draw_weights(maps: Tensor) -> NDArray[np.uint8]:
    """Weight maps (N, 1, H, W) as one picture (H, W, 3): where among the exposures the weights' mean lies.

    Of two exposures, that is the share of the brighter one. From dark blue, the darkest, to yellow, the brightest, on
    cividis (Nunez, Anderton, Renslow, 2018), which is even to the eye with and without all kinds of cones.
    """
    import cv2
    import torch

    place = (torch.linspace(0, 1, len(maps)).view(-1, 1, 1, 1) * maps).sum(0)
    return np.asarray(cv2.applyColorMap(to_uint8(place), cv2.COLORMAP_CIVIDIS)[..., ::-1], np.uint8)


_PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless", "gradio")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_TILE_SIDE, _CAPTION, _GAP = 560, 34, 12


def contact_sheet(pictures: Mapping[str, Photo], columns: int = 3) -> Photo:
    """Pictures of equal size with their titles, side by side: for looking at many results at once."""
    import cv2
    import torch

    tiles = [_tile(title, photo) for title, photo in pictures.items()]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    sheet = cv2.copyMakeBorder(np.concatenate(rows), _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return torch.from_numpy(sheet).permute(2, 0, 1) / 255


def _tile(title: str, photo: Photo) -> NDArray[np.uint8]:
    import cv2

    pixels = to_uint8(photo)
    height, width = pixels.shape[:2]
    scale = _TILE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = cv2.copyMakeBorder(pixels, _CAPTION, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    cv2.putText(tile, title, (_GAP, _CAPTION - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (30, 30, 30), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
