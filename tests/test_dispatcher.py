"""The dispatcher turn by turn, with workers that the test controls: guards, retries, and two servers on one store."""

import contextlib
import itertools
import sqlite3
import threading
import time

import pytest

from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store, StoreError

SEEDS = itertools.count(9000)


class Future:
    """A task that ends when the test ends it."""

    def __init__(self):
        self.callbacks, self.outcome = [], None

    def add_done_callback(self, callback):
        self.callbacks.append(callback)

    def end(self, outcome=None):
        """With an outcome, or without one as when the worker died."""
        self.outcome = outcome
        for callback in self.callbacks:
            callback(self)


class Workers:
    """In the place of a Cluster: `names` are the workers, `tasks` what was submitted, `requests` what was asked of tasks."""

    def __init__(self, *names):
        self.names, self.address, self.client = names, None, object()
        self.tasks, self.options, self.requests, self.others = {}, {}, [], {}

    def processing(self):
        return {name: self.others.get(name, []) for name in self.names}

    def gpu_workers(self):
        return {name for name in self.names if name.startswith("gpu")}

    def submit(self, submission, experiments, *, worker, **options):
        self.tasks[submission], self.options[submission] = Future(), {"worker": worker, **options}
        return self.tasks[submission]

    def outcome(self, future):
        return future.outcome

    def request(self, submission, what):
        self.requests.append((submission, what))

    def fetch_snapshot(self, submission, worker, then):
        then({"state": b"snapshot", "artefacts": {"weights.safetensors": b"w"}})

    def disconnect(self, **_):
        self.client = None


@pytest.fixture
def server(tmp_path):
    """`server(workers)`: an engine on this test's store, whose dispatcher moves only when `turn` is called."""
    engines = []

    def make(*names):
        engine = Engine(Store(tmp_path / "lab.sqlite"))
        engine.dispatcher.cluster = Workers(*names)
        engine.dispatcher.server.start()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispatcher.server.stop()
        engine.store.close()


def turn(engine):
    """One turn of the dispatcher, and a second for what the first has put into its inbox."""
    loop = engine.dispatcher
    loop._due = dict.fromkeys(loop._due, 0.0)
    for _ in range(2):
        trouble = loop._keep_up()
        loop._find_workers()
        loop._assign()
        while not loop._inbox.empty():
            if message := loop._inbox.get_nowait():
                message()
        loop._trouble = loop._write() or trouble


def race(**choices):
    return [Experiment(images=100, epochs=4, seed=next(SEEDS), **choices)]


def submit(engine, **options):
    run_id, _ = engine.submit(race(), **options)
    turn(engine)
    return run_id, engine.store.get(run_id).submission


def event(engine, submission, about, **message):
    engine.dispatcher._inbox.put(lambda: engine.dispatcher._on_event({"submission": submission, "about": about, "worker": "a", **message}))
    turn(engine)


def record(step=1):
    return {"event": "record", "experiment": 0, "member": "student", "step": step, "epoch": 1.0, "seconds": 0.1}


def outcome(kind="finished", **more):
    return {"outcome": kind, "message": "", "records": [record()], "artefacts": {"weights.safetensors": b"w"}, "epoch": 4.0, **more}


def end(engine, submission, result=None):
    engine.dispatcher.cluster.tasks[submission].end(result)
    turn(engine)


# --- one server -----------------------------------------------------------------------------------------------------


def test_a_run_goes_from_the_queue_to_its_result(server):
    engine = server("a")
    run_id, submission = submit(engine)
    assert engine.dispatcher.cluster.options[submission]["worker"] == "a"
    event(engine, submission, "started", epochs=4)
    assert engine.store.get(run_id).status == "preparing"
    event(engine, submission, "records", records=[record()], epoch=1.0, seconds=0.1)
    assert (engine.store.get(run_id).status, len(engine.store.records(run_id))) == ("running", 1)
    version = engine.store.version(run_id)[0]
    event(engine, submission, "files", files={"texts.json": b"{}"})
    assert engine.store.read_artefact(run_id, "texts.json") == b"{}" and engine.store.version(run_id)[0] == version + 1
    event(engine, "another", "files", files={"texts.json": b"late"})
    assert engine.store.read_artefact(run_id, "texts.json") == b"{}"
    end(engine, submission, outcome())
    run = engine.store.get(run_id)
    assert (run.status, run.epoch, run.submission, engine.position(run_id)) == ("finished", 4.0, "", None)
    assert engine.store.artefacts(run_id) == ["texts.json", "weights.safetensors"]


def test_a_stopped_runs_worker_gets_no_run_before_its_task_has_ended(server):
    engine = server("a")
    first, submission = submit(engine)
    second, _ = engine.submit(race())
    engine.stop(first)
    turn(engine)
    assert engine.store.get(first).status == "stopped"
    assert engine.dispatcher.cluster.requests == [(submission, "stop")]
    assert engine.position(second) == 1  # the step of the first run is not over
    end(engine, submission, outcome("stopped"))
    turn(engine)
    assert engine.position(second) == 0
    assert engine.store.records(first) == []  # the task's late report


@pytest.mark.parametrize("control", ["stop", "reset", "delete"])
def test_what_a_task_reports_after_its_run_was_taken_away_changes_nothing(server, control):
    engine = server("a")
    run_id, submission = submit(engine)
    loop = engine.dispatcher
    late = [
        lambda: loop._on_event({"submission": submission, "about": "records", "records": [record()], "epoch": 2.0, "seconds": 1.0}),
        lambda: loop._on_event({"submission": submission, "about": "snapshot", "worker": "a"}),
    ]
    for message in late:
        message()  # into the list of writes, just before the control
    getattr(engine, control)(run_id)
    before = engine.store.get(run_id)
    end(engine, submission, outcome())
    assert engine.store.get(run_id) == before
    assert engine.store.records(run_id) == engine.store.artefacts(run_id) == []
    assert not (engine.store.folder / run_id).exists()


def test_a_removed_run_that_only_now_starts_is_asked_to_stop(server):
    engine = server("a")
    run_id, submission = submit(engine)
    engine.stop(run_id)
    turn(engine)
    engine.dispatcher.cluster.requests.clear()  # a worker that came later has not received the request
    event(engine, submission, "started", epochs=4)
    assert engine.dispatcher.cluster.requests == [(submission, "stop")]


def test_a_snapshot_is_fetched_and_the_run_goes_on_from_it_when_its_worker_died(server):
    engine = server("a")
    run_id, submission = submit(engine)
    event(engine, submission, "snapshot")
    assert engine.store.load_state(run_id) == b"snapshot"
    assert engine.store.artefacts(run_id) == ["state.bin", "weights.safetensors"]
    end(engine, submission, None)
    turn(engine)
    again = engine.store.get(run_id).submission
    assert again not in ("", submission)
    assert engine.dispatcher.cluster.options[again]["state"] == b"snapshot"


def test_a_dead_worker_counts_once_however_often_the_write_is_tried(server, monkeypatch):
    engine = server("a")
    run_id, submission = submit(engine)
    write, failures = engine.store.write, iter(range(5))

    def sometimes_full(*args, **changed):
        if changed.get("deaths") and next(failures, None) is not None:
            raise StoreError("the disk is full")
        return write(*args, **changed)

    monkeypatch.setattr(engine.store, "write", sometimes_full)
    end(engine, submission, None)
    assert engine.state().name == "storage"
    for _ in range(5):
        turn(engine)
    run = engine.store.get(run_id)
    assert (run.deaths, run.status, engine.state().name) == (1, "queued", "ready")


def test_a_run_whose_worker_died_three_times_fails_with_a_sentence(server):
    engine = server("a")
    run_id, _ = submit(engine)
    for deaths in (1, 2, 3):
        end(engine, engine.store.get(run_id).submission, None)
        assert engine.store.get(run_id).deaths == deaths
        turn(engine)
    run = engine.store.get(run_id)
    assert (run.status, engine.position(run_id)) == ("failed", None)
    assert "its worker died 3 times" in run.message


def test_a_write_that_can_never_succeed_is_dropped_and_the_rest_is_written(server, caplog):
    engine = server("a", "b")
    (broken, first), (whole, second) = submit(engine), submit(engine)
    event(engine, first, "records", records=[{"event": "record"}], epoch=1.0, seconds=0.1)  # a KeyError
    event(engine, first, "records", records=[{**record(), "epoch": None}], epoch=1.0, seconds=0.1)
    event(engine, second, "records", records=[record()], epoch=1.0, seconds=0.1)
    assert len(engine.store.records(whole)) == 1
    assert (engine.state().name, engine.position(broken)) == ("ready", 0)
    assert "a change of a run was dropped" in caplog.text
    end(engine, first, outcome(records=[{"event": "result", "experiment": 0, "body": object()}]))  # a TypeError
    run = engine.store.get(broken)
    assert (run.status, engine.position(broken)) == ("failed", None)
    assert "ended with an error of the lab itself (TypeError)" in run.message


def test_a_run_that_was_changed_while_it_was_assigned_starts_from_its_new_state(server, monkeypatch):
    engine = server("a")
    run_id, _ = engine.submit(race())
    engine.store.save_state(run_id, b"old")
    load, read = engine.store.load_state, []

    def reset_after_reading(run):
        read.append(load(run))
        if len(read) == 1:
            engine.reset(run)
            engine.resume(run)
        return read[-1]

    monkeypatch.setattr(engine.store, "load_state", reset_after_reading)
    turn(engine)
    turn(engine)
    assert read[:2] == [b"old", None]
    assert [options["state"] for options in engine.dispatcher.cluster.options.values()] == [None]


def test_a_run_that_cannot_be_read_fails_and_the_next_one_starts(server):
    engine = server("a")
    broken, _ = engine.submit(race())
    engine.store.update(broken, experiments="no JSON")
    whole, _ = engine.submit(race())
    turn(engine)
    turn(engine)
    assert engine.position(whole) == 0 and engine.position(broken) is None
    engine.store.update(broken, experiments="[]")
    assert engine.store.get(broken).status == "failed"


def test_a_full_disk_keeps_the_order_of_writes(server, monkeypatch):
    engine = server("a")
    run_id, submission = submit(engine)
    write = engine.store.write
    monkeypatch.setattr(engine.store, "write", lambda *_, **__: (_ for _ in ()).throw(StoreError("the disk is full")))
    for step in (1, 2, 3):
        event(engine, submission, "records", records=[record(step)], epoch=1.0, seconds=0.1)
    end(engine, submission, outcome())
    assert engine.state() == ("storage", "the disk is full")
    monkeypatch.setattr(engine.store, "write", write)
    turn(engine)
    assert [one["step"] for one in engine.store.records(run_id)] == [1, 2, 3]
    assert (engine.store.get(run_id).status, engine.state().name) == ("finished", "ready")


def test_a_lost_cluster_queues_its_runs_again_and_frees_its_workers(server):
    engine = server("a")
    run_id, submission = submit(engine)
    engine.dispatcher._lose_cluster()
    engine.dispatcher._write()
    run = engine.store.get(run_id)
    assert (run.status, run.deaths, engine.position(run_id)) == ("queued", 1, 1)
    engine.dispatcher.cluster.tasks[submission].end(outcome())  # what the lost cluster still reports
    turn(engine)
    assert engine.store.get(run_id).status == "queued"


def test_a_task_gets_the_number_of_runs_on_its_machine(server):
    engine = server("tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.2:1")
    for owner in "abc":
        engine.submit(race(), owner=owner)
    turn(engine)
    assert [options["sharing"] for options in engine.dispatcher.cluster.options.values()] == [1, 2, 1]


def test_a_worker_with_a_gpu_gets_the_first_run(server):
    engine = server("a", "gpu", "b")
    for owner in "xyz":
        engine.submit(race(), owner=owner)
    turn(engine)
    assert [options["worker"] for options in engine.dispatcher.cluster.options.values()] == ["gpu", "a", "b"]


def test_a_teacher_made_by_the_run_becomes_part_of_its_key(server, monkeypatch):
    made = []
    monkeypatch.setattr("distill_core.teachers.teacher_fingerprints", lambda *_: made)
    engine, experiments = server("a"), race()
    run_id, _ = engine.submit(experiments)
    turn(engine)
    submission, key = engine.store.get(run_id).submission, engine.store.get(run_id).key
    made.append("the hash of its weights")
    event(engine, submission, "prepared")
    assert engine.store.get(run_id).key != key
    assert engine.submit(experiments) == (run_id, False)  # joins the run
    end(engine, submission, outcome())
    assert engine.submit(experiments) == (run_id, True)
    made[0] = "of the teacher, trained again"
    assert engine.submit(experiments)[0] != run_id


def test_a_worker_with_a_task_of_another_server_gets_no_run(server):
    engine = server("a")
    engine.dispatcher.cluster.others["a"] = ["a task of somebody else"]
    run_id, submission = submit(engine)
    assert (submission, engine.position(run_id)) == ("", 1)


# --- two servers on one store ---------------------------------------------------------------------------------------


def test_a_live_servers_runs_are_not_adopted(server):
    one = server("a")
    run_id, submission = submit(one)
    other = server("b")
    turn(other)
    assert other.position(run_id) is None and other.dispatcher.cluster.tasks == {}
    assert one.store.get(run_id).server == one.server_id
    end(one, submission, outcome())
    assert one.store.get(run_id).status == "finished"


def test_a_dead_servers_runs_are_adopted_once_and_its_reports_count_no_more(server):
    dead = server("a")
    run_id, submission = submit(dead)
    dead.dispatcher.server._lock.release()  # as the system does when the process has ended
    one, other = server("b"), server("c")
    turn(one)
    turn(other)
    assert (one.position(run_id), other.position(run_id)) == (0, None)
    assert (one.dispatcher.cluster.requests, one.store.get(run_id).server) == ([(submission, "stop")], one.server_id)
    dead.dispatcher._on_event({"submission": submission, "about": "records", "records": [record()], "epoch": 1.0, "seconds": 1.0})
    dead.dispatcher._write()
    assert one.store.records(run_id) == []


@pytest.mark.parametrize("control", ["stop", "reset", "delete"])
def test_one_server_ends_the_others_run_and_the_other_does_not_undo_it(server, control):
    one, other = server("a"), server("b")
    run_id, submission = submit(one, owner="me")
    getattr(other, control)(run_id, owner="me")
    after = other.store.get(run_id)
    event(one, submission, "records", records=[record()], epoch=1.0, seconds=1.0)
    assert one.dispatcher.cluster.requests[0] == (submission, "stop")
    assert one.position(run_id) is None
    end(one, submission, outcome())
    assert other.store.get(run_id) == after and other.store.records(run_id) == []


def test_a_run_that_waits_on_one_server_can_be_paused_and_resumed_on_the_other(server):
    one, other = server(), server("b")
    run_id, _ = submit(one, owner="me")
    other.pause(run_id, owner="me")
    turn(one)
    assert (one.store.get(run_id).status, one.position(run_id)) == ("paused", None)
    other.resume(run_id, owner="me")
    turn(one)
    turn(other)
    assert (one.position(run_id), other.position(run_id)) == (None, 0)


def test_a_pause_from_the_other_server_reaches_the_task(server):
    one, other = server("a"), server("b")
    run_id, submission = submit(one, owner="me")
    other.pause(run_id, owner="me")
    turn(one)
    assert one.dispatcher.cluster.requests == [(submission, "pause")]
    end(one, submission, outcome("paused", state=b"state"))
    assert (other.store.get(run_id).status, other.store.load_state(run_id)) == ("paused", b"state")


def test_the_same_experiments_on_two_servers_are_one_run(server):
    one, other = server("a"), server("b")
    experiments, found = race(), []
    threads = [threading.Thread(target=lambda e=e: found.append(e.submit(experiments))) for e in (one, other) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(one.store.list()) == 1


def test_a_run_that_got_lost_from_memory_is_queued_again(server):
    engine = server("a")
    run_id, submission = submit(engine)
    engine.queue.remove(run_id)
    turn(engine)
    assert (engine.position(run_id), engine.store.get(run_id).submission) == (1, "")
    end(engine, submission, outcome())  # of the task that nobody waits for
    assert engine.store.records(run_id) == []
    turn(engine)
    assert engine.position(run_id) == 0


# --- a locked database ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(store):
    """Another program holds the lock for writing."""
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_no_page_waits_while_another_page_and_the_dispatcher_wait_for_the_database(server):
    engine = server("a")
    run_id, submission = submit(engine)
    waiting, _ = engine.submit(race())
    finished = engine.store.create([race()[0].to_json()], key="k", status="finished")
    blocked = [
        threading.Thread(target=lambda: engine.submit(race())),
        threading.Thread(target=lambda: event(engine, submission, "records", records=[record()], epoch=1.0, seconds=0.1)),
        threading.Thread(target=lambda: engine.stop(waiting)),
    ]
    with locked(engine.store):
        for thread in blocked:
            thread.start()
        time.sleep(0.3)
        assert (engine.position(run_id), engine.position(waiting)) == (0, 1)
        assert engine.status(run_id) and engine.status(finished) and engine.state()
        assert not engine.may_control(finished, owner="")
        assert all(thread.is_alive() for thread in blocked)  # the answers came while the others were waiting
    for thread in blocked:
        thread.join(timeout=30)
    turn(engine)
    assert len(engine.store.records(run_id)) == 1 and engine.store.get(waiting).status == "stopped"
