"""How much memory networks may use, that they do not use more, and what happens if it runs out nevertheless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import cv2
import psutil
import pytest
import torch
from torch import Tensor

import fusion
from fusion import pipeline
from fusion.errors import NotEnoughMemoryError
from fusion.io.image import ExposurePair, Photo, save
from fusion.methods import METHODS
from fusion.methods.base import Fuser, Mode
from fusion.pipeline import Failed, Fused, compare
from fusion.runtime import memory
from fusion.settings import Settings


def test_the_budget_is_half_of_what_is_free_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: 1000 << 20)
    assert memory.budget() == 500 << 20
    assert memory.budget(3) == 3 << 20


def test_where_nothing_is_free_networks_still_see_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: 0)
    for method in METHODS:
        if not method.unavailable:
            assert min(Fuser(method).seen(1000, 1500)) >= 100, method.name


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "5000", "memory.current": "2000"}, 3000),
        ({"memory.max": "5000", "memory.current": "4000", "memory.stat": "anon 90\ninactive_file 3000\n"}, 4000),
        (
            {
                "memory/memory.limit_in_bytes": "5000",
                "memory/memory.usage_in_bytes": "4000",
                "memory/memory.stat": "cache 9\ntotal_inactive_file 3000\n",
            },
            4000,
        ),
        ({"memory.max": "max", "memory.current": "2000"}, None),
        ({"memory/memory.limit_in_bytes": "700", "memory/memory.usage_in_bytes": "900"}, 0),
        ({}, None),
    ],
    ids=[
        "second version",
        "files in memory",
        "files in memory, first version",
        "no limit",
        "first version, exceeded",
        "none",
    ],
)
def test_a_containers_limit_is_read(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    read = memory._free_in_container(tmp_path)  # pyright: ignore[reportPrivateUsage]
    assert read == free if free is not None else read > 1 << 60


def test_a_network_sees_no_more_than_the_budget_allows() -> None:
    hungry = next(method for method in METHODS if method.needs.working_bytes and not method.needs.largest)
    fuser = Fuser(replace(hungry, needs=replace(hungry.needs, working_bytes=1 << 10)), memory_mb=4)
    height, width = fuser.seen(100, 80, "exact")
    assert 3500 < height * width <= 4200
    scene = torch.rand(3, 100, 80, generator=torch.Generator().manual_seed(0))
    assert fuser(ExposurePair(scene / 3, (1 + scene) / 2), mode="exact").shape == (3, 100, 80)


def test_of_more_exposures_a_network_for_many_sees_less() -> None:
    scene = torch.rand(3, 200, 160, generator=torch.Generator().manual_seed(0))
    pair = ExposurePair(scene / 3, (1 + scene) / 2, between=(scene / 2, (scene + 0.5) / 2))

    def pixels(more: Sequence[Photo]) -> int:
        events = compare(
            pair.under, pair.over, ["pyramef"], more=more, align=False, metrics=(), mode="exact", memory_mb=4
        )
        return next(event.seen[0] * event.seen[1] for event in events if isinstance(event, Fused))

    assert pixels(()) == pytest.approx(3 * pixels(pair.between), rel=0.1)


# Where it runs out.


ON_CPU = (
    MemoryError,
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    lambda: cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9000000 bytes"),
)
ON_GPU = (
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    lambda: RuntimeError("CUDA error: out of memory"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)
QUICK = [method for method in METHODS if not (method.unavailable or method.needs.largest)]
SCENE = torch.nn.functional.interpolate(
    torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(3)), (48, 64), mode="bicubic"
)[0].clamp(0, 1)
PAIR = SCENE / 3, (1 + SCENE) / 2


class Faults:
    """Lets the next `count` attempts of any method run out of memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.attempts, self.error = 0, 0, MemoryError
        read = Fuser._read  # pyright: ignore[reportPrivateUsage]

        def failing(fuser: Fuser, photo: Tensor) -> Tensor:
            if self.count:
                self.count -= 1
                self.attempts += 1
                raise self.error()
            return read(fuser, photo)

        monkeypatch.setattr(Fuser, "_read", failing)

    def inject(self, count: int, error: Callable[[], Exception]) -> None:
        self.count, self.attempts, self.error = count, 0, error  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A simulated GPU: tensors moved to it stay on the CPU, and as many moves as a test asks for run out of memory."""
    left = [0]
    move, to = Tensor.to, torch.nn.Module.to

    def moved(self: Tensor, *where: object, **named: object) -> Tensor:
        if where and isinstance(where[0], torch.device) and where[0].type == "cuda":
            if left[0]:
                left[0] -= 1
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return self
        return move(self, *where, **named)  # pyright: ignore[reportCallIssue, reportArgumentType]

    def settled(self: torch.nn.Module, *where: object, **named: object) -> torch.nn.Module:
        return self if where == (torch.device("cuda"),) else to(self, *where, **named)  # pyright: ignore[reportCallIssue, reportArgumentType]

    monkeypatch.setattr(Tensor, "to", moved)
    monkeypatch.setattr(torch.nn.Module, "to", settled)

    def full(count: int) -> None:
        left[0] = count

    return full


def test_a_hundred_times_out_of_memory(faults: Faults) -> None:
    """A method is tried again up to three times with less memory; if that helps, a note says so, else a sentence."""
    draw = Random(0)
    answered = 0
    for number in range(100):
        method = QUICK[number % len(QUICK)]
        times = draw.randint(1, pipeline.RETRIES + 1)
        faults.inject(times, draw.choice(ON_CPU + ON_GPU))
        events = compare(*PAIR, [method.name], align=False, ghosts="ignore", metrics=(), show_corrected=False)
        fused = next(event for event in events if isinstance(event, (Fused, Failed)))
        assert faults.attempts == times
        if times <= pipeline.RETRIES:
            assert isinstance(fused, Fused)
            assert fused.photo.shape == SCENE.shape
            assert bool(fused.photo.isfinite().all())
            assert "emory ran out" in fused.notes[0]
            small = not (method.needs.cheap or method.needs.halo is not None)
            assert (fused.seen < SCENE.shape[1:]) == small
        else:
            assert isinstance(fused, Failed)
            assert fused.reason == "There was not enough memory for this picture; try a smaller one."
        answered += 1
    assert answered == 100


def test_nothing_is_said_where_there_is_enough(faults: Faults) -> None:
    faults.inject(0, MemoryError)
    for event in compare(*PAIR, ["pyramef"], align=False, metrics=()):
        assert not isinstance(event, Fused) or not event.short_of_memory


@pytest.mark.parametrize("name", ["deepfuse", "pyramef"])
@pytest.mark.parametrize("mode", ["exact", "auto"])
def test_a_full_gpu_changes_no_picture(gpu: Callable[[int], None], name: str, mode: Mode) -> None:
    """Smaller tiles, or else the CPU, give the same picture as the GPU would have given."""
    expected = fusion.fuse(*PAIR, name, align=False, device="cuda", mode=mode)
    scene = pipeline.Scene(ExposurePair(*PAIR))
    for times, sentence in ((1, "smaller parts" if name == "deepfuse" else "processor"), (3, "processor")):
        gpu(times)
        with pipeline.Session("cuda") as session:
            made = session.fuse(scene, name, Settings(mode=mode))
        assert float((made.photo - expected).abs().max()) <= 1 / 255
        assert sentence in made.notes[0]


def test_the_visitors_options_hold_on_the_cpu_as_well(gpu: Callable[[int], None]) -> None:
    pair, options = ExposurePair(*PAIR), {"mertens": {"contrast": 0.0}}
    expected = pipeline.fuse_pair(pair, "mertens", options=options)
    assert float((pipeline.fuse_pair(pair, "mertens") - expected).abs().max()) > 1 / 255
    gpu(1)
    assert torch.equal(pipeline.fuse_pair(pair, "mertens", device="cuda", options=options), expected)


def test_the_exposure_is_corrected_on_the_cpu_where_the_gpu_is_full(gpu: Callable[[int], None]) -> None:
    expected = fusion.fuse(*PAIR, "mambamef", align=False)
    gpu(1)  # the first that goes there is a luma for IAT
    assert float((fusion.fuse(*PAIR, "mambamef", align=False, device="cuda") - expected).abs().max()) <= 1 / 255


def test_tiles_are_halved_on_the_grid() -> None:
    tiled = next(method for method in QUICK if method.needs.halo is not None)
    fuser = Fuser(tiled, tile=32)
    sides = [fuser.tile]
    for _ in range(pipeline.RETRIES):
        fuser = fuser.thriftier()
        sides.append(fuser.tile)
    assert sides == [32, 16, 8, 4]


def test_what_a_failed_attempt_took_is_given_back(faults: Faults) -> None:
    process = psutil.Process()
    fusion.fuse(*PAIR, "mefnet", align=False)
    before = process.memory_info().rss
    held: list[Tensor] = []

    def hungry() -> Exception:
        held.append(torch.ones(50 << 20))  # 200 MB, alive as long as what raised
        error = MemoryError()
        error.__context__ = RuntimeError(held.pop())
        return error

    for _ in range(3):
        faults.inject(3, hungry)
        fusion.fuse(*PAIR, "mefnet", align=False)
    assert process.memory_info().rss - before < 50 << 20


def test_memory_that_runs_out_elsewhere_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fusion.cli import main

    paths = [tmp_path / "under.png", tmp_path / "over.png"]
    for photo, path in zip(PAIR, paths, strict=True):
        save(photo, path)

    def exhausted(*_: object, **__: object) -> None:
        bytearray(1 << 62)

    monkeypatch.setattr("fusion.pipeline.registered", exhausted)
    with pytest.raises(NotEnoughMemoryError, match="try a smaller one"):
        fusion.fuse(*paths, method="mertens")
    assert main(["fuse", *map(str, paths), "-o", str(tmp_path / "out.png")]) == 1
    assert capsys.readouterr().err == "There was not enough memory for this picture; try a smaller one.\n"


def test_a_full_memory_is_no_defect_of_a_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from fusion.exposures.brackets import find_brackets
    from fusion.folders.results import FailedBracket, FolderRun
    from fusion.folders.run import BracketFuser

    def exhausted(*_: object, **__: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr("fusion.pipeline.registered", exhausted)
    (bracket, *_), _ = find_brackets(dataset)
    result = BracketFuser(FolderRun(dataset, tmp_path, "mertens"))(bracket)
    assert isinstance(result, FailedBracket)
    assert result.reason.startswith("There was not enough memory")
    assert caplog.text == ""
