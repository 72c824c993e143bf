"""Names of new files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion.outputs.names import free_path, result_name


@pytest.mark.parametrize(
    ("photographs", "name"),
    [
        (["IMG_1234.JPG", "IMG_1235.JPG", "IMG_1236.JPG"], "IMG_1234-1236"),
        (["IMG_1236.JPG", "IMG_1234.JPG", "IMG_1235.JPG"], "IMG_1234-1236"),
        (["DSC09999.ARW", "DSC10000.ARW", "DSC10001.ARW"], "DSC09999-10001"),
        (["DSC_0001-edit.tif", "DSC_0002-edit.tif"], "DSC_0001-0002-edit"),
        (["P1.jpg", "P12.jpg"], "P1-12"),
        (["0001.jpg", "0002.jpg"], "0001-0002"),
        (["card/100/IMG_7.jpg", "card/101/IMG_7.jpg"], "IMG_7"),
        (["room (-2).jpg", "room (0).jpg", "room (+2).jpg"], "room"),
        (["desk_A.png", "desk_B.png"], "desk"),
        (["under.png", "over.png"], "under-over"),
        (["a.png", "b.png", "c.png"], "a-c"),
        (["x" * 200 + "1.png", "x" * 200 + "2.png"], "x" * 60),
        (["夜景1.heic", "夜景2.heic"], "夜景1-2"),
        (['a"b:1.jpg', 'a"b:2.jpg'], "a_b_1-2"),
        (["....png", "....jpg"], "fused"),
    ],
)
def test_a_picture_is_named_after_its_photographs(photographs: list[str], name: str) -> None:
    assert result_name(photographs, "mertens", ".jpg") == f"{name}_mertens.jpg"
    assert result_name([Path(photograph) for photograph in photographs], "mertens", ".tif") == f"{name}_mertens.tif"


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    for name in ("a.jpg", "a-2.jpg", "a-3.jpg"):
        assert free_path(tmp_path, "a.jpg") == tmp_path / name
        (tmp_path / name).touch()
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert free_path(tmp_path, "b.jpg") == tmp_path / "b-2.jpg"
