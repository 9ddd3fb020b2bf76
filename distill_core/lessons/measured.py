"""What the lessons' experiments showed over ten seeds, measured by `python -m distill_core lesson --keep`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from distill_core import paths
from distill_core.lessons.lesson import Finding

FILE = Path(__file__).with_name("measured.json")


def kept() -> dict[str, dict]:
    """The measured findings by lesson: `{"sentence", "answer", "appears", "seeds", "seconds", "date"}`; empty without any."""
    return paths.read_json(FILE, without={})


def in_words(entry: dict, why_not: str) -> str:
    """A measured finding in words. An effect under three standard errors is said not to appear here, with what may explain it."""
    if entry.get("appears", True):
        return entry["sentence"]
    reason = f" (possible reason: {why_not})" if why_not else ""
    return f"{entry['sentence']} An effect of three standard errors does not appear here{reason}."


def keep(name: str, finding: Finding, *, seeds: int, seconds: float) -> None:
    """Replace the shipped finding of one lesson."""
    entry = {"sentence": finding.sentence, "answer": finding.answer, "appears": finding.appears}
    entry |= {"seeds": seeds, "seconds": round(seconds, 1)}
    FILE.write_text(json.dumps(kept() | {name: entry | {"date": time.strftime("%Y-%m-%d")}}, indent=1, sort_keys=True) + "\n")
