"""What the page consists of, and which handler answers to what."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes

from fusion.methods import METHODS
from fusion.metrics import METRICS, score
from fusion.page import modules, texts, upload_dir, uploads, views
from fusion.page.api import Api
from fusion.page.gradio_internals import I18nData, ImageData, endpoint
from fusion.page.handlers import Handlers, Parts
from fusion.page.presets import PRESETS
from fusion.page.services import Services

FOLDED = [metric for metric in views.by_agreement(METRICS) if metric is not score.METRIC]
"""The metrics that a visitor can have behind "Metrics" under each picture. The score always stands there."""
TICKED = ["pyramef", "lemamba", "mambamef", "meflut", "mertens"]
"""The methods that are ticked at first: the best ones, the one the project is named after, and the classic."""


def build(services: Services) -> gr.Blocks:
    """Make the page. Its handlers and its API work with these services."""
    say = gr.I18n(**texts.labels())
    seconds = upload_dir.SWEEP_SECONDS, upload_dir.KEPT_SECONDS
    with gr.Blocks(title="MambaMEF", fill_width=True, delete_cache=seconds) as demo:
        state, with_maps = (gr.State(time_to_live=upload_dir.KEPT_SECONDS) for _ in range(2))
        gr.HTML(
            say("page.tagline"),
            label=say("page.language"),
            html_template=_part("header.html"),
            js_on_load=modules.start("header.js"),
            apply_default_css=False,
        )

        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                with gr.Row():
                    under = _slot("under", say)
                    over = _slot("over", say)
                with gr.Accordion(say("page.more"), open=False, elem_id="more"):
                    several = gr.File(
                        label=say("page.several"),
                        file_count="multiple",
                        file_types=uploads.SEVERAL,
                        elem_id="several",
                    )
                # Kept as long as the slots: without it, a preview would be taken for the photograph.
                originals = gr.State({})
            with gr.Column(scale=2, min_width=320):
                with gr.Row(elem_id="presets"):
                    presets = [
                        gr.Button(say(f"page.preset_{preset.name}"), size="sm", min_width=90) for preset in PRESETS
                    ]
                methods = gr.CheckboxGroup(
                    [(method.title, method.name) for method in services.available],
                    value=[method.name for method in services.available if method.name in TICKED],
                    label=say("page.methods"),
                    elem_id="methods",
                )
                gr.HTML(
                    views.described(METHODS),
                    label=say("page.described"),
                    html_template=_part("methods.html"),
                    apply_default_css=False,
                )
                exact = gr.Checkbox(
                    label=say("page.exact"),
                    info=say("page.exact_info"),
                    elem_id="exact",
                    visible=services.session.device == "cpu",
                )
                align = gr.Checkbox(True, label=say("page.align"), info=say("page.align_info"), elem_id="align")
                deghost = gr.Checkbox(label=say("page.deghost"), info=say("page.deghost_info"), elem_id="deghost")
                published = gr.Checkbox(
                    label=say("page.published_colour"), info=say("page.published_colour_info"), elem_id="published"
                )
                with gr.Accordion(say("page.options"), open=False, elem_id="options") as accordion:
                    groups, sliders = _sliders(services, say)
                with gr.Row():
                    fuse = gr.Button(say("page.fuse"), variant="primary", elem_id="fuse", min_width=120, scale=2)
                    stop = gr.Button(say("page.stop"), elem_id="stop", min_width=90, scale=1)
                with gr.Accordion(say("page.metrics"), open=False):
                    metrics = gr.CheckboxGroup(
                        [(metric.titled, metric.name) for metric in FOLDED],
                        value=[metric.name for metric in FOLDED],
                        label=say("page.metrics_shown"),
                        elem_id="metrics",
                    )

        _heading(say("page.examples_heading"))
        strip = gr.HTML(
            [],
            label=say("page.examples"),
            html_template=_part("strip.html"),
            css_template=_part("strip.css"),
            js_on_load=modules.start("strip.js"),
            apply_default_css=False,
            elem_id="strip",
        )
        status = gr.HTML({}, html_template=_part("status.html"), apply_default_css=False, elem_id="status")
        sheet = gr.HTML(
            text=texts.ENGLISH,
            html_template=_part("sheet.html"),
            css_template="\n".join(map(_part, (modules.SHARED / "zoom.css", "sheet.css", "tools.css"))),
            js_on_load=modules.start("sheet.js"),
            apply_default_css=False,
            elem_id="sheet",
        )

        with gr.Column(visible=False) as details:
            _heading(say("page.compared_heading"))
            with gr.Row():
                left = gr.Dropdown(label=say("page.left"), elem_id="left", min_width=140)
                right = gr.Dropdown(label=say("page.right"), elem_id="right", min_width=140)
            slider = gr.ImageSlider(
                type="filepath",
                format="png",
                max_height=620,
                show_label=False,
                buttons=["fullscreen"],
                elem_id="slider",
            )
            _heading(say("page.table_heading"), say("page.table_hint"))
            link = '<p><a href="#measure">{{value}}</a></p>'
            gr.HTML(say("page.measure"), html_template=link, elem_classes="section", apply_default_css=False)
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
                download: dict[str, Any] = {"interactive": False, "size": "md", "scale": 0, "min_width": 170}
                csv = gr.DownloadButton(str(say("page.csv")), elem_id="csv", **download)
                archive = gr.DownloadButton(str(say("page.zip")), elem_id="zip", **download)

        with gr.Accordion(say("page.about"), open=False, elem_id="about"):
            about = gr.Markdown()
        with gr.Accordion(say("page.benchmark"), open=False, elem_id="benchmark") as benchmark:
            measures = gr.HTML({}, html_template=_part("benchmark.html"), apply_default_css=False)

        handlers = Handlers(
            services,
            Parts(state, status, strip, sheet, methods, sliders, details, table, left, right, slider, csv, archive),
            demo,
        )

        switches = [exact, align, deghost, published, *sliders.values()]
        inputs = [under, over, several, originals, methods, metrics, *switches]
        outputs = [state, sheet, status, details, table, left, right, slider, csv, archive]
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # Many may ask at once, visitors and programs. The queue serves one at a time, since a method uses all cores or
        # the only GPU. What has been made before is shown without waiting.
        queued: dict[str, Any] = {"concurrency_id": "fuse", "concurrency_limit": 64}
        heavy: dict[str, Any] = queued | {
            "api_visibility": "private",
            "trigger_mode": "multiple",  # the latest press counts
            "show_progress": "minimal",  # the seconds
            "show_progress_on": status,  # elsewhere it would cover the pictures
        }

        # Endpoints come first, because a handler takes the name of its function even though no program can call it.
        api = Api(services, handlers.visitor)
        for function, limits in ((api.methods, {}), (api.fuse, queued), (api.compare, queued), (api.metrics, queued)):
            endpoint(function, **limits)

        demo.load(handlers.arrive, None, [strip, methods, sheet, table, *sliders.values()], **quiet)
        demo.load(handlers.show_about, None, about, **quiet)
        benchmark.expand(handlers.show_benchmark, None, measures, **quiet)
        pressed = fuse.click(handlers.fuse, inputs, outputs, **heavy)
        pressed.then(handlers.pack, state, [csv, archive], **quiet)
        # One at a time: of two at once, the later would overwrite what the earlier noted among the originals.
        noted: dict[str, Any] = quiet | {"concurrency_id": "upload", "concurrency_limit": 1}
        for slot in (under, over):
            slot.upload(handlers.show_upload, [slot, originals], [slot, originals, several, status], **noted)
        taken = strip.select(handlers.take_example, None, [under, over, several], **quiet)
        fused = taken.then(handlers.fuse, inputs, outputs, **heavy)
        fused.then(handlers.pack, state, [csv, archive], **quiet)
        stop.click(handlers.stop, **quiet)
        metrics.change(handlers.redraw, [state, metrics], sheet, **quiet)
        mapped = sheet.select(handlers.weigh, state, [with_maps, status], **quiet)
        mapped.then(handlers.take_weighed, [state, with_maps, metrics], [state, sheet], **quiet)
        methods.change(handlers.show_options, methods, [accordion, *groups], **quiet)
        for button, preset in zip(presets, PRESETS, strict=True):
            button.click(partial(handlers.take_preset, preset), None, [methods, *switches], **quiet)
        for side in (left, right):
            side.input(handlers.slide, [state, left, right], slider, **quiet)

    # Mostly pages that open wait in Gradio's queue, each with two events; jobs wait in ours.
    return demo.queue(max_size=256, api_open=False, default_concurrency_limit=4)


def appearance() -> dict[str, Any]:
    """Arguments of `Blocks.launch` that say how the page looks."""
    # Neutral greys, as around any photograph; amber marks what stands out.
    base = themes.Base(
        primary_hue="amber",
        neutral_hue="zinc",
        # The semibold files that Gradio brings lack most letters.
        font=[themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "sans-serif"],
        font_mono=[themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "monospace"],
    )
    theme = base.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*neutral_900",
        button_primary_background_fill_dark="*neutral_100",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_background_fill_hover_dark="*neutral_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_900",
    )
    return {"theme": theme, "i18n": gr.I18n(**texts.labels()), "css": _part("page.css")}


def _part(name: str | Path) -> str:
    """Read a template: one of the page's by its name, any other by its path."""
    return (modules.PAGE / name).read_text(encoding="utf-8")


def _slot(name: str, say: gr.I18n) -> gr.Image:
    """Make a slot that passes its file on unchanged. Without the last line, gr.Image would decode the file first."""
    slot = gr.Image(
        label=say(f"page.{name}"),
        placeholder=str(say(f"page.{name}_place")),
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


def _heading(text: I18nData, hint: I18nData | None = None) -> None:
    """Make the heading of a section."""
    template = "<h2>{{value}}</h2><p>{{label}}</p>"
    gr.HTML(text, label=hint, html_template=template, elem_classes="section", apply_default_css=False)


def _sliders(services: Services, say: gr.I18n) -> tuple[list[gr.Column], dict[str, gr.Slider]]:
    """Make a group of sliders for each method that has options; the sliders go by `METHOD.OPTION`."""
    groups: dict[str, gr.Column] = {}
    sliders: dict[str, gr.Slider] = {}
    for method, option in services.offered:
        if method.name not in groups:
            with gr.Column(visible=method.name in TICKED) as groups[method.name]:
                gr.Markdown(f"**{method.title}**")
        with groups[method.name]:
            sliders[f"{method.name}.{option.name}"] = gr.Slider(
                option.low,
                option.high,
                option.default,
                step=0.05,
                label=say(f"page.option_{option.name}"),
                info=say(f"page.option_{option.name}_info"),
                elem_id=f"{method.name}-{option.name}",
            )
    return list(groups.values()), sliders
