"""Bradley and Terry's model of pairwise choices: how often each thing would be chosen over another, with intervals.

    P(i is chosen over j) = s_i / (s_i + s_j)

Sources: Bradley, Terry, Biometrika 1952; Hunter, Annals of Statistics 2004. A draw counts as half a choice of each. As
in the page's blind vote, each thing has to begin with drawn once with an average one of strength 1: a finite estimate
then exists for any choices, also for the bootstrap's, in which some thing may win always. The logarithms of the
strengths are found by Newton's method, since the likelihood is concave in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEPS = 100
_SETTLED = 1e-9  # of a strength's logarithm


@dataclass(frozen=True)
class Fit:
    """Of N things, in the order given."""

    strengths: NDArray[np.float64]
    """(N,), above 0; 1 is average."""
    low: NDArray[np.float64]
    """(N,): the lower ends of the 95 % intervals."""
    high: NDArray[np.float64]


def strengths(won: NDArray[np.float64], draws: float = 1) -> NDArray[np.float64]:
    """Of each thing, (..., N), from `won` (..., N, N): how often the row was chosen over the column.

    `draws` is how often each has drawn with an average one to begin with. At 0 this is the maximum of the likelihood,
    which exists only where every thing was chosen, by way of others at least, over every other (Hunter's assumption
    1); strengths then have a geometric mean of 1.
    """
    points, met = won.sum(-1) + draws / 2, won + won.swapaxes(-1, -2)
    here = np.eye(won.shape[-1])
    anchor = 0 if draws else 1 / won.shape[-1]  # without draws, nothing else holds the mean of the logarithms
    logs = np.zeros(points.shape)
    for _ in range(_STEPS):
        over = 1 / (1 + np.exp(logs[..., None, :] - logs[..., :, None]))
        over_average = 1 / (1 + np.exp(-logs))
        slope = points - (met * over).sum(-1) - draws * over_average
        bend = met * over * (1 - over)
        own = bend.sum(-1) + draws * over_average * (1 - over_average)
        step = np.linalg.solve(here * own[..., None] - bend + anchor, slope[..., None])[..., 0]
        step /= np.maximum(1, np.abs(step).max(-1, keepdims=True))  # or it might leap over the maximum and beyond
        logs += step
        if np.abs(step).max() < _SETTLED:
            break
    return np.exp(logs)


def fit(won: NDArray[np.float64], *, samples: int = 1000, seed: int = 3407) -> Fit:
    """Strengths, and percentile bootstrap intervals, from `won` (U, N, N): the choices of each of U units.

    A unit, which is drawn whole, is a participant, or a single vote. The same seed gives the same intervals.
    """
    units = len(won)
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), samples)
    resampled = strengths(np.tensordot(drawn, won, 1))
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return Fit(strengths(won.sum(0)), low, high)


def groups(won: NDArray[np.float64]) -> list[list[int]]:
    """Which of N things are linked by choices, from `won` (N, N). Between two groups, nothing can be said."""
    from scipy.sparse.csgraph import connected_components

    count, of = connected_components(won, directed=False)
    return [np.flatnonzero(of == group).tolist() for group in range(count)]
