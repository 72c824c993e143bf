"""The lists of metrics: METRICS, in the order in which the page shows them, and BENCHMARK, which adds slower ones.

A new metric is a file and a line here. Those against a reference are listed in `fusion.metrics.reference`.
"""

from __future__ import annotations

from fusion.metrics import fmi, mef_ssim, phase_congruency, psnr, qabf, score, ssim, vif
from fusion.metrics.artefacts import ADDED_GRAIN, HALO, LOST_HIGHLIGHTS, LOST_SHADOWS
from fusion.metrics.base import Metric
from fusion.metrics.colourfulness import COLOUR_KEPT, COLOURFULNESS
from fusion.metrics.contrast import AG, EI, SD, SF
from fusion.metrics.information import CE, ENTROPY, NMI, QNCIE, TE, TE_MEFB
from fusion.metrics.perception import QCB, QCV
from fusion.metrics.similarity import QC, QC_MEFB, QW, QY, QY_MEFB

METRICS: tuple[Metric, ...] = (
    score.METRIC,
    mef_ssim.METRIC,
    vif.METRIC,
    COLOUR_KEPT,
    qabf.METRIC,
    SD,
    SF,
    AG,
    EI,
    ssim.METRIC,
    ENTROPY,
    HALO,
    LOST_SHADOWS,
    LOST_HIGHLIGHTS,
    ADDED_GRAIN,
    CE,
    psnr.PSNR_MEFB,
    NMI,
    QNCIE,
)

BENCHMARK: tuple[Metric, ...] = (
    *METRICS,
    TE_MEFB,
    QW,
    QY_MEFB,
    QC_MEFB,
    QCB,
    QCV,
    fmi.METRIC,
    psnr.PSNR,
    TE,
    qabf.XYDEAS,
    QY,
    QC,
    COLOURFULNESS,
    phase_congruency.METRIC,  # the slowest: a scorer starts with it
)
