"""Fusion of an under- and an over-exposed photograph: methods, metrics, and one way to run them all.

import fusion
picture = fusion.fuse("under.png", "over.png")   # (3, H, W), sRGB, 0 to 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusion.methods import network
    from fusion.pipeline import compare, fuse

__all__ = ["compare", "fuse", "network"]


def __getattr__(name: str) -> object:
    # PEP 562: `import fusion` costs nothing; torch is loaded by the first call that needs it.
    if name in ("compare", "fuse"):
        from fusion import pipeline

        return getattr(pipeline, name)
    if name == "network":
        from fusion.methods import network

        return network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
