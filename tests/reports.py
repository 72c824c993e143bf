"""A small benchmark report, made up: every figure in it follows from a seed."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean

import numpy as np

from fusion.benchmark import results
from fusion.benchmark.results import Dataset, Mean, MethodResult, MetricInfo, Scores, Summary, picture
from fusion.io.image import save, save_preview

HOSTILE = "<img src=x onerror=alert(1)>&'\" #%41 {{ 1 }}"
SCENES = ("attic", "bridge", "cellar", HOSTILE)
FACTS = (
    MetricInfo(
        name="mef_ssim",
        title="MEF-SSIM",
        better="higher",
        source="Ma 2015",
        meaning="Structure kept",
        caution="It <b>likes</b> sharpening",
        low=0,
        high=1,
        mefb="MEF_SSIM",
    ),
    MetricInfo("ce", "CE", "lower", "Bulanon 2009", "Cross entropy", "It likes grey", low=0, mefb="Cross_entropy"),
    MetricInfo("te", "TE", "neither", "Cvejic 2006", "Tsallis entropy", "It depends on the size"),
)
REFERENCE = (MetricInfo("reference_psnr", "PSNR", "higher", "Common", "Likeness to the reference", "Shifts cost much"),)
METHODS = ("mertens", "meflut", "theirs")


def write(report: Path) -> Summary:
    """Everything but the pages. `theirs` has failed on the first scene."""
    rng = np.random.default_rng(0)
    facts = FACTS + REFERENCE
    scores: Scores = {
        method: {
            scene: {one.name: float(rng.normal(10 - index, 0.5)) for one in facts} for scene in SCENES[index == 2 :]
        }
        for index, method in enumerate(METHODS)
    }
    for method, scenes in scores.items():
        for scene in scenes:
            picture(report, method, scene).parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (10, 12, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            save(pixels, picture(report, method, scene))
    for kind in results.PREVIEWS:
        for scene in SCENES:
            picture(report, kind, scene).parent.mkdir(parents=True, exist_ok=True)
            save_preview(np.full((80, 96, 3), 90, np.uint8), picture(report, kind, scene))
    entrants = [
        MethodResult(
            name=method,
            title=method.capitalize(),
            paper=f"Someone, {method}, 2020",
            kind="outside" if method == "theirs" else "ours",
            scenes=len(scores[method]),
            failures={SCENES[0]: "The picture is <missing>."} if method == "theirs" else {},
            parameters=128 if method == "meflut" else None,
            means={
                one.name: Mean(
                    mean := fmean(values[one.name] for values in scores[method].values()), mean - 0.4, mean + 0.4
                )
                for one in facts
            },
            ranks={one.name: 1.0 + index for one in facts if one.better != "neither"},
            mean_rank=1.0 + index,
            mean_rank_all=1.5 + index,
            p_against_best={} if index == 0 else {"mef_ssim": 0.01 if index == 2 else 0.3},
        )
        for index, method in enumerate(METHODS)
    ]
    printed = MethodResult(
        "published-dem", "DEM", "MEFB", "published", 100, means={"mef_ssim": Mean(9.5), "ce": Mean(3.1)}
    )
    summary = Summary(
        Dataset("made-up", SCENES, SCENES, "0" * 64), FACTS, REFERENCE, (*entrants, printed), code_sha256="1" * 64
    )
    (report / results.SUMMARY).write_bytes(results.summary_json(summary))
    with (report / results.SCORES).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(results.scores_rows(scores, [one.name for one in facts]))
    with (report / results.TIMES).open("w", newline="", encoding="utf-8") as file:
        rows = [[method, scene, "0.25", "120"] for method in METHODS[:2] for scene in SCENES]
        csv.writer(file).writerows([["method", "scene", "seconds", "peak_mb"], *rows])
    (report / results.ENVIRONMENT).write_text('{"python": "3.12 <beta>", "packages": {"numpy": "2.0"}}')
    return summary
