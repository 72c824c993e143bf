"""Every way to ask for a picture gives the same: Python, the command line, folders, the page and its API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fusion
from fusion.cli import main
from fusion.io.image import save
from fusion.page.api import Api
from fusion.page.gallery import Run
from fusion.page.job_queue import JobQueue
from fusion.page.services import Services, compare_with
from fusion.pipeline import Fused, Loaded, Session
from fusion.settings import Settings
from tests.shared_session import SESSION, load

METHOD = "mertens-torch"
"""It keeps no network, and takes any number of exposures."""
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "courtyard"


@pytest.fixture(scope="module")
def bracket(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three exposures of a corner of an example; a hand held the brightest one, and a thing is in two places."""
    under, over = (load(EXAMPLE / f"{name}.png").photo[:, 100:340, 100:420].clone() for name in ("under", "over"))
    middle = (under + over) / 2
    under[:, 40:100, 40:100], over[:, 40:100, 200:260] = 0.9, 0.05
    folder = tmp_path_factory.mktemp("bracket")
    files = [folder / f"window_{name}.png" for name in ("over", "under", "middle")]
    for file, photo in zip(files, (over.roll((6, 9), (1, 2)), under, middle), strict=True):
        save(photo, file)
    return files


Answer = tuple[bytes, list[str]]
"""The PNG's bytes and the notes."""


def by_python(files: list[Path], folder: Path, settings: Settings) -> Answer:
    with Session() as session:
        scene = session.prepare(files, settings)
        fused = session.fuse(scene, METHOD, settings)
    save(fused.photo, folder / "python.png", bits=settings.saving.bits)
    assert torch.equal(fusion.fuse(files[0], files[1], METHOD, more=files[2:], settings=settings), fused.photo)
    return (folder / "python.png").read_bytes(), [*scene.notes, *fused.notes]


def switches(settings: Settings) -> list[str]:
    deghost = {"auto": [], "remove": ["--deghost"], "mark": ["--no-deghost"]}
    return [*([] if settings.align else ["--no-align"]), *deghost[settings.ghosts]]


def by_fuse(files: list[Path], folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> Answer:
    out = folder / "fuse.png"
    arguments = ["fuse", *map(str, files), "-m", METHOD, "-o", str(out), *switches(settings), "--json"]
    assert main([*arguments, "--bits", str(settings.saving.bits)]) == 0
    told = capsys.readouterr()
    notes = json.loads(told.out)["notes"]
    for note in notes:
        assert note in told.err
    return out.read_bytes(), notes


def by_compare(files: list[Path], folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> Answer:
    out = folder / "compare"
    arguments = ["compare", *map(str, files), "-m", METHOD, "-o", str(out), *switches(settings), "--json"]
    assert main(arguments) == 0
    told = capsys.readouterr()
    (row,) = json.loads(told.out)
    for note in row["notes"]:
        assert note in told.err
    return (out / f"{METHOD}.png").read_bytes(), row["notes"]


def by_folder(files: list[Path], folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> Answer:
    out = folder / "results"
    arguments = ["fuse-folder", str(files[0].parent), "-m", METHOD, "-o", str(out), *switches(settings), "--json"]
    assert main([*arguments, "--bits", str(settings.saving.bits)]) == 0
    told = capsys.readouterr()
    (row,) = json.loads(told.out)["done"]
    for note in row["notes"]:
        assert note in told.err
    return Path(row["result"]).read_bytes(), row["notes"]


def by_page(files: list[Path], folder: Path, settings: Settings) -> Answer:
    services = Services(SESSION, compare_with(SESSION), JobQueue(folder))
    *_, run = services.run([str(file) for file in files], [METHOD], settings, wanted=lambda: True)
    assert isinstance(run, Run)
    tile = run.tile(METHOD)
    assert tile
    assert tile.picture
    return tile.picture.read_bytes(), [*run.notes, *(note for fused in run.fused for note in fused.notes)]


def by_api(files: list[Path], folder: Path, settings: Settings) -> Answer:
    services = Services(SESSION, compare_with(SESSION), JobQueue(folder))
    api = Api(services, lambda: lambda: True)
    given: list[Any] = [{"path": str(file), "meta": {"_type": "gradio.FileData"}} for file in files]
    made = api.fuse(given, METHOD, align=settings.align, ghosts=settings.ghosts, bits=settings.saving.bits)
    file: Any = made["file"]
    return Path(file["path"]).read_bytes(), made["notes"]


@pytest.mark.parametrize("align", [True, False], ids=["aligned", "as they are"])
@pytest.mark.parametrize("ghosts", ["auto", "mark", "remove"])
def test_one_bracket_through_all_doors(
    bracket: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], align: bool, ghosts: Any
) -> None:
    settings = Settings(align=align, ghosts=ghosts)
    expected, notes = by_python(bracket, tmp_path, settings)
    assert any("Aligned" in note for note in notes) == align
    assert any("moved between the exposures" in note for note in notes)
    answers = {
        "fuse": by_fuse(bracket, tmp_path, settings, capsys),
        "compare": by_compare(bracket, tmp_path, settings, capsys),
        "fuse-folder": by_folder(bracket, tmp_path, settings, capsys),
        "page": by_page(bracket, tmp_path, settings),
        "API": by_api(bracket, tmp_path, settings),
    }
    for door, (made, said) in answers.items():
        assert said == notes, door
        assert made == expected, door


def test_events_tell_the_same(bracket: list[Path]) -> None:
    """A door that follows events hears what a scene and a picture say of themselves."""
    events = list(SESSION.compare(bracket, [METHOD], show_corrected=False, metrics=()))
    (loaded,) = (event for event in events if isinstance(event, Loaded))
    (fused,) = (event for event in events if isinstance(event, Fused))
    assert loaded.scene.notes == SESSION.prepare(bracket).notes
    assert fused.notes == SESSION.fuse(loaded.scene, METHOD).notes
