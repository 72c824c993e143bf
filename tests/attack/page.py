"""Rows 1 to 3: hostile files through the library, and through the page while another visitor uses it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from fusion.errors import Refusal
from tests.attack.corpus import DECODED, UNTYPED, decode_corpus
from tests.attack.load import pressed, uploaded
from tests.attack.report import Row
from tests.attack.target import api_fuse, told, watched
from tests.server import Running

LIVE = ("generated", "pillow-crash", "pillow-timeout", "pillow-bomb-oom")
"""The corpus's folders that go through the page."""
AT_ONCE = 2


def library(corpus: Path, mutants: int) -> list[Row]:
    """Every file and every mutant through the decoder's children."""
    rows, peak = decode_corpus(corpus, mutants)
    codes = Counter(row.outcome for row in rows)
    seconds = sorted(row.seconds for row in rows)
    p99, resident = seconds[int(len(seconds) * 0.99)], peak.resident / 1e6
    lost = codes[Refusal.CRASHED.value], codes[Refusal.TOO_SLOW.value], codes[UNTYPED]
    worst = max(rows, key=lambda row: row.seconds)
    bombs = [row for row in rows if "bomb_" in row.name]
    refused = [row for row in bombs if row.outcome != DECODED and row.seconds <= 1]
    return [
        Row(
            1,
            f"{len(rows)} files and mutants through the library",
            "0 crashes, hangs, untyped exceptions; each ≤ 10 s, 99 % ≤ 0.5 s; child ≤ 1 GB",
            f"{lost[0]} crashes, {lost[1]} hangs, {lost[2]} untyped; 99 % {p99:.2f} s, worst {worst.seconds:.1f} s "
            f"({worst.name}); child {resident:.0f} MB",
            not any(lost) and worst.seconds <= 10 and p99 <= 0.5 and resident <= 1000,
        ),
        Row(
            3,
            f"{len(bombs)} named bombs through the library",
            "refused ≤ 1 s, or legal and decoded ≤ 5 s",
            f"{len(refused)} refused ≤ 1 s, {len(bombs) - len(refused)} others; "
            f"slowest {max((row.seconds for row in bombs), default=0):.1f} s",
            all(row in refused or (row.outcome == DECODED and row.seconds <= 5) for row in bombs),
        ),
    ]


def live(page: Running, files: Sequence[Path], pair: list[bytes]) -> Row:
    """Every file beside a good photograph: by the page's button and by its interface for programs, in turn."""
    said: Counter[str] = Counter()
    slowest = 0.0

    def attack(number: int) -> tuple[str, float]:
        start = time.monotonic()
        with httpx.Client(base_url=page.address, timeout=60) as client:
            try:
                slots = uploaded(client, files[number].read_bytes(), pair[1])
                outcome = _by_program(page, slots) if number % 2 else _by_button(client, slots)
            except (httpx.HTTPError, KeyError) as error:
                outcome = f"no answer ({type(error).__name__})"
        return outcome, time.monotonic() - start

    with watched(page) as watch, ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome, seconds in pool.map(attack, range(len(files))):
            said[outcome] += 1
            slowest = max(slowest, seconds)
    lost = sum(count for outcome, count in said.items() if outcome not in ("fused", "refused"))
    return Row(
        2,
        f"{len(files)} hostile files through the page",
        "0 restarts, 0 without a sentence; memory + ≤ 100 MB; another visitor p95 ≤ 1 s; no foreign child process",
        f"{said['fused']} fused, {said['refused']} refused, {lost} without a sentence; {watch.restarts} restarts; "
        f"memory {watch.growth:+.0f} MB; p95 {watch.p95:.2f} s of {len(watch.pings)}; slowest file {slowest:.1f} s; "
        f"foreign children: {', '.join(sorted(watch.strangers)) or 'none'}",
        not lost and not watch.restarts and watch.growth <= 100 and watch.p95 <= 1 and not watch.strangers,
    )


def _by_program(page: Running, slots: list[dict[str, object]]) -> str:
    fused, sentence = api_fuse(page, slots)
    return "fused" if fused else "refused" if sentence.endswith(".") else f"said {sentence!r}"


def _by_button(client: httpx.Client, slots: list[dict[str, object]]) -> str:
    last = ""
    for last in pressed(client, slots, ["mertens"]):
        if (kind := told(last)) in ("problem", "done"):
            return {"problem": "refused", "done": "fused"}[kind]
    return f"ended with {last[:80]}"
