"""The stated `Needs.working_bytes` against the memory that PyTorch's profiler sees in a pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from fusion.methods import METHODS
from fusion.methods.base import Method

HUNGRY = [m for m in METHODS if m.needs.halo is None and m.needs.largest is None and not m.needs.cheap]
SMALL, LARGE = 768, 1280
"""Sides of two pictures. What does not grow with the picture is the same in both."""


def test_every_method_that_sees_the_whole_picture_states_its_memory() -> None:
    assert HUNGRY
    for method in METHODS:
        assert bool(method.needs.working_bytes) == (method in HUNGRY), method.name


@pytest.mark.parametrize("method", HUNGRY, ids=lambda method: method.name)
def test_the_stated_memory_is_what_a_pass_takes(method: Method, tmp_path: Path) -> None:
    """Tensors take the measured bytes; up to a half more is for the allocator and for what else a process needs."""
    network, channels = method.trained(), method.needs.channels
    small, large = (most_bytes(network, channels, side, tmp_path / f"{side}.json") for side in (SMALL, LARGE))
    measured, stated = (large - small) / (LARGE**2 - SMALL**2), method.needs.working_bytes
    assert 1.05 * measured < stated < 1.5 * measured, (
        f"{method.name} takes {measured:.0f} bytes per pixel and states {stated}; state about {1.2 * measured:.0f}"
    )


def most_bytes(network: nn.Module, channels: int, side: int, trace: Path) -> int:
    """The most bytes that tensors take at once while a pair of this side is fused, without the pair itself."""
    under, over = torch.rand(2, 1, channels, side, side)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        network(under, over)
    profiler.export_chrome_trace(str(trace))
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        live += event["args"]["Bytes"]
        most = max(most, live)
    return most
