"""DeepFuse, MEF-Net, the look-up table and LightFuse: what their networks are before and besides training."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fusion.io import colour
from fusion.io.image import ExposurePair, to_uint8
from fusion.methods.base import Fuser
from fusion.methods.deepfuse import METHOD as DEEPFUSE
from fusion.methods.deepfuse import DeepFuse
from fusion.methods.lightfuse import METHOD as LIGHTFUSE
from fusion.methods.lightfuse import LightFuse
from fusion.methods.meflut import MEFLUT, look_up
from fusion.methods.mefnet import MEFNet


def pair(side: int = 64, planes: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    scene = torch.rand(2, planes, side, side, generator=torch.Generator().manual_seed(0))
    return scene * 0.5, scene * 0.4 + 0.6


def test_untrained_deepfuse_returns_the_mean() -> None:
    torch.manual_seed(0)
    under, over = pair()
    with torch.inference_mode():
        fused = DeepFuse()(under, over)
    assert float((fused - (under + over) / 2)[..., 12:-12, 12:-12].abs().mean()) < 0.1


def test_deepfuse_does_not_care_which_is_which() -> None:
    under, over = pair()
    network = DeepFuse()
    with torch.inference_mode():
        assert torch.allclose(network(under, over), network(over, under), atol=1e-6)


def test_deepfuse_ends_with_a_plain_convolution() -> None:
    """Nothing bends, stretches or clamps its result, and every convolution has a bias."""
    torch.manual_seed(0)
    under, over = pair()
    network = DeepFuse()
    with torch.no_grad():
        fused = network(under, over)
        network.c5.get_parameter("bias").sub_(10)
        assert torch.allclose(network(under, over), fused - 10, atol=1e-4)
    assert all(module.bias is not None for module in network.modules() if isinstance(module, nn.Conv2d))


def test_a_mirror_lies_beyond_deepfuses_border_where_the_network_has_zeros() -> None:
    fuser = Fuser(DEEPFUSE)
    under, over = (planes[0].expand(3, -1, -1) for planes in pair())  # grey: the result is its luma
    with torch.inference_mode():
        alone = fuser.network(*pair())[0].clamp(0, 1)
    difference = (fuser(ExposurePair(under, over), mode="exact")[:1] - alone).abs()
    assert float(difference[:, 12:-12, 12:-12].max()) < 1e-4
    assert float(difference.max()) > 0.01
    assert fuser.seen(600, 800, "exact") == (600, 800)


def test_mefnet_takes_any_number_of_frames() -> None:
    """Each frame's weight depends on it alone, so that a third one takes from both others in proportion."""
    torch.manual_seed(0)
    frames = torch.rand(3, 2, 1, 140, 150)
    network = MEFNet()
    with torch.inference_mode():
        shares, two = network.weight_maps(*frames), network.weight_maps(*frames[:2])
        assert torch.allclose(network(*frames), (shares * frames).sum(0), atol=1e-5)
    assert shares.shape == (3, 2, 1, 140, 150)
    assert torch.allclose(shares[:2] / shares[:2].sum(0), two, atol=1e-4)


class _Faint(nn.Module):
    """Raw weights of 1e-4 where a luma is dark, and of none where it is bright."""

    def forward(self, luma: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) -> the same."""
        return 1e-4 * (luma < 0.5).float()


def test_small_weights_of_mefnet_decide_too() -> None:
    network = MEFNet()
    network.weigh = _Faint()  # pyright: ignore[reportAttributeAccessIssue]
    dark, bright = torch.full((1, 1, 32, 32), 0.25), torch.full((1, 1, 32, 32), 0.75)
    assert torch.allclose(network(dark, bright), dark, atol=1e-3)


def test_mefnets_copy_is_means_of_areas_of_the_luma() -> None:
    """Not those of 8-bit RGB, reduced bilinearly, which differ by more than rounding."""
    network, photo = MEFNet(), torch.rand(1, 3, 256, 320, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    network.weigh.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(colour.luma(photo), colour.luma(photo))
    assert torch.allclose(seen[0][:1], F.avg_pool2d(colour.luma(photo), 2), atol=1e-6)
    reduced = Image.fromarray(to_uint8(photo[0])).resize((160, 128), Image.Resampling.BILINEAR)
    theirs = colour.luma(torch.from_numpy(np.array(reduced)).permute(2, 0, 1) / 255)
    assert float((seen[0][0] - theirs).abs().max()) > 2 / 255


def test_mefnet_weighs_its_frames() -> None:
    """Every pixel lies between those of the sources, and the frames may be exchanged."""
    torch.manual_seed(0)
    under, over = pair(160)
    network = MEFNet()
    with torch.inference_mode():
        fused, exchanged = network(under, over), network(over, under)
    assert bool((fused >= torch.minimum(under, over) - 1e-6).all())
    assert bool((fused <= torch.maximum(under, over) + 1e-6).all())
    assert torch.allclose(fused, exchanged, atol=1e-5)


def test_the_table_is_linear_between_its_entries() -> None:
    table = torch.rand(64, generator=torch.Generator().manual_seed(0))
    luma = torch.linspace(-0.1, 1.1, 997)
    expected = np.interp(luma.numpy(), np.linspace(0, 1, 64), table.numpy())
    assert np.allclose(look_up(table, luma).numpy(), expected, atol=1e-5)


def test_a_table_holds_logarithms_of_weights() -> None:
    """So the shares are the weights over their sum, and no weight is cut to the range from 0 to 1."""
    under, over = pair()
    network = MEFLUT()
    with torch.no_grad():
        network.tables.add_(torch.linspace(0, 3, 64))
        first, second = (look_up(table, luma).exp() for table, luma in zip(network.tables, (under, over), strict=True))
        assert float(second.max()) > 1
        assert torch.allclose(network.weight_maps(under, over)[0], first / (first + second), atol=1e-5)


def test_a_table_that_knows_one_frame_returns_it() -> None:
    under, over = pair()
    network = MEFLUT()
    with torch.no_grad():
        network.tables[0].fill_(20)
        network.tables[1].fill_(-20)
        assert torch.allclose(network(under, over), under, atol=1e-5)


def test_lightfuse_stretches_what_it_gets() -> None:
    """A crop is stretched by its own mean and spread, not by the photograph's."""
    torch.manual_seed(0)
    under, over = (planes * torch.linspace(0.2, 1, 64) for planes in pair(planes=3))
    network = LightFuse()
    with torch.inference_mode():
        whole, crop = network(under, over), network(under[..., :32], over[..., :32])
    assert float((whole[..., :32] - crop)[..., :16].abs().mean()) > 0.05


def test_lightfuse_learns_towards_its_reference() -> None:
    assert LIGHTFUSE.recipe is not None
    under, over = pair(planes=3)
    torch.manual_seed(0)
    network = LightFuse()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(30):
        loss = LIGHTFUSE.recipe.loss(network(under, over), under, over)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
