"""What a picture is worth against its sources or a reference, and what a method's network computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion.errors import ImageError
from fusion.io.image import ExposurePair, Photo, load, load_pair, to_uint8
from fusion.methods.base import Method
from fusion.methods.iat import IAT
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Metric, Scorer
from fusion.metrics.picture import Picture, Sources
from fusion.metrics.reference import REFERENCE

FLOPS_SIDE = 512
"""Arithmetic is counted on a pair of this many pixels a side."""


def measure(
    under: str | PathLike[str],
    over: str | PathLike[str],
    fused: str | PathLike[str],
    metrics: Sequence[Metric] = BENCHMARK,
    *,
    limit: int | None = None,
) -> dict[str, float]:
    """Each metric of a fused picture against its sources, three files, by its name; `limit` is `Scorer`'s.

    Raises `ImageError` for files that cannot be used, and where the fused picture has another size.
    """
    pair = load_pair(under, over)
    photo = load(fused, "The fused picture").photo
    check_size(pair, photo)
    return Scorer(pair, metrics, limit=limit)(photo)


def check_size(pair: ExposurePair, fused: Photo) -> None:
    """Raise `ImageError` where a fused picture has another size than its sources."""
    if fused.shape != pair.under.shape:
        sizes = " and ".join(f"{one.shape[-1]}×{one.shape[-2]}" for one in (pair.under, fused))
        raise ImageError(f"The fused picture differs in size from its sources ({sizes}); measure it at their size.")


def likeness(photo: Photo, reference: Photo) -> dict[str, float]:
    """Each measure of REFERENCE, of both photographs as they are saved in 8 bits, by its name.

    Raises `ImageError` where the sizes differ.
    """
    if photo.shape != reference.shape:
        raise ImageError("The reference differs in size from its pair.")
    ours, theirs = Picture(to_uint8(photo)), Sources(to_uint8(reference))
    return {metric.name: metric.measure(ours, theirs) for metric in REFERENCE}


def flops(subject: Method) -> int:
    """Floating-point operations of the network, IAT included, on a pair of 512 x 512, as torch's counter sees them.

    Where the network sees a smaller copy (`Method.largest`), those on the copy. Convolutions and matrix products, two
    operations each multiply-add; not the scan, nor anything element-wise.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = subject.build().eval().requires_grad_(requires_grad=False)
        side = min(FLOPS_SIDE, math.isqrt(subject.largest)) if subject.largest else FLOPS_SIDE
        planes = torch.empty(1, subject.channels, side, side)
        if subject.enhanced:
            corrector = IAT().eval()
            for _ in range(2):
                corrector(planes[:, :1])
        network(planes, planes)
    return counter.get_total_flops()
