"""Memory: how the process takes it from the operating system, how much networks may use, and what if it runs out."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fusion.errors import NotEnoughMemoryError

# Parameters of `mallopt`, from malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT_BYTES = 1 << 30


def tune_allocator() -> None:
    """Let the process keep up to 1 GB of freed memory for the next feature map instead of handing it back.

    By default glibc takes every block of more than 32 MB from the kernel and returns it at once, and the kernel zeroes
    each page anew. Networks allocate such a block for every layer; where page faults are slow, as in virtual machines,
    that took longer than the convolutions. The setting holds for the whole process, whenever it is made. On systems
    other than Linux with glibc, this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, for instance, has none
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_ARENA_MAX, 1)  # other threads' arenas cannot hold blocks of this size


_MESSAGES = ("DefaultCPUAllocator", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "Insufficient memory")
"""Parts of the messages by which PyTorch on the CPU, CUDA, cuBLAS and cuDNN, and OpenCV say that memory ran out."""


def ran_out(error: BaseException) -> bool:
    """Whether an error was raised because memory ran out, the machine's or a GPU's.

    >>> ran_out(RuntimeError("CUDA error: out of memory"))
    True
    >>> ran_out(RuntimeError("CUDA error: invalid argument"))
    False
    """
    torch = sys.modules.get("torch")
    kinds = (MemoryError, torch.OutOfMemoryError) if torch else (MemoryError,)
    return isinstance(error, kinds) or any(text in str(error) for text in _MESSAGES)


@contextmanager
def errors_translated() -> Generator[None, None, None]:
    """Raise `NotEnoughMemoryError` in place of any error by which a library says that memory ran out.

    >>> with errors_translated():
    ...     raise MemoryError
    Traceback (most recent call last):
    fusion.errors.NotEnoughMemoryError: There was not enough memory for this picture; try a smaller one.
    """
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise NotEnoughMemoryError("There was not enough memory for this picture; try a smaller one.") from error


def release() -> None:
    """Give back what a failed attempt left behind: objects in reference cycles, and blocks kept for the next layer."""
    gc.collect(1)  # what has just failed is among the youngest objects
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def peak_mb() -> float:
    """The peak of this process's resident memory in MB. Without /proc, it may include the memory of its parent."""
    if _STATUS.exists():
        return _status_mb("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def reset_peak() -> float | None:
    """Release free memory and let `peak_mb` start anew. Returns the resident memory in MB; None except on Linux."""
    release()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status_mb("VmRSS")
    except OSError:
        return None


_STATUS = Path("/proc/self/status")


def _status_mb(what: str) -> float:
    """A line of /proc/self/status, such as VmRSS, in MB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


_SHARE = 0.5
_SMALLEST_BUDGET = 64 << 20
"""A network that had less would see too small a copy; where even this is missing, `NotEnoughMemoryError` says so."""
_UNKNOWN = 4 << 30
_NEEDED_ALWAYS, _NEEDED_PER_PIXEL = 100 << 20, 110
"""Bytes that any run takes, and bytes for each pixel."""


def budget(megabytes: int | None = None) -> int:
    """Bytes that one network may use on the processor: `megabytes` if given, else half of what is free at the moment.

    >>> budget(100)
    104857600
    """
    if megabytes is not None:
        return megabytes << 20
    return max(_SMALLEST_BUDGET, int(_SHARE * free()))


def needed(height: int, width: int) -> int:
    """Bytes that a run takes for a pair of this size, in pixels, besides the `budget` of its networks.

    >>> needed(1000, 1500) >> 20
    257
    """
    return _NEEDED_ALWAYS + _NEEDED_PER_PIXEL * height * width


def free() -> int:
    """Bytes that this process may still take: the system's own estimate, or less where its container has a limit.

    It is 4 GB where neither can be read, as on systems other than Linux.
    """
    return min(_free_in_machine(), _free_in_container())


def _free_in_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return _UNKNOWN


_CGROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""The files that hold a container's limit and its use, and the entry of a third file that tells how much of the use is
cached files, which the system drops when it needs memory. First for version 2 of control groups, then for version 1."""


def _free_in_container(group: Path = Path("/sys/fs/cgroup")) -> int:
    for limit, used, parts, files in _CGROUPS:
        if (group / limit).exists():
            most = (group / limit).read_text(encoding="ascii").strip()
            if most == "max":
                return sys.maxsize
            statistics = (group / parts).read_text(encoding="ascii") if (group / parts).exists() else ""
            cached = int(dict(line.split() for line in statistics.splitlines()).get(files, 0))
            return max(0, int(most) - int((group / used).read_text(encoding="ascii")) + cached)
    return sys.maxsize
