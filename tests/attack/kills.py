"""Rows 8 and 11: visitors who leave; decoders and pages that are killed."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil

from tests.attack.load import EXAMPLE, uploaded
from tests.attack.report import Row
from tests.attack.target import api_fuse, figure, is_decoder, partners, process_of
from tests.server import Running, served

LONG = ["pyramef", "lemamba", "mambadfuse", "mambamef", "mefnet", "deepfuse"]
_KILLED = "decoder stopped"


@dataclass
class Asked:
    """A job that somebody waits for."""

    answer: httpx.Response
    visit: ExitStack

    def close(self) -> None:
        """Let the visitor leave, so that nobody waits for the job any more."""
        self.visit.close()

    def rest(self) -> str:
        """What comes until the end."""
        with self.visit:
            return self.answer.read().decode()


def ask(page: Running, methods: list[str] = LONG) -> Asked:
    """A long job, unlike any other."""
    visit = ExitStack()
    client = visit.enter_context(httpx.Client(base_url=page.address, timeout=120))
    mark = random.randbytes(8)  # after a PNG's end, it changes nothing
    files = uploaded(client, *((EXAMPLE / f"{name}.png").read_bytes() + mark for name in ("under", "over")))
    job = client.post("/gradio_api/call/v2/compare", json={"files": files, "methods": methods}).json()["event_id"]
    return Asked(visit.enter_context(client.stream("GET", f"/gradio_api/call/compare/{job}")), visit)


def gone(page: Running, times: int = 3) -> Row:
    """Visitors who leave while their job runs, or waits."""
    free: list[float] = []
    begun = 0.0
    for _ in range(times):
        jobs = figure(page, "page_job_seconds_count")
        running = ask(page)
        _until(lambda: figure(page, "page_jobs_running") == 1)
        waiting = ask(page)
        _until(lambda: figure(page, "page_jobs_waiting") == 1)
        time.sleep(1)
        waiting.close()
        running.close()
        left = time.monotonic()
        _until(lambda: figure(page, "page_jobs_running") == 0)
        free.append(time.monotonic() - left)
        time.sleep(1)
        begun += figure(page, "page_job_seconds_count") - jobs - 1
    return Row(
        8,
        f"{times} visitors leave a running job, {times} a waiting one",
        "processor free ≤ 2 s; none of the waiting ones begins",
        f"free after {max(free):.2f} s at most; {begun:.0f} began",
        max(free) <= 2 and begun == 0,
    )


def decoders(page: Running, pair: list[bytes], times: int) -> Row:
    """The decoder is killed while it reads a large photograph; the next job must be right."""
    draw, large = random.Random(0), _large()
    hit = right = tries = 0
    slowest = 0.0
    expected = _picture(page, pair)
    while hit < times and tries < 4 * times:
        tries += 1
        files = partners(page, [large, pair[1]])
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(api_fuse, page, files)
            time.sleep(draw.uniform(0.05, 0.6))
            killed = time.monotonic()
            for child in process_of(page).children():
                with suppress(psutil.Error):
                    if is_decoder(child):
                        child.kill()
            _, sentence = answer.result()
        if _KILLED in sentence:
            hit += 1
            slowest = max(slowest, time.monotonic() - killed)
            right += _picture(page, pair) == expected
    return Row(
        11,
        f"the decoder is killed at work {hit} times",
        f"{times} of {times} next jobs right, a sentence in ≤ 2 s",
        f"{right} of {hit} right, sentence after {slowest:.2f} s at most",
        hit == right == times and slowest <= 2,
    )


def _large() -> bytes:
    """A photograph that takes a while to read, though its file is small."""
    ramp = np.linspace(0, 255, 6000).astype(np.uint8)
    picture = np.broadcast_to(ramp[:, None], (4000, 6000, 3))
    return cv2.imencode(".png", picture)[1].tobytes()


def _picture(page: Running, pair: list[bytes]) -> bytes:
    fused, said = api_fuse(page, partners(page, pair))
    return httpx.get(json.loads(said.removeprefix("data: "))[0]["file"]["url"], timeout=60).content if fused else b""


def pages(folder: Path, times: int) -> list[Row]:
    """Pages of our own are killed, and told to end, in the middle of a job."""
    back: list[float] = []
    drained: list[float] = []
    told = swept = 0
    for number in range(times):
        place = folder / str(number)
        place.mkdir()
        with served(place, "app.py") as page:
            job = ask(page)
            page.process.kill()
            with suppress(httpx.HTTPError):
                job.rest()
        start = time.monotonic()
        with served(place, "app.py") as page:
            page.ask("methods")
            back.append(time.monotonic() - start)
            swept += sum(path.is_dir() for path in (place / "cache").glob("page-*")) == 1
            job = ask(page, ["mertens", "pyramef"])
            _until(lambda page=page: figure(page, "page_jobs_running") == 1)
            start = time.monotonic()
            page.process.send_signal(signal.SIGTERM)
            with suppress(httpx.HTTPError):
                told += "event: complete" in job.rest()
            page.process.wait(60)
            drained.append(time.monotonic() - start)
    return [
        Row(
            11,
            f"the page is killed {times} times",
            "first answer ≤ 15 s after it is started again; what was left is swept",
            f"{max(back):.1f} s at most; swept {swept} of {times}",
            max(back) <= 15 and swept == times,
        ),
        Row(
            11,
            f"the page is told to end {times} times, in the middle of a job",
            "the job is delivered, the end comes ≤ 20 s later",
            f"{told} delivered, end after {max(drained):.1f} s at most",
            told == times and max(drained) <= 20,
        ),
    ]


def _until(true: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
