"""A folder of hostile files, and mutants of our own, through the library: what came of them, in what time and memory.

`python -m tests.attack.corpus FOLDER [--mutants 2400] [--seed 0]`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

import psutil

from fusion.errors import ImageError, Refusal
from fusion.io.image import load
from fusion.io.sandbox import MAX_DECODERS, MAX_SECONDS, SERVE_COMMAND, Sandbox
from tests.attack.hostile import mutants

DECODED, UNTYPED = "decoded", "untyped"
_NO_ANSWER = {Refusal.CRASHED.value: "crashes", Refusal.TOO_SLOW.value: "hangs", UNTYPED: "untyped exceptions"}


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    name: str
    outcome: str
    """`DECODED`, a refusal's code, or `UNTYPED`."""
    said: str
    seconds: float


@dataclass
class Peak:
    """The most memory that any decoder held."""

    resident: int = 0
    """Bytes."""


def attempt(path: Path, name: str, sandbox: Sandbox) -> Row:
    """Load one file in a process of `sandbox`."""
    start = time.perf_counter()
    try:
        load(path, sandbox=sandbox)
        outcome = DECODED, ""
    except ImageError as refusal:
        outcome = refusal.code.value if refusal.code else UNTYPED, str(refusal)
    except Exception as error:  # noqa: BLE001  # it is what is looked for
        outcome = UNTYPED, repr(error)
    return Row(name, *outcome, time.perf_counter() - start)


def decode_corpus(folder: Path, count: int = 2400, seed: int = 0) -> tuple[list[Row], Peak]:
    """Every file below a folder, then as many mutants, with as many at once as there are children."""
    with tempfile.TemporaryDirectory() as made, Sandbox() as sandbox, children_watched() as peak:
        files = [(path, str(path.relative_to(folder))) for path in sorted(folder.rglob("*")) if path.is_file()]
        files += written(mutants(count, seed), Path(made))
        return attempt_all(files, sandbox), peak


def written(pictures: Iterable[tuple[str, bytes]], folder: Path) -> list[tuple[Path, str]]:
    """Write named bytes to files."""
    files: list[tuple[Path, str]] = []
    for name, data in pictures:
        files.append((folder / str(len(files)), name))
        files[-1][0].write_bytes(data)
    return files


def attempt_all(files: Sequence[tuple[Path, str]], sandbox: Sandbox) -> list[Row]:
    """Load as many files at once as there are decoders."""
    with ThreadPoolExecutor(MAX_DECODERS) as pool:
        return list(pool.map(partial(attempt, sandbox=sandbox), *zip(*files, strict=True)))


@contextmanager
def children_watched() -> Generator[Peak]:
    """Decoders' peak, which Linux counts itself; one that ends takes its count along, so it is read all the time."""
    peak, over = Peak(), Event()

    def watch() -> None:
        while not over.wait(0.005):
            for child in psutil.Process().children():
                with suppress(OSError, StopIteration):
                    if SERVE_COMMAND.encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
                        continue
                    lines = Path(f"/proc/{child.pid}/status").read_text("ascii").splitlines()
                    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
                    peak.resident = max(peak.resident, int(kilobytes) << 10)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def table(rows: Sequence[Row], peak: Peak) -> str:
    """The results as a table in Markdown."""
    seconds = sorted(row.seconds for row in rows)
    codes = Counter(row.outcome for row in rows)
    lines = [("files", f"{len(rows)}"), (DECODED, f"{codes[DECODED]}")]
    lines += [(code, f"{count}") for code, count in codes.most_common() if code != DECODED]
    lines += [(what, f"{codes[code]}") for code, what in _NO_ANSWER.items()]
    lines += [
        ("seconds, 99 of 100", f"{seconds[int(len(seconds) * 0.99)]:.3f}"),
        ("seconds, worst", f"{seconds[-1]:.3f}"),
    ]
    lines += [("a child's peak memory, MB", f"{peak.resident / 1e6:.0f}")]
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in lines)])


def main() -> int:
    """The table, then every file that crashed, hung or raised something else; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutants", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows, peak = decode_corpus(options.folder, options.mutants, options.seed)
    print(table(rows, peak))
    failed = [row for row in rows if row.outcome in _NO_ANSWER or row.seconds > MAX_SECONDS]
    for row in failed:
        print(f"{row.name}: {row.outcome}, {row.seconds:.1f} s, {row.said}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
