"""The tables of runs, their records and their results, and what a run is in Python."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, UniqueConstraint

SCHEMA_VERSION = 3  # PRAGMA user_version: raised when the tables change
STATUSES = ("queued", "preparing", "running", "paused", "finished", "stopped", "failed")
ACTIVE = ("queued", "preparing", "running")
OVER = ("finished", "stopped", "failed")
STATE = "state.bin"  # the artefact from which a run goes on
MEASURED = ("hard_loss", "soft_loss", "test_accuracy", "validation_accuracy", "agreement")

tables = sa.MetaData()
runs = sa.Table(
    "runs",
    tables,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("title", String, nullable=False),
    Column("experiments", String, nullable=False),  # a JSON list of the experiments' own JSON
    Column("dataset", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("message", String, nullable=False, default=""),
    Column("what", String, nullable=False, default=""),  # the step of the preparation, and the fraction of it that is done
    Column("fraction", Float, nullable=False, default=0.0),
    Column("epoch", Float, nullable=False, default=0.0),
    Column("epochs", Integer, nullable=False),
    Column("until_epoch", Integer),  # at the end of which epoch it pauses
    Column("created", Float, nullable=False, index=True),
    Column("started", Float),
    Column("finished", Float),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("owner_hash", String, nullable=False, default=""),
    Column("resets", Integer, nullable=False, default=0),
    Column("changes", Integer, nullable=False, default=0),  # goes up with everything that is written about the run
    Column("server", String, nullable=False, default=""),  # whose queue it is in, while it is active
    Column("submission", String, nullable=False, default=""),  # of its task, while it is on a worker
    Column("deaths", Integer, nullable=False, default=0),  # of workers, since it was submitted, reset or resumed
)
records = sa.Table(
    "records",
    tables,
    Column("row", Integer, primary_key=True),
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("experiment", Integer, nullable=False),
    Column("member", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("epoch", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    *(Column(name, Float) for name in MEASURED),
    UniqueConstraint("run", "experiment", "member", "step"),
    Index("records_of_run", "run", "row"),
    sqlite_autoincrement=True,  # a row's number is never given again, so "after row n" stays true after a reset
)
results = sa.Table(
    "results",
    tables,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("experiment", Integer, primary_key=True),
    Column("body", String, nullable=False),
)


class Claim(NamedTuple):
    """What a server checks about the runs in its queue."""

    id: str
    owner_hash: str
    submission: str
    until_epoch: int | None


@dataclass(frozen=True)
class Run:
    """One submission of experiments: a race over several seeds, or a sweep."""

    id: str
    key: str
    kind: str
    title: str
    experiments: tuple[str, ...]  # each as JSON
    dataset: str
    status: str
    message: str
    what: str
    fraction: float
    epoch: float
    epochs: int
    until_epoch: int | None
    created: float
    started: float | None
    finished: float | None
    seconds: float
    owner_hash: str
    resets: int
    changes: int
    server: str
    submission: str
    deaths: int

    @property
    def active(self) -> bool:
        """Whether the run waits for a worker or is on one."""
        return self.status in ACTIVE


COLUMNS = [runs.c[field.name] for field in fields(Run)]

BLANK = {  # a run after a reset
    **{"status": "paused", "message": "", "what": "", "fraction": 0.0, "epoch": 0.0, "seconds": 0.0, "until_epoch": None},
    **{"started": None, "finished": None, "submission": "", "deaths": 0},
    **{"resets": runs.c.resets + 1, "changes": runs.c.changes + 1},
}

# What brings a database of each version to the next one. Runs of version 1 belong to no server: the first one adopts them.
MIGRATIONS = {
    1: (
        "ALTER TABLE runs ADD COLUMN server VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN submission VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0",
    ),
    2: ("ALTER TABLE records ADD COLUMN validation_accuracy FLOAT",),
}


def check_status(status: str) -> str:
    """The status itself; `ValueError` for one that does not exist."""
    if status not in STATUSES:
        raise ValueError(f"status '{status}' is not known; choose one of: {', '.join(STATUSES)}")
    return status


def active_with_key(*columns: sa.ColumnElement, key: str) -> sa.Select:
    """The oldest active run of this key that is not about to pause."""
    query = sa.select(*columns).where(runs.c.key == key, runs.c.status.in_(ACTIVE), runs.c.until_epoch.is_(None))
    return query.order_by(runs.c.created).limit(1)


def count_active(owner_hash: str | None) -> sa.Select:
    """How many runs are active, of one owner or of all."""
    query = sa.select(sa.func.count()).select_from(runs).where(runs.c.status.in_(ACTIVE))
    return query if owner_hash is None else query.where(runs.c.owner_hash == owner_hash)


def stamped(changed: dict) -> dict:
    """The changed columns; with a status also the time at which the run was first on a worker, and was over."""
    if "status" not in changed:
        return changed
    now, status = time.time(), check_status(changed["status"])
    started = {"started": sa.func.coalesce(runs.c.started, now)} if status in ("preparing", "running") else {}
    return {**changed, **started, "finished": now if status in OVER else None}


def rows_of(run_id: str, reports: Iterable[dict]) -> tuple[list[dict], list[dict]]:
    """Records and results, as training yields them, as rows of the tables `records` and `results`."""
    record_rows, result_rows = [], []
    for report in reports:
        if report["event"] == "record":
            record_rows.append(_record_row(run_id, report))
        elif report["event"] == "result":
            result_rows.append({"run": run_id, "experiment": report["experiment"], "body": json.dumps(report)})
    return record_rows, result_rows


def _record_row(run_id: str, record: dict) -> dict:
    place = {name: record[name] for name in ("experiment", "member", "step", "epoch", "seconds")}
    return {"run": run_id, **place, **{name: record.get(name) for name in MEASURED}}
