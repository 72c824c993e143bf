"""Values for the templates and the table. They are plain, because the page turns anything else into text."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

from fusion.io import suffixes
from fusion.io.decode import MAX_PIXELS
from fusion.methods.base import Method, Options
from fusion.methods.finish import Finish
from fusion.metrics import METRICS, score
from fusion.metrics.base import Better, Metric, scored_size
from fusion.outputs.words import Word, words
from fusion.page import savings
from fusion.page.gallery import Run, Stage, Tile, TileState
from fusion.page.texts import ENGLISH, Texts
from fusion.page.uploads import Tray
from fusion.pipeline import Scored

TYPES = ["image/*", *suffixes.PICTURES, *suffixes.RAW]
"""The types that the chooser of files offers. Whether a file can be used depends on its content alone."""

LOOKS: dict[str, dict[str, float]] = json.loads(Path(__file__).with_name("looks.json").read_text(encoding="utf-8"))
"""Ways to finish a picture that one press chooses, with the controls that differ from 0, by their names."""

_KEYS = "1234567890"
"""The keys that show one of the first ten methods in all tiles while they are held."""

_DECIMALS = 3
"""Every metric below a picture has so many decimals. What looks equal then counts as equal."""


def by_agreement(metrics: Sequence[Metric]) -> list[Metric]:
    """Sort metrics by their agreement with people, the highest first and those that were not measured last."""
    return sorted(metrics, key=lambda m: -inf if m.agreement is None else m.agreement, reverse=True)


FOLDED = [metric for metric in by_agreement(METRICS) if metric is not score.METRIC]
"""The metrics that a visitor can have behind "Metrics" under each picture. The score always stands there."""


def sheet(run: Run, metrics: Sequence[Metric], text: Texts = ENGLISH) -> dict[str, Any]:
    """Values for the contact sheet. Once nothing more will come, the method with the best score stands first."""
    height, width = run.size
    best = {metric: _best(metric, run.scored) for metric in by_agreement(metrics)}
    names = {method.name for method in run.methods}
    others, fused = ([tile for tile in run.tiles if (tile.name in names) is ours] for ours in (False, True))
    steps, sources = ([tile for tile in others if tile.name.endswith("-iat") is iat] for iat in (True, False))
    if run.over:
        fused.sort(key=lambda tile: -tile.scored.scores["score"] if tile.scored else inf)
    keys = dict(zip((tile.name for tile in fused), _KEYS, strict=False))

    def row(name: str, tiles: Sequence[Tile], *, is_open: bool = True) -> dict[str, Any]:
        return {
            "name": name,
            "title": text["sheet"][f"row_{name}"],
            "open": is_open,
            "tiles": [
                _tile(tile, run, text)
                | {"key": keys.get(tile.name, "")}
                | (_measured(tile, run, best, text) if tile.fused else {})
                for tile in tiles
            ],
        }

    uses_steps = any(method.needs.enhanced for method in run.methods)
    return {
        "run": run.folder.name,
        "width": width,
        "height": height,
        "preview_width": run.preview_width,
        "link": link(run),
        "done": run.over,
        "savings": [{"name": name, "title": text["save"][name]} for name in savings.offered()],
        "looks": [
            {"title": text["adjust"][f"look_{name}"], "values": json.dumps(values)} for name, values in LOOKS.items()
        ],
        "finish": [{"name": one.name, "title": text["adjust"][one.name]} for one in fields(Finish)],
        "rows": [
            row("results", fused),
            row("photographs", sources),
            *([row("steps", steps, is_open=uses_steps)] if steps else []),
        ],
    }


def tray(chosen: Tray, text: Texts = ENGLISH, problems: Sequence[str] = ()) -> dict[str, Any]:
    """Values for the tray: the exposures from dark to bright, and sentences on files that could not be used."""
    say = text["tray"]
    return {
        "exposures": [
            {
                "name": _harmless(one.name),
                "preview": _file(one.preview),
                "stops": "" if stops is None else say["stops"].format(stops=_number(stops, text)),
                "remove": _harmless(say["remove"].format(name=one.name)),
            }
            for one, stops in zip(chosen.exposures, chosen.stops, strict=True)
        ],
        "count": len(chosen.exposures),
        "types": ",".join(TYPES),
        "problems": list(map(_harmless, problems)),
        "hint": say["hint"] if not chosen.exposures else say["one_more"] if len(chosen.exposures) == 1 else "",
    }


def _number(stops: float, text: Texts) -> str:
    """A number of stops with its sign, as the visitor's language writes it."""
    said = f"{stops:+.1f}".removesuffix(".0").replace("-", "−")
    return said.replace(".", text["tray"]["decimal"])


def saved(path: Path, text: Texts = ENGLISH) -> dict[str, Any]:
    """Values for the link to a file that is ready to be taken home."""
    return {"file": _file(path), "name": path.name, "text": text["save"]["ready"].format(name=_harmless(path.name))}


def status(run: Run, text: Texts = ENGLISH, waited: float | None = None) -> dict[str, Any]:
    """Values for the status: one line on how far the run is, notes on how the pictures were made, and offers.

    `waited` is how many seconds the visitor has waited, where that is known.
    """
    if not run.tiles:
        return waiting(0, text)
    height, width = run.size
    notes = [_harmless(note) for note in run.notes]
    notes += [f"{', '.join(titles)}: {_harmless(note)}" for note, titles in _by_note(run).items()]
    if scored_size(height, width) != run.size:
        notes.append(text["status"]["measured_small"])
    kind = "done" if run.over else "busy"
    offers = _offers(run, text["status"]) if run.over else []
    return {"kind": kind, "text": _progress(run, text["status"], waited), "notes": notes, "offers": offers}


def _offers(run: Run, say: dict[str, str]) -> list[dict[str, str]]:
    """What the visitor may want to be done in another way, each with the words on its button."""
    offers: list[str] = []
    if any(tile.name == "moved" for tile in run.tiles):
        offers.append("no_deghost" if run.removed else "deghost")
    if run.aligned:
        offers.append("no_align")
    return [{"name": name, "text": say[f"offer_{name}"]} for name in offers]


def _by_note(run: Run) -> dict[str, list[str]]:
    """The methods' titles by the notes on their pictures."""
    titles: dict[str, list[str]] = {}
    for fused in run.fused:
        for note in fused.notes:
            titles.setdefault(note, []).append(fused.method.title)
    return titles


def waiting(position: int, text: Texts) -> dict[str, Any]:
    """The status of a visitor who waits at this position of the queue, or, at 0, whose turn has just come."""
    said = text["status"]["line"].format(place=position) if position else text["status"]["reading"]
    return {"kind": "busy", "text": said, "notes": []}


def problem(sentence: str) -> dict[str, Any]:
    """Values for a status that says what is wrong."""
    return {"kind": "problem", "text": _harmless(sentence), "notes": []}


def _harmless(sentence: str) -> str:
    """Make a sentence of the library safe: Gradio runs what stands in `${}` in a template that it has filled."""
    return sentence.replace("$", "＄")


def table(run: Run, metrics: Sequence[Metric]) -> list[list[str | float]]:
    """Rows with title, seconds and every metric, for each method that is measured."""
    return [
        [one.method.title, round(one.fused.seconds, 3), *(round(one.scores[m.name], 4) for m in by_agreement(metrics))]
        for one in run.scored
    ]


def table_headers(metrics: Sequence[Metric], text: Texts = ENGLISH) -> list[str]:
    """The headers of `table`."""
    return [
        text["table"]["method"],
        f"{text['table']['seconds']} ↓",
        *(metric.titled for metric in by_agreement(metrics)),
    ]


def link(run: Run) -> str:
    """The query that leads to the same run, as `examples.linked` reads it; empty for a visitor's own photographs."""
    if not run.example:
        return ""
    changed = [
        f"&{name}.{option}={value:g}"
        for name, chosen in run.settings.options.items()
        for option, value in chosen.items()
    ]
    return f"?example={run.example}&methods={','.join(m.name for m in run.methods)}{''.join(changed)}"


def example(name: str, under: Path, over: Path, text: Texts = ENGLISH, *, linked: bool) -> dict[str, Any]:
    """Values for the card of an example, with its two thumbnails. A `linked` one is pressed as soon as it appears."""
    title = text["examples"].get(name, name.capitalize())
    press = text["examples"]["press"].format(title=title)
    return {"title": title, "press": press, "under": _file(under), "over": _file(over), "linked": linked}


def described(methods: Sequence[Method]) -> list[dict[str, str | None]]:
    """Values for the list of methods: what each one does, or why it cannot run here."""
    return [{"title": m.title, "summary": m.summary, "reason": m.unavailable} for m in methods]


def about(methods: Sequence[Method], device: str, scan: str, text: Texts = ENGLISH) -> str:
    """The section about the page, as Markdown. Sentences about a method come from the method and are English."""
    say = text["about"]
    rows = "\n".join(f"| **{m.title}** | {m.summary} | {m.paper} | {say[m.origin]} |" for m in methods)
    return f"""\
| {say["method"]} | {say["summary"]} | {say["source"]} | {say["network"]} |
|---|---|---|---|
{rows}

{say["runs"].format(device=say.get(device, device), scan=say[scan])}

**{say["privacy"]}.** {say["privacy_text"]}

**{say["limits"]}.** {say["limits_text"].format(megapixels=MAX_PIXELS // 10**6)}
"""


def _progress(run: Run, say: dict[str, str], waited: float | None) -> str:
    done, total = len(run.fused), len(run.methods)
    if run.stage is Stage.STARTING:
        return say["reading"]
    if run.stage is Stage.FUSING:
        running = next((tile for tile in run.tiles if tile.state is TileState.RUNNING), None)
        at = sum(tile.state in (TileState.RUNNING, TileState.DONE, TileState.FAILED) for tile in run.tiles[-total:])
        if running:
            return say["fusing"].format(title=running.title, at=at, total=total)
        return say["between"].format(at=at, total=total)
    methods = say["method"] if total == 1 else say["methods"]
    height, width = run.size
    if run.stage is Stage.STOPPED:
        return say["stopped"].format(done=done, total=total, methods=methods)
    sentence = say["ready"].format(done=done, total=total, methods=methods, width=width, height=height)
    return sentence if waited is None else say["done"].format(sentence=sentence, seconds=f"{waited:.1f}")


def _tile(tile: Tile, run: Run, text: Texts) -> dict[str, Any]:
    say = text["tile"]
    title, subtitle, label = _title(tile, say), _subtitle(tile, say), _label(tile, say)
    places = {
        TileState.WAITING: say["waiting"],
        TileState.RUNNING: say["running"],
        TileState.FAILED: _harmless(tile.reason) or say["stopped"],
    }
    alt = f"{title}, {subtitle}" if subtitle else say["fused"].format(title=title)
    shown: dict[str, Any] = {
        "name": tile.name,
        "title": title,
        "label": label,
        "subtitle": subtitle,
        "alt": alt,
        "state": tile.state.value,
        "place": places.get(tile.state, ""),
        "histogram": say["histogram"].format(label=label),
        "download": say["download"].format(alt=alt),
        "show": say["show"].format(title=label),
        "hold_under": say["hold_under_label"].format(title=title),
        "hold_over": say["hold_over_label"].format(title=title),
    }
    if tile.preview:
        shown["preview"] = _file(tile.preview)
    if closely := tile.view or tile.picture:
        shown["view"] = _file(closely)
    if tile.picture:
        shown |= {"picture": _file(tile.picture), "file": tile.picture.name}
    if tile.fused:
        height, width = tile.fused.seen
        shown |= {"fused": True, "seconds": f"{tile.fused.seconds:.2f} s"}
        shown["reduced"] = say["seen"].format(width=width, height=height) if tile.fused.seen != run.size else ""
        shown["changed"] = _changed(run.settings.options.get(tile.name, {}), text["page"])
        shown["weighs"] = tile.fused.method.weighs
    if tile.weights:
        shown |= {"weights": _file(tile.weights), "shares": ", ".join(f"{100 * share:.0f} %" for share in tile.shares)}
    return shown


def _changed(options: Options, say: dict[str, str]) -> str:
    """The options that differ from their defaults, with their values."""
    return ", ".join(f"{say[f'option_{name}']} {value:g}" for name, value in options.items())


def _title(tile: Tile, say: dict[str, str]) -> str:
    return tile.title or say[tile.name.removesuffix("-iat")]


def _subtitle(tile: Tile, say: dict[str, str]) -> str:
    if tile.name == "moved":
        return say["moved_share"].format(percent=f"{100 * tile.share:.1f}")
    return "" if tile.title else "IAT" if tile.name.endswith("-iat") else say["photograph"]


def _label(tile: Tile, say: dict[str, str]) -> str:
    """A title that is clear without its tile."""
    title = _title(tile, say)
    return f"{title}, IAT" if tile.name.endswith("-iat") else title


def _measured(tile: Tile, run: Run, best: dict[Metric, float | None], text: Texts) -> dict[str, Any]:
    """The score of a method's tile, words about its picture, and its metrics. `best` has the metrics in their order."""
    say, scored = text["tile"], tile.scored
    shown: dict[str, Any] = {
        "score": f"{score.METRIC.title} …",
        "score_meaning": score.METRIC.meaning,
        "numbers": say["numbers_label"].format(title=tile.title),
        "scores": [_score(metric, scored, value) for metric, value in best.items()],
    }
    if not scored:
        return shown
    ours = scored.scores["score"]
    shown["score"] = f"{score.METRIC.title} {ours:.0f}"
    others = [one.scores for one in run.scored if one is not scored] if run.over else []
    most = max((other["score"] for other in others), default=-inf)
    if others and most - ours < score.TIE:
        shown["standing"] = say["best_score"] if ours >= most else say["tie"]
        shown["standing_hint"] = say["tie_hint"].format(points=f"{score.TIE:g}")
    shown["words"] = [
        {"text": _said(word, text["words"]), "fault": word.fault} for word in words(scored.scores, others)
    ]
    return shown


def _said(word: Word, say: dict[str, str]) -> str:
    percent = word.percent or 0
    return say[word.name].format(percent=f"{percent:.1f}" if percent < 1 else f"{percent:.0f}")


def _score(metric: Metric, scored: Scored | None, best: float | None) -> dict[str, Any]:
    shown = {
        "name": metric.name,
        "title": metric.titled,
        "meaning": metric.meaning,
        "against": metric.agreement is not None and metric.agreement < 0,
        "value": "…",
        "best": False,
    }
    if scored:
        value = round(scored.scores[metric.name], _DECIMALS)
        shown |= {"value": f"{value:.{_DECIMALS}f}", "best": value == best}
    return shown


def _best(metric: Metric, scored: Collection[Scored]) -> float | None:
    """The best value of a metric as it is shown; None where there is no choice or no better direction."""
    values = [round(one.scores[metric.name], _DECIMALS) for one in scored]
    if metric.better is Better.NEITHER or len(set(values)) < 2:
        return None
    return max(values) if metric.better is Better.HIGHER else min(values)


def _file(path: Path) -> dict[str, Any]:
    """Describe a file that Gradio is to serve. Gradio adds its address as `url`."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
