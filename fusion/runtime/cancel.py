"""Work that nobody waits for any more: one thread says so, and the thread that works notices."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


class Cancelled(BaseException):  # what asyncio's is called, and as that one no error
    """Nobody waits for this work. It passes every `except Exception`, since nothing has gone wrong."""


@contextmanager
def as_long_as(wanted: Callable[[], bool]) -> Generator[None, None, None]:
    """Inside, `check` raises as soon as `wanted()` is False; it is called often, from the thread that works."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def handed_on() -> Callable[[], None]:
    """What a thread that works for this one calls first, for its own `check`."""
    wanted = _wanted.get()

    def take() -> None:
        _wanted.set(wanted)

    return take


def check() -> None:
    """Raise `Cancelled` if nobody waits for the work of this thread; outside of `as_long_as`, everything is wanted."""
    wanted = _wanted.get()
    if wanted and not wanted():
        raise Cancelled
