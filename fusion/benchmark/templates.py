"""The templates of a report and a study. Their pages load nothing but pictures that lie beside them.

Browsers load no module file for a page that was opened from the disk. So a page carries the module that it starts, and
in that module, every `from "./other.js"` names a data: address in place of the file. It holds the other module itself.
"""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
SHARED = STATIC.parents[1] / "static"
"""What the page uses as well."""


def rendered(template: str, **values: Any) -> str:
    """Fill a template with `values`, which are escaped."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(STATIC), PrefixLoader({"shared": FileSystemLoader(SHARED)})]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )

    def script(name: str) -> Markup:
        return Markup(self_contained(STATIC / name))  # noqa: S704  # the file is ours

    return environment.get_template(template).render(values, module=script)


def self_contained(module: Path) -> str:
    """The text of a JavaScript module, in which every module that it imports is a data: address."""

    def address(match: re.Match[str]) -> str:
        return data_address(module.parent / match[1])

    return re.sub(r'(?<= from ")(\.[^"]+)(?=";)', address, module.read_text(encoding="utf-8"))


def data_address(module: Path) -> str:
    """A module, with all that it imports, as a data: address."""
    return "data:text/javascript;base64," + b64encode(self_contained(module).encode()).decode()
