"""Speeds and memory, as ratios against the usual loop in the same run: `python -m tests.bench`."""
