"""What a visitor does on the page, for the tests that have a browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

CHROMIUM = next(filter(None, map(which, ("chromium-headless-shell", "chromium"))), None)
"""The browser. One that draws no window takes less time."""
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
METHODS = ["mertens", "mertens-torch"]
HARMLESS = ("Method not implemented.", "AbortError: signal is aborted", "Connection errored out")
"""The last two come where a page is loaded again: Gradio ends its streams so."""
PATIENCE = 60_000
"""Milliseconds in which what a test waits for happens, also on a busy machine."""

# The statistics of Gradio's queue use parts of pandas that are on their way out.
quiet_server = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("REQUIRE_CHROMIUM") != "1", reason="Chromium is not installed"
)

Open = Callable[..., Page]


def choose(page: Page, *files: Path) -> None:
    """Choose files in the place of those that are there."""
    exposures = page.locator("#tray .exposures img")
    if exposures.count():
        page.locator("#tray .clear").click()
        expect(exposures).to_have_count(0)
    page.locator("#tray input[type=file]").set_input_files(files)
    expect(exposures).to_have_count(len(files))


def settings(page: Page) -> None:
    """Open the methods and settings."""
    page.locator("#settings > button").click()
    page.locator("#methods").wait_for()


def fuse(page: Page, *files: Path) -> None:
    choose(page, *files)
    page.locator("#fuse").click()
    page.locator(".status.done").wait_for()


def tile(page: Page, name: str) -> Locator:
    return page.locator(f'.tile[data-name="{name}"]')


GRADIOS = {("scrollable-region-focusable", ".virtual-table-viewport")}
"""Findings that we cannot mend: as long as Gradio's table has no rows, only the pointer can scroll it."""


def findings(page: Page) -> list[str]:
    """Return everything that axe-core finds wrong on the page as it stands."""
    return [
        f"{rule['impact']}: {rule['help']}: {node['target']}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
        if (rule["id"], *node["target"]) not in GRADIOS
    ]
