"""Every listed metric: properties, pictures done by hand, other implementations, MEFB's own values."""

from __future__ import annotations

import json
import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from fusion.metric import Better, Metric, Pixels
from fusion.metrics import METRICS
from fusion.metrics.grey import grey

BY_NAME = {metric.name: metric for metric in METRICS}
ROOT = Path(__file__).resolve().parents[1]
GOLDEN = json.loads((ROOT / "tests/golden/metric_golden.json").read_text(encoding="utf-8"))

each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def in_colour(levels: ArrayLike) -> Pixels:
    """The same levels (H, W) in R, G and B."""
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=2)


def scene(height: int, width: int) -> tuple[Pixels, Pixels, Pixels]:
    """A smooth random picture as fused, a darker and a brighter, clipped version as sources."""
    rng = np.random.default_rng(7)
    radiance = cv2.GaussianBlur(rng.uniform(0, 255, (height, width, 3)), (0, 0), 2)
    radiance = (radiance - radiance.min()) / np.ptp(radiance) * 255
    noise = rng.normal(0, 2, (3, height, width, 3))
    fused, under, over = (np.clip(radiance * gain + noise[i], 0, 255) for i, gain in enumerate((1.0, 0.5, 1.6)))
    return fused.astype(np.uint8), under.astype(np.uint8), over.astype(np.uint8)


def measure(name: str, fused: Pixels, under: Pixels | None = None, over: Pixels | None = None) -> float:
    """The metric of that name; a missing source is the fused picture itself."""
    return BY_NAME[name].measure(fused, fused if under is None else under, fused if over is None else over)


def test_the_list_is_complete_and_in_order() -> None:
    names = "ssim mef_ssim entropy sd sf ag ei ce psnr_mefb nmi qncie qabf vif"
    assert [metric.name for metric in METRICS] == names.split()
    assert [metric.name for metric in METRICS if metric.better is Better.LOWER] == ["ce"]


# Properties


@each_metric
@pytest.mark.parametrize("size", [(16, 16), (16, 70), (61, 47)])
def test_finite_and_repeatable(metric: Metric, size: tuple[int, int]) -> None:
    pictures = scene(*size)
    before = [picture.copy() for picture in pictures]
    value = metric.measure(*pictures)
    assert type(value) is float
    assert math.isfinite(value)
    assert metric.measure(*pictures) == value
    for picture, kept in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, kept)


@each_metric
@pytest.mark.parametrize("levels", [(0, 0, 0), (255, 255, 255), (128, 0, 255), (77, 77, 200)])
def test_finite_on_flat_pictures(metric: Metric, levels: tuple[int, int, int]) -> None:
    assert math.isfinite(metric.measure(*(in_colour(np.full((48, 50), level)) for level in levels)))


@each_metric
def test_finite_with_one_flat_picture(metric: Metric) -> None:
    pictures = scene(48, 50)
    for i in range(3):
        some = list(pictures)
        some[i] = in_colour(np.full((48, 50), 255))
        assert math.isfinite(metric.measure(*some))


QABF_CEILING = 0.9994 * 0.9879 / (1 + math.exp(-22 * 0.2))
PIXELS = 61 * 47
IDEAL = {
    "ssim": 1.0,
    "mef_ssim": 1.0,
    "ce": 0.0,
    "psnr_mefb": 20 * math.log10(255) + 10 * math.log10(2 * PIXELS),
    "nmi": 2.0,
    "vif": 1.0,
    "qabf": QABF_CEILING,
}


@pytest.mark.parametrize("name", IDEAL)
@pytest.mark.parametrize("kind", ["scene", "flat", "black"])
def test_ideal_where_all_three_are_equal(name: str, kind: str) -> None:
    kinds = {
        "scene": scene(61, 47)[0],
        "flat": in_colour(np.full((61, 47), 90)),
        "black": in_colour(np.zeros((61, 47))),
    }
    # Equal edge strengths pass through the strength sigmoid as they are, and of 1 it makes 0.9994 - 0.0006.
    tolerance = 6e-4 if name == "qabf" else 1e-9
    # A black picture has not even the edge of its frame.
    ideal = 1.0 if (name, kind) == ("qabf", "black") else IDEAL[name]
    assert measure(name, kinds[kind]) == pytest.approx(ideal, abs=tolerance)


@each_metric
def test_symmetric_in_the_sources(metric: Metric) -> None:
    fused, under, over = scene(61, 47)
    # VIF chooses between the sources, and its ties (patches that are flat or oppose) go to the second one.
    tolerance = 0.02 if metric.name == "vif" else 1e-12
    assert metric.measure(fused, over, under) == pytest.approx(metric.measure(fused, under, over), rel=tolerance)


@pytest.mark.parametrize("name", ["entropy", "sd", "sf", "ag", "ei"])
def test_blind_to_the_sources(name: str) -> None:
    fused, under, over = scene(30, 40)
    assert measure(name, fused, under, over) == measure(name, fused)


# By hand


def test_entropy_of_black_and_white_is_one_bit() -> None:
    assert measure("entropy", in_colour([[0, 255], [255, 0]])) == pytest.approx(1, abs=1e-12)
    assert measure("entropy", in_colour(np.arange(256).reshape(16, 16))) == pytest.approx(8, abs=1e-12)
    assert measure("entropy", in_colour([[9, 9]])) == 0


def test_planes_are_measured_apart() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[..., 1] = [[0, 255], [0, 255]]
    assert measure("entropy", picture) == pytest.approx(1 / 3, abs=1e-12)
    assert measure("sd", picture) == pytest.approx(127.5 / 3, abs=1e-12)


def test_contrast_of_a_ramp() -> None:
    ramp = in_colour(np.tile(np.arange(0, 50, 5), (6, 1)))  # 6 rows, 10 columns, 5 levels a column
    assert measure("sd", ramp) == pytest.approx(5 * math.sqrt((100 - 1) / 12), rel=1e-12)
    assert measure("sf", ramp) == pytest.approx(math.sqrt(6 * 9 * 25 / 60), rel=1e-12)
    assert measure("ag", ramp) == pytest.approx(60 * math.sqrt(25 / 2) / (5 * 9), rel=1e-12)
    # Sobel's 8 per level, half of that in the two columns whose outer neighbour is a copy.
    assert measure("ei", ramp) == pytest.approx(5 * (8 * 8 + 2 * 4) / 10, rel=1e-12)


def test_cross_entropy_by_hand() -> None:
    fused, under, over = in_colour([[0, 0, 0, 9]]), in_colour([[0, 0, 9, 9]]), in_colour([[0, 0, 0, 9]])
    under_bits = 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)
    assert measure("ce", fused, under, over) == pytest.approx(under_bits / 2, rel=1e-12)


def test_psnr_of_mefb_by_hand() -> None:
    under, over = in_colour(np.full((4, 5), 100)), in_colour(np.full((4, 5), 110))
    fused = in_colour(np.full((4, 5), 104))
    error = (math.sqrt(20 * 4**2) / 20 + math.sqrt(20 * 6**2) / 20) / 2
    assert measure("psnr_mefb", fused, under, over) == pytest.approx(20 * math.log10(255 / math.sqrt(error)), rel=1e-12)


def test_information_by_hand() -> None:
    halves, stripes = in_colour([[0, 0], [9, 9]]), in_colour([[0, 9], [0, 9]])  # one bit each, independent
    assert measure("nmi", halves, halves, stripes) == pytest.approx(1, abs=1e-12)
    assert measure("nmi", halves, stripes, stripes) == pytest.approx(0, abs=1e-12)
    # Only the fused picture and `under` share their one bit, an eighth of a base-256 digit: 1, 1 + 1/8, 1 - 1/8.
    shares = [1 / 3, 1.125 / 3, 0.875 / 3]
    expected = 1 + sum(share * math.log(share, 256) for share in shares)
    assert measure("qncie", halves, halves, stripes) == pytest.approx(expected, rel=1e-12)


def test_vif_of_doubled_contrast() -> None:
    """g = 2 everywhere, no residue: each window gives log(1 + 4 v / n) against log(1 + v / n), so between 1 and 4."""
    source = scene(61, 47)[0] // 4 * 2
    assert 1 < measure("vif", source // 2 * 4, source, source) < 4


# Other implementations


@pytest.mark.parametrize("size", [(16, 16), (61, 47)])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int]) -> None:
    from skimage.metrics import structural_similarity

    fused, under, over = (grey(picture) for picture in scene(*size))
    settings: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(fused, source, data_range=255, **settings) for source in (under, over)]
    assert measure("ssim", *scene(*size)) == pytest.approx(np.mean(expected), abs=1e-10)


def test_entropy_is_that_of_scikit_image() -> None:
    from skimage.measure import shannon_entropy

    fused = scene(61, 47)[0]
    expected = np.mean([shannon_entropy(fused[..., c], base=2) for c in range(3)])
    assert measure("entropy", fused) == pytest.approx(expected, abs=1e-12)


def slow_edge(levels: NDArray[np.uint8], y: int, x: int) -> tuple[float, float]:
    """Sobel strength and angle at one pixel, zeros outside, x pointing left."""
    padded = np.pad(levels.astype(float), 1)[y : y + 3, x : x + 3]
    sx = padded[:, 0] @ [1, 2, 1] - padded[:, 2] @ [1, 2, 1]
    sy = padded[2] @ [1, 2, 1] - padded[0] @ [1, 2, 1]
    return math.hypot(sx, sy), math.pi / 2 if sx == 0 else math.atan(sy / sx)


def slow_qabf(fused: NDArray[np.uint8], under: NDArray[np.uint8], over: NDArray[np.uint8]) -> float:
    kept = there = 0.0
    for y, x in np.ndindex(fused.shape):
        g_fused, a_fused = slow_edge(fused, y, x)
        for source in (under, over):
            g, a = slow_edge(source, y, x)
            strength = g if g == g_fused else min(g, g_fused) / max(g, g_fused)
            angle = 1 - abs(a - a_fused) / (math.pi / 2)
            q_strength = 0.9994 / (1 + math.exp(-15 * (strength - 0.5)))
            q_angle = 0.9879 / (1 + math.exp(-22 * (angle - 0.8)))
            kept += q_strength * q_angle * g
            there += g
    return kept / there


def test_qabf_is_that_of_a_loop() -> None:
    pictures = scene(14, 17)
    expected = np.mean([slow_qabf(*(picture[..., c] for picture in pictures)) for c in range(3)])
    assert measure("qabf", *pictures) == pytest.approx(expected, rel=1e-12)


def slow_windows(plane: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(H', W', size, size): every window that lies inside."""
    return np.lib.stride_tricks.sliding_window_view(plane, (size, size))


def slow_vif(planes: list[NDArray[np.float64]]) -> float:
    """One plane's VIF, [fused, under, over], with moments about each window's own mean."""
    total, noise = 0.0, 0.005 * 255**2
    for size, weight in ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0)):
        radius = np.arange(size) - size // 2
        gauss = np.exp(-(radius[:, None] ** 2 + radius**2) / (2 * (size / 5) ** 2))
        gauss /= gauss.sum()
        if size < 17:
            planes = [(slow_windows(plane, size) * gauss).sum((2, 3))[::2, ::2] for plane in planes]
        arrives = there = 0.0
        windows = [slow_windows(plane, size) for plane in planes]
        for y, x in np.ndindex(windows[0].shape[:2]):
            f, a, b = (window[y, x] - (window[y, x] * gauss).sum() for window in windows)
            choices: list[tuple[float, float, float]] = []
            for s in (b, a):  # min() keeps the first of equals: `over`
                cov, var = float((s * f * gauss).sum()), float((s * s * gauss).sum())
                gain = max(cov / var, 0) if var > 1e-9 else 0.0
                residue = float((f * f * gauss).sum()) - gain * cov
                choices.append((gain, math.log10(1 + gain**2 * var / (residue + noise)), math.log10(1 + var / noise)))
            _, vid, vind = min(choices, key=lambda choice: choice[0])
            arrives, there = arrives + vid, there + vind
        total += weight * arrives / there
    return total / 2.15


def test_vif_is_that_of_a_loop() -> None:
    pictures = scene(44, 41)
    planes = [[picture[..., c].astype(np.float64) for picture in pictures] for c in range(3)]
    assert measure("vif", *pictures) == pytest.approx(np.mean([slow_vif(p) for p in planes]), rel=1e-9)


# MEFB's own values

MEFB_NAMES = {
    "mef_ssim": "MEF_SSIM",
    "entropy": "Entropy",
    "sd": "SD",
    "sf": "Spatial_frequency",
    "ag": "Avg_gradient",
    "ei": "Edge_intensity",
    "ce": "Cross_entropy",
    "psnr_mefb": "Psnr",
    "nmi": "NMI",
    "qncie": "Qncie",
    "qabf": "Qabf",
    "vif": "VIF",
}

# Large flat areas at level 254, where MEFB's VIF follows its rounding errors: see fusion/metrics/vif.py.
ROUNDED = {("vif", "Window2_mertens.png"): 0.008, ("vif", "Window2_mean.png"): 0.001}


def folder(variable: str, fallback: str) -> Path:
    """Where the pictures are, or a skip that says how to tell."""
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / "data" / fallback))
    if not path.is_dir():
        pytest.skip(
            "MEFB's pictures are not shipped: set MEFB_GOLDEN to the folder of the fused pictures named in "
            "tests/golden/metric_golden.json and MEFB_DEV to the folder of scenes (<scene>/<scene>_A.*, _B.*)"
        )
    return path


@cache
def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, f"{path} is not a picture"
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


@pytest.mark.parametrize("picture", GOLDEN["values"])
@pytest.mark.parametrize("name", MEFB_NAMES)
def test_agrees_with_mefb(name: str, picture: str) -> None:
    fused = read(folder("MEFB_GOLDEN", "metric_golden") / picture)
    scene_name = picture.split("_", maxsplit=1)[0]
    scene_folder = folder("MEFB_DEV", "mefb-dev") / scene_name
    under, over = (read(next(scene_folder.glob(f"{scene_name}_{letter}.*"))) for letter in "AB")
    key = MEFB_NAMES[name]
    tolerance = ROUNDED.get((name, picture), GOLDEN["tolerance"][key])
    assert measure(name, fused, under, over) == pytest.approx(GOLDEN["values"][picture][key], abs=tolerance)
