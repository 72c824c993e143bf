"""What each visitor's page was told to do last. A new request of the same page takes the place of the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class Request:
    """One press of the button that fuses."""

    page: str | None
    """The name that Gradio gives to the visitor's page."""
    metrics: list[str]
    """The metrics that are ticked now; they may change while the request is served."""
    stopped: bool = False
    """The visitor pressed the button that stops."""
    replaced: bool = False
    """The visitor pressed the button that fuses once more."""

    def wanted(self, here: Callable[[], bool]) -> Callable[[], bool]:
        """Make a function that says whether the request still stands and its visitor is `here`."""
        return lambda: not self.stopped and not self.replaced and here()


class Requests:
    """The latest request of every page that is being served."""

    def __init__(self) -> None:
        self._latest: dict[str | None, Request] = {}

    def new(self, page: str | None, metrics: list[str]) -> Request:
        """Note a new request of a page on which these metrics are ticked."""
        before = self._latest.get(page)
        if before:
            before.replaced = True
        request = self._latest[page] = Request(page, metrics)
        return request

    def stop(self, page: str | None) -> None:
        """End the request of a page."""
        if request := self._latest.get(page):
            request.stopped = True

    def show(self, page: str | None, metrics: list[str]) -> None:
        """Show these metrics from now on, also in the request that is being served."""
        if request := self._latest.get(page):
            request.metrics = metrics

    def done(self, request: Request) -> None:
        """Forget a request that has been served."""
        if self._latest.get(request.page) is request:
            del self._latest[request.page]
