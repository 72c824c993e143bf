"""The means as LaTeX, in booktabs' style: the best of a column bold, the second best underlined."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fusion.benchmark.published import LOSSY, SCENES
from fusion.benchmark.results import Entrant, Facts, Summary

COLUMNS = 5
"""Metrics side by side; more go into a further table."""

_ARROWS = {"higher": r"~$\uparrow$", "lower": r"~$\downarrow$", "neither": ""}
_SPECIAL = {**{letter: f"\\{letter}" for letter in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL["\\"] = r"\textbackslash{}"
_NOT_ASCII = {"Δ": r"$\Delta$", "α": r"$\alpha$", "β": r"$\beta$", "²": "$^2$", "×": r"$\times$", "–": "--"}


def table(summary: Summary) -> str:
    """A document that compiles alone; between its first and last line is what belongs into a paper."""
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


def _tables(summary: Summary, metrics: Sequence[Facts], what: str) -> list[str]:
    blocks = [metrics[i : i + COLUMNS] for i in range(0, len(metrics), COLUMNS)]
    return [line for block in blocks for line in _table(summary, block, what)]


def _table(summary: Summary, metrics: Sequence[Facts], what: str) -> list[str]:
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


def _title(metric: Facts) -> str:
    """Its letters above or below the line where they stand: Q^AB/F, Q_NCIE."""
    if letters := re.fullmatch(r"(\w)([_^])([\w/]+)", metric.title):
        return rf"${letters[1]}{letters[2]}{{\mathrm{{{letters[3]}}}}}$"
    return escaped(metric.title)


def _rows(methods: Sequence[Entrant], metrics: Sequence[Facts]) -> list[str]:
    marked = {metric.name: _marked(methods, metric) for metric in metrics}
    return [
        " & ".join([escaped(one.title), *(marked[metric.name].get(one.name, "--") for metric in metrics)]) + r" \\"
        for one in methods
    ]


def _marked(methods: Sequence[Entrant], metric: Facts) -> dict[str, str]:
    """A column's cells, by method. Means that print alike are marked alike."""
    means = {one.name: one.means[metric.name].mean for one in methods if metric.name in one.means}
    cells = {name: _number(mean) for name, mean in means.items()}
    if metric.better == "neither":
        return cells
    ordered = sorted(means, key=lambda name: means[name], reverse=metric.better == "higher")
    marks = dict(zip(dict.fromkeys(cells[name] for name in ordered), (r"\textbf", r"\underline"), strict=False))
    return {name: rf"{marks[cell]}{{{cell}}}" if cell in marks else cell for name, cell in cells.items()}


def _number(value: float) -> str:
    """Four digits behind the point, fewer where many stand before it."""
    return f"{value:.{4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0}f}"


def escaped(text: str) -> str:
    """Text as LaTeX shows it. What its fonts may lack becomes a question mark."""
    text = re.sub(r"[\\&%$#_{}~^]", lambda found: _SPECIAL[found[0]], text)
    return "".join(letter if letter.isascii() else _NOT_ASCII.get(letter, "?") for letter in text)
