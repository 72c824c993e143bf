"""How the process takes memory from the operating system, and how much of it networks may use."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fusion.errors import NotEnoughMemoryError

# glibc, malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT = 1 << 30


def reuse_freed_memory() -> None:
    """Keep up to 1 GB of freed memory for the next feature map instead of handing it back.

    By default glibc takes every block of more than 32 MB from the kernel and returns it at once, and the kernel zeroes
    each page anew. Networks allocate such a block for every layer; where page faults are slow, as in virtual machines,
    that took longer than the convolutions. Elsewhere than on Linux with glibc, nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_ARENA_MAX, 1)  # other threads' arenas cannot hold blocks of this size


_SAID = ("DefaultCPUAllocator", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "Insufficient memory")
"""What libraries say in errors that are no `MemoryError`: PyTorch on the CPU, CUDA, cuBLAS and cuDNN, OpenCV."""


def ran_out(error: BaseException) -> bool:
    """Whether it is for want of memory, the machine's or a GPU's."""
    torch = sys.modules.get("torch")
    kinds = (MemoryError, torch.OutOfMemoryError) if torch else (MemoryError,)
    return isinstance(error, kinds) or any(text in str(error) for text in _SAID)


@contextmanager
def said() -> Generator[None, None, None]:
    """Where memory runs out inside, raise `NotEnoughMemoryError`."""
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise NotEnoughMemoryError("There was not enough memory for this picture; try a smaller one.") from error


def release() -> None:
    """Give back what a failed attempt has left: its cycles, which are young, and what was kept for the next layer."""
    gc.collect(1)
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def peak_mb() -> float:
    """The most memory that this process ever had. Where /proc is not, the system's figure may include the parent's."""
    if _STATUS.exists():
        return _status_mb("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def forget_peak() -> float | None:
    """Hand back what is free, so that the next peak is of what comes now; the memory that the process has in MB.

    Elsewhere than on Linux, None.
    """
    release()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status_mb("VmRSS")
    except OSError:
        return None


_STATUS = Path("/proc/self/status")


def _status_mb(what: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


_SHARE = 0.5
_LEAST = 64 << 20
"""With less, a picture would be of no use; where even that is not there, it is said."""
_UNKNOWN = 4 << 30
_NEEDED_AT_ONCE, _NEEDED_EACH = 100 << 20, 110
"""Bytes, and bytes a pixel."""


def budget(megabytes: int | None = None) -> int:
    """Bytes that one network may use on the processor: so many megabytes, or half of what is free at the moment."""
    if megabytes is not None:
        return megabytes << 20
    return max(_LEAST, int(_SHARE * free()))


def needed(height: int, width: int) -> int:
    """Bytes that a run takes once its pair of this size is read, beside what networks take of `budget`."""
    return _NEEDED_AT_ONCE + _NEEDED_EACH * height * width


def free() -> int:
    """Bytes that this process may still take, by the system's own estimate and its container's limit.

    4 GB where neither can be read, as elsewhere than on Linux.
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
"""A container's limit, its use, and what of that is files the system would forget, in both versions of control groups:
the second, the first."""


def _free_in_container(group: Path = Path("/sys/fs/cgroup")) -> int:
    for limit, used, parts, files in _CGROUPS:
        if (group / limit).exists():
            most = (group / limit).read_text(encoding="ascii").strip()
            if most == "max":
                return sys.maxsize
            told = (group / parts).read_text(encoding="ascii") if (group / parts).exists() else ""
            forgettable = int(dict(line.split() for line in told.splitlines()).get(files, 0))
            return max(0, int(most) - int((group / used).read_text(encoding="ascii")) + forgettable)
    return sys.maxsize
