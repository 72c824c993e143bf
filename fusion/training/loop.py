"""The loop that trains every network, on the same pairs, with the same augmentation and the same seed.

A run is a folder with `checkpoint.safetensors` (network, moving average, optimiser and step, replaced as a whole),
`best.safetensors` (the moving average that did best on the held-out pairs), `log.csv` and its plot `loss.png`.

Several processes, on one machine or many, can share the batch of each step. Start them with `torchrun`.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fusion.blocks.guided_filter import through_copy
from fusion.errors import FusionError, WeightsError
from fusion.io import colour
from fusion.io.files import write_atomically
from fusion.methods import METHODS, iat
from fusion.methods.base import Planes, Recipe, padded
from fusion.methods.mertens import exposure_fusion
from fusion.metrics.losses import mambamef_paper, structure_and_luminance
from fusion.runtime import weights
from fusion.runtime.memory import tune_allocator
from fusion.training.datasets import Crops, PairFiles, centres, find_pairs, split
from fusion.training.log import TrainingLog
from fusion.training.references import HELD_OUT_EVERY, ReferenceCrops, find_references, whole

if TYPE_CHECKING:
    from accelerate import Accelerator

LOSSES = {"structure": structure_and_luminance, "paper": mambamef_paper}
_SECONDS_BETWEEN_VALIDATIONS = 300.0
_HELD_OUT_SIDE = 512
"""Longest side of the held-out pictures with a reference, in pixels."""


@dataclass(frozen=True)
class Batch:
    """RGB crops (B, 3, H, W), from 0 to 1, and what belongs to them."""

    exposures: tuple[Tensor, ...]
    """From dark to bright."""
    reference: Tensor | None = None
    """What a good fusion looks like, for a recipe with references."""
    gammas: tuple[Tensor, Tensor] | None = None
    """IAT's gammas (B, 1, 1, 1) of both exposures, for a network that reads corrected lumas."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        reference = None if self.reference is None else self.reference.to(device)
        gammas = self.gammas and (self.gammas[0].to(device), self.gammas[1].to(device))
        return Batch(tuple(exposure.to(device) for exposure in self.exposures), reference, gammas)


@dataclass(frozen=True)
class Trainee:
    """A network to be trained. `loss(network, batch)` is a scalar in float32 that training makes small."""

    name: str
    network: nn.Module
    recipe: Recipe
    loss: Callable[[Callable[..., Tensor], Batch], Tensor]
    corrector: iat.IAT | None = None
    """IAT with frozen weights, for a network that reads corrected lumas."""


def trainable() -> list[str]:
    """The names that `trainee` accepts. IAT comes first, since another network reads the lumas that it corrects."""
    return [iat.NAME, *(method.name for method in METHODS if method.recipe)]


def trainee(name: str, *, seed: int = 3407, shipped: bool = False, **changes: Any) -> Trainee:
    """The network called `name` with its recipe, in which `changes` replace fields of `Recipe`.

    Its initial weights are drawn with `seed`, or, with `shipped`, are those that ship, to train them further. Raises
    `FusionError` for a name that is not in `trainable()`, and `WeightsError` where IAT is needed and has no weights.
    """
    torch.manual_seed(seed)
    if name == iat.NAME:
        return Trainee(name, _network(name, iat.IAT, shipped), replace(_IAT_RECIPE, **changes), _iat_loss)
    method = next((method for method in METHODS if method.name == name), None)
    if method is None or method.recipe is None:
        raise FusionError(f"{name} cannot be trained. What can: {', '.join(trainable())}.")
    recipe = replace(method.recipe, **changes)
    corrector = None
    if method.needs.enhanced:
        corrector = iat.IAT().requires_grad_(requires_grad=False).eval()
        weights.load(iat.NAME, corrector)

    def fused_and_reference(network: Callable[..., Tensor], batch: Batch) -> Tensor:
        assert batch.reference is not None  # noqa: S101
        *exposures, reference = (read(photo) for photo in (*batch.exposures, batch.reference))
        return recipe.loss(padded(network, exposures, method.needs.multiple_of).float(), reference)

    def read(photo: Tensor) -> Tensor:
        return colour.luma(photo) if method.needs.planes is Planes.LUMA else photo

    def loss(network: Callable[..., Tensor], batch: Batch) -> Tensor:
        under, over = (read(photo) for photo in batch.exposures)
        seen = under, over
        if corrector and batch.gammas:
            first, second = batch.gammas
            seen = (
                torch.cat((under, corrector.correct(under, first)), 1),
                torch.cat((over, corrector.correct(over, second)), 1),
            )

        def fuse(under: Tensor, over: Tensor) -> Tensor:
            return padded(network, (under, over), method.needs.multiple_of)

        fused = through_copy(fuse, *seen, recipe.scale)
        return recipe.loss(fused.float(), under, over)

    network = _network(name, method.architecture, shipped)
    return Trainee(name, network, recipe, fused_and_reference if recipe.references else loss, corrector)


def _network(name: str, build: Callable[[], nn.Module], shipped: bool) -> nn.Module:
    network = build()
    if shipped:
        weights.load(name, network)
    return network


def _distance_to_mertens(corrected: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """The mean absolute difference of both corrected lumas, (2 B, 1, H, W), to the luma of Mertens' fusion."""
    with torch.no_grad():
        target = colour.luma(exposure_fusion(torch.stack((under, over))))
    return (corrected - torch.cat((target, target))).abs().mean()


# The crops are nearly whole pictures, since gamma is one number for a picture and must see most of it.
_IAT_RECIPE = Recipe(loss=_distance_to_mertens, crop=128, batch=4, rate=2e-3, ema=0.99, zoom=8.0)


def _iat_loss(network: Callable[..., Tensor], batch: Batch) -> Tensor:
    lumas = torch.cat([colour.luma(photo) for photo in batch.exposures])
    corrected = network(lumas.contiguous(memory_format=torch.channels_last))
    return _IAT_RECIPE.loss(corrected, *batch.exposures)


def train(
    subject: Trainee,
    data: Path,
    run: Path,
    *,
    references: Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    seconds_between_saves: float = 60.0,
    seed: int = 3407,
) -> dict[str, Any]:
    """Train on the pairs in `data` until `steps` or `minutes` are over, and return the facts of the run.

    For a recipe with references, the pairs are those of `references`, or of `data` where that is None, and the pairs of
    `data` that the list in `references` names.

    The learning rate falls along one cosine over the whole budget, of which the greater of the spent shares of steps
    and of minutes counts. With `steps` alone, a run that was killed and resumed equals one that was not, and several
    processes equal one process whose batch is as large as theirs together. Raises `DatasetError` for a folder of
    another layout, and `WeightsError` for a checkpoint that does not fit.
    """
    from accelerate import Accelerator
    from tqdm import tqdm

    tune_allocator()
    recipe = subject.recipe
    accelerator = Accelerator(mixed_precision="no")  # accelerate has one precision for a process, a recipe has its own
    device = accelerator.device
    if recipe.references:
        pairs = find_references(references or data, data if references else None)
        fit, held_out = split(pairs, HELD_OUT_EVERY)
    else:
        fit, held_out = split(find_pairs(data))
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "checkpoint.safetensors"
    state = _TrainingState(subject, accelerator, seed)
    if resume and checkpoint.exists():
        state.load(checkpoint)
    examples = (_ReferenceExamples if recipe.references else _PairExamples)(subject, fit, held_out, seed)
    validation = [batch.to(device) for batch in examples.held_out]
    if subject.corrector:
        subject.corrector.to(device)
    share_of_batch = range(recipe.batch * accelerator.process_index, recipe.batch * (accelerator.process_index + 1))

    saved = validated = time.monotonic()
    with (
        TrainingLog(run if accelerator.is_main_process else None, state.step) as log,
        ThreadPoolExecutor(1) as ahead,
        tqdm(
            initial=state.step, total=steps, unit="step", mininterval=5, disable=not accelerator.is_main_process
        ) as bar,
    ):
        clock = time.monotonic() - state.seconds
        upcoming = ahead.submit(examples.batch, state.step, share_of_batch)
        while (share := _agreed(accelerator, _spent(state.step, steps, time.monotonic() - clock, minutes))) < 1:
            batch = upcoming.result().to(device)
            upcoming = ahead.submit(examples.batch, state.step + 1, share_of_batch)
            rate = recipe.rate * (1 + math.cos(math.pi * share)) / 2
            loss = state.update(subject, batch, rate)
            state.seconds = time.monotonic() - clock
            log.write(state.step, state.seconds, rate, loss)
            bar.update()
            if not accelerator.is_main_process:
                continue
            now = time.monotonic()
            if now - validated > _SECONDS_BETWEEN_VALIDATIONS:
                figure = state.validate(subject, validation, run)
                bar.set_postfix(loss=f"{loss:.4f}", held_out=f"{figure:.4f}")
                log.held_out(figure)
                validated = now
            if now - saved > seconds_between_saves:
                log.flush()  # the log of the steps before a checkpoint must survive the process
                state.save(checkpoint)
                saved = now
        if accelerator.is_main_process:
            log.held_out(state.validate(subject, validation, run))
            log.flush()
            state.save(checkpoint)
        accelerator.wait_for_everyone()
    return {"name": subject.name, "steps": state.step, "seconds": round(state.seconds), "held_out_loss": state.best}


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]


def _in_bfloat16(network: nn.Module) -> Callable[..., Tensor]:
    """The network with convolutions and matrix products in bfloat16 and its result in float32, for the loss."""

    def run(*planes: Tensor) -> Tensor:
        with torch.autocast(planes[0].device.type, torch.bfloat16):
            return network(*planes).float()

    return run


def _agreed(accelerator: Accelerator, share: float) -> float:
    """The first process's share, so that all stop after the same step."""
    from accelerate.utils import broadcast

    if accelerator.num_processes == 1:
        return share
    return float(broadcast(torch.tensor(share, dtype=torch.float64, device=accelerator.device)))  # pyright: ignore[reportArgumentType]


def ship(subject: Trainee, run: Path, facts: dict[str, str | int | float]) -> None:
    """Put the best network of a run into `weights/`, and `facts` and the commit of the code into the manifest.

    Raises `WeightsError` if the run has no such network.
    """
    tensors, told = _read(run / "best.safetensors")
    _fill(subject.network, tensors)
    weights.ship(subject.name, subject.network, {**told, **facts, "commit": _commit()})


def _commit() -> str:
    """The commit of the code, or "unknown" outside a repository."""
    if (git := shutil.which("git")) is None:
        return "unknown"
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"


class _TrainingState:
    """Everything that changes during training."""

    def __init__(self, subject: Trainee, accelerator: Accelerator, seed: int) -> None:
        recipe = subject.recipe
        self.seed = seed
        self.accelerator = accelerator
        self.network = subject.network.to(accelerator.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = AveragedModel(self.network, avg_fn=_moving_average(recipe.ema), use_buffers=True)
        self.average.module.requires_grad_(requires_grad=False)
        self.optimizer = torch.optim.AdamW(_groups(self.network, recipe.weight_decay), lr=recipe.rate)
        self.shared: nn.Module = accelerator.prepare(self.network)
        self.run = _in_bfloat16(self.shared) if recipe.half_precision and _has_bfloat16() else self.shared
        self.clip = recipe.clip
        self.step = 0
        self.seconds = 0.0
        self.best = math.inf

    def update(self, subject: Trainee, batch: Batch, rate: float) -> float:
        """Take one step of the optimiser and return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.shared.train()
        loss = subject.loss(self.run, batch)
        self.accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        if bool(norm.isfinite()):  # a single division by nearly zero must not end the run
            self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return self.accelerator.reduce(loss.detach(), "mean").item()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

    @torch.no_grad()
    def validate(self, subject: Trainee, batches: Sequence[Batch], run: Path) -> float:
        """The loss of the moving average on the held-out pairs. The lowest so far is kept as `best.safetensors`."""
        network = self.average.module.eval()
        total = sum(subject.loss(network, batch).item() * len(batch.exposures[0]) for batch in batches)
        figure = total / sum(len(batch.exposures[0]) for batch in batches)
        if figure < self.best:
            self.best = figure
            facts = {"steps": self.step, "minutes": round(self.seconds / 60, 1), "seed": self.seed}
            facts["held_out_loss"] = round(figure, 5)
            _write(run / "best.safetensors", network.state_dict(), facts)
        return figure

    def save(self, path: Path) -> None:
        """Write the whole state to one file, without pickle."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        _write(path, tensors, {"step": self.step, "seconds": self.seconds, "best": self.best})

    def load(self, path: Path) -> None:
        """Restore the state that `save` wrote."""
        tensors, facts = _read(path)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, _, rest = key.partition(".")
            parts[part][rest] = value
        _fill(self.network, parts["network"])
        _fill(self.average, parts["average"])
        optimizer = self.optimizer.state_dict()
        for key, value in parts["optimizer"].items():
            index, _, field = key.partition(".")
            optimizer["state"].setdefault(int(index), {})[field] = value
        self.optimizer.load_state_dict(optimizer)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential moving average whose memory grows with the run. At first it is a tenth of the steps so far."""

    def average(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        return mean + (new - mean) * max(1 - decay, 10 / (int(count) + 10))

    return average


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups with weight decay for matrices and kernels, and without it for biases, gains, norms, A and D."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if p.ndim > 1 and not name.endswith("A_log")]
    kept = [p for name, p in named if p.ndim <= 1 or name.endswith("A_log")]
    return [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]


def _spent(step: int, steps: int | None, seconds: float, minutes: float | None) -> float:
    """The share of the budget that is spent. Raises ValueError where there is no budget."""
    if not (steps or minutes) or min(steps or 1, minutes or 1) <= 0:
        raise ValueError("steps or minutes must be given, and must be above 0")
    by_steps = step / steps if steps else 0.0
    by_time = seconds / (60 * minutes) if minutes else 0.0
    return max(by_steps, by_time)


class _PairExamples:
    """Pairs of exposures without a reference."""

    def __init__(self, subject: Trainee, fit: Sequence[PairFiles], held_out: Sequence[PairFiles], seed: int) -> None:
        recipe, corrector = subject.recipe, subject.corrector
        self.crops = Crops(fit, recipe.crop, recipe.zoom, seed)
        self.gammas = corrector and _gammas(corrector, (self.crops.pictures[i] for i in range(len(fit))))
        middles = (planes.split(recipe.batch) for planes in centres(held_out, recipe.crop))
        self.held_out = [
            Batch(pair, gammas=corrector and _gamma_of_each(corrector, pair)) for pair in zip(*middles, strict=True)
        ]

    def batch(self, step: int, positions: Iterable[int]) -> Batch:
        """The crops at these positions of a step's batch."""
        chosen, *exposures = self.crops.batch(step, positions)
        if self.gammas is None:
            return Batch(tuple(exposures))
        under, over = self.gammas[chosen].unbind(1)
        return Batch(tuple(exposures), gammas=(under, over))


class _ReferenceExamples:
    """Brackets with a reference. The held-out ones are whole pairs, one by one, since they differ in size."""

    def __init__(self, subject: Trainee, fit: Sequence[PairFiles], held_out: Sequence[PairFiles], seed: int) -> None:
        self.crops = ReferenceCrops(fit, subject.recipe.crop, seed)
        self.held_out = [Batch(pair, reference) for pair, reference in whole(held_out, _HELD_OUT_SIDE)]

    def batch(self, step: int, positions: Iterable[int]) -> Batch:
        """The crops at these positions of a step's batch."""
        return Batch(*self.crops.batch(step, positions))


@torch.no_grad()
def _gammas(corrector: iat.IAT, pictures: Iterable[tuple[Any, Any]]) -> Tensor:
    """IAT's gamma of every whole picture, (pairs, 2, 1, 1, 1), with which its crops are corrected."""
    rows = [
        torch.cat([corrector.gamma(colour.luma(torch.from_numpy(p).permute(2, 0, 1)[None] / 255)) for p in pair])
        for pair in pictures
    ]
    return torch.stack(rows)


@torch.no_grad()
def _gamma_of_each(corrector: iat.IAT, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    under, over = pair
    return corrector.gamma(colour.luma(under)), corrector.gamma(colour.luma(over))


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise WeightsError("The checkpoint belongs to another network; start anew without --resume.") from error


def _write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    blob = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, {"facts": json.dumps(facts)})
    write_atomically(path, blob)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise WeightsError(f"{path.name} is missing or damaged in {path.parent}.") from error
