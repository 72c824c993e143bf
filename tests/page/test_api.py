"""The page as programs use it: a server of its own, the guide's examples, and plain HTTP for what clients tidy up."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio import Error

import fusion
from fusion.io.image import Bits, save, save_preview
from fusion.io.saving import Format, Saving
from fusion.methods import METHODS
from fusion.outputs.tables import method_row
from fusion.page.api import Api, Given
from fusion.page.job_queue import JobQueue
from fusion.page.services import Services, compare_with
from fusion.pipeline import Event, Failed, Fused, Scored, compare
from fusion.settings import Settings
from tests.server import ROOT, Server, served
from tests.shared_session import SESSION, load

PROGRAMS = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```", PROGRAMS, re.DOTALL)
UNDER, OVER = "under.jpg", "over.jpg"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("page"), "app.py") as server:
        yield server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corner of an example, under the names that the guide uses."""
    folder = tmp_path_factory.mktemp("pair")
    for name in (UNDER, OVER):
        photo = load(ROOT / "examples" / "courtyard" / Path(name).with_suffix(".png")).photo
        save_preview(photo[:, 100:340, 100:420], folder / name)
    return folder / UNDER, folder / OVER


@pytest.fixture(scope="module")
def example(page: Server) -> list[dict[str, Any]]:
    """A pair that takes longer."""
    return [page.upload(ROOT / "examples" / "courtyard" / f"{name}.png") for name in ("under", "over")]


@pytest.fixture(scope="module")
def files(page: Server, pair: tuple[Path, Path]) -> list[dict[str, Any]]:
    return [page.upload(path) for path in pair]


def png(pair: tuple[Path, Path], method: str, folder: Path, bits: int = 8) -> bytes:
    """What the library makes of the pair."""
    path = folder / "library.png"
    save(fusion.fuse(*pair, method=method), path, bits=bits)
    return path.read_bytes()


@pytest.mark.parametrize(("language", "text"), EXAMPLES)
def test_the_guides_examples_give_the_librarys_picture(
    language: str, text: str, page: Server, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    if language == "sh" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    assert "http://127.0.0.1:7860" in text
    for path in pair:
        shutil.copy(path, tmp_path)
    command = {"python": [sys.executable, "-c"], "sh": ["sh", "-c"]}[language]
    run = [*command, text.replace("http://127.0.0.1:7860", page.address)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fused.png").read_bytes() == png(pair, "pyramef", tmp_path)
    if "/compare" in text:
        assert done.stdout.splitlines()[-2:] == [
            f"{one.method.name} {one.scores['mef_ssim']}"
            for one in compare(*pair, ["pyramef", "mertens"])
            if isinstance(one, Scored)
        ]


def test_there_is_an_example_for_each_way() -> None:
    for way, (language, text) in zip(("gradio_client", "curl", "mcp"), EXAMPLES, strict=True):
        assert way in text
        assert language == ("sh" if way == "curl" else "python")


def test_compare_gives_the_librarys_pictures_and_scores(
    page: Server, pair: tuple[Path, Path], files: list[dict[str, Any]], tmp_path: Path
) -> None:
    names = ["mertens", "mambamef"]
    rows = page.ask("compare", files=files, methods=names)
    scored = [event for event in compare(*pair, names) if isinstance(event, Scored)]
    assert [row["method"] for row in rows] == names
    for row, one in zip(rows, scored, strict=True):
        assert httpx.get(row["file"]["url"]).content == png(pair, row["method"], tmp_path)
        assert row["scores"] == one.scores
        assert row["failure"] is None
        assert row["seconds"] > 0
        assert page.ask("metrics", under=files[0], over=files[1], fused=row["file"]["url"]) == one.scores
    height, width = scored[1].fused.seen
    saw = f"The result was computed on a copy of {width} × {height} pixels and carried to full size."
    assert [row["notes"] for row in rows] == [[], [saw]]


def test_sixteen_bits(page: Server, pair: tuple[Path, Path], files: list[dict[str, Any]], tmp_path: Path) -> None:
    made = page.ask("fuse", files=files, method="mertens", bits=16)
    assert httpx.get(made["file"]["url"]).content == png(pair, "mertens", tmp_path, bits=16)


def test_alignment_and_ghosts_are_the_programs_choice(page: Server, tmp_path: Path) -> None:
    """The camera moves, and a thing as well."""
    under, over = (load(ROOT / "examples" / "courtyard" / f"{name}.png").photo for name in ("under", "over"))
    under, over = under[:, 100:340, 100:420].clone(), over[:, 100:340, 100:420].clone()
    under[:, 40:100, 40:100] = over[:, 40:100, 200:260] = 0.5
    paths = tmp_path / "under.png", tmp_path / "over.png"
    save(under, paths[0])
    save(over.roll((6, 9), (1, 2)), paths[1])
    files = [page.upload(path) for path in paths]
    pictures: set[bytes] = set()
    for align, ghosts in product((True, False), ("remove", "mark")):
        wanted = fusion.fuse(*paths, method="mertens", align=align, ghosts=ghosts)
        save(wanted, tmp_path / "wanted.png")
        pictures.add((tmp_path / "wanted.png").read_bytes())
        made = page.ask("fuse", files=files, method="mertens", align=align, ghosts=ghosts)
        assert httpx.get(made["file"]["url"]).content == (tmp_path / "wanted.png").read_bytes()
        row = page.ask("compare", files=files, methods=["mertens"], align=align, ghosts=ghosts)[0]
        assert row["notes"] == made["notes"]
    assert len(pictures) == 4


def test_what_was_changed_on_the_way_in_is_said(page: Server, files: list[dict[str, Any]]) -> None:
    made = page.ask("fuse", files=files[::-1], method="mertens")
    assert made["notes"] == ["The first picture is brighter than the second, so it was used as the over-exposed one."]


def test_methods(page: Server) -> None:
    assert page.ask("methods") == [method_row(method) for method in METHODS]


def test_a_method_that_fails_says_why_and_leaves_the_others(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    def events(files: Sequence[str], methods: Sequence[str], settings: Settings, **_: bool) -> Iterator[Event]:
        for event in SESSION.compare(files, methods, settings):
            if isinstance(event, Fused) and event.method.name == "meflut":
                yield Failed(event.method, "There was not enough memory.")
            elif not (isinstance(event, Scored) and event.method.name == "meflut"):
                yield event

    api = Api(Services(SESSION, events, JobQueue(tmp_path)), lambda: lambda: True)
    given: list[Given] = [f"data:;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in pair]
    rows = list(api.compare(given, ["meflut", "mertens"]))[-1]
    assert [(row["method"], row["failure"]) for row in rows] == [
        ("meflut", "There was not enough memory."),
        ("mertens", None),
    ]
    with pytest.raises(Error, match="There was not enough memory"):
        api.fuse(given, "meflut")


@pytest.mark.parametrize(
    ("file_format", "bits", "name"),
    [
        ("png", 16, "under-over_mertens.png"),
        ("jpeg", 8, "under-over_mertens.jpg"),
        ("tiff", 16, "under-over_mertens.tif"),
    ],
)
def test_every_format_is_named_after_the_photographs(
    file_format: Format, bits: Bits, name: str, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    api = Api(Services(SESSION, compare_with(SESSION), JobQueue(tmp_path)), lambda: lambda: True)
    given: list[Any] = [{"path": str(path), "meta": {"_type": "gradio.FileData"}} for path in pair]
    made: Any = api.fuse(given, "mertens", file_format=file_format, bits=bits, quality=90)["file"]
    row: Any = list(api.compare(given, ["mertens"], file_format=file_format, bits=bits, quality=90))[-1][0]
    Saving(file_format, bits, 90).write(fusion.fuse(*pair, method="mertens"), tmp_path / name)
    for path in (Path(made["path"]), Path(row["file"]["path"])):
        assert path.name == name
        assert path.read_bytes() == (tmp_path / name).read_bytes()


PATH = "/etc/hostname"
UPLOADED = "Give each photograph as an uploaded file"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "mertns"}, "There is no method called mertns; choose from virtual-bracket, "),
        ({"mode": "best"}, "There is no mode best; choose from auto, exact, fast."),
        ({"bits": 12}, "There is no number of bits 12; choose from 8, 16."),
        ({"file_format": "gif"}, "There is no format gif; choose from jpeg, png, tiff, ultra-hdr, exr."),
        ({"file_format": "jpeg", "bits": 16}, "A JPEG has 8 bits a channel; save 16 bits as PNG or TIFF."),
        ({"file_format": "jpeg", "quality": "best"}, "A JPEG's quality goes from 0 to 100; best is outside."),
        ({"gamut": "bt2020"}, "There is no gamut bt2020; choose from srgb, display-p3."),
        ({"align": "no"}, "There is no way to align no; choose from True, False."),
        ({"ghosts": "hide"}, "There is no way to treat ghosts hide; choose from ignore, mark, remove, auto."),
        ({"files": []}, "0 pictures were given"),
        ({"files": 5}, "Give the photographs as a list."),
        ({"files": [{"path": PATH}] * 2}, UPLOADED),
        ({"files": [PATH] * 2}, UPLOADED),
        ({"files": [f"file://{PATH}"] * 2}, UPLOADED),
        ({"files": [f"http://127.0.0.1:9/gradio_api/file={PATH}"] * 2}, "Give each photograph as an uploaded file"),
        ({"files": ["http://127.0.0.1:9/under.jpg"] * 2}, "Give each photograph as an uploaded file"),
        ({"files": ["data:;base64,A"] * 2}, "cannot be read from its address"),
        ({"files": ["data:;base64,AAAA"] * 2}, "The first picture is not a JPEG, PNG, "),
        ({"files": ["a\0/gradio_api/file=\0"] * 2}, "cannot be read from its address"),
        ({"files": [{"path": PATH, "meta": {"_type": "gradio.FileData"}}] * 2}, None),
    ],
)
def test_refusals_are_sentences(
    arguments: dict[str, Any], sentence: str | None, page: Server, files: list[dict[str, Any]]
) -> None:
    said = page.refusal("fuse", **{"files": files, **arguments})
    if sentence is None:  # Gradio's own refusal, which names its folders: only the log has it
        assert said is None
        return
    assert said
    assert sentence in said
    assert "/" not in said
    assert said not in page.log


def test_no_method_at_all_is_refused_and_stops_nobody(page: Server, files: list[dict[str, Any]]) -> None:
    for none in ([], 5, [["mertens"]]):
        assert "as a list of at least one" in str(page.refusal("compare", files=files, methods=none))
    assert page.ask("fuse", files=files, method="mertens")["file"]


def test_pictures_that_do_not_belong_together_are_refused(
    page: Server, files: list[dict[str, Any]], example: list[dict[str, Any]]
) -> None:
    for endpoint in ("fuse", "compare"):
        assert "are identical" in str(page.refusal(endpoint, files=files[:1] * 2))
    said = page.refusal("metrics", under=files[0], over=files[1], fused=example[0])
    assert str(said).startswith("The fused picture differs in size from its sources (320×240 and ")


def test_a_run_ends_where_its_program_leaves(
    page: Server, files: list[dict[str, Any]], example: list[dict[str, Any]]
) -> None:
    with httpx.stream("GET", page.start("compare", {"files": example}), timeout=60) as answer:
        said = next(line for line in answer.iter_lines() if '"path"' in line)
    folder = Path(json.loads(said.removeprefix("data: "))[0][0]["file"]["path"]).parent
    page.ask("fuse", files=files, method="mertens")  # its turn comes when the other run is over
    assert 1 <= len(list(folder.iterdir())) < len([method for method in METHODS if not method.unavailable])


def test_nothing_is_written_beside_the_cache(
    page: Server, files: list[dict[str, Any]], pair: tuple[Path, Path]
) -> None:
    before = set(page.place.iterdir())
    address = "data:;base64," + base64.b64encode(pair[1].read_bytes()).decode()
    rows = page.ask("compare", files=[files[0], address], methods=["mertens"])
    added = set(page.place.iterdir()) - before
    assert added == {Path(rows[0]["file"]["path"]).parent}  # what came as an address is gone
    assert list((page.folder / "tmp").iterdir()) == []


def test_only_the_four_are_offered_and_every_argument_is_described(page: Server) -> None:
    assert set(httpx.get(f"{page.api}/info").json()["named_endpoints"]) == {"/fuse", "/compare", "/methods", "/metrics"}
    tools = {tool["name"]: tool for tool in httpx.get(f"{page.api}/mcp/schema").json()}
    assert set(tools) == {"fuse", "compare", "methods", "metrics"}
    for tool in tools.values():
        assert "Returns: " in tool["description"]
        assert all(argument["description"] for argument in tool["inputSchema"]["properties"].values())


def test_without_the_extra_everything_else_works(tmp_path: Path) -> None:
    absent = "import runpy, sys; sys.modules['mcp'] = None; runpy.run_path('app.py', run_name='__main__')"
    with served(tmp_path, "-c", absent) as server:
        assert server.ask("methods")
        assert httpx.get(f"{server.api}/mcp/schema").status_code == 404
        assert "MCP" not in server.log
        assert "Traceback" not in server.log
