"""Methods' options are checked in one place, and the library, the command line and the page obey them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import fusion
from fusion import cli
from fusion.errors import FusionError
from fusion.exposures.brackets import find_brackets
from fusion.folders.report import report_page
from fusion.folders.results import FolderRun, FusedBracket
from fusion.folders.run import BracketFuser, fuse_folder
from fusion.io.image import ExposurePair, save
from fusion.methods import METHODS, method_named
from fusion.methods.base import Fuser, Method, Option, keep_below_white
from fusion.methods.mertens import exposure_fusion
from fusion.methods.pyramef import PyraMEF
from fusion.outputs.drawings import draw_weights
from fusion.page import examples, views
from fusion.page.gallery import Run, follow, weighed
from fusion.page.presets import PRESETS
from fusion.page.run_cache import RunCache
from fusion.page.texts import ENGLISH
from fusion.pipeline import by_method, compare, fuse_pair
from fusion.settings import Settings
from tests.shared_session import SESSION, load, load_pair, weight_maps

Pair = tuple[Path, Path]
OPTIONS = [(m, option) for m in METHODS for option in m.options]
WEIGHING = [m.name for m in METHODS if m.weighs]


def test_options_reach_the_formula(pair: Pair) -> None:
    loaded = load_pair(*pair)
    chosen = {"contrast": 0.0, "saturation": 2.0, "exposedness": 0.5, "sigma": 0.35}
    asked = exposure_fusion([loaded.under, loaded.over], **chosen)  # pyright: ignore[reportArgumentType]
    asked = keep_below_white(asked, loaded.under)
    assert torch.allclose(fuse_pair(loaded, "mertens", options={"mertens": chosen}), asked, atol=1e-6)
    assert not torch.allclose(fuse_pair(loaded, "mertens"), asked, atol=0.02)


@pytest.mark.parametrize(("m", "option"), OPTIONS, ids=[f"{m.name}.{option.name}" for m, option in OPTIONS])
def test_every_option_changes_the_picture_and_its_default_does_not(m: Method, option: Option, pair: Pair) -> None:
    name, low, high, default, _ = option
    loaded = load_pair(*pair)
    plain = fuse_pair(loaded, m.name)
    assert torch.equal(plain, fuse_pair(loaded, m.name, options={m.name: {name: default}}))
    for value in {low, high} - {default}:
        changed = fuse_pair(loaded, m.name, options={m.name: {name: value}})
        assert float((changed - plain).abs().max()) > 1 / 255
        assert torch.isfinite(changed).all()


def test_an_uncorrected_network_is_the_formula(pair: Pair) -> None:
    under, over = (photo.mean(0)[None, None] for photo in (load_pair(*pair).under, load_pair(*pair).over))
    trained, untrained = Fuser(method_named("pyramef"), options={"correction": 0}).network, PyraMEF(correction=0)
    with torch.inference_mode():
        assert torch.allclose(trained(under, over), untrained(under, over), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "mertens",
            {"colour": 1},
            "Mertens has no option called colour; it has contrast, saturation, exposedness, sigma",
        ),
        ("lemamba", {"contrast": 1}, "LE-Mamba has no option called contrast; it has none"),
        ("mertens", {"sigma": 0}, "The option sigma of Mertens goes from 0.05 to 1; 0 is outside"),
        ("mertens", {"contrast": float("nan")}, "goes from 0 to 3; nan is outside"),
    ],
)
def test_what_cannot_be_chosen_is_said(pair: Pair, name: str, options: dict[str, float], sentence: str) -> None:
    with pytest.raises(FusionError, match=sentence):
        fusion.fuse(*pair, method=name, options={name: options})
    with pytest.raises(FusionError, match=sentence):
        next(compare(*pair, [name], options={name: options}))


def test_equal_results_have_equal_settings() -> None:
    assert by_method([("mertens.sigma", 0.2), ("pyramef.detail", 1), ("mertens.contrast", 0.5)]) == {
        "mertens": {"contrast": 0.5}
    }
    with pytest.raises(FusionError, match="no method called nonsense"):
        by_method([("nonsense.contrast", 1.0)])


def test_the_command_line_takes_options(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, files = tmp_path / "out.png", [str(path) for path in pair]
    assert cli.main(["fuse", *files, "-m", "mertens", "-O", "contrast=0", "-O", "sigma=0.4", "-o", str(out)]) == 0
    asked = fusion.fuse(*pair, method="mertens", options={"mertens": {"contrast": 0, "sigma": 0.4}})
    assert float((load(out).photo - asked).abs().max()) <= 0.51 / 255
    compared = ["compare", *files, "-m", "mertens", "-O", "mertens.contrast=0", "-O", "mertens.sigma=0.4"]
    assert cli.main([*compared, "-o", str(tmp_path / "all")]) == 0
    assert (tmp_path / "all" / "mertens.png").read_bytes() == out.read_bytes()
    capsys.readouterr()
    assert cli.main(["fuse", *files, "-m", "mertens", "-O", "colour=1", "-o", str(out)]) == 2
    assert "has no option called colour" in capsys.readouterr().err
    assert cli.main(["fuse", *files, "-O", "contrast", "-o", str(out)]) == 2
    assert "give a name and a value" in capsys.readouterr().err


def test_a_folder_is_made_again_with_other_options(dataset: Path, tmp_path: Path) -> None:
    (bracket,), _ = find_brackets(dataset / "scene0")

    def made(**options: float) -> FusedBracket:
        settings = Settings(options={"mertens": options})
        outcome = BracketFuser(FolderRun(dataset / "scene0", tmp_path, "mertens", settings))(bracket)
        assert isinstance(outcome, FusedBracket)
        return outcome

    assert not made().kept
    assert made(contrast=1).kept  # its default
    assert not made(contrast=2).kept
    chosen = FolderRun(dataset, tmp_path, "mertens", Settings(options={"mertens": {"contrast": 2}}))
    assert "contrast 2" in report_page([made(contrast=2)], [], chosen)
    with pytest.raises(FusionError, match="has no option called colour"):
        fuse_folder([bracket], FolderRun(dataset, tmp_path, "mertens", Settings(options={"mertens": {"colour": 1}})))


# Weight maps.


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_sum_to_one_and_prefer_what_shows_something(name: str) -> None:
    scene = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3
    black, white = torch.zeros(3, 64, 64), torch.ones(3, 64, 64)
    black[..., :32], white[..., 32:] = scene[..., :32], scene[..., 32:]
    maps = weight_maps(ExposurePair(black, white), name)
    assert maps.shape == (2, 1, 64, 64)
    assert torch.allclose(maps.sum(0), torch.ones(1, 64, 64), atol=1e-5)
    assert float(maps.min()) >= 0
    left, right = maps[0, ..., :24].mean(), maps[0, ..., 40:].mean()
    assert float(left) > float(right) + 0.2  # the darker one counts where it alone shows the scene


def test_mertens_weights_are_those_of_its_definition() -> None:
    pair = ExposurePair(torch.full((3, 20, 20), 0.25), torch.full((3, 20, 20), 0.5))
    maps = weight_maps(pair, "mertens", options={"mertens": {"contrast": 0, "saturation": 0}})
    weight = np.exp(-3 * 0.25**2 / (2 * 0.2**2))  # of 0.25 beside 1 of 0.5, all three channels
    assert torch.allclose(maps[0], torch.full((1, 20, 20), weight / (1 + weight)), atol=1e-6)


@pytest.mark.parametrize("name", ["mertens", "meflut"])
def test_more_exposures_have_a_map_each(name: str, pair: Pair) -> None:
    loaded = load_pair(*pair)
    three = ExposurePair(loaded.under, loaded.over, between=((loaded.under + loaded.over) / 2,))
    maps = weight_maps(three, name)
    assert len(maps) == 3
    assert torch.allclose(maps.sum(0), torch.ones_like(maps[0]), atol=1e-5)


def test_a_drawn_map_runs_from_dark_blue_to_yellow() -> None:
    under = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 3)
    colours = draw_weights(torch.stack((under, 1 - under)))[0].astype(int)
    for colour, wanted in zip(colours, ((0, 34, 78), (125, 124, 120), (254, 232, 56)), strict=True):
        assert np.abs(colour - wanted).max() <= 4  # cividis
    middle = draw_weights(torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1, 1))[0, 0]
    assert (middle == colours[1]).all()


def test_weights_from_the_command_line(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, drawn = tmp_path / "out.png", tmp_path / "map.png"
    command = ["fuse", *map(str, pair), "-o", str(out), "--weights", str(drawn)]
    assert cli.main([*command, "-m", "meflut"]) == 0
    pixels = (load(drawn).photo * 255).round().permute(1, 2, 0).numpy()
    assert (pixels == draw_weights(weight_maps(load_pair(*pair), "meflut"))).all()
    out.unlink()
    assert cli.main([*command, "-m", "pyramef"]) == 2
    assert "PyraMEF does not blend by weight maps" in capsys.readouterr().err
    assert not out.exists()


def finished(files: list[Path], names: list[str], folder: Path, **options: dict[str, float]) -> Run:
    events = compare(files[0], files[1], names, more=files[2:], align=False, show_corrected=False, options=options)
    folder.mkdir(exist_ok=True)
    run = Run(folder, tuple(map(method_named, names)), settings=Settings(options=options))
    return list(follow(events, run))[-1]


def test_a_run_is_weighed_from_its_own_pictures(pair: Pair, tmp_path: Path) -> None:
    run = weighed(finished([*pair], ["mertens", "deepfuse"], tmp_path, mertens={"contrast": 0.0}), SESSION)
    mertens, deepfuse = run.tile("mertens"), run.tile("deepfuse")
    assert mertens
    assert mertens.weights
    assert deepfuse
    assert deepfuse.weights is None
    maps = weight_maps(load_pair(*pair), "mertens", options={"mertens": {"contrast": 0.0}})
    assert mertens.shares == pytest.approx([float(one.mean()) for one in maps], abs=1e-4)
    (run.folder / "under.png").unlink()
    with pytest.raises(FusionError, match="fuse once more"):
        weighed(run, SESSION)


def test_a_bracket_is_weighed_with_its_middle_exposure(pair: Pair, tmp_path: Path) -> None:
    middle = tmp_path / "middle.png"
    save((load(pair[0]).photo + load(pair[1]).photo) / 2, middle)
    run = weighed(finished([*pair, middle], ["mertens"], tmp_path / "cache"), SESSION)
    tile = run.tile("mertens")
    assert tile
    assert len(tile.shares) == 3
    assert sum(tile.shares) == pytest.approx(1, abs=1e-4)
    kept = RunCache()
    kept.put(("key",), run)
    os.utime(run.between[0], (0, 0))
    assert kept.recall(("key",), run.methods, run.settings)[1]
    assert run.between[0].stat().st_mtime > 0  # none of it goes before the rest
    run.between[0].unlink()
    assert kept.recall(("key",), run.methods, run.settings) == ({}, None)
    with pytest.raises(FusionError, match="fuse once more"):
        weighed(run, SESSION)


def test_photographs_that_are_gone_are_asked_for_again(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="choose them again"):
        RunCache.key([str(pair[0]), str(tmp_path / "swept.png")], Settings())


# On the page, without a browser.


def test_a_tile_and_a_link_say_what_was_changed(pair: Pair, tmp_path: Path) -> None:
    run = finished([*pair], ["mertens"], tmp_path, mertens={"contrast": 0.5})
    shown = views.sheet(run, [])["rows"][0]["tiles"][0]
    assert shown["changed"] == "Contrast 0.5"
    linked = Run(tmp_path, run.methods, example="desk", settings=run.settings)
    assert views.link(linked) == "?example=desk&methods=mertens&mertens.contrast=0.5"
    found = examples.linked({"example": "desk", "methods": "mertens", "mertens.contrast": "0.5"}, ["mertens"])
    assert found.options == {"mertens": {"contrast": 0.5}}
    for wrong in ({"mertens.colour": "1"}, {"mertens.contrast": "99"}, {"x.y": "${alert(1)}"}):
        assert examples.linked(wrong, ["mertens"]).problem == ENGLISH["link"]["option"]


def test_presets_name_what_there_is() -> None:
    known = {m.name for m in METHODS}
    for preset in PRESETS:
        assert f"preset_{preset.name}" in ENGLISH["page"]
        assert set(preset.methods or ()) <= known
        flat = [
            (f"{name}.{option}", value) for name, chosen in preset.options.items() for option, value in chosen.items()
        ]
        assert by_method(flat) == preset.options  # none at its default
        assert set(preset.options) <= set(preset.methods or known)


@pytest.mark.parametrize("option", sorted({option.name for _, option in OPTIONS}))
def test_every_option_has_words(option: str) -> None:
    assert {f"option_{option}", f"option_{option}_info"} <= set(ENGLISH["page"])
