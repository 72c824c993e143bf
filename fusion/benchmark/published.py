"""The means that MEFB published for 21 methods over its 100 scenes; they stand in `mefb_published.csv`.

Source: Zhang, "Benchmarking and comparing multi-exposure image fusion algorithms", Information Fusion 2021, and the
repository github.com/xingchenzhang/MEFB, whose folder `output/evaluation_metrics` holds them in full precision. MEFB's
program saves each result under its source's extension before it measures the result, so the results of `LOSSY` scenes
were saved as JPEG. The scenes' names are those of its `util/configImgs.m`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from fusion.benchmark.results import Mean, MethodResult, MetricInfo

PAPER = "Zhang, Benchmarking and comparing multi-exposure image fusion algorithms, Information Fusion 2021"
_NAMES = """
    building buildingroad disney1 disney2 door2 flower flowergate flowergate2 hyderpark road town town2 hongkong_01
    hongkong_02 uk_01 horse dessert crete sculpture tianchi iccv_01 iccv_02 iccv_03 iccv_04 iccv_05 iccv_06 iccv_07
    iccv_08 iccv_09 iccv_10 iccv_11 iccv_12 iccv_13 iccv_14 iccv_15 candle tablelamp memorial arno balloons belgiumhouse
    cave chinesegarden church farmhouse house kluki lamp landscape laurenziana lighthouse madisoncapitol mask office
    ostrow room set studio tower venice window yellowhall 507 airbellowsgap amikeusbeaverdam artistpalette balancedrock
    barharborsunrise bathtub bloominggorse exploratorium wafflehouse walldrug zentrum knossos6 knossos7 knossos8 lake1
    museum1 stream testchart1 chair colorchecker door garage igloo land livingroom night pantrysmalliso preschool
    sevenelevennight sky tree treyratcliff villa window2 windowtrim willydesk archsequence
"""
SCENES = frozenset(_NAMES.split())
"""MEFB's scenes in lower case: copies of the benchmark differ in upper and lower case."""
LOSSY = 53
"""The number of scenes whose sources, and therefore results, are JPEG files."""

_FILE = Path(__file__).with_name("mefb_published.csv")


def comparable(scenes: Iterable[str]) -> bool:
    """Whether all scenes are MEFB's, judged by their names.

    >>> comparable(["Church", "tower"]), comparable(["Church", "kitchen"])
    (True, False)
    """
    return {scene.casefold() for scene in scenes} <= SCENES


def rows(metrics: Sequence[MetricInfo]) -> list[MethodResult]:
    """MEFB's methods with their published means, for those of `metrics` that MEFB has too."""
    with _FILE.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    return [
        MethodResult(
            name=row["method"],
            title=row["method"],
            paper=PAPER,
            kind="published",
            scenes=len(SCENES),
            means={metric.name: Mean(float(row[metric.mefb])) for metric in metrics if metric.mefb},
        )
        for row in table
    ]
