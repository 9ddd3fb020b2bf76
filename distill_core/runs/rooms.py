"""A room: what a lecturer and the learners of a class share while it is open. One room at a time, in a small file of its own.

It survives a restart of the server, and votes are transactions: of thirty at once none is lost, and a browser has one.
Nothing in it names a person. A browser is a seat number and a hash that no other room repeats; closing the room deletes
everything, and SQLite overwrites it in the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # no letter that looks like a digit
MAX_SEATS = 300
MAX_ANSWERS = 12  # choices of one question
MAX_TEXT = 200  # characters of a question or a choice
GUESSES = (-30.0, 30.0)  # percentage points
CHIPS = 10  # of 10 % each, which a learner distributes over the classes of one image
SPREAD = [(t, a) for a in (0.05, 0.2, 0.4, 0.6, 0.8) for t in (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)]  # T and alpha of a class

_TABLES = """
CREATE TABLE IF NOT EXISTS room (code TEXT PRIMARY KEY, opened REAL NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seats (browser TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    activity TEXT NOT NULL, browser TEXT NOT NULL, item INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (activity, browser, item)
);
CREATE TABLE IF NOT EXISTS started (
    run TEXT NOT NULL, browser TEXT NOT NULL, at REAL NOT NULL, is_new INTEGER NOT NULL, PRIMARY KEY (run, browser)
);
"""


@dataclass(frozen=True)
class Activity:
    """What the lecturer asks: a number of points, one of several choices, or ten images to split over the classes."""

    id: str
    kind: str  # number, choice, teacher
    text: str
    choices: tuple[str, ...] = ()  # answers of a choice, class names of a teacher
    preset: str = ""  # whose measured difference is the answer to a number
    dataset: str = ""  # of the images
    images: tuple[int, ...] = ()  # test images by index
    revealed: bool = False
    result: dict | None = None  # of the students that trained on the consensus


@dataclass(frozen=True)
class Call:
    """Brings every learner to a page, once: the class page, or the race with a preset."""

    number: int
    page: str  # classroom, race
    preset: str = ""
    spread: bool = False  # each learner gets a temperature and an alpha of their own
    train: bool = False  # at once, without a press of Train


@dataclass(frozen=True)
class Room:
    """An open room. `version` goes up with every change that a learner may see."""

    code: str
    opened: float
    version: int
    hidden: tuple[str, ...] = ()  # titles of pages
    locked: tuple[str, ...] = ()  # settings of an Experiment that keep the value of `preset`
    preset: str = "first-race"
    board_shown: bool = False  # to learners too
    call: Call | None = None
    activity: Activity | None = None


class Started(NamedTuple):
    """A run of a learner in the room."""

    run: str
    seat: int
    at: float


@dataclass
class Rooms:
    """The room in the file at `path`, if one is open."""

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _connection: sqlite3.Connection | None = None

    # --- the lecturer -----------------------------------------------------------------------------------------------

    def open(self) -> Room:
        """Open a room; the one that is open already stays."""
        with self._writing() as connection:
            if room := _read(connection):
                return room
            code = "".join(secrets.choice(ALPHABET) for _ in range(5))
            connection.execute("INSERT INTO room VALUES (?, ?, 1, '{}')", (code, time.time()))
            return _read(connection)

    def close(self) -> list[str]:
        """Delete everything about the room; returns the runs that its learners started and nobody had before."""
        with self._writing() as connection:
            found = connection.execute("SELECT DISTINCT run FROM started WHERE is_new").fetchall()
            for table in ("room", "seats", "answers", "started"):
                connection.execute(f"DELETE FROM {table}")
        with self._explained(), self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return [run for (run,) in found]

    def change(self, **changes: object) -> Room:
        """Change what learners see: `hidden`, `locked`, `preset`, `board_shown`."""
        return self._change(lambda room: dataclasses.replace(room, **changes))

    def bring(self, page: str, **choices: object) -> Room:
        """Bring all learners to `page`, once."""
        return self._change(lambda room: dataclasses.replace(room, call=_next_call(room, page, **choices)))

    def ask(self, kind: str, text: str, **more: object) -> Room:
        """Ask the class; answers to the question before are deleted. Raises `ValueError` for what cannot be asked."""
        activity = Activity(id=secrets.token_hex(4), kind=kind, text=" ".join(text.split()), **more)
        _check_activity(activity)
        with self._writing() as connection:
            room = _read_open(connection)
            connection.execute("DELETE FROM answers")
            return _write(connection, dataclasses.replace(room, activity=activity, call=_next_call(room, "classroom")))

    def reveal(self, result: dict | None = None) -> Room:
        """Show the answers to all, and take no more."""

        def revealed(room: Room) -> Room:
            if room.activity is None:
                raise ValueError("there is no question to reveal; ask one first")
            return dataclasses.replace(room, activity=dataclasses.replace(room.activity, revealed=True, result=result))

        return self._change(revealed)

    def end_activity(self) -> Room:
        """Take the question from the page, and delete its answers."""
        with self._writing() as connection:
            connection.execute("DELETE FROM answers")
            return _write(connection, dataclasses.replace(_read_open(connection), activity=None))

    # --- learners ---------------------------------------------------------------------------------------------------

    def join(self, code: str, token: str) -> int:
        """A seat for this browser, the same one if it has one. Raises `ValueError` for a wrong code or a full room."""
        typed = "".join(code.split()).upper()[:20]
        with self._writing() as connection:
            room = _read(connection)
            if room is None or typed != room.code:
                raise ValueError(f"there is no room with the code {typed or '(empty)'}; type the five characters that the lecturer shows")
            if not token:
                raise ValueError("this browser has no token yet; reload the page and join again")
            if seat := _seat(connection, room.code, token):
                return seat
            seats, last = connection.execute("SELECT COUNT(*), COALESCE(MAX(number), 0) FROM seats").fetchone()
            if seats >= MAX_SEATS:
                raise ValueError(f"the room is full: it has {MAX_SEATS} seats; look at the lecturer's screen instead")
            connection.execute("INSERT INTO seats VALUES (?, ?)", (_mark(room.code, token), last + 1))
            return last + 1

    def leave(self, token: str) -> None:
        """Give the seat back, with its answers and its dots on the board."""
        with self._writing() as connection:
            if room := _read(connection):
                for table in ("seats", "answers", "started"):
                    connection.execute(f"DELETE FROM {table} WHERE browser = ?", (_mark(room.code, token),))

    def answer(self, activity: str, token: str, value: object, *, item: int = 0) -> None:
        """This browser's answer; a later one takes its place. Raises `ValueError` for one that does not count."""
        with self._writing() as connection:
            room = _read_open(connection)
            if not _seat(connection, room.code, token):
                raise ValueError("this browser is not in the room; join it with the code first")
            if room.activity is None or room.activity.id != activity:
                raise ValueError("this question is over; wait for the next one")
            if room.activity.revealed:
                raise ValueError("the answers are shown already; wait for the next question")
            _check_answer(room.activity, value, item)
            row = (activity, _mark(room.code, token), item, json.dumps(value))
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)

    def note_run(self, token: str, run: str, *, is_new: bool) -> None:
        """A run that this browser started becomes its dot on the board; nothing happens outside the room."""
        with self._writing() as connection:
            room = _read(connection)
            if room is not None and _seat(connection, room.code, token):
                row = (run, _mark(room.code, token), time.time(), int(is_new))
                connection.execute("INSERT OR IGNORE INTO started VALUES (?, ?, ?, ?)", row)

    def forget_run(self, run: str) -> None:
        """The run leaves the board."""
        with self._writing() as connection:
            connection.execute("DELETE FROM started WHERE run = ?", (run,))

    # --- questions --------------------------------------------------------------------------------------------------

    def current(self) -> Room | None:
        """The room that is open, or None. One row by one read: cheap to poll."""
        with self._reading() as connection:
            return _read(connection)

    def seat(self, token: str) -> int:
        """The number of this browser's seat; 0 if it has none."""
        with self._reading() as connection:
            room = _read(connection)
            return _seat(connection, room.code, token) if room is not None and token else 0

    def seats(self) -> int:
        """How many browsers are in the room."""
        with self._reading() as connection:
            return connection.execute("SELECT COUNT(*) FROM seats").fetchone()[0]

    def answers(self, item: int = 0) -> list:
        """All answers to the question that is asked, in no order that tells whose they are."""
        with self._reading() as connection:
            rows = connection.execute("SELECT value FROM answers WHERE item = ? ORDER BY browser", (item,)).fetchall()
        return [json.loads(value) for (value,) in rows]

    def answered(self) -> int:
        """How many browsers have answered it."""
        with self._reading() as connection:
            return connection.execute("SELECT COUNT(DISTINCT browser) FROM answers").fetchone()[0]

    def answers_of(self, token: str) -> dict[int, object]:
        """This browser's own answers, by item."""
        with self._reading() as connection:
            if (room := _read(connection)) is None:
                return {}
            query = "SELECT item, value FROM answers WHERE browser = ?"
            return {item: json.loads(value) for item, value in connection.execute(query, (_mark(room.code, token),))}

    def runs(self) -> list[Started]:
        """The runs that learners in the room started, oldest first."""
        query = "SELECT run, number, at FROM started JOIN seats USING (browser) ORDER BY at"
        with self._reading() as connection:
            return [Started(*row) for row in connection.execute(query)]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _change(self, change) -> Room:  # noqa: ANN001
        with self._writing() as connection:
            return _write(connection, change(_read_open(connection)))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), self._lock:
            yield self._connected()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. It takes the file's lock at its beginning, so that what it reads is still true when it writes."""
        with self._explained(), self._lock:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(_TABLES)
            self._connection = connection
        return self._connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ValueError(f"the room in {self.path} cannot be used now ({error}); free the disk or the file, and try again") from error


def spread(seat: int) -> tuple[float, float]:
    """Temperature and alpha of a seat, where each learner gets their own: the first seats are far apart, thirty fill the map."""
    return SPREAD[7 * seat % len(SPREAD)]


def consensus(answers: Sequence[Sequence[int]]) -> list[float]:
    """The mean distribution of one image over all learners, from their percentages."""
    return [sum(column) / len(answers) / 100 for column in zip(*answers, strict=True)]


def _mark(code: str, token: str) -> str:
    return hashlib.sha256(f"{code} {token}".encode()).hexdigest()[:32]


def _seat(connection: sqlite3.Connection, code: str, token: str) -> int:
    row = connection.execute("SELECT number FROM seats WHERE browser = ?", (_mark(code, token),)).fetchone()
    return row[0] if row else 0


def _read(connection: sqlite3.Connection) -> Room | None:
    row = connection.execute("SELECT code, opened, version, state FROM room").fetchone()
    if row is None:
        return None
    state = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(row[3]).items()}
    if call := state.get("call"):
        state["call"] = Call(**call)
    if activity := state.get("activity"):
        lists = {name: tuple(activity[name]) for name in ("choices", "images")}
        state["activity"] = Activity(**{**activity, **lists})
    return Room(*row[:3], **state)


def _read_open(connection: sqlite3.Connection) -> Room:
    if (room := _read(connection)) is None:
        raise ValueError("the room is closed; join another one with its code")
    return room


def _write(connection: sqlite3.Connection, room: Room) -> Room:
    state = {name: value for name, value in dataclasses.asdict(room).items() if name not in ("code", "opened", "version")}
    connection.execute("UPDATE room SET version = version + 1, state = ?", (json.dumps(state),))
    return dataclasses.replace(room, version=room.version + 1)


def _next_call(room: Room, page: str, **choices: object) -> Call:
    return Call(number=room.call.number + 1 if room.call else 1, page=page, **choices)


def _check_activity(activity: Activity) -> None:
    if activity.kind not in ("number", "choice", "teacher"):
        raise ValueError(f"question '{activity.kind}' is not known; choose one of: number, choice, teacher")
    if not activity.text or len(activity.text) > MAX_TEXT:
        raise ValueError(f"a question of {len(activity.text)} characters cannot be shown; write from 1 to {MAX_TEXT}")
    if activity.kind == "choice":
        if not 2 <= len(activity.choices) <= MAX_ANSWERS:
            raise ValueError(
                f"{len(activity.choices)} answers to choose from cannot be shown; write from 2 to {MAX_ANSWERS}, one on a line"
            )
        if too_long := next((one for one in activity.choices if len(one) > MAX_TEXT), None):
            raise ValueError(f"an answer of {len(too_long)} characters cannot be shown; write {MAX_TEXT} at most")
    if activity.kind == "teacher" and not (activity.images and len(activity.choices) > 1):
        raise ValueError("there is no image to split over classes; choose a data set that is on this machine")


def _check_answer(activity: Activity, value: object, item: int) -> None:
    """Raise `ValueError` for an answer that the page cannot send, and a hand-made message can."""
    if activity.kind == "number":
        if type(value) not in (int, float) or not math.isfinite(value) or not GUESSES[0] <= value <= GUESSES[1] or item != 0:
            raise ValueError(f"guess {str(value)[:20]} does not count; give a number from {GUESSES[0]:g} to {GUESSES[1]:g}")
    elif activity.kind == "choice":
        if type(value) is not int or not 0 <= value < len(activity.choices) or item != 0:
            raise ValueError(f"answer {str(value)[:20]} does not count; choose one of the {len(activity.choices)} answers")
    else:
        shares = value if isinstance(value, list) else []
        whole = len(shares) == len(activity.choices) and all(type(one) is int and one >= 0 for one in shares) and sum(shares) == 100
        if not whole or type(item) is not int or not 0 <= item < len(activity.images):
            raise ValueError(f"the soft label {str(value)[:40]} does not count; split 100 % over the {len(activity.choices)} classes")
