"""The line before the page's work: who is served, who is refused, and what nobody waits for any more."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion.io.image import as_pair
from fusion.methods import METHODS, method_named
from fusion.methods.base import Fuser
from fusion.page import job_queue
from fusion.page.job_queue import Line, Place, RefusedError
from fusion.pipeline import Loaded, Scene
from fusion.runtime import cancel, memory
from tests.shared_session import load


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


class Slow:
    """A job of two states; the second comes only after `open`."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.gate = threading.Event()
        self.stopped = threading.Event()

    def steps(self) -> Generator[int, None, None]:
        try:
            self.made.append(1)
            yield 1
            while not self.gate.is_set():
                cancel.check()
                time.sleep(0.01)
            yield 2
        finally:
            self.stopped.set()


def following(line: Line, job: Slow, **options: Any) -> tuple[Iterator[Any], Callable[[], list[Any]]]:
    """A follower that has seen its place or the first state, and what reads the rest."""
    states = line.follow(job.steps, **options)
    first = next(state for state in states if state != Place(0))
    return states, lambda: [first, *states]


def test_jobs_are_served_one_at_a_time_and_told_their_place(line: Line) -> None:
    first, second, third = Slow(), Slow(), Slow()
    _, finish = following(line, first)
    _, finish_second = following(line, second)
    third_states, _ = following(line, third)
    assert second.made == third.made == []
    first.gate.set()
    assert finish() == [1, 2]
    assert next(third_states) == Place(1)
    second.gate.set()
    told = finish_second()
    assert (told[0], told[-1]) == (Place(1), 2)
    third.gate.set()
    assert list(third_states)[-1] == 2
    assert line.idle


def test_a_job_without_methods_is_one_like_others(line: Line) -> None:
    for _ in range(2):
        job = Slow()
        job.gate.set()
        assert list(line.follow(job.steps, methods=0))[-1] == 2
        assert line.idle


def test_the_same_is_made_once_for_all_who_ask(line: Line) -> None:
    job = Slow()
    _, one = following(line, job, key="example")
    _, other = following(line, job, key="example")
    job.gate.set()
    assert one() == [1, 2]
    assert other() == [1, 2]
    assert job.made == [1]


def test_a_job_goes_on_as_long_as_anyone_follows_it(line: Line) -> None:
    job = Slow()
    one, _ = following(line, job, key="example")
    _, other = following(line, job, key="example")
    one.close()  # pyright: ignore[reportAttributeAccessIssue]
    time.sleep(0.1)
    assert not job.stopped.is_set()
    job.gate.set()
    assert other() == [1, 2]


def test_what_nobody_follows_stops_and_what_waited_never_starts(line: Line) -> None:
    running, waiting = Slow(), Slow()
    here = True
    seen: list[Any] = []

    def follow() -> None:
        for state in line.follow(running.steps, wanted=lambda: here):
            seen.append(state)  # noqa: PERF402  # one by one

    thread = threading.Thread(target=follow)
    thread.start()
    while 1 not in seen:
        time.sleep(0.01)
    left, _ = following(line, waiting)
    left.close()  # pyright: ignore[reportAttributeAccessIssue]
    here = False
    assert running.stopped.wait(2)
    thread.join(2)
    assert [state for state in seen if state != Place(0)] == [1]
    assert waiting.made == []
    again = Slow()
    again.gate.set()
    assert list(line.follow(again.steps))[-1] == 2
    assert waiting.made == []


def test_who_would_wait_too_long_is_refused_but_for_the_first(tmp_path: Path) -> None:
    line = Line(tmp_path, longest_wait=1)
    jobs_ = [Slow() for _ in range(2)]
    followed = [following(line, job, methods=5)[0] for job in jobs_]
    with pytest.raises(RefusedError, match="Too many photographs are in line at the moment; try again in a minute"):
        following(line, Slow())
    for states in followed:
        states.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(job.stopped.wait(2) for job in jobs_ if job.made)


def test_the_line_is_bounded(tmp_path: Path) -> None:
    line = Line(tmp_path, longest_wait=1e9, longest_line=3)
    followed = [following(line, Slow())[0] for _ in range(4)]
    with pytest.raises(RefusedError, match="Too many"):
        following(line, Slow())
    for states in followed:
        states.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_closed_line_finishes_and_takes_nothing_new(line: Line) -> None:
    job = Slow()
    _, finish = following(line, job)
    line.close()
    with pytest.raises(RefusedError, match="about to restart"):
        following(line, Slow())
    job.gate.set()
    assert finish() == [1, 2]


def test_a_full_disk_is_a_sentence(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "KEPT_FREE", 1 << 60)
    job = Slow()
    with pytest.raises(RefusedError, match="no room for more photographs"):
        following(line, job)
    assert not job.made


def test_a_job_that_takes_too_long_ends_with_a_sentence(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "JOB_SECONDS", 0.2)
    seen: list[Any] = []
    job = Slow()
    with pytest.raises(RefusedError, match="took longer than"):
        seen.extend(state for state in line.follow(job.steps))
    assert job.stopped.is_set()


def test_what_a_job_raises_reaches_all_its_followers(line: Line) -> None:
    gate = threading.Event()

    def steps() -> Generator[int, None, None]:
        yield 1
        gate.wait(5)
        raise ValueError("out of range")

    followers = [line.follow(steps, key="same") for _ in range(2)]
    assert [next(state for state in one if state != Place(0)) for one in followers] == [1, 1]
    gate.set()
    for one in followers:
        with pytest.raises(ValueError, match="out of range"):
            next(one)


def test_memory_is_waited_for_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded(Scene(as_pair(torch.zeros(3, 16, 16), torch.ones(3, 16, 16))))
    free = iter([0, 0, 1 << 40])
    monkeypatch.setattr(job_queue, "_TICK", 0.01)
    monkeypatch.setattr(memory, "free", lambda: next(free))
    assert list(job_queue.admitted(iter([loaded]))) == [loaded]
    monkeypatch.setattr(memory, "free", lambda: 0)
    monkeypatch.setattr(job_queue, "_MEMORY_WAIT", 0.05)
    with pytest.raises(RefusedError, match="not enough memory for 16×16 pixels"):
        list(job_queue.admitted(iter([loaded])))


def test_a_refusal_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(RefusedError("disk", "No room.")))
    assert (error.code, str(error)) == ("disk", "No room.")


@pytest.mark.parametrize("name", [m.name for m in METHODS if not m.unavailable])
def test_every_method_notices_that_nobody_waits(name: str, pair: tuple[Path, Path]) -> None:
    photos = [load(path).photo for path in pair]
    with cancel.as_long_as(lambda: False), pytest.raises(cancel.Cancelled):
        Fuser(method_named(name))(as_pair(*photos), _lumas(photos))


def _lumas(photos: list[torch.Tensor]) -> Any:
    from fusion.methods.iat import Lumas

    return Lumas(*(photo.mean(0, keepdim=True) for photo in photos))


def test_a_cancellation_is_no_defect() -> None:
    assert not issubclass(cancel.Cancelled, Exception)
    with cancel.as_long_as(lambda: True):
        cancel.check()
    cancel.check()


def test_the_latest_press_of_a_page_counts() -> None:
    presses = job_queue.Presses()
    first, elsewhere = presses.new("one", []), presses.new("other", ["ssim"])
    wanted = first.wanted(lambda: True)
    assert wanted()
    second = presses.new("one", [])
    assert not wanted()
    presses.show("one", ["vif"])
    assert (first.metrics, second.metrics, elsewhere.metrics) == ([], ["vif"], ["ssim"])
    presses.over(first)
    presses.stop("one")
    assert (first.stopped, second.stopped, elsewhere.stopped) == (False, True, False)
    presses.over(second)
    presses.stop("one")  # nothing runs there any more
    assert not elsewhere.wanted(lambda: False)()
