"""Benchmarks of speed and memory: `make bench`, or `python -m tests.bench NAME ...`. See README.md."""
