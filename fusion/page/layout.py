"""What the page consists of, and which handler answers to what."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes

from fusion.methods import METHODS
from fusion.metrics import METRICS
from fusion.page import modules, texts, upload_dir, views
from fusion.page.api import Api
from fusion.page.gradio_internals import I18nData, endpoint
from fusion.page.handlers import Handlers, Parts
from fusion.page.presets import PRESETS
from fusion.page.services import Services
from fusion.page.uploads import Tray

TICKED = ["virtual-bracket", "pyramef", "lemamba", "mambamef", "mertens"]
"""The methods that are ticked at first: the best ones, the one the project is named after, and the classic."""


def build(services: Services) -> gr.Blocks:
    """Make the page. Its handlers and its API work with these services."""
    say = gr.I18n(**texts.labels())
    seconds = upload_dir.SWEEP_SECONDS, upload_dir.KEPT_SECONDS
    with gr.Blocks(title="MambaMEF", fill_width=True, delete_cache=seconds) as demo:
        tray, state, with_maps = (gr.State(time_to_live=upload_dir.KEPT_SECONDS) for _ in range(3))
        gr.HTML(
            say("page.tagline"),
            label=say("page.language"),
            html_template=_part("header.html"),
            js_on_load=modules.start("header.js"),
            apply_default_css=False,
        )
        chosen = gr.HTML(
            views.tray(Tray()),
            text=texts.ENGLISH,
            html_template=_part("tray.html"),
            css_template=_part("tray.css"),
            js_on_load=modules.start("tray.js", "take", "leave", "empty"),
            apply_default_css=False,
            elem_id="tray",
        )
        strip = gr.HTML(
            [],
            label=say("page.examples"),
            html_template=_part("strip.html"),
            css_template=_part("strip.css"),
            js_on_load=modules.start("strip.js", "select"),
            apply_default_css=False,
            elem_id="strip",
        )
        with gr.Row(elem_id="actions"):
            fuse = gr.Button(say("page.fuse"), variant="primary", elem_id="fuse", min_width=140, scale=0)
            stop = gr.Button(say("page.stop"), elem_id="stop", min_width=80, scale=0)
            status = gr.HTML(
                {},
                html_template=_part("status.html"),
                js_on_load=modules.start("status.js", "offer"),
                apply_default_css=False,
                elem_id="status",
            )
        with gr.Accordion(say("page.settings"), open=False, elem_id="settings"):
            with gr.Row(elem_id="presets"):
                presets = [gr.Button(say(f"page.preset_{preset.name}"), size="sm", min_width=90) for preset in PRESETS]
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
            with gr.Row():
                align = gr.Checkbox(True, label=say("page.align"), info=say("page.align_info"), elem_id="align")
                deghost = gr.Checkbox(True, label=say("page.deghost"), info=say("page.deghost_info"), elem_id="deghost")
                deghost_all = gr.Checkbox(
                    label=say("page.deghost_all"), info=say("page.deghost_all_info"), elem_id="deghost-all"
                )
                published = gr.Checkbox(
                    label=say("page.published_colour"), info=say("page.published_colour_info"), elem_id="published"
                )
                exact = gr.Checkbox(
                    label=say("page.exact"),
                    info=say("page.exact_info"),
                    elem_id="exact",
                    visible=services.session.device == "cpu",
                )
            with gr.Accordion(say("page.options"), open=False, elem_id="options") as accordion:
                groups, sliders = _sliders(services, say)
            with gr.Accordion(say("page.metrics"), open=False):
                metrics = gr.CheckboxGroup(
                    [(metric.titled, metric.name) for metric in views.FOLDED],
                    value=[metric.name for metric in views.FOLDED],
                    label=say("page.metrics_shown"),
                    elem_id="metrics",
                )

        saved = gr.HTML(
            {},
            html_template=_part("saved.html"),
            js_on_load=modules.start("saved.js"),
            apply_default_css=False,
            elem_id="saved",
        )
        sheet = gr.HTML(
            text=texts.ENGLISH,
            html_template=_part("sheet.html"),
            css_template="\n".join(map(_part, (modules.SHARED / "zoom.css", "viewer.css", "sheet.css", "tools.css"))),
            js_on_load=modules.start("sheet.js", "select", "save"),
            apply_default_css=False,
            elem_id="sheet",
        )

        with gr.Column(visible=False) as details:
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

        switches = [exact, align, deghost, deghost_all, published, *sliders.values()]
        handlers = Handlers(
            services,
            Parts(tray, chosen, strip, state, status, sheet, methods, switches, sliders, details, table, csv, archive),
            demo,
        )

        inputs = [tray, methods, metrics, *switches]
        outputs = [state, strip, sheet, status, details, table, csv, archive]
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

        filled = [tray, chosen, status]
        demo.load(handlers.arrive, None, [*filled, methods, *switches, *outputs], **quiet)
        demo.load(handlers.show_about, None, about, **quiet)
        benchmark.expand(handlers.show_benchmark, None, measures, **quiet)
        # One at a time: of two at once, the later would not know what the earlier has added.
        one: dict[str, Any] = quiet | {"concurrency_id": "tray", "concurrency_limit": 1, "trigger_mode": "multiple"}
        chosen.take(handlers.add, tray, filled, **one)
        chosen.leave(handlers.remove, tray, filled, **one)
        chosen.empty(handlers.clear, None, filled, **one)
        taken = strip.select(handlers.take_example, None, filled, **one)
        stop.click(handlers.stop, **quiet)
        offered = status.offer(handlers.take_offer, None, [align, deghost, deghost_all], **quiet)
        for begin in (fuse.click, taken.then, offered.then):
            begin(handlers.fuse, inputs, outputs, **heavy).then(handlers.pack, state, [csv, archive], **quiet)
        metrics.change(handlers.redraw, [state, metrics], sheet, **quiet)
        mapped = sheet.select(handlers.weigh, state, [with_maps, status], **quiet)
        mapped.then(handlers.take_weighed, [state, with_maps, metrics], [state, sheet], **quiet)
        sheet.save(handlers.save, state, [saved, status], **quiet, **queued)
        methods.change(handlers.show_options, methods, [accordion, *groups], **quiet)
        for button, preset in zip(presets, PRESETS, strict=True):
            button.click(partial(handlers.take_preset, preset), None, [methods, *switches], **quiet)

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
