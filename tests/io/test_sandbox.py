"""Decoding in limited processes: hostile files, and decoders that hang, die, lie or are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from fusion.errors import ImageError, Refusal
from fusion.io import image, sandbox
from fusion.io.image import load
from tests.attack.corpus import DECODED, attempt, attempt_all, children_watched, written
from tests.attack.hostile import bombs, mutants
from tests.pictures import colours, encoded, many_scans
from tests.shared_session import SESSION

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="most bounds are Linux's")
ROOT = Path(__file__).resolve().parents[2]
MB = 1_000_000
ONE_SANDBOX = (
    "from functools import partial; from fusion.io import image, sandbox; "
    "load = partial(image.load, sandbox=sandbox.Sandbox())"
)
"""The beginning of programs of their own, which keep their decoders from one file to the next."""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(Image.fromarray(colours()), "PNG"))
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A picture that takes long to decode."""
    path = tmp_path / "large.jpg"
    path.write_bytes(many_scans(90, np.zeros((4000, 4000, 3), np.uint8)))
    return path


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[sandbox.Sandbox]:
    """A sandbox that has not started any decoder yet, for `load` to use."""
    SESSION.sandbox.close()  # its decoders are children of this process, too
    with sandbox.Sandbox() as pool:
        monkeypatch.setitem(globals(), "load", partial(image.load, sandbox=pool))
        monkeypatch.setitem(globals(), "load_pair", partial(image.load_pair, sandbox=pool))
        yield pool


def served(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let decoders run this code instead, in which `os`, `json`, `time` and `sandbox` are imported."""
    entry = "import sys; sys.path[:] = sys.argv[1:]; import os, json, time; from fusion.io import sandbox; "
    if "sandbox.serve()" not in code:  # which says so itself
        entry += "os.write(1, sandbox.READY); "
    monkeypatch.setattr(sandbox, "SERVE_COMMAND", entry + code)


def refused(path: Path) -> ImageError:
    with pytest.raises(ImageError) as refusal:
        load(path)
    return refusal.value


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


def decoding_seconds() -> float:
    """Processor time of all decoders."""
    return sum(one.cpu_times().user for one in children())


def children() -> list[psutil.Process]:
    """The decoders that live: this process's children without those of the browser's and multiprocessing's."""
    living = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in living if sandbox.SERVE_COMMAND in one.cmdline()]


# Hostile files


def test_mutants_are_pictures_or_refusals(tmp_path: Path, pool: sandbox.Sandbox) -> None:
    with children_watched() as peak:
        rows = attempt_all(written(mutants(2400, seed=1), tmp_path), pool)
    known = {DECODED, *(code.value for code in Refusal)} - {Refusal.CRASHED.value, Refusal.TOO_SLOW.value}
    assert [row for row in rows if row.outcome not in known] == []
    assert sum(row.outcome == DECODED for row in rows) > 100
    seconds = sorted(row.seconds for row in rows)
    assert seconds[int(len(rows) * 0.99)] < 0.5
    assert seconds[-1] < 10
    assert 0 < peak.resident < 1000 * MB


def test_bombs_are_refused_before_their_pixels(tmp_path: Path, picture: Path, pool: sandbox.Sandbox) -> None:
    made = bombs()
    assert len(made) == 28
    load_everything = written(((name, data) for name, (data, _) in made.items()), tmp_path)
    with children_watched() as peak:
        load(picture)  # starts the decoder, whose time is not that of a file
        rows = [attempt(*file, pool) for file in load_everything]
    assert {row.name: row.outcome for row in rows} == {name: outcome for name, (_, outcome) in made.items()}
    assert max(row.seconds for row in rows) < 1
    assert 0 < peak.resident < 300 * MB


def test_50_megapixels_of_16_bits_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 60)  # this test is about memory, and the machine may be busy
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((7071, 7071, 3), 4660, np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with children_watched() as peak:
        picture = load(path)
    assert (picture.bits, picture.photo.shape) == (16, (3, 7071, 7071))
    assert float(picture.photo[1, -1, -1]) == pytest.approx(4660 / 65535)
    assert 0 < peak.resident < 1000 * MB


# Children that fail


def test_a_killed_child_is_a_sentence_and_the_next_file_is_read(picture: Path, large: Path) -> None:
    expected = load(picture).photo
    for _ in range(20):  # tests.attack kills fifty
        with ThreadPoolExecutor(1) as other:
            before = decoding_seconds()
            asked = other.submit(load, large)
            until(lambda before=before: decoding_seconds() > before)
            killed = time.perf_counter()
            for one in children():
                one.kill()
            error = asked.exception()
            assert time.perf_counter() - killed < 2
        assert isinstance(error, ImageError)
        assert error.code is Refusal.CRASHED
        assert str(error).startswith("The picture could not be decoded because the decoder stopped; ")
        assert torch.equal(load(picture).photo, expected)


def test_an_idle_child_that_was_killed_is_not_noticed(picture: Path) -> None:
    load(picture)
    for one in children():
        one.kill()
        assert psutil.wait_procs([one], 30)[1] == []
    assert load(picture).bits == 8


def test_a_child_that_hangs_is_killed(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.5)
    start = time.perf_counter()
    assert refused(picture).code is Refusal.TOO_SLOW
    assert time.perf_counter() - start < 3
    assert children() == []


def test_the_processor_s_time_is_bounded(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 120)  # the parent's clock must not be what ends it
    served(
        monkeypatch,
        "sandbox.MAX_SECONDS = 0; sandbox.decode = lambda *_: [None for _ in iter(int, 1)]; sandbox.serve()",
    )
    start = time.perf_counter()
    assert refused(picture).code is Refusal.TOO_SLOW
    assert time.perf_counter() - start < 100


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("bytearray(1_100_000_000)", Refusal.OUT_OF_MEMORY),
        ("os.abort()", Refusal.CRASHED),
        ("open('/etc/hostname')", Refusal.DAMAGED),
        ("__import__('socket').socket()", Refusal.DAMAGED),
        ("os.ftruncate(os.memfd_create('a'), 9)", Refusal.DAMAGED),
        ("os.environ['SECRET']", Refusal.DAMAGED),
    ],
)
def test_what_a_child_may_not(picture: Path, monkeypatch: pytest.MonkeyPatch, deed: str, code: Refusal) -> None:
    """The system refuses, which is reported like a damaged file; a deed that succeeds would end as a crash."""
    monkeypatch.setenv("SECRET", "canary")
    served(
        monkeypatch,
        f"import socket, fusion.io.decode as d; d.tiff_tags = lambda _: ({deed}, os._exit(9)); sandbox.serve()",
    )
    assert refused(picture).code is code


@pytest.mark.parametrize(
    "answer",
    [
        "b'no length'",
        "sandbox._LENGTH.pack(1 << 30)",
        "line(b'no json')",
        "line(b'[' * 60_000)",
        "line(b'{}')",
        """line(b'{"code": "made_up", "sentence": "a"}')""",
        "picture(bits=9, words=b'\\xff' * 20 * 30 * 3 * 2)",
        "picture(bits=32, words=b'\\xff' * 20 * 30 * 3 * 4)",
        "picture(bits=64)",
        "picture(shape=[20, 30, 4])",
        "picture(exif=1 << 30)",
        "picture(profile=-1)",
        "picture(table=7)",
        "picture(notes=3)",
    ],
)
def test_a_child_that_lies_is_not_believed(picture: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    served(
        monkeypatch,
        "line = lambda text: sandbox._LENGTH.pack(len(text)) + text; "
        "said = dict(shape=[20, 30, 3], bits=8, notes=[], exif=0, profile=0, table=0); "
        "picture = lambda words=b'', **lies: line(json.dumps({**said, **lies}).encode()) + words; "
        f"os.read(0, 4096); os.write(1, {answer})",
    )
    assert refused(picture).code is Refusal.CRASHED


def test_what_a_child_announces_is_judged_by_size(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"shape": [20, 9000000, 3], "bits": 8, "notes": [], "exif": 0, "profile": 0, "table": 0'
    text += ', "opaque": false, "orientation": 1, "gamut": "srgb", "saturation": 0}'
    served(monkeypatch, f"os.read(0, 4096); os.write(1, sandbox._LENGTH.pack({len(text)}) + {text.encode()!r})")
    assert refused(picture).code is Refusal.TOO_LARGE


def test_no_child_can_be_started(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert refused(picture).code is Refusal.CRASHED


# Many at once, and other processes


def test_there_are_never_more_than_so_many(picture: Path) -> None:
    counts: list[int] = []
    with ThreadPoolExecutor(8) as threads:
        for answer in [threads.submit(load, picture) for _ in range(40)]:
            answer.result()
            counts.append(len(children()))
    assert max(counts) <= sandbox.MAX_DECODERS


def test_children_are_used_again_and_replaced_in_time(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "FILES_PER_DECODER", 3)
    seen: list[int] = []
    for _ in range(6):
        load(picture)
        seen += [one.pid for one in children()]
    assert seen[0] == seen[1]
    assert len(set(seen)) == 2


def test_a_fork_has_children_of_its_own(picture: Path) -> None:
    load(picture)
    (own,) = children()
    code = (
        f"import os, psutil, sys; {ONE_SANDBOX}; load(sys.argv[1]); "
        "(own,) = psutil.Process().children(); pid = os.fork(); load(sys.argv[1]); "
        "mine = {one.pid for one in psutil.Process().children()}; "
        "os._exit(own.pid in mine or len(mine) != 1) if pid == 0 else None; "
        "ended = os.waitpid(pid, 0)[1]; load(sys.argv[1]); "
        "sys.exit(ended or {one.pid for one in psutil.Process().children()} != {own.pid})"
    )
    subprocess.run([sys.executable, "-c", code, str(picture)], cwd=ROOT, check=True, timeout=60)
    assert own.is_running()


def test_children_end_with_their_parent(picture: Path) -> None:
    code = (
        f"import psutil, sys, time; {ONE_SANDBOX}; load(sys.argv[1]); "
        "print(*(one.pid for one in psutil.Process().children()), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(picture)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        (own,) = (psutil.Process(int(pid)) for pid in parent.stdout.readline().split())
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs([own], 30)
    assert gone == [own] or own.status() == psutil.STATUS_ZOMBIE


def test_no_home_no_working_directory_no_environment(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit")  # nothing is imported from where one happens to be
    code = f"import os, sys; sys.path[:] = [p for p in sys.path if p] + [{str(ROOT)!r}]; "
    code += "from fusion.io.image import load; load(sys.argv[1])"
    subprocess.run([sys.executable, "-I", "-c", code, str(picture)], cwd=tmp_path, env={}, check=True, timeout=60)
