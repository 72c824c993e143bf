"""The methods in the order of the gallery. To add one, write its file here and add its `METHOD` to the tuple."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.errors import FusionError
from fusion.methods import (
    deepfuse,
    lemamba,
    lightfuse,
    mambadfuse,
    mambamef,
    meflut,
    mefnet,
    mertens,
    pyramef,
    spdmef,
    virtual_bracket,
)
from fusion.methods.base import Method, Options

if TYPE_CHECKING:
    import torch
    from torch import nn

METHODS: tuple[Method, ...] = (
    virtual_bracket.METHOD,
    pyramef.METHOD,
    lemamba.METHOD,
    mambadfuse.METHOD,
    meflut.METHOD,
    mertens.METHOD,
    spdmef.METHOD,
    mefnet.METHOD,
    mambamef.METHOD,
    deepfuse.METHOD,
    lightfuse.METHOD,
    mertens.METHOD_TORCH,
)


def method_named(name: str) -> Method:
    """The method called `name`. Raises `FusionError`, which lists the names, where there is none.

    >>> method_named("mertens").title
    'Mertens'
    """
    for one in METHODS:
        if one.name == name:
            return one
    raise FusionError(f"There is no method called {name}; choose from {', '.join(m.name for m in METHODS)}.")


def network(name: str, device: torch.device | str = "cpu", options: Options | None = None) -> nn.Module:
    """The trained network of the method called `name`, in eval mode on `device`, for batches of tensors.

    `network(under, over)` takes each exposure as float32 (B, C, H, W) on `device`, with values from 0 to 1 in sRGB's
    encoding, and returns (B, 1, H, W) where C is 1 or 2, else (B, 3, H, W). `method_named(name).needs`
    says what C is (`channels`), which sides are accepted (`multiple_of`) and whether more than two exposures are
    (`many`); `fusion.methods.base.Method` states the whole contract. Nothing is padded, tiled, clamped or coloured:
    for photographs, use `fusion.fuse`. `options` are values of the method's options, by name.

    Raises `FusionError` for a name or an option that does not exist and for a value out of range, and `WeightsError`
    where the weights are missing or damaged.

    >>> import fusion, torch
    >>> deepfuse = fusion.network("deepfuse")
    >>> under, over = torch.rand(2, 8, 1, 96, 128)  # eight pairs of lumas
    >>> with torch.inference_mode():
    ...     fused = deepfuse(under, over)
    >>> fused.shape
    torch.Size([8, 1, 96, 128])
    """
    return method_named(name).trained(device, options)
