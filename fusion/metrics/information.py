"""Metrics of information: entropy, cross entropy, mutual information (Shannon's and Tsallis'), its correlation matrix.

All are measured on 256-level histograms of R, G and B apart, without border or window, as in MEFB (Zhang, "Benchmarking
and comparing multi-exposure image fusion algorithms", Information Fusion 2021). MEFB stretches each plane to 0 to 255
before it forms joint histograms. A stretch keeps distinct levels distinct, so that no entropy changes; it is left out
except in `te_mefb`, and a flat plane needs no special case.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import stretched
from fusion.metrics.histogram import entropy, histogram, joint_histogram, mutual_information
from fusion.metrics.picture import Levels, Picture, Sources, mean_over_rgb

_BITS_PER_DIGIT = 8  # log2(256): QNCIE counts in base 256


@mean_over_rgb
def fused_entropy(fused: Picture, _sources: Sources) -> float:
    """Return the entropy of the fused picture's levels: how many of them it uses, and how evenly.

        H = -sum p log2 p   over the levels, p being the share of pixels that have the level

    It is averaged over R, G and B. Range: 0 bits (a flat picture) to 8 (256 levels, all equally frequent). Higher is
    better, though noise counts like detail.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Roberts, van Aardt, Ahmed, "Assessment of image fusion procedures using entropy, image quality, and
    multispectral classification", Journal of Applied Remote Sensing 2008.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> halves = np.array([[[0] * 3, [255] * 3]], np.uint8)
    >>> ENTROPY.measure(halves, Sources(halves))
    1.0
    """
    return entropy(histogram(fused.pixels))


def _divergence(source: Levels, fused: Levels) -> float:
    """Return sum p log2(p / q) over the levels that both pictures hold; 0 where they share none."""
    p, q = histogram(source) / source.size, histogram(fused) / fused.size
    shared = (p > 0) & (q > 0)
    return float(np.sum(p[shared] * np.log2(p[shared] / q[shared])))


@mean_over_rgb
def cross_entropy(fused: Picture, sources: Sources) -> float:
    """Return the cross entropy: how far the fused histogram is from the photographs' histograms, in bits.

        CE = mean over sources of sum p log2(p / q)

    p is the share of a source's pixels that have a level, q that of the fused picture's. Levels that one of the two
    lacks are left out, as in MEFB, so that the value can be negative, and is 0 where no level is shared. It is averaged
    over R, G and B. Range: -0.531 = -1 / (e ln 2) and more; 0 where all histograms are equal. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Bulanon, Burks, Alchanatis, "Image fusion of visible and thermal images for fruit detection", Biosystems
    Engineering 2009.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> fused, under = (np.array([row], np.uint8)[..., None].repeat(3, 2) for row in ([0, 0, 0, 9], [0, 0, 9, 9]))
    >>> round(CE.measure(fused, Sources(under, fused)), 4)
    0.1038
    """
    return sum(_divergence(source.pixels, fused.pixels) for source in sources) / len(sources)


def _shared_part(source: Levels, fused: Levels) -> float:
    """Return I(source; fused) / (H(source) + H(fused)), 0 to 1/2; 1/2 for two flat pictures: nothing was lost."""
    total = entropy(histogram(source)) + entropy(histogram(fused))
    return mutual_information(source, fused) / total if total > 0 else 0.5


@mean_over_rgb
def normalised_mutual_information(fused: Picture, sources: Sources) -> float:
    """Return NMI: how well the levels of the fused picture tell those of the photographs.

        NMI = 2 [I(A; F) / (H(A) + H(F)) + I(B; F) / (H(B) + H(F))]

    I is the mutual information of two pictures' levels, H the entropy of one picture's. It is averaged over R, G and B.
    Range: 0 (independent) to 2 (all three are equal). Higher is better, though a plain mean does well.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Hossny, Nahavandi, Creighton, "Comments on 'Information measure for performance of image fusion'",
    Electronics Letters 2008.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> rows, columns = (np.array(x, np.uint8)[..., None].repeat(3, 2) for x in ([[0, 0], [9, 9]], [[0, 9], [0, 9]]))
    >>> NMI.measure(rows, Sources(rows, rows)), NMI.measure(rows, Sources(rows, columns))
    (2.0, 1.0)
    """
    under, over = sources
    return 2 * (_shared_part(under.pixels, fused.pixels) + _shared_part(over.pixels, fused.pixels))


@mean_over_rgb
def nonlinear_correlation(fused: Picture, sources: Sources) -> float:
    """Return Q_NCIE: how strongly the fused picture and both photographs depend on one another.

        Q = 1 + sum (l / 3) log256(l / 3)   over the eigenvalues l of the pictures' correlation matrix

    The matrix (3, 3) has ones on its diagonal and elsewhere the mutual information of two pictures in base 256. It is
    averaged over R, G and B. Range: 0.802 = 1 - log256(3), for independent or flat pictures, to 1, for three equal ones
    with all 256 levels equally frequent; three equal pictures of less entropy stay below 1. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Wang, Shen, Zhang, Zhang, "Performance evaluation of image fusion techniques", in: Image Fusion:
    Algorithms and Applications, 2008.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> flat = np.full((2, 2, 3), 9, np.uint8)
    >>> round(QNCIE.measure(flat, Sources(flat, flat)), 4)
    0.8019
    """
    under, over = (source.pixels for source in sources)
    pairs = ((under, over), (under, fused.pixels), (over, fused.pixels))
    a, b, c = (mutual_information(x, y) / _BITS_PER_DIGIT for x, y in pairs)
    share = np.linalg.eigvalsh(np.array([[1, a, b], [a, 1, c], [b, c, 1]])) / 3
    share = share[share > 0]  # x log x tends to 0; rounding can leave a zero eigenvalue negative
    return float(1 + np.sum(share * np.log2(share)) / _BITS_PER_DIGIT)


_TSALLIS = 1.85
"""Cvejic's q."""


def _tsallis(joint: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return (1 - sum p^q / e^(q - 1)) / (1 - q) of a joint distribution p where e is expected; 0 where both agree."""
    there = expected > 0
    return float((1 - np.sum(joint[there] ** _TSALLIS / expected[there] ** (_TSALLIS - 1))) / (1 - _TSALLIS))


@mean_over_rgb
def tsallis_information(fused: Picture, sources: Sources) -> float:
    """Return Tsallis' mutual information of the fused picture with each photograph, summed over the two.

        I = (1 - sum p(a, f)^q / (p(a) p(f))^(q - 1)) / (1 - q),   q = 1.85

    p(a, f) is the share of pixels that have level a in a source and f in the fused picture. Compared with Shannon's
    information, pairs of levels that are expected to be rare count more. It is averaged over R, G and B. Range: 0 to
    260. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Cvejic, Canagarajah, Bull, "Image fusion metric based on mutual information and Tsallis entropy",
    Electronics Letters 2006.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> halves = np.array([[[0] * 3, [255] * 3]], np.uint8)
    >>> round(TE.measure(halves, Sources(halves, halves)), 4)
    1.8882
    """
    under, over = sources
    value = 0.0
    for source in (under, over):
        joint = joint_histogram(source.pixels, fused.pixels).reshape(256, 256) / fused.pixels.size
        value += _tsallis(joint, np.outer(joint.sum(1), joint.sum(0)))
    return value


def _stretched(picture: Picture) -> Levels:
    return stretched(picture.pixels)


@mean_over_rgb
def tsallis_information_mefb(fused: Picture, sources: Sources) -> float:
    """Return MEFB's form of Tsallis' mutual information, in which the two pictures' histograms are exchanged.

        I = (1 - sum p(a, f)^q / (p_f(a) p_a(f))^(q - 1)) / (1 - q),   q = 1.85

    Where the published formula expects a pair of levels (a, f) with the probability of a in the source times that of f
    in the fused picture, MEFB takes the probability of a in the *fused picture* and of f in the *source*. The value
    therefore says little of what the pictures share, and depends on the levels themselves, which MEFB stretches to 0 to
    255. A flat plane, which MEFB divides by zero, becomes zeros. It is averaged over R, G and B. Range: -2.35 and more.
    Higher counts as better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Cvejic, Canagarajah, Bull, Electronics Letters 2006, as altered in the code of MEFB (Zhang, Information
    Fusion 2021).

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> halves = np.array([[[0] * 3, [255] * 3]], np.uint8)
    >>> round(TE_MEFB.measure(halves, Sources(halves, halves)), 4)
    1.8882
    """
    under, over = sources
    value, f = 0.0, stretched(fused.pixels)
    for source in (under, over):
        joint = joint_histogram(source.derive(_stretched), f).reshape(256, 256) / f.size
        value += _tsallis(joint, np.outer(joint.sum(0), joint.sum(1)))
    return value


ENTROPY = Metric(
    name="entropy",
    title="Entropy (bits)",
    better=Better.HIGHER,
    source="Roberts, van Aardt, Ahmed, Journal of Applied Remote Sensing 2008; MEFB",
    meaning="It tells how many tonal levels the result uses, and how evenly",
    caution="Noise raises it, and so does blur",
    formula=fused_entropy,
    agreement=0.53,
    bounds=(0, 8),
    mefb="Entropy",
)

CE = Metric(
    name="ce",
    title="Cross entropy",
    better=Better.LOWER,
    source="Bulanon, Burks, Alchanatis, Biosystems Engineering 2009; MEFB",
    meaning="It tells how far the result's histogram is from those of the two photographs",
    caution="Darkening a result can improve it: a histogram says nothing of where in the picture the levels are",
    formula=cross_entropy,
    agreement=-0.23,
    bounds=(-1 / (math.e * math.log(2)), math.inf),
    mefb="Cross_entropy",
)

NMI = Metric(
    name="nmi",
    title="NMI",
    better=Better.HIGHER,
    source="Hossny, Nahavandi, Creighton, Electronics Letters 2008; MEFB",
    meaning="It tells how well the result's levels predict those of each photograph, from 0 to 2",
    caution="A copy of one photograph scores best, then the plain mean of both; a careful fusion comes far behind",
    formula=normalised_mutual_information,
    agreement=-0.23,
    bounds=(0, 2),
    mefb="NMI",
)

QNCIE = Metric(
    name="qncie",
    title="Q_NCIE",
    better=Better.HIGHER,
    source="Wang, Shen, Zhang, Zhang, Image Fusion: Algorithms and Applications 2008; MEFB",
    meaning="It tells how strongly the result and both photographs depend on one another, from 0.8 to 1",
    caution="The plain mean of both photographs scores best, then a copy of one; a careful fusion comes far behind",
    formula=nonlinear_correlation,
    agreement=-0.22,
    repeats="nmi",
    bounds=(1 - math.log(3, 256), 1),
    mefb="Qncie",
)

TE = Metric(
    name="te",
    title="Tsallis mutual information",
    better=Better.HIGHER,
    source="Cvejic, Canagarajah, Bull, Electronics Letters 2006",
    meaning="It tells how well the result's levels predict those of each photograph, and rare levels count most",
    caution="A copy of one photograph scores best by far, then the plain mean of both",
    formula=tsallis_information,
    agreement=-0.31,
    bounds=(0, 2 * (256 ** (_TSALLIS - 1) - 1) / (_TSALLIS - 1)),
)

TE_MEFB = Metric(
    name="te_mefb",
    title="Tsallis entropy (MEFB)",
    better=Better.HIGHER,
    source="Cvejic, Canagarajah, Bull, Electronics Letters 2006, as altered in MEFB (Zhang 2021)",
    meaning="It is meant to tell how well the result's levels predict those of each photograph, but MEFB's formula "
    "exchanges the two pictures' histograms",
    caution="Blur raises it, and so does turning the result grey",
    formula=tsallis_information_mefb,
    agreement=-0.01,
    repeats="te",
    bounds=(-2 / (_TSALLIS - 1), math.inf),
    mefb="TE",
)
