"""Which pictures of a folder make a bracket: by name, by camera data, by folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

from fusion.errors import DatasetError
from fusion.exposures.brackets import find_brackets, shown
from fusion.io.results_folder import RECORDS

NOON = datetime(2024, 6, 1, 12, tzinfo=timezone.utc)


def picture(file: Path, exif: Mapping[int, object] | None = None, size: tuple[int, int] = (32, 24)) -> None:
    """Write a small picture with these camera data."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = Image.Exif()
    own = {Base.Make, Base.Model, Base.Orientation}
    for tag, value in (exif or {}).items():
        (data if tag in own else data.get_ifd(IFD.Exif))[tag] = value
    Image.new("RGB", size).save(file, exif=data.tobytes())


def shot(at: float, seconds: float, **other: object) -> dict[int, object]:
    """The camera data of a shot `at` seconds after noon."""
    time = NOON + timedelta(seconds=at)
    values = {
        "Make": "Maker",
        "Model": "One",
        "DateTimeOriginal": time.strftime("%Y:%m:%d %H:%M:%S"),
        "SubsecTimeOriginal": f"{time.microsecond // 10_000:02d}",
        "ExposureTime": IFDRational(round(seconds * 4000), 4000),
        "FNumber": IFDRational(8, 1),
        "ISOSpeedRatings": 100,
    } | other
    return {int(Base[name]): value for name, value in values.items() if value is not None}


def found(folder: Path) -> dict[str, list[str]]:
    return {bracket.name: [file.as_posix() for file in bracket.files] for bracket in find_brackets(folder)[0]}


def reasons(folder: Path) -> dict[str, str]:
    return {one.file.as_posix(): one.reason for one in find_brackets(folder)[1]}


def touch(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "names",
    [
        ("sky_A.jpg", "sky_B.jpg"),
        ("sky_a.TIF", "sky-b.png"),
        ("sky_under.jpg", "sky_over.jpg"),
        ("sky under-exposed.jpg", "sky normal.jpg", "sky Overexposed.jpg"),
        ("sky-dark.jpg", "sky-bright.jpg"),
        ("sky_-1.jpg", "sky_+1.jpg"),
        ("sky-2.jpg", "sky_0.jpg", "sky+2.jpg"),
        ("sky_-0.7EV.webp", "sky_0EV.webp", "sky_+0,7ev.webp"),
        ("sky_-3EV.jpg", "sky_-1.5EV.jpg"),
        ("sky_-1.0EV.jpg", "sky_0.0EV.jpg", "sky_+1.0EV.jpg"),
        ("sky_-2EV.jpg", "sky_0EV.jpg", "sky_2EV.jpg"),
        ("sky -1,5.jpg", "sky 0,0.jpg", "sky +1,5.jpg"),
        tuple(f"sky_{stops:+d}.jpg" for stops in range(-4, 5)),
    ],
)
def test_names_that_say_which_exposure(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, [*names, "sky.txt", "sky_GT.jpg", "._sky_A.jpg", "other.jpg"])
    assert found(tmp_path) == {"sky": list(names)}  # the darkest first
    assert list(reasons(tmp_path)) == ["other.jpg"]


def test_numbers_of_pictures_are_no_stops(tmp_path: Path) -> None:
    touch(tmp_path, [f"trip-{number}.jpg" for number in range(12)] + ["2024-05-01.jpg", "2024-05-02.jpg"])
    assert found(tmp_path) == {}
    assert len(reasons(tmp_path)) == 14


def test_a_folder_of_one_scene_gives_its_name(tmp_path: Path) -> None:
    touch(tmp_path, ["sky/1_A.jpg", "sky/1_B.jpg", "sky/1_GT.jpg", "trip/x_A.jpg", "trip/x_B.jpg", "trip/y.jpg"])
    touch(tmp_path, ["deep/down/under.png", "deep/down/over.png"])
    assert found(tmp_path) == {
        "deep/down": ["deep/down/under.png", "deep/down/over.png"],
        "sky": ["sky/1_A.jpg", "sky/1_B.jpg"],
        "trip/x": ["trip/x_A.jpg", "trip/x_B.jpg"],
    }
    assert found(tmp_path / "deep" / "down") == {"down": ["under.png", "over.png"]}


def test_what_is_ambiguous_is_skipped_with_the_reason(tmp_path: Path) -> None:
    touch(tmp_path, ["two/x_A.jpg", "two/x_A.png", "two/x_B.jpg", "half/x_A.jpg", "half/y_A.jpg"])
    touch(tmp_path, [f"many/x_{stops:+d}.jpg" for stops in range(-5, 6)])
    touch(tmp_path, ["same/x_A.jpg", "same/x_B.jpg", "same/y.jpg", "same/X-1.jpg", "same/X+1.jpg"])
    why = reasons(tmp_path)
    assert "the same exposure" in why["two/x_A.png"]
    assert "neither its name" in why["half/y_A.jpg"]
    assert "11 exposures" in why["many/x_+5.jpg"]
    assert "as the scene of same/X-1.jpg" in why["same/x_A.jpg"]
    assert list(found(tmp_path)) == ["same/X"]


def test_a_folder_of_two_to_nine_pictures_of_one_size(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "ten" / f"{number}.png")
        if number < 9:
            picture(tmp_path / "nine" / f"{number}.png")
    picture(tmp_path / "one" / "1.png")
    picture(tmp_path / "sizes" / "1.png")
    picture(tmp_path / "sizes" / "2.png", size=(40, 24))
    picture(tmp_path / "above" / "1.png")
    picture(tmp_path / "above" / "2.png")
    picture(tmp_path / "above" / "below" / "1.png")
    picture(tmp_path / "broken" / "1.png")
    (tmp_path / "broken" / "2.png").write_bytes(b"no picture")
    assert {name: len(files) for name, files in found(tmp_path).items()} == {"broken": 2, "nine": 9}
    assert reasons(tmp_path)["sizes/1.png"] == "the pictures in its folder differ in size."
    assert len(reasons(tmp_path)) == 10 + 1 + 2 + 3


def test_a_folder_of_several_scenes_is_no_scene(tmp_path: Path) -> None:
    for name in ("x_-1", "x_1", "y_-1", "y_1"):
        picture(tmp_path / "several" / f"{name}.png")
    for name in ("dark-1", "bright-2"):
        picture(tmp_path / "one" / f"{name}.png")
    assert found(tmp_path) == {"one": ["one/bright-2.png", "one/dark-1.png"]}
    assert len(reasons(tmp_path)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="folders have other permissions")
def test_a_folder_that_nobody_may_open_is_said_and_stops_nothing() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        touch(folder, ["sky/x_A.jpg", "sky/x_B.jpg", "shut/x_A.jpg", "shut/x_B.jpg"])
        (folder / "shut").chmod(0)
        try:
            if user == 0:  # who may open everything
                os.seteuid(65534)
            assert found(folder) == {"sky": ["sky/x_A.jpg", "sky/x_B.jpg"]}
            assert reasons(folder) == {"shut": "the folder cannot be opened."}
        finally:
            os.seteuid(user)
            (folder / "shut").chmod(0o700)


def test_brackets_by_camera_data(tmp_path: Path) -> None:
    exposures = [1 / 60, 1 / 250, 1 / 15]
    for start, names in ((0, "abc"), (1.5, "def"), (600, "ghi")):  # the second follows the first at once
        for index, (name, seconds) in enumerate(zip(names, exposures, strict=True)):
            picture(tmp_path / f"{name}.jpg", shot(start + 0.4 * index, seconds))
    picture(tmp_path / "j.jpg", shot(700, 1 / 60))
    picture(tmp_path / "k.jpg", shot(700.5, 1 / 70))  # the camera metered anew
    assert found(tmp_path) == {
        "a": ["b.jpg", "a.jpg", "c.jpg"],
        "d": ["e.jpg", "d.jpg", "f.jpg"],
        "g": ["h.jpg", "g.jpg", "i.jpg"],
    }
    assert list(reasons(tmp_path)) == ["j.jpg", "k.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_formats_with_camera_data(tmp_path: Path, suffix: str) -> None:
    for index, seconds in enumerate((1 / 60, 1 / 250)):
        picture(tmp_path / f"{index}.{suffix}", shot(0.4 * index, seconds))
    picture(tmp_path / f"2.{suffix}")
    assert found(tmp_path) == {"0": [f"1.{suffix}", f"0.{suffix}"]}


def test_the_sizes_of_heic_pictures_are_read(tmp_path: Path) -> None:
    for name in ("1.heic", "2.heic"):
        shutil.copy(Path(__file__).resolve().parents[1] / "golden" / "grid-8.heic", tmp_path / name)
    assert found(tmp_path) == {tmp_path.name: ["1.heic", "2.heic"]}
    picture(tmp_path / "3.jpg")
    assert found(tmp_path) == {}


def test_what_a_camera_wrote_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, ["sky/x_A.JPG", "sky/x_A.NEF", "sky/x_B.JPG", "sky/x_B.NEF", "raw/y_A.NEF", "raw/y_B.NEF"])
    assert found(tmp_path) == {"raw": ["raw/y_A.NEF", "raw/y_B.NEF"], "sky": ["sky/x_A.JPG", "sky/x_B.JPG"]}
    assert set(reasons(tmp_path)) == {"sky/x_A.NEF", "sky/x_B.NEF"}


def test_long_exposures_take_their_time(tmp_path: Path) -> None:
    for index, (at, seconds) in enumerate(((0, 4), (4.5, 15), (20, 1))):
        picture(tmp_path / "night" / f"{index}.jpg", shot(at, seconds))
    for index in range(12):
        picture(tmp_path / "night" / f"z{index}.jpg", shot(600 + 60 * index, 1))
    assert found(tmp_path) == {"night/0": ["night/2.jpg", "night/0.jpg", "night/1.jpg"]}


@pytest.mark.parametrize(
    "second",
    [
        shot(0.5, 1 / 15, Model="Another"),
        shot(0.5, 1 / 15, Orientation=6),
        shot(0.5, 1 / 15, FNumber=None),
        shot(5, 1 / 15),
        shot(0.5, 1 / 60),
        shot(0.5, 1 / 15, DateTimeOriginal=None),
        shot(0.5, 1 / 15, DateTimeOriginal="yesterday"),
        shot(0.5, 1 / 15, ExposureTime=IFDRational(0, 0)),
        {},
    ],
    ids=["camera", "turned", "unlike data", "late", "same exposure", "no time", "no such time", "0/0", "none"],
)
def test_shots_that_are_no_bracket(tmp_path: Path, second: dict[int, object]) -> None:
    picture(tmp_path / "a.jpg", shot(0, 1 / 60))
    picture(tmp_path / "b.jpg", second)
    (tmp_path / "elsewhere").mkdir()  # else the folder itself would say that they are one
    assert found(tmp_path) == {}
    picture(tmp_path / "b.jpg", shot(0.5, 1 / 15))
    assert found(tmp_path) == {"a": ["a.jpg", "b.jpg"]}


def test_the_exposures_bias_where_nothing_else_is_told(tmp_path: Path) -> None:
    for name, bias in (("a", 0), ("b", -2), ("c", 2)):
        told = {"ExposureTime": None, "FNumber": None, "ISOSpeedRatings": None, "ExposureBiasValue": IFDRational(bias)}
        picture(tmp_path / f"{name}.jpg", shot(0, 1, **told))
    picture(tmp_path / "z.jpg")
    assert found(tmp_path) == {"a": ["b.jpg", "a.jpg", "c.jpg"]}


def test_damaged_camera_data_stop_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", shot(0, 1 / 60))
    whole = (tmp_path / "a.jpg").read_bytes()
    for place in range(0, min(len(whole), 420), 3):
        (tmp_path / f"b{place}.jpg").write_bytes(whole[:place] + b"\xff\x00\xfe" + whole[place + 3 :])
        (tmp_path / f"c{place}.tif").write_bytes(b"II*\0" + whole[place:])
    assert len(reasons(tmp_path)) + sum(map(len, found(tmp_path).values())) == len(list(tmp_path.iterdir()))


def test_neither_results_nor_pipes_are_looked_into(tmp_path: Path) -> None:
    touch(tmp_path, ["sky_A.jpg", "sky_B.jpg", "out/a.png", "out/b.png", f"out/{RECORDS}/a.json", ".hidden/A.jpg"])
    os.mkfifo(tmp_path / "sky_over.jpg")
    assert found(tmp_path) == {"sky": ["sky_A.jpg", "sky_B.jpg"]}
    assert reasons(tmp_path) == {}
    with pytest.raises(DatasetError, match="holds results"):
        find_brackets(tmp_path / "out")
    with pytest.raises(DatasetError, match="is not a folder"):
        find_brackets(tmp_path / "none")


def test_names_for_terminals_and_pages() -> None:
    assert shown("Zoë ☀.jpg") == "Zoë ☀.jpg"
    assert shown(Path("a\x1b[31m\n\udcff.jpg")) == "a?[31m??.jpg"
