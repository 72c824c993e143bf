"""Every listed metric: properties, pictures done by hand, other implementations, MEFB's own values."""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import pkgutil
import re
import weakref
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray

import fusion.metrics
from fusion.io.image import load_pair, to_uint8
from fusion.methods.mertens import exposure_fusion
from fusion.metrics import BENCHMARK, METRICS, ssim
from fusion.metrics.base import Better, Metric
from fusion.metrics.fmi import pattern_information
from fusion.metrics.picture import Picture, Pixels, Sources, grey
from fusion.metrics.reference import REFERENCE

BY_NAME = {metric.name: metric for metric in BENCHMARK}
REFERENCE_BY_NAME = {metric.name: metric for metric in REFERENCE}
ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(module.name for module in pkgutil.iter_modules(fusion.metrics.__path__))
GOLDEN = json.loads((ROOT / "tests/golden/metric_golden.json").read_text(encoding="utf-8"))

each_metric = pytest.mark.parametrize("metric", BENCHMARK, ids=lambda metric: metric.name)
each_listed = pytest.mark.parametrize("metric", [*BENCHMARK, *REFERENCE], ids=lambda metric: metric.name)
each_reference = pytest.mark.parametrize("metric", REFERENCE, ids=lambda metric: metric.name)


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


def example(name: str) -> tuple[Pixels, Pixels, Pixels]:
    """Both photographs of a bundled example, reduced, and their Mertens fusion."""
    pair = load_pair(*(next((ROOT / "examples" / name).glob(f"{end}.*")) for end in ("under", "over")))
    under, over = (
        np.asarray(cv2.resize(to_uint8(photo), (320, 240), interpolation=cv2.INTER_AREA), np.uint8)
        for photo in (pair.under, pair.over)
    )
    fused = exposure_fusion(torch.stack([torch.from_numpy(one).permute(2, 0, 1) / 255 for one in (under, over)]))
    return under, over, to_uint8(fused)


def measure(name: str, fused: Pixels, under: Pixels | None = None, over: Pixels | None = None) -> float:
    """The metric of that name; a missing source is the fused picture itself."""
    return score(BY_NAME[name], fused, fused if under is None else under, fused if over is None else over)


def score(metric: Metric, fused: Pixels, *sources: Pixels) -> float:
    return metric.measure(fused, Sources(*sources))


def within_bounds(metric: Metric, value: float) -> bool:
    """Rounding may lead a little beyond."""
    return metric.bounds[0] - 1e-9 <= value <= metric.bounds[1] + 1e-9


def test_the_list_is_complete_and_in_order() -> None:
    names = (
        "score mef_ssim vif colour_kept qabf sd sf ag ei ssim entropy halo lost_shadows lost_highlights added_grain ce "
        "psnr_mefb nmi qncie"
    )
    assert [metric.name for metric in METRICS] == names.split()
    lower = ["halo", "lost_shadows", "lost_highlights", "added_grain", "ce"]
    assert [metric.name for metric in METRICS if metric.better is Better.LOWER] == lower
    assert BENCHMARK[: len(METRICS)] == METRICS
    every = [metric.name for metric in (*BENCHMARK, *REFERENCE)]
    assert len(set(every)) == len(every)


def test_all_twenty_columns_of_mefb_are_there_once() -> None:
    columns = (
        "Cross_entropy Entropy FMI NMI Psnr Qncie TE Avg_gradient Edge_intensity Qabf Qp SD Spatial_frequency Qc Qw Qy "
        "MEF_SSIM Qcb Qcv VIF"
    )
    assert sorted(metric.mefb for metric in BENCHMARK if metric.mefb) == sorted(columns.split())


@each_listed
def test_meaning_and_caution_are_one_sentence_without_a_full_stop(metric: Metric) -> None:
    for sentence in (metric.meaning, metric.caution):
        assert sentence[0].isupper()
        assert not sentence.endswith((".", ";", ",", " "))
        assert ". " not in sentence


@each_listed
def test_a_page_says_what_it_must(metric: Metric) -> None:
    page = metric.formula.__doc__ or ""
    for part in ("Range: ", "Args:\n", "fused: 8-bit ", "(H, W, 3), 0 to 255", "Reference: ", ">>> ", " = "):
        assert part in page, part
    sentences = " ".join(page.split())
    direction = {
        "higher": "Higher (is|counts as) better",
        "lower": "Lower is better",
        "neither": "Neither .* is better",
    }
    assert [name for name, words in direction.items() if re.search(words, sentences)] == [metric.better.value]


def test_the_agreement_with_people_is_that_of_the_printed_table() -> None:
    table = (ROOT / "docs/opinions.md").read_text(encoding="utf-8").split("## All exposures")[0]
    printed = dict(re.findall(r"\| `(\w+)` \| (-?\d\.\d+)", table))
    assert printed.keys() == BY_NAME.keys()
    assert {name: metric.agreement for name, metric in BY_NAME.items()} == {
        name: pytest.approx(float(value), abs=0.0051) for name, value in printed.items()
    }


def test_the_mean_rank_counts_each_quantity_once_and_nothing_against_people() -> None:
    counted = [metric for metric in BENCHMARK if metric.counts]
    assert all(metric.agreement and metric.agreement > 0 for metric in counted)
    assert not {metric.repeats for metric in BENCHMARK if metric.repeats} - BY_NAME.keys()
    assert not [metric.name for metric in counted if metric.repeats]


# What is kept


def test_what_is_derived_is_computed_once_and_goes_with_its_picture() -> None:
    calls: list[int] = []

    class Derived:
        pass

    def make(picture: Picture, power: int) -> Derived:
        calls.append(int(picture.pixels[0, 0]) ** power)
        return Derived()

    picture = Picture(np.full((2, 2), 3, np.uint8))
    kept = weakref.ref(picture.derive(make, 2))
    assert picture.derive(make, 2) is kept()
    assert picture.derive(make, 3) is not kept()
    assert calls == [9, 27]
    del picture
    gc.collect()
    assert kept() is None


def test_a_second_picture_of_a_pair_derives_nothing_more_from_its_photographs() -> None:
    fused, under, over = scene(61, 47)
    sources = Sources(under, over)
    parts = [sources, sources.grey, *sources.channels]
    parts += [picture for part in parts for picture in part]

    def kept() -> list[int]:
        return [len(part._derived) for part in parts]  # pyright: ignore[reportPrivateUsage]

    first = [metric.measure(fused, sources) for metric in BENCHMARK]
    before = kept()
    assert sum(before) > 0
    assert [metric.measure(fused, sources) for metric in BENCHMARK] == first
    assert kept() == before


@pytest.mark.parametrize("module", MODULES)
def test_no_module_keeps_anything_of_a_pair(module: str) -> None:
    """No function is a cache, and measuring leaves a module's containers as they were."""
    names = vars(importlib.import_module(f"fusion.metrics.{module}"))
    assert [name for name, one in names.items() if hasattr(one, "cache_clear")] == []
    mutable = {name: len(one) for name, one in names.items() if isinstance(one, (list, dict, set)) and name[:2] != "__"}
    assert mutable == {}


def test_sizes_that_differ_are_refused() -> None:
    fused, under, over = scene(16, 20)
    with pytest.raises(ValueError, match="one size"):
        Sources(under, over[1:])
    with pytest.raises(ValueError, match="one size"):
        Sources()
    with pytest.raises(ValueError, match="8-bit"):
        Picture(fused / 255)  # pyright: ignore[reportArgumentType]
    for metric in BENCHMARK:
        with pytest.raises(ValueError, match="fused picture is"):
            metric.measure(fused[:-1], Sources(under, over))


# Properties


@each_metric
@pytest.mark.parametrize("size", [(16, 16), (16, 70), (61, 47)])
def test_finite_and_repeatable(metric: Metric, size: tuple[int, int]) -> None:
    pictures = scene(*size)
    before = [picture.copy() for picture in pictures]
    value = score(metric, *pictures)
    assert type(value) is float
    assert math.isfinite(value)
    assert within_bounds(metric, value)
    assert score(metric, *pictures) == value
    for picture, kept in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, kept)


@each_metric
@pytest.mark.parametrize("levels", [(0, 0, 0), (255, 255, 255), (128, 0, 255), (77, 77, 200)])
def test_finite_on_flat_pictures(metric: Metric, levels: tuple[int, int, int]) -> None:
    value = score(metric, *(in_colour(np.full((48, 50), level)) for level in levels))
    assert math.isfinite(value)
    assert within_bounds(metric, value)


@each_metric
def test_finite_with_one_flat_picture(metric: Metric) -> None:
    pictures = scene(48, 50)
    for i in range(3):
        some = list(pictures)
        some[i] = in_colour(np.full((48, 50), 255))
        value = score(metric, *some)
        assert math.isfinite(value)
        assert within_bounds(metric, value)


@each_metric
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 40)])
def test_finite_on_the_smallest_pictures(metric: Metric, size: tuple[int, int]) -> None:
    if metric.name in ("mef_ssim", "score"):
        pytest.skip("MEF-SSIM refuses what no window fits into")
    assert math.isfinite(score(metric, *(np.ascontiguousarray(p[: size[0], : size[1]]) for p in scene(61, 47))))


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
    "qabf_xydeas": 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-22 * 0.2)),
    "psnr": 20 * math.log10(255) + 10 * math.log10(2 * PIXELS),
    "qw": 1.0,
    "qy": 1.0,
    "qc": 1.0,
    "qcb": 1.0,
    "qcv": 0.0,
    "fmi": 1.0,
    "halo": 0.0,
    "lost_shadows": 0.0,
    "lost_highlights": 0.0,
    "added_grain": 0.0,
    "colour_kept": 1.0,
    "score": 100.0,
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
    ideal = 1.0 if (name.startswith("qabf"), kind) == (True, "black") else IDEAL[name]
    assert measure(name, kinds[kind]) == pytest.approx(ideal, abs=tolerance)


def test_qp_is_1_without_features_and_falls_with_blur() -> None:
    flat, picture = in_colour(np.full((61, 47), 90)), scene(61, 47)[0]
    assert measure("qp", flat) == 1
    assert measure("qp", np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), np.uint8), picture, picture) < 0.8 * measure(
        "qp", picture
    )


@each_metric
def test_symmetric_in_the_sources(metric: Metric) -> None:
    fused, under, over = scene(61, 47)
    # VIF chooses between the sources, and its ties (patches that are flat or oppose) go to the second one.
    tolerance = 0.02 if metric.name in ("vif", "score", "colour_kept") else 1e-12
    assert score(metric, fused, over, under) == pytest.approx(score(metric, fused, under, over), rel=tolerance)


@pytest.mark.parametrize("name", ["entropy", "sd", "sf", "ag", "ei", "colourfulness"])
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


def test_tsallis_by_hand() -> None:
    """Two levels, each half the time: p = 1/2 where 1/4 is expected; exchanged marginals are the same there."""
    halves = in_colour([[0, 0], [255, 255]])
    each = (2 * 0.5**1.85 / 0.25**0.85 - 1) / 0.85
    assert measure("te", halves) == pytest.approx(2 * each, rel=1e-12)
    assert measure("te_mefb", halves) == pytest.approx(2 * each, rel=1e-12)
    # Levels 0, 255 of the source are 1/4, 3/4, those of the result 3/4, 1/4, so that MEFB expects the very diagonal.
    source, fused = in_colour([[0, 255, 255, 255]]), in_colour([[0, 0, 0, 255]])
    p, right, exchanged = (np.array(x) for x in ([1, 2, 1], [3, 9, 3], [3, 1, 3]))
    for name, expected in (("te", right), ("te_mefb", exchanged)):
        value = (np.sum((p / 4) ** 1.85 / (expected / 16) ** 0.85) - 1) / 0.85
        assert measure(name, fused, source, source) == pytest.approx(2 * value, rel=1e-12)


def test_psnr_by_hand() -> None:
    under, over = in_colour(np.full((4, 5), 100)), in_colour(np.full((4, 5), 110))
    fused = in_colour(np.full((4, 5), 104))
    expected = 10 * math.log10(255**2 / ((4**2 + 6**2) / 2))
    assert measure("psnr", fused, under, over) == pytest.approx(expected, rel=1e-12)


def test_a_weighted_mean_has_no_halo_and_more_rim_is_more_halo() -> None:
    edge = np.repeat([40.0, 200.0], 256)
    under, over = (in_colour(np.tile(edge * gain, (120, 1))) for gain in (0.5, 1.2))
    assert measure("halo", in_colour(np.tile(edge * 0.8, (120, 1))), under, over) == 0
    distance = np.abs(np.arange(512) - 255.5)
    rims = [np.sign(edge - 120) * strength * np.exp(-distance / 16) for strength in (10, 20, 30)]
    halos = [measure("halo", in_colour(np.tile(edge * 0.8 + rim, (120, 1))), under, over) for rim in rims]
    assert 0 < halos[0] < halos[1] < halos[2]
    assert halos[2] > 0.02


def test_the_halo_of_a_made_rim_grows_with_it_in_a_photograph() -> None:
    under, over, fused = example("courtyard")
    wide = np.asarray(cv2.GaussianBlur(fused, (0, 0), 12), np.float32)

    def with_rims(amount: float) -> Pixels:
        return np.clip(np.round(fused + amount * (fused - wide)), 0, 255).astype(np.uint8)

    halos = [measure("halo", with_rims(amount), under, over) for amount in (0, 0.3, 0.6, 1.2)]
    assert halos == sorted(halos)
    assert halos[3] > 1.5 * halos[0]


def test_what_is_lost_is_detail_that_an_exposure_shows() -> None:
    stripes = np.where(np.arange(256) // 2 % 2, 90.0, 150.0)
    seen, black, white = (in_colour(np.tile(row, (256, 1))) for row in (stripes, stripes * 0, stripes * 0 + 255))
    half = seen.copy()
    half[:128] = 0
    assert measure("lost_shadows", half, black, seen) == pytest.approx(0.5, abs=0.1)
    assert measure("lost_highlights", white, seen, white) == pytest.approx(1, abs=0.02)
    assert measure("lost_highlights", white, white, white) == 0
    assert measure("lost_shadows", seen, black, seen) == 0
    grain = np.where(np.random.default_rng(3).random(seen.shape) < 0.05, 0, seen).astype(np.uint8)
    assert measure("lost_shadows", grain, black, seen) == 0  # single black samples lose nothing


def test_grain_counts_where_no_exposure_has_it() -> None:
    rng = np.random.default_rng(5)
    clean, noisy, noisier = (
        np.repeat(np.clip(np.round(128 + rng.normal(0, sigma, (80, 90, 1))), 0, 255), 3, axis=2).astype(np.uint8)
        for sigma in (0, 6, 12)
    )
    assert measure("added_grain", noisy, clean, noisy) == 0
    assert measure("added_grain", noisy, clean, clean) > 0.05
    assert measure("added_grain", noisier, clean, clean) > measure("added_grain", noisy, clean, clean)


def test_more_than_two_exposures_are_all_looked_at() -> None:
    fused, under, over = scene(61, 47)
    middle = np.ascontiguousarray(over[::-1])  # it shows what neither of the others does
    bracket = Sources(under, middle, over)
    for metric in BENCHMARK:
        ends = metric.measure(fused, Sources(under, over))
        assert (metric.measure(fused, bracket) != ends) <= metric.many, metric.name
    for name in ("mef_ssim", "vif", "score"):
        assert BY_NAME[name].measure(fused, bracket) != BY_NAME[name].measure(fused, Sources(under, over))


def test_colourfulness_by_hand() -> None:
    halves = np.zeros((2, 4, 3), np.uint8)
    halves[:, :2] = 255, 0, 0  # red - green 255 or 0, (red + green) / 2 - blue 127.5 or 0
    expected = math.hypot(127.5, 63.75) * 1.3
    assert measure("colourfulness", halves) == pytest.approx(expected, rel=1e-12)
    assert measure("colourfulness", in_colour(np.arange(16).reshape(4, 4))) == 0


# Against a reference


@each_reference
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (61, 47), (190, 180)])
def test_a_reference_is_nearest_to_itself(metric: Metric, size: tuple[int, int]) -> None:
    fused, reference, _ = scene(*size) if min(size) > 1 else (in_colour([[5]]), in_colour([[9]]), None)
    ideal, value = (score(metric, picture, reference) for picture in (reference, fused))
    assert type(value) is float
    assert within_bounds(metric, value)
    assert math.isfinite(ideal)
    assert value <= ideal + 1e-12 if metric.better is Better.HIGHER else value >= ideal - 1e-12
    assert score(metric, fused, reference) == value


@each_reference
def test_finite_against_flat_references(metric: Metric) -> None:
    for level, other in ((0, 0), (0, 255), (77, 200)):
        value = score(metric, in_colour(np.full((40, 41), level)), in_colour(np.full((40, 41), other)))
        assert math.isfinite(value)


def test_reference_psnr_by_hand() -> None:
    black, ten = in_colour(np.zeros((8, 9))), in_colour(np.full((8, 9), 10))
    measured = score(REFERENCE_BY_NAME["reference_psnr"], ten, black)
    assert measured == pytest.approx(20 * math.log10(255 / 10), rel=1e-12)


def test_hue_error_is_an_angle_and_ignores_greys() -> None:
    from skimage.color import lab2rgb

    def colour(degrees: float, chroma: float = 30) -> Pixels:
        lab = [[[60, chroma * math.cos(math.radians(degrees)), chroma * math.sin(math.radians(degrees))]]]
        return np.round(lab2rgb(np.array(lab)) * 255).astype(np.uint8).repeat(4, 0)

    hue = partial(score, REFERENCE_BY_NAME["reference_hue"])
    assert hue(colour(100), colour(60)) == pytest.approx(40, abs=1.5)  # 8 bits at a chroma of 30
    assert hue(colour(10), colour(-10)) == pytest.approx(20, abs=1.5)
    assert hue(colour(10, chroma=0), colour(100)) == 0
    assert hue(colour(10), colour(100, chroma=0)) == 0


def test_ms_ssim_is_ssim_where_one_scale_fits() -> None:
    fused, reference, _ = scene(16, 16)
    expected = max(measure("ssim", fused, reference, reference), 0)
    assert score(REFERENCE_BY_NAME["reference_ms_ssim"], fused, reference) == pytest.approx(expected, abs=1e-12)


def test_ms_ssim_weighs_its_scales() -> None:
    """On two scales, with SSIM's factors from scikit-image's own SSIM: where both means are equal, it is the second."""

    def ms_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float(ssim.ms_ssim(*(torch.from_numpy(plane)[None, None] for plane in (x, y)), data_range=255))

    rng = np.random.default_rng(3)
    plane = rng.uniform(60, 200, (40, 40))
    checks = np.where(np.indices((40, 40)).sum(0) % 2, 8.0, -8.0)  # gone at the second scale
    coarse = ms_ssim(plane + checks, plane)
    assert coarse < 1
    shifted = plane + np.kron(rng.uniform(-8, 8, (20, 20)), np.ones((2, 2)))
    assert ms_ssim(shifted, plane) < 1
    assert ms_ssim(plane, plane) == pytest.approx(1, abs=1e-12)
    fine = ms_ssim((plane + checks)[:20, :20], plane[:20, :20])  # the first scale alone
    weights = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    assert coarse == pytest.approx(fine ** weights[0], rel=0.02)


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


def slow_edges(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """MATLAB's `edge`, pixel by pixel: Sobel over 8, border replicated."""
    padded = np.pad(plane, 1, mode="edge")
    height, width = plane.shape
    gx, gy = np.zeros((2, height, width))
    for y, x in np.ndindex(height, width):
        window = padded[y : y + 3, x : x + 3]
        gx[y, x] = abs(window[:, 2] @ [1, 2, 1] - window[:, 0] @ [1, 2, 1]) / 8
        gy[y, x] = abs(window[2] @ [1, 2, 1] - window[0] @ [1, 2, 1]) / 8
    strength = gx**2 + gy**2

    def at(y: int, x: int) -> float:
        return float(strength[y, x]) if 0 <= y < height and 0 <= x < width else -1.0

    edges = np.zeros((height, width), np.bool_)
    for y, x in np.ndindex(height, width):
        here = at(y, x)
        along_x = gx[y, x] >= gy[y, x] and at(y, x - 1) <= here > at(y, x + 1)
        along_y = gy[y, x] >= gx[y, x] and at(y - 1, x) <= here > at(y + 1, x)
        edges[y, x] = here > 4 * strength.mean() and (along_x or along_y)
    return edges


def slow_shared(a: list[int], f: list[int]) -> float:
    """The normalised mutual information of two windows of nine edges, column by column, as the paper's loop has it."""
    if a == f:
        return 1.0
    pa, pf = ([1 / 9] * 9 if not any(x) else [value / sum(x) for value in x] for x in (a, f))
    ca, cf = list(np.cumsum(pa)), list(np.cumsum(pf))
    deviations = [[p - 1 / 9 for p in x] for x in (pa, pf)]
    product = sum(x * y for x, y in zip(*deviations, strict=True))
    lengths = [sum(x * x for x in deviation) for deviation in deviations]
    c = product / math.sqrt(lengths[0] * lengths[1]) if abs(product) > 1e-12 and min(lengths) > 1e-12 else 0.0
    spreads = [sum(i * i * p for i, p in enumerate(x)) - sum(i * p for i, p in enumerate(x)) ** 2 for x in (pa, pf)]

    def bound(i: int, j: int) -> float:
        if min(i, j) < 0:
            return 0.0
        return min(cf[i], ca[j]) if c >= 0 else max(cf[i] + ca[j] - 1, 0)

    covariance = sum(bound(i, j) - cf[i] * ca[j] for i in range(9) for j in range(9))
    phi = 0.0 if c == 0 or min(spreads) < 1e-12 else c / (covariance / math.sqrt(spreads[0] * spreads[1]))
    joint: list[float] = []
    for i, j in np.ndindex(9, 9):
        cell = bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)
        joint.append(phi * cell + (1 - phi) * pf[i] * pa[j])
    entropies = [-sum(p * math.log2(abs(p)) for p in x if p != 0) for x in (pa, pf, joint)]
    total = entropies[0] + entropies[1]
    return 2 * (total - entropies[2]) / total if total > 0 else 0.0


def test_the_windows_of_fmi_are_those_of_a_loop() -> None:
    pairs = np.random.default_rng(2).integers(0, 512, (250, 2))
    pairs[:4] = [[0, 5], [511, 0], [256, 1], [3, 384]]  # no edge, all edges, one each, opposed
    windows = [[[pattern >> (8 - i) & 1 for i in range(9)] for pattern in pair.tolist()] for pair in pairs]
    expected = [slow_shared(a, f) for a, f in windows]
    np.testing.assert_allclose(pattern_information(pairs[:, 0], pairs[:, 1]), expected, rtol=0, atol=1e-12)


def test_fmi_is_that_of_a_loop() -> None:
    fused, under, over = (in_colour(picture[..., 0]) for picture in scene(19, 23))
    edges = [slow_edges(picture[..., 0].astype(np.float64)) for picture in (fused, under, over)]
    values: list[float] = []
    for y, x in np.ndindex(17, 21):
        f, *sources = (plane[y : y + 3, x : x + 3].T.astype(int).ravel().tolist() for plane in edges)
        values += [slow_shared(source, f) for source in sources]
    assert measure("fmi", fused, under, over) == pytest.approx(np.mean(values), rel=1e-12)


def slow_moments(*planes: NDArray[np.float64], size: int) -> list[tuple[float, ...]]:
    """Means, variances and covariance of every window of two planes, under a Gaussian of sigma 1.5."""
    radius = np.arange(size) - size // 2
    gauss = np.exp(-(radius[:, None] ** 2 + radius**2) / 4.5)
    gauss /= gauss.sum()
    found: list[tuple[float, ...]] = []
    for y, x in np.ndindex(planes[0].shape[0] - size + 1, planes[0].shape[1] - size + 1):
        a, b = (plane[y : y + size, x : x + size] for plane in planes)
        mean_a, mean_b = float((a * gauss).sum()), float((b * gauss).sum())
        da, db = a - mean_a, b - mean_b
        found.append((mean_a, mean_b, *(float((p * gauss).sum()) for p in (da * da, db * db, da * db))))
    return found


def slow_ssim(moments: tuple[float, ...]) -> float:
    a, b, var_a, var_b, cov = moments
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * a * b + c1) * (2 * cov + c2) / ((a * a + b * b + c1) * (var_a + var_b + c2))


def slow_similarity(name: str, planes: list[NDArray[np.float64]]) -> float:
    """One plane's Q_Y or Q_C, or Q_W of edges, [fused, under, over]."""
    fused, under, over = planes
    size = 11 if name == "qw" else 7
    moments = (slow_moments(a, b, size=size) for a, b in ((under, over), (under, fused), (over, fused)))
    total = weights = 0.0
    for between, with_under, with_over in zip(*moments, strict=True):
        under_is, over_is = slow_ssim(with_under), slow_ssim(with_over)
        share, weight = between[2] / (between[2] + between[3]), 1.0
        if name == "qc":
            share = min(max(with_under[4] / (with_under[4] + with_over[4]), 0), 1)
        elif name == "qw":
            weight = max(between[2:4])
        value = share * under_is + (1 - share) * over_is
        if name == "qy" and slow_ssim(between) < 0.75:
            value = max(under_is, over_is)
        total, weights = total + weight * value, weights + weight
    return total / weights


@pytest.mark.parametrize("name", ["qw", "qy", "qc"])
def test_similarity_is_that_of_a_loop(name: str) -> None:
    pictures = tuple(in_colour(picture[..., 0]) for picture in scene(20, 18))
    planes = [picture[..., 0].astype(np.float64) for picture in pictures]
    if name == "qw":
        padded = [np.pad(plane, 1) for plane in planes]
        box = [slow_windows(plane, 3) for plane in padded]
        planes = [np.hypot((w[..., 2] - w[..., 0]).sum(-1), (w[..., 2, :] - w[..., 0, :]).sum(-1)) for w in box]
    assert measure(name, *pictures) == pytest.approx(slow_similarity(name, planes), rel=1e-9)


@pytest.mark.parametrize("name", ["qy", "qc"])
def test_mefbs_similarity_is_the_published_one_without_constants(name: str) -> None:
    """Where nothing is flat and no source opposes the result, only SSIM's constants tell both forms apart."""
    fused, under, over = (in_colour(np.clip(p[..., 0] * 1.0, 1, 255)) for p in scene(40, 40))
    assert measure(f"{name}_mefb", fused, under, over) == pytest.approx(measure(name, fused, under, over), abs=0.2)


def test_flat_patches_decide_mefbs_similarity_but_not_the_published_one() -> None:
    fused, under, over = scene(60, 60)
    for picture, level in ((fused, 250), (under, 201), (over, 254)):
        picture[10:50, 10:50] = level
    published = [measure(name, fused, under, over) for name in ("qy", "qc")]
    fused[10:50, 10:50] = 251
    # One level of 255 on less than half the picture.
    assert [measure(name, fused, under, over) for name in ("qy", "qc")] == pytest.approx(published, abs=0.01)


def test_qcb_and_qcv_do_not_see_a_stretch() -> None:
    """Every plane is stretched to 0 ... 255 first."""
    rng = np.random.default_rng(1)
    pictures = tuple(in_colour(np.array([0, 60, 120])[rng.integers(0, 3, (40, 50))]) for _ in range(3))
    doubled = tuple(picture * 2 for picture in pictures)
    for name in ("qcb", "qcv"):
        assert measure(name, *doubled) == pytest.approx(measure(name, *pictures), rel=1e-12)


def test_qcv_is_the_power_that_an_eye_sees() -> None:
    """On a picture that repeats from block to block all blocks are alike, and no weighting matters."""
    rng = np.random.default_rng(4)
    source, fused = (np.tile(rng.choice([0.0, 100.0, 255.0], (16, 16)), (4, 4)) for _ in range(2))
    frequency = np.fft.fftfreq(64) * 64 / 4  # the picture spans four degrees
    r = 0.144 * np.hypot(frequency[:, None], frequency)
    seen = np.fft.ifft2(np.fft.fft2(fused - source) * 2.6 * (0.0192 + r) * np.exp(-(r**1.1))).real
    measured = measure("qcv", in_colour(fused), in_colour(source), in_colour(source))
    assert measured == pytest.approx(np.mean(seen**2), rel=1e-9)


# MEFB's own values

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
@pytest.mark.parametrize("name", [metric.name for metric in BENCHMARK if metric.mefb in GOLDEN["tolerance"]])
def test_agrees_with_mefb(name: str, picture: str) -> None:
    fused = read(folder("MEFB_GOLDEN", "metric_golden") / picture)
    scene_name = picture.split("_", maxsplit=1)[0]
    scene_folder = folder("MEFB_DEV", "mefb-dev") / scene_name
    under, over = (read(next(scene_folder.glob(f"{scene_name}_{letter}.*"))) for letter in "AB")
    key = BY_NAME[name].mefb
    if key not in GOLDEN["values"][picture]:
        pytest.skip("MEFB gives no number there: it divides rounding errors")
    tolerance = ROUNDED.get((name, picture), GOLDEN["tolerance"][key])
    assert measure(name, fused, under, over) == pytest.approx(GOLDEN["values"][picture][key], abs=tolerance)
