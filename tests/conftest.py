"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Several processes share the cores, and threads that wait for a core of their own stop one another. This is read once,
# when torch is loaded, and by the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from fusion.io.image import save
from tests.shared_session import SESSION, load

if TYPE_CHECKING:  # only the tests of the page need a browser
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize

    from fusion.page.services import Services
    from tests.visitor import Open

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes of 96 x 80 in the layout `<scene>/*_A.png`, `*_B.png`."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = torch.Generator().manual_seed(0)
    for index in range(6):
        scene = folder / f"scene{index}"
        scene.mkdir()
        coarse = torch.rand(1, 3, 12, 10, generator=rng)
        picture = torch.nn.functional.interpolate(coarse, (96, 80), mode="bicubic")[0].clamp(0, 1)
        save(picture * 0.3, scene / f"{index}_A.png")
        save(picture * 0.6 + 0.4, scene / f"{index}_B.png")
    return folder


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corner of an example, so small that metrics take no time."""
    folder = tmp_path_factory.mktemp("pair")
    paths = folder / "under.png", folder / "over.png"
    for path in paths:
        save(load(ROOT / "examples" / "courtyard" / path.name).photo[:, 100:340, 100:420], path)
    return paths


@pytest.fixture(scope="module")
def report() -> Path | None:
    """The benchmark's report that the page shows. A file of tests may show another one."""
    return None


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, report: Path | None) -> Iterator[Services]:
    """What the page's handlers share. A test may change how it fuses and what it remembers."""
    from fusion.page.job_queue import JobQueue
    from fusion.page.services import Services, compare_with

    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield Services(SESSION, compare_with(SESSION), JobQueue(folder), report)


@pytest.fixture(scope="module")
def address(services: Services) -> Iterator[str]:
    """The address of a page that this process serves."""
    from fusion.page import layout, server
    from fusion.page.middleware import Guard

    demo = layout.build(services)
    _, url, _ = demo.launch(
        prevent_thread_lock=True,
        server_name="127.0.0.1",
        server_port=None,
        quiet=True,
        **server.launch_settings(services, Guard(services.queue)),
    )
    yield url
    demo.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    from tests.visitor import CHROMIUM, FLAGS, PATIENCE

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    """Open a page with only the two small methods ticked, unless a link asks for others.

    `beside` another page, it shares that one's browser. A request to another server, or an error in the console, fails
    the test.
    """
    from tests.visitor import HARMLESS, METHODS, PATIENCE, settings

    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in HARMLESS):
            complaints.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            complaints.append(f"request to {request.url}")

    def crashed(error: Exception) -> None:
        if not any(text in str(error) for text in HARMLESS):
            complaints.append(str(error))

    pages: list[Page] = []

    def open_(
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        query: str = "",
        *,
        touch: bool = False,
        locale: str = "en-GB",
        beside: Page | None = None,
    ) -> Page:
        size: ViewportSize = {"width": width, "height": height}
        context = (
            beside.context
            if beside
            else browser.new_context(viewport=size, has_touch=touch, is_mobile=touch, locale=locale)
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", heard)
        page.on("request", asked)
        page.on("pageerror", crashed)
        page.goto(f"{address}?__theme={theme}{query}")
        page.locator("#strip [data-index]").first.wait_for()
        settings(page)
        if not query:
            for box in page.locator("#methods input").all():
                box.set_checked(box.get_attribute("name") in METHODS)
        pages.append(page)
        return page

    yield open_
    for context in {page.context for page in pages}:
        context.close()
    assert complaints == []
