"""Decoding in separate processes, so that a hostile file can crash, hang or exhaust a process other than the caller's.

There are at most `MAX_DECODERS` such processes. One starts when it is first needed, which takes about a fifth of a
second. It decodes one file after another for any thread, is replaced when it dies, and ends with its parent, since its
input ends then. What a decoder may use:

| at most                               | enforced by               | beyond that                           |
|---------------------------------------|---------------------------|---------------------------------------|
| 10 seconds a file                     | the parent's clock        | killed: `Refusal.TOO_SLOW`            |
| 10 seconds of processor time a file   | RLIMIT_CPU                | killed: `Refusal.TOO_SLOW`            |
| 1 GB                                  | RLIMIT_AS                 | `Refusal.OUT_OF_MEMORY` or `CRASHED`  |
| two pipes, no file and no connection  | RLIMIT_NOFILE             | it cannot be opened                   |
| no byte to a file, no core dump       | RLIMIT_FSIZE, RLIMIT_CORE | it is not written                     |
| nothing of the parent's environment   | an empty environment      |                                       |

The RLIMIT_* limits exist on Linux. On other systems, only the limits of `fusion.io.decode` and the clock apply.

Both pipes carry a length, a line of JSON of that length, and bytes: the file in one direction, a picture in the other.
A decoder is trusted no more than the file: what it announces is checked before it is read, and pixels before use.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
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
from fusion.io.colour_space import Gamut
from fusion.io.decode import Decoded, check_size, decode, out_of_memory
from fusion.io.glance import glance

MAX_DECODERS = 2
MAX_SECONDS = 10
MAX_START_SECONDS = 60
"""How long a process may take to start, which is slow on a busy machine and has nothing to do with the file."""
MAX_MEMORY = 950_000_000
"""Bytes in addition to what libraries have reserved, some of which they may come to use: 1 GB in all."""
FILES_PER_DECODER = 200
"""How many files one process decodes before another takes its place, so that memory that libraries leak is freed."""

_LONGEST_LINE = 1 << 16
_LONGEST_METADATA = 1 << 24
"""Bytes of camera data or of a profile. Longer ones are not passed on; the picture is the same without them."""
_STRIP = 1 << 20
"""Bytes of pixels that are written at once, and the capacity of the pipes where the system allows it."""
_LENGTH = struct.Struct(">I")
READY = b"\n"
"""What a decoder writes once it can take files, before its first answer."""
SERVE_COMMAND = "import sys; sys.path[:] = sys.argv[1:]; from fusion.io import sandbox; sandbox.serve()"
"""The program of a decoder. Its interpreter is isolated and finds no module unless it is told where to look."""
_PLUGINS = (f"PIL.{kind}ImagePlugin" for kind in ("Avif", "Bmp", "Jpeg", "Png", "Tiff", "WebP"))
_LIBRARIES = ("cv2", "pi_heif", "rawpy", "multiprocessing", "PIL.ImageCms", *_PLUGINS)
"""Modules to import before the limits apply, since no file can be opened afterwards. rawpy asks `multiprocessing`
whether it was forked."""


class Sandbox:
    """Processes that decode files. Several threads may share a sandbox; each process serves one of them at a time.

    It starts no process before the first file, and ends its processes when it is closed or garbage collected. After a
    fork, the new process starts decoders of its own.

    >>> from pathlib import Path
    >>> with Sandbox() as sandbox:
    ...     sandbox.decode(Path("examples/desk/under.png").read_bytes(), "The picture").pixels.shape
    (874, 644, 3)
    """

    def __init__(self) -> None:
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._free = BoundedSemaphore(MAX_DECODERS)
        self._idle: list[Decoder] = []
        self.decoders: set[Decoder] = set()
        self._finalizer = weakref.finalize(self, _end_all, self.decoders)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def decode(self, data: bytes, name: str, gamut: Gamut = "srgb", saturation: int = 0) -> Decoded:
        """Call `fusion.io.decode.decode` in a decoder process. If all of them are busy, wait for one.

        Raises `ImageError`, and nothing else, for a file that cannot be used.
        """
        return self._answer(data, name, {"small": False, "gamut": gamut, "saturation": saturation})

    def glance(self, data: bytes, name: str) -> Decoded:
        """Call `fusion.io.glance.glance` in a decoder process, as `decode` does."""
        return self._answer(data, name, {"small": True})

    def _answer(self, data: bytes, name: str, wanted: Mapping[str, Any]) -> Decoded:
        if self._process != os.getpid():
            self._disown()
        with self._free:
            decoder = self._idle_or_new(name)
            try:
                return decoder.decode(data, name, wanted)
            finally:
                if decoder.reusable:
                    self._idle.append(decoder)
                else:
                    self._end(decoder)

    def close(self) -> None:
        """End all decoders at once, whatever they are doing. New ones are started when they are needed."""
        self._idle.clear()
        _end_all(self.decoders)

    def _idle_or_new(self, name: str) -> Decoder:
        """An idle decoder that is still alive, or a new one."""
        try:
            while (decoder := self._idle.pop()).process.poll() is not None:
                self._end(decoder)
        except IndexError:
            try:
                decoder = Decoder()
            except OSError as error:
                raise _stopped(name) from error
            self.decoders.add(decoder)
        return decoder

    def _end(self, decoder: Decoder) -> None:
        decoder.end()
        self.decoders.discard(decoder)

    def _disown(self) -> None:
        """Leave the decoders and their pipes to the process that this one was forked from."""
        self._finalizer.detach()
        for decoder in self.decoders:
            decoder.disown()
        self._start_anew()


def _end_all(decoders: set[Decoder]) -> None:
    while decoders:
        decoders.pop().end()


class Decoder:
    """A process that decodes one file after another, seen from its parent."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-B", "-c", SERVE_COMMAND, *_import_path()],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries' messages quote the file
            env=_environment(),
            cwd=os.path.abspath(os.sep),  # noqa: PTH100
            start_new_session=True,  # Ctrl-C in a terminal does not reach it
        )
        self._requests, self._answers = cast("FileIO", self.process.stdin), cast("FileIO", self.process.stdout)
        for pipe in (self._requests, self._answers):
            _enlarge(pipe)
        self._files = 0
        self._ready = self._late = self._answered = False

    @property
    def reusable(self) -> bool:
        """Whether the process has given a complete answer and may decode another file."""
        return self._answered and not self._late and self._files < FILES_PER_DECODER

    def decode(self, data: bytes, name: str, wanted: Mapping[str, Any]) -> Decoded:
        """Decode one file, or make a small copy, as `wanted` says.

        Unless the process is `reusable` afterwards, it must be ended.
        """
        self._files += 1
        self._answered = False
        try:
            if not self._ready:
                with self._time_limit(MAX_START_SECONDS):
                    self._read(len(READY))
                self._ready = True
            with self._time_limit(MAX_SECONDS):
                _send(self._requests, {"name": name, "bytes": len(data), **wanted}, data)
                return self._answer(name)
        except MemoryError as error:
            raise out_of_memory(name) from error
        except (ArithmeticError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
            raise self._failure(name) from error

    @contextmanager
    def _time_limit(self, seconds: float) -> Generator[None, None, None]:
        """Kill the process if the block takes longer, so that reading from it ends."""
        clock = Timer(seconds, self._expire)
        clock.start()
        try:
            yield
        finally:
            clock.cancel()
            clock.join()

    def _expire(self) -> None:
        self._late = True
        self.process.kill()

    def _answer(self, name: str) -> Decoded:
        """Read the answer of the process. A malformed answer raises one of several errors, not `ImageError`."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _LONGEST_LINE:
            raise ValueError
        match json.loads(self._read(length)):
            case {"code": str(code), "sentence": str(sentence)}:
                refusal = ImageError(sentence, Refusal(code))
                self._answered = refusal.code is not Refusal.OUT_OF_MEMORY
                raise refusal
            case {
                "shape": [int(height), int(width), *channels],
                "bits": int(bits),
                "notes": list(notes),
                "exif": int(exif),
                "profile": int(profile),
                "table": int(table),
                "opaque": bool(opaque),
                "orientation": int(orientation),
                "gamut": ("srgb" | "display-p3") as held,
                "saturation": int(saturation),
            }:
                check_size(width, height, name)
                if channels not in ([], [3]) or not (8 <= bits <= 16 or bits == 32):
                    raise ValueError
                if max(exif, profile) > _LONGEST_METADATA or table not in (0, icc.GREY_ROWS, icc.COLOUR_ROWS):
                    raise ValueError
                if orientation not in range(1, 9):
                    raise ValueError
                picture = Decoded(
                    exif=self._read(exif),
                    profile=self._read(profile),
                    table=self._array((table, 3), np.uint8) if table else None,
                    pixels=self._array((height, width, *channels), _dtype(bits)),
                    bits=bits,
                    notes=[str(note) for note in notes],
                    opaque=self._array((height, width), np.uint8) != 0 if opaque else None,
                    orientation=orientation,
                    gamut=held,
                    saturation=saturation,
                )
                _check_range(picture.pixels, bits)
                self._answered = True
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
        """End the process and say why it gave no answer."""
        self.process.kill()
        code = self.process.wait()
        if self._ready and (self._late or (sys.platform != "win32" and -code == signal.SIGXCPU)):
            return ImageError(
                f"{name} takes more than {MAX_SECONDS} seconds to decode; save it again as PNG or JPEG.",
                Refusal.TOO_SLOW,
            )
        return _stopped(name)

    def end(self) -> None:
        """End the process at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.disown()

    def disown(self) -> None:
        """Close the parent's ends of the pipes, and do not wait for the process."""
        self._requests.close()
        self._answers.close()
        self.process.returncode = self.process.returncode or 0  # so that Popen does not wait for it


def _stopped(name: str) -> ImageError:
    return ImageError(
        f"{name} could not be decoded because the decoder stopped; save it again as PNG or JPEG, or try once more.",
        Refusal.CRASHED,
    )


def _dtype(bits: int) -> type:
    return np.uint8 if bits == 8 else np.float32 if bits == 32 else np.uint16


def _check_range(pixels: NDArray[Any], bits: int) -> None:
    """Raise `ValueError` for values that these bits cannot hold, since lookup tables are indexed by them."""
    largest = 1 if bits == 32 else (1 << bits) - 1
    if bits not in (8, 16) and not (float(pixels.min()) >= 0 and float(pixels.max()) <= largest):
        raise ValueError  # for NaN as well


# Where decoders find modules, and their environment.


def _import_path() -> list[str]:
    """The import path of this process, but without its working directory."""
    root = str(Path(__file__).resolve().parents[2])
    return [root, *(path for path in sys.path if Path(path).is_absolute() and path != root)]


def _environment() -> dict[str, str]:
    """The little that a decoder needs of this process's environment."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    # Threads would reserve memory, which would not be left for pictures.
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


# Reading and writing of pipes, in both processes.


def _enlarge(pipe: FileIO) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the memory for one user's pipes is limited
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


# What runs in the decoder's process.


def serve() -> None:
    """Decode files from standard input until it ends. This is the main function of a decoder's process."""
    requests, answers = sys.stdin.buffer, FileIO(os.dup(1), "w")
    os.dup2(2, 1)  # so that what libraries print is not taken for an answer
    for library in _LIBRARIES:
        with suppress(ImportError):  # rawpy may not be installed
            import_module(library)
    _limit_resources(answers.fileno() + 1)
    _write(answers, memoryview(READY))
    while start := requests.read(_LENGTH.size):
        request = json.loads(requests.read(*_LENGTH.unpack(start)))
        data = requests.read(request["bytes"])
        _limit_processor_time()
        try:
            name = request["name"]
            if request["small"]:
                picture = glance(data, name)
            else:
                picture = decode(data, name, request["gamut"], request["saturation"])
            _send_picture(answers, picture)
        except ImageError as refusal:
            _send(answers, {"code": refusal.code, "sentence": str(refusal)})


def _send_picture(answers: FileIO, picture: Decoded) -> None:
    pixels, table = picture.pixels, picture.table
    exif, profile = (part if len(part) <= _LONGEST_METADATA else b"" for part in (picture.exif, picture.profile))
    line = {
        "shape": pixels.shape,
        "bits": picture.bits,
        "notes": picture.notes,
        "exif": len(exif),
        "profile": len(profile),
        "table": 0 if table is None else len(table),
        "opaque": picture.opaque is not None,
        "orientation": picture.orientation if picture.orientation in range(1, 9) else 1,
        "gamut": picture.gamut,
        "saturation": picture.saturation,
    }
    _send(answers, line, exif, profile, b"" if table is None else table.tobytes())
    rows = max(1, _STRIP // (pixels[:1].size * pixels.itemsize))
    for top in range(0, len(pixels), rows):
        strip = np.ascontiguousarray(pixels[top : top + rows], _dtype(picture.bits))
        _write(answers, strip.data.cast("B"))
    if picture.opaque is not None:
        _write(answers, np.ascontiguousarray(picture.opaque).data.cast("B"))


def _limit_resources(files: int) -> None:
    """Limit memory and files of this process: `files` are open now, and no more can be opened.

    Memory that libraries have reserved but do not use is not counted.
    """
    if sys.platform != "linux":
        return
    import resource

    reserved, resident = (
        int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text("ascii").split()[:2]
    )
    for limit, amount in (
        (resource.RLIMIT_AS, reserved - resident + MAX_MEMORY),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(limit, (most, most))


def _limit_processor_time() -> None:
    """Allow `MAX_SECONDS` of processor time for the next file."""
    if sys.platform != "linux":
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + MAX_SECONDS + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
