"""The page's JavaScript: where the modules are served, and that they compute what Python computes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette

from fusion.benchmark import bradley_terry
from fusion.benchmark.templates import data_address
from fusion.page import modules
from tests.visitor import needs_chromium


def got(path: str, root_path: str = "") -> httpx.Response:
    """The answer to a request, which a proxy may have taken the root path off."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=[modules.route()]), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.get(path)

    return asyncio.run(get())


@pytest.mark.parametrize("root_path", ["", "/app"])
@pytest.mark.parametrize("path", ["page/static/sheet.js", "static/zoom.js"])
def test_a_module_is_served_once_and_for_all(path: str, root_path: str) -> None:
    for prefix in {"", root_path}:
        answer = got(f"{prefix}/{modules.address()}/{path}", root_path)
        assert answer.status_code == 200
        assert answer.content == (modules.SHARED.parent / path).read_bytes()
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["", "page/static/sheet.html", "page/static/texts/en.json", "page/server.py", "page/static/%2e%2e/api.py"]
)
def test_nothing_but_modules_is_served(path: str) -> None:
    answer = got(f"/{modules.address()}/{path}")
    assert answer.status_code == 404
    assert "cache-control" not in answer.headers  # another server may have it, as while a new version is rolled out


def test_an_earlier_address_leads_nowhere() -> None:
    assert got("/modules/0123456789abcdef/page/static/sheet.js").status_code == 404


@pytest.mark.parametrize("changed", ["page/static/vote.js", "static/zoom.js"])
def test_a_change_of_any_module_changes_every_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str
) -> None:
    root = modules.SHARED.parent
    for name, folder in (("PAGE", modules.PAGE), ("SHARED", modules.SHARED)):
        copy = tmp_path / folder.relative_to(root)
        shutil.copytree(folder, copy)
        monkeypatch.setattr(modules, name, copy)
    before = modules.address()
    assert before in modules.start("sheet.js")
    with (tmp_path / changed).open("a") as file:
        file.write("// changed\n")
    assert modules.address() != before


@needs_chromium
def test_the_page_and_a_study_rank_the_same_votes_alike(browser: Browser) -> None:
    rng = np.random.default_rng(5)
    votes = [rng.integers(0, high, (methods, methods)) / 2 for methods, high in [(2, 3), (3, 9), (5, 60), (13, 200)]]
    votes.append(np.array([[0, 40], [0, 0.0]]))  # always chosen
    votes.append(np.array([[0, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 3], [0, 0, 1, 0.0]]))  # two groups that never met
    page = browser.new_page()
    strengths = "async ([module, won]) => (await import(module)).strengths(won)"
    for won in votes:
        np.fill_diagonal(won, 0)
        found = page.evaluate(strengths, [data_address(modules.PAGE / "bradley_terry.js"), won.tolist()])
        assert found == pytest.approx(bradley_terry.strengths(won.astype(np.float64)), rel=1e-9)
    page.close()
