"""One request: what comes, in which order, and what one failure does to the rest."""

from __future__ import annotations

import gc
import logging
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import fusion
from fusion import pipeline
from fusion.errors import FusionError, ImageError
from fusion.io.image import ExposurePair, Photo, as_pair, to_uint8
from fusion.methods import METHODS
from fusion.methods.base import Fuser, Method, keep_below_white
from fusion.methods.exposed_colour import BY_EXPOSURE
from fusion.methods.iat import Corrector, enhance
from fusion.methods.mertens import exposure_fusion
from fusion.metrics.picture import Sources
from fusion.pipeline import Corrected, Failed, Fused, Loaded, Running, Scored, Session, compare
from fusion.runtime import weights
from fusion.settings import Settings
from tests.shared_session import load_pair

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

has_iat = weights.missing("iat") is None
available = pytest.mark.parametrize("method", [m for m in METHODS if not m.unavailable], ids=lambda method: method.name)


@pytest.fixture
def files(dataset: Path) -> tuple[Path, Path]:
    return dataset / "scene0" / "0_A.png", dataset / "scene0" / "0_B.png"


def test_events_come_in_order(files: tuple[Path, Path]) -> None:
    kinds = [type(event) for event in compare(*files, ["mertens", "mertens-torch"])]
    expected = [Loaded, Running, Fused, Scored, Running, Fused, Scored, *([Corrected] if has_iat else [])]
    assert kinds == expected


def test_each_outcome_is_there_before_the_next_method_starts(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    original = Fuser.__call__

    def noted(self: Fuser, *arguments: object, **named: object) -> object:
        ran.append(self.method.name)
        return original(self, *arguments, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Fuser, "__call__", noted)
    events = compare(*files, ["mertens", "mertens-torch"])
    for event in events:
        if isinstance(event, Fused):
            break
    assert ran == ["mertens"]


def test_one_failure_never_blanks_the_rest(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = Fuser.__call__

    def fails(self: Fuser, *arguments: object, **named: object) -> object:
        if self.method.name == "mertens":
            raise RuntimeError("a defect with a /secret/path")
        return original(self, *arguments, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Fuser, "__call__", fails)
    with caplog.at_level(logging.ERROR):
        outcomes = [e for e in compare(*files, ["mertens", "mertens-torch"]) if isinstance(e, (Fused, Failed))]
    assert [type(outcome) for outcome in outcomes] == [Failed, Fused]
    assert isinstance(outcomes[0], Failed)
    assert "secret" not in outcomes[0].reason
    assert "a defect with a /secret/path" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_is_said(files: tuple[Path, Path], error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Fuser, "__call__", exhausted)
    outcomes = [event for event in compare(*files, ["mertens"]) if isinstance(event, Failed)]
    assert "not enough memory" in outcomes[0].reason


def test_an_unknown_method_is_refused_before_anything_runs(files: tuple[Path, Path]) -> None:
    with pytest.raises(FusionError, match="no method called nonsense; choose from virtual-bracket, pyramef"):
        next(compare(*files, ["nonsense"]))


def test_scores_are_against_the_photographs(files: tuple[Path, Path]) -> None:
    from fusion.metrics import mef_ssim

    scored = next(event for event in compare(*files, ["mertens"]) if isinstance(event, Scored))
    pair = load_pair(*files)
    fused, *photographs = map(to_uint8, (scored.fused.photo, pair.under, pair.over))
    expected = mef_ssim.METRIC.measure(fused, Sources(*photographs))
    assert scored.scores["mef_ssim"] == expected


def test_what_metrics_keep_of_a_pair_goes_with_it(files: tuple[Path, Path]) -> None:
    earlier = [one for one in gc.get_objects() if type(one) is Sources]  # what other tests keep
    events = compare(*files, ["mertens", "mertens-torch"])
    next(event for event in events if isinstance(event, Scored))
    kept = [weakref.ref(one) for one in gc.get_objects() if type(one) is Sources and one not in earlier]
    assert kept
    assert len([event for event in events if isinstance(event, Scored)]) == 1
    gc.collect()
    assert [one() for one in kept if one() is not None] == []


def test_files_and_arrays_give_the_same(files: tuple[Path, Path]) -> None:
    pair = load_pair(*files)
    from_files = fusion.fuse(*files, method="mertens")
    assert torch.equal(fusion.fuse(pair.under, pair.over, method="mertens"), from_files)
    pixels = [to_uint8(photo) for photo in (pair.over, pair.under)]  # whatever the order
    assert torch.equal(fusion.fuse(pixels[0], pixels[1], method="mertens"), from_files)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (np.zeros((20, 20), np.uint8), np.ones((20, 20, 3), np.uint8), "must be \\(H, W, 3\\)"),
        (torch.zeros(3, 20, 20), torch.full((3, 20, 20), 1.5), "outside 0 to 1"),
        (torch.zeros(3, 20, 20), torch.full((3, 20, 20), torch.nan), "outside 0 to 1"),
        (torch.zeros(3, 8, 20), torch.ones(3, 8, 20), "too small"),
        (torch.zeros(3, 20, 20), torch.ones(3, 20, 22), "differ in size"),
        (torch.zeros(3, 20, 20), torch.zeros(3, 20, 20), "identical"),
    ],
)
def test_bad_arrays_are_refused(first: object, second: object, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        as_pair(first, second)  # pyright: ignore[reportArgumentType]


def test_a_file_and_an_array_do_not_mix(files: tuple[Path, Path]) -> None:
    with pytest.raises(ImageError, match="not some of each"):
        fusion.fuse(files[0], torch.zeros(3, 96, 80))


@pytest.mark.parametrize("name", ["mertens", "pyramef"])
def test_a_fused_picture_is_a_tensor_like_others(name: str) -> None:
    under, over = (
        torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(0))
        * torch.tensor([0.4, 1])[:, None, None, None]
    )
    fused = fusion.fuse(under, over, name, align=False)
    weight = torch.ones(3, 1, 1, requires_grad=True)
    (fused.clamp_(0.1, 0.9) * weight).sum().backward()
    assert weight.grad is not None
    assert fused.requires_grad_().is_leaf


def test_fusers_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session loads a fuser once for each choice of options."""
    loaded: list[str] = []

    def noted(method: Method, *_: object, **__: object) -> Fuser:
        loaded.append(method.name)
        return Fuser(method)

    monkeypatch.setattr(pipeline, "Fuser", noted)
    frames = exposures(-2, 1)
    with Session("cpu") as session:
        scene = session.prepare(frames, Settings(align=False))
        for _ in range(2):
            session.fuse(scene, "mertens")
        session.fuse(scene, "mertens", Settings(options={"mertens": {"contrast": 0.0}}))
    assert loaded == ["mertens", "mertens"]


# More than two exposures.


def exposures(*stops: float) -> list[Photo]:
    """Exposures of one scene, 32 x 40, clipped as photographs are."""
    coarse = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(4))
    scene = torch.nn.functional.interpolate(coarse, (32, 40), mode="bicubic")[0].clamp(0.02, 1)
    return [(scene * 2**stop).clamp(0, 1) for stop in stops]


def alone(method: Method, under: Photo, over: Photo) -> Photo:
    """What a method by itself makes of two."""
    pair = ExposurePair(under, over)
    return Fuser(method, colour=BY_EXPOSURE)(pair, enhance(pair, Corrector()) if method.needs.enhanced else None)


@available
def test_the_order_of_three_does_not_matter(method: Method) -> None:
    dark, middle, bright = exposures(-2, -0.5, 1)
    fused = fusion.fuse(dark, middle, method.name, more=[bright], align=False)
    assert fused.shape == dark.shape
    for first, second, third in ((bright, dark, middle), (middle, bright, dark)):
        assert torch.equal(fusion.fuse(first, second, method.name, more=[third], align=False), fused)
    without = fusion.fuse(dark, bright, method.name, align=False)
    assert float((fused - without).abs().mean()) > 0.5 / 255


@available
def test_a_method_for_two_fuses_half_by_half(method: Method) -> None:
    if method.needs.many:
        pytest.skip("takes all at once")
    darkest, dark, middle, bright, brightest = exposures(-3, -1.5, -0.5, 0, 1)
    brighter_half = alone(method, middle, alone(method, bright, brightest))
    expected = alone(method, alone(method, darkest, dark), brighter_half)
    more = [darkest, bright, middle]
    assert torch.equal(fusion.fuse(dark, brightest, method.name, more=more, align=False), expected)


@available
def test_two_are_fused_as_ever(method: Method) -> None:
    dark, bright = exposures(-2, 1)
    assert torch.equal(fusion.fuse(bright, dark, method.name, align=False), alone(method, dark, bright))


def test_methods_for_many_see_all_exposures_at_once() -> None:
    frames = exposures(-3, -1.5, 0, 1)
    burst = torch.stack(frames)
    expected = {"mertens": exposure_fusion(burst), "mertens-torch": exposure_fusion(burst, variant="torch")}
    for name, fused in expected.items():
        assert pipeline.method_named(name).needs.many
        ours = fusion.fuse(frames[2], frames[0], name, more=[frames[3], frames[1]], align=False)
        assert torch.equal(ours, keep_below_white(fused, frames[0]))


def test_progress_of_three_ends_at_one() -> None:
    frames = exposures(-2, -0.5, 1)
    shares: list[float] = []
    fusion.fuse(frames[0], frames[1], "meflut", more=frames[2:], align=False, progress=shares.append)
    assert shares == [0.5, 1]


def test_three_are_compared_as_they_are_fused() -> None:
    dark, middle, bright = exposures(-2, -0.5, 1)
    events = list(compare(bright, dark, more=[middle], align=False, metrics=()))
    made = [event for event in events if isinstance(event, Fused)]
    assert [one.method.name for one in made] == [method.name for method in METHODS if not method.unavailable]
    for one in made:
        assert torch.equal(one.photo, fusion.fuse(dark, middle, one.method.name, more=[bright], align=False))


def test_align_is_what_decides() -> None:
    """A shaken pair comes back cropped, unless it is to be left as it is."""
    pair = load_pair(*(EXAMPLES / "courtyard" / name for name in ("under.png", "over.png")))
    shaken = pair.over.roll((7, 5), (1, 2))
    assert fusion.fuse(pair.under, shaken, "mertens", align=False).shape == pair.under.shape
    height, width = fusion.fuse(pair.under, shaken, "mertens").shape[1:]
    assert 7 <= pair.size[0] - height <= 10
    assert 5 <= pair.size[1] - width <= 8
