"""Start the page: `python app.py` serves it at http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import os

from fusion.page import environment, upload_dir


def command_line() -> argparse.ArgumentParser:
    """Describe the options. What the command line leaves out comes from the environment."""
    parser = argparse.ArgumentParser(prog="app.py", description="Serve the page that fuses photographs.")

    def add(option: str, variable: str, default: str | None, **how: object) -> None:
        parser.add_argument(option, default=os.environ.get(variable) or default, **how)  # pyright: ignore[reportArgumentType]

    add("--host", "GRADIO_SERVER_NAME", "127.0.0.1", help="Listen at this address.")
    add("--port", "GRADIO_SERVER_PORT", "7860", type=int, help="Listen at this port.")
    add("--report", "MAMBAMEF_REPORT", None, metavar="DIR", help="Show the benchmark's report in this folder.")
    add("--job-seconds", "FUSION_JOB_SECONDS", "600", type=float, help="Stop a job after this many seconds.")
    add("--keep-free-mb", "FUSION_KEEP_FREE_MB", "1024", type=int, help="Keep this many megabytes free.")
    add("--memory-mb", "FUSION_MEMORY_MB", None, type=int, help="Let a network use this much memory on the processor.")
    return parser


def main() -> None:
    """Serve the page until it is told to end."""
    parser = command_line()
    options = parser.parse_args()
    if problem := environment.cannot_listen(options.host, options.port):
        parser.error(problem)
    with upload_dir.taken() as folder:
        environment.prepare(folder)
        # Only now, since these import Gradio and PyTorch, which read the environment.
        from fusion.page import benchmark, server
        from fusion.page.job_queue import JobQueue
        from fusion.page.services import Services, compare_with
        from fusion.pipeline import Session

        queue = JobQueue(folder, job_seconds=options.job_seconds, kept_free=options.keep_free_mb << 20)
        with Session() as session:
            report = benchmark.find_report(options.report)
            services = Services(session, compare_with(session, options.memory_mb), queue, report)
            server.serve(services, options.host, options.port)


if __name__ == "__main__":
    main()
