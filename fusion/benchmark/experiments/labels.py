"""Methods against pictures that people chose, or ones made like them: PSNR, SSIM and colour difference on a dataset.

    python -m fusion.benchmark.experiments.labels DATASET

Every scene of the dataset has a reference, `reference.*` or `*_GT.*`. PSNR is over R, G and B; SSIM is Wang's, with its
Gaussian windows, on the luma; dE is CIEDE2000. `--method` and `--side` say what is measured and at which size.
`--held-out` chooses the scenes that a training with `--references DATASET` does not see, and `--more` a folder with
further pairs of them, as `--data` of that training does.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

import torch
import typer
from tqdm import tqdm

from fusion.benchmark.experiments.command import Dataset, run
from fusion.io import colour
from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.methods import METHODS
from fusion.metrics.colourfulness import delta_e
from fusion.metrics.reference import psnr
from fusion.metrics.ssim import ssim
from fusion.pipeline import Session
from fusion.settings import Settings
from fusion.training.datasets import split
from fusion.training.references import HELD_OUT_EVERY, find_references, whole

DURATION = "This takes about a second for each pair and method."

Names = Annotated[list[str] | None, typer.Option("--method", help="A method's name; may be repeated. Default: all.")]
Side = Annotated[int, typer.Option("--side", min=16, help="Reduce pictures to this longest side, in pixels.")]
More = Annotated[Path | None, typer.Option("--more", help="Also measure pairs here that train_references.csv names.")]
HeldOut = Annotated[bool, typer.Option("--held-out", help="Measure only scenes that training holds out.")]


def main(
    dataset: Dataset,
    method: Names = None,
    side: Side = 1 << 30,
    more: More = None,
    *,
    held_out: HeldOut = False,
) -> None:
    """Print the means as a Markdown table: over all pairs, the extreme and the moderate ones (`-mod`)."""
    pairs = find_references(dataset, more)
    if held_out:
        pairs = split(pairs, HELD_OUT_EVERY)[1]
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in method or [one.name for one in METHODS]}
    settings = Settings(align=False, ghosts="ignore", colour="published")
    with Session() as session:
        for files in tqdm(pairs, unit="pair", leave=False):
            (((under, over), reference),) = whole([files], side)  # all at once would not fit into memory at full size
            scene = session.prepare(ExposurePair(under[0], over[0]), settings)
            for name, rows in scores.items():
                rows.append(scores_of(session.fuse(scene, name, settings).photo, reference[0]))
    moderate = [pair.scene.endswith("-mod") for pair in pairs]
    groups = {"all": [True] * len(pairs), "extreme": [not one for one in moderate], "moderate": moderate}
    groups = {title: chosen for title, chosen in groups.items() if any(chosen)}
    print("| PSNR, dB ↑ / SSIM ↑ / dE ↓ | " + " | ".join(f"{title} ({sum(c)})" for title, c in groups.items()) + " |")
    print("|---" * (1 + len(groups)) + "|")
    for name, rows in scores.items():
        cells = [
            "{:.2f} / {:.4f} / {:.2f}".format(
                *map(fmean, zip(*(row for row, use in zip(rows, chosen, strict=True) if use), strict=True))
            )
            for chosen in groups.values()
        ]
        print(f"| `{name}` | " + " | ".join(cells) + " |")


def scores_of(fused: Photo, reference: Photo) -> tuple[float, float, float]:
    """PSNR, SSIM and dE of a picture (3, H, W) against its reference, both rounded to 8 bits."""
    pixels, target = to_uint8(fused), to_uint8(reference)
    lumas = (colour.luma(torch.from_numpy(one).permute(2, 0, 1)[None] / 255) for one in (pixels, target))
    return psnr(pixels, target), float(ssim(*lumas)), delta_e(pixels, target)


if __name__ == "__main__":
    run(main, DURATION)
