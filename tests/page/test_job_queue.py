"""The queue of the page: who is served, who is refused, and what nobody waits for any more."""

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
from fusion.page.job_queue import JobQueue, QueuePosition, RefusedError, wait_for_memory
from fusion.page.requests import Requests
from fusion.pipeline import Loaded, Scene
from fusion.runtime import cancel, memory
from tests.shared_session import load


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(tmp_path)


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


def following(queue: JobQueue, job: Slow, **options: Any) -> tuple[Iterator[Any], Callable[[], list[Any]]]:
    """A follower that has seen its position or the first state, and a function that reads the rest."""
    states = queue.follow(job.steps, **options)
    first = next(state for state in states if state != QueuePosition(0))
    return states, lambda: [first, *states]


def test_jobs_are_served_one_at_a_time_and_told_their_position(queue: JobQueue) -> None:
    first, second, third = Slow(), Slow(), Slow()
    _, finish = following(queue, first)
    _, finish_second = following(queue, second)
    third_states, _ = following(queue, third)
    assert second.made == third.made == []
    first.gate.set()
    assert finish() == [1, 2]
    assert next(third_states) == QueuePosition(1)
    second.gate.set()
    told = finish_second()
    assert (told[0], told[-1]) == (QueuePosition(1), 2)
    third.gate.set()
    assert list(third_states)[-1] == 2
    assert queue.idle


def test_a_job_without_methods_is_one_like_others(queue: JobQueue) -> None:
    for _ in range(2):
        job = Slow()
        job.gate.set()
        assert list(queue.follow(job.steps, methods=0))[-1] == 2
        assert queue.idle


def test_the_same_is_made_once_for_all_who_ask(queue: JobQueue) -> None:
    job = Slow()
    _, one = following(queue, job, key="example")
    _, other = following(queue, job, key="example")
    job.gate.set()
    assert one() == [1, 2]
    assert other() == [1, 2]
    assert job.made == [1]


def test_a_job_goes_on_as_long_as_anyone_follows_it(queue: JobQueue) -> None:
    job = Slow()
    one, _ = following(queue, job, key="example")
    _, other = following(queue, job, key="example")
    one.close()  # pyright: ignore[reportAttributeAccessIssue]
    time.sleep(0.1)
    assert not job.stopped.is_set()
    job.gate.set()
    assert other() == [1, 2]


def test_what_nobody_follows_stops_and_what_waited_never_starts(queue: JobQueue) -> None:
    running, waiting = Slow(), Slow()
    here = True
    seen: list[Any] = []

    def follow() -> None:
        for state in queue.follow(running.steps, wanted=lambda: here):
            seen.append(state)  # noqa: PERF402  # one by one

    thread = threading.Thread(target=follow)
    thread.start()
    while 1 not in seen:
        time.sleep(0.01)
    left, _ = following(queue, waiting)
    left.close()  # pyright: ignore[reportAttributeAccessIssue]
    here = False
    assert running.stopped.wait(2)
    thread.join(2)
    assert [state for state in seen if state != QueuePosition(0)] == [1]
    assert waiting.made == []
    again = Slow()
    again.gate.set()
    assert list(queue.follow(again.steps))[-1] == 2
    assert waiting.made == []


def test_who_would_wait_too_long_is_refused_but_for_the_first(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, longest_wait=1)
    jobs_ = [Slow() for _ in range(2)]
    followed = [following(queue, job, methods=5)[0] for job in jobs_]
    with pytest.raises(RefusedError, match="Too many photographs are in line at the moment; try again in a minute"):
        following(queue, Slow())
    for states in followed:
        states.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(job.stopped.wait(2) for job in jobs_ if job.made)


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, longest_wait=1e9, longest_queue=3)
    followed = [following(queue, Slow())[0] for _ in range(4)]
    with pytest.raises(RefusedError, match="Too many"):
        following(queue, Slow())
    for states in followed:
        states.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_closed_queue_finishes_and_takes_nothing_new(queue: JobQueue) -> None:
    job = Slow()
    _, finish = following(queue, job)
    queue.close()
    with pytest.raises(RefusedError, match="about to restart"):
        following(queue, Slow())
    job.gate.set()
    assert finish() == [1, 2]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, kept_free=1 << 60)
    job = Slow()
    with pytest.raises(RefusedError, match="no room for more photographs"):
        following(queue, job)
    assert not job.made


def test_a_job_that_takes_too_long_ends_with_a_sentence(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, job_seconds=0.2)
    seen: list[Any] = []
    job = Slow()
    with pytest.raises(RefusedError, match="took longer than"):
        seen.extend(state for state in queue.follow(job.steps))
    assert job.stopped.is_set()


def test_what_a_job_raises_reaches_all_its_followers(queue: JobQueue) -> None:
    gate = threading.Event()

    def steps() -> Generator[int, None, None]:
        yield 1
        gate.wait(5)
        raise ValueError("out of range")

    followers = [queue.follow(steps, key="same") for _ in range(2)]
    assert [next(state for state in one if state != QueuePosition(0)) for one in followers] == [1, 1]
    gate.set()
    for one in followers:
        with pytest.raises(ValueError, match="out of range"):
            next(one)


def test_memory_is_waited_for_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded(Scene(as_pair(torch.zeros(3, 16, 16), torch.ones(3, 16, 16))))
    free = iter([0, 0, 1 << 40])
    monkeypatch.setattr(memory, "free", lambda: next(free))
    assert list(wait_for_memory(iter([loaded]), tick=0.01)) == [loaded]
    monkeypatch.setattr(memory, "free", lambda: 0)
    with pytest.raises(RefusedError, match="not enough memory for 16×16 pixels"):
        list(wait_for_memory(iter([loaded]), patience=0.05, tick=0.01))


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


def test_the_latest_request_of_a_page_counts() -> None:
    requests = Requests()
    first, elsewhere = requests.new("one", []), requests.new("other", ["ssim"])
    wanted = first.wanted(lambda: True)
    assert wanted()
    second = requests.new("one", [])
    assert not wanted()
    requests.show("one", ["vif"])
    assert (first.metrics, second.metrics, elsewhere.metrics) == ([], ["vif"], ["ssim"])
    requests.done(first)
    requests.stop("one")
    assert (first.stopped, second.stopped, elsewhere.stopped) == (False, True, False)
    requests.done(second)
    requests.stop("one")  # nothing runs there any more
    assert not elsewhere.wanted(lambda: False)()
