"""A record of how pictures were made: methods, metrics, weights and versions."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from fusion.runtime import weights

_PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless", "gradio")


def provenance(methods: Sequence[str], metrics: Sequence[str], device: str) -> dict[str, object]:
    """Everything that is needed to make the same pictures again, ready for JSON.

    `methods` and `metrics` are names. A package that is not installed has the version None.

    >>> made_with = provenance(["pyramef"], ["ssim"], "cpu")
    >>> sorted(made_with)
    ['device', 'methods', 'metrics', 'versions', 'weights_sha256']
    """
    used = {name: entry["sha256"] for name, entry in weights.entries().items() if name in {*methods, "iat"}}
    return {
        "methods": list(methods),
        "metrics": list(metrics),
        "device": device,
        "weights_sha256": used,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
