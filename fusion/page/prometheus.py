"""What `/metrics` tells Prometheus: how much was asked, refused and done, never by whom or with which pictures."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Statistics:
    """The counts of one page. They start at zero with the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter("page_requests", "Answers by status", ["status"], registry=self._registry)
        self._refusals = Counter("page_refusals", "Refusals by reason", ["code"], registry=self._registry)
        self._waiting = Gauge("page_jobs_waiting", "Jobs that wait", registry=self._registry)
        self._running = Gauge("page_jobs_running", "Jobs that run", registry=self._registry)
        buckets = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
        self._seconds = Histogram("page_job_seconds", "Seconds of jobs", buckets=buckets, registry=self._registry)

    def watch_jobs(self, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Ask these functions for the number of jobs whenever the statistics are read."""
        self._waiting.set_function(waiting)
        self._running.set_function(running)

    def answered(self, status: int) -> None:
        """Count a request by its HTTP status; 0 means that there was no answer."""
        self._requests.labels(status or "none").inc()

    def refused(self, code: str) -> None:
        """Count a refusal by its reason."""
        self._refusals.labels(code).inc()

    def job_ended(self, seconds: float) -> None:
        """Count a job that took so many seconds."""
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus's text format, with the memory, processor time and open files of this process."""
        return generate_latest(self._registry)
