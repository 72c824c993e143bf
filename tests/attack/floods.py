"""Row 5: too much of everything."""

from __future__ import annotations

import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import httpx

from fusion.page.middleware import LIMITS
from tests.attack.kills import ask
from tests.attack.report import Row
from tests.attack.target import figure, watched
from tests.server import Running

SLACK = 16_000_000
"""Bytes that may be on their way when a refusal is sent."""
_CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


def endless(page: Running, path: str, kind: str, begin: bytes, most: int) -> tuple[int, str]:
    """A body without announced length: how many bytes went out before there was an answer, and its first line."""
    host = urlsplit(page.address)
    sent = 0
    with socket.create_connection(("127.0.0.1", host.port or 80), timeout=30) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode() + f"{len(begin):x}\r\n".encode() + begin + b"\r\n")
        try:
            while sent < most and not select.select([connection], [], [], 0)[0]:
                connection.sendall(_CHUNK)
                sent += 0x10000
            answer = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            answer = _last_words(connection)
    return sent, answer.split(b"\r\n")[0].decode(errors="replace")


def _last_words(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except OSError:
        return b"connection closed"


def floods(page: Running, pair: list[bytes]) -> list[Row]:
    """A 1 GB upload, 200 MB of JSON, 1,000 files at once, 500 uploads; meanwhile jobs are counted."""
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    with watched(page) as watch:
        upload = endless(page, "/gradio_api/upload", "multipart/form-data; boundary=b", part, 1_000_000_000)
        body = endless(page, "/gradio_api/queue/join", "application/json", b'{"data": ["', 200_000_000)
        many = [("files", (f"{index}.png", b"x" * 100)) for index in range(1000)]
        thousand = httpx.post(f"{page.api}/upload", files=many, timeout=120).status_code
        nested = httpx.post(f"{page.api}/queue/join", content=b"[" * 400_000, timeout=60).status_code
        with ThreadPoolExecutor(8) as pool:
            files = [pair[0] + bytes([index % 256]) * 100_000 for index in range(500)]
            codes = list(pool.map(partial(_uploaded, page), files))
        peak = max(watch.memory[0], figure(page, "process_resident_memory_bytes") / 1e6)
        jobs = _most_jobs(page)
    large = upload[0] <= LIMITS.upload + SLACK and body[0] <= LIMITS.body + SLACK
    refused = all("connection closed" in line or " 4" in line for _, line in (upload, body))
    broken = [code for code in (thousand, nested, *codes) if code >= 500 and code != 507]
    return [
        Row(
            5,
            "1 GB in one upload, 200 MB of JSON, 1,000 files in one request, 400,000 brackets, 500 uploads",
            "refused after the limit + 16 MB; no 500; memory ≤ 600 MB",
            f"after {upload[0] / 1e6:.0f} MB ({upload[1]}) and {body[0] / 1e6:.1f} MB ({body[1]}); "
            f"1,000 files: {thousand}; brackets: {nested}; {codes.count(200)} of 500 taken, {len(broken)} broken; "
            f"memory from {watch.memory[0]:.0f} to {peak:.0f} MB",
            large and refused and not broken and peak <= 600 and not watch.restarts,
        ),
        Row(6, "jobs that run while twelve are asked for", "never more than 1", f"{jobs:.0f} at once", jobs <= 1),
    ]


def _uploaded(page: Running, data: bytes) -> int:
    return httpx.post(f"{page.api}/upload", files={"files": ("a.png", data)}, timeout=120).status_code


def _most_jobs(page: Running) -> float:
    """How many run at once, when a dozen are asked for."""
    jobs = [ask(page) for _ in range(12)]
    most, until = 0.0, time.monotonic() + 5
    while time.monotonic() < until:
        most = max(most, figure(page, "page_jobs_running"))
    for job in jobs:
        job.close()
    return most
