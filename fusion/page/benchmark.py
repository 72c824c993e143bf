"""The page's section on the benchmark: a report's own pages in a frame, and how each metric measures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import isinf
from pathlib import Path
from typing import Any

from fusion.metrics.base import Metric
from fusion.page.server import BENCHMARK
from fusion.page.texts import ENGLISH, Texts
from fusion.page.views import titled

REPORT = "MAMBAMEF_REPORT"
"""The environment variable that names a report's folder."""


def report() -> Path | None:
    """The folder of the report that the page shows, which is served as a whole; None where none is named or there."""
    if not (named := os.environ.get(REPORT)):
        return None
    folder = Path(named).resolve()
    return folder if (folder / "index.html").is_file() else None


def section(metrics: Sequence[Metric], text: Texts = ENGLISH) -> dict[str, Any]:
    """What the section shows. What it says of a metric is the metric's own, and English."""
    say = text["benchmark"]
    return {
        "report": f"{BENCHMARK.removeprefix('/')}/index.html" if report() else "",  # from wherever the page is
        "say": say,
        "metrics": [
            {
                "name": metric.name,
                "title": titled(metric),
                "meaning": metric.meaning,
                "caution": metric.caution,
                "facts": f"{say[metric.better.value]}. {_range(metric, say)}.",
                "source": metric.source,
            }
            for metric in metrics
        ],
    }


def _range(metric: Metric, say: dict[str, str]) -> str:
    low, high = metric.bounds
    if isinf(low):
        return say["any"] if isinf(high) else say["most"].format(high=f"{high:.4g}")
    return say["least" if isinf(high) else "between"].format(low=f"{low:.4g}", high=f"{high:.4g}")
