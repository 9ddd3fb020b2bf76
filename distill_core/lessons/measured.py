"""What the lessons' experiments showed over ten seeds, measured by `python -m distill_core lesson --keep`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from distill_core.lessons.lesson import Finding

FILE = Path(__file__).with_name("measured.json")


def kept() -> dict[str, dict]:
    """The measured findings by lesson: `{"sentence", "answer", "seeds", "seconds", "date"}`; empty without any."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def keep(name: str, finding: Finding, *, seeds: int, seconds: float) -> None:
    """Replace the shipped finding of one lesson."""
    entry = {"sentence": finding.sentence, "answer": finding.answer, "seeds": seeds, "seconds": round(seconds, 1)}
    FILE.write_text(json.dumps(kept() | {name: entry | {"date": time.strftime("%Y-%m-%d")}}, indent=1, sort_keys=True) + "\n")
