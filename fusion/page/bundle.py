"""The downloads of a run: one picture in the format that is wanted, its metrics, and everything in one archive."""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

from fusion.errors import FusionError
from fusion.io.files import new_folder, write_atomically
from fusion.io.saving import Saving
from fusion.methods.finish import Finish
from fusion.metrics import METRICS
from fusion.metrics.base import scored_size
from fusion.outputs.names import result_name
from fusion.outputs.provenance import provenance
from fusion.outputs.tables import metrics_csv
from fusion.page.gallery import Run
from fusion.page.services import Services
from fusion.pipeline import Failed, Fused, Loaded


def write_picture(run: Run, name: str, saving: Saving, finish: Finish, services: Services) -> Path:
    """Write the picture of one of the run's methods as it is wanted, named after the photographs, and return its path.

    The method makes the picture again, with all its bits, and it gets this `finish`. Raises `FusionError` where the
    photographs are gone or the method fails.
    """
    origin = None
    settings = replace(run.settings, saving=saving, finish=finish)
    for event in services.compare(run.files, [name], settings, show_corrected=False):
        if isinstance(event, Loaded):
            origin = event.scene.origin(saving)
        elif isinstance(event, Failed):
            raise FusionError(event.reason)
        elif isinstance(event, Fused):  # nobody asks for its scores, so that it is not measured
            path = new_folder(run.folder, "saved") / result_name(run.files, name, saving.ending)
            saving.write(event.photo, path, origin)
            return path
    raise FusionError("The picture could not be made; fuse once more.")


def write_csv(run: Run) -> Path:
    """Write metrics.csv with the methods that are done, and return its path."""
    path = run.folder / "metrics.csv"
    write_atomically(path, metrics_csv(run.scored, METRICS).encode())
    return path


def write_zip(run: Run, device: str) -> Path:
    """Write an archive of all pictures as PNG, metrics.csv and settings.json, and return its path.

    PNG does not shrink further, so nothing is compressed. `device` is where the methods ran.
    """
    path = run.folder / "mambamef.zip"
    names = [one.method.name for one in run.scored]
    made_with = provenance(names, [metric.name for metric in METRICS], device)
    # Under another name first: a visitor who was given the same run may be downloading it.
    part = run.folder / f"{uuid.uuid4().hex}.part"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for tile in run.finished:
            if tile.picture:
                archive.write(tile.picture, tile.picture.name)
        archive.writestr("metrics.csv", metrics_csv(run.scored, METRICS))
        archive.writestr("settings.json", json.dumps({**made_with, **_repeatable(run)}, indent=2))
    return part.replace(path)


def _repeatable(run: Run) -> dict[str, object]:
    """What someone else needs to make and measure the same pictures again, besides the versions of the programs."""
    height, width = run.size
    measured_height, measured_width = scored_size(height, width)
    return {
        "sources": [
            {"name": Path(file).name, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()}
            for file in run.files
        ],
        "size": {"width": width, "height": height},
        "measured_at": {"width": measured_width, "height": measured_height},
        "seen_at": {one.method.name: {"width": one.seen[1], "height": one.seen[0]} for one in run.fused},
        "settings": asdict(run.settings),
        "notes": run.notes,
    }
