"""How right the light of a scene is that two photographs give, and how exactly an Ultra HDR file holds it.

    python -m fusion.benchmark.experiments.light MAPS

Of each radiance map, a view is photographed twice, as `python -m fusion make-pairs` does: 2 to 8 stops apart, with the
noise of a sensor, rounded to 8 bits. The light that is estimated of the two is compared with the map's. Mertens' fusion
is saved as Ultra HDR with this light, and OpenImageIO reads its HDR rendition. It needs the extras hdr, exr and
experiments. What it prints stands at the end of docs/formats.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fusion.benchmark.experiments.command import Maps, run
from fusion.errors import DatasetError
from fusion.io.image import Photo
from fusion.io.saving import Origin, Saving
from fusion.methods.mertens import exposure_fusion
from fusion.methods.scene_light import scene_light
from fusion.training.camera import RESPONSES, view
from fusion.training.radiance import PairOptions, find_maps, read_map, render

DURATION = "This takes a minute for 30 maps."
TEXT = """## Light

Ultra HDR and OpenEXR hold the light of the scene, which is estimated from the exposures. The table tells its relative
error, of luminance, over {count} pairs of photographs that were made of {maps} radiance maps, 2 to 8 stops apart, with
noise, in 8 bits. Stops are those above the white of the brighter photograph. The scale of each picture is chosen so
that the median of its errors is 0. Cameras whose curve is that of sRGB are told apart from those with a power, film or
logarithmic curve, which the estimate takes for sRGB's. The last columns tell how far the HDR rendition of the Ultra HDR
file, as OpenImageIO reads it, is from the estimated light. Printed by
`python -m fusion.benchmark.experiments.light ../shared/data/maps`.
"""
SIDE = 512
EDGES = (-np.inf, -8, -6, -4, -2, 0, 2, 4, 6, np.inf)
"""Limits of the rows, in stops above the white of the brighter photograph."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Compared(NamedTuple):
    """The pixels of one pair, each array of the same length."""

    curve: str
    stops: NDArray[np.float32]
    """How bright the map is, relative to the white of the brighter photograph."""
    light: NDArray[np.float32]
    """The relative error of the estimated light."""
    kept: NDArray[np.float32]
    """The relative error of the HDR rendition, measured against the estimated light."""
    shown: NDArray[np.bool_]
    """Whether the darker photograph is not white there."""


def main(maps: Maps) -> None:
    """Print the table, as Markdown."""
    files = find_maps(maps)
    pairs = [one for file in tqdm(files, leave=False) for one in _of_map(file)]
    print(TEXT.format(count=len(pairs), maps=len(files)))
    print(
        "| stops | pixels | sRGB: half of them within | nine of ten | other curves: half | nine of ten "
        "| Ultra HDR: half | nine of ten |\n|---|---|---|---|---|---|---|---|"
    )
    total = sum(pair.stops.size for pair in pairs)
    for low, high in pairwise(EDGES):
        name = f"below {high}" if low == -np.inf else f"above {low}" if high == np.inf else f"{low} to {high}"
        _print_row(name, [_part(one, (low <= one.stops) & (one.stops < high) & one.shown) for one in pairs], total)
    _print_row("white in both photographs", [_part(one, ~one.shown) for one in pairs], total)


def _of_map(file: Path) -> Iterator[Compared]:
    """A pair by each camera, but for those for which no view of the map needs two exposures."""
    radiance = read_map(file)
    for index, curve in enumerate(RESPONSES):
        with suppress(DatasetError):
            yield _compared(radiance, file.name, index, curve)


def _compared(radiance: Any, name: str, index: int, curve: str) -> Compared:
    pair = render(radiance, name, index, PairOptions(side=SIDE, response=curve))
    shot = pair.shot
    true = view(radiance, shot.view, SIDE) * np.float32(2 ** (shot.middle + shot.gap / 2)) @ LUMINANCE
    frames = [(photo * 255).round() / 255 for photo in (pair.under, pair.over)]
    light = scene_light(frames)
    found = light.permute(1, 2, 0).numpy() @ LUMINANCE
    rendition = _by_openimageio(exposure_fusion(torch.stack(frames)), light) @ LUMINANCE
    shown = np.asarray(frames[0].amax(0) < 254 / 255) & (true > 0)
    stops = np.log2(np.maximum(true, 1e-9))
    return Compared(curve, stops, _error(found, true, shown), _error(rendition, found, shown), shown)


def _by_openimageio(photo: Photo, light: torch.Tensor) -> NDArray[np.float32]:
    """The HDR rendition (H, W, 3) of an Ultra HDR file of a photograph and of light."""
    openimageio = import_module("OpenImageIO")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        Saving("ultra-hdr").write(photo, path, Origin(light=light))
        return np.asarray(openimageio.ImageBuf(str(path)).get_pixels(openimageio.FLOAT), np.float32)[..., :3]


def _error(found: NDArray[np.float32], true: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The relative error where the scale is such that its median is 0 where `shown`."""
    ratio = np.maximum(found, 1e-9) / np.maximum(true, 1e-9)
    return np.asarray(ratio / np.median(ratio[shown]) - 1, np.float32)


def _part(one: Compared, where: NDArray[np.bool_]) -> Compared:
    return Compared(one.curve, one.stops[where], one.light[where], one.kept[where], one.shown[where])


def _print_row(name: str, parts: Sequence[Compared], total: int) -> None:
    count = sum(one.stops.size for one in parts)
    cells = [f"{100 * count / total:.1f} %"]
    for errors in (
        [one.light for one in parts if one.curve == "srgb"],
        [one.light for one in parts if one.curve != "srgb"],
        [one.kept for one in parts],
    ):
        all_of_them = np.abs(np.concatenate(errors))
        cells += [f"{100 * q:.1f} %" for q in np.quantile(all_of_them, (0.5, 0.9))] if all_of_them.size else ["", ""]
    print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run(main, DURATION)
