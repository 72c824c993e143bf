"""The downloads of a run: its metrics, and everything in one archive."""

from __future__ import annotations

import json
import uuid
import zipfile
from pathlib import Path

from fusion.io.files import write_atomically
from fusion.metrics import METRICS
from fusion.outputs.provenance import provenance
from fusion.outputs.tables import metrics_csv
from fusion.page.gallery import Run


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
        archive.writestr(
            "settings.json", json.dumps({**made_with, "options": run.settings.options, "notes": run.notes}, indent=2)
        )
    return part.replace(path)
