"""What the templates and the table are given: plain values only, since the page turns anything else into text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from fusion.decode import MAX_PIXELS
from fusion.method import Method
from fusion.metric import Better, Metric, scored_size
from fusion.page.gallery import Run, Stage, State, Tile
from fusion.pipeline import Scored

_KEYS = "1234567890"
"""Those that show the first ten methods everywhere while held."""

_ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓", Better.NEITHER: ""}


def titled(metric: Metric) -> str:
    """A metric's title with the direction that is better."""
    return f"{metric.title} {_ARROWS[metric.better]}".strip()


def sheet(run: Run, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The contact sheet."""
    height, width = run.size
    best = {metric.name: _best(metric, run.scored) for metric in metrics}
    return {
        "run": run.folder.name,
        "width": width,
        "height": height,
        "preview_width": run.preview_width,
        "link": link(run),
        "tiles": [_tile(tile, run, metrics, best) for tile in run.tiles],
    }


def status(run: Run) -> dict[str, Any]:
    """One line on how far the run is, and what the visitor should know about it."""
    if not run.tiles:
        return {"kind": "busy", "text": "Reading the photographs …", "notes": []}
    height, width = run.size
    notes = list(run.notes)
    if scored_size(height, width) != run.size:
        notes.append("Metrics are measured on a copy of at most 1 megapixel.")
    kind = "busy" if run.stage in (Stage.CORRECTING, Stage.FUSING) else "done"
    return {"kind": kind, "text": _progress(run), "notes": notes}


def problem(sentence: str) -> dict[str, Any]:
    """The status that says what is wrong."""
    return {"kind": "problem", "text": sentence, "notes": []}


def table(run: Run, metrics: Sequence[Metric]) -> list[list[str | float]]:
    """A row for each method that is measured: title, seconds, every metric."""
    return [
        [one.method.title, round(one.fused.seconds, 3), *(round(one.scores[metric.name], 4) for metric in metrics)]
        for one in run.scored
    ]


def table_headers(metrics: Sequence[Metric]) -> list[str]:
    """The headers of `table`."""
    return ["Method", "Seconds ↓", *map(titled, metrics)]


def choices(run: Run) -> list[tuple[str, str]]:
    """What can be put on either side of the slider: titles and names."""
    return [(_label(tile), tile.name) for tile in run.finished]


def link(run: Run) -> str:
    """The query that `examples.linked` reads and that leads to the same run; empty if its pair is the visitor's own."""
    return f"?example={run.example}&methods={','.join(m.name for m in run.methods)}" if run.example else ""


def example(under: Path, over: Path, title: str, *, linked: bool) -> dict[str, Any]:
    """One card of the strip, from its two thumbnails; a `linked` one is pressed as soon as it is there."""
    return {"title": title, "under": _file(under), "over": _file(over), "linked": linked}


def described(methods: Sequence[Method]) -> list[dict[str, str | None]]:
    """A line on every method, and why it cannot run here if it cannot."""
    return [{"title": m.title, "summary": m.summary, "reason": m.unavailable} for m in methods]


def about(methods: Sequence[Method], device: str, scan: str) -> str:
    """What the page says about itself, as Markdown."""
    rows = "\n".join(f"| **{m.title}** | {m.summary} | {m.paper} | {_ORIGIN[m.faithful]} |" for m in methods)
    return f"""\
| Method | What it does | Source | Network |
|---|---|---|---|
{rows}

Here they run on the {_DEVICES.get(device, device)}; selective scan: {_SCANS[scan]}.

**Privacy.** Files stay on this server's disk and are deleted after an hour; nothing is sent anywhere. Blind
votes stay in your browser.

**Limits.** JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF and, where it is installed, camera RAW; two to nine exposures of one
scene and one size, up to {MAX_PIXELS // 10**6} megapixels each. Downloads are lossless; what you see before you zoom
in is a smaller copy.
"""


_DEVICES = {"cpu": "processor (CPU)", "cuda": "graphics card (CUDA)"}
_SCANS = {
    "compiled": "compiled here by numba",
    "mamba_ssm": "mamba_ssm's kernel",
    "triton": "compiled here by Triton",
    "reference": "the slow reference, since nothing faster is installed",
}
_ORIGIN = {True: "as published", False: "adapted"}


def _progress(run: Run) -> str:
    done, total = len(run.fused), len(run.methods)
    if run.stage is Stage.CORRECTING:
        return "Correcting the exposure …"
    if run.stage is Stage.FUSING:
        running = next((tile for tile in run.tiles if tile.state is State.RUNNING), None)
        at = sum(tile.state in (State.RUNNING, State.DONE, State.FAILED) for tile in run.tiles[-total:])
        return f"Fusing with {running.title}, {at} of {total} …" if running else f"{at} of {total} …"
    methods = "method" if total == 1 else "methods"
    height, width = run.size
    if run.stage is Stage.STOPPED:
        return f"Stopped with {done} of {total} {methods} done."
    seconds = sum(fused.seconds for fused in run.fused)
    return f"{done} of {total} {methods} done in {seconds:.1f} s, at {width} × {height} pixels."


def _tile(tile: Tile, run: Run, metrics: Sequence[Metric], best: dict[str, float | None]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": tile.name,
        "title": tile.title,
        "label": _label(tile),
        "key": next((key for key, m in zip(_KEYS, run.methods, strict=False) if m.name == tile.name), ""),
        "subtitle": tile.subtitle,
        "alt": f"{tile.title}, {tile.subtitle}" if tile.subtitle else f"Fused with {tile.title}",
        "state": tile.state.value,
        "waiting": tile.state is State.WAITING,
        "running": tile.state is State.RUNNING,
        "failed": tile.state is State.FAILED,
        "reason": tile.reason,
    }
    if tile.preview:
        shown["preview"] = _file(tile.preview)
    if tile.picture:
        shown |= {"picture": _file(tile.picture), "file": tile.picture.name}
    if tile.fused:
        height, width = tile.fused.seen
        shown |= {"fused": True, "seconds": f"{tile.fused.seconds:.2f} s"}
        shown["reduced"] = f"network at {width} × {height}" if tile.fused.seen != run.size else ""
        shown["scores"] = [_score(metric, tile.scored, best[metric.name]) for metric in metrics]
    return shown


def _label(tile: Tile) -> str:
    """A title that stands alone."""
    return f"{tile.title}, IAT" if tile.name.endswith("-iat") else tile.title


def _score(metric: Metric, scored: Scored | None, best: float | None) -> dict[str, Any]:
    shown = {"title": titled(metric), "meaning": metric.meaning, "value": "…", "best": False}
    if scored:
        value = scored.scores[metric.name]
        shown |= {"value": _number(value), "best": value == best}
    return shown


def _number(value: float) -> str:
    """Four significant digits where that is enough: columns of one metric stay alike."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def _best(metric: Metric, scored: Collection[Scored]) -> float | None:
    """The best value, where there are several to choose from."""
    values = [one.scores[metric.name] for one in scored]
    if metric.better is Better.NEITHER or len(set(values)) < 2:
        return None
    return max(values) if metric.better is Better.HIGHER else min(values)


def _file(path: Path) -> dict[str, Any]:
    """A file that Gradio is to serve; it adds the address as `url`."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
