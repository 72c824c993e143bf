"""Generated pairs of every size, type and content: each is refused in a documented sentence, or gives a picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

import fusion
from fusion.errors import ImageError
from fusion.methods import METHODS

Pixels: TypeAlias = "Tensor | np.ndarray[Any, Any]"

QUICK = [method.name for method in METHODS if not (method.unavailable or method.needs.largest)]
SLOW = [method.name for method in METHODS if method.needs.largest and not method.unavailable]

_DOCUMENTED = re.compile(
    r"too small; each side needs|has values outside 0 to 1|differ in size|"
    r"are identical|are equally bright|must be \(H, W, 3\)"
)
_VALUES = (np.nan, np.inf, -np.inf, -0.0, 1e-45, 1e-38, -1e-9, 1 + 1e-6, 255.0)
"""What floating point knows beside the numbers of a photograph."""

side = st.one_of(st.integers(16, 300), st.integers(1, 300))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Pixels, Pixels, bool]:
    """Two pictures, mostly of one size, and whether they are to be aligned."""
    height, width = draw(side), draw(side)
    kind = draw(st.sampled_from(("uint8", "uint16", "float32")))
    first = draw(_pictures(kind, height, width))
    if draw(st.integers(0, 19)) == 0:
        height = draw(side)
    return first, draw(_pictures(kind, height, width)), draw(st.integers(0, 9)) == 0


@st.composite
def _pictures(draw: st.DrawFn, kind: str, height: int, width: int) -> Pixels:
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    content = draw(st.sampled_from(("noise", "constant", "extreme", "ramp", "one pixel")))
    picture = np.full((height, width, 3), low)
    if content == "noise":
        picture = noise.uniform(low, high, (height, width, 3))
    elif content == "extreme":
        picture = noise.integers(0, 2, (height, width, 3)).astype(float)
    elif content == "ramp":
        picture += np.linspace(0, high - low, width)[:, None]
    elif content == "one pixel":
        picture[height // 2, width // 2] = high
    if kind != "float32":
        return (picture * np.iinfo(kind).max).astype(kind)
    photo = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))
    if draw(st.integers(0, 4)) == 0:
        photo[..., height // 3, width // 3] = draw(st.sampled_from(_VALUES))
    return photo


def check(count: int, methods: Sequence[str], *, start: int = 0) -> Counter[str]:
    """How many of `count` pairs were fused by all `methods`, and how many refused; the same ones for the same `start`.

    Raises AssertionError, or what a method raised, with the smallest pair that does so.
    """
    told: Counter[str] = Counter()

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(pairs())
    def run(case: tuple[Pixels, Pixels, bool]) -> None:
        first, second, align = case
        outcomes = {_outcome(first, second, method, align=align) for method in methods}
        assert len(outcomes) == 1, "one method refuses what another takes"
        told.update(outcomes)

    run()
    return told


def _outcome(first: Pixels, second: Pixels, method: str, *, align: bool) -> str:
    try:
        fused = fusion.fuse(first, second, method=method, align=align)
    except ImageError as error:
        if not _DOCUMENTED.search(str(error)):
            raise
        return "refused"
    size = first.shape[1:] if isinstance(first, Tensor) else first.shape[:2]
    assert fused.shape == (3, *size) or (align and fused.shape[1] <= size[0] and fused.shape[2] <= size[1])
    assert bool(fused.isfinite().all()), f"{method}: not finite"
    assert float(fused.min()) >= 0, f"{method}: below 0"
    assert float(fused.max()) <= 1, f"{method}: above 1"
    return "fused"
