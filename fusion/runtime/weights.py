"""Trained weights: `<name>.safetensors`, each with an entry in `MANIFEST.toml`, in one folder.

Loading is strict: the file's sha256 must be the manifest's, every tensor must fit the network, and every value must be
finite. A bit that flipped on disk loads without complaint as safetensors; only the hash sees it.

Every function takes the folder as its last argument and uses `default_folder()` where it is None.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import WeightsError
from fusion.io.files import write_atomically
from fusion.runtime.package_data import data_folder

if TYPE_CHECKING:
    from torch import nn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # installed there alone

_MANIFEST = "MANIFEST.toml"


def default_folder() -> Path:
    """The folder that the environment variable FUSION_WEIGHTS names, to try other weights; else the shipped one."""
    return Path(os.environ.get("FUSION_WEIGHTS") or data_folder("weights"))


def entries(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The manifest: for each name sha256, parameters, recipe, data, steps, commit, licence and more.

    Raises `WeightsError` where it cannot be read.
    """
    folder = folder or default_folder()
    try:
        return tomllib.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"weights/{_MANIFEST} cannot be read; fetch it again from the repository.") from error


def missing(name: str, folder: Path | None = None) -> str | None:
    """The reason why there are no weights of this name, as a sentence; None where file and hash are right."""
    folder = folder or default_folder()
    try:
        entry = entries(folder).get(name)
    except WeightsError as error:
        return str(error)
    path = folder / f"{name}.safetensors"
    if entry is None:
        return f"{name} has no trained weights yet; train it with: python -m fusion train {name} --data DIR"
    if not path.is_file():
        return f"weights/{path.name} is missing; fetch it again from the repository."
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry.get("sha256"):
        return f"weights/{path.name} is damaged (its sha256 is not the manifest's); fetch it again from the repository."
    return None


def unusable(name: str, build: Callable[[], nn.Module], folder: Path | None = None) -> str | None:
    """The reason why the network that `build` returns cannot load its weights; None if it loads them."""
    folder = folder or default_folder()
    if (reason := missing(name, folder)) is not None:
        return reason
    import torch

    with torch.random.fork_rng(devices=[]):
        network = build()
    try:
        load(name, network, folder)
    except WeightsError as error:
        return str(error)
    return None


def load(name: str, network: nn.Module, folder: Path | None = None) -> None:
    """Fill `network` with the weights called `name`.

    Raises `WeightsError` if they are missing, damaged, of another network or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = folder or default_folder()
    if (reason := missing(name, folder)) is not None:
        raise WeightsError(reason)
    try:
        network.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"weights/{name}.safetensors does not fit the network {name}; fetch it again.") from error
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise WeightsError(f"weights/{name}.safetensors holds values that are not finite; fetch it again.")


def ship(name: str, network: nn.Module, facts: dict[str, str | int | float], folder: Path | None = None) -> None:
    """Write the network's weights and its manifest entry: sha256, parameters, then `facts`."""
    from safetensors.torch import save

    folder = folder or default_folder()
    folder.mkdir(exist_ok=True)
    blob = save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()})
    entry: dict[str, str | int | float] = {
        "sha256": hashlib.sha256(blob).hexdigest(),
        "parameters": sum(p.numel() for p in network.parameters()),
        **facts,
    }
    manifest = {**entries(folder), name: entry}
    write_atomically(folder / f"{name}.safetensors", blob)
    text = "\n".join(
        f"[{key}]\n" + "".join(f"{field} = {json.dumps(value)}\n" for field, value in manifest[key].items())
        for key in sorted(manifest)
    )
    write_atomically(folder / _MANIFEST, text.encode())
