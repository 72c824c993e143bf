"""Pairs that nobody would think of; `python -m tests.attack --nightly` tries many more."""

from __future__ import annotations

import pytest

from tests.attack.pairs import QUICK, SLOW, check


@pytest.mark.parametrize(("count", "methods"), [(60, QUICK), (3, SLOW)], ids=["quick", "slow"])
def test_generated_pairs_are_fused_or_refused(count: int, methods: list[str]) -> None:
    told = check(count, methods)
    assert told["fused"] + told["refused"] == count
    assert told["fused"] >= count / 3
