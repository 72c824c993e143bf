"""Tables of methods and of scores, as rows and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from fusion.methods.base import Method
from fusion.metrics.base import Metric
from fusion.pipeline import Scored

Row = dict[str, str | int | bool | None]


def method_row(method: Method) -> Row:
    """Return the facts about a method that are known before it runs. Its network is built to count the parameters.

    >>> from fusion.methods import mertens
    >>> row = method_row(mertens.METHOD)
    >>> row["name"], row["parameters"], row["available"]
    ('mertens', 0, True)
    """
    reason = method.unavailable
    return {
        "name": method.name,
        "title": method.title,
        "paper": method.paper,
        "parameters": method.parameters,
        "available": reason is None,
        "reason": reason,
        "options": ", ".join(f"{o.name} {o.low:g} to {o.high:g} ({o.default:g})" for o in method.options) or None,
    }


def metrics_csv(rows: Sequence[Scored], metrics: Sequence[Metric]) -> str:
    """The scores of several methods on one pair as CSV: a header, then for each method its name, seconds and scores.

    Scores have six decimals. Every row must have been measured with all of `metrics`, or a KeyError is raised.
    """
    names = [metric.name for metric in metrics]
    return table_csv(
        ["method", "seconds", *names],
        [[row.method.name, f"{row.fused.seconds:.3f}", *(f"{row.scores[name]:.6f}" for name in names)] for row in rows],
    )


def table_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    r"""A table as CSV. Lines end with a plain newline on every system.

    >>> table_csv(["method", "seconds"], [["mertens", 0.5]])
    'method,seconds\nmertens,0.5\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
