"""How exactly each file format is read and written: one program writes a picture, another reads it.

    python -m fusion.benchmark.experiments.formats examples/goldengate/under.png > docs/formats.md

The upper left 384 × 512 pixels of the picture are smoothed a little, so that they have levels between those of 8 bits.
The files that are read here were written by Pillow, OpenCV, tifffile and the program heif-enc (Debian's
libheif-examples); the RAW file comes from `fusion.benchmark.experiments.dng` and needs the package rawpy. The files
that are written here are read by OpenCV.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import tifffile
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from fusion.benchmark.experiments.command import run
from fusion.benchmark.experiments.dng import bayer, negative
from fusion.io.colour_space import from_srgb_to_display_p3
from fusion.io.encode import encode
from fusion.io.image import encoded, load

Pixels: TypeAlias = NDArray[Any]
"""(H, W, 3): uint8, uint16, or float32 from 0 to 1."""

DURATION = "This takes a few seconds."
TEXT = """The tables compare what a file holds with what is read from it, over a part of an example. They are printed by
`python -m fusion.benchmark.experiments.formats examples/goldengate/under.png`;
[its file](../fusion/benchmark/experiments/formats.py) says which program writes and which reads. HEIC and AVIF store
YCbCr, which rounds even where the coding is lossless. RAW differs at edges, where the sensor's colour filters saw only
one of three channels.

A result is saved as JPEG with a quality, as PNG or TIFF of 8 or 16 bits, as Ultra HDR, or its light as OpenEXR: by
`--format` and `--quality` on the command line, by the page's programs, and by
[`Saving`](../fusion/io/saving.py) in Python. Ultra HDR needs `pip install ".[hdr]"`, OpenEXR `".[exr]"`. The JPEG in an
Ultra HDR file is byte for byte what plain JPEG gives, apart from the segments that tell of the gain map. A gain map
that a phone wrote into a photograph is passed over when the photograph is read."""
WIDE = """With `--gamut display-p3`, colours that sRGB lacks stay where an exposure has them, and the file says so. The
example, which has none, is written in Display P3 and converted to sRGB by Little CMS; the table tells how far it is
from itself then."""


class Case(NamedTuple):
    """A file that is written by another program and read here."""

    name: str
    writer: str
    bits: int
    """Bits that the file holds for each channel."""
    write: Callable[[Pixels], bytes]
    """Makes the file's bytes from pixels, float32 from 0 to 1."""


def main(
    example: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture of at least 384 × 512 pixels.")],
) -> None:
    """Print a row for each format as soon as it is measured, as Markdown."""
    picture = _picture(example)
    print(f"# Formats\n\n{TEXT}\n\nRead:\n")
    print(
        "| in | written by | bits held | bits read | off by at most, levels of 255 | on average |\n"
        "|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            if case.writer == _HEIF_ENC and shutil.which(_HEIF_ENC) is None:
                print(f"Left out: {case.name}, {case.bits} bits, for want of the program heif-enc.", file=sys.stderr)
                continue
            file = Path(place) / "picture"
            file.write_bytes(case.write(picture))
            read = load(file)
            held = picture if case.bits == 32 else _rounded(picture, case.bits) / ((1 << case.bits) - 1)
            off = _off(read.photo.permute(1, 2, 0).numpy(), held)
            print(f"| {case.name} | {case.writer} | {case.bits} | {read.bits} | {off} |")
    print("\nWritten:\n\n| out | bits | off by at most, levels of 255 | on average |\n|---|---|---|---|")
    for extension, bits in ((".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".jpg", 8)):
        pixels = _rounded(picture, bits)
        written = np.frombuffer(encode(pixels, extension), np.uint8)
        read = np.asarray(cv2.imdecode(written, cv2.IMREAD_UNCHANGED))[..., ::-1]
        most = np.iinfo(pixels.dtype).max
        print(f"| {extension} | {8 * read.dtype.itemsize} | {_off(read / most, pixels / most)} |")
    print(f"\n{WIDE}\n\n| out | dE2000, on average | at most |\n|---|---|---|")
    for extension in (".png", ".tif", ".jpg"):
        print(f"| {extension} | {_difference(picture, extension)} |")


def _difference(picture: Pixels, extension: str) -> str:
    """How far a picture that was written in Display P3 is from itself in sRGB, where Little CMS converts it."""
    photo = torch.from_numpy(from_srgb_to_display_p3(picture)).permute(2, 0, 1)
    with Image.open(io.BytesIO(encoded(photo, extension, quality=100, gamut="display-p3"))) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    apart = deltaE_ciede2000(rgb2lab(np.asarray(shown) / 255), rgb2lab(picture))
    return f"{apart.mean():.2f} | {apart.max():.2f}"


def _off(one: Pixels, other: Pixels) -> str:
    off = 255 * np.abs(one.astype(np.float64) - other)
    return f"{off.max():.4f} | {off.mean():.4f}"


def _picture(example: Path) -> Pixels:
    pixels = load(example).photo[:, :384, :512].permute(1, 2, 0).numpy()
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.5), np.float32).clip(0, 1)


def _rounded(picture: Pixels, bits: int) -> Pixels:
    return np.round(picture * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def _pillow(kind: str, **options: object) -> Callable[[Pixels], bytes]:
    def write(picture: Pixels) -> bytes:
        data = io.BytesIO()
        Image.fromarray(_rounded(picture, 8)).save(data, kind, **options)
        return data.getvalue()

    return write


def _opencv(extension: str) -> Callable[[Pixels], bytes]:
    return lambda picture: cv2.imencode(extension, _rounded(picture, 16)[..., ::-1])[1].tobytes()


def _tifffile(picture: Pixels) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, picture, photometric="rgb")
    return data.getvalue()


_HEIF_ENC = "heif-enc"


def _heif(bits: int, *options: str) -> Callable[[Pixels], bytes]:
    def write(picture: Pixels) -> bytes:
        with tempfile.TemporaryDirectory() as place:
            source, made = Path(place) / "a.png", Path(place) / "a.heic"
            # heif-enc reads the upper bits of 16.
            held = _rounded(picture, bits).astype(np.uint16) << (16 - bits) if bits > 8 else _rounded(picture, 8)
            cv2.imwrite(str(source), held[..., ::-1])
            command = [_HEIF_ENC, *options, "-b", str(bits), str(source), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            return made.read_bytes()

    return write


def _dng(picture: Pixels) -> bytes:
    return negative(bayer(torch.from_numpy(picture).permute(2, 0, 1)))


LOSSLESS = ("-L", "-p", "chroma=444", "--matrix_coefficients=0")
CASES = (
    Case("JPEG, quality 95", "Pillow", 8, _pillow("JPEG", quality=95, subsampling=0)),
    Case("PNG", "Pillow", 8, _pillow("PNG")),
    Case("PNG", "OpenCV", 16, _opencv(".png")),
    Case("TIFF", "Pillow", 8, _pillow("TIFF")),
    Case("TIFF", "OpenCV", 16, _opencv(".tif")),
    Case("TIFF, floating point", "tifffile", 32, _tifffile),
    Case("WebP, lossless", "Pillow", 8, _pillow("WEBP", lossless=True)),
    Case("BMP", "Pillow", 8, _pillow("BMP")),
    Case("HEIC, lossless", _HEIF_ENC, 8, _heif(8, *LOSSLESS)),
    Case("HEIC, lossless", _HEIF_ENC, 10, _heif(10, *LOSSLESS)),
    Case("HEIC, lossless", _HEIF_ENC, 12, _heif(12, *LOSSLESS)),
    Case("HEIC, quality 90", _HEIF_ENC, 8, _heif(8, "-q", "90")),
    Case("AVIF, quality 100", "Pillow", 8, _pillow("AVIF", quality=100, subsampling="4:4:4")),
    Case("RAW (DNG)", "this project", 16, _dng),
)


if __name__ == "__main__":
    run(main, DURATION)
