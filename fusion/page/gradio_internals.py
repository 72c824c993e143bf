"""Everything that the page uses of Gradio without Gradio's documentation promising it.

It was read from the version below. `tests/page/test_gradio_internals.py` fails where another version is installed, or
where one of these things is gone or behaves differently: read the new version, then change this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio import queueing, routes
from gradio.context import LocalContext
from gradio.data_classes import ImageData
from gradio.events import api as endpoint
from gradio.i18n import I18nData
from gradio.processing_utils import save_base64_to_cache
from gradio_client.utils import is_file_obj_with_meta

from fusion.page.logs import note_defect

__all__ = [
    "FILE_ADDRESS", "VERSION", "I18nData", "ImageData", "endpoint", "is_file_obj_with_meta", "log_without_messages",
    "save_base64_to_cache", "visitor_is_here",
]  # fmt: skip

VERSION = "6.31.0"

FILE_ADDRESS = "/gradio_api/file="
"""The path below which Gradio serves the files of its cache."""


def visitor_is_here(demo: gr.Blocks) -> Callable[[], bool]:
    """Make a function that says whether the visitor whose request this thread handles is still there.

    Gradio stops asking a generator for more once its visitor has left, but tells nobody who is computing meanwhile. Its
    queue knows: `_queue` has the events by their names, and the events that are being handled.
    """
    queue: Any = demo._queue  # pyright: ignore[reportPrivateUsage]
    event = queue.event_ids_to_events.get(LocalContext.event_id.get(None))
    if event is None:  # a program called the handler inside this process
        return lambda: True
    return lambda: event.alive and any(event in (events or ()) for events in queue.active_jobs)


def log_without_messages() -> None:
    """Log what a handler or a request raised as `logs` does. Gradio prints it whole, with paths and files' names.

    Gradio has no setting for that: both modules call `traceback.print_exc`.
    """
    queueing.traceback = routes.traceback = _Traceback  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]


class _Traceback:
    """Stands in for the module `traceback`, of which Gradio uses nothing else."""

    @staticmethod
    def print_exc(*_: object) -> None:
        """Log the exception that is being handled."""
        note_defect()
