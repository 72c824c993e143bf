"""What must be settled before Gradio and PyTorch are imported: environment variables, and where the page listens."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path


def prepare(folder: Path) -> None:
    """Set what Gradio, PyTorch and matplotlib read from the environment. Call it before any of them is imported.

    There is no other way to tell them. Values that the user has set stay, except for the two folders: uploads and
    Gradio's cache go to `folder`, which only this user can read.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    # Starlette receives uploads in Python's temporary folder, which the rest of the system can read.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    # Gradio asks matplotlib for its backend with each event; unless one is named, that imports all of pyplot.
    os.environ.setdefault("MPLBACKEND", "agg")
    # PyTorch's idle threads otherwise spin for milliseconds and slow down the scan's own threads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    with suppress(ImportError):
        import_module("spaces")  # it changes torch, so it must be imported before torch


def gpu_is_lent() -> bool:
    """Whether a GPU is lent for each call, as Hugging Face's ZeroGPU does: `prepare` could import what lends it."""
    return "spaces" in sys.modules


def cannot_listen(host: str, port: int) -> str:
    """Say in a sentence why the page cannot listen at this address; empty if it can."""
    if not 0 < port < 1 << 16:
        return f"A port is a number from 1 to 65535, and {port} is not; choose another one with --port."
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Gradio does
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} is taken by another program; choose another one with --port."
        return f"The page cannot listen at {host}, port {port}: {error.strerror}. Change --host or --port."
    return ""
