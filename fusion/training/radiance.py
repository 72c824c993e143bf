"""Exposure pairs from HDR radiance maps. View and camera settings are drawn at random, and equal for equal seeds.

The camera (`camera.py`) meters the log-average luminance of a view to 0.18 (Reinhard et al., *Photographic Tone
Reproduction*, SIGGRAPH 2002, equation 1), plus or minus half a stop. It takes `under` half the gap below this exposure
and `over` half the gap above. No gap is wider than the range of the view, from its darkest half percent to its
brightest. Light more than six stops below the mean counts as black, since it would otherwise raise the exposure until
everything else is white.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from fusion.errors import DatasetError
from fusion.io.files import write_atomically
from fusion.io.image import Photo, save, to_uint8
from fusion.training.camera import (
    RESPONSES,
    Crop,
    MovingDisc,
    Noise,
    Perspective,
    Radiance,
    ReferenceRecipe,
    Shake,
    as_photo,
    draw_moving_disc,
    expose,
    reference,
    view,
)

MIN_SIDE = 128
"""The least length of a map's shorter side, in pixels."""

_TRIES = 8
_FIELD_OF_VIEW = 50.0, 100.0  # degrees, from border to border
_MAX_PITCH = 20.0  # degrees; the widest view then stays 28 degrees away from the poles
_WELL, _READ = (4_000.0, 60_000.0), (1.5, 6.0)  # electrons, from a phone's sensor to a large one
_MIN_USEFUL, _MIN_SPREAD = 0.1, 0.05


@dataclass(frozen=True)
class PairOptions:
    """Options for making pairs. Where `response` or `noise` is None, it is drawn for each pair.

    Raises `DatasetError` for values that cannot be used.
    """

    count: int = 4
    """The number of pairs made from each map."""
    side: int = 768
    """The greatest length of a picture's longer side, in pixels."""
    gap: tuple[float, float] = (2.0, 8.0)
    """The smallest and the largest gap between the two exposures, in stops."""
    response: str | None = None
    """A name in `camera.RESPONSES`."""
    noise: Noise | None = None
    jpeg: tuple[int, int] | None = None
    """The lowest and the highest JPEG quality, from 1 to 100. None means lossless PNG."""
    shake: float = 0.0
    """The camera moves by at most this many pixels for `over`, and turns until the ends of its sides move by half as
    many."""
    move: bool = False
    """Whether a disc of the scene lies elsewhere in `over`. The reference shows it where `under` does."""
    seed: int = 3407
    recipe: ReferenceRecipe = "spd"
    """How the reference is made, a name in `camera.REFERENCES`."""

    def __post_init__(self) -> None:
        low, high = self.jpeg or (1, 1)
        noise = self.noise or Noise()
        for usable, otherwise in (
            (self.count >= 1, "--count is the number of pairs a map: give 1 or more."),
            (self.side >= MIN_SIDE, f"--side is in pixels: give {MIN_SIDE} or more."),
            (0 < self.gap[0] <= self.gap[1] <= 20, "--gap is MIN MAX in stops, at most 20: give two such as 2 8."),
            (1 <= low <= high <= 100, "--jpeg is MIN MAX of the quality, 1 to 100: give two such as 70 95."),
            (0 <= self.shake <= 50, "--shake is in pixels: give 0 to 50."),
            (self.seed >= 0, "--seed is a whole number: give 0 or more."),
            (
                noise.well >= 1 and 0 <= noise.read < math.inf,
                "--noise is WELL READ in electrons: give two such as 20000 3, or inf 0 for none.",
            ),
        ):
            if not usable:
                raise DatasetError(otherwise)


@dataclass(frozen=True)
class Shot:
    """Everything that was drawn for one pair, which is a row of the manifest."""

    scene: str
    source: str
    view: Crop | Perspective
    middle: float
    """The middle exposure, in stops above the map's own scale."""
    gap: float
    """The gap between `under` and `over`, in stops."""
    response: str
    full_well: float
    """The full-well capacity, in electrons, like `read_noise`."""
    read_noise: float
    jpeg: int | None
    """The JPEG quality, or None for PNG, which is empty in the manifest."""
    shake_right: float
    """The camera's movement, in pixels, like `shake_down`."""
    shake_down: float
    shake_turn: float
    """The camera's turn, in degrees clockwise."""
    moved: int
    """How far to the right a disc lies in `over`, in pixels; 0 where nothing moved."""
    seed: int


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """A rendered pair and its reference, which are photographs of equal size."""

    shot: Shot
    under: Photo
    over: Photo
    reference: Photo
    """The reference at the moment of `under`."""
    thing: MovingDisc | None = None
    """The disc that moved."""
    later: Photo | None = None
    """The reference at the moment of `over`, where a disc moved."""


def make_pairs(
    folder: Path, out: Path, options: PairOptions, progress: Callable[[float], None] = lambda _: None
) -> tuple[list[Shot], list[str]]:
    """Make `options.count` pairs of every map in `folder` and save them in `out`.

    The files are `<map>_<index>/<map>_<index>_A`, `_B` and `_GT.png`, and `manifest.csv` has a row for each pair.
    Returns the pairs that were made, and a sentence about each one that could not be made. `progress` is called with
    the share that is done. Raises `DatasetError` where there is no map, and where `out` is not empty.
    """
    maps = find_maps(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not an empty folder; give a new one, so that two sets of pairs are not mixed.")
    made: list[Shot] = []
    skipped: list[str] = []
    for number, path in enumerate(maps):
        try:
            radiance = read_map(path)
        except DatasetError as error:
            skipped.append(str(error))
            continue
        for index in range(options.count):
            try:
                pair = render(radiance, path.name, index, options)
            except DatasetError as error:
                skipped.append(str(error))
            else:
                _write(pair, out / pair.shot.scene)
                made.append(pair.shot)
            progress((number + (index + 1) / options.count) / len(maps))
        if made:
            write_atomically(out / "manifest.csv", _manifest(made).encode())
    return made, skipped


def find_maps(folder: Path) -> list[Path]:
    """The .hdr, .pic and .exr files in `folder`, sorted. Raises `DatasetError` for none, and for two of one name."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Give a folder of HDR radiance maps (.hdr, .pic or .exr).")
    maps = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".hdr", ".pic", ".exr"})
    if not maps:
        raise DatasetError(f"no HDR radiance maps (.hdr, .pic or .exr) were found in {folder}.")
    seen: dict[str, Path] = {}
    for path in maps:
        if (other := seen.setdefault(path.stem.casefold(), path)) is not path:
            raise DatasetError(f"{other.name} and {path.name} would give pairs of the same name; rename one of them.")
    return maps


def read_map(path: Path) -> Radiance:
    """Read a Radiance or OpenEXR file. Negative values are clipped. Raises `DatasetError` if it cannot be used."""
    try:
        pixels = _read_exr(path) if path.suffix.lower() == ".exr" else _read_radiance(path)
    except ImportError as error:
        raise DatasetError(f"{path.name} needs a package that is not installed: pip install OpenEXR.") from error
    except Exception as error:
        raise DatasetError(
            f"{path.name} is not an HDR map that can be read; save it again as Radiance .hdr."
        ) from error
    if min(pixels.shape[:2]) < MIN_SIDE:
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise DatasetError(f"{path.name} is too small ({size}); each side needs at least {MIN_SIDE} pixels.")
    brightest = pixels.max(initial=0, where=np.isfinite(pixels))
    if brightest <= 0:
        raise DatasetError(f"{path.name} is black all over; choose another map.")
    return np.nan_to_num(pixels, nan=0, posinf=brightest, neginf=0).clip(0)


def _read_radiance(path: Path) -> Radiance:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.float32:
        raise ValueError("not linear light")
    return np.ascontiguousarray(np.asarray(pixels, np.float32)[..., ::-1])


def _read_exr(path: Path) -> Radiance:
    openexr = import_module("OpenEXR")  # optional
    # OpenEXR prints its complaints, but stdout is for results.
    with redirect_stdout(sys.stderr), openexr.File(str(path), separate_channels=True) as file:
        channels = {name: np.asarray(channel.pixels, np.float32) for name, channel in file.channels().items()}
    return np.stack([channels[name] for name in ("YYY" if {*channels} <= {"Y", "A"} else "RGB")], axis=-1)


def render(radiance: Radiance, source: str, index: int, options: PairOptions) -> RenderedPair:
    """The pair `index` of the map called `source`. It depends on these, the seed and the options alone.

    View and settings are drawn again where the range of the view is below the gap, where the picture is flat, and where
    a photograph is nearly all black or white. Raises `DatasetError` where this does not help.
    """
    stem = Path(source).stem
    key = options.seed, zlib.crc32(stem.encode()), index
    rng = np.random.default_rng(key)
    for _ in range(_TRIES):
        where = _draw_view(radiance, options.side, rng)
        still = view(radiance, where, options.side)
        light = _luminance(still)
        darkest, brightest = np.percentile(light, (0.5, 99.5))
        widest = min(options.gap[1], math.log2(brightest / darkest))
        if widest < options.gap[0]:
            continue
        noise = options.noise or Noise(round(math.exp(rng.uniform(*np.log(_WELL)))), _draw(rng, *_READ))
        shake = _draw_shake(options.shake, max(still.shape), rng)
        shot = Shot(
            scene=f"{stem}_{index}",
            source=source,
            view=where,
            middle=round(math.log2(0.18) - float(np.log2(light).mean()) + rng.uniform(-0.5, 0.5), 4),
            gap=_draw(rng, options.gap[0], widest),
            response=options.response or str(rng.choice(list(RESPONSES))),
            full_well=noise.well,
            read_noise=noise.read,
            jpeg=int(rng.integers(options.jpeg[0], options.jpeg[1] + 1)) if options.jpeg else None,
            shake_right=shake.right,
            shake_down=shake.down,
            shake_turn=shake.turn,
            moved=0,
            seed=options.seed,
        )
        stops = shot.middle - shot.gap / 2, shot.middle + shot.gap / 2
        first = last = still
        shaken = view(radiance, where, options.side, shake) if options.shake else still
        thing = None
        if options.move:
            # The disc has a generator of its own, so that everything else is the same with it and without.
            thing = draw_moving_disc(
                [expose(still, stop, shot.response) for stop in stops], np.random.default_rng((*key, 1))
            )
            shot = replace(shot, moved=thing.second.x - thing.first.x)
            first, last, shaken = (
                thing.put(scene, place)
                for scene, place in ((still, thing.first), (still, thing.second), (shaken, thing.second))
            )
        under = expose(first, stops[0], shot.response, noise, rng)
        over = expose(shaken, stops[1], shot.response, noise, rng)
        target = reference(first, *stops, shot.response, options.recipe)
        if min(_useful(under), _useful(over)) >= _MIN_USEFUL and float(target.std()) >= _MIN_SPREAD:
            later = reference(last, *stops, shot.response, options.recipe) if thing else None
            return RenderedPair(shot, as_photo(under), as_photo(over), target, thing, later)
    raise DatasetError(
        f"{stem}_{index}: no view of {source} was found that needs two exposures; lower --gap, or leave it out."
    )


def _draw_view(radiance: Radiance, side: int, rng: np.random.Generator) -> Crop | Perspective:
    """Draw a view. A map twice as wide as high is a panorama, whose view is wide enough for `side` where possible."""
    height, width = radiance.shape[:2]
    if width != 2 * height:
        return Crop(_draw(rng, 0.6, 1), _draw(rng, 0, 1), _draw(rng, 0, 1))
    narrowest, widest = _FIELD_OF_VIEW
    enough = math.degrees(2 * math.atan(side * math.pi / width))
    field = _draw(rng, min(max(narrowest, enough), widest), widest)
    return Perspective(_draw(rng, -180, 180), _draw(rng, -_MAX_PITCH, _MAX_PITCH), field)


def _draw_shake(pixels: float, side: int, rng: np.random.Generator) -> Shake:
    length, angle, turn = pixels * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi), math.degrees(pixels / side)
    right, down = (round(length * part(angle), 4) + 0.0 for part in (math.cos, math.sin))  # + 0.0: never -0.0
    return Shake(right, down, _draw(rng, -turn, turn))


def _draw(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number with four decimals, so that the manifest holds it exactly."""
    return round(rng.uniform(low, high), 4)


def _luminance(radiance: Radiance) -> Radiance:
    """The luminance (H, W) by ITU-R BT.709, and at least the mean divided by 2^6."""
    light = radiance @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return np.maximum(light, max(float(light.mean()) * 2.0**-6, 1e-30))


def _useful(picture: Radiance) -> float:
    """The share of values that are neither nearly black nor nearly white."""
    return float(((picture > 0.05) & (picture < 0.95)).mean())


def _write(pair: RenderedPair, scene: Path) -> None:
    try:
        scene.mkdir(parents=True)
    except OSError as error:
        raise DatasetError(f"{scene} cannot be made; check that its folder can be written to.") from error
    for photo, end in ((pair.under, "A"), (pair.over, "B")):
        file = scene / f"{scene.name}_{end}"
        if pair.shot.jpeg is None:
            save(photo, f"{file}.png")
        else:
            quality = [cv2.IMWRITE_JPEG_QUALITY, pair.shot.jpeg]
            write_atomically(
                Path(f"{file}.jpg"), cv2.imencode(".jpg", to_uint8(photo)[..., ::-1], quality)[1].tobytes()
            )
    save(pair.reference, scene / f"{scene.name}_GT.png")


def _manifest(shots: Sequence[Shot]) -> str:
    """The manifest as CSV, with one row for each pair."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Shot)], lineterminator="\n")
    table.writeheader()
    table.writerows(vars(shot) for shot in shots)
    return text.getvalue()
