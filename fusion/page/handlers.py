"""What happens when a visitor does something on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import gradio as gr

from fusion.blocks.selective_scan import execution
from fusion.errors import FusionError
from fusion.methods import METHODS
from fusion.methods.base import Options
from fusion.metrics import BENCHMARK, METRICS
from fusion.page import benchmark, bundle, examples, texts, uploads, views
from fusion.page.gallery import Run, Stage, weighed
from fusion.page.gradio_internals import visitor_is_here
from fusion.page.job_queue import QueuePosition
from fusion.page.presets import Preset
from fusion.page.services import Services
from fusion.page.texts import Texts
from fusion.pipeline import by_method
from fusion.settings import Settings

SLIDER_PIXELS = 4_000_000
"""The slider shows reduced copies of larger pictures, since it would hold two of them decoded."""

Changes: TypeAlias = dict[Any, Any]
"""Components of the page and what they show from now on."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The components that handlers change by name."""

    state: gr.State
    status: gr.HTML
    strip: gr.HTML
    sheet: gr.HTML
    methods: gr.CheckboxGroup
    sliders: Mapping[str, gr.Slider]
    """Each by `METHOD.OPTION`, such as `mertens.sigma`."""
    details: gr.Column
    table: gr.Dataframe
    left: gr.Dropdown
    right: gr.Dropdown
    slider: gr.ImageSlider
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
        under: str | None,
        over: str | None,
        several: list[str] | None,
        originals: dict[str, str],
        methods: list[str],
        metrics: list[str],
        exact: bool,
        align: bool,
        remove_ghosts: bool,
        published_colour: bool,
        request: gr.Request,
        *values: float,
    ) -> Iterator[Changes]:
        """Fuse the chosen files, and yield what changes on the page after each event. `values` are the sliders'."""
        text, parts = spoken(request), self.parts
        files = uploads.chosen(under, over, several, originals)
        if not files:
            yield {parts.status: views.problem(text["status"]["no_pair"])}
            return
        if not methods:
            yield {parts.status: views.problem(text["status"]["no_method"])}
            return
        opened: bool | None = None
        run: Run | None = None
        pressed = self.services.requests.new(request.session_hash, metrics)
        try:
            settings = Settings(
                align=align,
                ghosts="remove" if remove_ghosts else "mark",
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
                changes = self._shown(run, pressed.metrics, text)
                if run.fused:
                    changes |= self._details(run, text) if opened else self._opened_details(run, text)
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

    def _shown(self, run: Run, metrics: list[str], text: Texts) -> Changes:
        """The run on the page: its sheet and its status."""
        parts = self.parts
        return {parts.state: run, parts.sheet: _sheet(run, metrics, text), parts.status: views.status(run, text)}

    def _details(self, run: Run, text: Texts) -> Changes:
        """The table and the choices of the slider, below the sheet."""
        choices, parts = views.choices(run, text), self.parts
        return {
            parts.table: views.table(run, METRICS),
            parts.left: gr.Dropdown(choices=choices),
            parts.right: gr.Dropdown(choices=choices),
        }

    def _opened_details(self, run: Run, text: Texts) -> Changes:
        """What stands below the sheet from the moment there is a first result."""
        choices, parts = views.choices(run, text), self.parts
        names = "under", run.fused[0].method.name
        return self._details(run, text) | {
            parts.details: gr.Column(visible=True),
            parts.left: gr.Dropdown(choices=choices, value=names[0]),
            parts.right: gr.Dropdown(choices=choices, value=names[1]),
            parts.slider: self.slide(run, *names),
            parts.csv: gr.DownloadButton(interactive=False),
            parts.archive: gr.DownloadButton(interactive=False),
        }

    def slide(self, run: Run | None, left: str | None, right: str | None) -> tuple[str, str] | None:
        """Put two pictures of the run into the slider."""
        first, second = (run.tile(name) if run and name else None for name in (left, right))
        if not run or not first or not second:
            return None
        if first.picture and second.picture and run.size[0] * run.size[1] <= SLIDER_PIXELS:
            return str(first.picture), str(second.picture)
        return str(first.preview), str(second.preview)

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

    def arrive(self, request: gr.Request) -> Changes:
        """Show the examples, and choose what the page's address asks for.

        Texts that `gr.I18n` does not reach are set in the visitor's language.
        """
        text, parts = spoken(request), self.parts
        linked = examples.linked(request.query_params, [method.name for method in self.services.available], text)
        if linked.problem:
            gr.Warning(linked.problem)
        cards = examples.cards(self.services.folder / "thumbnails", self.services.session.sandbox, linked.example, text)
        shown: Changes = {
            parts.strip: cards,
            parts.sheet: gr.update(text=text),
            parts.table: gr.update(headers=views.table_headers(METRICS, text)),
        }
        if linked.options:
            shown |= dict(zip(parts.sliders.values(), self._values(linked.options), strict=True))
        return shown | ({parts.methods: list(linked.methods)} if linked.methods else {})

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
            preset.deghost,
            False,  # published colours
            *self._values(preset.options),
        ]

    def take_example(self, event: gr.SelectData) -> tuple[str, str, None]:
        """Fill both slots with the pair that was pressed, and remove other files."""
        example = examples.shipped()[event.index]
        return str(example.under), str(example.over), None

    def show_upload(
        self, path: str | None, originals: dict[str, str]
    ) -> tuple[str | None, dict[str, str], None, dict[str, Any]]:
        """Show a preview of a file in its slot where browsers cannot show the file, and remove the several files."""
        preview, status = None, {}
        try:
            preview = uploads.preview_of(path, self.services.folder, self.services.session.sandbox) if path else None
        except FusionError as error:
            status = views.problem(str(error))
        # Never `gr.skip`: Gradio would build the slot anew, and decode what is put into it.
        return preview or path, originals | ({preview: path} if preview and path else {}), None, status

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


def _sheet(run: Run, metrics: list[str], text: Texts) -> dict[str, Any]:
    return views.sheet(run, [metric for metric in METRICS if metric.name in metrics], text)
