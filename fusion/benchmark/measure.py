"""One scene of a benchmark: what every method makes of it, measured at full size and kept.

Of each method there is a picture and, written last, a record: what it was made from, the picture's hash, its scores. A
record that fits is proof that nothing must be done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fusion.benchmark.evaluation import check_size, likeness
from fusion.benchmark.results import PREVIEWS, Time, finite, picture
from fusion.errors import ImageError
from fusion.exposures.brackets import SUFFIXES
from fusion.io.decode import decode
from fusion.io.encode import encode
from fusion.io.image import ExposurePair, Photo, load, load_pair, preview, save, to_uint8
from fusion.io.results_folder import RECORDS, sha256, write_file
from fusion.methods.base import Mode
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Scorer
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import Failed, Fused, Running, Session, method_named
from fusion.runtime import memory, weights
from fusion.runtime.workers import failure_reason
from fusion.settings import Settings
from fusion.training.datasets import PairFiles

JPEG = (".jpg", ".jpeg")
MEFB_QUALITY = 75
"""What MATLAB's `imwrite` gives a JPEG where nothing else is said. Chroma is halved in both directions."""
_PREVIEW_SIDE = 1600


@dataclass(frozen=True)
class Outside:
    """A method whose pictures were made elsewhere."""

    name: str
    folder: Path

    def find(self, scene: str) -> Path:
        """Its picture of a scene: `<scene>.*`, `<scene>_<name>.*` or `<scene>-<name>.*`, in any case, in the folder or
        in `<scene>/` below it, where any other name will do if there is but one picture.

        Raises `ImageError` that says what was looked for.
        """
        names = [scene, f"{scene}_{self.name}", f"{scene}-{self.name}"]
        below = _pictures(self.folder / scene)
        known = {name.casefold() for name in (*names, self.name)}
        found = [file for file in _pictures(self.folder) if file.stem.casefold() in known - {self.name.casefold()}]
        found = found or [file for file in below if file.stem.casefold() in known] or below
        if not found:
            tried = ", ".join(f"{name}.*" for name in names)
            raise ImageError(f"There is no picture of this scene in {self.folder}; tried {tried} and {scene}/*.")
        if len(found) > 1:
            said = ", ".join(file.relative_to(self.folder).as_posix() for file in found)
            raise ImageError(f"There are {len(found)} pictures of this scene in {self.folder}: {said}; leave one.")
        return found[0]


@dataclass(frozen=True)
class Scene:
    """A pair, and the hash of its files' names and bytes."""

    files: PairFiles
    sha256: str

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.files.scene


@dataclass(frozen=True)
class Run:
    """What is common to all scenes."""

    out: Path
    methods: tuple[str, ...]
    outside: tuple[Outside, ...] = ()
    mode: Mode = "auto"
    as_mefb: bool = False
    """Results of JPEG sources are measured after they went through a JPEG, as MEFB's were: its program writes each
    result under its source's extension, without naming a quality. Pictures from outside that are JPEGs already are
    measured as they are."""
    code_sha256: str = ""
    """Results of other code are not finished."""

    @property
    def settings(self) -> Settings:
        """How pictures are fused: as they stand."""
        return Settings(align=False, ghosts="ignore", mode=self.mode)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all methods."""
        return *self.methods, *(one.name for one in self.outside)


@dataclass(frozen=True)
class Record:
    """What is known of a finished result."""

    made_from: str
    """Hash of all that decides what it is."""
    picture: str
    """Hash of the PNG's bytes."""
    scores: dict[str, float]
    time: Time | None
    """None where the picture was made elsewhere."""


@dataclass(frozen=True)
class Outcome:
    """A scene's records, and why there is none, by the methods' names."""

    scene: str
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def attempt(self, name: str, made: Callable[[], Record | None]) -> None:
        """Take in a method's record, where there is one, or why making it failed."""
        try:
            with memory.errors_translated():
                if record := made():
                    self.records[name] = record
        except Exception as error:  # noqa: BLE001  # one method's defect must not stop the others
            self.failures[name] = failure_reason(error, f"{name}, {self.scene}")

    def due(self, run: Run) -> list[str]:
        """The methods that have neither."""
        return [name for name in run.names if name not in self.records and name not in self.failures]


class Measurer:
    """Measures one scene after the other; it loads and compiles the networks once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.session = Session()
        self._warm = False

    def __call__(self, scene: Scene) -> Outcome:
        """Fuse, measure and keep what is not finished. What fails is told, and leaves nothing old behind."""
        return measure(scene, self.run, self)

    def warm_up(self) -> None:
        """Load and compile once, so that no scene's time includes it."""
        if self._warm:
            return
        light = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
        for _ in self.session.compare([light / 4, (1 + light) / 2], self.run.methods, metrics=(), show_corrected=False):
            pass
        self._warm = True


def measure(scene: Scene, run: Run, by: Measurer) -> Outcome:
    """What every method makes of a scene, as far as it is not finished."""
    outcome = finished(scene, run)
    try:
        if due := outcome.due(run):
            with memory.errors_translated():
                _measure(scene, run, due, outcome, by)
    except Exception as error:  # noqa: BLE001  # one scene's defect must not stop the others
        outcome.failures.update(dict.fromkeys(outcome.due(run), failure_reason(error, scene.name)))
    for name in (*outcome.failures, *(() if outcome.records else PREVIEWS)):
        with suppress(OSError):
            for file in (picture(run.out, name, scene.name), _place(run, name, scene)):
                file.unlink(missing_ok=True)
    return outcome


def finished(scene: Scene, run: Run) -> Outcome:
    """What earlier runs have finished, and what cannot be begun."""
    outcome = Outcome(scene.name)
    for name in run.names:
        outcome.attempt(name, partial(_kept, name, scene, run))
    return outcome


def _measure(scene: Scene, run: Run, due: Sequence[str], outcome: Outcome, by: Measurer) -> None:
    bench = _Bench(scene, run, by.session)
    if ours := [name for name in run.methods if name in due]:
        by.warm_up()
        for name, made, time in _fused(bench.pair, ours, run.settings, by.session):
            if isinstance(made, str):
                outcome.failures[name] = made
            else:
                outcome.attempt(name, partial(bench.record, name, made, time))
    for one in run.outside:
        if one.name in due:
            outcome.attempt(one.name, partial(bench.given, one))


def _kept(name: str, scene: Scene, run: Run) -> Record | None:
    """A method's record, where that proves the result to be finished."""
    record, file = _read(_place(run, name, scene)), picture(run.out, name, scene.name)
    if record and record.made_from == _identity(name, scene, run) and file.is_file() and sha256(file) == record.picture:
        return record
    return None


def weights_of(name: str) -> dict[str, str]:
    """Hashes of the weights that a method of ours uses."""
    used = {name, *(("iat",) if method_named(name).enhanced else ())}
    return {key: entry["sha256"] for key, entry in weights.entries().items() if key in used}


class _Bench:
    """The scene's photographs, where pictures are measured against them."""

    def __init__(self, scene: Scene, run: Run, session: Session) -> None:
        self.scene, self.run, self.session = scene, run, session
        files = scene.files
        self.pair = load_pair(files.under, files.over, sandbox=session.sandbox)
        self.reference = self._load(files.reference, "The reference") if files.reference else None
        self.scorer = Scorer(self.pair, BENCHMARK, limit=None)
        for kind, photo in (("under", self.pair.under), ("over", self.pair.over), ("reference", self.reference)):
            if photo is not None:
                write_file(picture(run.out, kind, scene.name), preview(photo, _PREVIEW_SIDE))

    def _load(self, file: Path, name: str) -> Photo:
        return load(file, name, sandbox=self.session.sandbox).photo

    def given(self, one: Outside) -> Record:
        """Measure and keep a picture that was made elsewhere."""
        file = one.find(self.scene.name)
        return self.record(one.name, self._load(file, "The fused picture"), None, file.suffix)

    def record(self, name: str, photo: Photo, time: Time | None, suffix: str = "") -> Record:
        """Measure and keep a picture; `suffix` is of the file that it came in."""
        check_size(self.pair, photo)
        lossy = self.scene.files.under.suffix.lower() in JPEG and suffix.lower() not in JPEG
        if self.run.as_mefb and lossy:
            photo = _through_jpeg(photo)
        file = picture(self.run.out, name, self.scene.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        save(photo, file)
        scores = self.scorer(photo) | ({} if self.reference is None else likeness(photo, self.reference))
        record = Record(_identity(name, self.scene, self.run), sha256(file), finite(scores), time)
        write_file(_place(self.run, name, self.scene), json.dumps(asdict(record), indent=1).encode())
        return record


def _fused(
    pair: ExposurePair, names: Sequence[str], settings: Settings, session: Session
) -> Iterator[tuple[str, Photo | str, Time | None]]:
    """What methods make of the pair and what it took, or why they failed.

    Each runs twice: memory is known only where it was handed back before, and taking it anew takes time.
    """
    peaks: dict[str, float | None] = {}
    base = None
    for event in session.compare(pair, names, settings, metrics=(), show_corrected=False):
        if isinstance(event, Running):
            base = memory.reset_peak()
        elif isinstance(event, Fused):
            peaks[event.method.name] = None if base is None else memory.peak_mb() - base
    np.ones(int(max((peak or 0 for peak in peaks.values()), default=0)) << 20, np.uint8)  # takes the memory back
    for event in session.compare(pair, names, settings, metrics=(), show_corrected=False):
        if isinstance(event, Fused) and event.short_of_memory:
            yield event.method.name, f"{event.notes[0]} Such a result is not measured.", None
        elif isinstance(event, Fused):
            yield event.method.name, event.photo, Time(event.seconds, peaks.get(event.method.name))
        elif isinstance(event, Failed):
            yield event.method.name, event.reason, None


def _through_jpeg(photo: Photo) -> Photo:
    pixels = decode(encode(to_uint8(photo), ".jpg", quality=MEFB_QUALITY), "The fused picture").pixels
    return torch.tensor(pixels).permute(2, 0, 1) / 255


def _identity(name: str, scene: Scene, run: Run) -> str:
    """The hash of all that decides what a method's result for a scene is."""
    outside = next((one for one in run.outside if one.name == name), None)
    facts = {
        "scene": scene.sha256,
        "made_by": sha256(outside.find(scene.name)) if outside else {"method": name, "weights": weights_of(name)},
        "mode": run.mode,
        "as_mefb": run.as_mefb,
        "metrics": [metric.name for metric in (*BENCHMARK, *REFERENCE)],
        "code": run.code_sha256,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _place(run: Run, name: str, scene: Scene) -> Path:
    """Of a result's record."""
    return run.out / RECORDS / name / f"{scene.name}.json"


def _read(place: Path) -> Record | None:
    """The record, or None where there is none of this form."""
    try:
        said = json.loads(place.read_bytes())
        return Record(**said | {"time": said["time"] and Time(**said["time"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _pictures(folder: Path) -> list[Path]:
    """Files in a folder that may be pictures, by name; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
