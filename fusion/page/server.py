"""The web process around Gradio: what it takes, what it answers with, what it writes down, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from fusion.page import modules, prometheus
from fusion.page.job_queue import Line, RefusedError, check_room

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Any]
Send: TypeAlias = Callable[[Message], Any]

FILE_BYTES = 100_000_000
"""Of one upload."""
UPLOAD_BYTES = 2 * FILE_BYTES + 16_000_000
"""Of one request that uploads."""
BODY_BYTES = 1_000_000
"""Of any other."""
PATIENCE = 20
"""Seconds that any body may take, and a large one a second more for every `SLOWEST` bytes that have come."""
SLOWEST = 20_000
DRAIN = 20
"""Seconds that running jobs, and what is on its way to visitors, are given when the process is told to end."""

_TICK = 0.25
"""Seconds between two looks at whether the process is told to end, and then at whether all is done."""

# Gradio writes scripts into its page, and builds functions of our templates. Hugging Face shows the page in a frame.
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
)
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
# A report's pages carry their scripts, which hold imported modules as data: addresses, and their pictures lie beside
# them; the page shows them in a frame.
_REPORT_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; "
    "sandbox allow-scripts allow-downloads allow-popups; frame-ancestors 'self' https://huggingface.co https://*.hf.space"
)
BENCHMARK = "/benchmark"
"""Where a benchmark's report is served."""
_FILE = "/gradio_api/file"
_UPLOAD = "/gradio_api/upload"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")  # two letters at least: C: is a drive
_ADDRESSED = re.compile(r"/(?:file=|file/|proxy=)\s*[a-zA-Z][a-zA-Z0-9+.-]+:|/proxy=")
_requests = logging.getLogger("page.requests")


class _Refusal(Exception):  # noqa: N818
    """An answer other than Gradio's."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        prometheus.REFUSALS.labels(code).inc()


class Guard:
    """ASGI middleware: bounds what comes in, adds headers to what goes out, and writes one line about both."""

    def __init__(self, app: Any, line: Line) -> None:
        self.app = app
        self.line = line
        self.loading = 0
        """Requests that are not yet answered, beside the one that every open page has as long as it is open."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, sent = time.monotonic(), 0, 0

        async def answer(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *_headers(scope["path"])]}
            sent += len(message.get("body", b""))
            await send(message)

        lasting = "/heartbeat/" in scope["path"]
        self.loading += not lasting
        try:
            await self._answer(scope, receive, answer)
        except _Refusal as refusal:
            if not status:
                await _say(answer, refusal.status, json.dumps({"detail": str(refusal)}).encode(), "application/json")
        except Exception:  # noqa: BLE001  # Starlette has answered, if it could
            note_defect()
            if not status:
                await _say(answer, 500, b"Internal Server Error")
        finally:
            self.loading -= not lasting
            prometheus.REQUESTS.labels(status or "none").inc()
            _requests.info(
                json.dumps(
                    {
                        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                        "method": scope["method"] if scope["method"] in _METHODS else "other",
                        "route": getattr(scope.get("route"), "path", "other"),
                        "status": status,
                        "seconds": round(time.monotonic() - began, 3),
                        "bytes": sent,
                    }
                )
            )

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/healthz":
            scope["route"] = _Route(path)
            well = not (self.line.closed or self.line.stuck)
            await _say(send, 200 if well else 503, b"ok\n" if well else b"closing or stuck\n")
        elif path == "/metrics":
            scope["route"] = _Route(path)
            await _say(send, 200, prometheus.text(), "text/plain; version=0.0.4; charset=utf-8")
        elif _ADDRESSED.search(path):
            raise _Refusal(403, "address", "The page fetches nothing from other addresses.")
        elif path.rstrip("/") == _UPLOAD:
            try:
                check_room(self.line.folder)
            except RefusedError as refused:
                raise _Refusal(507, "upload", str(refused)) from refused
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, _Replayed(await _whole(scope, receive), receive), send)

    async def _upload(self, scope: Message, receive: Receive, send: Send) -> None:
        """Gradio's answer to an upload, unless that turns out too long or too slow while it is read."""
        body, refusal = _Body(scope, receive, UPLOAD_BYTES), None

        async def bounded() -> Message:
            nonlocal refusal
            try:
                return await body()
            except _Refusal as error:
                refusal = error
                # The one error after which Gradio's parser removes what it has written.
                from starlette.formparsers import MultiPartException

                raise MultiPartException("refused") from error

        async def unless_refused(message: Message) -> None:
            if refusal:
                raise refusal
            await send(message)

        try:
            await self.app(scope, bounded, unless_refused)
        except Exception:
            if refusal:
                raise refusal from None
            raise


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class _Route:
    """What Starlette notes of its own routes."""

    def __init__(self, path: str) -> None:
        self.path = path


class _Body:
    """A request's body as it comes, bounded in length and in time."""

    def __init__(self, scope: Message, receive: Receive, limit: int) -> None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self.receive = receive
        self.limit = limit
        self.began = time.monotonic()
        self.length = 0
        self.over = False
        if not announced.isdigit() or int(announced) > limit:
            raise self._too_long()

    async def __call__(self) -> Message:
        if self.over:  # what comes now is that the visitor has left
            return await self.receive()
        left = self.began + PATIENCE + self.length / SLOWEST - time.monotonic()
        try:
            message: Message = await asyncio.wait_for(self.receive(), max(left, 0.01))
        except asyncio.TimeoutError:
            raise _Refusal(408, "slow", "The request came too slowly; try again with a better connection.") from None
        self.length += len(message.get("body", b""))
        if self.length > self.limit:
            raise self._too_long()
        self.over = not message.get("more_body", False)
        return message

    def _too_long(self) -> _Refusal:
        return _Refusal(413, "length", f"The request is too large; at most {self.limit / 1e6:g} MB are taken at once.")


async def _whole(scope: Message, receive: Receive) -> bytes | None:
    """The whole body, where it is short enough and names no address to fetch files from; None where it broke off."""
    body, parts = _Body(scope, receive, BODY_BYTES), list[bytes]()
    if scope["method"] in ("GET", "HEAD"):
        return b""
    while not body.over:
        message = await body()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    data = b"".join(parts)
    if data and _names_an_address(data):
        raise _Refusal(422, "address", "The page fetches nothing from other addresses; upload the photographs instead.")
    return data


def _names_an_address(data: bytes) -> bool:
    """Whether a file in this JSON lies at an address: Gradio would fetch it."""
    try:
        values = [json.loads(data)]
    except (ValueError, RecursionError):
        return False  # Gradio refuses it as well
    while values:
        value = values.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and _SCHEME.match(path.strip()):
                return True
            values += value.values()
        elif isinstance(value, list):
            values += value
    return False


class _Replayed:
    """`receive` for a body that was read before."""

    def __init__(self, body: bytes | None, receive: Receive) -> None:
        self.body = body
        self.receive = receive

    async def __call__(self) -> Message:
        body, self.body = self.body, None
        if body is None:
            return await self.receive()
        return {"type": "http.request", "body": body, "more_body": False}


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    policies = {_FILE: _FILE_POLICY, f"{BENCHMARK}/": _REPORT_POLICY}
    policy = next((policies[start] for start in policies if path.startswith(start)), _PAGE_POLICY)
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _say(send: Send, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    if status >= 400:
        headers.append((b"connection", b"close"))  # the rest of a body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def settings(guards: list[Guard], line: Line, report: Path | None) -> dict[str, Any]:
    """What `launch` is given for a page that anyone may visit; `guards` gets the one that stands before it.

    The folder `report` is served as it is.
    """
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.staticfiles import StaticFiles

    routes = [modules.route()]
    if report:
        files = StaticFiles(directory=report)

        # A route and not a mount, which finds no file where a proxy takes the root path off the address.
        async def reported(request: Request) -> Response:
            return await files.get_response(os.path.normpath(request.path_params["path"]), request.scope)

        routes.append(Route(f"{BENCHMARK}/{{path:path}}", reported))

    @asynccontextmanager
    async def guarded(app: Any) -> AsyncGenerator[None, None]:
        app.router.routes[:0] = routes  # before Gradio's, some of which take any path
        # Given as middleware, it would stand behind Gradio's own, and not see what those answer.
        guards.append(Guard(app.middleware_stack, line))
        app.middleware_stack = guards[-1]
        yield

    return {
        "app_kwargs": {"lifespan": guarded},
        "max_file_size": FILE_BYTES,
        # As many as may follow a job; all but a few of them wait for it.
        "max_threads": 128,
        # Gradio keeps a copy of the page's description for each; who was not seen for longest makes room.
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


def serve(launch: Callable[..., Any], close: Callable[[], Any], guards: list[Guard], line: Line) -> None:
    """Serve until told to end by SIGTERM, then finish what runs, for `DRAIN` seconds; a second SIGTERM ends at once."""

    def end(*_: object) -> None:
        if line.closed:
            os._exit(143)
        line.close()

    signal.signal(signal.SIGTERM, end)
    launch(prevent_thread_lock=True)
    try:
        # The system may hand a signal to any thread, but Python calls `end` in this one, once it wakes.
        while not line.closed:
            time.sleep(_TICK)
        until = time.monotonic() + DRAIN
        quiet = 0
        # Browsers ask for the pictures a moment after they are told of them.
        while time.monotonic() < until and quiet < 4:
            time.sleep(_TICK)
            quiet = quiet + 1 if line.idle and not any(guard.loading for guard in guards) else 0
    except KeyboardInterrupt:
        pass
    close()


def log_plainly() -> None:
    """Write requests as lines of JSON, and defects without what they say: that may hold paths, or a file's name."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_WithoutMessages("%(message)s"))
    _requests.addHandler(handler)
    _requests.setLevel(logging.INFO)
    _requests.propagate = False
    defects = logging.StreamHandler()
    defects.setFormatter(_WithoutMessages("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(defects)

    # Gradio prints whatever a handler or a request raised.
    from gradio import queueing, routes

    queueing.traceback = routes.traceback = _Traceback  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]


class _WithoutMessages(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802
        return where(ei[1])


class _Traceback:
    """In place of the module, for those who print."""

    @staticmethod
    def print_exc(*_: object) -> None:
        """What went wrong where."""
        note_defect()


def note_defect() -> None:
    """Log the exception that is being handled."""
    error = sys.exc_info()[1]
    if error:
        logging.getLogger(__name__).error("a request failed: %s", where(error))


def where(error: BaseException) -> str:
    """The kind of an error, and the lines of code that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
