"""A few plain words that are true of a fused picture, decided from its metrics and from those of the other results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

MOST = 3
"""No picture has more words than this."""

LOST = 0.005
"""Detail that is lost is worth a word from this share of the area on."""
RIMS = 0.03
"""Rims beside edges are worth a word from this halo on. PyraMEF and Mertens stay far below it on every example."""
GRAIN = 0.05
"""Grain is seen from this added grain on."""
PALE = 0.6
"""A picture that keeps less than this of the exposures' colour is pale."""
NATURAL = 0.9
"""A picture that keeps this much of the exposures' colour, with none added, looks natural."""
MARGIN = 0.005
"""The best MEF-SSIM says something about detail where it is this much above the second best."""

Scores = Mapping[str, float]
"""The values of a picture's metrics, by the metrics' names."""


class Word(NamedTuple):
    """A word or a short phrase about a picture. Whoever shows it has its text by its name."""

    name: str
    fault: bool
    percent: float | None = None
    """How much of the area it is about."""


def words(picture: Scores, others: Sequence[Scores] = ()) -> list[Word]:
    """Return at most three words that are true of a picture, faults first and each kind in a fixed order.

    `others` are the results that the picture is compared with; without any, nothing is said that needs a comparison.

    >>> clean = {"lost_highlights": 0, "lost_shadows": 0, "halo": 0, "added_grain": 0, "colour_kept": 0.95}
    >>> [word.name for word in words(clean | {"mef_ssim": 0.98}, [clean | {"mef_ssim": 0.95}])]
    ['detail', 'natural']
    >>> words(clean | {"mef_ssim": 0.98, "lost_highlights": 0.04, "colour_kept": 0.5})
    [Word(name='clipped', fault=True, percent=4.0), Word(name='pale', fault=True, percent=None)]
    """
    clipped, black, colour = picture["lost_highlights"], picture["lost_shadows"], picture["colour_kept"]
    second = max((other["mef_ssim"] for other in others), default=None)
    said = [
        (clipped >= LOST, Word("clipped", fault=True, percent=100 * clipped)),
        (black >= LOST, Word("black", fault=True, percent=100 * black)),
        (picture["halo"] >= RIMS, Word("rims", fault=True)),
        (picture["added_grain"] >= GRAIN, Word("grainy", fault=True)),
        (colour < PALE, Word("pale", fault=True)),
        (second is not None and picture["mef_ssim"] - second > MARGIN, Word("detail", fault=False)),
        (colour >= NATURAL, Word("natural", fault=False)),
    ]
    return [word for true, word in said if true][:MOST]
