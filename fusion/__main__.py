"""The program: `python -m fusion`."""

import os
import sys

from fusion.cli import main


def run() -> None:
    """Run the command line, and end the process with its exit code."""
    # PyTorch's idle threads otherwise spin for milliseconds, in the way of the scan's own. Only this program's process
    # is set up so, before PyTorch is loaded; OpenMP reads it from nowhere else.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    sys.exit(main())


if __name__ == "__main__":
    run()
