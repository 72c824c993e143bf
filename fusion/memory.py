"""How the process takes memory from the operating system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# glibc, malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT = 1 << 30


@cache
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
