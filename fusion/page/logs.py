"""The page's log: requests as lines of JSON, and defects without messages, which may name visitors' files."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Any

REQUESTS = "page.requests"
"""The logger that gets a line for each request."""


def configure() -> None:
    """Write requests to the standard output and defects to the standard error."""
    requests = logging.getLogger(REQUESTS)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_WithoutMessages("%(message)s"))
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    requests.propagate = False
    defects = logging.StreamHandler()
    defects.setFormatter(_WithoutMessages("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(defects)


def note_defect() -> None:
    """Log the exception that is being handled."""
    error = sys.exc_info()[1]
    if error:
        logging.getLogger(__name__).error("a request failed: %s", where(error))


def where(error: BaseException) -> str:
    """Name the kind of an error, and the lines of code that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))


class _WithoutMessages(logging.Formatter):
    """Formats an exception as its kind and place, without what it says."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return where(ei[1])
