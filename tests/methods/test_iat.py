from __future__ import annotations

import pytest
import torch
from torch import nn

from fusion.io import colour
from fusion.io.image import ExposurePair
from fusion.methods.iat import IAT, ConvBlock, Corrector, GlobalBranch, LocalBranch, enhance, recolour
from fusion.runtime import weights
from fusion.runtime.tiles import extend


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    assert count(IAT()) == 89_060
    assert count(LocalBranch()) == 23_586
    assert count(GlobalBranch()) == 65_474
    assert count(ConvBlock(16)) == 3_856


def test_depth_wise_convolutions_start_with_the_spread_of_their_own_channel() -> None:
    """A depth-wise kernel counts one channel, not all sixteen: sqrt(2 / 9) for 3 x 3, sqrt(2 / 25) for 5 x 5."""
    torch.manual_seed(0)
    blocks = [module for module in LocalBranch().modules() if isinstance(module, ConvBlock)]
    three = torch.cat([block.position.weight.flatten() for block in blocks])
    five = torch.cat([block.spatial.get_submodule("1").get_parameter("weight").flatten() for block in blocks])
    assert float(three.detach().std()) == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert float(five.detach().std()) == pytest.approx((2 / 25) ** 0.5, rel=0.1)


def test_untrained_gamma_is_one() -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        assert torch.equal(IAT().eval().gamma(torch.rand(2, 1, 20, 28)), torch.ones(2, 1, 1, 1))


def test_the_formula() -> None:
    network = IAT().eval()
    luma, gamma = torch.rand(1, 1, 9, 9), torch.full((1, 1, 1, 1), 1.7)
    factor, offset = network.local(luma)
    expected = torch.clamp(torch.clamp(luma * factor + offset, min=1e-8) ** 1.7, 0, 1)
    assert torch.allclose(network.correct(luma, gamma), expected)
    assert float(factor.detach().min()) >= 0
    assert float(offset.detach().abs().max()) <= 1


def test_every_trainable_value_has_a_gradient() -> None:
    network = IAT()
    nn.init.normal_(network.whole.attention.value.weight)  # zero at first: then nothing before it is heard
    network(torch.rand(2, 1, 32, 32) * 0.5 + 0.2).mean().backward()
    silent = [
        name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # All keys alike: one query's softmax of equal scores would pass no gradient; the rest must have one.
    assert not silent


@pytest.mark.skipif(weights.missing("iat") is not None, reason="IAT is not trained yet")
@pytest.mark.parametrize("size", [(16, 16), (300, 270), (530, 40)])
def test_tiled_equals_whole(size: tuple[int, int]) -> None:
    corrector, luma = Corrector(), torch.rand(1, *size)
    with torch.inference_mode():
        gamma = corrector.network.gamma(luma[None])
        whole = corrector.network.correct(extend(luma[None], 12), gamma)[0, :, 12:-12, 12:-12]
    assert float((corrector(luma) - whole).abs().max()) < 1 / 255


@pytest.mark.skipif(weights.missing("iat") is not None, reason="IAT is not trained yet")
def test_a_mirror_lies_beyond_the_border_where_the_network_has_zeros() -> None:
    corrector, luma = Corrector(), torch.rand(1, 60, 72, generator=torch.Generator().manual_seed(0)) / 4
    with torch.inference_mode():
        difference = (corrector(luma) - corrector.network(luma[None])[0]).abs()
    assert float(difference[:, 12:-12, 12:-12].max()) < 1e-5
    assert float(difference.max()) > 0.05


@pytest.mark.skipif(weights.missing("iat") is not None, reason="IAT is not trained yet")
def test_it_brightens_the_dark_and_darkens_the_bright() -> None:
    scene = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))
    pair = ExposurePair(scene * 0.15, 0.7 + 0.3 * scene)
    lumas = enhance(pair, Corrector())
    assert float(lumas.under.mean()) > 1.5 * float(colour.luma(pair.under).mean())
    assert float(lumas.over.mean()) < 0.95 * float(colour.luma(pair.over).mean())


def test_what_a_photograph_does_not_hold_stays_white() -> None:
    """A blown photograph is darkened where it shows something; the order of its greys is kept up to white."""
    greys = torch.linspace(0.7, 1, 31).expand(3, 1, 31)
    shown = recolour(greys, 0.6 * colour.luma(greys))[0, 0]
    assert torch.allclose(shown[:11], 0.6 * greys[0, 0, :11], atol=1e-5)
    assert float(shown[-1]) == 1
    assert bool((shown.diff() > 0).all())
    lamp = torch.tensor([1.0, 0.8, 0.4]).view(3, 1, 1)  # one channel alone clips
    assert torch.allclose(recolour(lamp, 0.6 * colour.luma(lamp)), 0.6 * lamp, atol=1e-5)


def test_recolouring_keeps_the_new_luma_and_the_hue() -> None:
    photo = torch.tensor([0.10, 0.05, 0.02]).view(3, 1, 1).expand(3, 4, 4)
    brighter = 3 * colour.luma(photo)
    recoloured = recolour(photo, brighter)
    assert torch.allclose(colour.luma(recoloured), brighter, atol=1e-5)
    assert torch.allclose(recoloured, 3 * photo, atol=1e-5)
