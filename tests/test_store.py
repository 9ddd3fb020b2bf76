"""The store keeps what was written, once: under repetition, many threads, two processes, and a disk that fails."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_core.runs.schema import SCHEMA_VERSION, STATUSES
from distill_core.runs.store import Store, StoreError
from distill_core.runs.transitions import TRANSITIONS, transition

DIGITS = '{"dataset": "digits", "epochs": 3, "temperature": 4.0}'
MNIST = '{"dataset": "mnist", "epochs": 5, "temperature": 9.0}'


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lab.sqlite")


def record(step, member="student", experiment=0, **measured):
    place = {"event": "record", "experiment": experiment, "member": member, "step": step, "epoch": step / 10, "seconds": 0.1}
    return {**place, "hard_loss": 2.0, "soft_loss": None, "test_accuracy": 0.5, "agreement": None, **measured}


def test_a_new_run_is_queued_with_what_its_experiments_say(store):
    run = store.get(store.create([DIGITS, MNIST], key="k", title="two"))
    assert (run.status, run.dataset, run.epochs, run.experiments) == ("queued", "digits, mnist", 5, (DIGITS, MNIST))


def test_a_run_that_is_not_there_is_none_and_has_no_records(store):
    assert store.get("nowhere") is None
    assert store.records("nowhere") == store.results("nowhere") == store.artefacts("nowhere") == []


def test_everything_is_still_there_after_opening_again(tmp_path):
    first = Store(tmp_path / "lab.sqlite")
    run_id = first.create([DIGITS], key="k")
    first.append(run_id, [record(1), {"event": "result", "experiment": 0, "student": {"test_accuracy": 0.9}}])
    first.close()
    again = Store(tmp_path / "lab.sqlite")
    assert again.get(run_id).status == "queued"
    assert [one["step"] for one in again.records(run_id)] == [1]
    assert again.results(run_id)[0]["student"] == {"test_accuracy": 0.9}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["student", "baseline"]), st.integers(0, 5)), max_size=30), st.integers(0, 30))
def test_records_written_twice_are_there_once_in_the_order_of_their_first_writing(places, cut):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "lab.sqlite")
        run_id = store.create([DIGITS], key="k")
        records = [record(step, member, experiment) for experiment, member, step in places]
        store.append(run_id, records[:cut])
        store.append(run_id, records)
        found = [(one["experiment"], one["member"], one["step"]) for one in store.records(run_id)]
        assert found == list(dict.fromkeys(places))
        store.close()


def test_records_after_a_row_are_only_the_new_ones(store):
    run_id = store.create([DIGITS], key="k")
    store.append(run_id, [record(1), record(2)])
    seen = store.records(run_id)[-1]["row"]
    store.append(run_id, [record(3)])
    assert [one["step"] for one in store.records(run_id, after=seen)] == [3]


def test_version_changes_with_each_change_and_only_then(store):
    run_id = store.create([DIGITS], key="k")
    seen = [store.version(run_id)]
    for change in (
        lambda: store.append(run_id, [record(1)]),
        lambda: store.set_status(run_id, "running"),
        lambda: store.update(run_id, fraction=0.5),
        lambda: store.reset(run_id),
    ):
        change()
        assert store.version(run_id) == store.version(run_id)
        seen.append(store.version(run_id))
    assert len(set(seen)) == len(seen)


def test_status_changes_only_from_the_status_that_was_expected(store):
    run_id = store.create([DIGITS], key="k")
    assert not store.set_status(run_id, "finished", only_from=("running",))
    assert store.get(run_id).status == "queued"
    assert store.set_status(run_id, "running", only_from=("queued",))
    assert store.get(run_id).started is not None
    with pytest.raises(ValueError, match="choose one of: queued"):
        store.set_status(run_id, "dreaming")


def test_reset_forgets_records_results_and_files_and_row_numbers_are_not_given_again(store):
    run_id = store.create([DIGITS], key="k")
    store.append(run_id, [record(1), {"event": "result", "experiment": 0}], epoch=3.0)
    store.save_state(run_id, b"state")
    last = store.records(run_id)[-1]["row"]
    store.reset(run_id)
    assert store.records(run_id) == store.results(run_id) == store.artefacts(run_id) == []
    assert (store.get(run_id).status, store.get(run_id).epoch, store.load_state(run_id)) == ("paused", 0.0, None)
    store.append(run_id, [record(1)])
    assert store.records(run_id)[0]["row"] > last


def test_delete_takes_records_and_files_and_nothing_of_others(store):
    one, other = store.create([DIGITS], key="k"), store.create([DIGITS], key="k")
    for run_id in (one, other):
        store.append(run_id, [record(1)])
        store.write_artefact(run_id, "weights.safetensors", b"weights")
    assert store.delete(one)
    assert store.get(one) is None
    assert store.records(one) == store.artefacts(one) == []
    assert store.read_artefact(other, "weights.safetensors") == b"weights"
    store.append(one, [record(2)])  # a late report of a deleted run
    assert store.records(one) == []


def test_runs_are_found_by_text_data_set_and_status_newest_first(store):
    first, second = store.create([DIGITS], key="a", title="100 % warm"), store.create([MNIST], key="b", status="paused")
    assert [run.id for run in store.list()] == [second, first]
    assert [run.id for run in store.list(text="100 %")] == [first]
    assert [run.id for run in store.list(dataset="mnist")] == [second]
    assert [run.id for run in store.list(status="paused")] == [second]
    assert store.list(text="%") == [store.get(first)]


def test_only_a_finished_run_is_a_cached_result(store):
    run_id = store.create([DIGITS], key="k")
    assert store.finished_with_key("k") is None
    assert store.create_or_join([DIGITS], key="k") == (run_id, False)
    store.set_status(run_id, "finished")
    assert store.finished_with_key("k").id == run_id
    assert store.servers() == set()


@pytest.mark.parametrize("name", ["../lab.sqlite", "..", "/etc/passwd", "", ".hidden", "a/b"])
def test_an_artefact_never_leaves_its_folder(store, name):
    run_id = store.create([DIGITS], key="k")
    with pytest.raises(StoreError, match="is not the name"):
        store.read_artefact(run_id, name)
    with pytest.raises(StoreError, match="is not the name"):
        store.artefacts(name)


def test_a_missing_artefact_is_named_in_a_sentence(store):
    with pytest.raises(StoreError, match=r"has no artefact 'weights\.safetensors'"):
        store.read_artefact(store.create([DIGITS], key="k"), "weights.safetensors")


def test_many_threads_lose_nothing(store):
    run_id = store.create([DIGITS], key="k")
    writers = [threading.Thread(target=lambda i=i: [store.append(run_id, [record(100 * i + n)]) for n in range(10)]) for i in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(store.records(run_id)) == 200
    assert store.version(run_id)[0] == 200


def test_two_processes_write_the_same_file(store):
    run_id = store.create([DIGITS], key="k")
    program = (
        "import sys; from distill_core.runs.store import Store; store = Store(sys.argv[1])\n"
        "for step in range(100, 150):\n"
        "    store.append(sys.argv[2], [dict(event='record', experiment=0, member='student', step=step, epoch=1.0, seconds=1.0)])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    other = subprocess.Popen([sys.executable, "-c", program, str(store.path), run_id], env=env)
    for step in range(50):
        store.append(run_id, [record(step)])
    assert other.wait(timeout=30) == 0
    assert len(store.records(run_id)) == 100


def test_the_store_imports_no_torch():
    program = "import sys, distill_core.runs.store, distill_core.runs.engine; sys.exit('torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", program], env=env, timeout=60).returncode == 0


# --- guarded writes -------------------------------------------------------------------------------------------------


def test_a_write_whose_guard_fails_changes_neither_rows_nor_files(store):
    run_id = store.create([DIGITS], key="k")
    store.write(run_id, submission="now", files={"weights.safetensors": b"new"})
    before = store.get(run_id)
    for guard in ({"only_if": {"submission": "earlier"}}, {"only_if": {"server": "other"}}, {"only_from": ("paused",)}):
        late = {"records": [record(1)], "files": {"weights.safetensors": b"late", "x.bin": b"late"}, "drop_state": True, "epoch": 9.0}
        assert not store.write(run_id, **guard, **late)
    assert store.get(run_id) == before and store.records(run_id) == []
    assert store.artefacts(run_id) == ["weights.safetensors"]
    assert store.read_artefact(run_id, "weights.safetensors") == b"new"


def test_a_late_write_leaves_no_folder_of_a_deleted_run(store):
    run_id = store.create([DIGITS], key="k")
    store.delete(run_id)
    assert not store.write(run_id, files={"state.bin": b"late"})
    assert not (store.folder / run_id).exists()


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("status", STATUSES)
def test_a_transition_happens_from_its_sources_only(store, name, status):
    run_id = store.create([DIGITS], key="k")
    store.set_status(run_id, status, submission="task")
    store.save_state(run_id, b"state")
    rule = TRANSITIONS[name]
    assert transition(store, run_id, name) == (status in rule.sources)
    run = store.get(run_id)
    assert run.status == (rule.target if status in rule.sources else status)
    assert (run.submission == "") == (status in rule.sources and rule.leaves_worker)
    assert (store.load_state(run_id) is None) == (status in rule.sources and rule.drops_state)


def test_a_run_that_is_over_changes_its_status_by_reset_only():
    for name, rule in TRANSITIONS.items():
        assert not set(rule.sources) & {"finished", "stopped", "failed"}, name
        assert rule.leaves_worker or rule.target in ("preparing", "running"), name


def test_an_error_of_the_program_is_not_reported_as_one_of_the_disk(store):
    run_id = store.create([DIGITS], key="k")
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        store.update(run_id, status="running", title=None)
    with pytest.raises(TypeError):
        store.append(run_id, [{"event": "result", "experiment": 0, "body": object()}])
    assert store.get(run_id).status == "queued"


def test_equal_experiments_submitted_by_many_threads_at_once_are_one_run(store):
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.create_or_join([DIGITS], key="k"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run_id for run_id, _ in found}) == sum(is_new for _, is_new in found) == len(store.list()) == 1


def test_a_queue_that_refuses_a_run_gets_the_numbers_and_leaves_no_run(store):
    store.create([DIGITS], key="a", owner_hash="me")
    store.create([DIGITS], key="b", owner_hash="you")

    def refuse(own, of_address, everyone):
        raise ValueError(f"{own.active} of {everyone.active}")

    with pytest.raises(ValueError, match="1 of 2"):
        store.create_or_join([DIGITS], key="c", owner_hash="me", check_queue=refuse)
    assert len(store.list()) == 2


# --- what cannot be -------------------------------------------------------------------------------------------------


SCHEMA_OF_VERSION_1 = """
CREATE TABLE runs (id VARCHAR NOT NULL PRIMARY KEY, key VARCHAR NOT NULL, kind VARCHAR NOT NULL, title VARCHAR NOT NULL,
  experiments VARCHAR NOT NULL, dataset VARCHAR NOT NULL, status VARCHAR NOT NULL, message VARCHAR NOT NULL, what VARCHAR NOT NULL,
  fraction FLOAT NOT NULL, epoch FLOAT NOT NULL, epochs INTEGER NOT NULL, until_epoch INTEGER, created FLOAT NOT NULL, started FLOAT,
  finished FLOAT, seconds FLOAT NOT NULL, owner_hash VARCHAR NOT NULL, resets INTEGER NOT NULL, changes INTEGER NOT NULL);
CREATE TABLE records (row INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, run VARCHAR NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  experiment INTEGER NOT NULL, member VARCHAR NOT NULL, step INTEGER NOT NULL, epoch FLOAT NOT NULL, seconds FLOAT NOT NULL,
  hard_loss FLOAT, soft_loss FLOAT, test_accuracy FLOAT, agreement FLOAT, UNIQUE (run, experiment, member, step));
CREATE TABLE results (run VARCHAR NOT NULL REFERENCES runs (id) ON DELETE CASCADE, experiment INTEGER NOT NULL, body VARCHAR NOT NULL,
  PRIMARY KEY (run, experiment));
INSERT INTO runs VALUES ('old', 'k', 'race', 'before', '["{}"]', 'digits',
  'running', '', '', 0, 2.0, 3, NULL, 1.0, 2.0, NULL, 5.0, '', 0, 7);
INSERT INTO records VALUES (1, 'old', 0, 'student', 10, 1.0, 0.5, 2.0, NULL, 0.5, NULL);
INSERT INTO results VALUES ('old', 0, '{"event": "result", "student": {}}');
PRAGMA user_version = 1;
"""


def test_a_database_of_version_1_is_migrated_and_keeps_its_runs(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "lab.sqlite")) as connection:
        connection.executescript(SCHEMA_OF_VERSION_1)
    for _ in range(2):  # the second opening finds nothing to do
        store = Store(tmp_path / "lab.sqlite")
        run = store.get("old")
        assert (run.title, run.status, run.epoch, run.changes) == ("before", "running", 2.0, 7)
        assert (run.server, run.submission, run.deaths) == ("", "", 0)
        assert [(one["step"], one["validation_accuracy"]) for one in store.records("old")] == [(10, None)]
        assert store.results("old") == [{"event": "result", "student": {}}]
        assert store.servers() == {""}
        store.close()
    store = Store(tmp_path / "lab.sqlite")
    assert store.write("old", only_if={"server": ""}, server="me", submission="task", deaths=1)
    assert [claim.id for claim in store.active_of("me")] == ["old"]
    fresh = Store(tmp_path / "new.sqlite")
    for table in ("runs", "records"):
        columns = [{name for _, name, *_ in one._engine.raw_connection().execute(f"PRAGMA table_info({table})")} for one in (store, fresh)]
        assert columns[0] == columns[1]


def test_a_newer_database_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "lab.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (something_new)")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer Distill Lab"):
        Store(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["lab.sqlite"]


def test_a_file_that_is_no_database_is_named_in_a_sentence(tmp_path):
    (tmp_path / "lab.sqlite").write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StoreError, match="is not a database of the lab"):
        Store(tmp_path / "lab.sqlite")


def test_a_folder_that_cannot_be_written_is_named_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be written; make it writable, or set DISTILL_HOME"):
        Store(tmp_path / "file" / "lab.sqlite")


@contextlib.contextmanager
def without_rights():
    """Root may write everywhere: become nobody for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights work otherwise on this system")
def test_a_read_only_folder_is_named_in_a_sentence_and_its_runs_stay():
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        store = Store(folder / "lab.sqlite")
        run_id = store.create([DIGITS], key="k")
        store.close()
        (folder / "lab.sqlite").chmod(0o444)
        folder.chmod(0o555)
        with without_rights(), pytest.raises(StoreError, match="cannot be written; make it writable"):
            Store(folder / "lab.sqlite").create([DIGITS], key="k")
        (folder / "lab.sqlite").chmod(0o644)
        folder.chmod(0o755)
        assert [run.id for run in Store(folder / "lab.sqlite").list()] == [run_id]


def test_a_full_disk_is_named_in_a_sentence_and_nothing_is_lost(store):
    run_id = store.create([DIGITS], key="k")
    store.append(run_id, [record(1)])
    with store._engine.connect() as connection:  # one connection of the pool, of a size that is used up
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="is full; free some space"):
        store.append(run_id, [record(step) for step in range(2, 5000)])
    assert [one["step"] for one in store.records(run_id)] == [1]
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.append(run_id, [record(step) for step in range(2, 5000)])
    assert len(store.records(run_id)) == 4999


def test_an_artefact_that_does_not_fit_leaves_the_old_one_whole(store, monkeypatch):
    run_id = store.create([DIGITS], key="k")
    store.write_artefact(run_id, "state.bin", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="is full; free some space"):
        store.save_state(run_id, b"new")
    assert store.load_state(run_id) == b"old"
    assert store.artefacts(run_id) == ["state.bin"]
    assert len(list((store.folder / run_id).iterdir())) == 1


def test_files_of_which_one_does_not_fit_leave_nothing_behind(store, monkeypatch):
    run_id, sync, calls = store.create([DIGITS], key="k"), os.fsync, []

    def second_is_full(file):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", second_is_full)
    with pytest.raises(StoreError, match="is full; free some space"):
        store.write(run_id, files={"a.bin": b"a", "b.bin": b"b"}, epoch=1.0)
    assert store.get(run_id).epoch == 0.0
    assert not (store.folder / run_id).exists()
