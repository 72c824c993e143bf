"""The command for a folder of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    Mode,
    PublishedColour,
    Quality,
    Repair,
    White,
    file_name,
    refuse_to_overwrite,
    settings,
)
from fusion.cli.output import print_json, print_rows, progress, say

if TYPE_CHECKING:
    from fusion.exposures.brackets import Bracket, Skipped
    from fusion.folders.results import BracketResult, FolderRun


def fuse_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=file_name,
            metavar="IN",
            help="Look for pictures in this folder and in the folders below it.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="OUT",
            help="Write the pictures and report.html to this folder: a new one, or one that an earlier run began.",
        ),
    ],
    *,
    method: Method = "virtual-bracket",
    option: MethodOptions = None,
    align: Align = True,
    repair: Repair = True,
    deghost: Deghost = None,
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
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Fuse this many scenes at the same time. The default is 1, or with --engine ray as many as fit.",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="Work on this computer, or with Ray on several computers or GPUs."),
    ] = "local",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the scenes that are found, and fuse nothing."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Fuse every pair and bracket of exposures in a folder, and write the pictures and a report to another folder.

    Scenes that an earlier run finished with the same settings are kept, and a scene that fails stops no other one.

    Example: python -m fusion fuse-folder photographs -o fused
    """
    from fusion.exposures.brackets import find_brackets, shown

    brackets, skipped = find_brackets(folder)
    _list(brackets, skipped, as_result=dry_run, as_json=as_json)
    if dry_run:
        return 0

    from fusion.folders.results import FailedBracket, FolderRun
    from fusion.folders.run import fuse_folder

    wanted = settings(
        option,
        method=method,
        align=align,
        repair=repair,
        deghost=deghost,
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
    run = FolderRun(folder, out, method, wanted)
    refuse_to_overwrite((folder / file for one in brackets for file in one.files), map(run.result_path, brackets))
    with progress(method, len(brackets)) as move:
        outcomes = fuse_folder(brackets, run, skipped=skipped, jobs=jobs, engine=engine, done=lambda _: move(advance=1))
    failed = [
        {"scene": shown(one.bracket.name), "reason": one.reason} for one in outcomes if isinstance(one, FailedBracket)
    ]
    rows = _rows(outcomes, run, in_full=as_json)
    if as_json:
        print_json({"done": rows, "failed": failed, "skipped": _skipped(skipped)})
    else:
        print_rows(rows)
    _say_notes(outcomes)
    for one in failed:
        say(f"{one['scene']}: {one['reason']}")
    return 1 if failed else 0


def _list(brackets: Sequence[Bracket], skipped: Sequence[Skipped], *, as_result: bool, as_json: bool) -> None:
    """Tell which scenes were found and which pictures were skipped, as the command's result or as messages."""
    from fusion.exposures.brackets import shown

    found = [
        {"scene": shown(one.name), "found_by": one.found_by, "files": [*map(shown, one.files)]} for one in brackets
    ]
    left = _skipped(skipped)
    if as_result and as_json:
        print_json({"brackets": found, "skipped": left})
    elif as_result:
        print_rows([{**row, "files": ", ".join(row["files"])} for row in found])
    else:
        for row in found:
            say(f"{row['scene']}, by {row['found_by']}: {', '.join(row['files'])}")
    for one in left:
        say(f"skipped {one['file']}: {one['reason']}")
    say(f"{len(found)} scenes, {len(left)} pictures skipped.")


def _skipped(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    from fusion.exposures.brackets import shown

    return [{"file": shown(one.file), "reason": one.reason} for one in skipped]


def _rows(outcomes: Sequence[BracketResult], run: FolderRun, *, in_full: bool) -> list[dict[str, Any]]:
    """A row for each picture, with its notes and metrics where it is told in full."""
    from fusion.exposures.brackets import shown
    from fusion.folders.results import FusedBracket

    return [
        {"scene": shown(one.bracket.name), "result": shown(run.result_path(one.bracket)), "kept": one.kept}
        | ({"notes": one.record.notes, **one.record.scores} if in_full else {})
        for one in outcomes
        if isinstance(one, FusedBracket)
    ]


def _say_notes(outcomes: Sequence[BracketResult]) -> None:
    """Print the notes of the pictures that this run made."""
    from fusion.exposures.brackets import shown
    from fusion.folders.results import FusedBracket

    for one in outcomes:
        for note in one.record.notes if isinstance(one, FusedBracket) and not one.kept else ():
            say(f"{shown(one.bracket.name)}: {note}")
