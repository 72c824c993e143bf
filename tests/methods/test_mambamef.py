"""MambaMEF's parts by small cases made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusion.blocks.selective_scan import reference
from fusion.blocks.vision_mamba import AttentionMixer, ScanMixer, four_orders, sum_orders
from fusion.blocks.window import from_windows, to_windows
from fusion.methods.base import padded
from fusion.methods.mambamef import METHOD, DoubleConv, Encoder, MambaMEF


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    network = MambaMEF()
    assert count(network) == 623_249
    assert count(network.encode_under) == count(network.encode_over) == 238_928
    assert count(network.decode) == 145_393
    scan_block, attention_block = network.encode_under.tokens
    assert (count(scan_block), count(attention_block)) == (11_104, 12_704)


@pytest.mark.parametrize(("width", "parameters"), [(32, 623_249), (64, 891_089)])
def test_the_published_widths(width: int, parameters: int) -> None:
    assert count(MambaMEF(width)) == parameters


def test_windows_are_row_by_row() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    assert to_windows(picture, 2)[..., 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_windows_come_back() -> None:
    features = torch.rand(2, 5, 16, 24)
    assert torch.equal(from_windows(to_windows(features, 8), 8, 16, 24), features)


def test_four_orders() -> None:
    tokens = torch.arange(4.0).view(1, 4, 1)
    assert four_orders(tokens, 2)[:, 0, :, 0].tolist() == [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [3, 1, 2, 0]]


def test_orders_are_put_back_and_summed() -> None:
    tokens = torch.rand(3, 64, 5)
    assert torch.allclose(sum_orders(four_orders(tokens, 8), 8), 4 * tokens)


def test_all_directions_share_one_set_of_weights() -> None:
    """Turning the window's tokens over, or exchanging rows and columns, only turns the result."""
    mixer, tokens = ScanMixer(16, 4), torch.rand(2, 16, 16)
    mixed = mixer(tokens)
    assert torch.allclose(mixer(tokens.flip(1)), mixed.flip(1), atol=1e-5)
    exchanged = tokens.unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    expected = mixed.unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    assert torch.allclose(mixer(exchanged), expected, atol=1e-5)


def test_the_scan_mixer_step_by_step() -> None:
    """One direction written out with the reference scan; the mixer is the sum of four of these."""
    mixer = ScanMixer(8, 2, states=3)
    tokens = torch.rand(1, 4, 8)

    def one(order: list[int]) -> torch.Tensor:
        x, z = mixer.in_proj(tokens[:, order]).transpose(1, 2).chunk(2, 1)
        x, z = nn.functional.silu(mixer.conv_x(x)), nn.functional.silu(mixer.conv_z(z))
        step, b, c = mixer.x_proj(x.transpose(1, 2)).split((1, 3, 3), -1)
        delta = (step @ mixer.dt_proj.weight.T).transpose(1, 2)
        y = reference(x, delta, -mixer.A_log.exp(), b.transpose(1, 2), c.transpose(1, 2), mixer.D, mixer.dt_proj.bias)
        joined = torch.cat((y, z), 1).transpose(1, 2)
        return joined[:, torch.tensor(order).argsort()]

    summed = one([0, 1, 2, 3]) + one([3, 2, 1, 0]) + one([0, 2, 1, 3]) + one([3, 1, 2, 0])
    assert torch.allclose(mixer(tokens), mixer.out_proj(summed), atol=1e-5)


def test_attention_is_torchs() -> None:
    mixer, tokens = AttentionMixer(16), torch.rand(3, 10, 16)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        for name, value in (("in_proj", mixer.qkv), ("out_proj", mixer.proj)):
            target = theirs.out_proj if name == "out_proj" else None
            (target.weight if target else theirs.in_proj_weight).copy_(value.weight)
            (target.bias if target else theirs.in_proj_bias).copy_(value.bias)
    assert torch.allclose(mixer(tokens), theirs(tokens, tokens, tokens, need_weights=False)[0], atol=1e-5)


def test_tokens_see_their_window_alone() -> None:
    encoder = Encoder(32).eval()
    picture = torch.rand(1, 1, 24, 24)
    changed = picture.clone()
    changed[..., 12, 12] += 0.5  # the centre of the middle window
    with torch.no_grad():
        difference = (encoder.context(picture) - encoder.context(changed)).abs().amax(1)[0]
    assert bool((difference[8:16, 8:16] > 0).any())
    outside = difference.clone()
    outside[8:16, 8:16] = 0
    assert float(outside.max()) == 0


def test_zero_padding_to_the_window() -> None:
    assert Encoder(32).eval()(torch.rand(1, 2, 13, 18)).shape == (1, 128, 13, 18)


def test_sides_are_mirrored_before_the_network() -> None:
    """So its own zeros are never used, and every convolution sees the mirror, which decides the border."""
    network = METHOD.trained()
    lumas = torch.rand(2, 1, 2, 61, 90, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Size] = []
    for encoder in (network.get_submodule("encode_under"), network.get_submodule("encode_over")):
        encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[-2:]))
    with torch.inference_mode():
        mirrored = padded(network, list(lumas), METHOD.needs.multiple_of)
        assert seen == [torch.Size((64, 96))] * 2
        difference = (mirrored - network(*lumas)).abs()
    assert float(difference[..., :48, :72].max()) < 1e-5
    assert float(difference.max()) > 0.02


def test_what_does_not_carry_the_luma_starts_at_zero() -> None:
    network = MambaMEF()
    for module in network.modules():
        if isinstance(module, DoubleConv):
            assert not any(convolution.get_parameter("bias").any() for convolution in (module[0], module[2]))
    last = network.decode[-1]
    assert isinstance(last, nn.Conv2d)
    assert not last.weight[:, 1:].any()


def test_untrained_it_returns_the_mean() -> None:
    network = MambaMEF().eval()
    under, over = torch.rand(2, 1, 2, 16, 16)
    assert torch.allclose(network(under, over), (under + over)[:, :1] / 2, atol=1e-6)


def test_no_dropout_anywhere() -> None:
    assert not [m for m in MambaMEF().modules() if isinstance(m, nn.Dropout)]
