"""The page: layout, handlers and settings. Pictures are read, fused, measured and written in `fusion`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
# Gradio asks matplotlib for its backend with each event; unless one is named, that imports all of pyplot.
os.environ.setdefault("MPLBACKEND", "agg")
# PyTorch's idle threads otherwise spin for milliseconds, in the way of the scan's own.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from fusion.page import upload_dir

os.environ["GRADIO_TEMP_DIR"] = str(upload_dir.take())  # before Gradio is imported

try:
    # Before torch, which it prepares for processors that are lent call by call.
    import spaces  # pyright: ignore[reportMissingImports]
except ImportError:
    spaces = None

import gradio as gr
from gradio import themes
from gradio.data_classes import ImageData
from gradio.i18n import I18nData

from fusion.blocks.selective_scan import execution
from fusion.errors import FusionError
from fusion.io.image import check_count
from fusion.methods import METHODS
from fusion.methods.base import Mode, Options
from fusion.metrics import BENCHMARK, METRICS
from fusion.page import benchmark, bundle, examples, job_queue, modules, server, texts, uploads, views
from fusion.page.api import Api
from fusion.page.examples import EXAMPLES
from fusion.page.gallery import Finished, Run, Stage, follow, weighed
from fusion.page.job_queue import Line, Place, Presses
from fusion.page.presets import PRESETS, Preset
from fusion.page.texts import Texts
from fusion.pipeline import Event, by_method, compare, default_device, method, warm_up

SHOWN_METRICS = ["mef_ssim", "ssim", "entropy", "qabf", "vif"]
TICKED = ["pyramef", "lemamba", "mambamef", "meflut", "mertens"]
"""The methods a visitor starts with: the best ones, the namesake, and the classic."""
SLIDER_PIXELS = 4_000_000
"""The slider shows larger pictures reduced: it would hold two of them decoded."""

finished = Finished()
line = Line(Path(os.environ["GRADIO_TEMP_DIR"]))
presses = Presses()
guards: list[server.Guard] = []
i18n = gr.I18n(**texts.labels())


# One request.


def _gpu_seconds(_files: Sequence[str], methods: list[str], _mode: Mode, **_choices: Any) -> int:
    return min(60, 10 + 4 * len(methods))


def _on_gpu(function: Callable[..., Iterator[Event]]) -> Callable[..., Iterator[Event]]:
    return spaces.GPU(duration=_gpu_seconds)(function) if spaces else function


@_on_gpu
def events(
    files: Sequence[str],
    methods: list[str],
    mode: Mode,
    *,
    align: bool = True,
    deghost: bool = False,
    corrected: bool = True,
    options: Mapping[str, Options] | None = None,
) -> Iterator[Event]:
    """All of `compare`: a second call for what needs no GPU would queue and fork again, which costs more than it saves.

    Writing and packing the pictures happens outside, where the events arrive.
    """
    check_count(len(files))
    under, over, *more = files
    ghosts = "remove" if deghost else "mark"
    made = compare(
        under, over, methods, more=more, align=align, ghosts=ghosts, mode=mode, corrected=corrected, options=options
    )
    yield from job_queue.admitted(made)


def runs(
    files: Sequence[str],
    methods: list[str],
    mode: Mode,
    *,
    align: bool,
    deghost: bool,
    options: Mapping[str, Options],
    wanted: Callable[[], bool],
) -> Iterator[Run | Place]:
    """The place in line, then the run after each event; or the whole run at once where it has been made before."""
    options = {name: chosen for name, chosen in options.items() if name in methods}
    key = finished.key(files, (*methods, mode, str(align), str(deghost), str(options)))
    if (known := finished.get(key)) is not None:
        yield known
        return

    def steps() -> Generator[Run, None, None]:
        run = None
        chosen = [method(name) for name in methods]
        made = events(files, methods, mode, align=align, deghost=deghost, options=options)
        for run in follow(made, chosen, cache_folder(), examples.name_of(files), options):
            yield run
        if run is not None:
            finished.put(key, run)

    yield from line.follow(steps, methods=len(methods), key=key, wanted=wanted)


def visitor() -> Callable[[], bool]:
    """Whether the visitor whose request this is has not left."""
    return job_queue.visitor(demo._queue)  # pyright: ignore[reportPrivateUsage]


def cache_folder() -> Path:
    """Gradio's own: what lies in it is served without a copy, and deleted after an hour."""
    return Path(demo.GRADIO_CACHE)


# Handlers.


Changes: TypeAlias = dict[Any, Any]
"""Components of the page and what they now show."""


def fuse(
    under: str | None,
    over: str | None,
    several: list[str] | None,
    originals: dict[str, str],
    methods: list[str],
    metrics: list[str],
    every_pixel: bool,
    align: bool,
    deghost: bool,
    request: gr.Request,
    *settings: float,
) -> Iterator[Changes]:
    """Yield what changes on the page, event by event; `settings` are the sliders' values."""
    text = spoken(request)
    files = uploads.chosen(under, over, several, originals)
    if not files:
        yield {status: views.problem(text["status"]["no_pair"])}
        return
    if not methods:
        yield {status: views.problem(text["status"]["no_method"])}
        return
    opened: bool | None = None
    run: Run | None = None
    press = presses.new(request.session_hash, metrics)
    try:
        chosen = [method.name for method in METHODS if method.name in methods]
        mode: Mode = "exact" if every_pixel else "auto"
        options = by_method(zip(sliders, settings, strict=True))
        made_runs = runs(
            files, chosen, mode, align=align, deghost=deghost, options=options, wanted=press.wanted(visitor())
        )
        for made in made_runs:
            if isinstance(made, Place):
                yield {status: views.waiting(made.number, text)}
                continue
            run = made
            changes = {state: run, sheet: _sheet(run, press.metrics, text), status: views.status(run, text)}
            if run.fused:
                changes |= _details(run, text) if opened else _opened_details(run, text)
                opened = True
            elif opened is None:  # once: a busy browser may take a later "hidden" for the last word
                changes |= {details: gr.Column(visible=False)}
                opened = False
            yield changes
        if press.stopped and not press.replaced and not (run and run.stage is Stage.DONE):
            if run is None:  # what is shown is of an earlier press
                yield {status: {}}
            else:
                run = run.ended(Stage.STOPPED)
                yield {state: run, sheet: _sheet(run, press.metrics, text), status: views.status(run, text)}
    except FusionError as error:
        if run and run.fused:  # what there is stays
            run = run.ended(Stage.STOPPED)
            yield {state: run, sheet: _sheet(run, press.metrics, text), status: views.problem(str(error))}
        else:
            yield {status: views.problem(str(error)), sheet: None, state: None, details: gr.Column(visible=False)}
    finally:
        presses.over(press)


def spoken(request: gr.Request) -> Texts:
    """The page's texts in the visitor's language."""
    return texts.preferred(request.headers.get("accept-language"))


def _sheet(run: Run, metrics: list[str], text: Texts) -> dict[str, Any]:
    return views.sheet(run, [metric for metric in METRICS if metric.name in metrics], text)


def _details(run: Run, text: Texts) -> Changes:
    choices = views.choices(run, text)
    return {
        table: views.table(run, METRICS),
        left: gr.Dropdown(choices=choices),
        right: gr.Dropdown(choices=choices),
    }


def _opened_details(run: Run, text: Texts) -> Changes:
    """What stands below the sheet, from the moment there is a first result."""
    choices, names = views.choices(run, text), ("under", run.fused[0].method.name)
    return _details(run, text) | {
        details: gr.Column(visible=True),
        left: gr.Dropdown(choices=choices, value=names[0]),
        right: gr.Dropdown(choices=choices, value=names[1]),
        slider: slide(run, *names),
        csv: gr.DownloadButton(interactive=False),
        archive: gr.DownloadButton(interactive=False),
    }


def slide(run: Run | None, left: str | None, right: str | None) -> tuple[str, str] | None:
    """The two files of the slider."""
    first, second = (run.tile(name) if run and name else None for name in (left, right))
    if not run or not first or not second:
        return None
    whole = first.picture and second.picture and run.size[0] * run.size[1] <= SLIDER_PIXELS
    return (str(first.picture), str(second.picture)) if whole else (str(first.preview), str(second.preview))


def redraw(run: Run | None, metrics: list[str], request: gr.Request) -> dict[str, Any]:
    """The sheet with other metrics under its tiles, from now on."""
    presses.show(request.session_hash, metrics)
    return _sheet(run, metrics, spoken(request)) if run else gr.skip()


def weigh(run: Run | None) -> tuple[Run | None, Any]:
    """The run with the methods' weight maps, which take a moment: made when a visitor first looks at them."""
    try:
        made = run and weighed(run)
    except FusionError as error:
        return None, views.problem(str(error))
    if made:
        finished.renew(made)
    return made, gr.skip()


def take_weighed(run: Run | None, made: Run | None, metrics: list[str], request: gr.Request) -> tuple[Any, Any]:
    """The run and the sheet with weight maps, unless the visitor has gone on to another run meanwhile."""
    if run is None or made is None or run.folder != made.folder:
        return gr.skip(), gr.skip()
    return made, _sheet(made, metrics, spoken(request))


def stop(request: gr.Request) -> None:
    """Gradio's own way to cancel has the page ignore its button for as long as that takes."""
    presses.stop(request.session_hash)


def pack(run: Run | None) -> tuple[Any, Any]:
    """The two downloads, once there is something in them."""
    if run is None or not run.fused:
        return gr.skip(), gr.skip()
    files = bundle.write_csv(run), bundle.write_zip(run)
    first, second = (gr.DownloadButton(value=str(path), interactive=True) for path in files)
    return first, second


def arrive(request: gr.Request) -> Changes:
    """The strip of examples; what the page's address asks for is marked there, and ticked among the methods.

    And whatever `gr.I18n` does not reach, in the visitor's language.
    """
    text = spoken(request)
    linked = examples.linked(request.query_params, [name for _, name in available], text)
    if linked.problem:
        gr.Warning(linked.problem)
    shown: Changes = {
        strip: examples.cards(cache_folder() / "thumbnails", linked.example, text),
        sheet: gr.update(text=text),
        table: gr.update(headers=views.table_headers(METRICS, text)),
    }
    if linked.options:
        shown |= dict(zip(sliders.values(), _values(linked.options), strict=True))
    return shown | ({methods: list(linked.methods)} if linked.methods else {})


def offer(methods: list[str]) -> list[dict[str, Any]]:
    """The options of the methods that are ticked, and their accordion where there are any."""
    shown = [name in methods for name in groups]
    return [gr.update(visible=any(shown)), *(gr.update(visible=each) for each in shown)]


def take_preset(preset: Preset) -> list[Any]:
    """Its methods, its switches, and every option: at its value, or back at the default."""
    names = [name for _, name in available]
    values = _values(preset.options)
    return [preset.ticked(names), preset.exact, preset.align, preset.deghost, *values]


def _values(options: Mapping[str, Options]) -> list[float]:
    """What the sliders show."""
    return [options.get(m.name, {}).get(option.name, option.default) for m, option in OFFERED]


def take_example(event: gr.SelectData) -> tuple[str, str, None]:
    """Both slots filled with the pair that was pressed, and no other files."""
    example = EXAMPLES[event.index]
    return str(example.under), str(example.over), None


def show_upload(path: str | None, behind: dict[str, str]) -> tuple[str | None, dict[str, str], None, dict[str, Any]]:
    """What a slot shows of a file: a preview, where browsers cannot show it itself. Other files are forgotten."""
    preview, said = None, {}
    try:
        preview = uploads.preview_of(path, cache_folder()) if path else None
    except FusionError as error:
        said = views.problem(str(error))
    # Never `gr.skip`: Gradio would build the slot anew, and decode what is put into it.
    return preview or path, behind | ({preview: path} if preview and path else {}), None, said


def told(request: gr.Request) -> str:
    """What the page says about itself; asked for late, since finding out which scan runs loads it."""
    device = default_device()
    return views.about(METHODS, device, execution(device), spoken(request))


def measured(request: gr.Request) -> dict[str, Any]:
    """The benchmark's section; looked for when it is opened."""
    return benchmark.section(BENCHMARK, spoken(request))


# Layout.


@cache
def part(name: str | Path) -> str:
    """A template: one of the page's by its name, any other by its path."""
    return (modules.PAGE / name).read_text(encoding="utf-8")


def upload(name: str) -> gr.Image:
    """A slot that hands on the file as it came: by itself, gr.Image would decode it on the way in."""
    slot = gr.Image(
        label=i18n(f"page.{name}"),
        placeholder=str(i18n(f"page.{name}_place")),
        type="filepath",
        image_mode=None,
        sources=["upload"],
        buttons=[],
        height=230,
        min_width=150,
        elem_id=name,
    )

    def path_of(payload: ImageData | None) -> str | None:
        return payload.path if payload else None

    slot.preprocess = path_of
    return slot


def heading(text: I18nData, hint: I18nData | None = None) -> gr.HTML:
    """What a part of the page is about."""
    template = "<h2>{{value}}</h2><p>{{label}}</p>"
    return gr.HTML(text, label=hint, html_template=template, elem_classes="section", apply_default_css=False)


download: dict[str, Any] = {"interactive": False, "size": "md", "scale": 0, "min_width": 170}
available = [(m.title, m.name) for m in METHODS if not m.unavailable]
OFFERED = [(m, option) for m in METHODS if not m.unavailable for option in m.options]
"""Every option of every method, in the order of the page."""
sliders: dict[str, gr.Slider] = {}
"""By `METHOD.OPTION`."""
groups: dict[str, gr.Column] = {}
"""A method's sliders."""

with gr.Blocks(title="MambaMEF", fill_width=True, delete_cache=(upload_dir.SWEPT, upload_dir.KEPT)) as demo:
    state, with_maps = gr.State(time_to_live=upload_dir.KEPT), gr.State(time_to_live=upload_dir.KEPT)
    gr.HTML(
        i18n("page.tagline"),
        label=i18n("page.language"),
        html_template=part("header.html"),
        js_on_load=modules.start("header.js"),
        apply_default_css=False,
    )

    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                under = upload("under")
                over = upload("over")
            with gr.Accordion(i18n("page.more"), open=False, elem_id="more"):
                several = gr.File(
                    label=i18n("page.several"),
                    file_count="multiple",
                    file_types=uploads.SEVERAL,
                    elem_id="several",
                )
            originals = gr.State({})  # as long as the slots: without it, a preview would be taken for the photograph
        with gr.Column(scale=2, min_width=320):
            with gr.Row(elem_id="presets"):
                pressed_presets = [
                    gr.Button(i18n(f"page.preset_{preset.name}"), size="sm", min_width=90) for preset in PRESETS
                ]
            methods = gr.CheckboxGroup(
                available,
                value=[name for _, name in available if name in TICKED],
                label=i18n("page.methods"),
                elem_id="methods",
            )
            gr.HTML(
                views.described(METHODS),
                label=i18n("page.described"),
                html_template=part("methods.html"),
                apply_default_css=False,
            )
            exact = gr.Checkbox(
                label=i18n("page.exact"),
                info=i18n("page.exact_info"),
                elem_id="exact",
                visible=default_device() == "cpu",
            )
            align = gr.Checkbox(
                True,
                label=i18n("page.align"),
                info=i18n("page.align_info"),
                elem_id="align",
            )
            deghost = gr.Checkbox(
                label=i18n("page.deghost"),
                info=i18n("page.deghost_info"),
                elem_id="deghost",
            )
            with gr.Accordion(i18n("page.options"), open=False, elem_id="options") as accordion:
                for m, option in OFFERED:
                    if m.name not in groups:
                        with gr.Column(visible=m.name in TICKED) as groups[m.name]:
                            gr.Markdown(f"**{m.title}**")
                    with groups[m.name]:
                        sliders[f"{m.name}.{option.name}"] = gr.Slider(
                            option.low,
                            option.high,
                            option.default,
                            step=0.05,
                            label=i18n(f"page.option_{option.name}"),
                            info=i18n(f"page.option_{option.name}_info"),
                            elem_id=f"{m.name}-{option.name}",
                        )
            with gr.Row():
                fuse_button = gr.Button(i18n("page.fuse"), variant="primary", elem_id="fuse", min_width=120, scale=2)
                stop_button = gr.Button(i18n("page.stop"), elem_id="stop", min_width=90, scale=1)
            with gr.Accordion(i18n("page.metrics"), open=False):
                metrics = gr.CheckboxGroup(
                    [(views.titled(m), m.name) for m in METRICS],
                    value=SHOWN_METRICS,
                    label=i18n("page.metrics_shown"),
                    elem_id="metrics",
                )

    heading(i18n("page.examples_heading"))
    strip = gr.HTML(
        [],
        label=i18n("page.examples"),
        html_template=part("strip.html"),
        css_template=part("strip.css"),
        js_on_load=modules.start("strip.js"),
        apply_default_css=False,
        elem_id="strip",
    )
    status = gr.HTML({}, html_template=part("status.html"), apply_default_css=False, elem_id="status")
    sheet = gr.HTML(
        text=texts.ENGLISH,
        html_template=part("sheet.html"),
        css_template="\n".join(map(part, (modules.SHARED / "zoom.css", "sheet.css", "tools.css"))),
        js_on_load=modules.start("sheet.js"),
        apply_default_css=False,
        elem_id="sheet",
    )

    with gr.Column(visible=False) as details:
        heading(i18n("page.compared_heading"))
        with gr.Row():
            left = gr.Dropdown(label=i18n("page.left"), elem_id="left", min_width=140)
            right = gr.Dropdown(label=i18n("page.right"), elem_id="right", min_width=140)
        slider = gr.ImageSlider(
            type="filepath", format="png", max_height=620, show_label=False, buttons=["fullscreen"], elem_id="slider"
        )
        heading(i18n("page.table_heading"), i18n("page.table_hint"))
        link = '<p><a href="#measure">{{value}}</a></p>'
        gr.HTML(i18n("page.measure"), html_template=link, elem_classes="section", apply_default_css=False)
        table = gr.Dataframe(
            headers=views.table_headers(METRICS),
            datatype="auto",
            interactive=False,
            show_label=False,
            pinned_columns=1,
            buttons=["copy", "fullscreen"],
            elem_id="table",
        )
        with gr.Row():
            csv = gr.DownloadButton(str(i18n("page.csv")), elem_id="csv", **download)
            archive = gr.DownloadButton(str(i18n("page.zip")), elem_id="zip", **download)

    with gr.Accordion(i18n("page.about"), open=False, elem_id="about"):
        about = gr.Markdown()
    with gr.Accordion(i18n("page.benchmark"), open=False, elem_id="benchmark") as report:
        measures = gr.HTML({}, html_template=part("benchmark.html"), apply_default_css=False)

    inputs = [under, over, several, originals, methods, metrics, exact, align, deghost, *sliders.values()]
    outputs = [state, sheet, status, details, table, left, right, slider, csv, archive]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    # Many may ask at once, visitors and programs. One is served at a time, in `line`: the methods use all cores, or the
    # one GPU. What has been made before waits for nobody.
    lined: dict[str, Any] = {"concurrency_id": "fuse", "concurrency_limit": 64}
    heavy: dict[str, Any] = lined | {
        "api_visibility": "private",
        "trigger_mode": "multiple",  # the latest press counts
        "show_progress": "minimal",  # the seconds
        "show_progress_on": status,  # elsewhere it would cover the pictures
    }

    # Programs first: a handler of the page takes the name of its function, even though no program can call it.
    api = Api(events, cache_folder(), lambda steps, methods: line.follow(steps, methods=methods, wanted=visitor()))
    for endpoint, limits in ((api.methods, {}), (api.fuse, lined), (api.compare, lined), (api.metrics, lined)):
        gr.api(endpoint, **limits)  # pyright: ignore[reportPrivateImportUsage]

    demo.load(arrive, None, [strip, methods, sheet, table, *sliders.values()], **quiet)
    demo.load(told, None, about, **quiet)
    report.expand(measured, None, measures, **quiet)
    pressed = fuse_button.click(fuse, inputs, outputs, **heavy)
    pressed.then(pack, state, [csv, archive], **quiet)
    # One at a time: of two at once, the later would write over what the earlier noted among the originals.
    noted: dict[str, Any] = quiet | {"concurrency_id": "upload", "concurrency_limit": 1}
    for slot in (under, over):
        slot.upload(show_upload, [slot, originals], [slot, originals, several, status], **noted)
    taken = strip.select(take_example, None, [under, over, several], **quiet)
    fused = taken.then(fuse, inputs, outputs, **heavy)
    fused.then(pack, state, [csv, archive], **quiet)
    stop_button.click(stop, **quiet)
    metrics.change(redraw, [state, metrics], sheet, **quiet)
    mapped = sheet.select(weigh, state, [with_maps, status], **quiet)
    mapped.then(take_weighed, [state, with_maps, metrics], [state, sheet], **quiet)
    methods.change(offer, methods, [accordion, *groups.values()], **quiet)
    choices = [methods, exact, align, deghost, *sliders.values()]
    for button, preset in zip(pressed_presets, PRESETS, strict=True):
        button.click(partial(take_preset, preset), None, choices, **quiet)
    for side in (left, right):
        side.input(slide, [state, left, right], slider, **quiet)

# What waits there are mostly pages that open, two events each; jobs wait in `line`.
demo.queue(max_size=256, api_open=False, default_concurrency_limit=4)


def theme() -> themes.Base:
    """Neutral greys, as around any photograph; amber marks what stands out."""
    base = themes.Base(
        primary_hue="amber",
        neutral_hue="zinc",
        # The semibold files that Gradio brings lack most letters.
        font=[themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "sans-serif"],
        font_mono=[themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "monospace"],
    )
    return base.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*neutral_900",
        button_primary_background_fill_dark="*neutral_100",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_background_fill_hover_dark="*neutral_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_900",
    )


def launch_settings() -> dict[str, Any]:
    """What `demo.launch` is given, by the program and by the tests."""
    return server.settings(guards, line, benchmark.report()) | {
        "theme": theme(),
        "i18n": i18n,
        "css": part("page.css"),
        "mcp_server": find_spec("mcp") is not None,
    }


def main() -> None:
    """Serve the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    parser.add_argument("--report", metavar="DIR", help="a benchmark's report to show (default: docs/benchmark)")
    options = parser.parse_args()
    if options.report:
        os.environ[benchmark.REPORT] = options.report
    if not spaces:  # where a GPU is lent call by call, there is none to warm up
        Thread(target=warm_up, daemon=True).start()
    server.log_plainly()
    upload_dir.settle(line.folder)
    launch = partial(demo.launch, server_name=options.host, server_port=options.port, **launch_settings())
    server.serve(launch, demo.close, guards, line)


if __name__ == "__main__":
    main()
