"""Cancellation: the thread that works asks now and then whether anybody still waits for the result.

What `check` asks is kept in a context variable, so that loops deep inside a network need no extra argument. It is set
by `as_long_as` alone, for its block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


class Cancelled(BaseException):  # asyncio's exception has this name too, and is not an error either
    """Nobody waits for this work any more. It passes every `except Exception`, since nothing has gone wrong."""


@contextmanager
def as_long_as(wanted: Callable[[], bool]) -> Generator[None, None, None]:
    """Let `check` raise `Cancelled` inside this block once `wanted()` is False.

    `wanted` is called often, and from the thread that works, so it must be quick.

    >>> with as_long_as(lambda: True):
    ...     check()
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def thread_initializer() -> Callable[[], None]:
    """A function for the `initializer` of a thread pool: its threads are then cancelled together with this one."""
    wanted = _wanted.get()

    def initialize() -> None:
        _wanted.set(wanted)

    return initialize


def check() -> None:
    """Raise `Cancelled` if nobody waits for the work of this thread. Outside `as_long_as`, do nothing."""
    wanted = _wanted.get()
    if wanted and not wanted():
        raise Cancelled
