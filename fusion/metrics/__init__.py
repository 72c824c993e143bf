"""The metrics: METRICS, in the order in which the page shows them, and BENCHMARK, which has the slower ones as well.

A new one is a file and a line here. Those against a reference are in `fusion.metrics.reference`.
"""

from __future__ import annotations

from fusion.metric import Metric
from fusion.metrics import mef_ssim, psnr_mefb, qabf, ssim, vif
from fusion.metrics.contrast import AG, EI, SD, SF
from fusion.metrics.information import CE, ENTROPY, NMI, QNCIE

METRICS: tuple[Metric, ...] = (
    ssim.METRIC,
    mef_ssim.METRIC,
    ENTROPY,
    SD,
    SF,
    AG,
    EI,
    CE,
    psnr_mefb.PSNR_MEFB,
    NMI,
    QNCIE,
    qabf.METRIC,
    vif.METRIC,
)

BENCHMARK: tuple[Metric, ...] = (*METRICS,)
