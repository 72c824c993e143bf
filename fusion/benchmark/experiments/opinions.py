"""How well each metric agrees with people: rank correlations with mean opinion scores of fused pictures.

    python -m fusion.benchmark.experiments.opinions OPINIONS > docs/opinions.md

OPINIONS holds `scores.csv` (scene, algorithm, mos), and for each scene `exposures/*`, from the darkest to the
brightest, and `fused/<algorithm>.*`. The database is that of Ma, Zeng and Wang (IEEE Transactions on Image Processing
2015); its pictures may not be passed on with this project.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from tqdm import tqdm

from fusion.benchmark.experiments.command import run
from fusion.benchmark.statistics import interval
from fusion.errors import DatasetError
from fusion.io.image import load, to_uint8
from fusion.io.sandbox import Sandbox
from fusion.metrics import BENCHMARK, score
from fusion.metrics.base import Better, Metric
from fusion.metrics.picture import Picture, Pixels, Sources

DURATION = "This takes about ten seconds for each scene and six exposures; the tables are printed at the end."

LOWEST, HIGHEST = 1.0, 10.0
"""The range of opinion scores."""
_STEPS = 20
"""The exponents of the score are chosen among multiples of a twentieth that add up to 1."""

Values = NDArray[np.float64]
"""One value for each picture of a scene."""


@dataclass(frozen=True, eq=False)
class Opinions:
    """One scene: its exposures, the pictures fused from them, and what people think of each."""

    name: str
    exposures: tuple[Pixels, ...]
    """From the darkest to the brightest."""
    pictures: dict[str, Pixels]
    """The fused pictures by the algorithm's name."""
    scores: dict[str, float]
    """Mean opinion scores, 1 to 10, by the algorithm's name."""


def find_opinions(folder: Path) -> list[Opinions]:
    """Read all scenes of a folder, sorted by name.

    Raises `DatasetError` where `scores.csv` cannot be used, where a picture is missing or differs in size, where a
    score is outside 1 to 10, for a single scene, and for a scene with one exposure or fewer than three pictures.
    """
    table = _table(folder / "scores.csv")
    if len(table) < 2:
        raise DatasetError(f"{folder / 'scores.csv'} needs two or more scenes; it holds {len(table)}.")
    with Sandbox() as sandbox:

        def pixels(file: Path) -> Pixels:
            return to_uint8(load(file, sandbox=sandbox).photo)

        return [_scene(folder / name, scores, pixels) for name, scores in tqdm(sorted(table.items()), leave=False)]


def _table(file: Path) -> dict[str, dict[str, float]]:
    """Read the opinion scores by scene and algorithm."""
    table: dict[str, dict[str, float]] = {}
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [(row["scene"], row["algorithm"], float(row["mos"])) for row in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{file} is missing, or is no table of scene, algorithm and mos.") from error
    for scene, algorithm, value in rows:
        if not LOWEST <= value <= HIGHEST:
            raise DatasetError(f"{file} gives {algorithm} of {scene} a score of {value:g}; scores go from 1 to 10.")
        table.setdefault(scene, {})[algorithm] = value
    return table


def _scene(folder: Path, scores: dict[str, float], pixels: Callable[[Path], Pixels]) -> Opinions:
    exposures = tuple(pixels(file) for file in _files(folder / "exposures"))
    if len(exposures) < 2:
        raise DatasetError(f"{folder.name} has {len(exposures)} exposures; a scene needs two or more.")
    if len(scores) < 3:
        raise DatasetError(f"{folder.name} has {len(scores)} scores; a rank correlation needs three or more.")
    files = {file.stem: file for file in _files(folder / "fused")}
    if missing := [algorithm for algorithm in scores if algorithm not in files]:
        raise DatasetError(f"{folder / 'fused'} has no picture of {', '.join(missing)}.")
    pictures = {algorithm: pixels(files[algorithm]) for algorithm in scores}
    if len({picture.shape for picture in (*exposures, *pictures.values())}) > 1:
        raise DatasetError(f"The pictures of {folder.name} differ in size.")
    return Opinions(folder.name, exposures, pictures, scores)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing.")
    return sorted(file for file in folder.iterdir() if not file.name.startswith("."))


def agreement(values: Values, opinions: Values) -> tuple[float, float]:
    """Spearman's and Kendall's rank correlation of a scene's values with its opinion scores; 0 for equal values.

    >>> agreement(np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0, 9.0]))
    (1.0, 1.0)
    """
    from scipy.stats import kendalltau, spearmanr

    if not np.ptp(values) or not np.ptp(opinions):
        return 0.0, 0.0
    return float(spearmanr(values, opinions).statistic), float(kendalltau(values, opinions).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def cells(values: Mapping[str, Values], opinions: Mapping[str, Values]) -> tuple[float, list[str]]:
    """The mean of Spearman's correlation, and a row's cells: it with its interval, Kendall's, and pooled.

    `values` are those of one measure by scene, and higher is better.
    """
    each = {scene: agreement(these, opinions[scene]) for scene, these in values.items()}
    ranks = [spearman for spearman, _ in each.values()]
    low, high = interval(ranks) or (0.0, 0.0)
    pooled, _ = agreement(np.concatenate([*values.values()]), np.concatenate([*opinions.values()]))
    kendall = fmean(tau for _, tau in each.values())
    return fmean(ranks), [f"{fmean(ranks):.3f}", f"{low:.2f} to {high:.2f}", f"{kendall:.3f}", f"{pooled:.3f}"]


@dataclass(frozen=True, eq=False)
class Measured:
    """All values of one scene: those of each metric, and the terms of the score."""

    metrics: dict[str, Values]
    terms: list[score.Terms]


def measured(scene: Opinions, metrics: Sequence[Metric], *, ends: bool) -> Measured:
    """Measure a scene's pictures against all exposures or, with `ends`, the darkest and the brightest alone."""
    sources, pictures = Sources(*scene.exposures), [Picture(pixels) for pixels in scene.pictures.values()]
    sources = sources.ends if ends else sources
    values = {
        metric.name: np.array([metric.measure(picture, sources) for picture in pictures])
        * (-1 if metric.better is Better.LOWER else 1)
        for metric in metrics
    }
    return Measured(values, [score.terms(picture, sources) for picture in pictures])


def main(
    folder: Annotated[Path, typer.Argument(metavar="OPINIONS", help="A folder of scenes with people's scores.")],
) -> None:
    """Print the tables as Markdown."""
    scenes = find_opinions(folder)
    opinions = {scene.name: np.array([*scene.scores.values()]) for scene in scenes}
    many = [metric for metric in BENCHMARK if metric.many]
    two, every = (
        {one.name: measured(one, metrics, ends=ends) for one in tqdm(scenes, leave=False)}
        for metrics, ends in ((BENCHMARK, True), (many, False))
    )
    print(f"# Agreement with people\n\n{_INTRODUCTION.format(scenes=len(scenes))}\n")
    _print("Darkest and brightest exposure", BENCHMARK, two, opinions)
    _print("All exposures", many, every, opinions)
    print("## The score, on scenes that it was not chosen on\n\n" + _NESTED + "\n")
    print("| exposures | Spearman | 95 % of scenes | Kendall | pooled | exponents chosen |\n|---|---|---|---|---|---|")
    for title, found in (("darkest and brightest", two), ("all", every)):
        values, chosen = left_out({name: one.terms for name, one in found.items()}, opinions)
        print(f"| {title} | " + " | ".join((*cells(values, opinions)[1], chosen)) + " |")
    print(f"| *the algorithm's name alone* | {' | '.join(cells(by_algorithm(scenes), opinions)[1])} | – |")
    print(f"\n## When two scores are equal\n\n{_TIES}\n\n| difference | {' | '.join(_BINS)} |\n|---|---|---|---|---|")
    for title, found in (("darkest and brightest", two), ("all", every)):
        shares = ordered({name: one.metrics["score"] for name, one in found.items()}, opinions)
        print(f"| {title} | " + " | ".join(f"{100 * right:.0f} % of {pairs}" for right, pairs in shares) + " |")


def _print(
    title: str, metrics: Iterable[Metric], found: Mapping[str, Measured], opinions: Mapping[str, Values]
) -> None:
    rows = [
        (cells({name: one.metrics[metric.name] for name, one in found.items()}, opinions), metric) for metric in metrics
    ]
    print(f"## {title}\n\n| metric | | Spearman | 95 % of scenes | Kendall | pooled |\n|---|---|---|---|---|---|")
    for (_, row), metric in sorted(rows, key=lambda row: -row[0][0]):
        print(f"| {metric.title} | `{metric.name}` | " + " | ".join(row) + " |")
    print()


def by_algorithm(scenes: Sequence[Opinions]) -> dict[str, Values]:
    """For each picture the mean score of its algorithm in the other scenes: all that its algorithm's name tells.

    Where no other scene has the algorithm, its name tells nothing, and the mean of all other scores stands for it.
    """

    def elsewhere(scene: Opinions, name: str) -> float:
        others = [one.scores for one in scenes if one is not scene]
        known = [scores[name] for scores in others if name in scores]
        return fmean(known or [value for scores in others for value in scores.values()])

    return {scene.name: np.array([elsewhere(scene, name) for name in scene.scores]) for scene in scenes}


def left_out(
    terms: Mapping[str, Sequence[score.Terms]], opinions: Mapping[str, Values]
) -> tuple[dict[str, Values], str]:
    """The score of each scene's pictures, its exponents being chosen on the other scenes; and what was chosen."""
    exponents = [
        (a / _STEPS, b / _STEPS, (_STEPS - a - b) / _STEPS)
        for a, b in itertools.product(range(_STEPS + 1), repeat=2)
        if a + b <= _STEPS
    ]

    def values(scene: str, chosen: tuple[float, float, float]) -> Values:
        return np.array([score.total(one, chosen) for one in terms[scene]])

    ranks = {
        chosen: {scene: agreement(values(scene, chosen), opinions[scene])[0] for scene in terms} for chosen in exponents
    }

    def others(chosen: tuple[float, float, float], scene: str) -> float:
        return fmean(rank for name, rank in ranks[chosen].items() if name != scene)

    best = {scene: max(exponents, key=partial(others, scene=scene)) for scene in terms}
    said = {" ".join(f"{power:.2f}" for power in chosen): None for chosen in best.values()}
    return {scene: values(scene, chosen) for scene, chosen in best.items()}, "; ".join(said)


_BINS = ("below 1", "1 to 2", "2 to 4", "4 or more")


def ordered(values: Mapping[str, Values], opinions: Mapping[str, Values]) -> list[tuple[float, int]]:
    """The share of pairs that people order alike and the number of pairs, by the difference of the two scores."""
    found: list[list[bool]] = [[] for _ in _BINS]
    for scene, these in values.items():
        for i, j in itertools.combinations(range(len(these)), 2):
            ours, theirs = these[i] - these[j], opinions[scene][i] - opinions[scene][j]
            if theirs:
                found[int(np.digitize(abs(ours), (1, 2, 4)))].append(bool(ours * theirs > 0))
    return [(fmean(right) if right else 0.0, len(right)) for right in found]


_INTRODUCTION = """\
People gave scores from 1 to 10 to the results of eight fusion algorithms on {scenes} scenes; each score is the mean of
23 people's. The tables say how far a metric orders the eight pictures of a scene as people do: 1 is the same order, 0
no relation, and below 0 the opposite order. Spearman and Kendall are means over the scenes, with a bootstrap interval
over scenes; pooled is Spearman's correlation over all pictures, which asks a metric to be absolute. The metrics whose
values should be low are counted with the opposite sign. A metric near the top may be used to say which picture people
would like; one below 0 may not. The eight algorithms keep nearly the same order in every scene, so that their names
alone reach the figure in the third table: nothing above it says more about pictures.

The opinions are those of K. Ma, K. Zeng, Z. Wang, "Perceptual Quality Assessment for Multi-Exposure Image Fusion", IEEE
Transactions on Image Processing 24 (11), 2015, and of K. Zeng, K. Ma, R. Hassen, Z. Wang, "Perceptual Evaluation of
Multi-exposure Image Fusion Algorithms", QoMEX 2014, © The University of Waterloo. The tables are printed by
`python -m fusion.benchmark.experiments.opinions OPINIONS`;
[its file](../fusion/benchmark/experiments/opinions.py) says what the folder holds."""
_NESTED = """\
The [score](../fusion/metrics/score.py) has three exponents. Here they are chosen anew for each scene, on the other
scenes alone. The terms themselves were chosen by hand with all of these scenes in sight."""
_TIES = f"""\
The share of pairs of pictures of one scene that people order as the score does, by the difference of the two scores.
Below {score.TIE:.0f} points two pictures count as equal."""


if __name__ == "__main__":
    run(main, DURATION)
