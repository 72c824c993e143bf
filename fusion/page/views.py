"""What the templates and the table are given: plain values only, since the page turns anything else into text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from fusion.io.decode import MAX_PIXELS
from fusion.methods.base import Method, Options
from fusion.metrics.base import Better, Metric, scored_size
from fusion.page.gallery import Run, Stage, State, Tile
from fusion.page.texts import ENGLISH, Texts
from fusion.pipeline import Scored

_KEYS = "1234567890"
"""Those that show the first ten methods everywhere while held."""

_ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓", Better.NEITHER: ""}


def titled(metric: Metric) -> str:
    """A metric's title with the direction that is better."""
    return f"{metric.title} {_ARROWS[metric.better]}".strip()


def sheet(run: Run, metrics: Sequence[Metric], text: Texts = ENGLISH) -> dict[str, Any]:
    """The contact sheet."""
    height, width = run.size
    best = {metric.name: _best(metric, run.scored) for metric in metrics}
    return {
        "run": run.folder.name,
        "width": width,
        "height": height,
        "preview_width": run.preview_width,
        "link": link(run),
        "done": run.stage in (Stage.DONE, Stage.STOPPED),
        "tiles": [_tile(tile, run, metrics, best, text) for tile in run.tiles],
    }


def status(run: Run, text: Texts = ENGLISH) -> dict[str, Any]:
    """One line on how far the run is, and what the visitor should know about it."""
    if not run.tiles:
        return waiting(0, text)
    height, width = run.size
    notes = [_harmless(note) for note in run.notes]
    notes += [f"{fused.method.title}: {fused.notes[0]}" for fused in run.fused if fused.short_of_memory]
    if scored_size(height, width) != run.size:
        notes.append(text["status"]["measured_small"])
    kind = "busy" if run.stage in (Stage.CORRECTING, Stage.FUSING) else "done"
    return {"kind": kind, "text": _progress(run, text["status"]), "notes": notes}


def waiting(place: int, text: Texts) -> dict[str, Any]:
    """The status of one whose turn has not come, or has come a moment ago, where `place` is 0."""
    said = text["status"]["line"].format(place=place) if place else text["status"]["reading"]
    return {"kind": "busy", "text": said, "notes": []}


def problem(sentence: str) -> dict[str, Any]:
    """The status that says what is wrong."""
    return {"kind": "problem", "text": _harmless(sentence), "notes": []}


def _harmless(sentence: str) -> str:
    """A sentence of the library as a value: Gradio runs what stands in `${}` in a template that it has filled."""
    return sentence.replace("$", "＄")


def table(run: Run, metrics: Sequence[Metric]) -> list[list[str | float]]:
    """A row for each method that is measured: title, seconds, every metric."""
    return [
        [one.method.title, round(one.fused.seconds, 3), *(round(one.scores[metric.name], 4) for metric in metrics)]
        for one in run.scored
    ]


def table_headers(metrics: Sequence[Metric], text: Texts = ENGLISH) -> list[str]:
    """The headers of `table`."""
    return [text["table"]["method"], f"{text['table']['seconds']} ↓", *map(titled, metrics)]


def choices(run: Run, text: Texts = ENGLISH) -> list[tuple[str, str]]:
    """What can be put on either side of the slider: titles and names."""
    return [(_label(tile, text["tile"]), tile.name) for tile in run.finished]


def link(run: Run) -> str:
    """The query that `examples.linked` reads and that leads to the same run; empty if its pair is the visitor's own."""
    if not run.example:
        return ""
    changed = [
        f"&{name}.{option}={value:g}"
        for name, chosen in run.settings.options.items()
        for option, value in chosen.items()
    ]
    return f"?example={run.example}&methods={','.join(m.name for m in run.methods)}{''.join(changed)}"


def example(name: str, under: Path, over: Path, text: Texts = ENGLISH, *, linked: bool) -> dict[str, Any]:
    """One card of the strip, from its two thumbnails; a `linked` one is pressed as soon as it is there."""
    title = text["examples"].get(name, name.capitalize())
    press = text["examples"]["press"].format(title=title)
    return {"title": title, "press": press, "under": _file(under), "over": _file(over), "linked": linked}


def described(methods: Sequence[Method]) -> list[dict[str, str | None]]:
    """A line on every method, and why it cannot run here if it cannot."""
    return [{"title": m.title, "summary": m.summary, "reason": m.unavailable} for m in methods]


def about(methods: Sequence[Method], device: str, scan: str, text: Texts = ENGLISH) -> str:
    """What the page says about itself, as Markdown. What it says of a method is the method's own, and English."""
    say = text["about"]
    origin = {True: say["published"], False: say["adapted"]}
    rows = "\n".join(f"| **{m.title}** | {m.summary} | {m.paper} | {origin[m.faithful]} |" for m in methods)
    return f"""\
| {say["method"]} | {say["summary"]} | {say["source"]} | {say["network"]} |
|---|---|---|---|
{rows}

{say["runs"].format(device=say.get(device, device), scan=say[scan])}

**{say["privacy"]}.** {say["privacy_text"]}

**{say["limits"]}.** {say["limits_text"].format(megapixels=MAX_PIXELS // 10**6)}
"""


def _progress(run: Run, say: dict[str, str]) -> str:
    done, total = len(run.fused), len(run.methods)
    if run.stage is Stage.CORRECTING:
        return say["correcting"]
    if run.stage is Stage.FUSING:
        running = next((tile for tile in run.tiles if tile.state is State.RUNNING), None)
        at = sum(tile.state in (State.RUNNING, State.DONE, State.FAILED) for tile in run.tiles[-total:])
        if running:
            return say["fusing"].format(title=running.title, at=at, total=total)
        return say["between"].format(at=at, total=total)
    methods = say["method"] if total == 1 else say["methods"]
    height, width = run.size
    if run.stage is Stage.STOPPED:
        return say["stopped"].format(done=done, total=total, methods=methods)
    seconds = f"{sum(fused.seconds for fused in run.fused):.1f}"
    return say["done"].format(done=done, total=total, methods=methods, seconds=seconds, width=width, height=height)


def _tile(
    tile: Tile, run: Run, metrics: Sequence[Metric], best: dict[str, float | None], text: Texts
) -> dict[str, Any]:
    say = text["tile"]
    title, subtitle, label = _title(tile, say), _subtitle(tile, say), _label(tile, say)
    places = {
        State.WAITING: say["waiting"],
        State.RUNNING: say["running"],
        State.FAILED: _harmless(tile.reason) or say["stopped"],
    }
    alt = f"{title}, {subtitle}" if subtitle else say["fused"].format(title=title)
    shown: dict[str, Any] = {
        "name": tile.name,
        "title": title,
        "label": label,
        "key": next((key for key, m in zip(_KEYS, run.methods, strict=False) if m.name == tile.name), ""),
        "subtitle": subtitle,
        "alt": alt,
        "state": tile.state.value,
        "place": places.get(tile.state, ""),
        "histogram": say["histogram"].format(label=label),
        "download": say["download"].format(alt=alt),
        "hold_under": say["hold_under_label"].format(title=title),
        "hold_over": say["hold_over_label"].format(title=title),
    }
    if tile.preview:
        shown["preview"] = _file(tile.preview)
    if tile.picture:
        shown |= {"picture": _file(tile.picture), "file": tile.picture.name}
    if tile.fused:
        height, width = tile.fused.seen
        shown |= {"fused": True, "seconds": f"{tile.fused.seconds:.2f} s"}
        shown["reduced"] = say["seen"].format(width=width, height=height) if tile.fused.seen != run.size else ""
        shown["changed"] = _changed(run.settings.options.get(tile.name, {}), text["page"])
        shown["weighs"] = tile.fused.method.weighs
        shown["scores"] = [_score(metric, tile.scored, best[metric.name]) for metric in metrics]
    if tile.weights:
        shown |= {"weights": _file(tile.weights), "shares": ", ".join(f"{100 * share:.0f} %" for share in tile.shares)}
    return shown


def _changed(options: Options, say: dict[str, str]) -> str:
    """What was set to other than its default."""
    return ", ".join(f"{say[f'option_{name}']} {value:g}" for name, value in options.items())


def _title(tile: Tile, say: dict[str, str]) -> str:
    return tile.title or say[tile.name.removesuffix("-iat")]


def _subtitle(tile: Tile, say: dict[str, str]) -> str:
    if tile.name == "moved":
        return say["moved_share"].format(percent=f"{100 * tile.share:.1f}")
    return "" if tile.title else "IAT" if tile.name.endswith("-iat") else say["photograph"]


def _label(tile: Tile, say: dict[str, str]) -> str:
    """A title that stands alone."""
    title = _title(tile, say)
    return f"{title}, IAT" if tile.name.endswith("-iat") else title


def _score(metric: Metric, scored: Scored | None, best: float | None) -> dict[str, Any]:
    shown = {"name": metric.name, "title": titled(metric), "meaning": metric.meaning, "value": "…", "best": False}
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
