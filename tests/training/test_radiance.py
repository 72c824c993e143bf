"""Pairs from HDR maps: the numbers are worked out from the camera's own description, on a small made-up map."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusion.cli import main
from fusion.cli.reference import command_line
from fusion.errors import DatasetError
from fusion.methods.mertens import exposure_fusion
from fusion.methods.spdmef import SPDMEF
from fusion.training.camera import (
    REFERENCES,
    RESPONSES,
    Crop,
    Noise,
    Perspective,
    Radiance,
    ReferenceRecipe,
    Shake,
    as_photo,
    expose,
    reference,
    view,
)
from fusion.training.datasets import find_pairs
from fusion.training.radiance import PairOptions, find_maps, make_pairs, read_map, render
from tests.shared_session import load, load_pair


def scene(height: int, width: int, seed: int = 0) -> Radiance:
    """Smooth texture under light that falls off by ten stops from left to right."""
    rng = np.random.default_rng(seed)
    texture = cv2.resize(rng.uniform(0.3, 1, (height // 8, width // 8, 3)), (width, height))
    return np.asarray(texture * np.exp2(np.linspace(3, -7, width))[:, None], np.float32)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    cv2.imwrite(str(folder / "hall.hdr"), scene(144, 200, 1))
    cv2.imwrite(str(folder / "field.hdr"), scene(160, 320, 2))
    return folder


SMALL = PairOptions(count=2, side=128)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_a_dataset(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs"
    command = ["make-pairs", str(maps), "-o", str(out), "--count", "2", "--side", "128", "--json"]
    assert main(command) == 0
    rows = [{"map": "field.hdr", "pairs": 2}, {"map": "hall.hdr", "pairs": 2}]
    assert json.loads(capsys.readouterr().out) == rows
    pairs = find_pairs(out)
    assert [pair.scene for pair in pairs] == ["field_0", "field_1", "hall_0", "hall_1"]
    with (out / "manifest.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["scene"] for row in table] == [pair.scene for pair in pairs]
    assert all(2 <= float(row["gap"]) <= 8 for row in table)
    for pair in pairs:
        loaded = load_pair(pair.under, pair.over)
        assert not loaded.notes  # A is the darker one
        assert load(out / pair.scene / f"{pair.scene}_GT.png").photo.shape == loaded.under.shape
    assert main(command) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_made(maps: Path, tmp_path: Path) -> None:
    make_pairs(maps, tmp_path / "a", SMALL)
    make_pairs(maps, tmp_path / "b", SMALL)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (maps / "field.hdr").unlink()
    make_pairs(maps, tmp_path / "c", PairOptions(count=1, side=128))
    alone = {name: data for name, data in contents(tmp_path / "c").items() if name != "manifest.csv"}
    assert len(alone) == 3
    assert alone.items() <= contents(tmp_path / "a").items()
    make_pairs(maps, tmp_path / "d", PairOptions(count=1, side=128, seed=1))
    assert contents(tmp_path / "d").keys() == contents(tmp_path / "c").keys()
    assert contents(tmp_path / "d") != contents(tmp_path / "c")


def test_jpeg(maps: Path, tmp_path: Path) -> None:
    shots, skipped = make_pairs(maps, tmp_path / "out", PairOptions(count=1, side=128, jpeg=(60, 70)))
    assert not skipped
    assert all(60 <= (shot.jpeg or 0) <= 70 for shot in shots)
    pair = find_pairs(tmp_path / "out")[0]
    assert (pair.under.suffix, pair.over.suffix) == (".jpg", ".jpg")
    assert pair.under.read_bytes().startswith(b"\xff\xd8\xff")


def linear(picture: torch.Tensor, response: str) -> np.ndarray:
    """The light behind a picture, by the response read backwards."""
    light = np.linspace(0, 1, 100_001, dtype=np.float32)
    return np.interp(picture.numpy(), RESPONSES[response](light), light)


@pytest.mark.parametrize("response", RESPONSES)
def test_the_gap_is_the_gap(response: str) -> None:
    pair = render(scene(144, 200), "hall.hdr", 0, PairOptions(side=128, gap=(4, 4), response=response, noise=Noise()))
    inside = (pair.under > 0.05) & (pair.over < 0.95)
    assert int(inside.sum()) > 1000
    ratio = linear(pair.over[inside], response) / linear(pair.under[inside], response)
    assert np.log2(ratio) == pytest.approx(4, abs=0.02)  # what interpolation and float32 leave in the toe


@pytest.mark.parametrize("response", RESPONSES)
def test_responses_rise_from_black_to_white_and_agree_on_mid_grey(response: str) -> None:
    curve = RESPONSES[response](np.linspace(0, 1, 1001, dtype=np.float32))
    assert (np.diff(curve) > 0).all()
    assert (float(curve[0]), float(curve[-1])) == pytest.approx((0, 1), abs=1e-6)
    assert float(curve[180]) == pytest.approx(0.46, abs=0.005)


def test_the_command_line_knows_every_response() -> None:
    assert ", ".join(f"`{name}`" for name in RESPONSES) in command_line()


def test_light_beyond_the_sensor_is_clipped() -> None:
    light = np.array([[[0.0, 0.25, 0.5], [0.6, 1.0, 400.0]]], np.float32)
    assert expose(light, 1, "gamma") == pytest.approx(np.array([[[0, 0.5, 1], [1, 1, 1]]]) ** (1 / 2.2))
    noisy = expose(light, 1, "gamma", Noise(1000, 5), np.random.default_rng(0))
    assert noisy[0, 1, 2] == 1
    assert noisy.min() >= 0


@pytest.mark.parametrize("light", [0.05, 0.5])
def test_noise_has_the_variance_of_its_formula(light: float) -> None:
    noise = Noise(well=2000, read=8)
    flat = np.full((200, 200, 3), light / 4, np.float32)
    seen = expose(flat, 2, "gamma", noise, np.random.default_rng(0)) ** 2.2
    expected = light / noise.well + (noise.read / noise.well) ** 2
    # Of n samples, a variance is uncertain by sqrt(2 / n): 0.4 % here; a mean by sqrt(variance / n). Five times each.
    assert seen.var() == pytest.approx(expected, rel=0.02)
    assert seen.mean() == pytest.approx(light, abs=5 * math.sqrt(expected / seen.size))


def test_a_thing_moves_between_the_exposures_and_all_else_stays() -> None:
    still, moving = (
        render(scene(144, 200), "hall.hdr", 0, PairOptions(side=128, noise=Noise(), move=move))
        for move in (False, True)
    )
    thing = moving.thing
    assert thing
    assert moving.shot.moved == thing.second.x - thing.first.x != 0
    assert moving.later is not None
    for before, after, place in (
        (still.under, moving.under, thing.first),
        (still.over, moving.over, thing.second),
    ):
        changed = (before != after).any(0).numpy()
        assert changed.any()
        place.of(changed[..., None])[...] = False
        assert not changed.any()
    for truth, place in ((moving.reference, thing.first), (moving.later, thing.second)):
        off = (truth - still.reference).abs().permute(1, 2, 0).numpy()
        assert place.of(off).mean() > 2 * off.mean()


def test_shake_moves_over_alone() -> None:
    steady, shaken = (
        render(scene(144, 200), "hall.hdr", 0, PairOptions(side=128, noise=Noise(), shake=shake)) for shake in (0, 3)
    )
    assert torch.equal(steady.under, shaken.under)
    assert torch.equal(steady.reference, shaken.reference)
    assert not torch.equal(steady.over, shaken.over)
    shot = shaken.shot
    assert 0 < math.hypot(shot.shake_right, shot.shake_down) <= 3
    assert 0 < abs(math.radians(shot.shake_turn)) * 64 <= 1.5


@pytest.mark.parametrize("where", [Crop(0.8, 0.5, 0.5), Perspective(30, 10, 60)])
def test_a_shift_of_whole_pixels_is_just_that(where: Crop | Perspective) -> None:
    radiance = scene(256, 512) if isinstance(where, Perspective) else scene(256, 300)
    still, moved = (view(radiance, where, 1000, shake) for shake in (None, Shake(right=2, down=3)))
    # Weights of cv2.remap are multiples of 1/32, so a pixel is off by a 64th of its neighbours' difference at most.
    slope = max(np.abs(np.diff(still, axis=0)).max(), np.abs(np.diff(still, axis=1)).max())
    assert np.abs(moved[:-3, :-2] - still[3:, 2:]).max() <= slope / 32


def test_a_panorama_is_seen_in_the_right_direction() -> None:
    """The map's colours are its own longitude and latitude, in degrees."""
    latitude, longitude = np.mgrid[89.75:-90:-0.5, -179.75:180:0.5]
    radiance = np.dstack((longitude + 180, latitude + 90, np.ones_like(latitude))).astype(np.float32)
    seen = view(radiance, Perspective(yaw=40, pitch=15, field=80), 10_000)
    height, width = seen.shape[:2]
    assert width == round(2 * 720 / (2 * math.pi) * math.tan(math.radians(40)))  # never enlarged
    assert height == pytest.approx(0.75 * width, abs=1)
    centre = seen[height // 2, width // 2]
    assert (centre[0] - 180, centre[1] - 90) == pytest.approx((40, 15), abs=0.5)
    assert seen[0, width // 2, 1] - 90 == pytest.approx(15 + math.degrees(math.atan(0.75 * math.tan(0.698))), abs=0.5)
    level = view(radiance, Perspective(yaw=0, pitch=0, field=80), 10_000)
    assert level[height // 2, [0, -1], 0] - 180 == pytest.approx([-40, 40], abs=0.5)


@pytest.mark.parametrize(("recipe", "clipped"), [("mertens", 0.0), ("spd", 0.01)])
def test_the_reference_holds_what_either_photograph_holds(recipe: ReferenceRecipe, clipped: float) -> None:
    """Mertens' range is bent, so that nothing is clipped. SPD-MEF overshoots at edges, in few of the values."""
    for index in range(3):
        options = PairOptions(side=128, gap=(4, 8), noise=Noise(), recipe=recipe)
        pair = render(scene(144, 200), "hall.hdr", index, options)
        target = pair.reference
        shown = ((pair.under < 0.95) & (pair.under > 0.05)) | ((pair.over < 0.95) & (pair.over > 0.05))
        assert int(shown.sum()) > 1000
        lost = (target[shown] <= 0.5 / 255) | (target[shown] >= 254.5 / 255)
        assert float(lost.float().mean()) <= clipped
        assert float(pair.under.mean()) < float(target.mean()) < float(pair.over.mean())


def test_the_reference_by_hand() -> None:
    """Flat grey has neither contrast nor colour: Mertens is the mean of the frames, SPD-MEF one by exposedness."""
    burst = 0.18 * np.exp2([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])  # one stop beyond either photograph
    levels = np.minimum(burst, 1) ** (1 / 2.2)
    weights = np.exp(-((levels - 0.5) ** 2) * (1 / (2 * 0.2**2) + 1 / (2 * 0.5**2)))
    expected: dict[ReferenceRecipe, float] = {"mertens": levels.mean(), "spd": np.average(levels, weights=weights)}
    assert {*expected} == {*REFERENCES}
    for recipe, level in expected.items():
        target = reference(np.full((64, 64, 3), 0.18, np.float32), -1.5, 1.5, "gamma", recipe)
        assert target.shape == (3, 64, 64)
        assert target.numpy() == pytest.approx(level, abs=1e-5)


def test_the_reference_is_a_fusion_of_the_burst_bit_by_bit() -> None:
    seen = scene(96, 128)
    burst = torch.stack([as_photo(expose(seen, stops, "film")) for stops in (-3.5, -2.5, -1.5, -0.5, 0.5, 1.5)])
    by_patches = SPDMEF()(*(frame[None] for frame in burst))[0]
    assert torch.equal(reference(seen, -2.5, 0.5, "film"), by_patches)
    former = exposure_fusion(burst, roll_off=0.1)
    assert torch.equal(reference(seen, -2.5, 0.5, "film", "mertens"), former)
    assert float((by_patches - former).abs().mean()) > 0.01


def test_the_recipe_changes_the_references_alone(maps: Path, tmp_path: Path) -> None:
    make_pairs(maps, tmp_path / "spd", SMALL)
    command = ["make-pairs", str(maps), "-o", str(tmp_path / "mertens"), "--count", "2", "--side", "128"]
    assert main([*command, "--recipe", "mertens"]) == 0
    ours, former = contents(tmp_path / "spd"), contents(tmp_path / "mertens")
    assert ours.keys() == former.keys()
    changed = {name for name in ours if ours[name] != former[name]}
    assert changed == {name for name in ours if name.endswith("_GT.png")}


def test_maps_that_cannot_be_used_are_named(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (maps / "broken.hdr").write_bytes(b"#?RADIANCE\nnot a map")
    cv2.imwrite(str(maps / "tiny.hdr"), scene(32, 48))
    cv2.imwrite(str(maps / "black.pic.hdr"), np.zeros((130, 130, 3), np.float32))
    cv2.imwrite(str(maps / "flat.hdr"), np.ones((130, 130, 3), np.float32))
    out = tmp_path / "out"
    assert main(["make-pairs", str(maps), "-o", str(out), "--count", "1", "--side", "128", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [{"map": "field.hdr", "pairs": 1}, {"map": "hall.hdr", "pairs": 1}]
    for sentence in (
        "broken.hdr is not an HDR map that can be read",
        "tiny.hdr is too small (48×32)",
        "black.pic.hdr is black all over",
        "flat_0: no view of flat.hdr was found that needs two exposures",
    ):
        assert sentence in captured.err
    assert len(find_pairs(out)) == 2


def test_a_photograph_is_no_radiance_map(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((200, 200, 3), 90, np.uint8))
    (tmp_path / "photo.png").rename(tmp_path / "photo.hdr")
    with pytest.raises(DatasetError, match="not an HDR map"):
        read_map(tmp_path / "photo.hdr")


def test_openexr_is_asked_for_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.exr").touch()
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(DatasetError, match=r"a\.exr needs a package that is not installed: pip install OpenEXR"):
        read_map(tmp_path / "a.exr")


def test_openexr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    openexr = pytest.importorskip("OpenEXR")
    pixels = scene(144, 200)
    pixels[0, :4] = [[-1] * 3, [np.nan] * 3, [np.inf] * 3, [0] * 3]
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(dict(header), {"RGB": pixels}).write(str(tmp_path / "a.exr"))
    read = read_map(tmp_path / "a.exr")
    assert np.array_equal(read[1:], pixels[1:])
    assert read[0, :4, 0].tolist() == [0, 0, pixels[np.isfinite(pixels)].max(), 0]
    for name, channel in (("grey", "Y"), ("depth", "Z")):
        plane = {channel: np.ascontiguousarray(pixels[1:, :, 0])}
        openexr.File(dict(header), plane).write(str(tmp_path / f"{name}.exr"))
    assert np.array_equal(read_map(tmp_path / "grey.exr"), pixels[1:, :, :1].repeat(3, axis=2))
    (tmp_path / "broken.exr").write_bytes((tmp_path / "a.exr").read_bytes()[:5000])
    for name in ("depth.exr", "broken.exr"):
        with pytest.raises(DatasetError, match="not an HDR map"):
            read_map(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_radiance_keeps_its_colours(maps: Path) -> None:
    # Three mantissas of eight bits share an exponent: within 1/256 of the brightest channel, which halves at worst.
    written = scene(144, 200, 1)[..., ::-1]  # cv2.imwrite took it for BGR
    assert (np.abs(read_map(maps / "hall.hdr") - written) <= written.max(-1, keepdims=True) / 128).all()


def test_folders_without_maps_are_refused(maps: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no HDR radiance maps"):
        find_maps(tmp_path / "empty")
    with pytest.raises(DatasetError, match="not a folder"):
        find_maps(tmp_path / "none")
    (maps / "Hall.exr").touch()
    with pytest.raises(DatasetError, match=r"Hall\.exr and hall\.hdr would give pairs of the same name"):
        find_maps(maps)


WRONG = [
    (["--count", "0"], "--count is"),
    (["--side", "20"], "--side is in pixels: give 128"),
    (["--gap", "8", "2"], "--gap is MIN MAX"),
    (["--gap", "nan", "2"], "--gap is MIN MAX"),
    (["--noise", "0", "3"], "--noise is WELL READ"),
    (["--jpeg", "0", "101"], "--jpeg is MIN MAX"),
    (["--shake", "-1"], "--shake is in pixels"),
    (["--seed", "-1"], "--seed is"),
    (["--response", "none"], "'none' is not one of"),
    (["--recipe", "none"], "'none' is not one of"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_options_exit_with_2(
    options: list[str], sentence: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["make-pairs", str(maps), "-o", str(tmp_path / "out"), *options])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert sentence in captured.err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-pairs", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no HDR radiance maps" in capsys.readouterr().err
