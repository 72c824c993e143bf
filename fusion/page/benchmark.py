"""The page's section on the benchmark: a report in a frame, and what each metric measures."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from pathlib import Path
from typing import Any

from fusion.metrics.base import Metric
from fusion.page.middleware import REPORT
from fusion.page.texts import ENGLISH, Texts


def find_report(named: str | None) -> Path | None:
    """Return the folder of a report, which is served as a whole; None if none is named or it holds no report."""
    folder = Path(named).resolve() if named else None
    return folder if folder and (folder / "index.html").is_file() else None


def section(metrics: Sequence[Metric], text: Texts = ENGLISH, *, shows_report: bool) -> dict[str, Any]:
    """Values for the section's template. Sentences about a metric come from the metric and are English."""
    say = text["benchmark"]
    return {
        "report": f"{REPORT.removeprefix('/')}/index.html" if shows_report else "",  # relative to the page's address
        "say": say,
        "metrics": [
            {
                "name": metric.name,
                "title": metric.titled,
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
