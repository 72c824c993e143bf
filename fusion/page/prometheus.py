"""What `/metrics` tells, for Prometheus: how much was asked, refused and done, never by whom or with what."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_registry = CollectorRegistry()
ProcessCollector(registry=_registry)

REQUESTS = Counter("page_requests", "Answers, by status", ["status"], registry=_registry)
REFUSALS = Counter("page_refusals", "What was refused, by reason", ["code"], registry=_registry)
WAITING = Gauge("page_jobs_waiting", "Jobs in line", registry=_registry)
RUNNING = Gauge("page_jobs_running", "Jobs that run", registry=_registry)
JOB_SECONDS = Histogram(
    "page_job_seconds", "What jobs took", buckets=(0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600), registry=_registry
)


def text() -> bytes:
    """All of it in Prometheus's format, with the memory, processor time and open files of this process."""
    return generate_latest(_registry)
