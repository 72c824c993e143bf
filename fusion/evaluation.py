"""Methods over a folder of pairs: mean metrics, parameters, arithmetic, time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from statistics import fmean

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion.datasets import PairFiles
from fusion.enhance import IAT
from fusion.errors import ImageError
from fusion.image import Photo, load, load_pair, save, to_uint8
from fusion.method import Method, Mode
from fusion.metric import Metric, Scorer
from fusion.metrics import BENCHMARK
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import Failed, Fused, Scored, compare, method

FLOPS_SIDE = 512
"""Arithmetic is counted on a pair of this many pixels a side."""


@dataclass
class Evaluation:
    """One method over a dataset."""

    method: Method
    scores: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    likeness: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """Against the references of those scenes that have one."""
    seconds: list[float] = field(default_factory=list[float])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """Why, by scene."""

    def row(self) -> dict[str, str | int | float | None]:
        """The method's line in the table: means over the scenes that succeeded, None where there were none."""
        scored = {m.name: fmean(s[m.name] for s in self.scores) if self.scores else None for m in BENCHMARK}
        likeness = {m.name: fmean(s[m.name] for s in self.likeness) if self.likeness else None for m in REFERENCE}
        return {
            "method": self.method.name,
            "pairs": len(self.scores),
            **scored,
            **likeness,
            "parameters": self.method.parameters,
            "gflops": flops(self.method) / 1e9,
            "total_seconds": sum(self.seconds),
            "mean_seconds": fmean(self.seconds) if self.seconds else None,
        }


def evaluate(
    pairs: Sequence[PairFiles],
    methods: Sequence[str],
    out: Path | None = None,
    *,
    device: str | None = None,
    mode: Mode = "auto",
    done: Callable[[str], None] = lambda _: None,
) -> list[Evaluation]:
    """Fuse and score every pair at full size; with `out`, the pictures go to `out/<method>/<scene>.png`.

    `done` is called with each scene's name. A scene that cannot be used counts as a failure of every method.
    """
    evaluations = {name: Evaluation(method(name)) for name in methods}
    if out:
        for name in methods:
            (out / name).mkdir(parents=True, exist_ok=True)
    for files in pairs:
        _scene(files, evaluations, out, device, mode)
        done(files.scene)
    return list(evaluations.values())


def _scene(
    files: PairFiles, evaluations: dict[str, Evaluation], out: Path | None, device: str | None, mode: Mode
) -> None:
    try:
        reference = load(files.reference, "The reference").photo if files.reference else None
        events = compare(
            files.under,
            files.over,
            list(evaluations),
            device=device,
            metrics=BENCHMARK,
            scored_pixels=None,
            corrected=False,
            align=False,
            ghosts="ignore",
            mode=mode,
        )
        for event in events:
            if isinstance(event, Fused):
                evaluation = evaluations[event.method.name]
                evaluation.seconds.append(event.seconds)
                if reference is not None:
                    evaluation.likeness.append(likeness(event.photo, reference))
                if out:
                    save(event.photo, out / event.method.name / f"{files.scene}.png")
            elif isinstance(event, Scored):
                evaluations[event.method.name].scores.append(event.scores)
            elif isinstance(event, Failed):
                evaluations[event.method.name].failures[files.scene] = event.reason
    except ImageError as error:
        for evaluation in evaluations.values():
            evaluation.failures.setdefault(files.scene, str(error))


def measure(
    under: str | PathLike[str],
    over: str | PathLike[str],
    fused: str | PathLike[str],
    metrics: Sequence[Metric] = BENCHMARK,
    *,
    limit: int | None = None,
) -> dict[str, float]:
    """Each metric of a fused picture against its sources, three files, by its name; `limit` is `Scorer`'s.

    Raises `ImageError` for files that cannot be used, and where the fused picture has another size.
    """
    pair = load_pair(under, over)
    photo = load(fused, "The fused picture").photo
    if photo.shape != pair.under.shape:
        sizes = " and ".join(f"{one.shape[-1]}×{one.shape[-2]}" for one in (pair.under, photo))
        raise ImageError(f"The fused picture differs in size from its sources ({sizes}); measure it at their size.")
    return Scorer(pair, metrics, limit=limit)(photo)


def likeness(photo: Photo, reference: Photo) -> dict[str, float]:
    """Each measure of REFERENCE, of both photographs as they are saved in 8 bits, by its name.

    Raises `ImageError` where the sizes differ.
    """
    if photo.shape != reference.shape:
        raise ImageError("The reference differs in size from its pair.")
    ours, theirs = to_uint8(photo), to_uint8(reference)
    return {metric.name: metric.measure(ours, theirs) for metric in REFERENCE}


def flops(subject: Method) -> int:
    """Floating-point operations of the network, IAT included, on a pair of 512 x 512, as torch's counter sees them.

    Where the network sees a smaller copy (`Method.largest`), those on the copy. Convolutions and matrix products, two
    operations each multiply-add; not the scan, nor anything element-wise.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = subject.build().eval().requires_grad_(requires_grad=False)
        side = min(FLOPS_SIDE, math.isqrt(subject.largest)) if subject.largest else FLOPS_SIDE
        planes = torch.empty(1, subject.channels, side, side)
        if subject.enhanced:
            corrector = IAT().eval()
            for _ in range(2):
                corrector(planes[:, :1])
        network(planes, planes)
    return counter.get_total_flops()
