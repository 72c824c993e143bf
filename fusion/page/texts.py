"""The page's texts: a file for each language, with English for whatever a file leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

from fusion.methods import METHODS

FOLDER = Path(__file__).parent / "static" / "texts"

Texts: TypeAlias = dict[str, dict[str, str]]
"""Sentences by the part of the page that shows them and by a name. `{names}` in braces are filled in."""

_FILES: dict[str, Texts] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
ENGLISH = _FILES["en"]
# In English, the sentence of an option is the one that its method states.
ENGLISH["page"] |= {f"option_{option.name}_info": option.meaning for m in METHODS for option in m.options}


def complete(texts: Texts) -> Texts:
    """Fill the gaps of a language with English."""
    return {part: sentences | texts.get(part, {}) for part, sentences in ENGLISH.items()}


LANGUAGES: dict[str, Texts] = {language: complete(texts) for language, texts in _FILES.items()}
"""Texts by the tag of the language that a browser sends, such as `de` or `zh-CN`."""


def preferred(accepted: str | None) -> Texts:
    """Return the texts for a visitor whose browser sends this `Accept-Language`.

    Gradio chooses for its own words in the same way: the first language, with or without its region, else English.
    """
    first = (accepted or "").split(",")[0].split(";")[0].strip()
    return LANGUAGES.get(first) or LANGUAGES.get(first.split("-")[0], ENGLISH)


def labels() -> dict[str, dict[str, str]]:
    """Return the texts of Gradio's own components, named `page.name`, as `gr.I18n` takes them."""
    return {
        language: {f"page.{name}": sentence for name, sentence in texts["page"].items()}
        for language, texts in LANGUAGES.items()
    }
