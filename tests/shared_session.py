"""One session for all tests of a process: networks are loaded, and decoding processes started, only once."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from fusion.io import image
from fusion.io.image import ExposurePair
from fusion.pipeline import Session
from fusion.settings import Settings

SESSION = Session("cpu")
load = partial(image.load, sandbox=SESSION.sandbox)
load_pair = partial(image.load_pair, sandbox=SESSION.sandbox)


def weight_maps(pair: ExposurePair, name: str, **choices: Any) -> Tensor:
    """`Session.weight_maps` with fields of `Settings`."""
    return SESSION.weight_maps(pair, name, Settings(**choices))
