"""Commands for one scene: list the methods, fuse, compare and measure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.cli.options import (
    Align,
    AsJson,
    Bits,
    Black,
    Brightness,
    Colour,
    Contrast,
    Deghost,
    Detail,
    Format,
    Gamut,
    KeepLocation,
    KeepMetadata,
    MemoryMb,
    Method,
    MethodOptions,
    Methods,
    Mode,
    More,
    OptionsOfMethods,
    Over,
    Panorama,
    PublishedColour,
    Quality,
    Repair,
    Under,
    White,
    chosen,
    file_name,
    refuse_to_overwrite,
    settings,
)
from fusion.cli.output import print_json, print_rows, progress, say
from fusion.errors import FusionError, WeightsError

if TYPE_CHECKING:
    from fusion.pipeline import Event, Scored


def methods(*, as_json: AsJson = False) -> int:
    """List the fusion methods, their options, and why one is not available.

    Example: python -m fusion methods
    """
    from fusion.methods import METHODS
    from fusion.outputs.tables import method_row

    print_rows([method_row(method) for method in METHODS], as_json=as_json)
    return 0


def fuse(
    under: Under,
    over: Over,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="FILE",
            help="Write the picture to this file; its ending (.png, .tif, .jpg, .exr) decides the format. In a folder, "
            "the file is named after the photographs and the method, and it is a JPEG unless --format says otherwise.",
        ),
    ],
    more: More = None,
    *,
    method: Method = "virtual-bracket",
    option: MethodOptions = None,
    align: Align = True,
    repair: Repair = True,
    deghost: Deghost = None,
    panorama: Panorama = "auto",
    mode: Mode = "auto",
    published_colour: PublishedColour = False,
    brightness: Brightness = 0,
    contrast: Contrast = 0,
    colour: Colour = 0,
    detail: Detail = 0,
    black: Black = 0,
    white: White = 0,
    memory_mb: MemoryMb = None,
    file_format: Format = None,
    bits: Bits = 8,
    quality: Quality = 95,
    keep_metadata: KeepMetadata = False,
    keep_location: KeepLocation = False,
    gamut: Gamut = "srgb",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            parser=file_name,
            metavar="FILE",
            help="Also write a picture to this file that shows which exposure counts where, from the darkest in blue "
            "to the brightest in yellow.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Fuse two to nine exposures of one scene with one method, and write the picture to a file.

    Example: python -m fusion fuse dark.jpg bright.jpg -o fused.png
    """
    from fusion.io.image import save
    from fusion.io.saving import ENDINGS, format_of
    from fusion.methods import method_named
    from fusion.outputs.drawings import draw_weights
    from fusion.outputs.names import free_path, result_name
    from fusion.pipeline import Session

    if (reason := method_named(method).unavailable) is not None:
        raise WeightsError(reason)
    sources = (under, over, *(more or ()))
    if out.is_dir():
        file_format = file_format or "jpeg"
        out = free_path(out, result_name(sources, method, ENDINGS[file_format][0]))
    file_format = format_of(out, file_format)
    refuse_to_overwrite(sources, filter(None, (out, weights)))
    wanted = settings(
        option,
        method=method,
        align=align,
        repair=repair,
        deghost=deghost,
        panorama=panorama,
        mode=mode,
        published_colour=published_colour,
        finish=(brightness, contrast, colour, detail, black, white),
        memory_mb=memory_mb,
        file_format=file_format,
        bits=bits,
        quality=quality,
        keep_metadata=keep_metadata,
        keep_location=keep_location,
        gamut=gamut,
    )
    with Session() as session:
        scene = session.prepare(sources, wanted)
        _say_all(scene.notes)
        if weights:  # first: a method that has no weight maps is refused before anything is written
            save(draw_weights(session.weight_maps(scene.pair, method, wanted)), weights)
        with progress(method, 1) as move:
            fused = session.fuse(scene, method, wanted, progress=lambda share: move(completed=share))
    _say_all(fused.notes)
    origin, notes = scene.origin(wanted.saving), (*scene.notes, *fused.notes)
    del scene  # which may take more than a gigabyte
    wanted.saving.write(fused.photo, out, origin)
    height, width = fused.photo.shape[-2:]
    say(f"Wrote {out}, {width} × {height} pixels.")
    if as_json:
        print_json({"method": method, "out": str(out), "notes": notes})
    return 0


def compare(
    under: Under,
    over: Over,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="DIR",
            help="Write the pictures, metrics.csv and an overview, contact.png, to this folder.",
        ),
    ],
    more: More = None,
    *,
    methods: Methods = None,
    option: OptionsOfMethods = None,
    align: Align = True,
    repair: Repair = True,
    deghost: Deghost = None,
    panorama: Panorama = "auto",
    mode: Mode = "auto",
    published_colour: PublishedColour = False,
    brightness: Brightness = 0,
    contrast: Contrast = 0,
    colour: Colour = 0,
    detail: Detail = 0,
    black: Black = 0,
    white: White = 0,
    memory_mb: MemoryMb = None,
    file_format: Format = None,
    bits: Bits = 8,
    quality: Quality = 95,
    keep_metadata: KeepMetadata = False,
    keep_location: KeepLocation = False,
    gamut: Gamut = "srgb",
    profile: Annotated[bool, typer.Option("--profile", help="Print how many seconds each step took.")] = False,
    as_json: AsJson = False,
) -> int:
    """Fuse two to nine exposures of one scene with several methods, and measure each picture.

    Every method's picture, the table metrics.csv and an overview of all pictures are written to a folder.

    Example: python -m fusion compare dark.jpg bright.jpg -m virtual-bracket,pyramef -o compared
    """
    from fusion.io.image import save
    from fusion.metrics import METRICS
    from fusion.outputs.drawings import contact_sheet
    from fusion.outputs.tables import metrics_csv
    from fusion.pipeline import Failed, Fused, Loaded, Scored
    from fusion.pipeline import compare as compared

    names, sources = chosen(methods), (under, over, *(more or ()))
    wanted = settings(
        option,
        align=align,
        repair=repair,
        deghost=deghost,
        panorama=panorama,
        mode=mode,
        published_colour=published_colour,
        finish=(brightness, contrast, colour, detail, black, white),
        memory_mb=memory_mb,
        file_format=file_format,
        bits=bits,
        quality=quality,
        keep_metadata=keep_metadata,
        keep_location=keep_location,
        gamut=gamut,
    )
    files = {name: out / f"{name}{wanted.saving.ending}" for name in names}
    refuse_to_overwrite(sources, [*files.values(), out / "metrics.csv", out / "contact.png"])
    out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Any] = {}
    steps: list[tuple[str, float]] = []
    notes: tuple[str, ...] = ()
    scored: list[Scored] = []
    failed = False
    origin = None
    for event in compared(under, over, names, more=more or (), settings=wanted):
        _tell(event)
        pictures |= _pictures(event)
        steps += _steps(event)
        if isinstance(event, Loaded):
            origin, notes = event.scene.origin(wanted.saving), event.scene.notes
        elif isinstance(event, Fused):
            start = time.perf_counter()
            wanted.saving.write(event.photo, files[event.method.name], origin)
            steps.append((f"{event.method.name}: saving", time.perf_counter() - start))
        elif isinstance(event, Scored):
            scored.append(event)
        failed = failed or isinstance(event, Failed)
    (out / "metrics.csv").write_text(metrics_csv(scored, METRICS), encoding="utf-8")
    save(contact_sheet(pictures), out / "contact.png", gamut=origin.gamut if origin else "srgb")
    rows = [{"method": one.method.name, "seconds": one.fused.seconds, **one.scores} for one in scored]
    if as_json:
        rows = [row | {"notes": (*notes, *one.fused.notes)} for row, one in zip(rows, scored, strict=True)]
    print_rows(rows, as_json=as_json)
    if profile:
        _say_all(f"{seconds:8.3f} s  {step}" for step, seconds in steps)
    return 1 if failed else 0


def metrics(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            parser=file_name,
            metavar="UNDER OVER [MORE ...] FUSED",
            help="Read two to nine exposures of one scene, in any order, and measure the picture in the last file.",
        ),
    ],
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Measure this metric alone, such as mef_ssim. Repeat it for several metrics; the default is all.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure a fused picture against its exposures, and print each metric and what it means.

    Metrics that are defined for two exposures compare with the darkest and the brightest; the score, MEF-SSIM, VIF
    and some others look at all of them.

    Example: python -m fusion metrics dark.jpg bright.jpg fused.png --metric mef_ssim
    """
    from fusion.benchmark.measure import measure_files
    from fusion.metrics import BENCHMARK

    if len(pictures) < 3:
        raise FusionError("Give two or more exposures and the fused picture, which comes last.")
    known = {one.name: one for one in BENCHMARK}
    for name in metric or ():
        if name not in known:
            raise FusionError(f"There is no metric called {name}; choose from {', '.join(known)}.")
    wanted = [known[name] for name in dict.fromkeys(metric or known)]
    scores = measure_files(pictures[:-1], pictures[-1], wanted)
    if as_json:
        print_json(scores)
    else:
        print_rows([{"metric": one.name, "value": scores[one.name], "meaning": one.meaning} for one in wanted])
    return 0


def _say_all(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        say(sentence)


def _tell(event: Event) -> None:
    """Say what happens, and every note."""
    from fusion.pipeline import Failed, Fused, Loaded, Running

    if isinstance(event, Loaded):
        _say_all(event.scene.notes)
    elif isinstance(event, Running):
        say(f"{event.method.title} ...")
    elif isinstance(event, Fused):
        _say_all(event.notes)
    elif isinstance(event, Failed):
        say(f"{event.method.title}: {event.reason}")


def _pictures(event: Event) -> dict[str, Any]:
    """Return the pictures that come with an event, by their titles in the overview."""
    from fusion.pipeline import Corrected, Fused, Loaded

    if isinstance(event, Loaded):
        return {"under": event.scene.pair.under, "over": event.scene.pair.over}
    if isinstance(event, Corrected):
        return {"under, IAT": event.under, "over, IAT": event.over}
    return {event.method.title: event.photo} if isinstance(event, Fused) else {}


def _steps(event: Event) -> list[tuple[str, float]]:
    """The steps that an event ends, with their seconds."""
    from fusion.pipeline import Corrected, Fused, Loaded, Scored

    if isinstance(event, Loaded):
        return [("reading and aligning", event.scene.seconds)]
    if isinstance(event, Corrected):
        return [("correcting the exposure", event.seconds)]
    if isinstance(event, Fused):
        return [(f"{event.method.name}: fusing", event.seconds)]
    return [(f"{event.method.name}: measuring", event.seconds)] if isinstance(event, Scored) else []
