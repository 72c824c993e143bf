"""The Bradley–Terry model of pairwise choices: the strength of each item, with intervals.

    P(i is chosen over j) = s_i / (s_i + s_j)

Sources: Bradley and Terry, Biometrika 1952; Hunter, Annals of Statistics 2004. A draw counts as half a choice for each
item. Each item starts with one draw against an average item of strength 1, as in the page's blind vote. So a finite
estimate exists for any set of choices, even for a bootstrap sample in which an item always wins. The likelihood is
concave in the logarithms of the strengths, which are found by Newton's method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEPS = 100
_CONVERGED = 1e-9  # the largest step of a strength's logarithm


@dataclass(frozen=True)
class Fit:
    """Estimates for N items, in the given order."""

    strengths: NDArray[np.float64]
    """(N,): above 0; 1 is average."""
    low: NDArray[np.float64]
    """(N,): the lower ends of the 95 % intervals."""
    high: NDArray[np.float64]
    """(N,): the upper ends."""


def strengths(won: NDArray[np.float64], draws: float = 1) -> NDArray[np.float64]:
    """The strength of each item, (..., N), from `won` (..., N, N).

    `won` holds how often the row's item was chosen over the column's.

    `draws` is how many draws against an average item each starts with. With 0, this is the maximum-likelihood estimate,
    which exists only where every item was chosen over every other, at least through a chain of others (Hunter's
    assumption 1); the strengths then have a geometric mean of 1.

    >>> first, second = strengths(np.array([[0, 30], [10, 0]]), draws=0)
    >>> round(float(first / second), 6)
    3.0
    """
    points, met = won.sum(-1) + draws / 2, won + won.swapaxes(-1, -2)
    here = np.eye(won.shape[-1])
    anchor = 0 if draws else 1 / won.shape[-1]  # without draws, the mean of the logarithms is free
    logs = np.zeros(points.shape)
    for _ in range(_STEPS):
        over = 1 / (1 + np.exp(logs[..., None, :] - logs[..., :, None]))
        over_average = 1 / (1 + np.exp(-logs))
        slope = points - (met * over).sum(-1) - draws * over_average
        bend = met * over * (1 - over)
        own = bend.sum(-1) + draws * over_average * (1 - over_average)
        step = np.linalg.solve(here * own[..., None] - bend + anchor, slope[..., None])[..., 0]
        step /= np.maximum(1, np.abs(step).max(-1, keepdims=True))  # a longer step might overshoot the maximum
        logs += step
        if np.abs(step).max() < _CONVERGED:
            break
    return np.exp(logs)


def fit(won: NDArray[np.float64], *, samples: int = 1000, seed: int = 3407) -> Fit:
    """Strengths with percentile bootstrap intervals, from `won` (U, N, N): the choices of each of U units.

    The bootstrap resamples whole units; a unit is a participant or a single vote. The same seed gives the same
    intervals.
    """
    units = len(won)
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), samples)
    resampled = strengths(np.tensordot(drawn, won, 1))
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return Fit(strengths(won.sum(0)), low, high)


def groups(won: NDArray[np.float64]) -> list[list[int]]:
    """The groups of items that choices link, from `won` (N, N). Items of different groups cannot be compared.

    >>> groups(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    [[0, 1], [2]]
    """
    from scipy.sparse.csgraph import connected_components

    count, of = connected_components(won, directed=False)
    return [np.flatnonzero(of == group).tolist() for group in range(count)]
