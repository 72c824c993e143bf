"""The methods, in gallery order. Adding one: its file here, its name in the tuple."""

from fusion.methods import deepfuse, lemamba, lightfuse, mambadfuse, mambamef, meflut, mefnet, mertens, pyramef
from fusion.methods.base import Method

METHODS: tuple[Method, ...] = (
    pyramef.METHOD,
    lemamba.METHOD,
    mambadfuse.METHOD,
    meflut.METHOD,
    mertens.METHOD,
    mefnet.METHOD,
    mambamef.METHOD,
    deepfuse.METHOD,
    lightfuse.METHOD,
    mertens.METHOD_TORCH,
)
