"""Worker processes: what they hand back, and what becomes of errors that are raised in them."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import active_children

import pytest

from fusion.errors import ImageError, Refusal
from fusion.runtime.workers import in_processes


class UnreadableError(Exception):
    """Takes more arguments than an exception remembers, so that it is pickled but not read again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def work(item: str) -> str:
    if item == "refused":
        raise ImageError("This cannot be used.", Refusal.TOO_SLOW)
    if item == "unsendable":
        raise ValueError(lambda: None)
    if item == "unreadable":
        raise UnreadableError("two", "words")
    return item.upper()


def start() -> Callable[[str], str]:
    return work


def start_badly() -> Callable[[str], str]:
    raise ImageError("There is nothing to work with.")


def died(item: str) -> str:
    return f"{item} ended its process"


def test_every_item_has_a_result() -> None:
    assert sorted(in_processes(start, ["a", "b", "c"], 1, died)) == ["A", "B", "C"]


def test_no_process_is_started_without_an_item() -> None:
    before = len(active_children())
    for _ in in_processes(start, ["a"], 3, died):
        assert len(active_children()) == before + 1
    assert list(in_processes(start, [], 3, died)) == []


def test_an_error_arrives_whole() -> None:
    with pytest.raises(ImageError, match="This cannot be used") as raised:
        list(in_processes(start, ["refused"], 1, died))
    assert raised.value.code is Refusal.TOO_SLOW


@pytest.mark.parametrize("item", ["unsendable", "unreadable"])
def test_an_error_that_cannot_be_pickled_is_not_taken_for_a_death(item: str) -> None:
    with pytest.raises(RuntimeError, match="could not hand back"):
        list(in_processes(start, [item], 1, died))


def test_an_error_at_the_start_is_raised_and_not_taken_for_a_death() -> None:
    with pytest.raises(ImageError, match="There is nothing to work with"):
        list(in_processes(start_badly, ["a"], 1, died))
