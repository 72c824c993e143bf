"""A blind study of a report's pictures: a page for participants, and what their votes say.

    STUDY/key.json                  which picture is whose; not for participants
    STUDY/page/index.html           the page: two pictures at a time, without names; opens from the disk as well
    STUDY/page/pictures/<name>.png  under random names, written anew so that nothing in a file tells them apart

The page offers a participant's votes as a file and sends nothing. `ranking` reads such files:

    {"study": "...", "participant": "...", "votes": [{"left": name, "right": name, "chosen": "left", "seconds": 2.5}]}

where `chosen` is left, right or neither.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.benchmark.bradley_terry import fit, groups
from fusion.benchmark.results import load_summary, picture
from fusion.benchmark.templates import rendered
from fusion.errors import DatasetError
from fusion.exposures.brackets import shown

KEY, PAGE = "key.json", "page"
PARTICIPANTS = 10
"""From this many on, the bootstrap draws participants; a few of them say nothing about people."""

_POINTS = {"left": 1.0, "neither": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Vote:
    """One comparison."""

    one: str
    """The method that was on the left."""
    other: str
    points: float
    """1, 0.5 or 0, as the left one won, drew or lost."""


@dataclass(frozen=True)
class Rank:
    """What a method is worth to the participants."""

    method: str
    share: float
    """How often it would be chosen over an average one, 0 to 1; `low` to `high` is the 95 % interval."""
    low: float
    high: float
    chosen: int
    draws: int
    comparisons: int


def make(report: Path, out: Path, *, comparisons: int = 40) -> int:
    """Make a study of `report` in the new or empty folder `out`; how many pictures there are.

    Each participant is asked for `comparisons` votes, or fewer where there are fewer pairs. Raises `DatasetError` where
    there is no report, where no scene has two pictures, and where `out` holds something: votes may refer to it.
    """
    from fusion.io.image import load, save

    summary = load_summary(report)
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty; give a new folder, since votes belong to the study they were cast in.")
    methods = [method.name for method in summary.methods if method.kind != "published"]
    files = {
        (scene, method): picture(report, method, scene)
        for scene in summary.dataset.scenes
        for method in methods
        if picture(report, method, scene).is_file()
    }
    scenes = [scene for scene in summary.dataset.scenes if sum((scene, method) in files for method in methods) > 1]
    if not scenes:
        raise DatasetError(f"{report} has no scene with the pictures of two methods; a study takes two.")
    # Where a method stands in the page's lists, and in which order scenes do, would tell who it is.
    chance = secrets.SystemRandom()
    chance.shuffle(methods)
    chance.shuffle(scenes)
    names = {place: secrets.token_hex(8) for place in files if place[0] in scenes}
    folder = out / PAGE / "pictures"
    folder.mkdir(parents=True)
    for place, name in sorted(names.items(), key=lambda item: item[1]):  # in an order that tells nothing, either
        save(load(files[place], "A picture of the report").photo, folder / f"{name}.png")
    pairs = sum(n * (n - 1) // 2 for n in (sum((scene, method) in names for method in methods) for scene in scenes))
    study = secrets.token_hex(8)
    data = {
        "study": study,
        "comparisons": min(comparisons, pairs),
        "scenes": [[names.get((scene, method)) for method in methods] for scene in scenes],
    }
    (out / PAGE / "index.html").write_text(rendered("study.html", data=data), "utf-8")
    key = {"study": study, "pictures": {name: {"scene": s, "method": m} for (s, m), name in sorted(names.items())}}
    (out / KEY).write_text(json.dumps(key, indent=1) + "\n", "utf-8")
    return len(names)


def ranking(study: Path, files: Sequence[Path], *, seed: int = 3407) -> tuple[list[Rank], list[str]]:
    """The methods from best to worst by the votes in `files`, and sentences on what the figures do not say.

    Intervals are the bootstrap's, over participants where there are at least `PARTICIPANTS`, else over votes. Raises
    `DatasetError` for a folder without a key, and for files that are damaged, from another study, or a second one of
    the same participant.
    """
    ballots = read(study, files)
    votes = [vote for ballot in ballots for vote in ballot]
    if not votes:
        raise DatasetError("There is not one vote in these files.")
    methods = sorted({name for vote in votes for name in (vote.one, vote.other)})
    by_participant = len(ballots) >= PARTICIPANTS
    units = ballots if by_participant else [[vote] for vote in votes]
    won = np.stack([_won(unit, methods) for unit in units])
    fitted = fit(won, seed=seed)
    ranks = [
        Rank(
            name,
            *(float(s[place] / (1 + s[place])) for s in (fitted.strengths, fitted.low, fitted.high)),
            chosen=sum((v.one, v.points) == (name, 1) or (v.other, v.points) == (name, 0) for v in votes),
            draws=sum(name in (v.one, v.other) and v.points == 0.5 for v in votes),
            comparisons=sum(name in (v.one, v.other) for v in votes),
        )
        for place, name in enumerate(methods)
    ]
    notes = _notes(votes, len(ballots), ranks, groups(won.sum(0)), by_participant=by_participant)
    return sorted(ranks, key=lambda rank: (-rank.share, rank.method)), notes


def read(study: Path, files: Sequence[Path]) -> list[list[Vote]]:
    """The votes in each file, with the methods' names. Raises as `ranking` does."""
    try:
        key = json.loads((study / KEY).read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{study / KEY} cannot be read; give the folder that -o named as the study was made."
        ) from error
    ballots: dict[str, list[Vote]] = {}
    for file in files:
        participant, ballot = _ballot(file, key)
        if participant in ballots:
            raise DatasetError(f"{file} is a second file of participant {shown(participant)}; give one for each.")
        ballots[participant] = ballot
    return list(ballots.values())


def _ballot(file: Path, key: dict[str, Any]) -> tuple[str, list[Vote]]:
    """Participant and votes of a file, which may hold anything."""
    not_votes = DatasetError(f"{file} is not a file of votes as the study's page gives them; leave it out.")
    try:
        said = json.loads(file.read_bytes())
        study, participant, votes = said["study"], str(said["participant"]), list(said["votes"])
        if study != key["study"]:
            raise DatasetError(f"{file} belongs to another study; analyse it with that one's folder.")
        pairs = [(key["pictures"][vote["left"]], key["pictures"][vote["right"]]) for vote in votes]
        points = [_POINTS[vote["chosen"]] for vote in votes]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise not_votes from error
    if any(left["scene"] != right["scene"] or left == right for left, right in pairs):
        raise not_votes
    return participant, [
        Vote(left["method"], right["method"], won) for (left, right), won in zip(pairs, points, strict=True)
    ]


def _won(votes: Sequence[Vote], methods: Sequence[str]) -> NDArray[np.float64]:
    """(N, N): how often the row's method was chosen over the column's; a draw is half for each."""
    won = np.zeros((len(methods), len(methods)))
    for vote in votes:
        one, other = methods.index(vote.one), methods.index(vote.other)
        won[one, other] += vote.points
        won[other, one] += 1 - vote.points
    return won


def _notes(
    votes: Sequence[Vote],
    participants: int,
    ranks: Sequence[Rank],
    linked: Sequence[Sequence[int]],
    *,
    by_participant: bool,
) -> list[str]:
    drawn = "participants" if by_participant else "votes"
    people = f"{participants} participant{'s' * (participants != 1)}"
    notes = [f"{len(votes)} votes of {people}; intervals: bootstrap over {drawn}."]
    if not by_participant:
        notes.append(f"With fewer than {PARTICIPANTS} participants, the intervals are about these people alone.")
    decided = [vote.points for vote in votes if vote.points != 0.5]
    if decided:
        share = sum(decided) / len(decided)
        notes.append(f"The picture on the left was chosen in {share:.0%} of {len(decided)} decisions.")
    if len(linked) > 1:
        parts = "; ".join(", ".join(ranks[place].method for place in group) for group in linked)
        notes.append(f"No comparison links these groups, so nothing is known between them: {parts}.")
    for rank in ranks:
        if rank.comparisons and rank.draws == 0 and rank.chosen in (0, rank.comparisons):
            how = "always" if rank.chosen else "never"
            notes.append(f"{rank.method} was {how} chosen: its interval is too narrow, more votes are needed.")
    return notes
