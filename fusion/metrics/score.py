"""The score: one number from 0 to 100 that says how good a fused picture is, and agrees with what people prefer.

    score = 100 * structure^0.55 * colour^0.2 * detail^0.25 * ends^0.1 * exp(-grain)

| term      | what it asks                               | how it is measured                                          |
|-----------|--------------------------------------------|-------------------------------------------------------------|
| structure | Is every edge of every exposure there?     | MEF-SSIM                                                    |
| colour    | Are the scene's colours there, none added? | `colour_kept`                                               |
| detail    | Is it as clear as the exposures?           | VIF, which counts no more than 1                            |
| ends      | Are shadows and highlights kept?           | what `lost_shadows` and `lost_highlights` find, as a share  |
|           |                                            | of what the worst exposure alone loses; at least 0.3        |
| grain     | Was nothing invented?                      | `added_grain`, where the exposures tell enough to know      |

Every term goes from 0 to 1 and each is capped where more is no better, so that a picture cannot be made better by a
slider. The score belongs to one picture and its exposures: it does not depend on what it is compared with. With more
than two exposures all of them are looked at, and the score is surer.

The terms and the exponents come from people's opinions. `python -m fusion.benchmark.experiments.opinions FOLDER` prints
how far the score and each metric agree with them, and how the score does on scenes that its exponents were not chosen
on. It cannot tell two pictures apart whose scores differ by less than `TIE`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fusion.metrics.appearance import known, losses, most_lost
from fusion.metrics.artefacts import added_grain
from fusion.metrics.base import Better, Metric
from fusion.metrics.colourfulness import colour_kept
from fusion.metrics.mef_ssim import structure_kept
from fusion.metrics.picture import Picture, Sources
from fusion.metrics.vif import visual_fidelity

TIE = 2.0
"""Two scores that are less than this apart are equal: below it, they order two pictures hardly better than chance."""

EXPONENTS = 0.55, 0.2, 0.25
"""The exponents of structure, colour and detail."""
_ENDS = 0.1
_LEAST_ENDS = 0.3
_STAKE = 0.002
"""A five-hundredth of the area is added to what could be lost, so that a few pixels do not decide."""


class Terms(NamedTuple):
    """The terms of the score, from 0 to 1 each."""

    structure: float
    colour: float
    detail: float
    ends: float
    clean: float


def terms(fused: Picture, sources: Sources) -> Terms:
    """Return the terms of the score; `clean` is exp(-grain). Raises `ValueError` for sides below 11."""
    lost, most = fused.derive(losses, sources), sources.derive(most_lost)
    kept = [1 - ours / (max(ours, worst) + _STAKE) for ours, worst in zip(lost, most, strict=True)]
    trust = sources.derive(known).trust
    return Terms(
        min(fused.derive(structure_kept, sources), 1.0),  # rounding may lead a little beyond
        fused.derive(colour_kept, sources),
        min(fused.derive(visual_fidelity, sources), 1.0),
        max(kept[0] * kept[1], _LEAST_ENDS),
        math.exp(-trust * fused.derive(added_grain, sources)),
    )


def total(found: Terms, exponents: tuple[float, float, float] = EXPONENTS) -> float:
    """Return the score of these terms, 0 to 100.

    >>> total(Terms(1, 1, 1, 1, 1))
    100.0
    """
    product = math.prod(max(term, 0.0) ** power for term, power in zip(found, (*exponents, _ENDS, 1.0), strict=True))
    return 100 * product


def score(fused: Picture, sources: Sources) -> float:
    """Return the score: how good the fused picture is, given what its exposures show.

    Its formula stands at the top of `fusion.metrics.score`. Range: 0 to 100. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255, sides of 11 or more.
        sources: two or more photographs of the same size.

    Raises `ValueError` for sides below 11.

    Reference: the score is this project's own; the opinion scores are those of Ma, Zeng, Wang, "Perceptual quality
    assessment for multi-exposure image fusion", IEEE Transactions on Image Processing 2015.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (1, 16, 3))
    >>> round(METRIC.measure(ramp, Sources(ramp // 2, ramp))), METRIC.measure(ramp // 2, Sources(ramp // 2, ramp)) < 80
    (100, True)
    """
    return total(terms(fused, sources))


METRIC = Metric(
    name="score",
    title="Score",
    better=Better.HIGHER,
    source="This project; opinions of Ma, Zeng, Wang, TIP 2015",
    meaning="It tells how good the result is, from 0 to 100, by structure, colour, detail, losses and grain",
    caution="It cannot tell pictures apart whose scores are less than 2 apart",
    formula=score,
    repeats="mef_ssim",  # and the other metrics that its terms are made of
    agreement=0.84,
    bounds=(0, 100),
    many=True,
)
