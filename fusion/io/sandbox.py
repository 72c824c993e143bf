"""Decoding in processes of their own, which crash, hang and run out of memory in the caller's stead.

There are at most `CHILDREN`. One starts when it is first needed, in about a fifth of a second; it serves any thread,
file after file, is replaced when it has died, and ends with its parent, since its input ends then. What it may do:

| at most                               | by                        | beyond                                |
|---------------------------------------|---------------------------|---------------------------------------|
| 10 seconds                            | the parent's clock        | killed: `Refusal.TOO_SLOW`            |
| 10 seconds of the processor           | RLIMIT_CPU                | killed: `Refusal.TOO_SLOW`            |
| 1 GB                                  | RLIMIT_AS                 | `Refusal.OUT_OF_MEMORY` or `CRASHED`  |
| the two pipes: no file, no connection | RLIMIT_NOFILE             | it cannot be opened                   |
| no byte to a file, no core dump       | RLIMIT_FSIZE, RLIMIT_CORE | it is not written                     |
| nothing of the parent's environment   | an empty one              |                                       |

RLIMIT_* is for Linux. Elsewhere the sizes that `fusion.io.decode` allows, and the clock, have to do.

Both pipes carry a length, a line of JSON of that length, and bytes: the file in one direction, a picture in the other.
A child is trusted no more than the file: what it announces is judged before it is read, its pixels before their use.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import weakref
from contextlib import suppress
from importlib import import_module
from io import FileIO
from pathlib import Path
from threading import BoundedSemaphore, Timer
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError, Refusal
from fusion.io import icc
from fusion.io.decode import Decoded, check_size, decode, out_of_memory

CHILDREN = 2
SECONDS = 10
MEMORY = 950_000_000
"""Beside what libraries have reserved, of which they may come to use some: 1 GB in all."""
FILES = 200
"""That one child decodes before another takes its place: what libraries leak, goes with it."""

_LONGEST_LINE = 1 << 16
_LONGEST_METADATA = 1 << 24
"""Longer camera data, or profiles, are not handed on; the picture is the same without them."""
_STRIP = 1 << 20
"""Bytes of pixels that are written at once; as many fit into a pipe, where the system allows it."""
_LENGTH = struct.Struct(">I")
SERVE = "import sys; sys.path[:] = sys.argv[1:]; from fusion.io import sandbox; sandbox.serve()"
"""What an isolated interpreter runs, which finds no module by itself."""
_PLUGINS = (f"PIL.{kind}ImagePlugin" for kind in ("Avif", "Bmp", "Jpeg", "Png", "Tiff", "WebP"))
_LIBRARIES = ("cv2", "pi_heif", "rawpy", "multiprocessing", "PIL.ImageCms", *_PLUGINS)
"""Whatever decoding needs, and rawpy's own question whether it was forked: later, no file can be opened."""


class Sandbox:
    """Processes that decode files, each lent to one caller at a time; several threads may share a sandbox.

    It starts nothing before the first file, and ends its processes when it is closed or no longer used. A process that
    was forked from one with a sandbox starts children of its own.
    """

    def __init__(self) -> None:
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._free = BoundedSemaphore(CHILDREN)
        self._idle: list[Child] = []
        self.children: set[Child] = set()
        self._finalizer = weakref.finalize(self, _end_all, self.children)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def decode(self, data: bytes, name: str) -> Decoded:
        """Do what `fusion.io.decode.decode` does, in a child; where all children are busy, wait for one.

        Raises ImageError, and nothing else, for a file that cannot be used.
        """
        if self._process != os.getpid():
            self._disown()
        with self._free:
            child = self._one(name)
            try:
                return child.decoded(data, name)
            finally:
                if child.reusable:
                    self._idle.append(child)
                else:
                    self._end(child)

    def close(self) -> None:
        """End all children at once, whatever they are doing. Others are started when they are needed."""
        self._idle.clear()
        _end_all(self.children)

    def _one(self, name: str) -> Child:
        """An idle child that lives, or a new one."""
        try:
            while (child := self._idle.pop()).process.poll() is not None:
                self._end(child)
        except IndexError:
            try:
                child = Child()
            except OSError as error:
                raise _stopped(name) from error
            self.children.add(child)
        return child

    def _end(self, child: Child) -> None:
        child.end()
        self.children.discard(child)

    def _disown(self) -> None:
        """Leave the children, and their pipes, to the process that this one was forked from."""
        self._finalizer.detach()
        for child in self.children:
            child.disown()
        self._start_anew()


def _end_all(children: set[Child]) -> None:
    while children:
        children.pop().end()


class Child:
    """A process that decodes one file after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-B", "-c", SERVE, *_import_path()],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries' complaints quote the file
            env=_environment(),
            cwd=os.path.abspath(os.sep),  # noqa: PTH100
            start_new_session=True,  # Ctrl-C is not for it
        )
        self._requests, self._answers = cast("FileIO", self.process.stdin), cast("FileIO", self.process.stdout)
        for pipe in (self._requests, self._answers):
            _enlarge(pipe)
        self._files = 0
        self._late = self._settled = False

    @property
    def reusable(self) -> bool:
        """It has answered to the end, and may be asked again."""
        return self._settled and not self._late and self._files < FILES

    def decoded(self, data: bytes, name: str) -> Decoded:
        """The child's answer; unless it is `reusable` then, it must be ended."""
        self._files += 1
        self._settled = False
        clock = Timer(SECONDS, self._expire)
        clock.start()
        try:
            _send(self._requests, {"name": name, "bytes": len(data)}, data)
            return self._answer(name)
        except MemoryError as error:
            raise out_of_memory(name) from error
        except (ArithmeticError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
            raise self._failure(name) from error
        finally:
            clock.cancel()
            clock.join()

    def _expire(self) -> None:
        self._late = True
        self.process.kill()

    def _answer(self, name: str) -> Decoded:
        """Raises, beside ImageError, whatever comes of an answer that is none."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _LONGEST_LINE:
            raise ValueError
        match json.loads(self._read(length)):
            case {"code": str(code), "sentence": str(sentence)}:
                refusal = ImageError(sentence, Refusal(code))
                self._settled = refusal.code is not Refusal.OUT_OF_MEMORY
                raise refusal
            case {
                "shape": [int(height), int(width), *channels],
                "bits": int(bits),
                "notes": list(notes),
                "exif": int(exif),
                "profile": int(profile),
                "table": int(table),
            }:
                check_size(width, height, name)
                if channels not in ([], [3]) or not (8 <= bits <= 16 or bits == 32):
                    raise ValueError
                if max(exif, profile) > _LONGEST_METADATA or table not in (0, icc.GREYS, icc.COLOURS):
                    raise ValueError
                picture = Decoded(
                    exif=self._read(exif),
                    profile=self._read(profile),
                    table=self._array((table, 3), np.uint8) if table else None,
                    pixels=self._array((height, width, *channels), _dtype(bits)),
                    bits=bits,
                    notes=[str(note) for note in notes],
                )
                _check_range(picture.pixels, bits)
                self._settled = True
                return picture
            case _:
                raise ValueError

    def _read(self, size: int) -> bytes:
        data = bytearray(size)
        _fill(self._answers, memoryview(data))
        return bytes(data)

    def _array(self, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        values = np.empty(shape, dtype)
        _fill(self._answers, values.data.cast("B"))
        return values

    def _failure(self, name: str) -> ImageError:
        self.process.kill()
        ended = self.process.wait()
        if self._late or (sys.platform != "win32" and -ended == signal.SIGXCPU):
            return ImageError(
                f"{name} takes more than {SECONDS} seconds to decode; save it again as PNG or JPEG.", Refusal.TOO_SLOW
            )
        return _stopped(name)

    def end(self) -> None:
        """At once, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.disown()

    def disown(self) -> None:
        """Close our ends of its pipes."""
        self._requests.close()
        self._answers.close()
        self.process.returncode = self.process.returncode or 0  # it is not to be waited for


def _stopped(name: str) -> ImageError:
    return ImageError(
        f"{name} could not be decoded, since the decoder stopped; save it again as PNG or JPEG, or try once more.",
        Refusal.CRASHED,
    )


def _dtype(bits: int) -> type:
    return np.uint8 if bits == 8 else np.float32 if bits == 32 else np.uint16


def _check_range(pixels: NDArray[Any], bits: int) -> None:
    """Raise ValueError for values that these bits do not have; what comes after indexes tables with them."""
    largest = 1 if bits == 32 else (1 << bits) - 1
    if bits not in (8, 16) and not (float(pixels.min()) >= 0 and float(pixels.max()) <= largest):  # NaN as well
        raise ValueError


# Where children find modules, and what they see of the environment.


def _import_path() -> list[str]:
    """The parent's, whatever it was made of, without the folder that it happens to work in."""
    root = str(Path(__file__).resolve().parents[2])
    return [root, *(path for path in sys.path if Path(path).is_absolute() and path != root)]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    # Threads would reserve memory that no picture gets then.
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


# Both ends of a pipe.


def _enlarge(pipe: FileIO) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a user may have only so much
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _STRIP)


def _send(pipe: FileIO, line: dict[str, Any], *parts: bytes) -> None:
    text = json.dumps(line).encode()
    for part in (_LENGTH.pack(len(text)) + text, *parts):
        _write(pipe, memoryview(part))


def _write(pipe: FileIO, rest: memoryview) -> None:
    while rest:
        rest = rest[pipe.write(rest) :]


def _fill(pipe: FileIO, rest: memoryview) -> None:
    while rest:
        if not (count := pipe.readinto(rest)):
            raise EOFError
        rest = rest[count:]


# In the child.


def serve() -> None:
    """Answer requests until there are no more: what a child does."""
    requests, answers = sys.stdin.buffer, FileIO(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print
    for library in _LIBRARIES:
        with suppress(ImportError):  # rawpy is not everywhere
            import_module(library)
    _bound(answers.fileno() + 1)
    while start := requests.read(_LENGTH.size):
        asked = json.loads(requests.read(*_LENGTH.unpack(start)))
        data = requests.read(asked["bytes"])
        _allow_seconds()
        try:
            _send_picture(answers, decode(data, asked["name"]))
        except ImageError as refusal:
            _send(answers, {"code": refusal.code, "sentence": str(refusal)})


def _send_picture(answers: FileIO, picture: Decoded) -> None:
    pixels, table = picture.pixels, picture.table
    exif, profile = (said if len(said) <= _LONGEST_METADATA else b"" for said in (picture.exif, picture.profile))
    line = {
        "shape": pixels.shape,
        "bits": picture.bits,
        "notes": picture.notes,
        "exif": len(exif),
        "profile": len(profile),
        "table": 0 if table is None else len(table),
    }
    _send(answers, line, exif, profile, b"" if table is None else table.tobytes())
    rows = max(1, _STRIP // (pixels[:1].size * pixels.itemsize))
    for top in range(0, len(pixels), rows):
        strip = np.ascontiguousarray(pixels[top : top + rows], _dtype(picture.bits))
        _write(answers, strip.data.cast("B"))


def _bound(files: int) -> None:
    """Memory that libraries have reserved and do not use is not counted; `files` are open, and no more will be."""
    if sys.platform != "linux":
        return
    import resource

    reserved, resident = (
        int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text("ascii").split()[:2]
    )
    for limit, amount in (
        (resource.RLIMIT_AS, reserved - resident + MEMORY),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(limit, (most, most))


def _allow_seconds() -> None:
    """Of the processor, for one more file."""
    if sys.platform != "linux":
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
