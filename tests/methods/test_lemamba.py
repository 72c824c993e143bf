"""LE-Mamba's parts by small cases made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fusion.blocks.cross_scan import StateReader
from fusion.methods.lemamba import METHOD, Block, Decoder, LEMamba, LocalScan


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("planes", "guides", "depths", "parameters"),
    [(4, 1, (2, 1, 1), 741_156), (1, 1, (2, 1, 1), 739_425), (1, 1, (4, 3, 2), 1_646_113)],
)
def test_the_published_sizes(planes: int, guides: int, depths: tuple[int, ...], parameters: int) -> None:
    with torch.device("meta"):
        assert count(LEMamba(planes, guides, depths=depths)) == parameters


def test_a_second_guide_costs_its_convolutions() -> None:
    """One more 1 x 1 convolution to 32 channels in each of the 9 blocks."""
    assert METHOD.parameters == 739_425 + 9 * 32


def test_untrained_it_returns_about_the_mean() -> None:
    torch.manual_seed(0)
    under, over = torch.rand(2, 1, 1, 16, 32)
    with torch.no_grad():
        difference = LEMamba()(under, over) - (under + over) / 2
    assert 0 < float(difference.abs().max()) < 0.1


def test_who_hears_whom() -> None:
    """The channels of all states that each block reads, level by level."""

    def heard(level: nn.Module) -> list[int]:
        blocks = level.get_submodule("blocks").children()
        readers = [[m for m in block.modules() if isinstance(m, StateReader)] for block in blocks]
        return [block[0].project.in_features if block else 0 for block in readers]

    network = LEMamba()
    assert [heard(level) for level in network.encoders] == [[0, 64], [0], [0]]
    assert [heard(level) for level in network.decoders] == [[64 + 64, 64], [32 + 64], [32 + 32]]
    assert not [module for module in network.middle.modules() if isinstance(module, StateReader)]


def test_shared_states_reach_the_result() -> None:
    """The result changes when any of the deepest decoder's sources is set to zero."""
    torch.manual_seed(0)
    network, (under, over) = LEMamba(), torch.rand(2, 1, 1, 16, 16)
    with torch.no_grad():
        fused = network(under, over)
        for source in (slice(0, 32), slice(32, 64)):
            silenced = LEMamba()
            silenced.load_state_dict(network.state_dict())
            for module in silenced.decoders[-1].modules():
                if isinstance(module, StateReader):
                    module.project.weight[:, source] = 0
            assert float((silenced(under, over) - fused).abs().max()) > 0


def test_only_the_first_block_of_a_decoder_reads_the_encoders_states() -> None:
    """The authors' later blocks read them, too; see the table in the method's file."""
    torch.manual_seed(0)
    decoder = Decoder(8, [Block(8, 1, 8, sources=(4, 8)), Block(8, 1, 8, sources=(4,))])
    first = decoder.blocks[0]
    below, skip, guide = torch.rand(4, 1, 4, 32), torch.rand(1, 8, 8, 8), torch.rand(1, 1, 8, 8)

    def run(state: float) -> Tensor:
        return decoder(torch.ones(1, 8, 4, 4), below, skip, state * torch.ones(4, 1, 8, 32), guide)[0]

    with torch.no_grad():
        assert float((run(0) - run(1)).abs().max()) > 1e-3
        for module in first.modules():
            if isinstance(module, StateReader):
                nn.init.zeros_(module.project.weight[:, 4:])
        assert torch.equal(run(0), run(1))


def test_other_states_other_maps() -> None:
    block = Block(8, 1, 8, sources=(4,))
    x, guide = torch.rand(1, 8, 8, 8), torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        silent, loud = (block(x, guide, value * torch.ones(4, 1, 4, 32))[0] for value in (0.0, 1.0))
    assert float((silent - loud).abs().max()) > 1e-3


def test_local_scans_stay_in_their_window() -> None:
    scan, picture = LocalScan(8, 16), torch.rand(1, 8, 24, 24)
    changed = picture.clone()
    changed[:, 0, 12, 12] += 0.5  # the centre of the middle window
    with torch.no_grad():
        difference = (scan(picture) - scan(changed)).abs().amax(1)[0]
    assert bool((difference[8:16, 8:16] > 0).all())
    difference[8:16, 8:16] = 0
    assert float(difference.max()) == 0


def test_the_guide_comes_at_any_size() -> None:
    block, x = Block(8, 2, 8), torch.rand(1, 8, 8, 8)
    new, states = block(x, torch.rand(1, 2, 32, 32))
    assert new.shape == x.shape
    assert states.shape == (4, 1, 8, 32)


def test_skip_connections_open_in_training() -> None:
    """Their strength starts at zero: the encoder's map has no effect yet, but its strength has a gradient."""
    decoder = Decoder(8, [Block(8, 1, 8, sources=(8, 8))])
    states = torch.rand(4, 1, 8, 32)

    def run(skip: Tensor) -> Tensor:
        return decoder(torch.ones(1, 8, 4, 4), states, skip, states, torch.ones(1, 1, 8, 8))[0]

    skips = torch.rand(2, 1, 8, 8, 8)
    assert torch.equal(run(skips[0]), run(skips[1]))
    run(skips[0]).square().mean().backward()
    assert decoder.strength.grad is not None
    assert bool((decoder.strength.grad != 0).any())
