"""REFERENCE: measures of a fused picture against the picture that it should be, where a data set has one."""

from __future__ import annotations

from fusion.metric import Better, Pixels, ReferenceMetric


def _psnr(fused: Pixels, reference: Pixels) -> float:
    """10 log10(255^2 / mean squared error) over all channels; infinite where both pictures are equal."""
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(reference, fused))


def _ssim(fused: Pixels, reference: Pixels) -> float:
    """Mean of R, G and B under 7 x 7 windows, sample covariance, as scikit-image has it by default."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(reference, fused, channel_axis=2))  # pyright: ignore[reportArgumentType]


REFERENCE: tuple[ReferenceMetric, ...] = (
    ReferenceMetric(
        name="reference_psnr",
        title="PSNR (dB)",
        better=Better.HIGHER,
        source="scikit-image",
        meaning="Closeness to the reference, level by level",
        caution="A shift of all levels costs as much as a loss of detail that a viewer sees at once",
        measure=_psnr,
    ),
    ReferenceMetric(
        name="reference_ssim",
        title="SSIM",
        better=Better.HIGHER,
        source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
        meaning="Likeness to the reference in brightness, contrast and structure, up to 1",
        caution="It hardly sees colour",
        measure=_ssim,
        bounds=(-1, 1),
    ),
)
