"""The ASGI middleware before Gradio: it bounds requests, refuses addresses, adds headers and writes the log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.formparsers import MultiPartException

from fusion.page.job_queue import JobQueue, RefusedError
from fusion.page.logs import REQUESTS, note_defect

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Any]
Send: TypeAlias = Callable[[Message], Any]


@dataclass(frozen=True)
class Limits:
    """Limits on how large a request may be, in bytes, and how slowly it may come."""

    file: int = 100_000_000
    """One uploaded file."""
    upload: int = 2 * 100_000_000 + 16_000_000
    """One request that uploads files."""
    body: int = 1_000_000
    """Any other request."""
    seconds: float = 20
    """How long a body may take. A large one may take a second more for every `bytes_per_second` that have come."""
    bytes_per_second: float = 20_000


LIMITS = Limits()

# Gradio writes scripts into its page and compiles our templates to functions. Hugging Face shows the page in a frame.
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
)
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
# A report's pages contain their scripts, and the modules that these import as data: addresses. Their pictures lie
# beside them. The page shows them in a frame.
_REPORT_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; "
    "sandbox allow-scripts allow-downloads allow-popups; frame-ancestors 'self' https://huggingface.co https://*.hf.space"
)
REPORT = "/benchmark"
"""The path at which a benchmark's report is served."""
_FILE = "/gradio_api/file"
_UPLOAD = "/gradio_api/upload"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")  # two letters at least: C: is a drive
_ADDRESSED = re.compile(r"/(?:file=|file/|proxy=)\s*[a-zA-Z][a-zA-Z0-9+.-]+:|/proxy=")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_requests = logging.getLogger(REQUESTS)


class _Refusal(Exception):  # noqa: N818
    """A request gets this answer instead of Gradio's."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class Guard:
    """Stands before Gradio: bounds what comes in, adds headers to what goes out, and logs one line about both."""

    def __init__(self, queue: JobQueue, limits: Limits = LIMITS) -> None:
        self.queue = queue
        self.limits = limits
        self.app: Any = None
        self.loading = 0
        """Requests that are not yet answered. The one that every open page keeps open is not counted."""

    def before(self, app: Any) -> Guard:
        """Stand before this ASGI application."""
        self.app = app
        return self

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
            self.queue.statistics.refused(refusal.code)
            if refusal.code == "length":
                await self._discard(scope, receive)
            if not status:
                await _say(answer, refusal.status, json.dumps({"detail": str(refusal)}).encode(), "application/json")
        except Exception:  # noqa: BLE001  # Starlette has answered, if it could
            note_defect()
            if not status:
                await _say(answer, 500, b"Internal Server Error")
        finally:
            self.loading -= not lasting
            self.queue.statistics.answered(status)
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

    async def _discard(self, scope: Message, receive: Receive) -> None:
        """Read the rest of a body that is too long, within limits, since most programs send all before they listen."""
        with suppress(_Refusal):
            body = _Body(scope, receive, self.limits.upload, self.limits)
            while not body.over and (await body())["type"] != "http.disconnect":
                pass

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/healthz":
            scope["route"] = _Route(path)
            well = not (self.queue.closed or self.queue.stuck)
            await _say(send, 200 if well else 503, b"ok\n" if well else b"closing or stuck\n")
        elif path == "/metrics":
            scope["route"] = _Route(path)
            await _say(send, 200, self.queue.statistics.text(), "text/plain; version=0.0.4; charset=utf-8")
        elif _ADDRESSED.search(path):
            raise _Refusal(403, "address", "The page fetches nothing from other addresses.")
        elif path.rstrip("/") == _UPLOAD:
            try:
                self.queue.check_room()
            except RefusedError as refused:
                raise _Refusal(507, "upload", str(refused)) from refused
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, _Replayed(await self._whole(scope, receive), receive), send)

    async def _upload(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let Gradio answer an upload, unless that turns out to be too long or too slow while it is read."""
        body, refusal = _Body(scope, receive, self.limits.upload, self.limits), None

        async def bounded() -> Message:
            nonlocal refusal
            try:
                return await body()
            except _Refusal as error:
                refusal = error
                # This is the only error after which Gradio's parser removes what it has written.
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

    async def _whole(self, scope: Message, receive: Receive) -> bytes | None:
        """Read the whole body, and return None where it breaks off.

        Raises `_Refusal` where it is too long or too slow, or names an address to fetch files from.
        """
        body, parts = _Body(scope, receive, self.limits.body, self.limits), list[bytes]()
        if scope["method"] in ("GET", "HEAD"):
            return b""
        while not body.over:
            message = await body()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
        data = b"".join(parts)
        if data and _names_an_address(data):
            sentence = "The page fetches nothing from other addresses; upload the photographs instead."
            raise _Refusal(422, "address", sentence)
        return data


class _Route:
    """Names a path as Starlette's own routes do."""

    def __init__(self, path: str) -> None:
        self.path = path


class _Body:
    """A request's body as it comes, bounded in length and in time."""

    def __init__(self, scope: Message, receive: Receive, limit: int, limits: Limits) -> None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self.receive = receive
        self.limit = limit
        self.limits = limits
        self.began = time.monotonic()
        self.length = 0
        self.over = False
        if not announced.isdigit() or int(announced) > limit:
            raise self._too_long()

    async def __call__(self) -> Message:
        if self.over:  # the next message says that the visitor has left
            return await self.receive()
        allowed = self.limits.seconds + self.length / self.limits.bytes_per_second
        left = self.began + allowed - time.monotonic()
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
        most = f"The request is too large; at most {self.limit / 1e6:g} MB are taken at once."
        if self.limit != self.limits.upload:
            most += f" Send photographs to {_UPLOAD}, and give their addresses."
        return _Refusal(413, "length", most)


def _names_an_address(data: bytes) -> bool:
    """Whether a file in this JSON has an address, which Gradio would fetch."""
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
    """Replaces `receive` for a body that was read before."""

    def __init__(self, body: bytes | None, receive: Receive) -> None:
        self.body = body
        self.receive = receive

    async def __call__(self) -> Message:
        body, self.body = self.body, None
        if body is None:
            return await self.receive()
        return {"type": "http.request", "body": body, "more_body": False}


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    policies = {_FILE: _FILE_POLICY, f"{REPORT}/": _REPORT_POLICY}
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
