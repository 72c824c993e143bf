"""The page that is attacked: its process, its figures, and another visitor who goes on using it."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from fusion.io.image import load, save_preview
from fusion.io.sandbox import SERVE_COMMAND
from tests.attack.load import uploaded
from tests.server import ROOT, Running

_COURTYARD = ROOT / "examples" / "courtyard"


def target(url: str) -> Running:
    """The page at `url`. Raises SystemExit unless it is one on this computer."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname != "127.0.0.1" or not parts.port or parts.username:
        raise SystemExit("Only a page of this computer is attacked: give http://127.0.0.1:PORT.")
    return Running(f"http://127.0.0.1:{parts.port}")


def process_of(page: Running) -> psutil.Process:
    """Whoever listens at the page's port. Raises SystemExit where that is hidden from this user."""
    port = urlsplit(page.address).port
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
            return psutil.Process(connection.pid)
    raise SystemExit(f"No process of this user listens at {page.address}.")


def is_decoder(process: psutil.Process) -> bool:
    """Whether it is one of `fusion.io.sandbox`; as long as it only begins, it is a copy of its parent."""
    command = " ".join(process.cmdline())
    return SERVE_COMMAND in command or "app.py" in command


def figure(page: Running, name: str) -> float:
    """The value of one of the figures that `/metrics` reports."""
    text = httpx.get(f"{page.address}/metrics", timeout=20).text
    return float(re.findall(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)[0])


def megabytes(page: Running) -> float:
    """Memory of the page's process."""
    return figure(page, "process_resident_memory_bytes") / 1e6


def photographs(folder: Path, side: int = 240) -> list[bytes]:
    """A small pair that can be fused."""
    files: list[bytes] = []
    for name in ("under", "over"):
        photo = load(_COURTYARD / f"{name}.png").photo[:, :side, :side]
        save_preview(photo, folder / f"{name}.jpg")
        files.append((folder / f"{name}.jpg").read_bytes())
    return files


def api_fuse(page: Running, files: list[Any], method: str = "mertens", **options: Any) -> tuple[bool, str]:
    """Whether there was a picture, and what else the page said; an empty sentence is an error without one."""
    body = {"files": files, "method": method, **options}
    asked = httpx.post(f"{page.api}/call/v2/fuse", json=body, timeout=60)
    if asked.status_code != 200:
        return False, f"{asked.status_code} {asked.text}"
    answer = httpx.get(f"{page.api}/call/fuse/{asked.json()['event_id']}", timeout=60).text
    event, data = answer.rstrip().split("\n")[-2:]
    if event == "event: complete":
        return True, data
    said = re.search(r'"error": ?"(.*?)"[,}]', data)
    return False, said[1] if said else ""


def told(message: str) -> str:
    """The kind of status that a message of the page brings; it may hold no more than what has changed."""
    found = re.findall(r'"kind"(?::|\],)"(\w+)"', message)
    return found[-1] if found else ""


@dataclass
class Watch:
    """What was seen of the page while it was attacked."""

    pings: list[float] = field(default_factory=list[float])
    """Seconds until another visitor had an answer; a minute where there was none."""
    strangers: set[str] = field(default_factory=set[str])
    """Child processes that are not our decoder."""
    outgoing: set[str] = field(default_factory=set[str])
    """Other computers that the page was connected to."""
    memory: list[float] = field(default_factory=list[float])
    """Megabytes."""
    restarts: int = 0

    @property
    def p95(self) -> float:
        """Seconds."""
        return quantiles(self.pings, n=20)[-1] if len(self.pings) > 1 else max(self.pings, default=60)

    @property
    def growth(self) -> float:
        """Megabytes at the end, beyond those at the beginning."""
        return self.memory[-1] - self.memory[0]


@contextmanager
def watched(page: Running, every: float = 0.25) -> Generator[Watch, None, None]:
    """Another visitor asks for the list of methods again and again; processes and connections are looked at."""
    watch, over, process = Watch(), Event(), process_of(page)
    began = process.create_time()

    def ask() -> None:
        while not over.wait(every):
            start = time.monotonic()
            try:
                page.ask("methods")
                watch.pings.append(time.monotonic() - start)
            except (AssertionError, httpx.HTTPError, KeyError, ValueError):
                watch.pings.append(60.0)

    def look() -> None:
        while not over.wait(every / 2):
            with suppress(psutil.Error):
                for child in process.children(recursive=True):
                    if child.cmdline() and not is_decoder(child):  # without: it begins, or has ended
                        watch.strangers.add(child.name())
                for one in process.net_connections("inet"):
                    if one.raddr and not one.raddr[0].startswith(("127.", "::1", "::ffff:127.")):
                        watch.outgoing.add(one.raddr[0])

    threads = [Thread(target=ask), Thread(target=look)]
    watch.memory.append(megabytes(page))
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
        for thread in threads:
            thread.join()
        alive = process.is_running() and process_of(page).create_time() == began
        watch.restarts = 0 if alive else 1
        watch.memory.append(megabytes(page))


def partners(page: Running, files: list[bytes]) -> list[dict[str, Any]]:
    """The pair on the page's side."""
    with httpx.Client(base_url=page.address, timeout=60) as client:
        return uploaded(client, *files)
