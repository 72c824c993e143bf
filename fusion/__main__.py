"""python -m fusion."""

import os
import sys

from fusion.cli import main

# PyTorch's idle threads otherwise spin for milliseconds, in the way of the scan's own.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if __name__ == "__main__":
    sys.exit(main())
