"""Every method, by being listed: parameters, sizes, range, repeatability, gradients, tiles."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import fusion
from fusion import methods
from fusion.errors import FusionError
from fusion.io import colour
from fusion.io.image import ExposurePair
from fusion.methods import METHODS
from fusion.methods.base import BY_COLOURFULNESS, Fuser, Method, Planes
from fusion.methods.iat import Lumas
from fusion.runtime import tiles

PARAMETERS = {
    "virtual-bracket": 149_607,
    "pyramef": 53_895,
    "mambamef": 623_249,
    "lemamba": 739_713,
    "mambadfuse": 1_347_271,
    "mefnet": 26_461,
    "deepfuse": 88_961,
    "lightfuse": 1_574,
    "meflut": 128,
    "mertens": 0,
    "spdmef": 0,
    "mertens-torch": 0,
}
SIZES = [(16, 16), (17, 31), (64, 48), (120, 77)]
LARGE = (777, 513)

all_methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
trained = [method for method in METHODS if method.unavailable is None]
available = pytest.mark.parametrize("method", trained, ids=lambda method: method.name)


def pair_of(height: int, width: int, seed: int = 0) -> tuple[ExposurePair, Lumas]:
    rng = torch.Generator().manual_seed(seed)
    scene = torch.rand(3, height, width, generator=rng)
    pair = ExposurePair((scene * 0.4), (scene * 0.5 + 0.5))
    return pair, Lumas(pair.under[:1], pair.over[:1])


def run(fuser: Fuser, height: int, width: int) -> Tensor:
    pair, lumas = pair_of(height, width)
    return fuser(pair, lumas)


@all_methods
def test_parameters(method: Method) -> None:
    assert method.parameters == PARAMETERS[method.name]


@all_methods
def test_a_gradient_at_every_parameter(method: Method) -> None:
    network = method.untrained()
    under, over = torch.rand(2, 2, method.needs.channels, 32, 32, requires_grad=True)
    network(under, over).square().mean().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, f"{name} has no gradient"
        assert bool(p.grad.isfinite().all()), f"{name} has a gradient that is not finite"


@available
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_finite_and_in_range(method: Method, size: tuple[int, int]) -> None:
    fused = run(Fuser(method), *size)
    assert fused.shape == (3, *size)
    assert bool(fused.isfinite().all())
    assert float(fused.min()) >= 0
    assert float(fused.max()) <= 1


@pytest.mark.parametrize("method", [m for m in trained if not m.needs.largest], ids=lambda method: method.name)
def test_a_large_odd_size(method: Method) -> None:
    fused = run(Fuser(method), *LARGE)
    assert fused.shape == (3, *LARGE)
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize("method", [m for m in trained if m.needs.largest], ids=lambda method: method.name)
def test_a_large_odd_size_through_a_small_copy(method: Method) -> None:
    """The network itself would take a minute at this size; the copy's is chosen smaller than the method's own."""
    fused = run(Fuser(replace(method, needs=replace(method.needs, largest=64 * 64))), *LARGE)
    assert fused.shape == (3, *LARGE)
    assert bool(fused.isfinite().all())


@available
def test_the_same_twice(method: Method) -> None:
    fuser = Fuser(method)
    assert torch.equal(run(fuser, 72, 60), run(fuser, 72, 60))
    assert torch.equal(run(Fuser(method), 72, 60), run(fuser, 72, 60))


@pytest.mark.parametrize("method", [m for m in trained if m.needs.halo is not None], ids=lambda method: method.name)
@pytest.mark.parametrize("size", [(200, 136), (161, 250), (64, 400)], ids=str)
def test_tiled_equals_whole(method: Method, size: tuple[int, int]) -> None:
    pair, lumas = pair_of(*size)
    tiled, whole = Fuser(method, tile=64)(pair, lumas), Fuser(method, tile=1024)(pair, lumas)
    assert float((tiled - whole).abs().max()) <= 1 / 255


@available
def test_progress_ends_at_one(method: Method) -> None:
    if method.needs.halo is None:
        pytest.skip("runs in one piece")
    pair, lumas = pair_of(100, 130)
    shares: list[float] = []
    Fuser(method, tile=64)(pair, lumas, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 6


@available
def test_fast_shows_the_network_a_smaller_copy(method: Method) -> None:
    pair, lumas = pair_of(90, 120)
    fuser = Fuser(method, fast_pixels=45 * 60)
    height, width = fuser.seen(90, 120, "fast")
    assert (height, width) == ((90, 120) if method.needs.cheap else (45, 60))
    fused = fuser(pair, lumas, mode="fast")
    assert fused.shape == (3, 90, 120)
    assert bool(fused.isfinite().all())
    assert float(fused.min()) >= 0
    assert float(fused.max()) <= 1


def test_auto_is_fast_on_a_processor_where_that_saves_time() -> None:
    hungry = next(method for method in trained if not (method.needs.cheap or method.needs.largest))
    fuser = Fuser(hungry, fast_pixels=1000)
    assert fuser.seen(30, 50) == (30, 50)
    assert fuser.seen(31, 50) < (30, 50)
    fuser.device = torch.device("cuda")
    assert fuser.seen(400, 500) == (400, 500)


@available
def test_strips_cannot_be_seen(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, lumas = pair_of(81, 120)  # so that the last strip is of a single row
    fuser = Fuser(method, fast_pixels=45 * 60)
    whole = fuser(pair, lumas, mode="fast")
    monkeypatch.setattr(tiles, "_STRIP", 20 * 120)
    assert float((fuser(pair, lumas, mode="fast") - whole).abs().max()) < 1e-5


@pytest.mark.parametrize(
    "method",
    [m for m in trained if m.needs.colour is BY_COLOURFULNESS and m.needs.planes is Planes.LUMA],
    ids=lambda method: method.name,
)
def test_colours_that_do_not_fit_are_desaturated(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """If they were clipped channel by channel instead, the luma would move."""
    under, over = (torch.tensor(rgb).view(3, 1, 1) * torch.linspace(0.5, 1, 48) for rgb in ((0, 0, 0.9), (0.8, 0.8, 1)))
    pair = ExposurePair(under.expand(-1, 40, -1), over.expand(-1, 40, -1))
    lumas = Lumas(colour.luma(pair.under), colour.luma(pair.over))
    fuser = Fuser(method)
    fitted = fuser(pair, lumas)
    monkeypatch.setattr(colour, "fit_gamut", colour.to_rgb)
    clipped = fuser(pair, lumas)
    assert float((colour.luma(fitted) - colour.luma(clipped)).abs().max()) > 0.02


def test_an_enhanced_method_asks_for_its_lumas() -> None:
    enhanced = [method for method in trained if method.needs.enhanced]
    if not enhanced:
        pytest.skip("none is trained yet")
    with pytest.raises(ValueError, match="corrected by IAT"):
        Fuser(enhanced[0])(pair_of(16, 16)[0])


def test_methods_travel_between_processes() -> None:
    """Events carry their method; where a GPU is lent call by call, they are pickled on the way back."""
    assert [method.name for method in pickle.loads(pickle.dumps(METHODS))] == [method.name for method in METHODS]


def test_names_are_unique_and_described() -> None:
    assert len({method.name for method in METHODS}) == len(METHODS)
    for method in METHODS:
        assert method.paper


SENTENCES = [
    *((method.name, method.summary) for method in METHODS),
    *((f"{method.name}.{option.name}", option.meaning) for method in METHODS for option in method.options),
]


@pytest.mark.parametrize(("name", "sentence"), SENTENCES, ids=[name for name, _ in SENTENCES])
def test_sentences_for_the_user_are_whole_and_short(name: str, sentence: str) -> None:
    """Summaries and meanings begin with a capital, end with a full stop and fit one line of the page."""
    assert sentence[0].isupper(), name
    assert sentence.endswith("."), name
    assert not sentence.endswith("..."), name
    assert len(sentence) <= 120, f"{name}: {len(sentence)} characters"


def test_a_network_by_its_name() -> None:
    """It has the trained weights, is in eval mode, and takes a batch."""
    network, method = fusion.network("deepfuse"), methods.method_named("deepfuse")
    assert not network.training
    assert all(torch.equal(value, method.trained().state_dict()[name]) for name, value in network.state_dict().items())
    under, over = torch.rand(2, 3, 1, 24, 32)
    with torch.inference_mode():
        assert network(under, over).shape == (3, 1, 24, 32)
        assert not torch.allclose(network(under, over), method.untrained()(under, over), atol=1e-3)


def test_a_network_takes_options_and_says_what_it_does_not_have() -> None:
    under, over = torch.rand(2, 1, 3, 24, 32)
    with torch.inference_mode():
        plain, changed = (
            fusion.network("mertens", options=options)(under, over) for options in (None, {"contrast": 0})
        )
    assert not torch.allclose(plain, changed, atol=1e-3)
    with pytest.raises(FusionError, match="no option called colour"):
        fusion.network("mertens", options={"colour": 1})
    with pytest.raises(FusionError, match="no method called nonsense"):
        fusion.network("nonsense")


@available
def test_pictures_of_a_batch_do_not_affect_each_other(method: Method) -> None:
    network = method.trained()
    under, over = torch.rand(2, 2, method.needs.channels, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = network(under, over)
        alone = torch.cat([network(under[k : k + 1], over[k : k + 1]) for k in (0, 1)])
    assert together.shape == (2, method.needs.planes.value, 32, 32)
    assert together.dtype == torch.float32
    assert torch.allclose(together, alone, atol=1e-4)  # sums in another order


@pytest.mark.parametrize("method", [m for m in trained if m.needs.many], ids=lambda method: method.name)
def test_a_network_for_many_takes_three(method: Method) -> None:
    exposures = torch.rand(3, 1, method.needs.channels, 32, 32)
    with torch.inference_mode():
        assert method.trained()(*exposures).shape == (1, method.needs.planes.value, 32, 32)
