"""The page in German and Chinese: nothing English is left where a translation is, and nothing grows too wide."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fusion.methods import method_named
from fusion.page import examples, layout, views
from fusion.page.gallery import Run, Stage, Tile
from fusion.page.run_cache import RunCache
from fusion.page.services import Services
from fusion.page.texts import ENGLISH, FOLDER, LANGUAGES, Texts, complete, preferred
from fusion.pipeline import Event, Running
from fusion.settings import Settings
from tests.shared_session import SESSION
from tests.visitor import Open, choose, findings, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server

TRANSLATED = sorted(set(LANGUAGES) - {"en"})
LOCALES = [("de-DE", "de"), ("zh-CN", "zh-CN")]
TOOLS = ["difference", "histogram", "region", "weights", "vote"]
MARKUP = {("sheet", "hint")}
"""The only sentence with tags: its template takes it as it is."""


def seen(page: Page) -> set[str]:
    """Every text on the page, and every name that only a screen reader tells."""
    texts: list[str] = page.evaluate(
        """() => {
            const found = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const { data, parentElement } = walker.currentNode;
                if (!parentElement.closest("script, style")) found.push(data);
            }
            for (const node of document.body.querySelectorAll("*"))
                for (const name of ["aria-label", "title", "alt", "placeholder", "data-copied"])
                    if (node.hasAttribute(name)) found.push(node.getAttribute(name));
            return found;
        }"""
    )
    return {" ".join(text.split()) for text in texts} - {""}


def pattern(sentence: str) -> re.Pattern[str]:
    """What a sentence looks like with anything in the place of its {names}."""
    return re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(sentence)))


def leftovers(texts: set[str], language: Texts) -> list[str]:
    """What stands on the page in English although the language says it in another way."""
    return [
        text
        for part, sentences in ENGLISH.items()
        for name, sentence in sentences.items()
        for text in texts
        if sentence != language[part][name] and pattern(sentence).fullmatch(text)
    ]


@needs_chromium
@pytest.mark.parametrize(("locale", "language"), LOCALES)
def test_the_page_speaks_the_browsers_language(
    open_page: Open,
    services: Services,
    pair: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
    language: str,
) -> None:
    gate = threading.Event()

    def events(files: list[str], methods: list[str], settings: Settings, **_: bool) -> Iterator[Event]:
        for event in SESSION.compare(files, methods, settings):
            if isinstance(event, Running) and event.method.name == methods[-1]:
                assert gate.wait(30)
            yield event

    monkeypatch.setattr(services, "compare", events)
    monkeypatch.setattr(services, "runs", RunCache())
    text = LANGUAGES[language]
    page = open_page(locale=locale)
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("#fuse")).to_have_text(text["page"]["fuse"])
    expect(page.locator("#tray")).to_contain_text(text["tray"]["choose"])
    expect(page.locator("#align")).to_contain_text(text["page"]["align_info"])
    expect(page.locator(".masthead")).to_contain_text(text["page"]["tagline"])
    press = text["examples"]["press"].format(title=text["examples"]["courtyard"])
    expect(page.get_by_role("button", name=press)).to_be_visible()
    page.locator("#fuse").click()
    expect(page.locator(".status.problem")).to_have_text(text["status"]["no_pair"])
    assert leftovers(seen(page), text) == []

    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()
    expect(tile(page, "mertens-torch").locator(".place")).to_have_text(text["tile"]["waiting"])
    expect(page.locator(".viewer .what")).to_contain_text("Mertens")
    gate.set()
    page.locator(".status.done").wait_for()
    expect(page.locator("#zip")).to_be_enabled()

    page.locator("[data-tool=difference]").click()
    expect(tile(page, "mertens").locator(".measure")).to_have_text(text["difference"]["reference"])
    tile(page, "under").scroll_into_view_if_needed()
    expect(tile(page, "under").locator(".measure")).to_have_text(pattern(text["difference"]["apart"]))
    for tool in ("histogram", "region"):
        page.locator(f"[data-tool={tool}]").click()
        assert leftovers(seen(page), text) == []
    expect(page.locator(".progress")).to_have_text(pattern(text["region"]["made"] + " "))
    page.locator("[data-tool=vote]").click()
    expect(page.locator(".tally")).to_have_text(f"{text['vote']['several']} {text['vote']['kept']}".format(count=0))
    page.locator("[data-vote='1']").click()
    expect(page.locator(".tally")).to_have_text(f"{text['vote']['one']} {text['vote']['kept']}")

    page.locator("[data-tool=weights]").click()
    expect(tile(page, "mertens").locator(".measure")).to_have_text(pattern(text["weights"]["shares"]))
    page.locator("#options button").first.click()
    expect(page.locator("#mertens-sigma")).to_contain_text(text["page"]["option_sigma_info"])

    page.locator("#about button").first.click()
    expect(page.locator("#about")).to_contain_text(text["about"]["privacy_text"])
    texts = seen(page)
    assert leftovers(texts, text) == []
    assert not [one for one in texts if "undefined" in one or "__i18n__" in one or one.startswith("page.")]


def test_leftovers_are_found() -> None:
    texts = {"Fuse", "Fused with Mertens", "Vereinen"}
    assert sorted(leftovers(texts, LANGUAGES["de"])) == ["Fuse", "Fused with Mertens"]
    assert leftovers(texts, ENGLISH) == []


@needs_chromium
def test_a_stranger_is_spoken_to_in_english(open_page: Open) -> None:
    page = open_page(locale="fr-FR")
    expect(page.locator("#fuse")).to_have_text("Fuse")
    expect(page.get_by_role("button", name="Try the example Courtyard")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")


@needs_chromium
@pytest.mark.parametrize(("locale", "language"), LOCALES)
def test_long_words_fit_a_phone(open_page: Open, pair: tuple[Path, Path], locale: str, language: str) -> None:
    page = open_page(width=390, height=844, touch=True, locale=locale)
    cut_off = """[...document.querySelectorAll(".masthead p, button, label, select, summary, h2, .section p, .panel p")]
        .filter(e => !e.closest("#strip, #table") && e.getBoundingClientRect().right > innerWidth + 0.5)
        .map(e => e.textContent)"""
    wider = "document.documentElement.scrollWidth - innerWidth"
    fuse(page, *pair)
    for tool in TOOLS:
        page.locator(f"[data-tool={tool}]").tap()
        expect(page.locator(f"section[data-panel={tool}]")).to_be_visible()
        assert page.evaluate(cut_off) == []
        assert page.evaluate(wider) <= 0
    page.locator(".ranking summary").tap()
    page.locator("#about button").first.tap()
    expect(page.locator("#about")).to_contain_text(LANGUAGES[language]["about"]["limits"])
    assert page.evaluate(cut_off) == []
    assert page.evaluate(wider) <= 0


@needs_chromium
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_in_german(open_page: Open, pair: tuple[Path, Path], width: int) -> None:
    page = open_page(width=width, locale="de-DE")
    page.add_style_tag(content="* { transition: none !important }")  # or colours between two are looked at
    assert findings(page) == []
    fuse(page, *pair)
    expect(page.locator("#zip")).to_be_enabled()
    page.locator("#about button").first.click()
    for tool in TOOLS:
        page.locator(f"[data-tool={tool}]").click()
        assert findings(page) == []


# Without a browser.


def keys(texts: Texts) -> set[tuple[str, str]]:
    return {(part, name) for part, sentences in texts.items() for name in sentences}


def read(language: str) -> Texts:
    return json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_says_everything(language: str) -> None:
    own = read(language)
    assert keys(own) == keys(ENGLISH)
    for part, name in keys(ENGLISH):
        told = [sorted(re.findall(r"\{\w+\}", texts[part][name])) for texts in (ENGLISH, own)]
        assert told[0] == told[1], f"{part}.{name} leaves something out"
        assert own[part][name].strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_never_code(language: str) -> None:
    # A filled template is a JavaScript template literal, and HTML.
    for part, sentences in read(language).items():
        for name, sentence in sentences.items():
            plain = re.sub(r"\{\w+\}", "", sentence)
            assert not re.search(r"[`$\\{}]", plain), f"{part}.{name}"
            if (part, name) in MARKUP:
                plain = re.sub(r"</?(?:b|kbd)>", "", plain)
            assert not re.search(r"[<>&]", plain), f"{part}.{name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_names_its_language(language: str) -> None:
    assert read(language)["page"]["language"] == language


def test_what_a_language_leaves_out_is_english() -> None:
    texts = complete({"page": {"fuse": "Smelt"}})
    assert keys(texts) == keys(ENGLISH)
    assert texts["page"]["fuse"] == "Smelt"
    assert texts["page"]["stop"] == ENGLISH["page"]["stop"]
    assert texts["vote"] == ENGLISH["vote"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("de", "de"),
        ("zh-CN,zh;q=0.9", "zh-CN"),
        ("zh-TW,zh-CN;q=0.9", "en"),  # Gradio looks at the first alone
        ("fr-FR,de;q=0.9", "en"),
        ("*/*", "en"),
        ("../de", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_first_language_counts(accepted: str | None, language: str) -> None:
    assert preferred(accepted)["page"]["language"] == language


def test_every_word_of_gradios_components_is_translated(services: Services) -> None:
    found: set[str] = set()
    for block in layout.build(services).blocks.values():
        if type(block).__name__ == "Api":  # what a program gives
            continue
        shown = [getattr(block, name, None) for name in ("label", "info", "placeholder")]
        for word in map(str, filter(None, shown)):
            key = re.fullmatch(r'__i18n__\{"__type__": "translation_metadata", "key": "page\.(\w+)"\}', word)
            assert key, f"{word!r} is not in fusion/page/texts"
            assert key[1] in ENGLISH["page"]
            found.add(key[1])
    assert {"settings", "methods", "align", "align_info", "about"} <= found


@pytest.mark.parametrize("language", TRANSLATED)
def test_examples_and_states_have_names(language: str) -> None:
    text = LANGUAGES[language]
    assert {example.name for example in examples.shipped()} <= set(text["examples"])
    tiles = Tile("under"), Tile("moved", share=0.021), Tile("over-iat"), Tile("mertens", "Mertens")
    run = Run(Path(), (method_named("mertens"),), tiles, (2000, 3000))
    rows = views.sheet(run.ended(Stage.STOPPED), [], text)["rows"]
    stopped = [tile for row in rows for tile in row["tiles"]]
    assert {tile["place"] for tile in stopped} == {text["tile"]["stopped"]}
    assert [tile["title"] for tile in stopped] == ["Mertens", *map(text["tile"].get, ("under", "moved", "over"))]
    share = text["tile"]["moved_share"].format(percent="2.1")
    assert [tile["subtitle"] for tile in stopped] == ["", text["tile"]["photograph"], share, "IAT"]
    progress = {views.status(replace(run, stage=stage), text)["text"] for stage in Stage}
    assert len(progress) == len(Stage)
    assert not leftovers(progress, text)
