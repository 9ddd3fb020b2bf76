"""The tables of runs, their records and their results, and what a run is in Python."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, UniqueConstraint

from distill_core.runs.keys import COMMAND_LINE, owner_mark

SCHEMA_VERSION = 6  # PRAGMA user_version: raised when the tables change
STATUSES = ("queued", "preparing", "running", "paused", "finished", "stopped", "failed")
ACTIVE = ("queued", "preparing", "running")
OVER = ("finished", "stopped", "failed")
STATE = "state.bin"  # the artefact from which a run goes on
MEASURED = (
    *("hard_loss", "soft_loss", "test_accuracy", "validation_accuracy", "agreement", "test_bits_per_character"),
    "validation_bits_per_character",
)

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
    Column("address_hash", String, nullable=False, default="", server_default=""),  # of the computer that started it
    Column("touched", Float, nullable=False, default=time.time, server_default="0"),  # when it was last used, or its status changed
    # What a list of runs shows, so that it need not read all experiments and results.
    Column("first", String, nullable=False, default="", server_default=""),  # the first of its experiments
    Column("size", Integer, nullable=False, default=0, server_default="0"),  # how many it has
    Column("student_accuracy", Float),  # the mean over its results
    Column("baseline_accuracy", Float),
)
owners = sa.Table(  # who pressed Train on it: a run of several is stopped or deleted only when all of them have left it
    "owners",
    tables,
    Column("run", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("owner_hash", String, primary_key=True, index=True),
    Column("since", Float, nullable=False, default=time.time),
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


class Count(NamedTuple):
    """How many runs wait or train, and how many of them are not over: these and the paused ones."""

    active: int
    unfinished: int


class Claim(NamedTuple):
    """What a server checks about the runs in its queue."""

    id: str
    owner_hash: str
    address_hash: str
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
    address_hash: str

    @property
    def active(self) -> bool:
        """Whether the run waits for a worker or is on one."""
        return self.status in ACTIVE

    @property
    def first(self) -> str:
        """The first of its experiments."""
        return self.experiments[0] if self.experiments else ""

    @property
    def size(self) -> int:
        """How many experiments it has."""
        return len(self.experiments)


@dataclass(frozen=True)
class Entry:
    """A run as a list of runs shows it: everything of it that is small."""

    id: str
    kind: str
    title: str
    status: str
    dataset: str
    created: float
    resets: int
    first: str  # the first of its experiments, as JSON
    size: int  # how many experiments it has
    student_accuracy: float | None
    baseline_accuracy: float | None


class Visible(NamedTuple):
    """Which runs a browser's lists show: not those of the kind `without`; those on these data sets, and its own."""

    without: str
    datasets: tuple[str, ...]
    owner_hash: str


COLUMNS = [runs.c[field.name] for field in fields(Run)]
ENTRY_COLUMNS = [runs.c[field.name] for field in fields(Entry)]

BLANK = {  # a run after a reset
    **{"status": "paused", "message": "", "what": "", "fraction": 0.0, "epoch": 0.0, "seconds": 0.0, "until_epoch": None},
    **{"started": None, "finished": None, "submission": "", "deaths": 0, "student_accuracy": None, "baseline_accuracy": None},
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
    3: (
        "ALTER TABLE runs ADD COLUMN address_hash VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN touched FLOAT NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN first VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN student_accuracy FLOAT",
        "ALTER TABLE runs ADD COLUMN baseline_accuracy FLOAT",
        "UPDATE runs SET touched = coalesce(finished, created)",
        "UPDATE runs SET first = json_extract(experiments, '$[0]'), size = json_array_length(experiments) "
        "WHERE json_valid(experiments) AND json_array_length(experiments)",
        "UPDATE runs SET (student_accuracy, baseline_accuracy) = (SELECT avg(json_extract(body, '$.student.test_accuracy')), "
        "avg(json_extract(body, '$.baseline.test_accuracy')) FROM results WHERE run = runs.id AND json_valid(body))",
        f"UPDATE runs SET owner_hash = '{owner_mark(COMMAND_LINE)}' WHERE owner_hash = ''",  # no run is without an owner
        "CREATE TABLE owners (run VARCHAR NOT NULL REFERENCES runs (id) ON DELETE CASCADE, owner_hash VARCHAR NOT NULL, "
        "since FLOAT NOT NULL, PRIMARY KEY (run, owner_hash))",
        "CREATE INDEX ix_owners_owner_hash ON owners (owner_hash)",
        "INSERT INTO owners SELECT id, owner_hash, created FROM runs",
    ),
    4: ("ALTER TABLE records ADD COLUMN test_bits_per_character FLOAT",),
    5: ("ALTER TABLE records ADD COLUMN validation_bits_per_character FLOAT",),
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


def count(*of: sa.ColumnElement) -> sa.Select:
    """`Count` of the runs that fit all conditions."""
    active = sa.func.count().filter(runs.c.status.in_(ACTIVE))
    return sa.select(active, sa.func.count()).where(runs.c.status.in_((*ACTIVE, "paused")), *of)


def owned_by_others(run_id: str, owner_hash: str) -> sa.Exists:
    """Whether anybody else has pressed Train on the run."""
    return sa.exists().where(owners.c.run == run_id, owners.c.owner_hash != owner_hash)


def mean_accuracies(bodies: Iterable[str]) -> dict[str, float | None]:
    """The means over results, which are JSON, as the columns that lists of runs read."""
    found = [json.loads(body) for body in bodies]
    means = {}
    for role in ("student", "baseline"):
        accuracies = [result[role].get("test_accuracy") for result in found if role in result]  # none on texts
        means[f"{role}_accuracy"] = sum(accuracies) / len(accuracies) if accuracies and None not in accuracies else None
    return means


def stamped(changed: dict) -> dict:
    """The changed columns; with a status also the time at which the run was first on a worker, and was over."""
    if "status" not in changed:
        return changed
    now, status = time.time(), check_status(changed["status"])
    started = {"started": sa.func.coalesce(runs.c.started, now)} if status in ("preparing", "running") else {}
    return {**changed, **started, "touched": now, "finished": now if status in OVER else None}


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
