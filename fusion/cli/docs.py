"""The pages of `docs/` that are generated from the program, so that they cannot be wrong about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fusion.cli.options import AsJson, file_name
from fusion.cli.output import print_json, say
from fusion.errors import DatasetError
from fusion.io.files import write_atomically

_ORIGINS = {
    "ours": "our own",
    "published": "as published",
    "retrained": "architecture as published, trained here with another loss",
    "adapted": "adapted",
}
_NOTE = "<!-- Written by `python -m fusion docs`; change the program, not this page. -->"


def docs(
    folder: Annotated[
        Path,
        typer.Argument(parser=file_name, metavar="DOCS", help="Write the pages to this folder."),
    ] = Path("docs"),
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing, and exit with 1 where a page is out of date."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Write the pages of the documentation that are generated from the program.

    Example: python -m fusion docs
    """
    names = stale_pages(folder) if check else write_pages(folder)
    if as_json:
        print_json({"stale" if check else "written": names})
    for name in names:
        say(f"{folder / name} is out of date; run python -m fusion docs." if check else f"Wrote {folder / name}.")
    return 1 if check and names else 0


def command_line_page() -> str:
    """The page on the command line: every command, argument and option."""
    from fusion.cli.reference import command_line

    return _page("The command line", command_line())


def methods_page() -> str:
    """The page on methods: what each is, and its options."""
    from fusion.methods import METHODS

    methods = (
        (
            f"`{method.name}`",
            method.title,
            method.summary,
            method.paper,
            f"{method.parameters:,}",
            _ORIGINS[method.origin],
        )
        for method in METHODS
    )
    options = (
        (
            f"`{method.name}`",
            f"`{one.name}`",
            f"{one.low:g} to {one.high:g}",
            f"{one.default:g}",
            _sentence(one.meaning),
        )
        for method in METHODS
        for one in method.options
    )
    return _page(
        "Methods",
        "Each method's name is what the command line, Python and the API call it. *Parameters* counts the trained "
        "values of its network. *Adapted* means that the network differs from the paper's in more than training. The "
        "table at the top of its file in [fusion/methods](../fusion/methods) says how each differs and why.",
        _table(("name", "title", "summary", "paper", "parameters", "network"), methods),
        "## Options\n\nOptions, which the page calls method settings, change a method's result without training anew. "
        "Give them as `fuse -O OPTION=VALUE`, `compare -O METHOD.OPTION=VALUE`, or `options={...}` in Python.",
        _table(("method", "option", "range", "default", "meaning"), options),
    )


def metrics_page() -> str:
    """The page on metrics: which way each points, what it measures, and how it misleads."""
    from fusion.metrics import BENCHMARK, METRICS
    from fusion.metrics.reference import REFERENCE

    shown = {metric.name for metric in METRICS}
    every = [(metric, "the photographs", metric.mefb) for metric in BENCHMARK]
    every += [(metric, "a reference", None) for metric in REFERENCE]
    facts = (
        (
            f"`{metric.name}`",
            metric.title,
            metric.better.value,
            _range(*metric.bounds),
            compared,
            f"`{mefb}`" if mefb else "",
            "yes" if metric.name in shown else "",
            "–" if metric.agreement is None else f"{metric.agreement:.2f}",
            "all" if metric.many else "two",
        )
        for metric, compared, mefb in every
    )
    meanings = (
        (f"`{metric.name}`", _sentence(metric.meaning), _sentence(metric.caution), metric.source)
        for metric, *_ in every
    )
    return _page(
        "Metrics",
        "No metric can be trusted alone: each rewards something that it should not, which the second table says. "
        "`python -m fusion.benchmark.experiments.metrics examples` prints the figures behind it. The files in "
        "[fusion/metrics](../fusion/metrics) give formulas and conventions.",
        "*Better* says which direction is better. *Compared with* says what a fused picture is measured against: the "
        "photographs that it was made from, or a reference picture, which only some datasets have. *MEFB* is the "
        "metric's name in the tables of Zhang, Information Fusion 2021. `python -m fusion metrics` and `benchmark` "
        "measure all; the page measures those of *on the page*. *People* is the rank correlation with people's opinion "
        "of the pictures of a scene, from -1 to 1 ([opinions.md](opinions.md)); a metric below 0 orders pictures "
        "against what they prefer. *Exposures* says whether a metric looks at all exposures of a bracket or at the "
        "darkest and the brightest.",
        _table(
            ("name", "title", "better", "range", "compared with", "MEFB", "on the page", "people", "exposures"), facts
        ),
        "## What they measure, and how they mislead",
        _table(("name", "what it measures", "how it misleads", "source"), meanings),
    )


def errors_page() -> str:
    """The page on errors: every class, and every code that says why a file is refused."""
    from fusion import errors

    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.FusionError)]
    return _page(
        "Errors",
        "Each error is a sentence for the person who asked. In Python it is raised as one of these classes; programs "
        "that ask the page get the sentence.",
        _table(("class", "meaning"), ((f"`{one.__name__}`", " ".join((one.__doc__ or "").split())) for one in classes)),
        "## Files that are refused\n\nAn `ImageError` about one file has a code, and the page counts refusals by code "
        "in `/metrics`.",
        _table(("code", "meaning"), ((f"`{one.value}`", one.meaning) for one in errors.Refusal)),
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line_page,
    "errors.md": errors_page,
    "methods.md": methods_page,
    "metrics.md": metrics_page,
}
"""The generated pages: for each file name the function that returns the page's text."""


def write_pages(folder: Path) -> list[str]:
    """Write the pages that are not up to date into the folder of the documentation, and return their names.

    Raises `DatasetError` where there is no such folder.
    """
    names = stale_pages(folder)
    for name in names:
        write_atomically(folder / name, PAGES[name]().encode())
    return names


def stale_pages(folder: Path) -> list[str]:
    """The names of the generated pages that are missing from the folder, or that the program would write differently.

    Raises `DatasetError` where there is no such folder.

    >>> stale_pages(Path("docs"))
    []
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give the folder of the documentation.")
    return [
        name
        for name, text in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text()
    ]


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", _NOTE, *parts)) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sentence(text: str) -> str:
    return f"{text.removesuffix('.')}."


def _range(low: float, high: float) -> str:
    if math.isinf(low):
        return "any" if math.isinf(high) else f"up to {high:.4g}"
    return f"from {low:.4g}" if math.isinf(high) else f"{low:.4g} to {high:.4g}"
