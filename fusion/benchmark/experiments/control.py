"""What a control without a network reaches beside the networks on luma, over a folder of pairs.

    python -m fusion.benchmark.experiments.control DATASET

The control is Mertens' fusion of the lumas, without the weight of saturation, on the copy of at most 128 x 128 pixels
that LE-Mamba, MambaDFuse and MambaMEF see. The same guided filter carries it to full size, and it gets its colour in
the same way. So only what a network has beyond the control is the network's own. Three numbers in brackets are the
exponents of contrast, saturation and exposedness. The column "clipped" is for colours that are clipped channel by
channel where they do not fit, as the papers' code does, instead of desaturated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from torch import Tensor
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io import colour
from fusion.io.image import load_pair, to_uint8
from fusion.methods import METHODS, mertens
from fusion.methods.base import BY_COLOURFULNESS, Colour, Fuser, Method, Needs, Planes
from fusion.methods.iat import Corrector, enhance
from fusion.metrics import mef_ssim, qabf
from fusion.metrics.picture import Sources
from fusion.training.datasets import find_pairs

DURATION = "This takes about two seconds for each pair and row; there are ten rows."


def control(needs: Needs, exposedness: float) -> Method:
    """Mertens on lumas, which have no saturation."""
    return replace(mertens.METHOD, needs=needs, architecture=partial(mertens.Mertens, exposedness=exposedness))


_COPY = Needs(planes=Planes.LUMA, largest=128 * 128)
_FULL_SIZE = Needs(planes=Planes.LUMA, cheap=True)

ROWS: dict[str, Method] = {
    **{
        f"`{method.name}`": method
        for method in METHODS
        if method.needs.planes is Planes.LUMA and method.needs.colour is BY_COLOURFULNESS
    },
    "control (1, –, 1)": control(_COPY, exposedness=1),
    "control (1, –, 0)": control(_COPY, exposedness=0),
    "Mertens on luma, full size (1, –, 1)": control(_FULL_SIZE, exposedness=1),
    "`mertens` (1, 1, 1)": mertens.METHOD,
}


def clipped(photos: Sequence[Tensor], y: Tensor) -> Tensor:
    """Colour a fused luma as `colour.by_colourfulness` does, but let `Fuser` clip colours that do not fit."""
    return colour.to_rgb(y, colour.merge_chroma(*map(colour.chroma, photos)))


def main(dataset: Dataset) -> None:
    """Print a row for each method as soon as it is measured."""
    pairs, corrector = find_pairs(dataset), Corrector()
    print("| | MEF-SSIM ↑ | clipped | Q^AB/F ↑ |\n|---|---|---|---|", flush=True)
    for name, method in ROWS.items():
        fusers = [Fuser(method)]
        if method.needs.planes is Planes.LUMA:
            fusers.append(Fuser(replace(method, needs=replace(method.needs, colour=Colour(clipped)))))
        qualities: list[list[float]] = [[] for _ in fusers]
        edges: list[float] = []
        for files in tqdm(pairs, desc=name, unit="pair", leave=False):
            pair = load_pair(files.under, files.over)
            sources = Sources(to_uint8(pair.under), to_uint8(pair.over))
            lumas = enhance(pair, corrector) if method.needs.enhanced else None
            made = [to_uint8(fuser(pair, lumas, mode="exact")) for fuser in fusers]
            for scores, picture in zip(qualities, made, strict=True):
                scores.append(mef_ssim.METRIC.measure(picture, sources))
            edges.append(qabf.METRIC.measure(made[0], sources))
        cells = [f"{fmean(scores):.4f}" for scores in qualities] + [""] * (2 - len(qualities))
        print(f"| {name} | {' | '.join(cells)} | {fmean(edges):.4f} |", flush=True)


if __name__ == "__main__":
    run(main, DURATION)
