"""Rows 4, 6 and 17: paths, addresses, doors beside the queue, and files that a browser would run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from tests.attack.load import pressed
from tests.attack.report import Row
from tests.attack.target import api_fuse, partners, told, watched
from tests.server import ROOT, Running

INPUTS = ("first file", "second file", "third file", "program")


def paths(upload: str, secret: Path) -> list[str]:
    """Paths of files that no visitor may read, in every way to write them."""
    beside = str(Path(upload).parent)
    up = "/.." * 12
    return [
        "/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/self/cmdline", "/dev/zero", "/dev/stdin",
        "file:///etc/passwd", "../../../../../etc/passwd", "..\\..\\..\\etc\\passwd", "//etc/passwd", "/etc/./passwd",
        "/etc/passwd\0.png", "%2fetc%2fpasswd", "~/.ssh/id_rsa", ".", "", str(secret), f"file://{secret}",
        f"{beside}{up}{secret}", f"{upload}/../../../..{up}{secret}", str(ROOT / "app.py"), "app.py",
        str(ROOT / "weights" / "MANIFEST.toml"), f"/gradio_api/file={secret}",
    ]  # fmt: skip


def addresses(port: int) -> list[str]:
    """Addresses of a server on this computer, and of servers that only another server could reach."""
    hosts = (
        "127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0",
        "[::ffff:127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "100.64.0.1", "169.254.169.254", "user@127.0.0.1",
    )  # fmt: skip
    return [
        *(f"http://{host}:{port}/secret.png" for host in hosts),
        f"HTTP://127.0.0.1:{port}/secret.png",
        f"https://127.0.0.1:{port}/secret.png",
        f"ftp://127.0.0.1:{port}/secret.png",
        f"//127.0.0.1:{port}/secret.png",
        f"http:\\\\127.0.0.1:{port}\\secret.png",
        f" http://127.0.0.1:{port}/redirect",
    ]


@contextmanager
def canary() -> Generator[tuple[int, list[str]], None, None]:
    """A server on this computer that nobody should ask: its port, and what it was asked for."""
    asked: list[str] = []

    class Bird(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if self.path == "/redirect" else 200)
            self.send_header("location", "/secret.png")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bird)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def leaks(page: Running, pair: list[bytes], folder: Path) -> Row:
    """Every path and every address in every input, and in the page's own addresses of files."""
    secret, mark = folder / "secret.png", secrets.token_hex(16)
    secret.write_bytes(pair[0] + mark.encode())  # a photograph: what reads it could return it
    good = partners(page, pair)
    with canary() as (port, asked), watched(page) as watch:
        given = [*paths(good[0]["path"], secret), *addresses(port)]
        trials = [(path, place) for path in given for place in INPUTS]

        def attempt(trial: tuple[str, str]) -> str | None:
            said = _given(page, *trial, good)
            return f"{trial[1]}: {trial[0]!r}" if _tells(said, mark) or told(said) == "done" else None

        with ThreadPoolExecutor(4) as pool:
            leaked = [one for one in pool.map(attempt, trials) if one]
            served = [one for one in pool.map(partial(_served, page, mark), given) if one]
    lost = leaked + served
    return Row(
        4,
        f"{len(given) - 20} paths and 20 addresses in {len(INPUTS)} inputs, and as addresses of files",
        "0 bytes leaked, 0 outgoing connections",
        f"{len(lost)} leaked{': ' if lost else ''}{'; '.join(lost[:3])}; {len(asked)} requests to a server on this "
        f"computer, {len(watch.outgoing)} connections to others",
        not lost and not asked and not watch.outgoing and not watch.restarts,
    )


def _given(page: Running, path: str, place: str, good: list[dict[str, Any]]) -> str:
    """Everything that the page says of a pair that has this file in it."""
    file = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
    if place == "program":
        (fused, one), (also, other) = api_fuse(page, [file, good[1]]), api_fuse(page, [path, good[1]])
        return one + other + ('"kind":"done"' if fused or also else "")
    files = {"first file": [file, good[1]], "second file": [good[0], file], "third file": [*good, file]}[place]
    with httpx.Client(base_url=page.address, timeout=60) as client:
        try:
            return "\n".join(pressed(client, files, ["mertens"]))
        except httpx.HTTPStatusError as error:
            return error.response.text


def _served(page: Running, mark: str, path: str) -> str | None:
    for prefix in ("/gradio_api/file=", "/gradio_api/proxy=", "/static/", "/gradio_api/file/"):
        try:
            answer = httpx.get(page.address + prefix + path.replace("\0", "%00").strip(), timeout=60)
        except (httpx.HTTPError, httpx.InvalidURL):
            continue
        if answer.status_code < 300 and _tells(answer.text, mark):
            return f"{prefix}{path}"
    return None


def _tells(text: str, mark: str) -> bool:
    return mark in text or re.search(r"root:.?:0:0|PATH=/|sha256 = |import gradio", text) is not None


def doors(page: Running) -> Row:
    """Jobs that do not wait in line."""
    names = ["fuse", "compare", "methods", "metrics", "predict", "0", "1", "5"]
    tried = [f"{root}/{kind}/{name}" for root in ("", "/gradio_api") for kind in ("run", "api") for name in names]
    found = [
        path for path in tried if httpx.post(page.address + path, json={"data": [], "fn_index": 0}).status_code < 400
    ]
    return Row(
        6,
        f"{len(tried)} ways to run a job beside the queue",
        "404 or 405",
        f"{len(found)} ran{': ' if found else ''}{', '.join(found)}",
        not found,
    )


_FILE = "/gradio_api/file="
_HEADERS = {"content-security-policy", "x-content-type-options", "referrer-policy"}
SCRIPTS = {
    "a.html": b"<script>alert(1)</script>",
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
    "a.js": b"alert(1)",
    "polyglot.gif": b"GIF89a/*<script>alert(1)</script>*/=0;",
    "<img src=x onerror=alert(1)>.png": b"<script>alert(1)</script>",
    "a.pdf": b"%PDF-1.4 /JavaScript (app.alert(1))",
}


def scripts(page: Running) -> Row:
    """Files that a browser would run, uploaded and fetched; and the headers of whatever the page answers."""
    active: list[str] = []
    for name, data in SCRIPTS.items():
        (path,) = httpx.post(f"{page.api}/upload", files={"files": (name, data)}, timeout=60).json()
        answer = httpx.get(f"{page.api}/file={path}", timeout=60)
        kind, shown = answer.headers.get("content-type", ""), answer.headers.get("content-disposition", "")
        harmless = shown.startswith("attachment") or "sandbox" in answer.headers.get("content-security-policy", "")
        if not harmless or (re.search("html|svg|xml|script", kind) and not shown.startswith("attachment")):
            active.append(f"{name} ({kind})")
    bare = [
        path
        for path in (
            "/",
            "/config",
            "/healthz",
            "/metrics",
            "/nothing",
            "/gradio_api/info",
            "/theme.css",
            "/gradio_api/file=x",
        )
        if not {"content-security-policy", "x-content-type-options", "referrer-policy"}
        <= set(httpx.get(page.address + path, timeout=60).headers)
    ]
    return Row(
        17,
        f"{len(SCRIPTS)} files that a browser would run; the headers of 8 kinds of answers",
        "0 served as active, 0 answers without CSP and nosniff",
        f"{len(active)} active, {len(bare)} without{': ' if active or bare else ''}{', '.join(active + bare)}",
        not active and not bare,
    )
