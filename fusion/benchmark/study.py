"""A blind study of a report's pictures: a page for participants, and a ranking from their votes.

    STUDY/key.json                  which method made which picture; participants must not see it
    STUDY/page/index.html           the page, which shows two pictures at a time, without names; it opens from the disk
    STUDY/page/pictures/<name>.png  the pictures under random names, saved anew so that no file tells its method

The page sends nothing: it offers a participant's votes as a file to download. `ranking` reads these files:

    {"study": "...", "participant": "...", "votes": [{"left": name, "right": name, "chosen": "left", "seconds": 2.5}]}

`chosen` is left, right or neither.
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
"""With this many participants or more, the bootstrap resamples participants; with fewer, it resamples votes."""

_POINTS = {"left": 1.0, "neither": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Vote:
    """One comparison of two pictures."""

    one: str
    """The method of the left picture."""
    other: str
    """The method of the right picture."""
    points: float
    """1 where the left picture was chosen, 0 where the right one was, 0.5 for neither."""


@dataclass(frozen=True)
class Rank:
    """A method's place in the ranking."""

    method: str
    share: float
    """The chance to be chosen over an average method, 0 to 1; `low` to `high` is the 95 % interval."""
    low: float
    high: float
    chosen: int
    draws: int
    comparisons: int


def make(report: Path, out: Path, *, comparisons: int = 40) -> int:
    """Make a study of `report` in the new or empty folder `out`, and return its number of pictures.

    Each participant is asked for `comparisons` votes, or for fewer where there are fewer pairs. Raises `DatasetError`
    where there is no report, where no scene has two pictures, and where `out` is not empty, since earlier votes may
    refer to what is in it.
    """
    from fusion.io.image import load, save
    from fusion.io.sandbox import Sandbox

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
    # The order of the methods and of the scenes in the page's lists would reveal the methods.
    chance = secrets.SystemRandom()
    chance.shuffle(methods)
    chance.shuffle(scenes)
    names = {place: secrets.token_hex(8) for place in files if place[0] in scenes}
    folder = out / PAGE / "pictures"
    folder.mkdir(parents=True)
    with Sandbox() as sandbox:
        for place, name in sorted(names.items(), key=lambda item: item[1]):  # their order reveals nothing
            save(load(files[place], "A picture of the report", sandbox=sandbox).photo, folder / f"{name}.png")
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
    """The methods from best to worst by the votes in `files`, and sentences on how far the figures can be trusted.

    Intervals come from the bootstrap, over participants where there are at least `PARTICIPANTS`, else over votes.
    Raises `DatasetError` where the folder `study` has no key, where a file is damaged or from another study, where a
    participant has two files, and where there is no vote at all.
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
    """The votes in each file, with the methods' names. Raises `DatasetError` as `ranking` does."""
    try:
        key = json.loads((study / KEY).read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{study / KEY} cannot be read; give the folder that -o named when the study was made."
        ) from error
    ballots: dict[str, list[Vote]] = {}
    for file in files:
        participant, ballot = _ballot(file, key)
        if participant in ballots:
            raise DatasetError(f"{file} is a second file of participant {shown(participant)}; give one for each.")
        ballots[participant] = ballot
    return list(ballots.values())


def _ballot(file: Path, key: dict[str, Any]) -> tuple[str, list[Vote]]:
    """The participant and the votes of a file, whose content is not trusted."""
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
    """Count how often the row's method was chosen over the column's: (N, N). A draw counts half for each."""
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
    notes = [f"{len(votes)} votes of {people}; the intervals come from a bootstrap over the {drawn}."]
    if not by_participant:
        notes.append(f"With fewer than {PARTICIPANTS} participants, the intervals hold for these people alone.")
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
            notes.append(f"{rank.method} was {how} chosen, so its interval is too narrow; collect more votes.")
    return notes
