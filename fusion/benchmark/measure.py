"""Measuring one fused picture: against its two sources, or against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from fusion.errors import ImageError
from fusion.exposures.align import registered
from fusion.exposures.transparency import filled
from fusion.io.image import ExposurePair, Photo, load, load_pair, to_uint8
from fusion.io.sandbox import Sandbox
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Metric, Scorer
from fusion.metrics.picture import Sources
from fusion.metrics.reference import REFERENCE


def measure_files(
    exposures: Sequence[str | PathLike[str]],
    fused: str | PathLike[str],
    metrics: Sequence[Metric] = BENCHMARK,
    *,
    limit: int | None = None,
    sandbox: Sandbox | None = None,
) -> dict[str, float]:
    """The score of a fused picture by each metric, by the metric's name.

    `exposures` are two to nine files of one scene in any order, of one size. A fused picture that has another size is
    measured against the exposures as they are after alignment, which crops them, if they have its size then. Pictures
    of more than `limit` pixels are measured on a reduced copy; None measures at full size. Raises `ImageError` where a
    file cannot be used, and where the fused picture differs in size from its exposures.

    >>> from fusion.metrics import ssim
    >>> exposures = "examples/desk/under.png", "examples/desk/over.png"
    >>> scores = measure_files(exposures, fused=exposures[1], metrics=[ssim.METRIC])
    >>> list(scores), 0 < scores["ssim"] < 2
    (['ssim'], True)
    """
    with Sandbox() as opened:
        pair = load_pair(*exposures, sandbox=sandbox or opened)
        photo = load(fused, "The fused picture", sandbox=sandbox or opened).photo
    sources = filled(pair)
    if photo.shape != sources.under.shape and (cropped := filled(registered(pair).pair)).under.shape == photo.shape:
        sources = cropped
    check_size(sources, photo)
    return Scorer(sources, metrics, limit=limit)(photo)


def check_size(pair: ExposurePair, fused: Photo) -> None:
    """Raise `ImageError` where a fused picture (3, H, W) differs in size from its sources."""
    if fused.shape != pair.under.shape:
        sizes = " and ".join(f"{one.shape[-1]}×{one.shape[-2]}" for one in (pair.under, fused))
        raise ImageError(f"The fused picture differs in size from its sources ({sizes}); measure it at their size.")


def measure_against_reference(photo: Photo, reference: Photo) -> dict[str, float]:
    """The score of a picture by each metric of `REFERENCE`, by the metric's name.

    Both pictures are (3, H, W) from 0 to 1 and are rounded to 8 bits first, as they are saved. Raises `ImageError`
    where their sizes differ.

    >>> import torch
    >>> scores = measure_against_reference(torch.zeros(3, 32, 32), torch.zeros(3, 32, 32))
    >>> scores["reference_ssim"], scores["reference_delta_e"]
    (1.0, 0.0)
    """
    if photo.shape != reference.shape:
        raise ImageError("The reference differs in size from its pair.")
    pixels, sources = to_uint8(photo), Sources(to_uint8(reference))
    return {metric.name: metric.measure(pixels, sources) for metric in REFERENCE}
