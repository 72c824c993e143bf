"""Mamba's layer, and the scans in four directions, against loops and small cases made by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.benchmark.speed import scan_inputs
from fusion.blocks.cross_scan import CrossScan, SharingCrossScan, StateReader
from fusion.blocks.mamba import S6, Mamba, to_map, to_tokens
from fusion.blocks.selective_scan import reference, scan_and_state, selective_scan


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_mamba() -> None:
    """Parameters: in 60 x 240, convolution 120 x 5, x 120 x 36, step 4 x 120 + 120, A 120 x 16, D 120, out 120 x 60."""
    assert count(Mamba(60)) == 14_400 + 600 + 4_320 + 600 + 1_920 + 120 + 7_200


def test_tokens_are_row_by_row_and_come_back() -> None:
    picture = torch.arange(6.0).view(1, 1, 2, 3)
    assert to_tokens(picture)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.equal(to_map(to_tokens(picture), 2), picture)


def test_mamba_sees_no_later_token() -> None:
    mamba, tokens = Mamba(8), torch.rand(2, 20, 8)
    changed = tokens.clone()
    changed[:, 11] += 1
    with torch.no_grad():
        difference = (mamba(tokens) - mamba(changed)).abs().amax((0, 2))
    assert float(difference[:11].max()) == 0
    assert bool((difference[11:] > 0).all())


def test_mamba_step_by_step() -> None:
    """The layer written out, its convolution as a sum over the tokens it reads."""
    mamba, tokens = Mamba(4, states=3), torch.rand(2, 7, 4)
    gated, s6 = mamba.gated, mamba.gated.scan
    assert gated.conv.bias is not None
    x, z = gated.in_proj(tokens).chunk(2, -1)
    before = F.pad(x, (0, 0, 3, 0))
    taps = gated.conv.weight[:, 0, 0]  # (D, 4)
    x = F.silu(sum(before[:, k : k + 7] * taps[:, k] for k in range(4)) + gated.conv.bias)
    step, b, c = s6.x_proj(x).split((1, 3, 3), -1)
    delta = F.linear(step, s6.dt_proj.weight)
    u, delta, b, c = (t.transpose(1, 2) for t in (x, delta, b, c))
    y = reference(u, delta, -mamba.A_log.exp(), b, c, s6.D, s6.dt_proj.bias)
    assert torch.allclose(mamba(tokens), mamba.out_proj(y.transpose(1, 2) * F.silu(z)), atol=1e-6)


def test_the_state_after_the_last_token() -> None:
    u, delta, A, B, C, D, bias = scan_inputs(2, 20, 70, 8)
    y, state = scan_and_state(u, delta, A, B, C, D, bias)
    h = torch.zeros(2, 20, 8)
    step = F.softplus(delta + bias[:, None])
    for l in range(70):
        h = torch.exp(step[:, :, l, None] * A) * h + (step * u)[:, :, l, None] * B[:, None, :, l]
    assert torch.allclose(state, h, atol=1e-5)
    assert torch.equal(y, selective_scan(u, delta, A, B, C, D, bias))


def test_the_state_carries_no_gradient_and_disturbs_none() -> None:
    with_state, without = ([x.requires_grad_() for x in scan_inputs(1, 5, 30, 4)] for _ in range(2))
    y, state = scan_and_state(*with_state)
    assert not state.requires_grad
    y.square().sum().backward()
    selective_scan(*without).square().sum().backward()
    for ours, theirs in zip(with_state, without, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


ORDERS = ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5], [5, 2, 4, 1, 3, 0])
"""How a map of 2 x 3 is read."""


def direction(s6: nn.Module, u: Tensor, A_log: Tensor, order: list[int]) -> Tensor:
    assert isinstance(s6, S6)
    return s6(u[:, order], A_log)[:, torch.tensor(order).argsort()]


def test_the_cross_scan_direction_by_direction() -> None:
    mixer, tokens = CrossScan(8, 6, states=3, kernel=3), torch.rand(2, 6, 8)
    with torch.no_grad():
        mixer.A_log.add_(torch.rand(mixer.A_log.shape))  # so that no direction may take another's
    x, z = mixer.in_proj(tokens).chunk(2, -1)
    x = to_tokens(F.silu(mixer.conv(to_map(mixer.in_norm(x), 2))))
    merged = torch.zeros(2, 6, 6)
    for s6, A_log, order in zip(mixer.scans, mixer.A_log, ORDERS, strict=True):
        merged = merged + direction(s6, x, A_log, order)
    assert torch.allclose(mixer(tokens, 2), mixer.out_proj(mixer.out_norm(merged) * F.silu(z)), atol=1e-5)


def test_every_token_hears_every_other() -> None:
    mixer, tokens = CrossScan(8, 8, states=4, kernel=1), torch.rand(1, 12, 8)
    changed = tokens.clone()
    changed[:, 5] += 1
    assert bool(((mixer(tokens, 3) - mixer(changed, 3)).abs().amax(2) > 0).all())


def test_without_sources_sharing_changes_nothing() -> None:
    plain, sharing, tokens = CrossScan(8, 6, 3, 3), SharingCrossScan(8, 6, 3, 3), torch.rand(2, 6, 8)
    sharing.load_state_dict(plain.state_dict())
    mixed, last = sharing(tokens, 2)
    assert torch.allclose(mixed, plain(tokens, 2), atol=1e-6)
    assert last.shape == (4, 2, 6, 3)


def test_states_are_heard_but_not_by_the_gates() -> None:
    """The scan of u + rho <P', G u>, with steps, B and C still of u."""
    mixer, tokens = SharingCrossScan(8, 6, states=3, kernel=3, sources=(5, 6)), torch.rand(2, 6, 8)
    states = (torch.rand(4, 2, 5, 3), torch.rand(4, 2, 6, 3))
    directions, gate = mixer.enter(tokens, 2)
    scans: list[Tensor] = []
    for i, (s6, reader) in enumerate(zip(mixer.scans, mixer.readers, strict=True)):
        assert isinstance(s6, S6)
        assert isinstance(reader, StateReader)
        u = directions[i]
        of_below, of_skip = reader.project.weight.split((5, 6), 1)
        heard = of_below @ states[0][i] + of_skip @ states[1][i]  # (B, D, N)
        read = torch.einsum("bdn,bln->bld", heard, u @ reader.gate.weight.T)
        _, *rest = s6.arguments(u, mixer.A_log[i], u)
        scans.append(reference((u + reader.scale * read).transpose(1, 2), *rest).transpose(1, 2))
    assert torch.allclose(mixer(tokens, 2, states)[0], mixer.leave(scans, gate, 2), atol=1e-5)


def test_half_precision_scans_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mamba, scan = Mamba(8)(torch.rand(1, 9, 8)), SharingCrossScan(8, 8, 4, 3, (8,))
        mixed, last = scan(torch.rand(1, 9, 8), 3, (torch.rand(4, 1, 8, 4),))
    assert bool(mamba.isfinite().all())
    assert bool(mixed.isfinite().all())
    assert last.dtype == torch.float32
