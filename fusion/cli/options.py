"""Arguments and options that several commands share, and the `Settings` that they stand for.

Nothing here loads PyTorch, so that `--help` and a wrong option are answered at once.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from fusion.errors import FusionError

if TYPE_CHECKING:
    from fusion.settings import Settings


def _control(name: str, text: str) -> Any:
    return typer.Option(name, min=-1, max=1, metavar="N", help=text)


class Assignment(NamedTuple):
    """A name and a number, given as `contrast=0.5`."""

    name: str
    value: float


def assignment(text: str) -> Assignment:
    """Read `NAME=NUMBER`. Raises `typer.BadParameter` for anything else."""
    name, equals, value = text.partition("=")
    try:
        return Assignment(name.strip(), float(value))
    except ValueError:
        what = "a number" if equals else "a name and a value, such as contrast=0.5"
        raise typer.BadParameter(f"give {what}, not {text}") from None


def amount(text: str) -> float:
    """Read a number above 0. Raises `typer.BadParameter` for anything else."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise typer.BadParameter("give a number above 0")


def file_name(text: str) -> Path:
    """Read the name of a file or a folder. Raises `typer.BadParameter` for a name that the system cannot hold."""
    try:
        os.lstat(text)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise typer.BadParameter(f"the name {text[:24]}… is too long for this system; give a shorter one") from None
    return Path(text)


Under = Annotated[
    Path,
    typer.Argument(parser=file_name, metavar="UNDER", help="Read an exposure from this file, usually the darkest one."),
]
Over = Annotated[
    Path,
    typer.Argument(parser=file_name, metavar="OVER", help="Read another exposure of the same scene from this file."),
]
More = Annotated[
    list[Path] | None,
    typer.Argument(
        parser=file_name,
        metavar="MORE",
        help="Read further exposures from these files, up to nine in all. The exposures may come in any order.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
Align = Annotated[
    bool,
    typer.Option(
        "--align/--no-align",
        help="Align exposures that were taken by hand. With --no-align, leave them as they are.",
    ),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair/--no-repair",
        help="Replace hot pixels, and even out a white balance that changes between the exposures.",
    ),
]
Deghost = Annotated[
    bool | None,
    typer.Option(
        "--deghost/--no-deghost",
        help="Remove things that moved between the exposures. With --no-deghost, remove nothing. Without either, "
        "remove what certainly moved: large things in three or more exposures.",
    ),
]
Panorama = Annotated[
    Literal["auto", "full-turn", "no"],
    typer.Option(
        "--panorama",
        help="Say whether the exposures are panoramas of a full turn, which have no seam where their sides meet. With "
        "auto, they are if they are twice as wide as high and their sides agree.",
    ),
]
Mode = Annotated[
    Literal["auto", "exact", "fast"],
    typer.Option(
        "--mode",
        help="Choose the size at which networks compute: exact is full size, fast is a copy of at most 3 megapixels, "
        "and auto is fast for pictures above 4.5 megapixels on a processor.",
    ),
]
PublishedColour = Annotated[
    bool,
    typer.Option(
        "--published-colour",
        help="Merge colours as the method's authors do, where it fuses brightness alone. Without this, they are taken "
        "from the exposures that hold them.",
    ),
]
MemoryMb = Annotated[
    int | None,
    typer.Option(
        "--memory-mb",
        min=1,
        metavar="MB",
        help="Let a network use this many megabytes of memory on the processor. The default is half of what is free.",
    ),
]
Method = Annotated[
    str,
    typer.Option("-m", "--method", metavar="NAME", help="Fuse with this method; the command methods lists them all."),
]
Methods = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--methods",
        metavar="NAME,NAME",
        help="Use these methods, separated by commas. The default is every method that is available.",
    ),
]
MethodOptions = Annotated[
    list[Assignment] | None,
    typer.Option(
        "-O",
        "--option",
        parser=assignment,
        metavar="OPTION=VALUE",
        help="Set an option of the method, such as contrast=0.5; the command methods lists them. "
        "Repeat it for several options.",
    ),
]
OptionsOfMethods = Annotated[
    list[Assignment] | None,
    typer.Option(
        "-O",
        "--option",
        parser=assignment,
        metavar="METHOD.OPTION=VALUE",
        help="Set an option of a method, such as mertens.contrast=0.5; the command methods lists them. "
        "Repeat it for several options.",
    ),
]
Format = Annotated[
    Literal["jpeg", "png", "tiff", "ultra-hdr", "exr"] | None,
    typer.Option(
        "--format",
        help="Save each picture in this format. An ultra-hdr file is a JPEG that is brighter on HDR displays, and an "
        "exr file holds the light of the scene instead of the picture. The default is what the ending of a file's name "
        "says, or png.",
    ),
]
Brightness = Annotated[float, _control("--brightness", "Make the picture brighter, up to 1, or darker, down to -1.")]
Contrast = Annotated[
    float,
    _control("--contrast", "Spread bright and dark, up to 1, or bring them closer, down to -1."),
]
Colour = Annotated[float, _control("--colour", "Make colours stronger, up to 1, or weaker, down to grey at -1.")]
Detail = Annotated[float, _control("--detail", "Make the picture crisper, up to 1, or softer, down to -1.")]
Black = Annotated[float, _control("--black", "Make dark greys black, up to 1, or black a dark grey, down to -1.")]
White = Annotated[float, _control("--white", "Make light greys white, up to 1, or white a light grey, down to -1.")]
Bits = Annotated[Literal[8, 16], typer.Option("--bits", help="Save this many bits for each channel of a PNG or TIFF.")]
Quality = Annotated[
    int,
    typer.Option("--quality", min=0, max=100, metavar="N", help="Save a JPEG with this quality, 0 to 100."),
]
KeepMetadata = Annotated[
    bool,
    typer.Option(
        "--keep-metadata",
        help="Write the camera's data and the colour profile of the middle exposure into the file.",
    ),
]
Gamut = Annotated[
    Literal["srgb", "display-p3"],
    typer.Option(
        "--gamut",
        help="Save colours as sRGB, or as Display P3 if an exposure has colours that sRGB lacks.",
    ),
]
KeepLocation = Annotated[
    bool,
    typer.Option(
        "--keep-location",
        help="Write the camera's data into the file, and where the photograph was taken.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Work on this many scenes at the same time.")]
Megapixels = Annotated[
    list[float],
    typer.Option(
        "--megapixels",
        parser=amount,
        metavar="MP",
        help="Fuse pictures of these sizes, in megapixels, separated by spaces.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Start the random numbers from this seed, 0 or more.")]


def settings(
    options: Sequence[Assignment] | None = None,
    *,
    method: str = "",
    align: bool = True,
    repair: bool = True,
    deghost: bool | None = None,
    panorama: Literal["auto", "full-turn", "no"] = "auto",
    mode: Literal["auto", "exact", "fast"] = "auto",
    published_colour: bool = False,
    finish: Sequence[float] = (),
    memory_mb: int | None = None,
    file_format: Literal["jpeg", "png", "tiff", "ultra-hdr", "exr"] | None = None,
    bits: Literal[8, 16] = 8,
    quality: int = 95,
    keep_metadata: bool = False,
    keep_location: bool = False,
    gamut: Literal["srgb", "display-p3"] = "srgb",
) -> Settings:
    """The settings that a command line asks for. `options` are those of `method`, or are named `METHOD.OPTION`.

    `finish` are the values of `Finish`, in its order.

    Raises `FusionError` for an unknown method or option, and for a value out of range.
    """
    from fusion.io.saving import Saving
    from fusion.methods.finish import Finish
    from fusion.pipeline import by_method
    from fusion.settings import Settings

    return Settings(
        align=align,
        repair=repair,
        ghosts="auto" if deghost is None else "remove" if deghost else "mark",
        panorama=panorama,
        mode=mode,
        colour="published" if published_colour else "natural",
        options=by_method((f"{method}.{name}" if method else name, value) for name, value in options or ()),
        finish=Finish(*finish),
        memory_mb=memory_mb,
        saving=Saving(file_format or "png", bits, quality, keep_metadata or keep_location, keep_location, gamut),
    )


def chosen(methods: str | None) -> list[str]:
    """The methods that are named, separated by commas, each once; all that are available where none is asked for.

    Raises `FusionError` for an unknown method, and where no name is given.
    """
    from fusion.methods import METHODS, method_named

    if methods is None:
        return [method.name for method in METHODS if method.unavailable is None]
    names = [name.strip() for name in methods.split(",") if name.strip()]
    if not names:
        raise FusionError("Name at least one method, such as -m mertens.")
    return [method_named(name).name for name in dict.fromkeys(names)]


def refuse_to_overwrite(sources: Iterable[Path], results: Iterable[Path]) -> None:
    """Raise `FusionError` where a result would replace a source, be it under another path or through a link."""
    exposures = {_identity(source): source for source in sources if source.exists()}
    for result in results:
        if result.exists() and (source := exposures.get(_identity(result))):
            raise FusionError(f"{result} would replace the exposure {source}; give another name for the result.")


def _identity(file: Path) -> tuple[int, int]:
    """The numbers of a file, which are the same under each of its names."""
    status = file.stat()
    return status.st_dev, status.st_ino
