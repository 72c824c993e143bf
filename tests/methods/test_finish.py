"""Finishing a picture: what each control changes, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import astuple, fields
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import fusion
from fusion.cli import main
from fusion.errors import FusionError
from fusion.io.colour import luma
from fusion.methods.finish import COPY, EDGE, PIVOT, POINT, RADIUS, Finish, finished
from fusion.settings import Settings
from tests.shared_session import load

CONTROLS = [control.name for control in fields(Finish)]
SMALL = 40, 56


def picture(height: int = SMALL[0], width: int = SMALL[1]) -> Tensor:
    """Colours of all kinds, smooth with some grain, and without the very ends of the range."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 5, 7, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
    return (smooth + 0.04 * torch.randn(3, height, width, generator=rng)).clamp(0.02, 0.98)


def by_hand(photo: NDArray[np.float64], finish: Finish) -> NDArray[np.float64]:
    """The docstring's formulas for a photograph (3, H, W) whose copy is the photograph itself, pixel by pixel."""
    _, height, width = photo.shape
    whole = 0.299 * photo[0] + 0.587 * photo[1] + 0.114 * photo[2]
    b, w = POINT * finish.black, POINT * finish.white
    s = (1 - max(-b, 0) - max(-w, 0)) / (1 - max(b, 0) - max(w, 0))
    bright, steep = 2**finish.brightness, 2**finish.contrast

    def lit(y: float) -> tuple[float, float]:
        y = min(max(max(-b, 0) + s * (y - max(b, 0)), 0), 1)
        g = bright / (1 + (bright - 1) * y)
        return g * y, g

    p = min(max(lit(float(whole.mean()))[0], PIVOT[0]), PIVOT[1])
    out = np.zeros_like(photo)
    for row, column in product(range(height), range(width)):
        y = float(whole[row, column])
        square = whole[max(row - RADIUS, 0) : row + RADIUS + 1, max(column - RADIUS, 0) : column + RADIUS + 1]
        q = EDGE**2 / (float(square.var()) + EDGE**2)
        y3, g = lit(y + finish.detail * q * (y - float(square.mean())))
        if y3 < p:
            y4 = p * (y3 / p) / (y3 / p + steep * (1 - y3 / p))
        else:
            t = (1 - y3) / (1 - p)
            y4 = 1 - (1 - p) * t / (t + steep * (1 - t))
        c = s * g * (y4 / y3 if y3 else 1 / steep) * (1 + finish.colour)
        differences = c * (photo[:, row, column] - y)
        share = min(1.0, *((1 - y4 if d > 0 else y4) / max(abs(d), 1e-6) for d in differences))
        out[:, row, column] = y4 + share * differences
    return out


@pytest.mark.parametrize(
    "finish",
    [
        *(Finish(**{name: value}) for name in CONTROLS for value in (-1.0, 0.6)),
        Finish(0.4, 0.5, 0.3, 0.7, 0.2, 0.1),
        Finish(-0.5, -0.3, -0.4, -0.6, -0.7, -0.9),
    ],
    ids=str,
)
def test_it_is_what_the_formulas_say(finish: Finish) -> None:
    photo = picture()
    assert np.allclose(finished(photo, finish).numpy(), by_hand(photo.double().numpy(), finish), atol=2e-5)


def test_without_a_control_nothing_changes() -> None:
    photo = picture()
    assert finished(photo, Finish()) is photo


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_changes_something_in_both_directions(control: str) -> None:
    photo = picture()
    less, more = (finished(photo, Finish(**{control: value})) for value in (-1.0, 1.0))
    for changed in (less, more):
        assert float((changed - photo).abs().max()) > 0.05
    assert float((less - more).abs().max()) > 0.1


def test_whatever_is_chosen_gives_a_picture() -> None:
    corners = torch.tensor(list(product((0.0, 0.5, 1.0), repeat=3))).T[:, :, None].expand(-1, -1, 8).contiguous()
    for values in product((-1.0, 1.0), repeat=len(CONTROLS)):
        changed = finished(corners, Finish(*values))
        assert bool(changed.isfinite().all())
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_it_is_differentiable() -> None:
    photo = picture().requires_grad_()
    finished(photo, Finish(0.4, 0.5, 0.3, 0.7, 0.2, 0.1)).mean().backward()
    assert photo.grad is not None
    assert bool(photo.grad.isfinite().all())
    assert float(photo.grad.abs().mean()) > 0


def test_brightness_keeps_black_white_and_ratios() -> None:
    ends = torch.tensor([0.0, 1.0]).expand(3, 1, 2)
    photo = 0.5 * picture()
    for value in (-1.0, 0.5, 1.0):
        assert torch.allclose(finished(ends, Finish(brightness=value)), ends, atol=1e-6)
        changed = finished(photo, Finish(brightness=value))
        inside = changed.amax(0) < 0.999
        ratio = (changed / photo)[:, inside]
        assert bool(inside.any())
        assert float((ratio.amax(0) / ratio.amin(0)).max()) < 1.001


@pytest.mark.parametrize("control", ["brightness", "contrast"])
def test_the_opposite_value_undoes_it(control: str) -> None:
    photo = picture().mean(0, keepdim=True).expand(3, -1, -1)
    there = finished(photo, Finish(**{control: 0.8}))
    back = finished(there, Finish(**{control: -0.8}))
    # The pivot of contrast is the mean, which contrast moves a little.
    assert float((back - photo).abs().max()) < {"brightness": 1e-5, "contrast": 0.02}[control]


def test_contrast_spreads_the_tones_and_keeps_their_mean() -> None:
    photo = luma(picture())
    for value, more in ((0.7, True), (-0.7, False)):
        changed = luma(finished(picture(), Finish(contrast=value)))
        assert (float(changed.std()) > float(photo.std())) == more
        assert float(changed.mean()) == pytest.approx(float(photo.mean()), abs=0.02)


def test_colour_leaves_the_luma() -> None:
    photo = picture()
    for value in (-1.0, -0.4, 0.4, 1.0):
        changed = finished(photo, Finish(colour=value))
        assert torch.allclose(luma(changed), luma(photo), atol=1e-5)
    grey = finished(photo, Finish(colour=-1))
    assert float((grey.amax(0) - grey.amin(0)).max()) < 1e-5


def test_detail_leaves_flat_places_and_edges() -> None:
    step = torch.full((3, 60, 80), 0.2)
    step[..., 40:] = 0.8
    for value in (-1.0, 1.0):
        changed = finished(step, Finish(detail=value))
        assert float((changed - step)[..., :24].abs().max()) < 1e-5
        assert float((changed - step).abs().max()) < 0.1 * 0.6  # a tenth of the step
    grain = 0.5 + 0.02 * torch.randn(1, 60, 80, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    assert float(finished(grain, Finish(detail=1)).std()) > 1.7 * float(grain.std())
    assert float(finished(grain, Finish(detail=-1)).std()) < 0.3 * float(grain.std())


def test_black_and_white_point() -> None:
    greys = torch.tensor([0.0, POINT, 0.5, 1 - POINT, 1.0]).expand(3, 1, 5)

    def ends(**controls: float) -> list[float]:
        return finished(greys, Finish(**controls))[0, 0].tolist()

    assert ends(black=1)[:2] == pytest.approx([0, 0], abs=1e-6)
    assert ends(black=-1)[0] == pytest.approx(POINT, abs=1e-6)
    assert ends(white=1)[3:] == pytest.approx([1, 1], abs=1e-6)
    assert ends(white=-1)[4] == pytest.approx(1 - POINT, abs=1e-6)
    for value in (-1.0, 1.0):
        assert ends(black=value)[4] == pytest.approx(1, abs=1e-6)
        assert ends(white=value)[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_smaller_preview_shows_the_same(control: str) -> None:
    """Three times smaller, a smooth picture looks as the large one does, to a step of 8 bits.

    Pixels at which a colour just leaves the range are excepted, since a mean over them differs.
    """
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    photo = torch.nn.functional.interpolate(coarse, (1200, 1650), mode="bicubic")[0].clamp(0, 1)
    preview = torch.nn.functional.avg_pool2d(photo, 3)
    finish = Finish(**{control: 0.5})
    saved = torch.nn.functional.avg_pool2d(finished(photo, finish), 3)
    assert max(preview.shape) > COPY
    assert float(((finished(preview, finish) - saved).abs() > 1 / 255).float().mean()) < 1e-3


def test_a_value_outside_is_refused() -> None:
    for value in (1.5, -2.0, float("nan")):
        with pytest.raises(FusionError, match="The control detail goes from -1 to 1"):
            Finish(detail=value)
    with pytest.raises(FusionError, match="Give finish as a Finish"):
        Settings(finish={"detail": 1})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", ["mertens", "deepfuse"])
def test_every_method_is_finished(pair: tuple[Path, Path], method: str) -> None:
    finish = Finish(brightness=0.3, colour=0.2)
    plain = fusion.fuse(*pair, method)
    assert torch.equal(fusion.fuse(*pair, method, finish=Finish()), plain)
    assert torch.equal(fusion.fuse(*pair, method, finish=finish), finished(plain, finish))


def test_the_command_line_finishes(pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish = Finish(0.3, 0.2, -0.1, 0.4, 0.1, -0.2)
    asked = fusion.fuse(*pair, "mertens", finish=finish)
    controls = [f"--{name}={value}" for name, value in zip(CONTROLS, astuple(finish), strict=True)]
    files, out = [str(file) for file in pair], tmp_path / "fused.png"
    assert main(["fuse", *files, "-m", "mertens", "-o", str(out), *controls]) == 0
    assert float((load(out).photo - asked).abs().max()) <= 0.51 / 255
    assert main(["compare", *files, "-m", "mertens", "-o", str(tmp_path / "all"), *controls]) == 0
    assert (tmp_path / "all" / "mertens.png").read_bytes() == out.read_bytes()
    capsys.readouterr()
    folder = ["fuse-folder", str(pair[0].parent), "-m", "mertens", "-o", str(tmp_path / "folder"), "--json"]
    assert main([*folder, *controls]) == 0
    (row,) = json.loads(capsys.readouterr().out)["done"]
    assert Path(row["result"]).read_bytes() == out.read_bytes()
    assert main(["fuse", *files, "-o", str(out), "--brightness", "2"]) == 2
    assert "--brightness" in capsys.readouterr().err
