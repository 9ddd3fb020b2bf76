"""The source of truth about runs: one SQLite file, and a folder of artefacts beside it.

Pages, a second tab, and the engine after a crash all read a run here. Transactions are short, several processes may have
the file open, and what is written twice is there once.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from distill_core.runs import schema
from distill_core.runs.keys import COMMAND_LINE, owner_mark
from distill_core.runs.schema import ACTIVE, STATE, STATUSES, Claim, Count, Entry, Run, Visible, owners, runs

LOCK_SECONDS = 2.0  # a page waits so long for another writer, which takes milliseconds, before it reports a lock


class StoreError(ValueError):
    """The runs cannot be read or written now; the sentence names the reason and the remedy."""


class Store:
    """All runs in the file at `path`; artefacts are kept beside it, in `artefacts/<run>/`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.folder = self.path.parent / "artefacts"
        self._turn = threading.Lock()  # of the threads that write
        self._locked_at = 0.0  # when one of them last found the database locked by another program
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_schema()
            self._engine = sa.create_engine(f"sqlite:///{self.path}", pool_size=8, max_overflow=64)
            event.listen(self._engine, "connect", _set_up)
            event.listen(self._engine, "begin", _begin)
            self._make_tables()

    # --- runs -------------------------------------------------------------------------------------------------------

    def create(self, experiments: Sequence[str], **options: object) -> str:
        """A new run of `experiments`, which are JSON texts; returns its id. The options are those of `create_or_join`."""
        return self.create_or_join(experiments, join=False, **options)[0]

    def create_or_join(
        self,
        experiments: Sequence[str],
        *,
        key: str,
        join: bool = True,
        check_queue: Callable[[Count, Count, Count], None] | None = None,
        kind: str = "race",
        title: str = "",
        status: str = "queued",
        epochs: int = 0,
        owner_hash: str = owner_mark(COMMAND_LINE),
        address_hash: str = "",
        until_epoch: int | None = None,
        server: str = "",
    ) -> tuple[str, bool]:
        """A new run, or with `join` the active one of the same key; returns `(id, whether it is new)`.

        Two servers that submit the same experiments at once get the same run: question and answer are one transaction.
        `check_queue` gets the numbers of runs of this owner, of this address and of all, and may raise to refuse a new one.
        """
        if not owner_hash:
            raise ValueError("a run needs an owner; give the token of the browser that started it")
        choices = [json.loads(text) for text in experiments]
        row = {
            "id": secrets.token_hex(6),
            "key": key,
            "kind": kind,
            "title": title,
            "experiments": json.dumps(list(experiments)),
            "dataset": ", ".join(dict.fromkeys(str(choice.get("dataset", "")) for choice in choices)),
            "status": schema.check_status(status),
            "epochs": epochs or max((choice.get("epochs", 0) for choice in choices), default=0),
            "until_epoch": until_epoch,
            "created": time.time(),
            "owner_hash": owner_hash,
            "address_hash": address_hash,
            "server": server,
            "first": experiments[0] if experiments else "",
            "size": len(experiments),
        }
        with self._writing() as connection:
            if join and (active := connection.execute(schema.active_with_key(runs.c.id, key=key)).scalar()):
                _add_owner(connection, active, owner_hash)
                return active, False
            if check_queue is not None:
                check_queue(*_counts(connection, owner_hash, address_hash))
            connection.execute(runs.insert().values(row))
            _add_owner(connection, row["id"], owner_hash)
        return row["id"], True

    def get(self, run_id: str) -> Run | None:
        """The run, or None if there is none of this id."""
        return next(iter(self._select(sa.select(*schema.COLUMNS).where(runs.c.id == run_id))), None)

    def list(self, *, text: str = "", dataset: str = "", status: str = "", limit: int = 500) -> list[Run]:
        """Newest first, with all their experiments; `text` is searched for in title, id and experiments."""
        return self._select(_newest(schema.COLUMNS, text=text, dataset=dataset, status=status).limit(limit))

    def entries(self, *, limit: int = 100, offset: int = 0, visible: Visible | None = None, **found: str) -> list[Entry]:
        """The same, without what is large: for lists on a page. `found`: `text`, `dataset`, `status`."""
        query = _newest(schema.ENTRY_COLUMNS, visible=visible, **found).limit(limit).offset(offset)
        with self._reading() as connection:
            return [Entry(*row) for row in connection.execute(query)]

    def entry(self, run_id: str) -> Entry | None:
        """One run as lists show it."""
        with self._reading() as connection:
            row = connection.execute(sa.select(*schema.ENTRY_COLUMNS).where(runs.c.id == run_id)).one_or_none()
        return Entry(*row) if row is not None else None

    def count(self, *, visible: Visible | None = None, **found: str) -> int:
        """How many runs such a list has in all."""
        listed = _newest([runs.c.id], visible=visible, **found).order_by(None).subquery()
        with self._reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(listed)).scalar_one()

    def finished_with_key(self, key: str) -> Run | None:
        """The newest finished run with this key: the cached result."""
        query = sa.select(*schema.COLUMNS).where(runs.c.key == key, runs.c.status == "finished")
        return next(iter(self._select(query.order_by(runs.c.created.desc()).limit(1))), None)

    def active_with_key(self, key: str) -> Run | None:
        """The oldest run with this key that is queued or running and not about to pause."""
        return next(iter(self._select(schema.active_with_key(*schema.COLUMNS, key=key))), None)

    def active_of(self, server: str) -> list[Claim]:
        """The active runs in this server's queue, oldest first. Without their experiments: cheap to poll."""
        columns = [runs.c[name] for name in Claim._fields]
        query = sa.select(*columns).where(runs.c.status.in_(ACTIVE), runs.c.server == server).order_by(runs.c.created)
        with self._reading() as connection:
            return [Claim(*row) for row in connection.execute(query)]

    def servers(self) -> set[str]:
        """The servers that active runs belong to; an empty id stands for none."""
        with self._reading() as connection:
            return set(connection.execute(sa.select(runs.c.server).distinct().where(runs.c.status.in_(ACTIVE))).scalars())

    def counts(self, owner_hash: str, address_hash: str) -> tuple[Count, Count, Count]:
        """How many runs are not over: of this owner, of this address (none, where it is not known), and of all."""
        with self._reading() as connection:
            return _counts(connection, owner_hash, address_hash)

    # --- owners -----------------------------------------------------------------------------------------------------

    def owners_of(self, run_id: str) -> tuple[str, ...]:
        """The marks of all who pressed Train on the run and have not left it, in this order."""
        query = sa.select(owners.c.owner_hash).where(owners.c.run == run_id).order_by(owners.c.since, owners.c.owner_hash)
        with self._reading() as connection:
            return tuple(connection.execute(query).scalars())

    def join(self, run_id: str, owner_hash: str) -> None:
        """One more owner, or the same again; the run counts as used now."""
        with self._writing() as connection:
            if connection.execute(runs.update().where(runs.c.id == run_id).values(touched=time.time())).rowcount:
                _add_owner(connection, run_id, owner_hash)

    def leave(self, run_id: str, owner_hash: str) -> int:
        """This owner leaves the run to the others; returns how many these are. The last one cannot leave."""
        mine = (owners.c.run == run_id, owners.c.owner_hash == owner_hash)
        others = sa.select(owners.c.owner_hash).where(owners.c.run == run_id, owners.c.owner_hash != owner_hash).order_by(owners.c.since)
        with self._writing() as connection:
            left = connection.execute(others).scalars().all()
            if left and connection.execute(owners.delete().where(*mine)).rowcount:
                connection.execute(runs.update().where(runs.c.id == run_id, runs.c.owner_hash == owner_hash).values(owner_hash=left[0]))
        return len(left)

    def hand_over(self, old: str, new: str) -> bool:
        """All runs of one owner belong to another from now on. Returns whether there were any."""
        with self._reading() as connection:
            found = connection.execute(sa.select(owners.c.run).where(owners.c.owner_hash == old).limit(1)).first()
        if found is None:
            return False
        with self._writing() as connection:
            connection.execute(owners.update().prefix_with("OR IGNORE").where(owners.c.owner_hash == old).values(owner_hash=new))
            connection.execute(owners.delete().where(owners.c.owner_hash == old))  # where the new one is an owner already
            connection.execute(runs.update().where(runs.c.owner_hash == old).values(owner_hash=new))
        return True

    # --- guarded writes ---------------------------------------------------------------------------------------------

    def write(
        self,
        run_id: str,
        *,
        only_from: Iterable[str] = STATUSES,
        only_if: Mapping[str, object] | None = None,
        records: Iterable[dict] = (),
        files: Mapping[str, bytes] | None = None,
        drop_state: bool = False,
        sole_owner: str = "",
        **changed: object,
    ) -> bool:
        """Columns, records, results and files of a run in one transaction; returns whether they were written.

        Nothing is written unless the run's status is one of `only_from` and its columns have the values in `only_if`. With
        `sole_owner` nothing is written either if the run has another owner.
        Records and results that are there already stay as they are, so a write may be repeated. Files are staged before
        the transaction and renamed inside it: SQLite's lock for writing orders them like the rows.
        """
        rows, found = schema.rows_of(run_id, records)
        guard = [runs.c.id == run_id, runs.c.status.in_(tuple(only_from))]
        guard += [runs.c[name] == value for name, value in (only_if or {}).items()]
        guard += [~schema.owned_by_others(run_id, sole_owner)] if sole_owner else []
        staged: list[tuple[Path, Path]] = []
        try:
            staged += (self._stage(run_id, name, blob) for name, blob in (files or {}).items())
            with self._writing() as connection:
                changing = runs.update().where(*guard).values(changes=runs.c.changes + 1, **schema.stamped(changed))
                if connection.execute(changing).rowcount == 0:
                    return False
                for table, new in ((schema.records, rows), (schema.results, found)):
                    if new:
                        connection.execute(table.insert().prefix_with("OR IGNORE"), new)
                if found:
                    bodies = connection.execute(sa.select(schema.results.c.body).where(schema.results.c.run == run_id)).scalars()
                    connection.execute(runs.update().where(runs.c.id == run_id).values(schema.mean_accuracies(bodies)))
                for temporary, path in staged:
                    temporary.replace(path)
                if drop_state:
                    self._file(run_id, STATE).unlink(missing_ok=True)
            return True
        finally:
            _discard(staged)

    def set_status(self, run_id: str, status: str, *, only_from: Iterable[str] = STATUSES, **changed: object) -> bool:
        """Change the status, and other columns with it, if the status is one of `only_from` now. Returns whether it did."""
        return self.write(run_id, only_from=only_from, status=status, **changed)

    def update(self, run_id: str, *, only_from: Iterable[str] = STATUSES, **changed: object) -> bool:
        """Change columns of the run, if its status is one of `only_from`. Returns whether it did."""
        return self.write(run_id, only_from=only_from, **changed)

    def append(self, run_id: str, records: Iterable[dict], **changed: object) -> bool:
        """Add records and results, together with changed columns. Returns False for a run that was deleted."""
        return self.write(run_id, records=records, **changed)

    def version(self, run_id: str) -> tuple[int, int]:
        """`(changes, resets)`: while both are the same, nothing about the run is new. One row by its key: cheap to poll.

        After a reset, the records that a page has read are no longer there.
        """
        with self._reading() as connection:
            row = connection.execute(sa.select(runs.c.changes, runs.c.resets).where(runs.c.id == run_id)).one_or_none()
        return (-1, -1) if row is None else tuple(row)

    def versions(self, run_ids: Iterable[str]) -> dict[str, int]:
        """`changes` of several runs in one query; a run that is not there is left out."""
        with self._reading() as connection:
            return dict(map(tuple, connection.execute(sa.select(runs.c.id, runs.c.changes).where(runs.c.id.in_(tuple(run_ids))))))

    def reset(self, run_id: str, *, sole_owner: str = "") -> bool:
        """Back to before the first step: no records, results or files; paused at epoch 0.

        Returns whether there is such a run; with `sole_owner`, one without another owner.
        """
        guard = [runs.c.id == run_id] + ([~schema.owned_by_others(run_id, sole_owner)] if sole_owner else [])
        with self._writing() as connection:
            if connection.execute(runs.update().where(*guard).values(**schema.BLANK, touched=time.time())).rowcount == 0:
                return False
            for table in (schema.records, schema.results):
                connection.execute(table.delete().where(table.c.run == run_id))
            discarded = self._put_aside(run_id)  # inside: a later write must not lose its files
        shutil.rmtree(discarded, ignore_errors=True)
        return True

    def delete(self, run_id: str, *, only_from: Iterable[str] = STATUSES, sole_owner: str = "") -> bool:
        """Delete the run, its records and its artefacts. Returns whether there was such a run; guards as in `write`."""
        guard = [runs.c.id == run_id, runs.c.status.in_(tuple(only_from))]
        guard += [~schema.owned_by_others(run_id, sole_owner)] if sole_owner else []
        with self._writing() as connection:
            found = connection.execute(runs.delete().where(*guard)).rowcount == 1
        if found:
            shutil.rmtree(self._put_aside(run_id), ignore_errors=True)
        return found

    # --- for upkeep -------------------------------------------------------------------------------------------------

    def unused(self, *statuses: str, before: float = math.inf) -> list[str]:
        """The runs in these states that were last used before this time, the longest unused first."""
        query = sa.select(runs.c.id).where(runs.c.status.in_(statuses), runs.c.touched < before).order_by(runs.c.touched)
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def bytes_of_tables(self) -> int:
        """The pages of the file that hold something; those of deleted runs are used again."""
        with self._reading() as connection:
            pages, free, size = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def _put_aside(self, run_id: str) -> Path:
        """Rename the run's folder, so that removing it, which takes longer, holds nobody up; returns its new path."""
        folder = self._folder_of(run_id)
        aside = folder.with_name(f".{run_id}.{secrets.token_hex(6)}")
        with contextlib.suppress(FileNotFoundError):
            folder.replace(aside)
        return aside

    # --- records ----------------------------------------------------------------------------------------------------

    def records(self, run_id: str, *, after: int = 0) -> list[dict]:
        """Records in order of arrival, each with its `row`; only those after row `after`."""
        table = schema.records
        columns = [column for column in table.c if column.name != "run"]
        query = sa.select(*columns).where(table.c.run == run_id, table.c.row > after).order_by(table.c.row)
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def results(self, run_id: str) -> list[dict]:
        """The results, in the order of the experiments; none where one of them cannot be read."""
        table = schema.results
        query = sa.select(table.c.body).where(table.c.run == run_id).order_by(table.c.experiment)
        with self._reading() as connection:
            bodies = connection.execute(query).scalars().all()
        try:
            results = [json.loads(body) for body in bodies]
        except ValueError:
            return []
        return results if all(isinstance(one, dict) and isinstance(one.get("student"), dict) for one in results) else []

    def is_damaged(self, run_id: str) -> bool:
        """Whether the run has results that cannot be read."""
        query = sa.select(sa.func.count()).where(schema.results.c.run == run_id)
        with self._reading() as connection:
            stored = connection.execute(query).scalar_one()
        return stored > 0 and not self.results(run_id)

    # --- artefacts --------------------------------------------------------------------------------------------------

    def write_artefact(self, run_id: str, name: str, blob: bytes) -> Path:
        """Keep a file with the run, whole or not at all."""
        staged = self._stage(run_id, name, blob)
        temporary, path = staged
        try:
            with self._explained():
                temporary.replace(path)
        finally:
            _discard([staged])
        return path

    def _stage(self, run_id: str, name: str, blob: bytes) -> tuple[Path, Path]:
        """The file under a temporary name, on the disk; returns `(temporary, final)`."""
        path = self._file(run_id, name)
        temporary = path.with_name(f".{name}.{secrets.token_hex(6)}")  # of its own for each thread and process
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(blob)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                _discard([(temporary, path)])
                raise
        return temporary, path

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

    def has_artefact(self, run_id: str, name: str) -> bool:
        """Whether the run has a file of this name."""
        return self._file(run_id, name).is_file()

    def save_state(self, run_id: str, state: bytes) -> None:
        """Keep what the run needs to go on later."""
        self.write_artefact(run_id, STATE, state)

    def load_state(self, run_id: str) -> bytes | None:
        """What `save_state` wrote, or None."""
        path = self._file(run_id, STATE)
        with self._explained():
            return path.read_bytes() if path.exists() else None

    def _folder_of(self, run_id: str) -> Path:
        return self._file(run_id, "x").parent

    def _file(self, run_id: str, name: str) -> Path:
        """The path of an artefact. Ids and names come from links: neither may lead out of the folder."""
        for part in (run_id, name):
            if not re.fullmatch(r"\w[\w.-]*", part, re.ASCII):
                raise StoreError(f"'{part}' is not the name of a run or an artefact; choose one from the list of runs")
        return self.folder / run_id / name

    # --- the file ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _check_schema(self) -> None:
        """Refuse a database of a newer lab before anything is written to it."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.SCHEMA_VERSION:
            raise StoreError(
                f"the runs in {self.path} were written by a newer Distill Lab (version {version} of the tables, "
                f"this one reads up to {schema.SCHEMA_VERSION}); "
                "update the lab, or set DISTILL_HOME to another folder"
            )

    def _make_tables(self) -> None:
        """Make the tables of a new file; bring those of an older lab up to date. One of this version is not written to."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=LOCK_SECONDS)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION:
                return
            connection.execute("PRAGMA journal_mode = WAL")  # stays with the file; readers never wait for the writer
        with self._writing() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version == 0:
                schema.tables.create_all(connection)
            for earlier in range(version or schema.SCHEMA_VERSION, schema.SCHEMA_VERSION):
                for statement in schema.MIGRATIONS[earlier]:
                    connection.exec_driver_sql(statement)
            if version != schema.SCHEMA_VERSION:
                connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")

    def _select(self, query: sa.Select) -> list[Run]:
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [Run(**{**row, "experiments": tuple(json.loads(row["experiments"]))}) for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that takes the lock for writing at its beginning: if it asked later, SQLite would refuse at once.

        The threads of a server take turns, because SQLite's own way of waiting is not fair. Where one has found the
        database locked from outside, those that wait behind it do not try again: all of them report the lock at once.
        """
        began = time.monotonic()
        with self._turn, self._explained():
            if self._locked_at > began:
                raise sqlite3.OperationalError("database is locked")
            with self._engine.connect() as connection:
                try:
                    transaction = connection.execution_options(begin="BEGIN IMMEDIATE").begin()
                except sa.exc.OperationalError as error:
                    if "locked" in str(error.orig):
                        self._locked_at = time.monotonic()
                    raise
                with transaction:
                    yield connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the disk and of SQLite as a `StoreError` of one sentence.

        Errors of the program itself, such as a violated constraint, stay what they are: to try again would not help.
        """
        try:
            yield
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.InterfaceError, sa.exc.DataError):
            raise
        except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
            raise StoreError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        cause = str(getattr(error, "orig", None) or error).lower()
        folder = self.path.parent
        if "disk is full" in cause or "no space left" in cause or "file too large" in cause or "quota" in cause:
            return f"the disk with {folder} is full; free some space, and what was not written yet is written then"
        if any(
            sign in cause for sign in ("readonly", "read-only", "unable to open", "permission denied", "not a directory", "file exists")
        ):
            return f"{folder} cannot be written; make it writable, or set DISTILL_HOME to another folder"
        if "locked" in cause or "busy" in cause:
            return f"{self.path} is locked by another program; close it and try again"
        if "not a database" in cause or "malformed" in cause:
            return f"{self.path} is not a database of the lab, or is damaged; move it away and the lab starts a new one"
        return f"{self.path} cannot be used ({cause}); check the disk, or set DISTILL_HOME to another folder"


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    """Each connection: wait for other writers, check foreign keys, and leave it to `_begin` to begin transactions."""
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {LOCK_SECONDS * 1000:.0f}",
        "foreign_keys = ON",
        "synchronous = NORMAL",
        "journal_size_limit = 64000000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _add_owner(connection: sa.Connection, run_id: str, owner_hash: str) -> None:
    connection.execute(owners.insert().prefix_with("OR IGNORE").values(run=run_id, owner_hash=owner_hash))


def _counts(connection: sa.Connection, owner_hash: str, address_hash: str) -> tuple[Count, Count, Count]:
    of_address = runs.c.address_hash == address_hash if address_hash else sa.false()
    return tuple(Count(*connection.execute(schema.count(*of)).one()) for of in ([runs.c.owner_hash == owner_hash], [of_address], []))


def _newest(
    columns: Iterable[sa.Column], *, text: str = "", dataset: str = "", status: str = "", visible: Visible | None = None
) -> sa.Select:
    query = sa.select(*columns).order_by(runs.c.created.desc(), sa.desc(sa.literal_column("runs.rowid")))
    if text:
        query = query.where(sa.or_(*(column.contains(text, autoescape=True) for column in (runs.c.title, runs.c.id, runs.c.experiments))))
    if dataset:
        query = query.where(runs.c.dataset.contains(dataset, autoescape=True))
    if status:
        query = query.where(runs.c.status == schema.check_status(status))
    if visible is not None:
        own = sa.select(owners.c.run).where(owners.c.owner_hash == visible.owner_hash)
        query = query.where(runs.c.kind != visible.without, sa.or_(runs.c.dataset.in_(visible.datasets), runs.c.id.in_(own)))
    return query


def _discard(staged: Iterable[tuple[Path, Path]]) -> None:
    """Remove staged files that were not used, and the folder of a run that was deleted meanwhile."""
    for temporary, path in staged:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            path.parent.rmdir()  # fails where there are other files in it
