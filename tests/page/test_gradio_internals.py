"""What the page uses of Gradio without a promise: it is still there, and does what the page expects of it."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio import queueing, routes
from gradio.context import LocalContext
from starlette.testclient import TestClient

from fusion.page import gradio_internals, logs
from fusion.page.gradio_internals import FILE_ADDRESS, VERSION, is_file_obj_with_meta, save_base64_to_cache


def test_the_version_is_the_one_that_was_read() -> None:
    assert gr.__version__ == VERSION, "read the new version of Gradio, then change fusion/page/gradio_internals.py"


@pytest.mark.parametrize(("alive", "active", "here"), [(True, True, True), (False, True, False), (True, False, False)])
def test_the_queue_knows_whether_a_visitor_is_here(alive: bool, active: bool, here: bool) -> None:
    with gr.Blocks() as demo:
        gr.Button().click(print)
    queue: Any = demo._queue  # pyright: ignore[reportPrivateUsage]
    assert queue.event_ids_to_events == {}
    assert isinstance(queue.active_jobs, list)
    assert list(inspect.signature(queueing.Event).parameters)[:4] == ["session_hash", "fn", "request", "username"]
    event = queueing.Event(None, demo.fns[0], None, None)  # pyright: ignore[reportArgumentType]
    assert event.alive
    event.alive = alive
    queue.event_ids_to_events["one"] = event
    queue.active_jobs = [None, [event] if active else None]
    name = LocalContext.event_id.set("one")
    try:
        assert gradio_internals.visitor_is_here(demo)() == here
    finally:
        LocalContext.event_id.reset(name)
    assert gradio_internals.visitor_is_here(demo)()  # a program of this process


def test_gradio_prints_what_was_raised_with_one_function(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (queueing, routes):
        monkeypatch.setattr(module, "traceback", module.traceback)  # pyright: ignore[reportPrivateImportUsage]
        source = inspect.getsource(module)
        assert source.count("traceback.") == source.count("traceback.print_exc(") > 0
    gradio_internals.log_without_messages()
    with caplog.at_level(logging.ERROR, logs.__name__):
        try:
            Path("/home/visitor/secret.png").read_bytes()
        except OSError:
            queueing.traceback.print_exc()  # pyright: ignore[reportPrivateImportUsage]
    assert "a request failed: FileNotFoundError at " in caplog.text
    assert "< test_gradio_internals.py:" in caplog.text
    assert "secret" not in caplog.text


def test_files_come_in_and_go_out_as_expected(tmp_path: Path) -> None:
    assert is_file_obj_with_meta({"path": "a.png", "meta": {"_type": "gradio.FileData"}})
    assert not is_file_obj_with_meta({"path": "a.png"})
    saved = Path(save_base64_to_cache("data:image/png;base64,aGVsbG8=", str(tmp_path)))
    assert saved.read_bytes() == b"hello"
    assert saved.is_relative_to(tmp_path)
    client = TestClient(routes.App.create_app(gr.Blocks()))
    assert client.get(f"{FILE_ADDRESS}/etc/hostname").status_code == 403  # there is such an address, or it would be 404
