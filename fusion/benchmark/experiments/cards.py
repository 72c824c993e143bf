"""How many brackets are found whole, and how many pictures would be wrong, on made memory cards of eight cameras.

    python -m fusion.benchmark.experiments.cards examples > docs/cards.md

Each DATASET is a folder of pairs, whose scenes are photographed. Every camera writes one card: brackets in its own
order, pace, names and camera data, and between them what else is on cards. Each card is searched as
`fuse-folder --dry-run` searches it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational
from tqdm import tqdm

from fusion.benchmark.experiments.align import light_of
from fusion.benchmark.experiments.command import Dataset, run
from fusion.exposures.brackets import find_brackets
from fusion.training.camera import Radiance
from fusion.training.datasets import find_pairs

DURATION = "This takes about two minutes; a bar shows the time left, and the table is printed at the end."

BRACKETS = 32
"""How many brackets each card holds."""
SIZE = 240, 160
"""Width and height of a picture in pixels."""
MORNING = datetime(2024, 6, 1, 8, tzinfo=timezone.utc)
AUTO, MANUAL, AUTO_BRACKET = 0, 1, 2
"""Exif's ExposureMode."""
TEXT = """Eight cameras each write a card of small pictures, {brackets} brackets in all, rendered from the scenes of
`examples` with another view for each bracket, a little shake and noise. The cards were made from what cameras do:
[fusion/benchmark/experiments/cards.py](../fusion/benchmark/experiments/cards.py) says how. A bracket counts as whole if
all of its exposures and no other shot would be fused; copies of a shot count as that shot. Every other scene that
would be fused is a wrong picture. Broken off are brackets of which shots are missing: they must not be fused.
`python -m fusion.benchmark.experiments.cards examples` prints this document."""


@dataclass(frozen=True)
class Camera:
    """How a camera takes brackets and what it writes."""

    name: str
    make: str
    model: str
    file: str
    """The pattern of its files' names; it counts."""
    order: tuple[float, ...]
    """Stops of the exposures of a bracket, in the order in which they are taken."""
    pause: float
    """Seconds between the end of an exposure and the next one."""
    mode: int | None = AUTO_BRACKET
    bias: bool = True
    """Whether the exposure bias is recorded."""
    clock: int | None = 2
    """Digits of the second's fraction in its times; None if it writes no times."""
    brightest: float = 1 / 60
    """Roughly the metered exposure time in seconds."""
    by: str = "shutter"
    """What it changes: shutter, aperture or ISO."""
    noise_reduction: bool = False
    """Whether it takes a dark frame, which lasts as long, after each exposure of a second or more."""
    traps: tuple[str, ...] = ()


CAMERAS = (
    Camera(
        *("Reflex, auto bracket of 3", "Canon", "Canon EOS 80D", "100CANON/IMG_{:04d}.JPG", (0, -2, 2), 0.3),
        traps=("at once", "test shot", "folder ends", "turned", "snapshots", "broken off", "copies"),
    ),
    Camera(
        *("Reflex, auto bracket of 5", "NIKON CORPORATION", "NIKON D7500", "101ND750/DSC_{:04d}.JPG"),
        *((0, -2, -1, 1, 2), 0.2),
        traps=("at once", "limit", "snapshots", "same view", "burst", "results"),
    ),
    Camera(
        *("System camera, 3 without bias", "SONY", "ILCE-6400", "10060601/DSC{:05d}.JPG", (0, -2, 2), 0.3),
        bias=False,
        clock=0,
        traps=("at once", "same view", "snapshots", "broken off", "test shot", "panorama"),
    ),
    Camera(
        *("Drone, 5 in turns", "DJI", "FC3411", "100MEDIA/DJI_{:04d}.JPG", (0, -0.7, 0.7, -1.3, 1.3), 1.0),
        clock=0,
        brightest=1 / 400,
        traps=("at once", "panorama", "snapshots", "broken off"),
    ),
    Camera(
        *("Phone without a clock", "Xiaomi", "M2101K9G", "Pictures/IMG_{:04d}.jpg", (-2, 0, 2), 0.1),
        mode=None,
        bias=False,
        clock=None,
        by="iso",
        traps=("at once", "burst", "same view"),
    ),
    Camera(
        *("Compact, 7 in two thirds", "OLYMPUS CORPORATION", "E-M10MarkIII", "100OLYMP/P{:07d}.JPG"),
        *((0, -0.7, -1.3, -2, 0.7, 1.3, 2), 0.15),
        traps=("at once", "exports", "turned", "limit", "copies", "snapshots"),
    ),
    Camera(
        *("By hand, dial turned", "PENTAX", "PENTAX K-70", "100PENTX/IMGP{:04d}.JPG", (-2, 0, 2), 2.5),
        mode=MANUAL,
        bias=False,
        traps=("at once", "repeated", "burst", "same view", "test shot"),
    ),
    Camera(
        *("Tripod at night, 5 upwards", "FUJIFILM", "X-T30", "100_FUJI/DSCF{:04d}.JPG", (-2, -1, 0, 1, 2), 0.5),
        clock=0,
        brightest=4,
        noise_reduction=True,
        traps=("snapshots", "limit", "same view", "broken off"),
    ),
)


@dataclass
class Card:
    """A card while it is written: its clock, its counter, and which shots belong together."""

    camera: Camera
    folder: Path
    rng: np.random.Generator
    number: int
    seconds: float = 0.0
    brackets: list[set[Path]] = field(default_factory=list[set[Path]])
    broken: int = 0
    shots: dict[Path, Path] = field(default_factory=dict[Path, Path])
    """The shot that each file holds, by its first file."""

    def shoot(self, seen: Radiance, metered: float, stops: float, **other: Any) -> Path:
        """Take one picture of a view, `stops` away from the `metered` exposure, and return its file."""
        camera = self.camera
        taken = other.pop("taken", stops)  # less than wanted where a limit is reached
        name = camera.file.format(self.number)
        if other.pop("next_folder", False):
            name = name.replace("100", "101", 1)
        file = self.folder / "DCIM" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        seconds, speed = camera.brightest * 2**metered, 200.0
        if camera.by == "iso":
            speed *= 2**taken
        else:
            seconds *= 2**taken
        exif = Image.Exif()
        exif[Base.Make], exif[Base.Model] = camera.make, camera.model
        exif[Base.Orientation] = other.pop("orientation", 1)
        details = exif.get_ifd(IFD.Exif)
        if camera.clock is not None:
            time = MORNING + timedelta(seconds=self.seconds)
            details[Base.DateTimeOriginal] = time.strftime("%Y:%m:%d %H:%M:%S")
            if camera.clock:
                details[Base.SubsecTimeOriginal] = f"{time.microsecond // 10_000:02d}"
        details[Base.ExposureTime] = _time(seconds)
        details[Base.FNumber], details[Base.ISOSpeedRatings] = IFDRational(8), round(speed)
        mode = other.pop("mode", camera.mode)
        if mode is not None:
            details[Base.ExposureMode] = mode
        if camera.bias:
            details[Base.ExposureBiasValue] = IFDRational(round(10 * stops), 10)
        details[Base.FocalLength] = IFDRational(35)
        Image.fromarray(self._rendered(seen, taken)).save(file, quality=92, exif=exif.tobytes())
        self.number = self.number % 9999 + 1
        dark_frame = seconds if camera.noise_reduction and seconds >= 1 else 0.0
        self.seconds += seconds + dark_frame + camera.pause * self.rng.uniform(0.9, 1.1)
        self.shots[file] = file
        return file

    def _rendered(self, seen: Radiance, stops: float) -> Any:
        moved = np.array([[1, 0, self.rng.normal(0, 1)], [0, 1, self.rng.normal(0, 1)]])
        light = cv2.warpAffine(seen, moved, SIZE, borderMode=cv2.BORDER_REFLECT_101)
        light = np.clip(light * 2**stops + self.rng.normal(0, 0.002, light.shape), 0, 1)
        encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        return np.uint8(np.round(255 * encoded))


def _time(seconds: float) -> IFDRational:
    """An exposure time as cameras write it: 1/60, or tenths of a second."""
    return IFDRational(1, round(1 / seconds)) if seconds < 0.3 else IFDRational(round(10 * seconds), 10)


def views(lights: Sequence[Radiance], rng: np.random.Generator) -> Iterator[Radiance]:
    """One view after another: parts of the scenes, of SIZE; no two in succession are of the same scene."""
    last = -1
    while True:
        scene = int(rng.choice([index for index in range(len(lights)) if index != last]))
        last = scene
        yield part(lights[scene], rng)


def part(light: Radiance, rng: np.random.Generator, *, at: float | None = None) -> Radiance:
    """Half of a scene to two thirds of it, `at` this share of the way from left to right."""
    height, width = light.shape[:2]
    share = rng.uniform(0.5, 0.67)
    across = min(width, height * SIZE[0] / SIZE[1]) * share
    down = across * SIZE[1] / SIZE[0]
    x = (rng.uniform() if at is None else at) * (width - across)
    y = rng.uniform() * (height - down)
    seen = light[int(y) : int(y + down), int(x) : int(x + across)]
    seen = cv2.resize(seen, SIZE, interpolation=cv2.INTER_AREA)
    return seen * np.float32(0.18 / max(float(np.median(seen)), 1e-3))


def bracket(card: Card, seen: Radiance, metered: float, trap: str) -> None:
    """Take one bracket, with what the trap does to it."""
    order = list(card.camera.order)
    files: list[Path] = []
    limit = 1.0 if trap == "limit" else 9.0
    frames = len(order) - int(card.rng.integers(1, len(order) - 1)) if trap == "broken off" else len(order)
    for index, stops in enumerate(order[:frames]):
        next_folder = trap == "folder ends" and card.number < 9000
        orientation = 6 if trap == "turned" and index == 1 else 1
        taken = min(stops, limit)
        file = card.shoot(seen, metered, stops, taken=taken, next_folder=next_folder, orientation=orientation)
        files.append(file)
        if trap == "repeated" and index == 1:
            again = card.shoot(seen, metered, stops)
            card.shots[again] = file  # the same exposure once more: either of them may be used
    if trap == "broken off":
        card.broken += 1
    else:
        card.brackets.append(set(files))
    _export(card, files, trap)


def _export(card: Card, files: Sequence[Path], trap: str) -> None:
    """Write what a computer adds to a card's folder: copies, exports in other formats, results."""
    for file in files if trap == "copies" else ():
        copy = file.with_name(f"{file.stem} (1){file.suffix}")
        copy.write_bytes(file.read_bytes())
        card.shots[copy] = file
    for file in files if trap == "exports" else ():
        with Image.open(file) as image:
            export = file.with_suffix(".webp")
            image.save(export, quality=90, exif=image.getexif().tobytes())
        card.shots[export] = file
    if trap == "results":
        first = files[0]
        for mark in ("_HDR", "-edit"):
            result = first.with_name(f"{first.stem}{mark}.jpg")
            with Image.open(first) as image:
                ImageEnhance.Brightness(image).enhance(1.3).save(result, exif=image.getexif().tobytes())
            card.shots[result] = first


def _test_shot(card: Card, seen: Radiance, metered: float) -> None:
    mode = AUTO if card.camera.mode == AUTO_BRACKET else card.camera.mode
    card.shoot(seen, metered + card.rng.choice([-1, 1]) * card.rng.uniform(0.3, 1.2), 0.0, mode=mode)
    card.seconds += 1.2


def _snapshots(card: Card, seen: Iterator[Radiance]) -> None:
    for _ in range(int(card.rng.integers(2, 6))):
        card.shoot(next(seen), card.rng.uniform(-2.5, 2.5), 0.0, mode=AUTO)
        card.seconds += card.rng.uniform(0.5, 1.5)


def _burst(card: Card, seen: Radiance, metered: float) -> None:
    mode = AUTO if card.camera.mode is not None else None
    for _ in range(int(card.rng.integers(3, 7))):
        card.shoot(seen, metered, 0.0, mode=mode)


def write(camera: Camera, lights: Sequence[Radiance], folder: Path, seed: int) -> Card:
    """Write a card: single brackets, and each of the camera's traps several times."""
    rng = np.random.default_rng(seed)
    card = Card(camera, folder, rng, number=9990 if "folder ends" in camera.traps else int(rng.integers(1, 5000)))
    seen = views(lights, rng)
    planned = ["folder ends"] if "folder ends" in camera.traps else []
    repeated = [trap for trap in camera.traps if trap != "folder ends"]
    while len(card.brackets) < BRACKETS:
        trap = planned.pop() if planned and card.number > 9997 else str(rng.choice(["none", "none", *repeated]))
        if "folder ends" in planned and card.number + len(camera.order) > 9999 and trap != "folder ends":
            trap = "folder ends"
            planned.clear()
        _scene(card, seen, lights, trap)
        card.seconds += rng.uniform(15, 300)
        if camera.clock is None:
            card.number += int(rng.integers(0, 2))
    return card


def _scene(card: Card, seen: Iterator[Radiance], lights: Sequence[Radiance], trap: str) -> None:
    rng = card.rng
    view, metered = next(seen), float(rng.uniform(-2, 2))
    if trap == "at once":  # the photographer turns, and shoots on; the light is another
        for _ in range(int(rng.integers(2, 4))):
            bracket(card, view, metered, trap)
            card.seconds += rng.uniform(0.3, 1.2)
            view, metered = next(seen), metered + float(rng.choice([-1.3, -1, -0.7, 0.7, 1, 1.3, 3.3]))
    elif trap == "same view":  # a series from a tripod, metered anew or not
        for _ in range(2):
            bracket(card, view, metered, trap)
            card.seconds += rng.uniform(0.5, 12)
            metered += float(rng.choice([0, 0, 0.3]))
    elif trap == "panorama":  # overlapping parts of one scene
        light = lights[int(rng.integers(len(lights)))]
        for at in (0.0, 0.5, 1.0):
            bracket(card, part(light, rng, at=at), metered, trap)
            card.seconds += rng.uniform(0.5, 3)
    elif trap == "snapshots":
        _snapshots(card, seen)
        bracket(card, view, metered, trap)
        _snapshots(card, seen)
    elif trap == "burst":
        _burst(card, view, metered)
        card.seconds += rng.uniform(3, 20)
        bracket(card, next(seen), metered, trap)
    else:
        if trap == "test shot":
            _test_shot(card, view, metered)
        bracket(card, view, metered, trap)


@dataclass(frozen=True)
class Found:
    """How the search of one card ended."""

    camera: Camera
    brackets: int
    whole: int
    wrong: int
    broken: int
    pictures: int


def search(card: Card) -> Found:
    """Search a card, and compare the scenes that are found with the brackets that were shot."""
    scenes = [{card.shots[card.folder / file] for file in one.files} for one in find_brackets(card.folder)[0]]
    whole = sum(one in scenes for one in card.brackets)
    return Found(card.camera, len(card.brackets), whole, len(scenes) - whole, card.broken, len(card.shots))


def main(dataset: Dataset, seed: int = 0) -> None:
    """Print the table as Markdown."""
    lights = [light_of(files) for files in find_pairs(dataset)]
    rows: list[Found] = []
    for index, camera in enumerate(tqdm(CAMERAS, unit="card", leave=False)):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(search(write(camera, lights, Path(folder), seed + index)))
    total = replace(
        rows[0],
        brackets=sum(row.brackets for row in rows),
        whole=sum(row.whole for row in rows),
        wrong=sum(row.wrong for row in rows),
        broken=sum(row.broken for row in rows),
        pictures=sum(row.pictures for row in rows),
    )
    print("# Brackets on cards\n")
    print(TEXT.format(brackets=total.brackets))
    print("\n| Camera | Pictures | Brackets | Found whole | Broken off | Wrong pictures |\n|---|--:|--:|--:|--:|--:|")
    for name, row in [*((row.camera.name, row) for row in rows), ("**All**", total)]:
        share = f"{row.whole} ({100 * row.whole / row.brackets:.1f} %)"
        print(f"| {name} | {row.pictures} | {row.brackets} | {share} | {row.broken} | {row.wrong} |")


if __name__ == "__main__":
    run(main, DURATION)
