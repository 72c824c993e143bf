"""Every method against references, on pairs made from free HDR radiance maps and on folders of pairs.

    python -m fusion.benchmark.experiments.reference MAPS > docs/reference.md

MAPS is a folder with the maps, at any depth. They are those of Debian's packages psychtoolbox-3-common and
blender-data, which `dpkg-deb -x` unpacks. Reading them needs the package OpenEXR. The file `fusion/training/camera.py`
says what a reference is. `--pairs` and `--held-out` add folders whose scenes have a reference of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, TypeAlias

import typer
from tqdm import tqdm

from fusion.benchmark.experiments.command import Maps, run
from fusion.errors import DatasetError
from fusion.exposures.align import registered
from fusion.exposures.ghosts import Handling
from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.methods import METHODS
from fusion.metrics import score
from fusion.metrics.base import Scorer
from fusion.metrics.picture import Sources
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import Session
from fusion.settings import Settings
from fusion.training.camera import ReferenceRecipe, Square, as_photo
from fusion.training.datasets import PairFiles, split
from fusion.training.radiance import PairOptions, RenderedPair, read_map, render
from fusion.training.references import HELD_OUT_EVERY, find_references, whole

DURATION = "This takes minutes for each map; a bar shows the time left, and the table is printed at the end."

MAPS = (
    *("CandleGlass", "Desk", "GoldenGate", "Ocean", "StillLife"),  # Industrial Light & Magic
    *("city", "courtyard", "forest", "interior", "sunrise"),  # Greg Zaal
)
"""The default maps. Networks were trained on views of others, perhaps including the rest of Blender's."""
MapNames: TypeAlias = Annotated[
    list[str] | None, typer.Option("--map", help="A map's name, without .exr; may be repeated.", show_default=False)
]
Recipe: TypeAlias = Annotated[
    ReferenceRecipe, typer.Option("--recipe", help="How the references of the maps are made from a burst.")
]
Methods: TypeAlias = Annotated[
    list[str] | None, typer.Option("--method", help="A method's name; may be repeated. Default: all.")
]
Folders: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--pairs", help="A folder of scenes with a reference, *_GT.* or reference.*; may be repeated."),
]
HeldOut: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--held-out", help="Such a folder, of which only the scenes count that training holds out."),
]
Side: TypeAlias = Annotated[
    int, typer.Option("--side", min=16, help="Reduce the pictures of folders to this longest side, in pixels.")
]

AGAINST = [
    one for name in ("reference_psnr", "reference_ssim", "reference_delta_e") for one in REFERENCE if one.name == name
]
"""Measures of a picture against its reference."""
SHOWN = [*AGAINST, score.METRIC]
DECIMALS = {"reference_ssim": 3, "score": 1}
"""Decimals in the table, where these are not 2."""
PAIRS = 2
"""Pairs made from each map."""
SHAKE = 12.0
"""The largest shift of the brighter photograph, in pixels of 768."""

Scores: TypeAlias = dict[str, float]
"""Values by the metrics' names."""


@dataclass(frozen=True)
class Variant:
    """One way to make the pairs and to fuse them."""

    title: str
    options: PairOptions
    align: bool = False
    ghosts: Handling = "ignore"


@dataclass(frozen=True, eq=False)
class Group:
    """A group of columns in the table, and the scores of each method in it."""

    title: str
    scores: dict[str, list[Scores]] = field(default_factory=lambda: defaultdict(list))

    def means(self, method: str) -> str:
        """The cells of one row: the mean of each metric over all pairs."""
        rows = self.scores[method]
        return " | ".join(f"{fmean(row[one.name] for row in rows):.{DECIMALS.get(one.name, 2)}f}" for one in SHOWN)


STILL, SHAKEN, MOVING = (
    PairOptions(count=PAIRS),
    PairOptions(count=PAIRS, shake=SHAKE),
    PairOptions(count=PAIRS, move=True),
)
VARIANTS = (
    Variant("still", STILL),
    Variant("hand-held", SHAKEN),
    Variant("hand-held, aligned", SHAKEN, align=True),
    Variant("moving", MOVING),
    Variant("moving, ghosts removed", MOVING, ghosts="remove"),
)


def find_maps(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files `<name>.exr` below a folder, in upper or lower case. Raises `DatasetError` where one is missing."""
    files = {file.stem.casefold(): file for file in sorted(folder.rglob("*.exr"))}
    if missing := [name for name in names if name.casefold() not in files]:
        raise DatasetError(f"{folder} has no map called {', '.join(missing)}; choose others with --map NAME.")
    return {name: files[name.casefold()] for name in names}


def main(
    maps: Maps,
    name: MapNames = None,
    *,
    recipe: Recipe = "spd",
    method: Methods = None,
    pairs: Folders = None,
    held_out: HeldOut = None,
    side: Side = 512,
) -> None:
    """Print the table as Markdown."""
    found = find_maps(maps, name or MAPS)
    methods = method or [one.name for one in METHODS]
    folders = {Group(folder.resolve().name): find_references(folder) for folder in pairs or ()}
    for folder in held_out or ():
        folders[Group(f"{folder.resolve().name}, held out")] = split(find_references(folder), HELD_OUT_EVERY)[1]
    variants = {variant: Group(variant.title) for variant in VARIANTS}
    total = len(found) * len(VARIANTS) * PAIRS + sum(map(len, folders.values()))
    with Session() as session, tqdm(total=total, unit="pair", leave=False) as bar:

        def measure(group: Group, pair: ExposurePair, ghosts: Handling, against: Callable[[Photo], Scores]) -> None:
            settings = Settings(align=False, ghosts=ghosts, colour="published")
            scene, scorer = session.prepare(pair, settings), Scorer(pair, [score.METRIC])
            for one in methods:
                fused = session.fuse(scene, one, settings).photo
                group.scores[one].append({**against(fused), **scorer(fused)})
            bar.update()

        for label, file in found.items():
            radiance = read_map(file)
            for options in dict.fromkeys(variant.options for variant in VARIANTS):
                for index in range(PAIRS):
                    made = render(radiance, f"{label}.exr", index, replace(options, recipe=recipe))
                    for variant, group in variants.items():
                        if variant.options == options:
                            measure(group, *_task(made, variant))
        for group, files in folders.items():
            for (under, over), target in whole(files, side):
                measure(group, ExposurePair(under[0], over[0]), "ignore", _against(target[0]))
    groups = [*variants.values(), *folders]
    print(f"# Against a reference\n\n{_text(len(found), recipe)}\n")
    if folders:
        print(f"{_text_of_folders(folders, side)}\n")
    first, *others = (one.titled for one in SHOWN)
    print("| | " + " | ".join(" | ".join((f"{group.title}: {first}", *others)) for group in groups) + " |")
    print("|---" * (1 + len(SHOWN) * len(groups)) + "|")
    for one in methods:
        print(f"| `{one}` | " + " | ".join(group.means(one) for group in groups) + " |")


def _task(made: RenderedPair, variant: Variant) -> tuple[ExposurePair, Handling, Callable[[Photo], Scores]]:
    """The exposures to fuse, what is done about ghosts, and how the result is measured.

    Where something moved in a pair, only the places of what moved are measured.
    """
    pair = ExposurePair(made.under, made.over)
    if variant.align:
        aligned = registered(pair)
        return aligned.pair, variant.ghosts, _against(made.reference[(slice(None), *aligned.kept)])
    return pair, variant.ghosts, _at_places(made) if made.thing else _against(made.reference)


def _against(reference: Photo) -> Callable[[Photo], Scores]:
    target = Sources(to_uint8(reference))
    return lambda photo: {one.name: one.measure(to_uint8(photo), target) for one in AGAINST}


def _at_places(made: RenderedPair) -> Callable[[Photo], Scores]:
    """Mean scores over both places of the moved object.

    At each place, the result is compared with the scene at both moments and the better PSNR decides, since the object
    may be where either photograph shows it.
    """
    assert made.thing and made.later is not None  # noqa: S101, PT018
    places = [
        (place, [_against(_part(truth, place)) for truth in (made.reference, made.later)])
        for place in (made.thing.first, made.thing.second)
    ]

    def at_places(photo: Photo) -> Scores:
        best = [
            max((scores(_part(photo, place)) for scores in moments), key=lambda scores: scores["reference_psnr"])
            for place, moments in places
        ]
        return {name: fmean(scores[name] for scores in best) for name in best[0]}

    return at_places


def _part(photo: Photo, place: Square) -> Photo:
    return as_photo(place.of(photo.permute(1, 2, 0).numpy()))


def _text(maps: int, recipe: ReferenceRecipe) -> str:
    fusion = {"spd": "SPD-MEF, the recipe that comes closest to people's labels", "mertens": "Mertens"}[recipe]
    return (
        f"{PAIRS} pairs are made from each of {maps} HDR radiance maps. No network was trained on these maps. The "
        "longest side is 768 pixels, the exposures are 2 to 8 stops apart, and the camera adds a sensor's noise. "
        f"{_listed([one.title for one in AGAINST])} compare with a reference made from many exposures of the same view "
        f"by {fusion}. It is a convention, not the truth ([fusion/training/camera.py](../fusion/training/camera.py)). "
        "SSIM uses scikit-image's defaults, 7 × 7 uniform windows over R, G and B, and cannot be compared with figures "
        "of another convention. The score compares the whole picture with the photographs that were fused. Hand-held: "
        f"the brighter photograph is shifted by up to {SHAKE:.0f} pixels and rotated. Moving: a disc of the scene is "
        "elsewhere in the brighter photograph; only its two places are compared with the reference, each at the better "
        "fitting moment. The table is printed by "
        f"`python -m fusion.benchmark.experiments.reference MAPS --recipe {recipe}`; "
        "[its file](../fusion/benchmark/experiments/reference.py) says where the maps are from."
    )


def _text_of_folders(folders: dict[Group, list[PairFiles]], side: int) -> str:
    counts = _listed([f"{group.title} ({len(files)} pairs)" for group, files in folders.items()])
    return (
        f"The further columns are means over {counts}, reduced to a longest side of {side} pixels and compared with "
        "the references that belong to them. *Held out* means the scenes that training on this folder does not see."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


if __name__ == "__main__":
    run(main, DURATION)
