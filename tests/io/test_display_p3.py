"""Display P3 out where the photographs are Display P3."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from fusion.io import icc
from fusion.io.colour_space import DISPLAY_P3, coded, from_srgb_to_display_p3
from fusion.io.image import load, load_pair
from fusion.io.saving import Format, Saving
from fusion.pipeline import Session
from fusion.settings import Settings

METHOD = "mertens"
BY_BRIGHTNESS = {METHOD: {"contrast": 0.0, "saturation": 0.0}}
"""Weights that do not ask how colourful a pixel is, since the same colour has other numbers in Display P3."""


def patches(low: float, high: float) -> NDArray[np.float32]:
    """Colours that change smoothly, (96, 128, 3), with every channel from `low` to `high`: JPEG halves their size."""
    values = np.random.default_rng(7).uniform(low, high, (6, 8, 3)).astype(np.float32)
    return np.asarray(cv2.resize(values, (128, 96), interpolation=cv2.INTER_LINEAR), np.float32)


def written(path: Path, pixels: NDArray[np.float32], profile: bytes = b"") -> Path:
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path, icc_profile=profile or None)
    return path


def in_srgb(path: Path) -> NDArray[np.float32]:
    """A file's colours in sRGB as Little CMS converts them, (H, W, 3) from 0 to 1."""
    image = Image.open(path)
    profile = image.info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
        assert image is not None
    return np.divide(np.asarray(image), 255, dtype=np.float32)


def delta_e(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.mean(deltaE_ciede2000(rgb2lab(one), rgb2lab(other))))


def fused(files: list[Path], out: Path, saving: Saving) -> tuple[str, ...]:
    settings = Settings(align=False, ghosts="ignore", options=BY_BRIGHTNESS, saving=saving)
    with Session() as session:
        scene = session.prepare(files, settings)
        picture = session.fuse(scene, METHOD, settings)
    saving.write(picture.photo, out, scene.origin(saving))
    return scene.notes


def test_the_profile_means_display_p3() -> None:
    """For Little CMS, and for this program."""
    profile = ImageCms.ImageCmsProfile(BytesIO(icc.display_p3()))
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
    colours = patches(0.2, 0.8)
    pixels = Image.fromarray((from_srgb_to_display_p3(colours) * 255).round().astype(np.uint8))
    converted = ImageCms.profileToProfile(pixels, profile, ImageCms.createProfile("sRGB"))
    assert converted is not None
    assert np.abs(np.asarray(converted, np.float32) / 255 - colours).max() < 2.5 / 255  # twice rounded, in the dark
    space = icc.space(icc.display_p3())
    assert space is not None
    assert space.is_wide
    assert np.abs(space.matrix - coded(12, 13).matrix).max() < 1e-3
    assert space.for_display_p3().is_srgb
    assert not coded(1, 13).is_wide


@pytest.mark.parametrize(("kind", "bits"), [("png", 8), ("png", 16), ("tiff", 16), ("jpeg", 8), ("ultra-hdr", 8)])
def test_the_result_is_as_its_twin_in_srgb(kind: Format, bits: int, tmp_path: Path) -> None:
    """The exposures hold colours that sRGB has as well, as Display P3 and as sRGB."""
    colours = patches(0.25, 0.75)
    frames = {"under": colours * 0.6, "over": 0.25 + 0.75 * colours}
    twins = [written(tmp_path / f"{name}.png", frame) for name, frame in frames.items()]
    wide = [
        written(tmp_path / f"{name}-p3.png", from_srgb_to_display_p3(frame), icc.display_p3())
        for name, frame in frames.items()
    ]
    fused(twins, tmp_path / "twin.png", Saving())
    out = tmp_path / f"out{Saving(kind).ending}"
    notes = fused(wide, out, Saving(kind, bits=16 if bits == 16 else 8, quality=100, gamut="display-p3"))
    assert not any("sRGB" in note for note in notes)
    if kind == "tiff" or bits == 16:  # which Pillow does not read in colour
        read = load(out).photo.permute(1, 2, 0).numpy()
    else:
        with Image.open(out) as image:
            assert image.info["icc_profile"] == icc.display_p3()
        read = in_srgb(out)
    assert delta_e(read, in_srgb(tmp_path / "twin.png")) < 1
    # Without the option, both are sRGB and alike.
    fused(wide, tmp_path / "plain.png", Saving())
    with Image.open(tmp_path / "plain.png") as image:
        assert "icc_profile" not in image.info
    assert delta_e(in_srgb(tmp_path / "plain.png"), in_srgb(tmp_path / "twin.png")) < 1


def test_colours_beyond_srgb_are_kept(tmp_path: Path) -> None:
    """Green of Display P3 lies outside sRGB, where it is clipped."""
    green = np.zeros((32, 32, 3), np.float32)
    green[..., 1] = np.linspace(0.5, 1, 32)
    files = [
        written(tmp_path / "a.png", green * 0.5, icc.display_p3()),
        written(tmp_path / "b.png", green, icc.display_p3()),
    ]
    pair = load_pair(*files, gamut="display-p3")
    assert pair.gamut == "display-p3"
    assert pair.notes == ()
    assert torch.equal(pair.over, torch.from_numpy((green * 255).round() / 255).permute(2, 0, 1))
    assert load_pair(*files).gamut == "srgb"
    path = tmp_path / "out.png"
    fused(files, path, Saving(gamut="display-p3"))
    back = load(path, gamut="display-p3")
    assert back.gamut == "display-p3"
    assert float(back.photo[0].max()) < 0.1
    assert float(back.photo[1].max()) > 0.6


def test_one_exposure_in_srgb_is_brought_to_the_others(tmp_path: Path) -> None:
    colours = patches(0.2, 0.6)
    wide = written(tmp_path / "wide.png", from_srgb_to_display_p3(colours), icc.display_p3())
    other = written(tmp_path / "other.png", np.minimum(colours * 1.5, 1))
    pair = load_pair(wide, other, gamut="display-p3")
    assert pair.gamut == "display-p3"
    expected = from_srgb_to_display_p3(in_srgb(other))
    assert np.abs(pair.over.permute(1, 2, 0).numpy() - expected).max() < 1e-6


def test_photographs_in_srgb_stay_so_and_that_is_said(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{at}.png", patches(0.1, 0.4 + 0.3 * at)) for at in range(2)]
    pair = load_pair(*files, gamut="display-p3")
    assert pair.gamut == "srgb"
    assert pair.notes == ("No exposure has colours beyond sRGB, so the result is in sRGB.",)
    assert torch.equal(pair.over, load_pair(*files).over)


def test_light_has_the_primaries_of_the_exposures(tmp_path: Path) -> None:
    files = [
        written(tmp_path / f"{at}.png", patches(0.1, 0.4 + 0.3 * at), icc.display_p3() if at else b"")
        for at in range(2)
    ]
    fused(files, tmp_path / "light.exr", Saving("exr", gamut="display-p3"))
    said = OpenImageIO.ImageBuf(str(tmp_path / "light.exr")).spec().getattribute("chromaticities")
    assert np.allclose(said, (*DISPLAY_P3[2:], *DISPLAY_P3[:2]))
