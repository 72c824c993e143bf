"""How the page's process starts to serve, and how it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from fusion.page import environment, gradio_internals, layout, logs, modules, upload_dir
from fusion.page.middleware import LIMITS, REPORT, Guard
from fusion.page.services import Services

DRAIN = 20
"""Seconds that running jobs, and answers on their way to visitors, are given when the process is told to end."""

_TICK = 0.25
"""Seconds between two checks of whether the process is told to end, and then of whether all is done."""


def launch_settings(services: Services, guard: Guard) -> dict[str, Any]:
    """Arguments of `Blocks.launch` for a page that anyone may visit; `guard` stands before Gradio."""

    @asynccontextmanager
    async def guarded(app: Any) -> AsyncGenerator[None, None]:
        own = [modules.route()]
        if services.report:
            own.append(_report_route(services.report))
        app.router.routes[:0] = own  # before Gradio's, some of which take any path
        # A middleware that Gradio is given stands behind Gradio's own, and does not see what those answer.
        app.middleware_stack = guard.before(app.middleware_stack)
        yield

    return {
        **layout.appearance(),
        "app_kwargs": {"lifespan": guarded},
        "favicon_path": modules.PAGE / "icon.svg",
        "mcp_server": find_spec("mcp") is not None,
        "max_file_size": LIMITS.file,
        # Each follower of a job takes a thread, and most of them only wait.
        "max_threads": 128,
        # Gradio keeps a copy of the page's description for each visitor; the one not seen for longest makes room.
        "state_session_capacity": 256,
        "show_error": False,
        "share": False,
        "allowed_paths": [],
        "strict_cors": True,
        "enable_monitoring": False,
        "ssr_mode": False,
        "run_history": False,
        "footer_links": [],
    }


def _report_route(folder: Path) -> Route:
    """Make the route that serves a report's files.

    It is a route and not a mount, which finds no file where a proxy takes the root path off the address.
    """
    files = StaticFiles(directory=folder)

    async def reported(request: Request) -> Response:
        return await files.get_response(os.path.normpath(request.path_params["path"]), request.scope)

    return Route(f"{REPORT}/{{path:path}}", reported)


def serve(services: Services, host: str, port: int) -> None:
    """Serve the page until SIGTERM or Ctrl-C ends it.

    After SIGTERM, what runs is finished, for up to `DRAIN` seconds. A second SIGTERM ends the process at once.
    """
    queue, guard = services.queue, Guard(services.queue)
    demo = layout.build(services)
    logs.configure()
    gradio_internals.log_without_messages()
    upload_dir.sweep_regularly(services.folder)
    if not environment.gpu_is_lent():  # otherwise there is no GPU to warm up
        Thread(target=services.session.warm_up, daemon=True).start()

    def end(*_: object) -> None:
        if queue.closed:
            os._exit(143)
        queue.close()

    signal.signal(signal.SIGTERM, end)
    demo.launch(prevent_thread_lock=True, server_name=host, server_port=port, **launch_settings(services, guard))
    try:
        # The system may hand a signal to any thread, but Python calls `end` in this one, once it wakes.
        while not queue.closed:
            time.sleep(_TICK)
        _drain(services, guard)
    except KeyboardInterrupt:
        pass
    demo.close()


def _drain(services: Services, guard: Guard) -> None:
    """Wait until nothing runs and nobody loads, for up to `DRAIN` seconds."""
    until = time.monotonic() + DRAIN
    quiet = 0
    # Browsers ask for the pictures a moment after they are told of them.
    while time.monotonic() < until and quiet < 4:
        time.sleep(_TICK)
        quiet = quiet + 1 if services.queue.idle and not guard.loading else 0
