"""Statistics of methods from single scores: means with intervals, ranks, and tests against the best method.

The scenes are the sample: another benchmark would have others. So intervals come from resampling the scenes (the
bootstrap), and two methods are compared scene by scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusion.benchmark.results import Mean, MetricInfo, Scores

RESAMPLES = 9999
"""How often the bootstrap draws the scenes."""
LEVEL = 0.95
"""The confidence level of intervals."""
_SEED = 0


@dataclass(frozen=True)
class MethodStatistics:
    """One method's statistics by metric; the fields mean what they do in `results.MethodResult`."""

    means: dict[str, Mean] = field(default_factory=dict[str, Mean])
    ranks: dict[str, float] = field(default_factory=dict[str, float])
    p_against_best: dict[str, float] = field(default_factory=dict[str, float])

    def mean_rank(self, metrics: Sequence[MetricInfo]) -> float | None:
        """The mean of the ranks over the given metrics; None where none of them has a rank."""
        ranks = [self.ranks[metric.name] for metric in metrics if metric.name in self.ranks]
        return fmean(ranks) if ranks else None


def summarise(scores: Scores, metrics: Sequence[MetricInfo]) -> dict[str, MethodStatistics]:
    """The statistics of every method in `scores`, by the method's name.

    >>> ssim = MetricInfo("ssim", "SSIM", "higher", "", "", "")
    >>> scores: Scores = {"a": {"church": {"ssim": 0.9}}, "b": {"church": {"ssim": 0.5}}}
    >>> found = summarise(scores, [ssim])
    >>> found["a"].ranks, found["b"].means["ssim"].mean
    ({'ssim': 1.0}, 0.5)
    """
    statistics = {method: MethodStatistics() for method in scores}
    for metric in metrics:
        columns = {
            method: column
            for method, scenes in scores.items()
            if (column := {scene: row[metric.name] for scene, row in scenes.items() if metric.name in row})
        }
        for method, column in columns.items():
            values = list(column.values())
            statistics[method].means[metric.name] = Mean(fmean(values), *(interval(values) or (None, None)))
        if metric.better == "neither" or len(columns) < 2:
            continue
        sign = -1.0 if metric.better == "higher" else 1.0
        common = [scene for scene in next(iter(columns.values())) if all(scene in other for other in columns.values())]
        if common:
            costs = [sign * np.array([column[scene] for scene in common]) for column in columns.values()]
            for method, rank in zip(columns, mean_ranks(costs), strict=True):
                statistics[method].ranks[metric.name] = rank
        best = min(columns, key=lambda method: sign * statistics[method].means[metric.name].mean)
        others = [method for method in columns if method != best and columns[method].keys() & columns[best].keys()]
        ps = [_paired(columns[method], columns[best]) for method in others]
        for method, p in zip(others, holm(ps), strict=True):
            statistics[method].p_against_best[metric.name] = p
    return statistics


def interval(values: ArrayLike) -> tuple[float, float] | None:
    """The 95 % interval of the mean of values (n,) by the percentile bootstrap; None for fewer than two values.

    The same values always give the same interval.

    >>> interval([3.0, 3.0]), interval([3.0])
    ((3.0, 3.0), None)
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    rng = np.random.default_rng(_SEED)
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", rng=rng
    ).confidence_interval
    return float(found.low), float(found.high)


def _paired(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    both = [scene for scene in first if scene in second]
    return wilcoxon(np.array([first[scene] for scene in both]), np.array([second[scene] for scene in both]))


def wilcoxon(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The two-sided p value of Wilcoxon's signed-rank test on paired values (n,), (n,); 1 where no pair differs.

    >>> wilcoxon(np.arange(1.0, 6.0), np.zeros(5))
    0.0625
    """
    from scipy.stats import wilcoxon

    differences = first - second
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0  # pyright: ignore[reportAttributeAccessIssue]


def holm(ps: Sequence[float]) -> list[float]:
    """p values with Holm's correction for multiple tests (Scandinavian Journal of Statistics 1979), in their order.

    >>> holm([0.03, 0.01])
    [0.03, 0.02]
    """
    values = np.array(ps)
    order = np.argsort(values)
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order])
    return [float(p) for p in np.minimum(corrected, 1)]


def mean_ranks(costs: Sequence[NDArray[np.float64]]) -> list[float]:
    """The mean rank of each method over n scenes, from its costs (n,). The lowest cost has rank 1.

    Equal costs share the mean of their ranks.

    >>> mean_ranks([np.array([0.1, 0.2]), np.array([0.3, 0.2])])
    [1.25, 1.75]
    """
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata(np.stack(costs), axis=0).mean(axis=1)]
