"""Metrics of information: entropy, cross entropy, mutual information (Shannon's and Tsallis'), its correlation matrix.

All are measured on 256-level histograms of R, G and B apart, without border or window, as in MEFB
(Zhang, "Benchmarking and comparing multi-exposure image fusion algorithms", Information Fusion 2021).
MEFB stretches each plane to 0..255 before it forms joint histograms. A stretch keeps distinct levels
distinct, so that no entropy changes; but for `te_mefb` it is left out, and a flat plane needs no special case.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Better, Metric
from fusion.metrics.histogram import entropy, histogram, joint_histogram, mutual_information
from fusion.metrics.planes import Levels, mean_over_rgb, stretched

_BITS_PER_DIGIT = 8  # log2(256): QNCIE counts in base 256


def _entropy(fused: Levels, _under: Levels, _over: Levels) -> float:
    """Bits per level of the fused picture, 0 to 8. It sees neither the sources nor that noise is not detail."""
    return entropy(histogram(fused))


def _divergence(source: Levels, fused: Levels) -> float:
    """sum p log2(p / q) over the levels that both pictures hold; 0 where they share none."""
    p, q = histogram(source) / source.size, histogram(fused) / fused.size
    shared = (p > 0) & (q > 0)
    return float(np.sum(p[shared] * np.log2(p[shared] / q[shared])))


def _cross_entropy(fused: Levels, under: Levels, over: Levels) -> float:
    """Mean divergence of the fused histogram from the two sources', in bits; 0 where all three are equal.

    Oddity: levels that one of the two lacks are left out, so the value can be negative, and is 0 where no
    level is shared.
    """
    return (_divergence(under, fused) + _divergence(over, fused)) / 2


def _shared_part(source: Levels, fused: Levels) -> float:
    """I(source; fused) / (H(source) + H(fused)), 0 to 1/2; 1/2 for two flat pictures: nothing was lost."""
    total = entropy(histogram(source)) + entropy(histogram(fused))
    return mutual_information(source, fused) / total if total > 0 else 0.5


def _nmi(fused: Levels, under: Levels, over: Levels) -> float:
    """2 [I(A;F) / (H_A + H_F) + I(B;F) / (H_B + H_F)], 0 to 2; 2 where all three are equal.

    Source: Hossny, Nahavandi, Creighton, Electronics Letters 2008. Oddity: a plain average does well.
    """
    return 2 * (_shared_part(under, fused) + _shared_part(over, fused))


def _qncie(fused: Levels, under: Levels, over: Levels) -> float:
    """1 + sum (l / 3) log256(l / 3) over the eigenvalues l of the pictures' correlation matrix.

    The matrix has ones on its diagonal and elsewhere the mutual information in base 256. Range: from 0.802 =
    1 - log256(3) for independent (or flat) pictures to 1 for three equal ones with all 256 levels alike often;
    three equal pictures of less entropy stay below 1.
    Source: Wang, Shen, Zhang, Zhang, "Performance evaluation of image fusion techniques", 2008.
    """
    a, b, c = (mutual_information(x, y) / _BITS_PER_DIGIT for x, y in ((under, over), (under, fused), (over, fused)))
    share = np.linalg.eigvalsh(np.array([[1, a, b], [a, 1, c], [b, c, 1]])) / 3
    share = share[share > 0]  # x log x tends to 0; rounding can leave a zero eigenvalue negative
    return float(1 + np.sum(share * np.log2(share)) / _BITS_PER_DIGIT)


_TSALLIS = 1.85
"""Cvejic's q."""


def _tsallis(joint: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """(1 - sum p^q / e^(q - 1)) / (1 - q) of a joint distribution, where one is expected; 0 where both are the same."""
    there = expected > 0
    return float((1 - np.sum(joint[there] ** _TSALLIS / expected[there] ** (_TSALLIS - 1))) / (1 - _TSALLIS))


def _te(fused: Levels, under: Levels, over: Levels) -> float:
    """Sum of Tsallis' mutual information with either source, 0 to 260: the joint levels against independent ones."""
    value = 0.0
    for source in (under, over):
        joint = joint_histogram(source, fused).reshape(256, 256) / fused.size
        value += _tsallis(joint, np.outer(joint.sum(1), joint.sum(0)))
    return value


def _te_mefb(fused: Levels, under: Levels, over: Levels) -> float:
    """`te` with the two marginals exchanged: what is expected of (a, b) is the probability of (b, a); any number.

    It therefore says little of what the pictures share, and depends on the levels themselves, which MEFB stretches
    to 0 ... 255. A flat plane, which it divides by zero, becomes zeros.
    """
    value, f = 0.0, stretched(fused)
    for source in (under, over):
        joint = joint_histogram(stretched(source), f).reshape(256, 256) / fused.size
        value += _tsallis(joint, np.outer(joint.sum(0), joint.sum(1)))
    return value


ENTROPY = Metric(
    name="entropy",
    title="Entropy (bits)",
    better=Better.HIGHER,
    source="Roberts, van Aardt, Ahmed, Journal of Applied Remote Sensing 2008; MEFB",
    meaning="How many tonal levels the result uses, and how evenly; noise raises it too",
    caution="Noise raises it, and so does blur",
    measure=mean_over_rgb(_entropy),
    bounds=(0, 8),
    mefb="Entropy",
)

CE = Metric(
    name="ce",
    title="Cross entropy",
    better=Better.LOWER,
    source="Bulanon, Burks, Alchanatis, Biosystems Engineering 2009; MEFB",
    meaning="How far the tonal distribution is from the two photographs'",
    caution="Darkening a result can improve it: a histogram says nothing of where in the picture the levels are",
    measure=mean_over_rgb(_cross_entropy),
    bounds=(-1 / (math.e * math.log(2)), math.inf),
    mefb="Cross_entropy",
)

NMI = Metric(
    name="nmi",
    title="NMI",
    better=Better.HIGHER,
    source="Hossny, Nahavandi, Creighton, Electronics Letters 2008; MEFB",
    meaning="How well each photograph's levels are predicted by the result's, 0 to 2",
    caution="A copy of one photograph scores best, then the plain mean of both; a careful fusion comes far behind",
    measure=mean_over_rgb(_nmi),
    bounds=(0, 2),
    mefb="NMI",
)

QNCIE = Metric(
    name="qncie",
    title="Q_NCIE",
    better=Better.HIGHER,
    source="Wang, Shen, Zhang, Zhang, Image Fusion: Algorithms and Applications 2008; MEFB",
    meaning="How strongly the result and both photographs depend on one another, 0.8 to 1",
    caution="The plain mean of both photographs scores best, then a copy of one; a careful fusion comes far behind",
    measure=mean_over_rgb(_qncie),
    bounds=(1 - math.log(3, 256), 1),
    mefb="Qncie",
)

TE = Metric(
    name="te",
    title="Tsallis mutual information",
    better=Better.HIGHER,
    source="Cvejic, Canagarajah, Bull, Electronics Letters 2006",
    meaning="How well each photograph's levels are predicted by the result's, rare ones counting most",
    caution="A copy of one photograph scores best by far, then the plain mean of both",
    measure=mean_over_rgb(_te),
    bounds=(0, 2 * (256 ** (_TSALLIS - 1) - 1) / (_TSALLIS - 1)),
)

TE_MEFB = Metric(
    name="te_mefb",
    title="Tsallis entropy (MEFB)",
    better=Better.HIGHER,
    source="Cvejic, Canagarajah, Bull, Electronics Letters 2006, as altered in MEFB (Zhang 2021)",
    meaning="The same by MEFB's formula, which exchanges the two pictures' histograms",
    caution="Blur raises it, and so does turning the result grey",
    measure=mean_over_rgb(_te_mefb),
    bounds=(-2 / (_TSALLIS - 1), math.inf),
    mefb="TE",
)
