"""Visitors by the dozen, on a page that is running.

python -m tests.attack.load visitors http://127.0.0.1:7860
python -m tests.attack.load soak http://127.0.0.1:7860 [MINUTES]
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import quantiles
from threading import Barrier
from typing import Any

import httpx
import numpy as np
from PIL import Image

from fusion.io.image import load, to_uint8

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "courtyard"
METHODS = ["pyramef", "lemamba", "mambamef", "meflut", "mertens"]
_EXPOSURES = re.compile(r'"count"\W{1,3}(\d+)')  # of a whole value, or of what has changed in it
_SERVED = re.compile(r'"path": ?"([^"]+\.(?:png|jpg))", ?"url": ?"([^"]+)"')


def uploaded(client: httpx.Client, *files: bytes) -> list[dict[str, Any]]:
    """Files on the page's side, as its handlers are given them."""
    parts = [("files", (f"{index}.png", file)) for index, file in enumerate(files)]
    answer = client.post("/gradio_api/upload", files=parts).raise_for_status()
    return [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in answer.json()]


def pressed(client: httpx.Client, files: Sequence[Any], methods: Sequence[str] = METHODS) -> Iterator[str]:
    """What the page says after these files were chosen and its button was pressed, message by message, as JSON.

    Of the choice, only what the page says of files that it does not take is told.
    """
    session = secrets.token_hex(8)
    add, fuse, held = _handlers(str(client.base_url))
    chosen = list(_told(client, session, add, [None], {"files": list(files)}))
    if _EXPOSURES.findall("".join(chosen))[-1:] != [str(len(files))]:
        yield from chosen
    given = [None, methods, [], False, True, True, False]
    yield from _told(client, session, fuse, given + held[len(given) :])


def _told(client: httpx.Client, session: str, handler: int, data: Sequence[Any], event: Any = None) -> Iterator[str]:
    """What a handler of the page answers, message by message."""
    body = {"data": data, "event_data": event, "fn_index": handler, "session_hash": session}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ")
                if '"msg":"process_completed"' in line:
                    return


@cache
def _handlers(url: str) -> tuple[int, int, list[Any]]:
    """The numbers of the functions that take photographs and that the button calls, and the latter's first inputs.

    The latter has the most inputs of all.
    """
    config = httpx.get(f"{url.rstrip('/')}/config").json()
    add = next(one for one in config["dependencies"] if any(event == "take" for _, event in one["targets"]))
    fuse = max(config["dependencies"], key=lambda one: len(one["inputs"]))
    held = {one["id"]: one["props"].get("value") for one in config["components"]}
    return add["id"], fuse["id"], [held[number] for number in fuse["inputs"]]


@dataclass
class Visit:
    """What one visitor met."""

    first: float = 0
    """Seconds until the page said anything: a place in line, a refusal, the first state."""
    seconds: float = 0
    """Until all pictures were downloaded."""
    refused: str = ""
    served: dict[str, tuple[str, bytes]] = field(default_factory=dict[str, tuple[str, bytes]])
    """Addresses of the pictures, and what was downloaded, by file name."""

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes of the pictures by file name."""
        return {name: hashlib.sha256(picture).hexdigest() for name, (_, picture) in self.served.items()}


def visit(url: str, files: Sequence[bytes], start: Barrier | None = None) -> Visit:
    """One visitor: opens the page, uploads, presses, follows, downloads everything."""
    seen = Visit()
    with httpx.Client(base_url=url, timeout=120) as client:
        client.get("/").raise_for_status()
        _handlers(str(client.base_url))  # browsers read it from the page
        slots = uploaded(client, *files)
        if start:
            start.wait()
        began = time.monotonic()
        served: dict[str, str] = {}
        try:
            for said in pressed(client, slots):
                if not seen.first and '"msg":"process_generating"' in said:
                    seen.first = time.monotonic() - began
                if '"kind":"problem"' in said:
                    seen.refused = str(re.findall(r'"kind":"problem","text":"([^"]*)"', said)[0])
                served |= {Path(path).name: address for path, address in _SERVED.findall(said)}
        except httpx.HTTPStatusError as error:
            seen.refused = f"{error.response.status_code} {json.loads(error.response.text)['detail']}"
        if seen.refused:
            seen.first = seen.first or time.monotonic() - began
            return seen
        for name, address in served.items():
            answer = client.get(address)
            seen.served[name] = address, answer.content if answer.status_code == 200 else b""
        seen.seconds = time.monotonic() - began
    return seen


def bad(visits: Sequence[Visit]) -> int:
    """How many pictures were not served, are no pictures, or are others when they are asked for again."""
    served = [one for one in visits if not one.refused]
    pictures = [picture for one in served for picture in one.served.values()]
    missing = sum(len({f"{name}.png" for name in METHODS} - set(one.served)) for one in served)
    return missing + sum(not _opens(data) or httpx.get(address).content != data for address, data in pictures)


def visitors(url: str, count: int = 50) -> bool:
    """Send `count` visitors at once with pairs of 1 megapixel, half of which are the same. Print what happened to them,
    and return whether that is within the limits."""
    pairs = [_pair(0 if index % 2 else index) for index in range(count)]
    start = Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        visits = list(pool.map(partial(visit, url, start=start), pairs))
    served = [one for one in visits if not one.refused]
    alike = {json.dumps(one.hashes, sort_keys=True) for one in visits[1::2] if not one.refused}
    wrong = bad(visits) + max(0, len(alike) - 1)
    first, seconds = _p95([one.first for one in visits]), _p95([one.seconds for one in served])
    print(f"{count} visitors: {len(served)} served, {count - len(served)} refused")
    for sentence in sorted({one.refused for one in visits if one.refused}):
        print(f"  refused with: {sentence}")
    print(f"first answer p95 {first:.2f} s (bar 2), served p95 {seconds:.1f} s (bar 20), {wrong} bad downloads (bar 0)")
    return wrong == 0 and first <= 2 and seconds <= 20


def soak(url: str, minutes: float = 10.0, count: int = 5) -> bool:
    """Let `count` visitors fuse one pair after the other, and print how the page's memory and open files grow."""
    until = time.monotonic() + minutes * 60
    figures: list[tuple[float, float, float]] = []

    def stay(number: int) -> tuple[int, int, int]:
        """Visits, how many of them were refused, and bad downloads."""
        visits = refused = wrong = 0
        while time.monotonic() < until:
            one = visit(url, _pair(number + count * visits))
            visits, refused, wrong = visits + 1, refused + bool(one.refused), wrong + bad([one])
            time.sleep(5 if one.refused else 0)  # they are told to try again
        return visits, refused, wrong

    with ThreadPoolExecutor(count + 1) as pool:
        staying = [pool.submit(stay, number) for number in range(count)]
        while not all(one.done() for one in staying):
            time.sleep(min(15, minutes * 6))
            figures.append((time.monotonic(), *_figures(url)))
            print(f"{figures[-1][1]:.0f} MB, {figures[-1][2]:.0f} open files", flush=True)
        visits, refused, wrong = (
            sum(numbers) for numbers in zip(*(future.result() for future in staying), strict=True)
        )
    half = figures[len(figures) // 2 :]  # what is loaded and learnt once is by then
    slope = np.polyfit([at / 60 for at, *_ in half], [memory for _, memory, _ in half], 1)[0] * minutes
    files = half[-1][2] - half[0][2]
    print(f"{visits} visits in {minutes:g} minutes: {refused} refused, {wrong} bad downloads (bar 0)")
    print(f"memory {slope:+.0f} MB over the time (bar 50), open files {files:+.0f} (bar: flat)")
    return wrong == 0 and slope <= 50 and abs(files) <= 5


def _pair(number: int) -> list[bytes]:
    """An example of 1 megapixel, or the same moved sideways."""
    files: list[bytes] = []
    for name in ("under", "over"):
        photo = to_uint8(load(EXAMPLE / f"{name}.png").photo)
        picture = Image.fromarray(np.roll(photo, 7 * number, axis=1)).resize((1216, 832))
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    return files


def _opens(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except (OSError, SyntaxError):
        return False
    return True


def _figures(url: str) -> tuple[float, float]:
    """Megabytes and open files of the page's process."""
    text = httpx.get(f"{url}/metrics").text
    memory, files = (
        float(re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[0])
        for name in ("process_resident_memory_bytes", "process_open_fds")
    )
    return memory / (1 << 20), files


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else max(values, default=0)


if __name__ == "__main__":
    what, address, *rest = sys.argv[1:]
    within = visitors(address) if what == "visitors" else soak(address, float(rest[0]) if rest else 10)
    raise SystemExit(not within)
