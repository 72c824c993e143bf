"""Everything that a request may choose, in one place: the page, the command line, programs and folders all build it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from fusion.errors import FusionError
from fusion.exposures.ghosts import Handling
from fusion.io.saving import Saving
from fusion.methods.base import Mode, Options
from fusion.methods.finish import Finish

Panorama: TypeAlias = Literal["auto", "full-turn", "no"]
"""Whether exposures are panoramas of a full turn, or whether their pixels tell."""

MethodOptions: TypeAlias = Mapping[str, Options]
"""Values of methods' options, by the method's name: `{"mertens": {"contrast": 0.5}}`."""

ColourMerge: TypeAlias = Literal["natural", "published"]
"""How a method that fuses brightness alone gives its result a colour."""


@dataclass(frozen=True)
class Settings:
    """The choices for preparing, fusing and saving exposures. Requests with equal settings and files give equal bytes.

    Raises `FusionError` for a value that cannot be chosen. Options are checked when a method is chosen.

    >>> Settings(ghosts="remove").align
    True
    """

    align: bool = True
    """Register hand-held exposures and crop them to what all of them show."""
    repair: bool = True
    """Replace hot pixels that one exposure alone shows, and even out a white balance that changes between exposures."""
    ghosts: Handling = "auto"
    """What is done where something moved between the exposures: "mark" says so in a note, "remove" also takes each
    moving thing from one exposure, "ignore" does not look for it, and "auto" removes what certainly moved and marks
    the rest."""
    panorama: Panorama = "auto"
    """Whether the last column of the exposures goes on in the first one, as in panoramas of a full turn: the result has
    no seam there then, and is not cropped. "auto" takes it for granted of exposures that are twice as wide as high and
    whose sides agree."""
    mode: Mode = "auto"
    """The size at which networks see the picture: "exact" is full size, "fast" is a copy of at most 3 megapixels, and
    "auto" chooses the copy where a processor would take long."""
    colour: ColourMerge = "natural"
    """How a method that fuses brightness alone gives its result a colour: "natural" takes it from the exposures that
    hold it, as bright as the result is, and "published" merges it as the method's authors do."""
    options: MethodOptions = field(default_factory=dict[str, Options])
    """Methods' own options. An option that is not named has its default."""
    finish: Finish = field(default_factory=Finish)
    """How every method's picture is finished: brightness, contrast, colour, detail, black and white point."""
    memory_mb: int | None = None
    """Megabytes that a network may use on the processor. None allows half of what is free."""
    saving: Saving = field(default_factory=Saving)
    """How each picture is saved."""

    def __post_init__(self) -> None:
        for choices, value, what in (
            ((True, False), self.align, "way to align"),
            ((True, False), self.repair, "way to repair"),
            (get_args(Handling), self.ghosts, "way to treat ghosts"),
            (get_args(Panorama), self.panorama, "kind of panorama"),
            (get_args(Mode), self.mode, "mode"),
            (get_args(ColourMerge), self.colour, "way to merge colour"),
        ):
            if value not in choices:
                raise FusionError(f"There is no {what} {value}; choose from {', '.join(map(str, choices))}.")
        if not isinstance(self.options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # programs give anything
            raise FusionError("Give options as a mapping of methods' names to their options.")
        if not isinstance(self.finish, Finish):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FusionError("Give finish as a Finish, such as Finish(brightness=0.2).")
        if self.memory_mb is not None and self.memory_mb < 1:
            raise FusionError(f"The memory for a network must be more than 0 MB; {self.memory_mb} is not.")

    def options_of(self, method: str) -> Options:
        """The options that are chosen for one method, by their names."""
        return self.options.get(method, {})


DEFAULTS = Settings()
