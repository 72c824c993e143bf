"""Start the page as a process of its own, and talk to it by plain HTTP, which no client tidies up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Running:
    """A page that runs at an address."""

    address: str

    @property
    def api(self) -> str:
        return f"{self.address}/gradio_api"

    def upload(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            (uploaded,) = httpx.post(f"{self.api}/upload", files={"files": file}).json()
        return {"path": uploaded, "meta": {"_type": "gradio.FileData"}}

    def start(self, endpoint: str, arguments: dict[str, Any]) -> str:
        """Call an endpoint, and return the address at which it answers."""
        job = httpx.post(f"{self.api}/call/v2/{endpoint}", json=arguments).json()["event_id"]
        return f"{self.api}/call/{endpoint}/{job}"

    def ask(self, endpoint: str, **arguments: Any) -> Any:
        event, data = httpx.get(self.start(endpoint, arguments), timeout=180).text.rstrip().split("\n")[-2:]
        assert event == "event: complete", data
        return json.loads(data.removeprefix("data: "))[0]

    def refusal(self, endpoint: str, **arguments: Any) -> str | None:
        event, data = httpx.get(self.start(endpoint, arguments), timeout=180).text.rstrip().split("\n")[-2:]
        assert event == "event: error", data
        return json.loads(data.removeprefix("data: "))["error"]


@dataclass(frozen=True)
class Server(Running):
    """A page that was started here."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> Path:
        """The folder in which it keeps pictures."""
        (found,) = (path for path in (self.folder / "cache").glob("page-*") if path.is_dir())
        return found

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def served(folder: Path, *program: str, **environment: str) -> Generator[Server, None, None]:
    """Start the page as `python app.py` does, with its temporary files inside `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "tmp").mkdir(exist_ok=True)
    places = {"GRADIO_TEMP_DIR": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *program, "--port", str(port)],
            cwd=ROOT,
            env=os.environ | places | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        server = Server(f"http://127.0.0.1:{port}", folder, process)
        try:
            until = time.monotonic() + 180  # a busy machine takes a minute to import everything
            while not _answers(server):
                assert process.poll() is None, server.log
                assert time.monotonic() < until, server.log
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()


def _answers(server: Server) -> bool:
    try:
        httpx.get(server.address)
    except httpx.TransportError:
        return False
    return True
