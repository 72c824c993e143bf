"""The means as LaTeX tables in the style of booktabs: the best in a column is bold, the second best underlined."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fusion.benchmark.published import LOSSY, SCENES
from fusion.benchmark.results import MethodResult, MetricInfo, Summary

COLUMNS = 5
"""How many metrics a table has; further metrics go into further tables."""

_ARROWS = {"higher": r"~$\uparrow$", "lower": r"~$\downarrow$", "neither": ""}
_SPECIAL = {**{letter: f"\\{letter}" for letter in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL["\\"] = r"\textbackslash{}"
_NOT_ASCII = {"Δ": r"$\Delta$", "α": r"$\alpha$", "β": r"$\beta$", "²": "$^2$", "×": r"$\times$", "–": "--"}


def table(summary: Summary) -> str:
    """A LaTeX document that compiles on its own. Leave out its first and last line to include it in a paper."""
    dataset = summary.dataset
    told = f"over {len(dataset.scenes)} scenes of {dataset.name}"
    referenced = f"against the references of {len(dataset.referenced)} scenes of {dataset.name}"
    lines = [
        r"\documentclass{article}\usepackage{booktabs}\usepackage[margin=2cm]{geometry}\begin{document}",
        *_tables(summary, summary.metrics, told),
        *_tables(summary, summary.reference_metrics, referenced),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _tables(summary: Summary, metrics: Sequence[MetricInfo], what: str) -> list[str]:
    blocks = [metrics[i : i + COLUMNS] for i in range(0, len(metrics), COLUMNS)]
    return [line for block in blocks for line in _table(summary, block, what)]


def _table(summary: Summary, metrics: Sequence[MetricInfo], what: str) -> list[str]:
    measured = [one for one in summary.methods if one.kind != "published"]
    printed = [
        one
        for one in summary.methods
        if one.kind == "published" and any(metric.name in one.means for metric in metrics)
    ]
    width = len(metrics) + 1
    note = rf"\multicolumn{{{width}}}{{l}}{{published, over {len(SCENES)} scenes, lossy for {LOSSY} of them}} \\"
    lossy = "; results of JPEG sources went through a JPEG, as MEFB's did" if summary.as_mefb else ""
    return [
        r"\begin{table}[p]\centering\footnotesize",
        rf"\caption{{Means {escaped(what)}{lossy}.}}",
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
        r"\toprule",
        " & ".join(["", *(_title(metric) + _ARROWS[metric.better] for metric in metrics)]) + r" \\",
        r"\midrule",
        *_rows(measured, metrics),
        *([r"\midrule", note, *_rows(printed, metrics)] if printed else []),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _title(metric: MetricInfo) -> str:
    """The metric's title, with superscripts and subscripts set as such: Q^AB/F, Q_NCIE."""
    if letters := re.fullmatch(r"(\w)([_^])([\w/]+)", metric.title):
        return rf"${letters[1]}{letters[2]}{{\mathrm{{{letters[3]}}}}}$"
    return escaped(metric.title)


def _rows(methods: Sequence[MethodResult], metrics: Sequence[MetricInfo]) -> list[str]:
    marked = {metric.name: _marked(methods, metric) for metric in metrics}
    return [
        " & ".join([escaped(one.title), *(marked[metric.name].get(one.name, "--") for metric in metrics)]) + r" \\"
        for one in methods
    ]


def _marked(methods: Sequence[MethodResult], metric: MetricInfo) -> dict[str, str]:
    """The cells of a column by method. Means that look equal when printed get the same mark."""
    means = {one.name: one.means[metric.name].mean for one in methods if metric.name in one.means}
    cells = {name: _number(mean) for name, mean in means.items()}
    if metric.better == "neither":
        return cells
    ordered = sorted(means, key=lambda name: means[name], reverse=metric.better == "higher")
    marks = dict(zip(dict.fromkeys(cells[name] for name in ordered), (r"\textbf", r"\underline"), strict=False))
    return {name: rf"{marks[cell]}{{{cell}}}" if cell in marks else cell for name, cell in cells.items()}


def _number(value: float) -> str:
    """The number with four decimals, or fewer where it is large."""
    return f"{value:.{4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0}f}"


def escaped(text: str) -> str:
    r"""Text with LaTeX's special characters escaped. Letters that LaTeX's fonts may lack become question marks.

    >>> print(escaped("50 % of x_1"))
    50 \% of x\_1
    """
    text = re.sub(r"[\\&%$#_{}~^]", lambda found: _SPECIAL[found[0]], text)
    return "".join(letter if letter.isascii() else _NOT_ASCII.get(letter, "?") for letter in text)
