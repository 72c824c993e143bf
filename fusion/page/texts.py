"""What the page says: a file for each language, and English for whatever a file leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

from fusion.methods import METHODS

FOLDER = Path(__file__).parent / "static" / "texts"

Texts: TypeAlias = dict[str, dict[str, str]]
"""Sentences by the part of the page that says them and a name; `{names}` in braces are filled in."""

_FILES: dict[str, Texts] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
ENGLISH = _FILES["en"]
# In English, the sentence of an option is the one that its method states.
ENGLISH["page"] |= {f"option_{option.name}_info": option.meaning for m in METHODS for option in m.options}


def complete(texts: Texts) -> Texts:
    """The same, with English in the gaps."""
    return {part: sentences | texts.get(part, {}) for part, sentences in ENGLISH.items()}


LANGUAGES: dict[str, Texts] = {language: complete(texts) for language, texts in _FILES.items()}
"""By the tag that a browser sends, such as `de` or `zh-CN`."""


def preferred(accepted: str | None) -> Texts:
    """The texts for a visitor, from what the browser sends as `Accept-Language`.

    Chosen as Gradio chooses for its own words: the first language, with or without its region, else English.
    """
    first = (accepted or "").split(",")[0].split(";")[0].strip()
    return LANGUAGES.get(first) or LANGUAGES.get(first.split("-")[0], ENGLISH)


def labels() -> dict[str, dict[str, str]]:
    """What `gr.I18n` is given: the words of Gradio's own components, which the browser chooses, as `page.name`."""
    return {
        language: {f"page.{name}": sentence for name, sentence in texts["page"].items()}
        for language, texts in LANGUAGES.items()
    }
