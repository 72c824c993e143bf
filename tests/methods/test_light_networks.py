"""DeepFuse, MEF-Net, the look-up table and LightFuse: what their networks are before and besides training."""

from __future__ import annotations

import numpy as np
import torch

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


def test_a_table_that_knows_one_frame_returns_it() -> None:
    under, over = pair()
    network = MEFLUT()
    with torch.no_grad():
        network.tables[0].fill_(20)
        network.tables[1].fill_(-20)
        assert torch.allclose(network(under, over), under, atol=1e-5)


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
