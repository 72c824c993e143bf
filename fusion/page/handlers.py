"""What happens when a visitor does something on the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from fusion.blocks.selective_scan import execution
from fusion.errors import FusionError, ImageError
from fusion.methods import METHODS
from fusion.methods.base import Options
from fusion.methods.finish import Finish
from fusion.metrics import BENCHMARK, METRICS
from fusion.page import benchmark, bundle, examples, savings, texts, uploads, views
from fusion.page.gallery import Run, Stage, weighed
from fusion.page.gradio_internals import visitor_is_here
from fusion.page.job_queue import QueuePosition
from fusion.page.presets import Preset
from fusion.page.services import Services
from fusion.page.texts import Texts
from fusion.page.uploads import Tray
from fusion.pipeline import by_method
from fusion.settings import Settings

Changes: TypeAlias = dict[Any, Any]
"""Components of the page and what they show from now on."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The components that handlers change by name."""

    tray: gr.State
    chosen: gr.HTML
    strip: gr.HTML
    state: gr.State
    status: gr.HTML
    sheet: gr.HTML
    methods: gr.CheckboxGroup
    switches: Sequence[gr.Checkbox | gr.Slider]
    """Full size, alignment, both of ghosts, published colours, and the sliders."""
    sliders: Mapping[str, gr.Slider]
    """Each by `METHOD.OPTION`, such as `mertens.sigma`."""
    details: gr.Column
    table: gr.Dataframe
    csv: gr.DownloadButton
    archive: gr.DownloadButton


def spoken(request: gr.Request) -> Texts:
    """The page's texts in the visitor's language."""
    return texts.preferred(request.headers.get("accept-language"))


@dataclass(frozen=True, eq=False)
class Handlers:
    """The handlers of one page."""

    services: Services
    parts: Parts
    demo: gr.Blocks

    def fuse(
        self,
        tray: Tray | None,
        methods: list[str],
        metrics: list[str],
        exact: bool,
        align: bool,
        remove_certain: bool,
        remove_all: bool,
        published_colour: bool,
        request: gr.Request,
        *values: float,
    ) -> Iterator[Changes]:
        """Fuse the chosen files, and yield what changes on the page after each event. `values` are the sliders'."""
        text, parts = spoken(request), self.parts
        files = tray.files if tray else []
        if len(files) < 2:
            yield {parts.status: views.problem(text["status"]["no_pair" if not files else "one_more"])}
            return
        if not methods:
            yield {parts.status: views.problem(text["status"]["no_method"])}
            return
        opened: bool | None = None
        run: Run | None = None
        began = time.monotonic()
        pressed = self.services.requests.new(request.session_hash, metrics)
        try:
            settings = Settings(
                align=align,
                ghosts="remove" if remove_all else "auto" if remove_certain else "mark",
                mode="exact" if exact else "auto",
                colour="published" if published_colour else "natural",
                options=by_method(zip(parts.sliders, values, strict=True)),
            )
            chosen = [method.name for method in METHODS if method.name in methods]
            for made in self.services.run(files, chosen, settings, wanted=pressed.wanted(self.visitor())):
                if isinstance(made, QueuePosition):
                    yield {parts.status: views.waiting(made.number, text)}
                    continue
                run = made
                changes = self._shown(run, pressed.metrics, text, time.monotonic() - began) | {
                    parts.strip: gr.HTML(visible=False)
                }
                if run.fused:
                    changes |= {parts.table: views.table(run, METRICS)} | ({} if opened else self._opened_details())
                    opened = True
                elif opened is None:  # only once: a busy browser may apply a later "hidden" last
                    changes |= {parts.details: gr.Column(visible=False)}
                    opened = False
                yield changes
            if pressed.stopped and not pressed.replaced and not (run and run.stage is Stage.DONE):
                if run is None:  # the page still shows an earlier run
                    yield {parts.status: {}}
                else:
                    yield self._shown(run.ended(Stage.STOPPED), pressed.metrics, text)
        except FusionError as error:
            problem = views.problem(str(error))
            if run and run.fused:  # the pictures that are done stay
                yield self._shown(run.ended(Stage.STOPPED), pressed.metrics, text) | {parts.status: problem}
            else:
                hidden = gr.Column(visible=False)
                yield {parts.status: problem, parts.sheet: None, parts.state: None, parts.details: hidden}
        finally:
            self.services.requests.done(pressed)

    def visitor(self) -> Callable[[], bool]:
        """Make a function that says whether the visitor whose request this is has not left."""
        return visitor_is_here(self.demo)

    def _shown(self, run: Run, metrics: list[str], text: Texts, waited: float | None = None) -> Changes:
        """The run on the page: its sheet, and its status after the visitor has `waited` so many seconds."""
        parts, status = self.parts, views.status(run, text, waited)
        self.services.runs.show(run)
        return {parts.state: run, parts.sheet: _sheet(run, metrics, text), parts.status: status}

    def _opened_details(self) -> Changes:
        """What stands below the sheet from the moment there is a first result."""
        parts, waiting = self.parts, gr.DownloadButton(interactive=False)
        return {parts.details: gr.Column(visible=True), parts.csv: waiting, parts.archive: waiting}

    def redraw(self, run: Run | None, metrics: list[str], request: gr.Request) -> dict[str, Any]:
        """Show other metrics under the tiles from now on."""
        self.services.requests.show(request.session_hash, metrics)
        return _sheet(run, metrics, spoken(request)) if run else gr.skip()

    def weigh(self, run: Run | None) -> tuple[Run | None, Any]:
        """Make the methods' weight maps. That takes a moment, so it is done when a visitor first looks at them."""
        try:
            made = run and weighed(run, self.services.session)
        except FusionError as error:
            return None, views.problem(str(error))
        if made:
            self.services.runs.update(made)
        return made, gr.skip()

    def take_weighed(
        self, run: Run | None, made: Run | None, metrics: list[str], request: gr.Request
    ) -> tuple[Any, Any]:
        """Show the run with its weight maps, unless the visitor has gone on to another run meanwhile."""
        if run is None or made is None or run.folder != made.folder:
            return gr.skip(), gr.skip()
        return made, _sheet(made, metrics, spoken(request))

    def stop(self, request: gr.Request) -> None:
        """Stop fusing. While Gradio cancels in its own way, the page ignores its button, so that is not used."""
        self.services.requests.stop(request.session_hash)

    def pack(self, run: Run | None) -> tuple[Any, Any]:
        """Make the two downloads, if there is something to put into them."""
        if run is None or not run.fused:
            return gr.skip(), gr.skip()
        files = bundle.write_csv(run), bundle.write_zip(run, self.services.session.device)
        first, second = (gr.DownloadButton(value=str(path), interactive=True) for path in files)
        return first, second

    def save(self, run: Run | None, event: gr.EventData, request: gr.Request) -> Iterator[tuple[Any, Any]]:
        """Make the file that the visitor wants to take home, and show a link to it, which downloads it at once."""
        text, name = spoken(request), str(getattr(event, "name", ""))
        if run is None or not run.tile(name):
            return
        try:
            keep_metadata = bool(getattr(event, "metadata", False))
            saving = savings.named(str(getattr(event, "format", "")), keep_metadata=keep_metadata)
            finish = _finish(getattr(event, "finish", None))

            def steps() -> Generator[Path, None, None]:
                yield bundle.write_picture(run, name, saving, finish, self.services)

            for made in self.services.queue.follow(steps, wanted=self.visitor()):
                if isinstance(made, QueuePosition):
                    yield gr.skip(), views.waiting(made.number, text)
                else:
                    yield views.saved(made, text), views.status(run, text)
        except FusionError as error:
            yield gr.skip(), views.problem(str(error))

    def arrive(self, request: gr.Request) -> Changes:
        """Show the examples, and what the page's address asks for: an example with choices, or a run that was shown.

        Texts that `gr.I18n` does not reach are set in the visitor's language.
        """
        text, parts = spoken(request), self.parts
        linked = examples.linked(request.query_params, [method.name for method in self.services.available], text)
        if linked.problem:
            gr.Warning(linked.problem)
        cards = examples.cards(self.services.folder / "thumbnails", self.services.session.sandbox, linked.example, text)
        shown: Changes = {
            parts.chosen: gr.update(value=views.tray(Tray(), text), text=text),
            parts.strip: cards,
            parts.sheet: gr.update(text=text),
            parts.table: gr.update(headers=views.table_headers(METRICS, text)),
        }
        if linked.options:
            shown |= dict(zip(parts.sliders.values(), self._values(linked.options), strict=True))
        if linked.methods:
            shown[parts.methods] = list(linked.methods)
        run = self.services.runs.shown(request.query_params.get("run", ""))
        return shown | (self._returned(run, text) if run else {})

    def _returned(self, run: Run, text: Texts) -> Changes:
        """Show a run again whose page was opened anew: its photographs, its choices and its pictures."""
        parts, settings = self.parts, run.settings
        try:
            tray = uploads.of_files(run.files, self.services.folder, self.services.session.sandbox)
        except FusionError:
            return {}
        exact, published = settings.mode == "exact", settings.colour == "published"
        chosen = exact, settings.align, settings.ghosts != "mark", settings.ghosts == "remove", published
        over = run if run.over else run.ended(Stage.STOPPED)
        return {
            parts.tray: tray,
            parts.chosen: gr.update(value=views.tray(tray, text), text=text),
            parts.strip: gr.HTML(visible=False),
            parts.methods: [method.name for method in run.methods],
            **dict(zip(parts.switches, (*chosen, *self._values(settings.options)), strict=True)),
            parts.state: over,
            parts.sheet: gr.update(value=_sheet(over, [metric.name for metric in views.FOLDED], text), text=text),
            parts.status: views.status(over, text),
            parts.details: gr.Column(visible=bool(over.fused)),
            parts.table: gr.update(value=views.table(over, METRICS), headers=views.table_headers(METRICS, text)),
        }

    def show_options(self, methods: list[str]) -> list[dict[str, Any]]:
        """Show the options of the methods that are ticked, and their accordion if there are any."""
        names = dict.fromkeys(method.name for method, _ in self.services.offered)
        shown = [name in methods for name in names]
        return [gr.update(visible=any(shown)), *(gr.update(visible=each) for each in shown)]

    def take_preset(self, preset: Preset) -> list[Any]:
        """Choose the methods and switches of a preset. An option that it does not name returns to its default."""
        ticked = preset.ticked([method.name for method in self.services.available])
        return [
            ticked,
            preset.exact,
            preset.align,
            True,  # what certainly moved
            preset.deghost,
            False,  # published colours
            *self._values(preset.options),
        ]

    def add(self, tray: Tray | None, event: gr.EventData, request: gr.Request) -> Iterator[tuple[Any, Any, Any]]:
        """Take files into the tray, one by one. What cannot be used is told, and changes nothing."""
        text, tray = spoken(request), tray or Tray()
        problems: list[str] = []
        try:
            files = uploads.uploaded(getattr(event, "files", None), self.services.folder)
        except FusionError as error:
            files, problems = [], [str(error)]
        for path, name in files:
            try:
                tray = tray.taking(uploads.read(path, name, self.services.folder, self.services.session.sandbox))
            except FusionError as error:
                problems.append(str(error))
                if isinstance(error, ImageError) and error.code:
                    self.services.queue.statistics.refused(error.code.value)
            yield tray, views.tray(tray, text, problems), {}
        if not files:
            yield tray, views.tray(tray, text, problems), {}

    def remove(self, tray: Tray | None, event: gr.EventData, request: gr.Request) -> tuple[Any, Any, Any]:
        """Take one exposure out of the tray."""
        index = getattr(event, "index", None)
        left = (tray or Tray()).without(index if isinstance(index, int) else -1)
        return left, views.tray(left, spoken(request)), {}

    def clear(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """Take all exposures out of the tray."""
        return Tray(), views.tray(Tray(), spoken(request)), {}

    def take_example(self, event: gr.SelectData, request: gr.Request) -> tuple[Any, Any, Any]:
        """Put the pair that was pressed into the tray, in the place of what is there."""
        example = examples.shipped()[event.index]
        sandbox = self.services.session.sandbox
        tray = uploads.of_files([example.under, example.over], self.services.folder, sandbox)
        return tray, views.tray(tray, spoken(request)), {}

    def take_offer(self, event: gr.EventData) -> tuple[Any, Any, Any]:
        """Change the switch of alignment or those of ghosts, as a note below the button has offered."""
        same = gr.skip()
        offers = {"no_align": (False, same, same), "deghost": (same, True, True), "no_deghost": (same, False, False)}
        return offers.get(str(getattr(event, "name", "")), (same, same, same))

    def show_about(self, request: gr.Request) -> str:
        """Say what this page is. It is asked for late, because finding out which scan runs loads the scan."""
        device = self.services.session.device
        return views.about(METHODS, device, execution(device), spoken(request))

    def show_benchmark(self, request: gr.Request) -> dict[str, Any]:
        """Fill the section on the benchmark when it is opened."""
        return benchmark.section(BENCHMARK, spoken(request), shows_report=self.services.report is not None)

    def _values(self, options: Mapping[str, Options]) -> list[float]:
        """The values of all sliders."""
        offered = self.services.offered
        return [options.get(method.name, {}).get(option.name, option.default) for method, option in offered]


def _finish(given: Any) -> Finish:
    """The controls as a browser sends them. Raises `FusionError` for anything else."""
    try:
        return Finish(**{str(name): float(value) for name, value in dict(given or {}).items()})
    except (TypeError, ValueError) as error:
        raise FusionError("The page was asked for an adjustment that does not exist; load it again.") from error


def _sheet(run: Run, metrics: list[str], text: Texts) -> dict[str, Any]:
    return views.sheet(run, [metric for metric in METRICS if metric.name in metrics], text)
