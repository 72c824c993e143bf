"""The page's JavaScript, as modules that the browser fetches from this server.

    modules/<hash>/page/static/sheet.js   imports "./region.js", and "../../static/zoom.js", which is
    modules/<hash>/static/zoom.js

Addresses mirror this package's folders, so that an import names the same file for the browser and for the type check.
The hash is of all modules, so a browser may keep what it has fetched: a change of any of them changes every address.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = Path(__file__).parent / "static"
SHARED = PAGE.parents[1] / "static"
"""What a report and a study use as well."""


def _modules() -> dict[str, bytes]:
    """Every module by its path in this package."""
    files = [path for folder in (PAGE, SHARED) for path in sorted(folder.glob("*.js"))]
    return {path.relative_to(SHARED.parent).as_posix(): path.read_bytes() for path in files}


def address() -> str:
    """The address of the modules, relative to that of the page."""
    found = hashlib.sha256()
    for path, content in _modules().items():
        found.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(content).digest())
    return f"modules/{found.hexdigest()[:16]}"


def start(module: str, *events: str) -> str:
    """The script of a component (`js_on_load`): start a module with what Gradio hands to the component.

    `events` are those that the module triggers, since Gradio looks for their names in this script.
    """
    url = f'new URL("{address()}/page/static/{module}", document.baseURI)'
    named = f" // {', '.join(map(repr, events))}" if events else ""
    return f"import({url}).then(({{ start }}) => start({{ element, props, trigger, watch }}));{named}"


def route() -> Route:
    """The route that serves the modules as they are now."""
    modules = _modules()

    def serve(request: Request) -> Response:
        content = modules.get(request.path_params["path"])
        if content is None:
            return Response("Not Found", 404)
        kept = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(content, headers=kept, media_type="text/javascript")

    return Route(f"/{address()}/{{path:path}}", serve)
