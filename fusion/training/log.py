"""The log of a training run: `log.csv`, with one line for each step, and `loss.png`, a plot of it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TextIO

from fusion.io.files import write_atomically

FIELDS: tuple[str, ...] = ("step", "seconds", "rate", "loss", "held_out")
_SMOOTHED_OVER = 50


class TrainingLog:
    """The log of a run that continues after `step` steps, in the folder `run`. Without a folder nothing is kept."""

    def __init__(self, run: Path | None, step: int) -> None:
        self.run = run
        # The steps that a resumed run logged after its checkpoint will be logged again.
        kept = io.StringIO(newline="")
        rows = csv.DictWriter(kept, FIELDS)
        rows.writeheader()
        if run:
            rows.writerows(read(run / "log.csv")[:step])
            # The file is replaced as a whole, so that a process that is killed here does not lose the earlier steps.
            write_atomically(run / "log.csv", kept.getvalue().encode())
        self.file: TextIO = (run / "log.csv").open("a", newline="", encoding="utf-8") if run else io.StringIO()
        self.rows = csv.DictWriter(self.file, FIELDS)
        self.row: dict[str, object] = {}

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.file.close()
        if self.run:
            draw(read(self.run / "log.csv"), self.run / "loss.png")

    def write(self, step: int, seconds: float, rate: float, loss: float) -> None:
        """Add a step."""
        self._put()
        self.row = {"step": step, "seconds": round(seconds, 1), "rate": f"{rate:.3e}", "loss": f"{loss:.6f}"}

    def held_out(self, loss: float) -> None:
        """Add the held-out loss to the step that was written last."""
        if self.row:
            self.row["held_out"] = f"{loss:.6f}"

    def flush(self) -> None:
        """Hand every line to the operating system, so that it survives the process."""
        self._put()
        self.file.flush()

    def _put(self) -> None:
        if self.row:
            self.rows.writerow(self.row)
        self.row = {}


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a log file, or none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Plot the loss of each step, its running mean and the held-out loss over the steps, and save it at `path`."""
    from matplotlib.figure import Figure

    steps = [int(row["step"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    held_out = [(int(row["step"]), float(row["held_out"])) for row in rows if row["held_out"]]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, linewidth=0.5, alpha=0.35, label="each step")
    axes.plot(steps, _smoothed(losses), label=f"mean of the last {_SMOOTHED_OVER}")
    if held_out:
        axes.plot(*zip(*held_out, strict=True), "o-", label="held-out pairs, moving average of the weights")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def _smoothed(values: list[float]) -> list[float]:
    windows = (values[max(0, i + 1 - _SMOOTHED_OVER) : i + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]
