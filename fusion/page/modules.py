"""The page's JavaScript, as modules that the browser fetches from this server.

    modules/<hash>/page/static/sheet.js   imports "./region.js", and "../../static/zoom.js", which is
    modules/<hash>/static/zoom.js

Addresses mirror this package's folders, so that an import names the same file for the browser and for the type check.
The hash is of all modules, so a browser may keep what it has fetched: a change of any of them changes every address.
"""

from __future__ import annotations

import hashlib
from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(__file__).parent / "static"
SHARED = PAGE.parents[1] / "static"
"""What a report and a study use as well."""


def address() -> str:
    """Where the modules are, from the page's address."""
    found = hashlib.sha256()
    for path in sorted([*PAGE.glob("*.js"), *SHARED.glob("*.js")]):
        found.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return f"modules/{found.hexdigest()[:16]}"


def start(module: str) -> str:
    """The script of a component (`js_on_load`): start a module with what Gradio hands to the component."""
    url = f'new URL("{address()}/page/static/{module}", document.baseURI)'
    return f"import({url}).then(({{ start }}) => start({{ element, props, trigger, watch }}));"


def routes() -> list[BaseRoute]:
    """What serves the modules."""
    folders = {"page/static": PAGE, "static": SHARED}
    return [Mount(f"/{address()}/{path}", _Kept(directory=folder)) for path, folder in folders.items()]


class _Kept(StaticFiles):
    """Files that a browser need not ask for again."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Starlette's, to be kept for a year."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
