"""Benchmarks of speed and memory: `make bench`, or `python -m tests.bench NAME ...`. See README.md."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where pytest, too, finds the modules that browsers are opened with
