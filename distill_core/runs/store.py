"""The truth about runs: one SQLite file, and a folder of artefacts beside it.

Whoever wants to know how a run stands asks here: a page, a second tab, the engine after a crash. Transactions are short,
several processes may have the file open, and what is written twice is there once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, UniqueConstraint, event

EDITION = 1  # PRAGMA user_version: raised when the tables change
STATUSES = ("queued", "preparing", "running", "paused", "finished", "stopped", "failed")
ACTIVE = ("queued", "preparing", "running")
MEASURED = ("hard_loss", "soft_loss", "test_accuracy", "agreement")

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
    Column("what", String, nullable=False, default=""),  # what is being prepared, and which fraction of it is done
    Column("fraction", Float, nullable=False, default=0.0),
    Column("epoch", Float, nullable=False, default=0.0),
    Column("epochs", Integer, nullable=False),
    Column("until_epoch", Integer),  # where it is to pause
    Column("created", Float, nullable=False, index=True),
    Column("started", Float),
    Column("finished", Float),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("owner_hash", String, nullable=False, default=""),
    Column("resets", Integer, nullable=False, default=0),
    Column("changes", Integer, nullable=False, default=0),  # goes up with everything that is written about the run
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


class StoreError(ValueError):
    """The runs cannot be read or written; the sentence says why and what to do."""


@dataclass(frozen=True)
class Run:
    """One submission of experiments: a race over several seeds, or a map."""

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

    @property
    def active(self) -> bool:
        """Whether something will still happen by itself."""
        return self.status in ACTIVE


COLUMNS = [runs.c[field.name] for field in fields(Run)]


class Store:
    """All runs in the file at `path`; artefacts are kept beside it, in `artefacts/<run>/`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.folder = self.path.parent / "artefacts"
        with self._saying_why():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_edition()
            self._engine = sa.create_engine(f"sqlite:///{self.path}", pool_size=8, max_overflow=64)
            event.listen(self._engine, "connect", _set_up)
            event.listen(self._engine, "begin", _begin)
            self._make_tables()

    # --- runs -------------------------------------------------------------------------------------------------------

    def create(
        self,
        experiments: Sequence[str],
        *,
        key: str,
        kind: str = "race",
        title: str = "",
        status: str = "queued",
        epochs: int = 0,
        owner_hash: str = "",
        until_epoch: int | None = None,
    ) -> str:
        """A new run; returns its id. `experiments` are JSON texts."""
        choices = [json.loads(text) for text in experiments]
        run_id = secrets.token_hex(6)
        row = {
            "id": run_id,
            "key": key,
            "kind": kind,
            "title": title,
            "experiments": json.dumps(list(experiments)),
            "dataset": ", ".join(dict.fromkeys(str(choice.get("dataset", "")) for choice in choices)),
            "status": _known(status),
            "epochs": epochs or max((choice.get("epochs", 0) for choice in choices), default=0),
            "until_epoch": until_epoch,
            "created": time.time(),
            "owner_hash": owner_hash,
        }
        with self._writing() as connection:
            connection.execute(runs.insert().values(row))
        return run_id

    def get(self, run_id: str) -> Run | None:
        """The run, or None if there is none of this id."""
        return next(iter(self._select(sa.select(*COLUMNS).where(runs.c.id == run_id))), None)

    def list(self, *, text: str = "", dataset: str = "", status: str = "", limit: int = 500) -> list[Run]:
        """Newest first; `text` is looked for in title, id and experiments."""
        query = sa.select(*COLUMNS).order_by(runs.c.created.desc(), sa.desc(sa.literal_column("runs.rowid"))).limit(limit)
        if text:
            query = query.where(
                sa.or_(*(column.contains(text, autoescape=True) for column in (runs.c.title, runs.c.id, runs.c.experiments)))
            )
        if dataset:
            query = query.where(runs.c.dataset.contains(dataset, autoescape=True))
        if status:
            query = query.where(runs.c.status == _known(status))
        return self._select(query)

    def finished_with_key(self, key: str) -> Run | None:
        """The newest finished run of the same experiments: what is on the shelf."""
        query = sa.select(*COLUMNS).where(runs.c.key == key, runs.c.status == "finished")
        return next(iter(self._select(query.order_by(runs.c.created.desc()).limit(1))), None)

    def active_with_key(self, key: str) -> Run | None:
        """The oldest run of the same experiments that is queued or running and not about to pause."""
        query = sa.select(*COLUMNS).where(runs.c.key == key, runs.c.status.in_(ACTIVE), runs.c.until_epoch.is_(None))
        return next(iter(self._select(query.order_by(runs.c.created).limit(1))), None)

    def unfinished(self) -> list[Run]:
        """What was queued or running when the server last wrote, oldest first."""
        order = (runs.c.created, sa.literal_column("runs.rowid"))
        return self._select(sa.select(*COLUMNS).where(runs.c.status.in_(ACTIVE)).order_by(*order))

    def count_active(self, owner_hash: str | None = None) -> int:
        """How many runs are queued or running, of one owner or of all."""
        query = sa.select(sa.func.count()).select_from(runs).where(runs.c.status.in_(ACTIVE))
        if owner_hash is not None:
            query = query.where(runs.c.owner_hash == owner_hash)
        with self._reading() as connection:
            return connection.execute(query).scalar_one()

    def set_status(self, run_id: str, status: str, *, only_from: Iterable[str] = STATUSES, **changed: object) -> bool:
        """Give the run a status, and other columns with it; only if it has one of `only_from` now. Says whether it did."""
        now = time.time()
        if status in ("preparing", "running"):
            changed["started"] = sa.func.coalesce(runs.c.started, now)
        changed["finished"] = now if status in ("finished", "stopped", "failed") else None
        return self.update(run_id, only_from=only_from, status=_known(status), **changed)

    def update(self, run_id: str, *, only_from: Iterable[str] = STATUSES, **changed: object) -> bool:
        """Change columns of the run, if its status is one of `only_from`. Says whether it did."""
        changing = runs.update().where(runs.c.id == run_id, runs.c.status.in_(tuple(only_from)))
        with self._writing() as connection:
            return connection.execute(changing.values(changes=runs.c.changes + 1, **changed)).rowcount == 1

    def version(self, run_id: str) -> tuple[int, int]:
        """`(changes, resets)`: while it is the same, nothing about the run is new. One row by its key: cheap to poll.

        After a reset, records that a page has kept are no longer there.
        """
        with self._reading() as connection:
            row = connection.execute(sa.select(runs.c.changes, runs.c.resets).where(runs.c.id == run_id)).one_or_none()
        return (-1, -1) if row is None else tuple(row)

    def reset(self, run_id: str) -> bool:
        """Back to before the first step: no records, no results, no state; paused at epoch 0."""
        blank = {"message": "", "what": "", "fraction": 0.0, "epoch": 0.0, "seconds": 0.0, "until_epoch": None}
        blank |= {"status": "paused", "started": None, "finished": None, "resets": runs.c.resets + 1, "changes": runs.c.changes + 1}
        with self._writing() as connection:
            for table in (records, results):
                connection.execute(table.delete().where(table.c.run == run_id))
            known = connection.execute(runs.update().where(runs.c.id == run_id).values(blank)).rowcount == 1
        shutil.rmtree(self._folder_of(run_id), ignore_errors=True)
        return known

    def delete(self, run_id: str) -> bool:
        """The run, its records and its artefacts are gone."""
        with self._writing() as connection:
            known = connection.execute(runs.delete().where(runs.c.id == run_id)).rowcount == 1
        if known:
            shutil.rmtree(self._folder_of(run_id), ignore_errors=True)
        return known

    # --- records ----------------------------------------------------------------------------------------------------

    def append(self, run_id: str, told: Iterable[dict], **changed: object) -> None:
        """Add records and results, together with changed columns of the run. What is there already stays as it is.

        So a run that is taken up again after a dead worker may tell its first half twice.
        """
        told = list(told)
        rows = [_record_row(run_id, one) for one in told if one["event"] == "record"]
        found = [{"run": run_id, "experiment": one["experiment"], "body": json.dumps(one)} for one in told if one["event"] == "result"]
        with self._writing() as connection:
            changing = runs.update().where(runs.c.id == run_id).values(changes=runs.c.changes + 1, **changed)
            if connection.execute(changing).rowcount == 0:
                return  # deleted in the meantime
            for table, new in ((records, rows), (results, found)):
                if new:
                    connection.execute(table.insert().prefix_with("OR IGNORE"), new)

    def records(self, run_id: str, *, after: int = 0) -> list[dict]:
        """Records in the order in which they came, each with its `row`; only those after row `after`."""
        columns = [column for column in records.c if column.name != "run"]
        query = sa.select(*columns).where(records.c.run == run_id, records.c.row > after).order_by(records.c.row)
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def results(self, run_id: str) -> list[dict]:
        """The results, in the order of the experiments."""
        query = sa.select(results.c.body).where(results.c.run == run_id).order_by(results.c.experiment)
        with self._reading() as connection:
            return [json.loads(body) for body in connection.execute(query).scalars()]

    # --- artefacts --------------------------------------------------------------------------------------------------

    def write_artefact(self, run_id: str, name: str, blob: bytes) -> Path:
        """Keep a file with the run, whole or not at all."""
        path = self._file(run_id, name)
        temporary = path.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}")
        with self._saying_why():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(blob)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return path

    def read_artefact(self, run_id: str, name: str) -> bytes:
        """The file's content. Raises `StoreError` if the run has none of this name."""
        try:
            return self._file(run_id, name).read_bytes()
        except FileNotFoundError as error:
            raise StoreError(f"the run {run_id} has no artefact '{name}'; it may not have finished, or was deleted") from error

    def artefacts(self, run_id: str) -> list[str]:
        """The names of the run's files."""
        folder = self._folder_of(run_id)
        return sorted(file.name for file in folder.iterdir() if not file.name.startswith(".")) if folder.is_dir() else []

    def save_state(self, run_id: str, state: bytes) -> None:
        """Keep what the run needs to go on later."""
        self.write_artefact(run_id, "state.bin", state)

    def load_state(self, run_id: str) -> bytes | None:
        """What `save_state` kept, or None."""
        path = self._file(run_id, "state.bin")
        with self._saying_why():
            return path.read_bytes() if path.exists() else None

    def drop_state(self, run_id: str) -> None:
        """The run will not go on."""
        with self._saying_why():
            self._file(run_id, "state.bin").unlink(missing_ok=True)

    def _folder_of(self, run_id: str) -> Path:
        return self._file(run_id, "x").parent

    def _file(self, run_id: str, name: str) -> Path:
        """Ids and names come from links: neither may lead out of the folder."""
        for part in (run_id, name):
            if not re.fullmatch(r"\w[\w.-]*", part, re.ASCII):
                raise StoreError(f"'{part}' is no name of a run or an artefact; choose one from the list of runs")
        return self.folder / run_id / name

    # --- the file ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _check_edition(self) -> None:
        """Refuse a database of a newer lab before anything is written to it."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=10)) as connection:
            edition = connection.execute("PRAGMA user_version").fetchone()[0]
        if edition > EDITION:
            raise StoreError(
                f"the runs in {self.path} were written by a newer Distill Lab (edition {edition}, this one knows {EDITION}); "
                "update the lab, or set DISTILL_HOME to another folder"
            )

    def _make_tables(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # kept in the file; readers never wait for the writer
        with self._writing() as connection:
            if connection.exec_driver_sql("PRAGMA user_version").scalar_one() == 0:
                tables.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {EDITION}")

    def _select(self, query: sa.Select) -> list[Run]:
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [Run(**{**row, "experiments": tuple(json.loads(row["experiments"]))}) for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._saying_why(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that asks for the right to write at its beginning: asked for later, SQLite would refuse at once."""
        with self._saying_why(), self._engine.connect() as connection:
            connection = connection.execution_options(begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def _saying_why(self) -> Iterator[None]:
        """Errors of the disk and of SQLite as one sentence."""
        try:
            yield
        except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
            raise StoreError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        cause = str(getattr(error, "orig", None) or error).lower()
        place = self.path.parent
        if "disk is full" in cause or "no space left" in cause or "file too large" in cause or "quota" in cause:
            return f"the disk with {place} is full; free some space, and what was not written yet follows by itself"
        if any(
            sign in cause for sign in ("readonly", "read-only", "unable to open", "permission denied", "not a directory", "file exists")
        ):
            return f"{place} cannot be written; make it writable, or set DISTILL_HOME to another folder"
        if "locked" in cause or "busy" in cause:
            return f"{self.path} is held by another program; close it and try again"
        if "not a database" in cause or "malformed" in cause:
            return f"{self.path} is no database of the lab, or is damaged; move it away and the lab starts a new one"
        return f"{self.path} cannot be used ({cause}); check the disk, or set DISTILL_HOME to another folder"


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    """Each connection: wait for other writers, check foreign keys, and let `_begin` say how transactions begin."""
    connection.isolation_level = None
    for pragma in ("busy_timeout = 10000", "foreign_keys = ON", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _known(status: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"status '{status}' is not known; choose one of: {', '.join(STATUSES)}")
    return status


def _record_row(run_id: str, told: dict) -> dict:
    place = {name: told[name] for name in ("experiment", "member", "step", "epoch", "seconds")}
    return {"run": run_id, **place, **{name: told.get(name) for name in MEASURED}}
