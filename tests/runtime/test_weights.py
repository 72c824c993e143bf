"""Weights are strict, safe and known: whatever is wrong with a file is said, and nothing is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fusion.errors import WeightsError
from fusion.methods import METHODS
from fusion.runtime import weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights.ship("tiny", nn.Linear(3, 2), {"data": 'made "here"', "steps": 7, "held_out_loss": 0.25}, tmp_path)
    return tmp_path


def test_what_is_shipped_loads(folder: Path) -> None:
    torch.manual_seed(0)
    shipped, network = nn.Linear(3, 2), nn.Linear(3, 2)
    weights.load("tiny", network, folder)
    assert torch.equal(network.weight, shipped.weight)
    entry = weights.entries(folder)["tiny"]
    assert (entry["parameters"], entry["data"], entry["steps"]) == (8, 'made "here"', 7)


def test_shipping_again_keeps_the_others(folder: Path) -> None:
    weights.ship("other", nn.Linear(1, 1), {}, folder)
    assert set(weights.entries(folder)) == {"tiny", "other"}
    assert sorted(path.name for path in folder.iterdir()) == ["MANIFEST.toml", "other.safetensors", "tiny.safetensors"]


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def _one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _pickled(path: Path) -> None:
    torch.save({"weight": torch.zeros(2, 3)}, path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_missing, _truncated, _one_bit, _pickled, _empty])
def test_damage_is_refused_and_said(folder: Path, damage: object) -> None:
    assert callable(damage)
    damage(folder / "tiny.safetensors")
    reason = weights.missing("tiny", folder)
    assert reason is not None
    assert reason.endswith("fetch it again from the repository.")
    with pytest.raises(WeightsError):
        weights.load("tiny", nn.Linear(3, 2), folder)


def test_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit"):
        weights.load("tiny", nn.Linear(4, 2), folder)


def test_a_broken_manifest_is_said(folder: Path) -> None:
    (folder / "MANIFEST.toml").write_text("[tiny\n")
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.entries(folder)
    assert "cannot be read" in (weights.missing("tiny", folder) or "")


def test_what_the_hash_cannot_see_is_found_before_anyone_asks(folder: Path) -> None:
    def linear() -> nn.Linear:
        return nn.Linear(3, 2)

    assert weights.unusable("tiny", linear, folder) is None
    for name, network, reason in (
        ("other", nn.Linear(4, 2), "does not fit"),
        ("nothing", nn.Linear(3, 2).requires_grad_(requires_grad=False), "not finite"),
    ):
        if name == "nothing":
            network.bias[1] = torch.nan
        weights.ship(name, network, {}, folder)
        assert weights.missing(name, folder) is None
        assert reason in (weights.unusable(name, linear, folder) or "")
        with pytest.raises(WeightsError, match=reason):
            weights.load(name, linear(), folder)


def test_unknown_names_say_how_to_train(tmp_path: Path) -> None:
    reason = weights.missing("none", tmp_path)
    assert reason is not None
    assert "python -m fusion train none" in reason


def test_the_manifest_tells_what_ships() -> None:
    files = {path.stem for path in weights.default_folder().glob("*.safetensors")}
    assert files == set(weights.entries())
    trainable = {method.name: method.parameters for method in METHODS if method.recipe} | {"iat": 89_060}
    for name, entry in weights.entries().items():
        assert weights.missing(name) is None
        assert entry["parameters"] == trainable[name]
        assert {"recipe", "data", "steps", "licence", "held_out_loss"} <= set(entry)
