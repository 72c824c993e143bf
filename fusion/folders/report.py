"""The report of a run over a folder: one HTML page with every scene's thumbnails, metrics and notes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

from fusion.exposures.brackets import Bracket, Skipped, shown
from fusion.folders.results import BracketResult, FailedBracket, FolderRun, FusedBracket
from fusion.methods import method_named
from fusion.metrics import METRICS

REPORT = "report.html"
"""The report's name in the folder of the results."""

_TEMPLATE = Path(__file__).with_name("report.html")


def report_page(results: Sequence[BracketResult], skipped: Sequence[Skipped], run: FolderRun) -> str:
    """The HTML of the report, which holds its pictures and loads nothing from elsewhere.

    Equal results give equal text: it contains no times, and no paths outside the folders of the run.
    """
    from jinja2 import Environment

    fused = [result for result in results if isinstance(result, FusedBracket)]
    means = {metric.name: fmean(one.record.scores[metric.name] for one in fused) for metric in METRICS} if fused else {}
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE.read_text("utf-8"))
    return page.render(
        method=method_named(run.method),
        settings=run.settings,
        options=run.settings.options_of(run.method),
        metrics=METRICS,
        scenes=fused,
        means=means,
        failures=[result for result in results if isinstance(result, FailedBracket)],
        skipped=skipped,
        shown=shown,
        address=partial(_address, run),
    )


def _address(run: FolderRun, bracket: Bracket) -> str:
    """The relative address of a result, from the report beside it."""
    return quote(os.fsencode(run.result_path(bracket).relative_to(run.out)))
