"""The pictures that metrics compare, and what is derived from them only once: `Picture` and `Sources`.

Several metrics need the same grey plane or the same gradients, and several fused pictures are measured against the same
photographs. What `derive` computes is therefore kept in the object that it was computed from, and goes with it.

>>> import numpy as np
>>> dark, bright = (np.full((16, 16, 3), level, np.uint8) for level in (40, 200))
>>> sources = Sources(dark, bright)
>>> [picture.grey.pixels[0, 0].item() for picture in sources]
[40, 200]
>>> sources.derive(len)
2
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) sRGB, 0 to 255: what a viewer decodes from the saved 8-bit result."""

Levels: TypeAlias = NDArray[np.uint8]
"""(H, W), one plane of a picture, 0 to 255."""

Plane: TypeAlias = NDArray[np.float64]
"""(H, W), real numbers on the scale 0 to 255, or what was computed from them."""

# The Y row of the NTSC matrix, in full precision as MATLAB's rgb2gray has it; MEFB measures on that.
_GREY_WEIGHTS = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])

_Self = TypeVar("_Self", bound="_Derives")
_Arguments = ParamSpec("_Arguments")
_T = TypeVar("_T")


def grey(pixels: Pixels) -> Levels:
    """Return the BT.601 luma (H, W) of pixels (H, W, 3), 0 to 255, rounded half up.

    >>> grey(np.array([[[255, 0, 0], [255, 255, 255]]], np.uint8)).tolist()
    [[76, 255]]
    """
    return np.floor(pixels @ _GREY_WEIGHTS + 0.5).astype(np.uint8)


class _Derives:
    """An object that keeps what was derived from it for as long as it lives."""

    def __init__(self) -> None:
        self._derived: dict[Hashable, Any] = {}

    def derive(
        self: _Self,
        make: Callable[Concatenate[_Self, _Arguments], _T],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _T:
        """Return `make(self, *arguments, **named)`, computed the first time and kept for the next.

        `make` is a function of a module, since a new `lambda` would be computed anew; arguments are hashable. Nobody
        may change the value. Two threads that ask at the same moment may both compute it.
        """
        key = make, arguments, tuple(named.items())
        if key not in self._derived:
            self._derived[key] = make(self, *arguments, **named)
        return self._derived[key]


class Picture(_Derives):
    """An 8-bit picture, (H, W, 3), or one plane of it, (H, W), with what metrics derive from it.

    Raises `ValueError` for an array of another type or with another number of dimensions.
    """

    def __init__(self, pixels: Pixels | Levels) -> None:
        super().__init__()
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise ValueError(f"A picture is 8-bit, (H, W, 3) or (H, W); got {pixels.dtype}, {pixels.shape}.")
        self.pixels = pixels

    @cached_property
    def channels(self) -> tuple[Picture, ...]:
        """R, G and B, each a picture of one plane."""
        return tuple(Picture(np.ascontiguousarray(plane)) for plane in np.moveaxis(self.pixels, -1, 0))

    @cached_property
    def grey(self) -> Picture:
        """The grey plane on which structural metrics are measured."""
        return Picture(grey(self.pixels))


class Sources(_Derives):
    """The photographs that a fused picture is measured against, all of one size, with what metrics derive from them.

    They go from the darkest to the brightest. Keep the object as long as pictures of these photographs are measured,
    and let go of it to free the memory: hundreds of bytes for each pixel once every metric has run. A metric against
    a reference takes `Sources(reference)`.

    Raises `ValueError` where there is no picture, and where sizes differ.
    """

    def __init__(self, *pictures: Pixels | Picture) -> None:
        super().__init__()
        self.pictures = tuple(one if isinstance(one, Picture) else Picture(one) for one in pictures)
        shapes = {picture.pixels.shape for picture in self.pictures}
        if len(shapes) != 1:
            raise ValueError(f"Sources are one or more pictures of one size; got {sorted(shapes)}.")
        (self.shape,) = shapes

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def ends(self) -> Sources:
        """The darkest and the brightest photograph alone, for metrics that are defined for two."""
        return self if len(self) <= 2 else Sources(self.pictures[0], self.pictures[-1])

    @cached_property
    def channels(self) -> tuple[Sources, ...]:
        """The photographs' R, G and B apart."""
        return tuple(Sources(*planes) for planes in zip(*(one.channels for one in self.pictures), strict=True))

    @cached_property
    def grey(self) -> Sources:
        """The photographs' grey planes."""
        return Sources(*(one.grey for one in self.pictures))


Formula: TypeAlias = Callable[[Picture, Sources], float]
"""What a metric computes: `formula(fused, sources)`, all pictures being of one size."""


def mean_over_rgb(formula: Formula) -> Formula:
    """Turn a formula for one plane into one for colour as MEFB does: the mean of its values for R, G and B."""

    @wraps(formula)
    def over_rgb(fused: Picture, sources: Sources) -> float:
        return float(np.mean([formula(*planes) for planes in zip(fused.channels, sources.channels, strict=True)]))

    return over_rgb
