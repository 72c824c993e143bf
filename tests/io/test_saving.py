"""How pictures are saved: what can be chosen, and what excludes what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fusion.errors import FusionError, ImageError
from fusion.io.image import Metadata, load, save
from fusion.io.saving import ENDINGS, Format, Origin, Saving, format_of


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({"format": "gif"}, "no format gif; choose from jpeg, png"),
        ({"bits": 12}, "no number of bits 12"),
        ({"quality": 101}, "goes from 0 to 100; 101 is outside"),
        ({"format": "jpeg", "bits": 16}, "A JPEG has 8 bits a channel"),
    ],
)
def test_what_cannot_be_chosen(choices: Any, why: str) -> None:
    with pytest.raises(FusionError, match=why):
        Saving(**choices)


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_every_ending_of_a_format_is_known(kind: Format) -> None:
    assert Saving(kind).ending == ENDINGS[kind][0]
    for ending in ENDINGS[kind]:
        assert format_of(f"a{ending.upper()}") == format_of(Path("b") / f"a{ending}", kind) == kind


def test_an_ending_of_another_format_is_refused() -> None:
    with pytest.raises(ImageError, match=r"ends in \.jpg, \.jpeg, \.png"):
        format_of("a.gif")
    with pytest.raises(ImageError, match=r"The name of a tiff file ends in \.tif, \.tiff"):
        format_of("a.png", "tiff")


def test_metadata_are_written_if_they_are_to_be_kept(tmp_path: Path) -> None:
    from PIL import Image

    said = Image.Exif()
    said[271] = "Maker"
    origin = Origin(Metadata(exif=said.tobytes()))
    photo = torch.rand(3, 20, 30)
    for keep in (True, False):
        Saving("jpeg", quality=80, keep_metadata=keep).write(photo, tmp_path / "a.jpg", origin)
        save(photo, tmp_path / "b.jpg", quality=80, metadata=origin.metadata if keep else None)
        assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.getexif().get(271) == ("Maker" if keep else None)


def test_sixteen_bits_are_saved(tmp_path: Path) -> None:
    photo = torch.rand(3, 20, 30)
    for kind in ("png", "tiff"):
        saving = Saving(kind, bits=16)
        path = tmp_path / f"a{saving.ending}"
        saving.write(photo, path)
        assert load(path).bits == 16
        assert float((load(path).photo - photo).abs().max()) <= 0.5 / 65535 + 1e-6
