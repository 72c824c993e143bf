"""Which pictures of a folder make a bracket: by name, by camera data, by folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

from fusion.errors import DatasetError
from fusion.exposures.brackets import find_brackets, shown
from fusion.io.results_folder import RECORDS

VIEW = 240, 160
NOON = datetime(2024, 6, 1, 12, tzinfo=timezone.utc)


def picture(
    file: Path,
    exif: Mapping[int, object] | None = None,
    size: tuple[int, int] = (32, 24),
    *,
    view: int | None = None,
    stops: float = 0,
) -> None:
    """Write a small picture with these camera data: black, or an exposure of one of several views."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = Image.Exif()
    own = {Base.Make, Base.Model, Base.Orientation}
    for tag, value in (exif or {}).items():
        (data if tag in own else data.get_ifd(IFD.Exif))[tag] = value
    image = Image.new("RGB", size) if view is None else exposed(view, stops, size)
    image.save(file, exif=data.tobytes())


def exposed(view: int, stops: float, size: tuple[int, int] = VIEW) -> Image.Image:
    """An exposure of a view made of blocks of random light."""
    light = np.random.default_rng(view).uniform(0.01, 0.4, (size[1] // 10, size[0] // 10, 1))
    light = cv2.resize(light.repeat(3, 2), size, interpolation=cv2.INTER_CUBIC).clip(0)
    return Image.fromarray((255 * np.clip(light * 2**stops, 0, 1) ** (1 / 2.2)).astype(np.uint8))


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
    touch(tmp_path, ["two/x_-2.jpg", "two/x_-2.0.jpg", "two/x_+2.jpg", "half/x_A.jpg", "half/y_A.jpg"])
    touch(tmp_path, [f"many/x_{stops:+d}.jpg" for stops in range(-5, 6)])
    touch(tmp_path, ["same/x_A.jpg", "same/x_B.jpg", "same/y.jpg", "same/X-1.jpg", "same/X+1.jpg"])
    why = reasons(tmp_path)
    assert "the same exposure" in why["two/x_-2.0.jpg"]
    assert "neither its name" in why["half/y_A.jpg"]
    assert "11 exposures" in why["many/x_+5.jpg"]
    assert "as the scene of same/X-1.jpg" in why["same/x_A.jpg"]
    assert list(found(tmp_path)) == ["same/X"]


def test_a_folder_of_two_to_nine_pictures_of_one_view_and_size(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "ten" / f"{number}.png", view=1, size=VIEW, stops=number / 4)
        if number < 9:
            picture(tmp_path / "nine" / f"{number}.png", view=1, size=VIEW, stops=number / 4)
    picture(tmp_path / "one" / "1.png")
    for folder in ("sizes", "views", "alike", "broken", "above"):
        picture(tmp_path / folder / "1.png", view=1, size=VIEW)
    picture(tmp_path / "sizes" / "2.png", size=(40, 24))
    picture(tmp_path / "views" / "2.png", view=2, size=VIEW, stops=1)
    picture(tmp_path / "alike" / "2.jpg", view=1, size=VIEW)
    picture(tmp_path / "above" / "2.png", view=1, size=VIEW, stops=1)
    picture(tmp_path / "above" / "below" / "1.png")
    (tmp_path / "broken" / "2.png").write_bytes(b"no picture")
    assert {name: len(files) for name, files in found(tmp_path).items()} == {"nine": 9}
    assert found(tmp_path)["nine"] == [f"nine/{number}.png" for number in range(9)]  # the darkest first
    why = reasons(tmp_path)
    assert why["sizes/1.png"] == "the pictures in its folder differ in size."
    assert "different views" in why["views/1.png"]
    assert "equally bright" in why["alike/1.png"]
    assert "cannot be read" in why["broken/1.png"]
    assert len(why) == 10 + 1 + 2 + 2 + 2 + 2 + 3


def test_a_folder_of_several_scenes_is_no_scene(tmp_path: Path) -> None:
    for name in ("x_-1", "x_1", "y_-1", "y_1"):
        picture(tmp_path / "several" / f"{name}.png", view=1, size=VIEW, stops=len(name))
    for stops, name in enumerate(("dark-1", "bright-2")):
        picture(tmp_path / "one" / f"{name}.png", view=1, size=VIEW, stops=stops)
    assert found(tmp_path) == {"one": ["one/dark-1.png", "one/bright-2.png"]}
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
    for name in ("1.heic", "2.HIF"):
        shutil.copy(Path(__file__).resolve().parents[1] / "golden" / "grid-8.heic", tmp_path / name)
    assert "equally bright" in reasons(tmp_path)["2.HIF"]
    picture(tmp_path / "3.jpg")
    assert "differ in size" in reasons(tmp_path)["2.HIF"]


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


def series(
    folder: Path, *values: float, start: float = 0, first: int = 1, view: int | None = 1, **data: object
) -> None:
    """Write a shot for each exposure in stops, half a second apart, with names that count on from `first`."""
    for index, stops in enumerate(values):
        file = folder / f"IMG_{first + index:04d}.JPG"
        picture(file, shot(start + index / 2, 2**stops / 60, **data), VIEW, view=view, stops=stops)


def sets(folder: Path) -> list[list[int]]:
    """The numbers in the names of the files of each bracket, in the order of the names."""
    return sorted(sorted(int(Path(file).stem[-4:]) for file in files) for files in found(folder).values())


AUTO_BRACKET = {"ExposureMode": 2}


def test_brackets_one_after_the_other_are_two(tmp_path: Path) -> None:
    series(tmp_path / "views", 0, -2, 2)
    series(tmp_path / "views", 1, -1, 3, start=1.5, first=4, view=2)
    series(tmp_path / "series", 0, -2, 2)
    series(tmp_path / "series", 1, -1, 3, start=1.5, first=4)  # the same view, metered anew
    assert sets(tmp_path / "views") == sets(tmp_path / "series") == [[1, 2, 3], [4, 5, 6]]


def test_snapshots_in_automatic_mode_are_no_bracket(tmp_path: Path) -> None:
    for number, stops in enumerate((0, 1.7, -1, -3)):
        series(tmp_path, stops, start=number, first=1 + number, view=number, ExposureMode=0)
    assert sets(tmp_path) == []
    assert all("automatic mode" in reason for reason in reasons(tmp_path).values())


def test_a_test_shot_is_left_out(tmp_path: Path) -> None:
    for number in range(2):
        series(tmp_path, 0.7, start=60 * number, first=1 + 4 * number, view=number, ExposureMode=0)
        series(tmp_path, 0, -2, 2, start=60 * number + 1.2, first=2 + 4 * number, view=number, **AUTO_BRACKET)
    assert sets(tmp_path) == [[2, 3, 4], [6, 7, 8]]


@pytest.mark.parametrize("order", [(-2, 0, 2), (0, -2, 2), (0, -0.7, -1.3, 0.7, 1.3), (0, -1, 1, -2, 2), (2, 1, 0, -1)])
def test_orders_in_which_cameras_shoot(tmp_path: Path, order: tuple[float, ...]) -> None:
    series(tmp_path, *order, **AUTO_BRACKET)
    (tmp_path / "elsewhere").mkdir()
    assert sets(tmp_path) == [[*range(1, 1 + len(order))]]


def test_a_bracket_is_taken_whole(tmp_path: Path) -> None:
    series(tmp_path / "limit", -4, -2, 0, 2, 2.6)
    series(tmp_path / "again", -2, -1.3, 0, 0, 1)  # the same exposure twice, and uneven steps
    series(tmp_path / "thirds", -1 / 3, 0, 1 / 3, **AUTO_BRACKET)
    for folder in ("limit", "again", "thirds"):
        (tmp_path / folder / "elsewhere").mkdir()
    assert sets(tmp_path / "limit") == [[1, 2, 3, 4, 5]]
    assert sets(tmp_path / "again") == [[1, 2, 3, 4, 5]]
    assert sets(tmp_path / "thirds") == [[1, 2, 3]]


def test_a_bracket_goes_on_in_the_next_folder_of_a_card(tmp_path: Path) -> None:
    series(tmp_path / "DCIM" / "100CANON", 0, first=9999, BodySerialNumber="7")
    series(tmp_path / "DCIM" / "101CANON", -2, 2, start=0.5, BodySerialNumber="7")
    files = ["101CANON/IMG_0001.JPG", "100CANON/IMG_9999.JPG", "101CANON/IMG_0002.JPG"]
    assert list(found(tmp_path).values()) == [[f"DCIM/{file}" for file in files]]


def test_a_part_of_a_bracket_is_none(tmp_path: Path) -> None:
    for number in range(2):
        series(tmp_path / "off", 0, -1, 1, -2, 2, start=60 * number, first=1 + 5 * number, view=number, **AUTO_BRACKET)
    series(tmp_path / "off", 0, -1, 1, start=300, first=11, view=5, **AUTO_BRACKET)
    series(tmp_path / "gap", -2, 0, 2)
    (tmp_path / "gap" / "IMG_0002.JPG").write_bytes(b"damaged")
    assert sets(tmp_path / "off") == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert "only a part" in reasons(tmp_path / "off")["IMG_0011.JPG"]
    assert sets(tmp_path / "gap") == []
    assert "missing" in reasons(tmp_path / "gap")["IMG_0001.JPG"]


def test_a_picture_of_the_view_beside_a_bracket_is_a_reason_to_leave_it(tmp_path: Path) -> None:
    series(tmp_path, -2, 0, 2)
    picture(tmp_path / "IMG_0004.JPG", shot(1.5, 1 / 4, FNumber=None), VIEW, view=1, stops=4)
    assert sets(tmp_path) == []
    assert "IMG_0004.JPG beside it" in reasons(tmp_path)["IMG_0001.JPG"]


def test_one_exposure_turned(tmp_path: Path) -> None:
    series(tmp_path, -2, 0)
    series(tmp_path, 2, start=1, first=3, Orientation=6)
    assert sets(tmp_path) == [[1, 2, 3]]


def test_shots_without_a_clock_count_by_their_numbers(tmp_path: Path) -> None:
    for first, view, order in ((1, 1, (-2, 0, 2)), (4, 2, (-3, -1, 1))):
        for number, stops in enumerate(order, first):
            data = shot(0, 2**stops / 60, DateTimeOriginal=None, SubsecTimeOriginal=None)
            picture(tmp_path / f"IMG_{number:04d}.JPG", data, VIEW, view=view, stops=stops)
    assert sets(tmp_path) == [[1, 2, 3], [4, 5, 6]]


def test_apex_values_tell_exposures(tmp_path: Path) -> None:
    for index, stops in enumerate((0, -2, 2)):
        apex = {"ShutterSpeedValue": IFDRational(6 - stops), "ApertureValue": IFDRational(6)}
        data = shot(index / 2, 1, ExposureTime=None, FNumber=None, **apex)
        picture(tmp_path / f"{index}.jpg", data, VIEW, view=1, stops=stops)
    picture(tmp_path / "other.jpg")
    assert list(found(tmp_path).values()) == [["1.jpg", "0.jpg", "2.jpg"]]


def test_copies_edits_exports_and_results_are_the_same_shot(tmp_path: Path) -> None:
    series(tmp_path, -2, 0, 2)
    first = tmp_path / "IMG_0001.JPG"
    with Image.open(first) as image:
        data = image.getexif().tobytes()
    shutil.copy(first, tmp_path / "IMG_0001 (1).JPG")
    for name in ("IMG_0001.webp", "IMG_0001.tif", "IMG_0001-edit.jpg", "IMG_0001_HDR.jpg"):
        exposed(1, -1).save(tmp_path / name, exif=data)
    assert sets(tmp_path) == [[1, 2, 3]]
    assert len(reasons(tmp_path)) == 5
    assert all("the same shot as IMG_0001.JPG" in reason for reason in reasons(tmp_path).values())


@pytest.mark.parametrize(
    "names",
    [
        ("sky EV-2", "sky EV0", "sky EV+2"),
        ("sky (-2)", "sky (0)", "sky (+2)"),
        ("sky (-2 EV)", "sky (0 EV)", "sky (+2 EV)"),
        ("sky_-1.333EV", "sky_0EV", "sky_+1.333EV"),
        ("sky m2", "sky p0", "sky p2"),
        ("sky_minus2", "sky_0", "sky_plus2"),
        ("sky low", "sky mid", "sky high"),
        ("under1", "over1"),
        ("sky A", "sky B", "sky C"),
        ("sky-2", "sky", "sky+2"),
        ("-2EV sky", "0EV sky", "+2EV sky"),
        ("sky_-2EV_HDR", "sky_0EV_HDR", "sky_+2EV_HDR"),
        ("sky \u22122", "sky 0", "sky +2"),
        ("sky_\u20132", "sky_0", "sky_+2"),
        ("sky\uff08\uff0d\uff12\uff09", "sky\uff08\uff0b\uff12\uff09"),
        ("ku\u0308che_-2", "k\u00fcche_+2"),
    ],
)
def test_names_as_people_write_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, [f"{name}.jpg" for name in names])
    assert list(found(tmp_path).values()) == [[f"{name}.jpg" for name in names]]


@pytest.mark.parametrize(
    "names",
    [
        ("2024-05-01T12-00-00+02", "2024-05-01T12-00-00-07"),
        ("a GMT+1", "a GMT-1"),
        ("grade A", "grade B"),
        ("2024-05-01", "2024-05-02"),
        ("room -5", "temp +5"),
    ],
)
def test_dates_zones_and_grades_are_no_exposures(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, [f"{name}.jpg" for name in names])
    assert found(tmp_path) == {}


def test_names_do_not_join_different_views(tmp_path: Path) -> None:
    picture(tmp_path / "sky_-2.jpg", view=1, size=VIEW, stops=-2)
    picture(tmp_path / "sky_+2.jpg", view=2, size=VIEW, stops=2)
    assert found(tmp_path) == {}
    assert "different views" in reasons(tmp_path)["sky_-2.jpg"]


def test_what_cannot_be_read_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, ["a.JXL", "b.gif", "c.txt"])
    assert list(reasons(tmp_path)) == ["a.JXL", "b.gif"]
