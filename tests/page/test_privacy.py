"""What a photograph's file says beside its pixels, and what it is called, stays out of outputs, logs and errors."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import fusion
from fusion.cli import main
from fusion.errors import ImageError
from fusion.io.image import to_uint8
from tests.server import served
from tests.shared_session import load

CANARY = "canary-5e1f"
SECRET = CANARY.encode()
PLACE = struct.pack(">3H", 4711, 4712, 4713)
"""Numbers of a place, as any byte order of Exif would hold them."""
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a>{CANARY}</a></x:xmpmeta>"
KEPT = "Maker-of-cameras"


def exif() -> bytes:
    said = Image.Exif()
    said[271], said[270], said[37510] = KEPT, CANARY, SECRET  # maker; description and comment
    said[40094], said[40091] = CANARY.encode("utf-16-le"), CANARY.encode("utf-16-le")  # Windows' keywords and title
    said.get_ifd(0x8769).update({33434: 0.25, 37500: SECRET, 42032: CANARY, 42033: CANARY, 42016: CANARY})
    said.get_ifd(0x8825).update({1: "N", 2: (4711.0, 4712.0, 4713.0), 27: SECRET})
    return said.tobytes()


def iptc() -> bytes:
    """Photoshop's segment with a caption."""
    caption = b"\x1c\x02\x78" + struct.pack(">H", len(SECRET)) + SECRET
    return b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(caption)) + caption


def jpeg(pixels: Any, path: Path) -> None:
    Image.fromarray(pixels).save(path, "JPEG", quality=95, exif=exif(), comment=SECRET, xmp=XMP.encode())
    data = path.read_bytes()
    segment = b"\xff\xed" + struct.pack(">H", len(iptc()) + 2) + iptc()
    path.write_bytes(data[:2] + segment + data[2:] + b"after the end: " + SECRET)


def png(pixels: Any, path: Path) -> None:
    texts = PngInfo()
    texts.add_text("Comment", CANARY)
    texts.add_text("Author", CANARY, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=texts, exif=exif())
    path.write_bytes(path.read_bytes() + SECRET)


def tiff(pixels: Any, path: Path) -> None:
    texts = [(tag, "B", len(data), data, True) for tag, data in ((700, XMP.encode()), (33723, SECRET), (34377, iptc()))]
    tifffile.imwrite(
        path, pixels, photometric="rgb", description=CANARY, software=CANARY, extratags=texts, metadata=None
    )


@pytest.fixture(scope="module", params=[jpeg, png, tiff], ids=["jpeg", "png", "tiff"])
def files(
    request: pytest.FixtureRequest, pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A pair full of canaries, in a folder and under names that are some."""
    folder = tmp_path_factory.mktemp(CANARY)
    paths = [folder / f"{CANARY}-{name}.{request.param.__name__}" for name in ("under", "over")]
    for source, path in zip(pair, paths, strict=True):
        request.param(to_uint8(load(source).photo), path)
        assert SECRET in path.read_bytes()
        load(path)
    return paths


def told(path: Path) -> bytes:
    """A file's bytes, and what it holds compressed or in other letters."""
    data = path.read_bytes()
    opened = b""
    with Image.open(path) as image:
        opened = repr((image.info, dict(image.getexif()), dict(image.getexif().get_ifd(0x8769)))).encode()
    if data.startswith(b"\x89PNG"):
        at = 8
        while at < len(data):
            (length,) = struct.unpack(">I", data[at : at + 4])
            if data[at + 4 : at + 8] in (b"zTXt", b"iTXt", b"iCCP"):
                body = data[at + 8 : at + 8 + length]
                opened += zlib.decompressobj().decompress(body[body.index(b"\0") + 2 :])
            at += 12 + length
    return data + opened + data.replace(b"\0", b"")


@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
@pytest.mark.parametrize("keep", [[], ["--keep-metadata"]], ids=["plain", "kept"])
def test_no_output_has_what_only_its_sources_should(
    files: list[Path], extension: str, keep: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"out.{extension}"
    assert main(["fuse", *map(str, files), "-m", "mertens", "--no-align", "-o", str(out), *keep]) == 0
    data = told(out)
    assert SECRET not in data
    assert PLACE not in data.replace(b"\0\0", b"")
    with Image.open(out) as image:
        assert not image.getexif().get_ifd(0x8825)
    camera = "tiff" not in files[0].suffix  # what was asked for is there, or there would be nothing to see
    assert (KEPT.encode() in data) == (bool(keep) and camera)
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err


def test_the_place_is_written_where_it_is_asked_for(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    assert main(["fuse", *map(str, files), "-m", "mertens", "--no-align", "-o", str(out), "--keep-location"]) == 0
    with Image.open(out) as image:
        place = image.getexif().get_ifd(0x8825)
    assert (place.get(2) == (4711, 4712, 4713)) == ("tiff" not in files[0].suffix)


def test_errors_name_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / CANARY
    folder.mkdir()
    paths = [folder / f"{CANARY}-{name}.png" for name in ("under", "over")]
    for path in paths:
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + SECRET)
    for arguments in (map(str, paths), [str(folder), str(folder / "none.png")]):
        assert main(["fuse", *arguments, "-m", "mertens", "-o", str(tmp_path / "out.png")]) == 1
    with pytest.raises(ImageError) as refused:
        fusion.fuse(paths[0], paths[1])
    assert CANARY not in capsys.readouterr().err + str(refused.value)


def test_the_pages_outputs_and_log_tell_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    paths = [tmp_path / f"{CANARY}-{name}.jpg" for name in ("under", "over")]
    for source, path in zip(pair, paths, strict=True):
        jpeg(to_uint8(load(source).photo), path)
    broken = tmp_path / f"{CANARY}-broken.jpg"
    broken.write_bytes(paths[0].read_bytes()[:2000])
    with served(tmp_path, "app.py") as page:
        good = [page.upload(path) for path in paths]
        made = page.ask("fuse", files=good, method="mertens")
        refusal = page.refusal("fuse", files=[page.upload(broken), good[1]], method="mertens")
        picture = tmp_path / "answer.png"
        picture.write_bytes(httpx.get(made["file"]["url"]).content)
        assert SECRET not in told(picture)
        # The picture has its photographs' name, for the program alone that sent them.
        assert Path(made["file"]["path"]).name == f"{CANARY}_mertens.png"
        assert CANARY not in str(made["notes"]) + str(refusal)
        results = [path for path in page.place.rglob("*") if path.is_file() and "run-" in str(path)]
        assert results
        assert not any(SECRET in path.read_bytes() for path in results)
    assert CANARY not in page.log
    assert str(tmp_path) not in page.log
