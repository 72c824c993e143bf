"""MambaDFuse's parts by small cases made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fusion.blocks.mamba import to_map
from fusion.methods.mambadfuse import (
    METHOD,
    FusionBlock,
    MambaBlock,
    MambaBlocks,
    MambaDFuse,
    SwapBlock,
    swap_even_channels,
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    assert METHOD.parameters == 1_347_271
    assert [count(block(60)) for block in (MambaBlock, SwapBlock, FusionBlock)] == [29_280, 58_560, 72_120]


def test_the_published_other_width() -> None:
    with torch.device("meta"):
        assert count(MambaDFuse(96)) == 3_170_593


def test_it_corrects_the_mean() -> None:
    torch.manual_seed(0)
    network, (under, over) = MambaDFuse(width=12), torch.rand(2, 1, 1, 16, 24)
    last = network.reconstruct[-1]
    assert isinstance(last, nn.Conv2d)
    for p in last.parameters():
        nn.init.zeros_(p)
    with torch.inference_mode():
        assert torch.equal(network(under, over), (under + over) / 2)


def test_the_reconstruction_reads_no_residual() -> None:
    torch.manual_seed(0)
    network, (under, over) = MambaDFuse(width=12), torch.rand(2, 1, 1, 16, 24)
    decoded: list[torch.Tensor] = []
    network.decode.register_forward_hook(lambda _module, _inputs, outputs: decoded.append(outputs[0]))
    with torch.no_grad():
        fused = network(under, over)
        assert torch.equal(fused, (under + over) / 2 + network.reconstruct(to_map(decoded[0], 16)))


def test_its_last_convolution_starts_with_a_spread_of_a_twentieth() -> None:
    torch.manual_seed(0)
    values = torch.cat([p.detach().flatten() for _ in range(3) for p in MambaDFuse().reconstruct[-1].parameters()])
    assert float(values.std()) == pytest.approx(0.05, rel=0.15)


def test_even_channels_change_sides() -> None:
    pair = torch.tensor([[[1, 2, 3, 4, 5]], [[10, 20, 30, 40, 50]]])
    assert swap_even_channels(pair).tolist() == [[[10, 2, 30, 4, 50]], [[1, 20, 3, 40, 5]]]


def test_the_swap_is_between_norm_and_mamba() -> None:
    block, x, residual = SwapBlock(6), *torch.rand(2, 2, 1, 9, 6)
    new, summed = block(x, residual)
    assert torch.equal(summed, x + residual)
    swapped = swap_even_channels(torch.stack([norm(t) for norm, t in zip(block.norms, summed, strict=True)]))
    for got, mamba, tokens in zip(new, block.mambas, swapped, strict=True):
        assert torch.equal(got, mamba(tokens))


def test_blocks_add_before_they_mix() -> None:
    blocks, tokens = MambaBlocks(6, depth=2), torch.rand(1, 9, 6)
    x, residual = blocks(tokens)
    first, second = blocks
    assert isinstance(first, MambaBlock)
    assert isinstance(second, MambaBlock)
    middle = first.mamba(first.norm(tokens))
    assert torch.allclose(residual, tokens + middle)
    assert torch.allclose(x, second.mamba(second.norm(tokens + middle)))


def test_joint_scans_are_summed_and_the_sources_share_their_decay() -> None:
    block, x, sources = FusionBlock(6), torch.rand(1, 12, 6), torch.rand(2, 1, 12, 6)
    with torch.no_grad():
        block.source_A_log.add_(0.5)
    (of_fused, *of_sources), (norm, *norms) = block.scans, block.norms
    merged = of_fused(norm(x), block.fused_A_log)
    for scan, source_norm, source in zip(of_sources, norms, sources, strict=True):
        merged = merged + scan(source_norm(source), block.source_A_log)
    features = block.out_proj(merged).transpose(1, 2).unflatten(2, (3, 4))
    expected = features + F.conv2d(features, block.conv.weight, block.conv.bias, padding=1, groups=6)
    got, residual = block(x, torch.zeros_like(x), sources, 3)
    assert torch.equal(residual, x)
    assert torch.allclose(got, expected.flatten(2).transpose(1, 2), atol=1e-6)


def test_any_size_and_both_exposures_count() -> None:
    torch.manual_seed(0)
    network, (under, over) = MambaDFuse(), torch.rand(2, 2, 1, 5, 13)
    with torch.no_grad():
        fused, exchanged = network(under, over), network(over, under)
    assert fused.shape == (2, 1, 5, 13)
    assert float((fused - exchanged).abs().max()) > 0  # encoders and joins are each exposure's own


def test_residuals_stay_in_float32() -> None:
    network = MambaDFuse(8)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = network.embed(network.low(torch.rand(1, 1, 4, 4)))
        _, residual = network.decode(tokens)
    assert tokens.dtype == residual.dtype == torch.float32
