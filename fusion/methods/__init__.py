"""The methods, in gallery order. Adding one: its file here, its name in the tuple."""

from fusion.method import Method
from fusion.methods import mambamef, mertens

METHODS: tuple[Method, ...] = (
    mambamef.METHOD,
    mertens.METHOD,
    mertens.METHOD_TORCH,
)
