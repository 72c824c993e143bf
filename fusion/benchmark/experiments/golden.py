"""Every metric of MEFB's beside the value that MEFB's own code gives, for the fused pictures of `tests/golden`.

    python -m fusion.benchmark.experiments.golden FUSED SCENES

FUSED holds the fused pictures that `tests/golden/metric_golden.json` names, SCENES MEFB's <scene>/<scene>_A.*, _B.*.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fusion.io.image import load, load_pair, to_uint8
from fusion.metrics import BENCHMARK
from fusion.metrics.picture import Sources

_GOLDEN = Path(__file__).resolve().parents[1] / "tests/golden/metric_golden.json"


def main(fused: Path, scenes: Path) -> None:
    """Print the table."""
    golden = json.loads(_GOLDEN.read_text(encoding="utf-8"))
    print(f"{'picture':20} {'metric':10} {'ours':>14} {'MEFB':>14} {'difference':>11}")
    for picture, theirs in golden["values"].items():
        scene = picture.split("_")[0]
        pair = load_pair(*(next((scenes / scene).glob(f"{scene}_{letter}.*")) for letter in "AB"))
        pixels, sources = to_uint8(load(fused / picture).photo), Sources(to_uint8(pair.under), to_uint8(pair.over))
        for metric in BENCHMARK:
            if metric.mefb:
                ours, value = metric.measure(pixels, sources), theirs.get(metric.mefb)
                beside = "             -           -" if value is None else f"{value:14.6f} {ours - value:11.1e}"
                print(f"{picture.removesuffix('.png'):20} {metric.name:10} {ours:14.6f} {beside}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
