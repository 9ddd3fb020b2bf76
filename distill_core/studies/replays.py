"""A replay of each preset: a finished run as it was recorded, for a lecture whose machine fails. `replays.json` is shipped.

`python -m distill_core preset NAME --keep` records it again.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from distill_core.machine import available_cores

PATH = Path(__file__).parent / "replays.json"
COLUMNS = ("experiment", "member", "step", "epoch", "seconds", "test_accuracy")


@dataclass(frozen=True)
class Replay:
    """One recorded run. `rows` are its tests, in the order of their `COLUMNS`; `conclusion` its result in words."""

    recorded: str  # the date
    machine: str
    seeds: int
    seconds: float
    conclusion: str
    rows: list[list]

    @property
    def caption(self) -> str:
        """What everybody must see beside it."""
        return f"Replay: recorded on {self.recorded}, {self.machine}, {self.seeds} seeds"

    def records(self, until: float = float("inf")) -> list[dict]:
        """The records of the first `until` seconds."""
        return [record for row in self.rows if (record := dict(zip(COLUMNS, row, strict=True)))["seconds"] <= until]


def record_replay(records: Iterable[dict], *, seconds: float, seeds: int, conclusion: str) -> Replay:
    """The replay of a run that has just ended."""
    tested = [one for one in records if one.get("test_accuracy") is not None]
    rows = [[round(value, 4) if isinstance(value, float) else value for value in map(one.get, COLUMNS)] for one in tested]
    cores = available_cores()
    return Replay(time.strftime("%Y-%m-%d"), f"{cores} CPU core{'s' if cores > 1 else ''}", seeds, round(seconds, 2), conclusion, rows)


@functools.cache
def replays() -> dict[str, Replay]:
    """The shipped replays by preset."""
    return {name: Replay(**fields) for name, fields in json.loads(PATH.read_text()).items()} if PATH.exists() else {}


def keep(name: str, replay: Replay) -> None:
    """Put the replay into the shipped file, in place of an earlier one of this preset."""
    known = {other: asdict(one) for other, one in replays().items()} | {name: asdict(replay)}
    lines = ",\n".join(f"{json.dumps(other)}: {json.dumps(known[other], separators=(',', ':'))}" for other in sorted(known))
    PATH.write_text(f"{{\n{lines}\n}}\n")
    replays.cache_clear()
