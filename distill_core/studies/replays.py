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

from distill_core.analysis import verdict
from distill_core.machine import available_cores

PATH = Path(__file__).parent / "replays.json"
COLUMNS = ("experiment", "member", "step", "epoch", "seconds", "test_accuracy")


@dataclass(frozen=True)
class Replay:
    """One recorded run of a method. `rows` are its tests, in the order of their `COLUMNS`."""

    recorded: str  # the date
    machine: str
    seeds: int
    seconds: float
    method: str
    test_images: int
    rows: list[list]

    @property
    def caption(self) -> str:
        """What everybody must see beside it."""
        return f"Replay: recorded on {self.recorded}, {self.machine}, {self.seeds} seeds"

    @property
    def conclusion(self) -> str:
        """Its result in words: what is said of a race with these figures today."""
        last = {(one["experiment"], one["member"]): one["test_accuracy"] for one in self.records()}
        count = self.test_images
        results = [
            {role: {"test_accuracy": round(last[seed, role] * count) / count, "test_images": count} for role in ("student", "baseline")}
            for seed in range(self.seeds)
        ]
        return verdict(results, method=self.method).sentence

    def records(self, until: float = float("inf")) -> list[dict]:
        """The records of the first `until` seconds."""
        return [record for row in self.rows if (record := dict(zip(COLUMNS, row, strict=True)))["seconds"] <= until]


def record_replay(records: Iterable[dict], *, seconds: float, seeds: int, method: str, test_images: int) -> Replay:
    """The replay of a run that has just ended."""
    tested = [one for one in records if one.get("test_accuracy") is not None]
    rows = [[round(value, 4) if isinstance(value, float) else value for value in map(one.get, COLUMNS)] for one in tested]
    cores = available_cores()
    machine = f"{cores} CPU core{'s' if cores > 1 else ''}"
    return Replay(time.strftime("%Y-%m-%d"), machine, seeds, round(seconds, 2), method, test_images, rows)


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
