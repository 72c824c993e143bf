"""Speed is measured and reported; no test says how fast anything must be."""

from __future__ import annotations

from pathlib import Path

from fusion.benchmark.speed import PEER, PEER_KEPT, draw, method_rows


def test_rows_of_fresh_processes(tmp_path: Path) -> None:
    said: list[str] = []
    rows = list(method_rows(["mertens", "pyramef"], [0.02], "fast", say=said.append))
    assert [row.method for row in rows] == [PEER_KEPT, "mertens", "pyramef", PEER]
    assert len(said) == 3
    for row in rows:
        assert row.mode == "exact"  # so small a pair is smaller than the copy
        assert row.seconds > 0
        assert row.ratio > 0
        assert row.first_call_seconds > 0
        assert 20 < row.peak_mb < 4000
    draw(rows, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 1000


def test_a_row_says_what_the_network_saw() -> None:
    from tests.shared_session import SESSION

    assert SESSION.seen("pyramef", 4000, 6000) == (1414, 2121)
    assert SESSION.seen("mertens", 4000, 6000) == (4000, 6000)
