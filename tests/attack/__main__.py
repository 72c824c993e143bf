"""Attack the page that runs on this computer, and the library; print each attack, its goal and its result.

`python -m tests.attack [--url http://127.0.0.1:PORT] [--corpus DIR] [--nightly]`

Without `--url` a page is started. `--corpus` is a folder of hostile files, beside the mutants made here. `--nightly`
adds what takes an hour, and writes the table to docs/attack.md. The seeds are the same every time; exit 0 where every
goal is met.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

import numpy as np

from fusion.io.image import save
from tests.attack import floods, kills, load, page, pairs, tricks
from tests.attack.corpus import written
from tests.attack.hostile import mutants
from tests.attack.report import Row, table
from tests.attack.target import photographs, process_of, target
from tests.server import ROOT, Running, served

TESTS = {
    9: ("tiles and strips", ["runtime/test_tiles.py", "methods/test_methods.py"]),
    10: ("100 times out of memory, a full GPU", ["runtime/test_memory.py"]),
    12: ("a folder's run is killed again and again; a full disk", ["folders/test_folders.py"]),
    13: ("training is killed twenty times", ["training/test_training.py"]),
    14: (
        "useless weights; the ways to run foreign code",
        ["runtime/test_faults.py", "runtime/test_weights.py", "test_imports.py"],
    ),
    15: ("values, orientations, profiles, formats", ["io/test_image.py", "io/test_formats.py"]),
    16: ("what must not be in any output, log or error", ["page/test_privacy.py"]),
}
"""Rows that tests answer."""


def attacks(url: str | None, corpus: Path | None, *, nightly: bool) -> Iterator[Row]:
    """Yield each row as soon as it is done."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "page").mkdir()
        running = target(url) if url else stack.enter_context(served(folder / "page", "app.py"))
        process_of(running)
        kills.ask(running).rest()  # what is loaded once, is
        pair = photographs(folder)
        yield from page.library(corpus or _empty(folder), 2400 if corpus else 240)
        yield page.live(running, _live_files(corpus, folder), pair)
        yield tricks.leaks(running, pair, folder)
        yield tricks.doors(running)
        yield tricks.scripts(running)
        yield from floods.floods(running, pair)
        yield kills.gone(running)
        yield kills.decoders(running, pair, 50 if nightly else 5)
        if nightly:
            yield from kills.pages(folder, 5)
            yield _told(7, "50 visitors at once", load.visitors, running)
            yield _told(7, "5 visitors for 10 minutes", load.soak, running)
            yield _huge(folder)
            yield _generated(10_000, pairs.QUICK)
            yield _generated(500, pairs.SLOW)
            yield from (_tested(number, *what) for number, what in TESTS.items())


def _empty(folder: Path) -> Path:
    (folder / "none").mkdir()
    return folder / "none"


def _live_files(corpus: Path | None, folder: Path) -> list[Path]:
    found = [file for name in page.LIVE for file in sorted((corpus / name).rglob("*"))] if corpus else []
    (folder / "mutants").mkdir()
    ours = [file for file, _ in written(mutants(100, seed=1), folder / "mutants")]
    return [file for file in found if file.is_file()] + ours


def _told(number: int, asked: str, attack: Callable[[str], bool], running: Running) -> Row:
    """Run an attack that prints its findings, and make a row of the last lines that it prints."""
    said = io.StringIO()
    with redirect_stdout(said):
        met = attack(running.address)
    return Row(number, asked, "as printed", "; ".join(said.getvalue().strip().splitlines()[-2:]), met)


def _huge(folder: Path) -> Row:
    """A pair of 50 megapixels on the command line: its peak memory."""
    ramp = np.add.outer(np.arange(6250), np.arange(8000)) % 256
    for name, gain in (("under", 0.3), ("over", 1.0)):
        save(np.repeat((ramp * gain).astype(np.uint8)[..., None], 3, 2), folder / f"huge-{name}.png")
    command = [sys.executable, "-m", "fusion", "fuse", str(folder / "huge-under.png"), str(folder / "huge-over.png")]
    start = time.monotonic()
    process = subprocess.Popen([*command, "--no-align", "-o", str(folder / "huge.png")], cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    gigabytes = used.ru_maxrss / 1e6
    return Row(
        9,
        "a pair of 50 megapixels",
        "a picture; ≤ 3 GB",
        f"exit {process.returncode}, {gigabytes:.2f} GB, {time.monotonic() - start:.0f} s",
        process.returncode == 0 and gigabytes <= 3,
    )


def _generated(count: int, methods: list[str]) -> Row:
    asked = f"{count} generated pairs through {', '.join(methods)}"
    goal = "0 exceptions but documented refusals; finite, in range, of the input's size"
    try:
        told = pairs.check(count, methods)
    except Exception as error:  # noqa: BLE001  # it is what is looked for
        return Row(15, asked, goal, f"{type(error).__name__}: {error}".splitlines()[0], met=False)
    return Row(15, asked, goal, f"{told['fused']} fused, {told['refused']} refused", sum(told.values()) >= count)


def _tested(number: int, asked: str, files: list[str]) -> Row:
    command = [sys.executable, "-m", "pytest", "-q", *(f"tests/{file}" for file in files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = re.sub(r"^=+|=+$", "", done.stdout.strip().splitlines()[-1]).strip()
    passed = done.stdout.count(".") if done.returncode == 0 else 0
    said = f"{', '.join(files)}: {last if done.returncode else f'{passed} dots, none failed'}"
    return Row(number, asked, "tests pass", said, done.returncode == 0)


def _end(*_: object) -> None:
    sys.exit(143)  # SystemExit lets everything end that was started


def main() -> int:
    """Print the rows as they come, then the table."""
    parser = argparse.ArgumentParser(
        "python -m tests.attack", description="Attack the page that runs on this computer."
    )
    parser.add_argument("--url", help="a page that runs on this computer, http://127.0.0.1:PORT")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="a folder of hostile files")
    parser.add_argument(
        "--nightly", action="store_true", help="run the attacks that take an hour too, and write docs/attack.md"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    rows: list[Row] = []
    for row in attacks(options.url, options.corpus, nightly=options.nightly):
        rows.append(row)
        print(f"row {row.number}: {'met' if row.met else 'NOT MET'}: {row.measured}", file=sys.stderr, flush=True)
    print(table(rows))
    if options.nightly:
        command = f"python -m tests.attack{' --corpus DIR' if options.corpus else ''} --nightly"
        head = (
            f"# The last attack\n\n`{command}` wrote this table. [SECURITY.md](../SECURITY.md) explains its rows.\n\n"
        )
        (ROOT / "docs" / "attack.md").write_text(f"{head}{table(rows)}\n", encoding="utf-8")
    return not all(row.met for row in rows)


if __name__ == "__main__":
    sys.exit(main())
