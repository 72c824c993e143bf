"""The web process: what it refuses, what it answers with, what it writes down, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from PIL import Image

from fusion.io.image import save
from fusion.methods import METHODS
from fusion.page import environment, upload_dir
from fusion.page.job_queue import JobQueue
from fusion.page.middleware import LIMITS, Guard, Limits
from fusion.page.server import DRAIN
from tests.attack.load import METHODS as TICKED
from tests.attack.load import pressed, uploaded
from tests.server import ROOT, Server, served
from tests.shared_session import load

OBSERVED = """
import runpy, sys
def hook(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto"):
        address = arguments[1] if event != "socket.getaddrinfo" else arguments[:2]
        print("OUTGOING", event, address[:2] if isinstance(address, tuple) else address, flush=True)
sys.addaudithook(hook)
runpy.run_path("app.py", run_name="__main__")
"""
"""The page, and a line for every connection that it begins."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("page"), "-c", OBSERVED) as server:
        yield server


@pytest.fixture(scope="module")
def client(page: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A pair that takes all methods some seconds."""
    folder = tmp_path_factory.mktemp("scene")
    for name in ("under", "over"):
        photo = load(ROOT / "examples" / "courtyard" / f"{name}.png").photo
        save(photo.repeat(1, 2, 2), folder / f"{name}.png")
    return [(folder / f"{name}.png").read_bytes() for name in ("under", "over")]


def small(pair: tuple[Path, Path]) -> list[bytes]:
    return [path.read_bytes() for path in pair]


# Answers.

ANSWERS = [
    ("GET", "/", 200),
    ("HEAD", "/", 200),
    ("GET", "/config", 200),
    ("GET", "/gradio_api/info", 200),
    ("GET", "/theme.css", 200),
    ("GET", "/healthz", 200),
    ("GET", "/metrics", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/monitoring", 403),
    ("GET", "/monitoring/summary", 403),
    ("POST", "/gradio_api/run/fuse", 404),
    ("POST", "/gradio_api/api/compare", 404),
    ("POST", "/gradio_api/run/fuse_1", 404),
    ("POST", "/gradio_api/upload", 200),
    ("OPTIONS", "/gradio_api/upload", 200),
    ("GET", "/gradio_api/file=/etc/hostname", 403),
    ("GET", "/gradio_api/file=http://127.0.0.1:9/x", 403),
]


@pytest.mark.parametrize(("how", "path", "status"), ANSWERS)
def test_every_answer_has_the_headers(client: httpx.Client, how: str, path: str, status: int) -> None:
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"} if how == "OPTIONS" else {}
    kind = {"content-type": "multipart/form-data; boundary=x"} if path.endswith("upload") else {}
    answer = client.request(how, path, headers=preflight | kind, json=None if kind else {"data": []})
    assert answer.status_code in (status, 400 if how == "OPTIONS" else status)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert ("sandbox" in policy) == path.startswith("/gradio_api/file")
    if "sandbox" not in policy:
        assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy
        assert "object-src 'none'" in policy


def test_pictures_come_with_a_sandbox(page: Server, client: httpx.Client, pair: tuple[Path, Path]) -> None:
    made = page.ask("fuse", files=uploaded(client, *small(pair)), method="mertens")
    answer = client.get(made["file"]["url"])
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_defect_has_headers_and_no_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: Any) -> None:
        raise OSError("/home/visitor/secret.png")

    answer = asked(guard(tmp_path, broken), "GET", "/")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "a request failed: OSError at test_server.py:" in caplog.text
    assert "secret" not in caplog.text


# Bodies.


async def reading(_scope: Any, receive: Any, send: Any) -> None:
    """An app that reads everything, as Gradio does."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def guard(folder: Path, app: Any = reading, limits: Limits = LIMITS, **queue: Any) -> Guard:
    return Guard(JobQueue(folder, **queue), limits).before(app)


def asked(app: Any, method: str, path: str, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


async def drops(count: int, size: int = 100_000, pause: float = 0) -> Any:
    """A body that does not say how long it is."""
    for _ in range(count):
        await asyncio.sleep(pause)
        yield b"x" * size


@pytest.mark.parametrize(
    ("path", "limit"), [("/gradio_api/upload", LIMITS.upload), ("/gradio_api/queue/join", LIMITS.body)]
)
def test_bodies_are_bounded(tmp_path: Path, path: str, limit: int) -> None:
    fits = asked(guard(tmp_path), "POST", path, content=b"x" * 999_999)
    assert (fits.status_code, fits.text) == (200, "999999")
    announced = asked(guard(tmp_path), "POST", path, content=b"", headers={"content-length": str(limit + 1)})
    assert announced.status_code == 413
    assert f"at most {limit / 1e6:g} MB" in announced.json()["detail"]
    assert asked(guard(tmp_path), "POST", path, headers={"content-length": "-5"}, content=b"").status_code == 413


def test_a_body_is_cut_off_where_it_grows_too_long(tmp_path: Path) -> None:
    strict = guard(tmp_path, limits=Limits(upload=2_000_000))
    for path in ("/gradio_api/upload", "/gradio_api/queue/join"):
        assert asked(strict, "POST", path, content=drops(500)).status_code == 413


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    impatient = guard(tmp_path, limits=Limits(seconds=0.2))
    for path in ("/gradio_api/upload", "/gradio_api/queue/join"):
        began = time.monotonic()
        answer = asked(impatient, "POST", path, content=drops(1000, size=10, pause=0.05))
        assert (answer.status_code, time.monotonic() - began < 20) == (408, True)


def test_a_full_disk_refuses_uploads_before_they_are_read(tmp_path: Path) -> None:
    answer = asked(guard(tmp_path, kept_free=1 << 60), "POST", "/gradio_api/upload", content=b"x")
    assert answer.status_code == 507
    assert answer.json()["detail"] == "The page has no room for more photographs at the moment; try again later."


def test_live_a_flood_is_refused_and_leaves_nothing(page: Server, client: httpx.Client) -> None:
    before = sorted(page.place.rglob("*"))
    many = [("files", (f"{index}.png", bytes(60_000_000))) for index in range(4)]
    with suppress(httpx.WriteError, httpx.ReadError):  # it does not wait for the end
        assert client.post("/gradio_api/upload", files=many).status_code == 413
    too_long = b"[" + b"0," * 600_000 + b"0]"
    with suppress(httpx.WriteError, httpx.ReadError):
        assert client.post("/gradio_api/queue/join", content=too_long).status_code == 413
    deep = b"[" * 100_000
    assert client.post("/gradio_api/queue/join", content=deep).status_code in (400, 422)
    assert sorted(page.place.rglob("*")) == before


# Addresses and paths: 24 and 20 forms, among the chosen files and at the programs' endpoint.


@contextmanager
def canary() -> Generator[tuple[int, list[Any]], None, None]:
    """A port of this machine, and who came to it."""
    visits: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def wait() -> None:
            while not done.is_set():
                with suppress(TimeoutError):
                    connection, whom = server.accept()
                    visits.append(whom)
                    connection.close()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield server.getsockname()[1], visits
        finally:
            done.set()
            thread.join()


SECRET = f"SECRET-{secrets.token_hex(8)}"


def paths(folder: Path, cache: Path) -> list[str]:
    """Ways to name a file that is none of the visitor's."""
    secret = folder / "secret.png"
    secret.write_text(SECRET)
    up = "../" * 12
    return [
        str(secret), f"file://{secret}", f"file:{secret}", f"{cache}/../{secret.name}", f"{cache}/{up}{secret}"[:-1],
        f"{up}{str(secret)[1:]}", f"/proc/self/root{secret}", f"/./{secret}", f"//{secret}", f"{secret}\0.png",
        f"{secret}%00.png", str(secret).replace("/", "%2f"), str(secret).replace("/", "\\"), f"{secret}/.",
        f" {secret}",
        "/etc/hostname", "/proc/self/environ", "/proc/self/cmdline", "/dev/stdin", "app.py", str(ROOT / "app.py"),
        "~/.ssh/id_rsa", f"{cache}.lock", str(folder / "log"),
    ]  # fmt: skip


def addresses(port: int) -> list[str]:
    """Ways to name an address that is not to be asked."""
    return [
        f"http://127.0.0.1:{port}/a.png", f"https://127.0.0.1:{port}/a.png", f"HTTP://127.0.0.1:{port}/a.png",
        f"http://localhost:{port}/a.png", f"http://[::1]:{port}/a.png", f"http://2130706433:{port}/a.png",
        f"http://0x7f000001:{port}/a.png", f"http://0.0.0.0:{port}/a.png", f"http://[::ffff:127.0.0.1]:{port}/a.png",
        f"http://127.1:{port}/a.png", f"http://user@127.0.0.1:{port}/a.png", f" http://127.0.0.1:{port}/a.png",
        "http://169.254.169.254/latest/meta-data", "http://100.64.0.1/a.png", "http://[2002:7f00:1::]/a.png",
        "http://[64:ff9b::7f00:1]/a.png", "http://example.com/a.png", "ftp://127.0.0.1/a.png",
        f"gopher://127.0.0.1:{port}/a", f"\thttp://127.0.0.1:{port}/a.png",
    ]  # fmt: skip


def answer_to(client: httpx.Client, files: list[Any]) -> str:
    try:
        return "".join(pressed(client, files, ["mertens"]))
    except httpx.HTTPStatusError as error:
        return error.response.text


def tried(client: httpx.Client, slots: list[Any], bad: dict[str, Any]) -> list[str]:
    """What the page and its endpoint say of one bad file in each of the inputs."""
    said = [answer_to(client, given) for given in ([bad, slots[1]], [slots[0], bad])]
    join = client.post("/gradio_api/call/v2/fuse", json={"files": [slots[0], bad], "method": "mertens"})
    if join.status_code == 200:
        said.append(client.get(f"/gradio_api/call/fuse/{join.json()['event_id']}").text)
    else:
        said.append(join.text)
    return said


def test_nothing_is_read_fetched_or_told(page: Server, client: httpx.Client, pair: tuple[Path, Path]) -> None:
    slots = uploaded(client, *small(pair))
    meta = {"_type": "gradio.FileData"}
    with canary() as (port, visits):
        forms = paths(page.folder, page.place)
        urls = addresses(port)
        assert (len(forms), len(urls)) == (24, 20)
        for form in [*forms, *urls]:
            for said in tried(client, slots, {"path": form, "meta": meta}):
                assert SECRET not in said
                assert '"kind":"done"' not in said
                assert "event: complete" not in said
                assert str(page.folder) not in said.replace(json.dumps(form)[1:-1], "")
        for url in urls:  # beside a path of one's own it is not looked at
            for said in tried(client, slots[:1] * 2, {**slots[1], "url": url}):
                assert SECRET not in said
            for form in (f"/gradio_api/file={url}", f"/gradio_api/file/{url}", f"/gradio_api/proxy={url}"):
                assert client.get(quote(form, safe="/:=@[]")).status_code in (400, 403, 404)
        for form in forms:
            for prefix in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/"):
                with suppress(httpx.InvalidURL):
                    answer = client.get(prefix + form.replace("\0", "%00"))
                    assert answer.status_code in (400, 403, 404, 500), form
                    assert SECRET not in answer.text
        assert visits == []
    own = page.address.rpartition(":")[2]
    outgoing = [line for line in page.log.splitlines() if line.startswith("OUTGOING") and own not in line]
    assert outgoing == []
    assert SECRET not in page.log
    assert "secret.png" not in page.log
    assert "Traceback" not in page.log


def test_one_visitor_cannot_read_anothers(page: Server, client: httpx.Client, pair: tuple[Path, Path]) -> None:
    made = page.ask("fuse", files=uploaded(client, *small(pair)), method="mertens")
    path = Path(made["file"]["path"])
    assert re.fullmatch(r"run-[0-9a-f]{32}", path.parent.name)
    assert client.get(made["file"]["url"]).status_code == 200  # who knows the name
    for form in (path.parent, path.parent.parent, f"{path.parent}/", path.parent / "*", path.with_name("under.png")):
        assert client.get(f"/gradio_api/file={form}").status_code == 403
    first, second = ("".join(pressed(client, uploaded(client, *small(pair)), ["mertens"])) for _ in range(2))
    assert '"kind":"done"' in first
    assert '"kind":"done"' in second


# Logs and figures.


def test_a_line_for_every_request_says_nothing_of_the_visitor(
    page: Server, client: httpx.Client, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    canaries = ("CANARY-NAME", "CANARY-EXIF", "CANARY-QUERY", "CANARY-PATH", "CANARY-AGENT")
    exif = Image.Exif()
    exif[0x010E] = "CANARY-EXIF"
    for name, source in zip(("CANARY-NAME-u.jpg", "CANARY-NAME-o.jpg"), pair, strict=True):
        Image.open(source).convert("RGB").save(tmp_path / name, exif=exif)
    files = [page.upload(tmp_path / f"CANARY-NAME-{which}.jpg") for which in "uo"]
    made = page.ask("fuse", files=files, method="mertens")
    assert b"CANARY" not in client.get(made["file"]["url"]).content
    client.get("/?CANARY-QUERY=1", headers={"user-agent": "CANARY-AGENT"})
    client.get("/CANARY-PATH")
    said = page.refusal("fuse", files=[files[0], {"path": "/CANARY-PATH.png", "meta": {"_type": "gradio.FileData"}}])
    assert "CANARY" not in str(said)
    for word in (*canaries, "127.0.0.1:9", str(page.place)):
        assert word not in page.log
    lines = [json.loads(line) for line in page.log.splitlines() if line.startswith("{")]
    assert {tuple(line) for line in lines} == {("time", "method", "route", "status", "seconds", "bytes")}
    routes = {line["route"] for line in lines}
    assert {"/", "other", "/gradio_api/upload", "/gradio_api/file={path_or_url:path}"} <= routes
    assert "HTTP/1.1" not in page.log  # the server's own lines


def test_metrics_are_prometheus(client: httpx.Client) -> None:
    client.get("/nowhere")
    empty = uploaded(client, b"", b"nothing")
    assert "is an empty file" in "".join(pressed(client, empty, ["mertens"]))
    text = client.get("/metrics").text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .*|[a-z_]+(\{[a-z_]+=\"[^\"]*\"\})? [-+0-9.eInf]+", line)
    for name in (
        'page_requests_total{status="404"}', 'page_refusals_total{code="empty"}', "page_jobs_waiting",
        "page_jobs_running", "page_job_seconds_count", "process_resident_memory_bytes", "process_open_fds",
    ):  # fmt: skip
        assert f"\n{name} " in text


def figure(client: httpx.Client, name: str) -> float:
    return float(re.findall(rf"^{re.escape(name)} (.*)$", client.get("/metrics").text, re.MULTILINE)[0])


# Visitors who leave.


def until(condition: Any, seconds: float = 60) -> bool:
    """Wait for a condition, for long enough that a busy machine meets it as well."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def unfinished(page: Server, methods: list[str]) -> bool:
    """Whether the latest job wrote the pictures of only some methods, so that it was stopped."""
    latest = max(page.place.glob("run-*"), key=lambda folder: folder.stat().st_mtime_ns)
    return not all((latest / f"{name}.png").exists() for name in methods)


def test_a_gone_visitors_job_stops_and_a_queued_one_never_starts(
    page: Server, client: httpx.Client, scene: list[bytes]
) -> None:
    slots = uploaded(client, *scene)
    done = figure(client, "page_job_seconds_count")
    body = {"files": slots}
    jobs_ = [client.post("/gradio_api/call/v2/compare", json=body).json()["event_id"] for _ in range(2)]
    with client.stream("GET", f"/gradio_api/call/compare/{jobs_[0]}") as first:
        lines = first.iter_lines()  # without it, the connection is closed
        next(line for line in lines if "data:" in line)
        with client.stream("GET", f"/gradio_api/call/compare/{jobs_[1]}"):
            assert until(lambda: figure(client, "page_jobs_waiting") == 1)
        assert until(lambda: figure(client, "page_jobs_waiting") == 0)
        assert figure(client, "page_jobs_running") == 1
    assert until(lambda: figure(client, "page_jobs_running") == 0)
    assert figure(client, "page_job_seconds_count") == done + 1
    assert unfinished(page, [method.name for method in METHODS if not method.unavailable])


def test_a_closed_pages_job_stops(page: Server, client: httpx.Client, scene: list[bytes]) -> None:
    said = pressed(client, uploaded(client, *scene))
    next(one for one in said if '"msg":"process_generating"' in one)
    assert figure(client, "page_jobs_running") == 1
    said.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert until(lambda: figure(client, "page_jobs_running") == 0)
    assert unfinished(page, TICKED)


def test_a_waiting_visitor_is_told_the_position_in_line(client: httpx.Client, scene: list[bytes]) -> None:
    slots = uploaded(client, *scene)
    first, second = pressed(client, slots), pressed(client, slots[::-1], ["mertens"])
    next(one for one in first if '"msg":"process_generating"' in one)
    assert "You are number 1 in line" in next(one for one in second if '"msg":"process_generating"' in one)
    first.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert '"kind":"done"' in "".join(second).replace('"kind"],"done"', '"kind":"done"')


# The end, and what is left.


def test_told_to_end_the_page_delivers_what_runs(tmp_path: Path, scene: list[bytes]) -> None:
    with served(tmp_path, "app.py") as server, httpx.Client(base_url=server.address, timeout=60) as client:
        folder = server.place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        slots = uploaded(client, *scene)
        said = pressed(client, slots, ["mertens"])  # it is done before the page ends in any case
        heard = [next(one for one in said if '"msg":"process_generating"' in one)]
        server.process.send_signal(signal.SIGTERM)
        assert until(lambda: client.get("/healthz").status_code == 503)
        refused = "".join(pressed(client, slots, ["meflut"]))
        assert "The page is about to restart" in refused
        heard += said
        assert '"msg":"process_completed"' in heard[-1]
        urls = re.findall(r'"url":"([^"]*mertens\.png)"', "".join(heard))
        assert client.get(urls[0]).status_code == 200
        client.close()
        assert server.process.wait(60) == 0
        assert not folder.exists()


def tell_to_end(process: subprocess.Popen[bytes]) -> None:
    """Hand SIGTERM to a thread that is not the main one, which systems may do, and Linux does when asked for it."""
    other = psutil.Process(process.pid).threads()[1].id
    os.kill(other if sys.platform == "linux" else process.pid, signal.SIGTERM)


def test_told_twice_it_ends_at_once_and_the_next_removes_what_was_left(tmp_path: Path, scene: list[bytes]) -> None:
    with served(tmp_path, "app.py") as server, httpx.Client(base_url=server.address, timeout=60) as client:
        said = pressed(client, uploaded(client, *scene))
        next(one for one in said if '"msg":"process_generating"' in one)
        tell_to_end(server.process)
        assert until(lambda: client.get("/healthz").status_code == 503)
        tell_to_end(server.process)
        assert server.process.wait(DRAIN / 2) == 143
        left = server.place
    taken = take(tmp_path / "cache")
    assert not left.exists()
    assert not left.with_suffix(".lock").exists()
    assert not taken.exists()  # it is removed at its own end


TAKE = "from fusion.page import upload_dir\nwith upload_dir.taken() as folder: print(folder)"


def take(cache: Path) -> Path:
    """The folder that another process took inside `cache`, and removed at its end."""
    environment = os.environ | {"GRADIO_TEMP_DIR": str(cache)}
    command = [sys.executable, "-c", TAKE]
    return Path(
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    )


def test_what_a_killed_process_left_is_removed_at_once(tmp_path: Path) -> None:
    """What a page left is removed however short it lived, and what a running page keeps is never removed."""
    cache = tmp_path / "cache"
    killed = TAKE.replace("print(folder)", "print(folder, flush=True); import os; os.kill(os.getpid(), 9)")
    environment = os.environ | {"GRADIO_TEMP_DIR": str(cache)}
    command = [sys.executable, "-c", killed]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    left = Path(ended.stdout.strip())
    assert (ended.returncode, left.is_dir(), left.with_suffix(".lock").exists()) == (-signal.SIGKILL, True, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(cache))
        with upload_dir.taken() as kept:
            assert not left.exists()
            assert not take(cache).exists()
            assert kept.is_dir()
    assert list(cache.iterdir()) == []


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "app.py", "--port", str(port)], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 2
        said = f"Port {port} is taken by another program; choose another one with --port."
        assert done.stderr.splitlines()[-1] == f"app.py: error: {said}"
        assert "Traceback" not in done.stderr
    assert environment.cannot_listen("127.0.0.1", port) == ""
    assert "from 1 to 65535" in environment.cannot_listen("127.0.0.1", 70_000)
    assert "Change --host or --port." in environment.cannot_listen("192.0.2.1", port)


def test_a_package_that_lends_gpus_but_cannot_be_imported_is_as_good_as_none(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fusion.page import environment; "
        "environment.prepare(Path(sys.argv[1])); sys.exit(environment.gpu_is_lent())"
    )
    for content, lent in (("raise ImportError", 0), ("", 1)):
        (tmp_path / "spaces.py").write_text(content)
        path = f"{tmp_path}{os.pathsep}{ROOT}"
        command = [sys.executable, "-B", "-c", code, str(tmp_path)]
        assert subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False).returncode == lent


@pytest.mark.parametrize("cache", ["/proc/nowhere", "/dev/null/nowhere"])
def test_without_a_home_pictures_lie_in_a_folder_of_their_own(tmp_path: Path, cache: str) -> None:
    others = ("GRADIO_TEMP_DIR", "HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from fusion.page import upload_dir\nwith upload_dir.taken() as p: print(p, oct(p.stat().st_mode))",
        ],
        env=environment | {"XDG_CACHE_HOME": cache, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    taken, mode = done.stdout.split()
    assert Path(taken).is_relative_to(tmp_path / "mambamef")
    assert mode.endswith("700")
    assert re.fullmatch(r"page-[0-9a-f]{32}", Path(taken).name)


def test_what_is_old_or_too_much_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(4):
        folder = tmp_path / f"run-{index}"
        folder.mkdir()
        (folder / "a.png").write_bytes(bytes(1000))
        os.utime(folder / "a.png", (index, index))  # as Gradio copies examples: what counts is when they came
        time.sleep(0.2)
    came = (tmp_path / "run-0" / "a.png").stat().st_ctime
    upload_dir.sweep(tmp_path, kept=350)
    assert len([*tmp_path.rglob("*.png")]) == 4
    monkeypatch.setattr(upload_dir.time, "time", lambda: came + 350.1)
    upload_dir.sweep(tmp_path, kept=350)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.png")) == ["run-1", "run-2", "run-3"]
    upload_dir.sweep(tmp_path, kept=1e6, most=1500)
    assert [path.parent.name for path in tmp_path.rglob("*.png")] == ["run-3"]
