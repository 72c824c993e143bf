"""Every metric of MEFB's twenty beside the value that MEFB's own code gives, for stored fused pictures.

    python -m fusion.benchmark.experiments.golden tests/golden/metric_golden.json FUSED DATASET

VALUES names the fused pictures, which are in the folder FUSED, and MEFB's values for them; DATASET holds MEFB's pairs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fusion.benchmark.experiments.command import Dataset, run
from fusion.errors import DatasetError
from fusion.io.image import load, load_pair, to_uint8
from fusion.metrics import BENCHMARK
from fusion.training.datasets import find_pairs

DURATION = "This takes a few seconds for each picture."


def main(
    values: Annotated[Path, typer.Argument(metavar="VALUES", help="MEFB's values: tests/golden/metric_golden.json.")],
    fused: Annotated[Path, typer.Argument(metavar="FUSED", help="The folder of the fused pictures that VALUES names.")],
    dataset: Dataset,
) -> None:
    """Print a row for each picture and metric as soon as it is measured."""
    golden = json.loads(values.read_text(encoding="utf-8"))
    scenes = {pair.scene: pair for pair in find_pairs(dataset)}
    print(f"{'picture':20} {'metric':10} {'ours':>14} {'MEFB':>14} {'difference':>11}")
    for picture, theirs in golden["values"].items():
        scene = picture.split("_")[0]
        if scene not in scenes:
            raise DatasetError(f"{dataset} has no scene {scene}, which {picture} was fused from.")
        pair = load_pair(scenes[scene].under, scenes[scene].over)
        pictures = [to_uint8(photo) for photo in (load(fused / picture).photo, pair.under, pair.over)]
        for metric in BENCHMARK:
            if metric.mefb:
                ours, value = metric.measure(*pictures), theirs.get(metric.mefb)
                beside = "             -           -" if value is None else f"{value:14.6f} {ours - value:11.1e}"
                print(f"{picture.removesuffix('.png'):20} {metric.name:10} {ours:14.6f} {beside}", flush=True)


if __name__ == "__main__":
    run(main, DURATION)
