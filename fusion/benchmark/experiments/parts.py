"""What each part of Virtual Bracket contributes: PSNR, SSIM and colour difference where parts of it are left out.

    python -m fusion.benchmark.experiments.parts DATASET

Every scene of the dataset has a reference, `reference.*` or `*_GT.*`; only scenes count that a training with
`--references DATASET` does not see. The network is not trained anew without a part: what it says of that part is
replaced by what it says before training, which is the rule. The measures are those of the experiment labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TypeAlias

import torch
from torch import Tensor, nn
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.benchmark.experiments.labels import Side, scores_of
from fusion.methods.base import keep_below_white
from fusion.methods.virtual_bracket import METHOD, Maps
from fusion.training.datasets import split
from fusion.training.references import HELD_OUT_EVERY, find_references, whole

DURATION = "This takes about two seconds for each of some 30 pairs and each of ten rows."

Planes: TypeAlias = slice
"""The numbers of some of the network's maps."""

_WEIGHTS, _BOUNDED, _AFFINE, _DETAIL = (
    slice(sum(Maps.COUNTS[:k]), sum(Maps.COUNTS[: k + 1])) for k in range(len(Maps.COUNTS))
)
_FIRST = _BOUNDED.start
_HAND_OVER, _CALM, _LEVELS = (
    slice(_FIRST, _FIRST + 2),
    slice(_FIRST + 2, _FIRST + 3),
    slice(_FIRST + 3, _BOUNDED.stop),
)
_EVERYTHING = slice(None)
_NEVER = -20.0
"""What a map says so that its tangent is -1, and its exponential 0."""
_MIDDLE = 3
"""The number of the rendered exposure halfway between the darkest and the brightest photograph."""


class Without(nn.Module):
    """The network's maps and numbers with some maps replaced, and with the bracket's place that of the rule."""

    def __init__(self, net: nn.Module, maps: Sequence[tuple[Planes, float]], *, place: bool) -> None:
        super().__init__()
        self.net, self.replaced, self.place = net, maps, place

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps and the numbers."""
        maps, numbers = self.net(x)
        maps = maps.clone()
        for planes, value in self.replaced:
            maps[:, planes] = value
        return maps, torch.zeros_like(numbers) if self.place else numbers


def network(*maps: tuple[Planes, float], place: bool = False) -> nn.Module:
    """The trained network with some maps replaced by a value and, with `place`, the bracket where the rule has it."""
    trained = METHOD.trained()
    trained.net = Without(trained.get_submodule("net"), maps, place=place)
    return trained


VARIANTS: dict[str, tuple[tuple[tuple[Planes, float], ...], bool]] = {
    "the light alone, at the middle exposure": (
        ((_EVERYTHING, 0), (slice(0, _MIDDLE), _NEVER), (slice(_MIDDLE + 1, _WEIGHTS.stop), _NEVER)),
        True,
    ),
    "the rule: rendered bracket, weights of good exposure": (((_EVERYTHING, 0),), True),
    "the same, nothing counts more where nothing is known": (((_EVERYTHING, 0), (_CALM, _NEVER)), True),
    "trained, without its weights": (((_WEIGHTS, 0),), False),
    "trained, without its hand-over": (((_HAND_OVER, 0),), False),
    "trained, without its levels of the darker light": (((_LEVELS, 0),), False),
    "trained, nothing counts more where nothing is known": (((_CALM, _NEVER),), False),
    "trained, without its place of the bracket": ((), True),
    "trained, without its affine map": (((_AFFINE, 0),), False),
    "trained, without its detail": (((_DETAIL, 0),), False),
    "trained: Virtual Bracket": ((), False),
}
"""For each row the maps that are replaced, and whether the bracket is where the rule has it."""


@torch.inference_mode()
def main(dataset: Dataset, side: Side = 512) -> None:
    """Print the means as a Markdown table."""
    pairs = split(find_references(dataset), HELD_OUT_EVERY)[1]
    networks = {title: network(*maps, place=place) for title, (maps, place) in VARIANTS.items()}
    rows: dict[str, list[tuple[float, float, float]]] = {title: [] for title in networks}
    for (under, over), reference in tqdm(whole(pairs, side), total=len(pairs), unit="pair", leave=False):
        for title, fuse in networks.items():
            rows[title].append(scores_of(keep_below_white(fuse(under, over)[0], under[0]), reference[0]))
    print(f"| {len(pairs)} pairs, longest side {side} | PSNR, dB ↑ | SSIM ↑ | dE ↓ |\n|---|---|---|---|")
    for title, scores in rows.items():
        print("| {} | {:.2f} | {:.4f} | {:.2f} |".format(title, *map(fmean, zip(*scores, strict=True))))


if __name__ == "__main__":
    run(main, DURATION)
