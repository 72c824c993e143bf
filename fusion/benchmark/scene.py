"""One scene of a benchmark: every method fuses it, and every picture is measured at full size and kept.

Each method leaves a picture and a record, which is written last. The record says what the picture was made from, the
picture's hash, and its scores. Where a record still fits, its method is not run again.
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

from fusion.benchmark.measure import check_size, measure_against_reference
from fusion.benchmark.results import PREVIEWS, Time, finite, picture
from fusion.errors import ImageError
from fusion.io.decode import decode
from fusion.io.encode import encode
from fusion.io.image import ExposurePair, Photo, load, load_pair, preview, save, to_uint8
from fusion.io.results_folder import RECORDS, sha256, write_file
from fusion.io.suffixes import PICTURES
from fusion.methods import method_named
from fusion.methods.base import Mode
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Scorer
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import Failed, Fused, Running, Session
from fusion.runtime import memory, weights
from fusion.runtime.workers import failure_reason
from fusion.settings import Settings
from fusion.training.datasets import PairFiles

JPEG = (".jpg", ".jpeg")
MEFB_QUALITY = 75
"""The quality that MATLAB's `imwrite` uses by default. It halves the chroma in both directions."""
_PREVIEW_SIDE = 1600
"""Pixels of a preview's longest side, at most."""


@dataclass(frozen=True)
class ExternalMethod:
    """A method that was run elsewhere: a name, and the folder of its fused pictures."""

    name: str
    folder: Path

    def find(self, scene: str) -> Path:
        """The method's picture of a scene.

        It may be called `<scene>.*`, `<scene>_<name>.*` or `<scene>-<name>.*`, in upper or lower case, and lie in the
        folder or in a folder `<scene>` below it. A single picture in `<scene>` may have any name. Raises `ImageError`
        where there is no picture or more than one, and says which names were tried.
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
class BenchmarkScene:
    """One scene of the dataset."""

    files: PairFiles
    sha256: str
    """A hash of the names and bytes of the scene's files."""

    @property
    def name(self) -> str:
        """The name of the scene's folder."""
        return self.files.scene


@dataclass(frozen=True)
class BenchmarkRun:
    """The settings that all scenes of a benchmark share: where results go, what is measured, and how."""

    out: Path
    """The report's folder."""
    methods: tuple[str, ...]
    """The names of the methods that are run here."""
    outside: tuple[ExternalMethod, ...] = ()
    mode: Mode = "auto"
    memory_mb: int | None = None
    """Megabytes that a network may use on the processor; None allows half of what is free."""
    as_mefb: bool = False
    """Save results of JPEG sources as JPEG before they are measured, as MEFB's program did: it writes each result under
    its source's extension, at MATLAB's default quality. External pictures that are JPEG files already are measured as
    they are."""
    code_sha256: str = ""
    """A hash of the code that fuses and measures. Results of other code are made again."""

    @property
    def settings(self) -> Settings:
        """The settings for fusing: exposures are fused as they are, and colours are merged as published."""
        return Settings(
            align=False,
            repair=False,
            ghosts="ignore",
            mode=self.mode,
            colour="published",
            memory_mb=self.memory_mb,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all methods: first those that are run here, then the external ones."""
        return *self.methods, *(one.name for one in self.outside)


@dataclass(frozen=True)
class ResultRecord:
    """The record of one method's finished result for one scene."""

    made_from: str
    """A hash of everything that decides what the result is."""
    picture: str
    """A hash of the PNG file's bytes."""
    scores: dict[str, float]
    """The scores by the metrics' names; values that are not finite are left out."""
    time: Time | None
    """None for external methods."""


@dataclass(frozen=True)
class SceneResult:
    """The results of one scene. For each method there is a record or, where it failed, a reason."""

    scene: str
    records: dict[str, ResultRecord] = field(default_factory=dict[str, ResultRecord])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def attempt(self, name: str, made: Callable[[], ResultRecord | None]) -> None:
        """Call `made` and keep the record that it returns, or the reason why it failed."""
        try:
            with memory.errors_translated():
                if record := made():
                    self.records[name] = record
        except Exception as error:  # noqa: BLE001  # one method's defect must not stop the others
            self.failures[name] = failure_reason(error, f"{name}, {self.scene}")

    def due(self, run: BenchmarkRun) -> list[str]:
        """The names of the methods that have neither a record nor a failure yet."""
        return [name for name in run.names if name not in self.records and name not in self.failures]


class SceneMeasurer:
    """Measures one scene after the other in one process, which loads and compiles the networks once."""

    def __init__(self, run: BenchmarkRun) -> None:
        self.run = run
        self.session = Session()
        self._warm = False

    def __call__(self, scene: BenchmarkScene) -> SceneResult:
        """Fuse and measure what earlier runs have not finished. A method that fails leaves no older files behind."""
        return _measured(scene, self.run, self)

    def warm_up(self) -> None:
        """Load and compile everything once, so that no scene's time includes it."""
        if not self._warm:
            light = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
            pair = light / 4, (1 + light) / 2
            methods, settings = self.run.methods, self.run.settings  # the session keeps networks by their settings
            for _ in self.session.compare(pair, methods, settings, metrics=(), show_corrected=False):
                pass
        self._warm = True


def _measured(scene: BenchmarkScene, run: BenchmarkRun, by: SceneMeasurer) -> SceneResult:
    outcome = finished(scene, run)
    try:
        if due := outcome.due(run):
            with memory.errors_translated():
                _measure(scene, run, due, outcome, by)
    except Exception as error:  # noqa: BLE001  # one scene's defect must not stop the others
        outcome.failures.update(dict.fromkeys(outcome.due(run), failure_reason(error, scene.name)))
    for name in (*outcome.failures, *(() if outcome.records else PREVIEWS)):
        with suppress(OSError):
            for file in (picture(run.out, name, scene.name), _record_file(run, name, scene)):
                file.unlink(missing_ok=True)
    return outcome


def finished(scene: BenchmarkScene, run: BenchmarkRun) -> SceneResult:
    """The records of earlier runs that still fit, and the methods that cannot be started, such as missing pictures."""
    outcome = SceneResult(scene.name)
    for name in run.names:
        outcome.attempt(name, partial(_kept, name, scene, run))
    return outcome


def _measure(
    scene: BenchmarkScene, run: BenchmarkRun, due: Sequence[str], outcome: SceneResult, by: SceneMeasurer
) -> None:
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


def _kept(name: str, scene: BenchmarkScene, run: BenchmarkRun) -> ResultRecord | None:
    """A method's record, or None where the method must run again."""
    record, file = _read(_record_file(run, name, scene)), picture(run.out, name, scene.name)
    if record and record.made_from == _identity(name, scene, run) and file.is_file() and sha256(file) == record.picture:
        return record
    return None


def weights_of(name: str) -> dict[str, str]:
    """The hashes of the weights that a method uses, by name: its own, and IAT's where it reads corrected exposures."""
    used = {name, *(("iat",) if method_named(name).needs.enhanced else ())}
    return {key: entry["sha256"] for key, entry in weights.entries().items() if key in used}


class _Bench:
    """The loaded photographs of one scene, against which pictures are measured."""

    def __init__(self, scene: BenchmarkScene, run: BenchmarkRun, session: Session) -> None:
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

    def given(self, one: ExternalMethod) -> ResultRecord:
        """Measure and keep an external method's picture."""
        file = one.find(self.scene.name)
        return self.record(one.name, self._load(file, "The fused picture"), None, file.suffix)

    def record(self, name: str, photo: Photo, time: Time | None, suffix: str = "") -> ResultRecord:
        """Measure and keep a picture. `suffix` is that of the file that an external picture came in."""
        check_size(self.pair, photo)
        lossy = self.scene.files.under.suffix.lower() in JPEG and suffix.lower() not in JPEG
        if self.run.as_mefb and lossy:
            photo = _through_jpeg(photo)
        file = picture(self.run.out, name, self.scene.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        save(photo, file)
        scores = self.scorer(photo) | (
            {} if self.reference is None else measure_against_reference(photo, self.reference)
        )
        record = ResultRecord(_identity(name, self.scene, self.run), sha256(file), finite(scores), time)
        write_file(_record_file(self.run, name, self.scene), json.dumps(asdict(record), indent=1).encode())
        return record


def _fused(
    pair: ExposurePair, names: Sequence[str], settings: Settings, session: Session
) -> Iterator[tuple[str, Photo | str, Time | None]]:
    """For each method its picture and what it took, or the reason why it failed.

    Each method runs twice. The first run measures memory, for which unused memory must be handed back to the system
    before; the second measures time, for which it must not, since taking memory from the system again takes time.
    """
    peaks: dict[str, float | None] = {}
    base = None
    for event in session.compare(pair, names, settings, metrics=(), show_corrected=False):
        if isinstance(event, Running):
            base = memory.reset_peak()
        elif isinstance(event, Fused):
            peaks[event.method.name] = None if base is None else memory.peak_mb() - base
    # Touch as much memory as the first run needed: the process keeps it for the second run.
    np.ones(int(max((peak or 0 for peak in peaks.values()), default=0)) << 20, np.uint8)
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


def _identity(name: str, scene: BenchmarkScene, run: BenchmarkRun) -> str:
    """A hash of everything that decides what a method's result for a scene is."""
    outside = next((one for one in run.outside if one.name == name), None)
    facts = {
        "scene": scene.sha256,
        "made_by": sha256(outside.find(scene.name)) if outside else {"method": name, "weights": weights_of(name)},
        "mode": run.mode,
        "memory_mb": run.memory_mb,
        "as_mefb": run.as_mefb,
        "metrics": [metric.name for metric in (*BENCHMARK, *REFERENCE)],
        "code": run.code_sha256,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _record_file(run: BenchmarkRun, name: str, scene: BenchmarkScene) -> Path:
    """The file that holds the record of a result."""
    return run.out / RECORDS / name / f"{scene.name}.json"


def _read(file: Path) -> ResultRecord | None:
    """The record in a file, or None where the file is missing or has another form."""
    try:
        said = json.loads(file.read_bytes())
        return ResultRecord(**said | {"time": said["time"] and Time(**said["time"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _pictures(folder: Path) -> list[Path]:
    """The files in a folder whose extension is that of a picture, sorted by name; empty where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")
    )
