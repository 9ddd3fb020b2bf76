"""Runs from submission to result on real workers, also while workers, servers and disks fail."""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from distill_core import paths, teachers
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.runs import limits
from distill_core.runs.dispatcher import ADOPT_INTERVAL
from distill_core.runs.engine import Engine, run_key
from distill_core.runs.store import Store, StoreError
from distill_core.studies.sweep import Grid

SEEDS = itertools.count(1000)  # each test has experiments of its own, so that no result is cached
ROOT = Path(__file__).parents[1]


def race(seeds=2, **choices):
    return [Experiment(**{"images": 256, "epochs": 8, "seed": next(SEEDS), **choices}) for _ in range(seeds)]


def long_race(**choices):
    return race(**{"epochs": 500, "images": 0, **choices})


def wait(condition, seconds=180.0):
    """Wait until the condition is true, as long as a busy machine may need; returns how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "the condition did not become true"
        time.sleep(0.005)
    return time.monotonic() - started


def over(engine, run_id, status="finished"):
    """Wait for the end of the run, which must have this status."""
    wait(lambda: not engine.store.get(run_id).active)
    run = engine.store.get(run_id)
    assert run.status == status, run.message
    return run


def numbers(store, run_id):
    """All records and results of a run, without the clock and the order of arrival."""
    records = [{name: value for name, value in one.items() if name not in ("row", "seconds")} for one in store.records(run_id)]
    return records, [{name: value for name, value in one.items() if name != "seconds"} for one in store.results(run_id)]


def kill_worker_of(engine, run_id):
    pids = engine.dispatcher.cluster.client.run(os.getpid)
    os.kill(pids[engine.queue.get(run_id).worker], signal.SIGKILL)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A store and an engine with real workers, for all tests of this file."""
    started = Engine(Store(tmp_path_factory.mktemp("lab") / "lab.sqlite")).start()
    wait(lambda: started.state().name == "ready")
    yield started
    started.shutdown()


@pytest.fixture
def idle(tmp_path):
    """An engine that was not started: its queue only grows."""
    return Engine(Store(tmp_path / "lab.sqlite"))


# --- a run ----------------------------------------------------------------------------------------------------------


def test_a_race_ends_with_records_results_and_artefacts(lab):
    experiments = race()
    run_id, is_cached = lab.submit(experiments, title="a race")
    run = over(lab, run_id)
    assert (is_cached, run.epoch, run.epochs, run.message) == (False, 8.0, 8, "")
    records, results = numbers(lab.store, run_id)
    assert {(one["experiment"], one["member"]) for one in records} == {(i, member) for i in (0, 1) for member in ("student", "baseline")}
    assert [one["key"] for one in results] == [one.key for one in experiments]
    assert lab.store.artefacts(run_id) == ["predictions.safetensors", "weights.safetensors"]
    wait(lambda: lab.position(run_id) is None)


def test_experiments_of_several_shapes_are_one_run(lab):
    run_id, _ = lab.submit([*race(1, student="linear"), *race(1, student="mlp-8x1")], kind="sweep")
    assert over(lab, run_id).epochs == 16
    results = lab.store.results(run_id)
    assert [one["experiment"] for one in results] == [0, 1]
    assert lab.store.get(run_id).seconds >= 0.95 * sum(one["seconds"] for one in results)  # one after another
    assert "1-weights.safetensors" in lab.store.artefacts(run_id)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_run_from_queue_to_result(lab, method):
    networks = {"teacher": "cnn-32", "student": "cnn-2"} if METHODS[method].compares == "maps" else {}
    experiments = race(2, images=100, epochs=2, method=method, **networks)
    run_id, _ = lab.submit(experiments)
    over(lab, run_id)
    records, results = numbers(lab.store, run_id)
    assert [one["key"] for one in results] == [one.key for one in experiments]
    losses = [one["soft_loss"] for one in records if one["member"] == "student" and one["epoch"] > 0]
    assert losses and all(value is not None and value >= 0 for value in losses)


def test_a_chain_records_its_assistants_and_pauses_among_them_without_changing_a_number(lab):
    experiments = race(2, assistants=("mlp-20x2", "mlp-30x2"), images=100, epochs=4)
    whole, _ = lab.submit(experiments)
    run = over(lab, whole)
    assert (run.epochs, run.epoch) == (12, 12.0)
    records, results = numbers(lab.store, whole)
    assert {one["member"] for one in records} == {"assistant-1", "assistant-2", "student", "baseline"}
    assert [[one["name"] for one in result["assistants"]] for result in results] == [["mlp-20x2", "mlp-30x2"]] * 2
    stepped, _ = lab.submit(experiments, fresh=True, paused_at=2, owner="me")
    over(lab, stepped, "paused")
    for epochs in (5, 9):  # in the second assistant, in the student
        while lab.store.get(stepped).epoch < epochs:
            lab.step(stepped, owner="me")
            over(lab, stepped, "paused")
    lab.resume(stepped, owner="me")
    over(lab, stepped)
    assert numbers(lab.store, stepped) == (records, results)


def test_the_first_record_comes_before_the_run_has_ended(lab):
    run_id, _ = lab.submit(race(images=0))
    wait(lambda: lab.store.records(run_id))
    assert lab.store.get(run_id).active
    over(lab, run_id)


def test_the_same_experiments_get_the_cached_result_and_fresh_ones_do_not(lab):
    experiments = race(1)
    first, _ = lab.submit(experiments)
    over(lab, first)
    assert lab.submit(experiments, owner="somebody else") == (first, True)
    again, is_cached = lab.submit(experiments, fresh=True)
    assert (again != first, is_cached) == (True, False)
    over(lab, again)
    assert numbers(lab.store, again) == numbers(lab.store, first)


def test_pause_step_and_resume_change_no_number(lab):
    experiments = race()
    whole, _ = lab.submit(experiments)
    parts, _ = lab.submit(experiments, fresh=True, paused_at=0)
    assert (lab.store.get(parts).status, lab.store.records(parts)) == ("paused", [])
    for epoch in (1, 2):
        lab.step(parts)
        assert over(lab, parts, "paused").epoch == epoch
    lab.resume(parts)
    over(lab, parts)
    over(lab, whole)
    assert numbers(lab.store, parts) == numbers(lab.store, whole)
    assert "state.bin" not in lab.store.artefacts(parts)


def test_a_paused_run_frees_its_worker_and_stays_where_it_was(lab):
    run_id, _ = lab.submit(long_race())
    wait(lambda: len(lab.store.records(run_id)) > 8)
    lab.pause(run_id)
    run = over(lab, run_id, "paused")
    assert run.epoch == int(run.epoch) > 0
    assert max(one["epoch"] for one in lab.store.records(run_id)) == run.epoch
    wait(lambda: lab.position(run_id) is None)
    lab.resume(run_id)
    wait(lambda: lab.store.get(run_id).epoch > run.epoch)
    lab.stop(run_id)


def test_stop_is_shown_at_once_and_the_worker_is_busy_until_its_step_is_over(lab):
    run_id, _ = lab.submit(long_race())
    wait(lambda: lab.store.records(run_id))
    job = lab.queue.get(run_id)
    lab.stop(run_id)

    assert lab.store.get(run_id).status == "stopped"
    records = len(lab.store.records(run_id))
    assert job.worker in lab.queue.busy_workers()  # until the step is over
    wait(lambda: job.worker not in lab.queue.busy_workers())
    assert len(lab.store.records(run_id)) == records


def test_reset_gives_the_same_run_again(lab):
    run_id, _ = lab.submit(race())
    over(lab, run_id)
    before = numbers(lab.store, run_id)
    lab.reset(run_id)
    assert numbers(lab.store, run_id) == ([], [])
    assert (lab.store.get(run_id).status, lab.store.get(run_id).epoch) == ("paused", 0.0)
    lab.resume(run_id)
    over(lab, run_id)
    assert numbers(lab.store, run_id) == before


def test_a_deleted_run_is_gone_while_it_trains(lab):
    run_id, _ = lab.submit(long_race())
    wait(lambda: lab.store.records(run_id))
    lab.delete(run_id)
    assert lab.store.get(run_id) is None
    assert lab.store.records(run_id) == []


def test_a_run_that_takes_too_long_is_stopped_with_a_sentence(lab, monkeypatch):
    monkeypatch.setenv("DISTILL_CAP", "0.5")
    run_id, _ = lab.submit(long_race())
    run = over(lab, run_id, "stopped")
    assert run.message.startswith("stopped after 0.5 seconds, the most a run may take here; choose fewer epochs")
    assert lab.store.records(run_id)


def test_a_data_set_that_cannot_be_read_fails_with_its_own_sentence(lab):
    broken = paths.home() / "pictures" / "broken.zip"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no zip at all")
    run_id, _ = lab.submit(race(1, dataset=broken.name))
    run = over(lab, run_id, "failed")
    assert "broken.zip" in run.message
    assert "Traceback" not in run.message


def test_no_other_file_of_the_machine_can_be_named_as_a_data_set(lab, tmp_path):
    (tmp_path / "private.zip").write_bytes(b"private")
    with pytest.raises(ValueError, match="not in this lab"):
        lab.submit(race(1, dataset=str(tmp_path / "private.zip")))


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_worker_killed_in_the_middle_of_a_sweep_changes_no_number(lab):
    def cells(seed, **choices):
        grid = Grid("temperature", (1.0, 4.0, 20.0), "student", ("mlp-10x1", "mlp-12x2"), 2)
        return grid.experiments(Experiment(images=256, batch_size=16, epochs=60, seed=seed, **choices))

    experiments = cells(next(SEEDS))
    run_id, _ = lab.submit(experiments, kind="sweep", fresh=True)
    wait(lambda: lab.store.get(run_id).epoch > 5)
    kill_worker_of(lab, run_id)
    over(lab, run_id)
    undisturbed, _ = lab.submit(experiments, kind="sweep", fresh=True)
    over(lab, undisturbed)
    disturbed, expected = numbers(lab.store, run_id), numbers(lab.store, undisturbed)
    order = lambda records: sorted(records[0], key=lambda one: (one["experiment"], one["member"], one["step"]))  # noqa: E731
    assert order(disturbed) == order(expected) and disturbed[1] == expected[1]


def test_a_sweep_that_would_take_too_long_is_refused_with_its_estimate(idle, monkeypatch):
    grid = Grid("temperature", (1.0, 2.0, 4.0, 8.0), "alpha", (0.1, 0.5), 5)
    experiments = grid.experiments(Experiment(dataset="mnist", student="mlp-800x2", epochs=40))
    seconds = idle.estimate(experiments)
    with pytest.raises(ValueError, match=f"about {seconds / 60:.0f} minutes, and 15 is the most.*fewer cells"):
        idle.submit(experiments, kind="sweep")
    monkeypatch.setenv("DISTILL_CAP", str(2 * seconds))
    run_id, _ = idle.submit(experiments, kind="sweep")
    assert idle.store.get(run_id).status == "queued"


def test_a_killed_worker_changes_no_number(lab):
    experiments = race(epochs=15, images=0)
    run_id, _ = lab.submit(experiments)
    wait(lambda: len(lab.store.records(run_id)) > 20)
    kill_worker_of(lab, run_id)
    wait(lambda: lab.store.get(run_id).deaths == 1)
    assert len(lab.store.records(run_id)) > 20
    over(lab, run_id)
    undisturbed, _ = lab.submit(experiments, fresh=True)
    over(lab, undisturbed)
    assert numbers(lab.store, run_id) == numbers(lab.store, undisturbed)


def test_a_full_disk_loses_nothing(lab, monkeypatch):
    run_id, _ = lab.submit(race())
    write = lab.store.write

    def full(*_, **__):
        raise StoreError("the disk is full; free some space")

    monkeypatch.setattr(lab.store, "write", full)
    wait(lambda: lab.state().name == "storage")
    assert lab.state().sentence == "the disk is full; free some space"
    assert lab.store.records(run_id) == []
    monkeypatch.setattr(lab.store, "write", write)
    over(lab, run_id)
    wait(lambda: lab.state().name == "ready")
    assert len(lab.store.results(run_id)) == 2


SERVER = """
import sys, time
from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
engine = Engine(Store(sys.argv[1])).start()
student = (sys.argv + ["mlp-30x2"])[3]  # a slow one for a run that must not end before its server is killed
run_id, _ = engine.submit([Experiment(epochs=int(sys.argv[2]), student=student, seed=seed) for seed in (7, 8)])
while len(engine.store.records(run_id)) < 20:
    time.sleep(0.01)
print(run_id, flush=True)
time.sleep(60)
"""


def test_a_killed_server_leaves_no_process_and_the_next_one_adopts_its_run(lab, tmp_path):
    path = tmp_path / "lab.sqlite"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), "15"], stdout=subprocess.PIPE, text=True, env=env)
    run_id = server.stdout.readline().strip()
    family = psutil.Process(server.pid).children(recursive=True)
    assert len(family) >= 3  # the child and its workers
    server.kill()
    server.communicate()
    _, left = psutil.wait_procs(family, timeout=60)
    assert left == []

    store = Store(path)
    records = store.records(run_id)
    assert store.get(run_id).active and len(records) >= 20
    engine = Engine(store).start()
    try:
        assert (store.get(run_id).status, store.records(run_id)) == ("queued", records)
        wait(lambda: engine.state().name == "ready")
        child = engine.dispatcher.cluster.child
        os.kill(child.pid, signal.SIGKILL)  # and once more, now only the workers' process
        wait(lambda: engine.state().name == "restarting")
        over(engine, run_id)
        undisturbed, _ = lab.submit([Experiment(epochs=15, seed=seed) for seed in (7, 8)])
        over(lab, undisturbed)
        assert numbers(store, run_id) == numbers(lab.store, undisturbed)
    finally:
        engine.shutdown()


def test_a_snapshot_reaches_the_store_from_a_real_worker_and_survives_it(lab):
    def shorten_snapshots():
        from distill_core.runs import task

        task.SNAPSHOT_INTERVAL = 0.5

    run_id, _ = lab.submit(long_race(seeds=1))
    lab.dispatcher.cluster.client.run(shorten_snapshots)
    try:
        wait(lambda: lab.store.load_state(run_id) is not None)
        reached = lab.store.get(run_id).epoch
        kill_worker_of(lab, run_id)
        wait(lambda: lab.store.get(run_id).deaths == 1)
        wait(lambda: lab.store.get(run_id).status == "running" and lab.store.get(run_id).epoch > reached)
        assert lab.store.load_state(run_id) is not None
    finally:
        lab.stop(run_id)
    assert lab.store.load_state(run_id) is None


def test_every_worker_has_the_settings_of_a_process_that_trains(lab):
    def settings():
        """The policy of OpenMP, and how many 16 MB blocks malloc takes straight from the system."""
        import ctypes
        import os

        class Info(ctypes.Structure):
            _fields_ = [
                (name, ctypes.c_size_t) for name in ["arena", "ordblks", "smblks", "hblks", "hblkhd", "u", "f", "o", "d", "keepcost"]
            ]

        libc = ctypes.CDLL(None)
        libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
        before = libc.mallinfo2().hblks
        block = libc.malloc(ctypes.c_size_t(16 << 20))
        mapped = libc.mallinfo2().hblks - before
        libc.free(block)
        return os.environ.get("OMP_WAIT_POLICY"), mapped

    found = lab.dispatcher.cluster.client.run(settings)  # a nested function, because workers do not import the tests
    assert found and all(one == ("passive", 0) for one in found.values())


def test_a_locked_database_delays_a_run_and_changes_no_number(lab):
    experiments = race(epochs=15)
    run_id, _ = lab.submit(experiments)
    with contextlib.closing(sqlite3.connect(lab.store.path, isolation_level=None, timeout=30)) as other:
        wait(lambda: lab.store.records(run_id))
        other.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            began = time.monotonic()
            assert lab.position(run_id) in (0, None) and lab.status(run_id)
            assert time.monotonic() - began < 5.0  # the database would be waited for for ten
            time.sleep(0.1)
        other.execute("ROLLBACK")
    over(lab, run_id)
    undisturbed, _ = lab.submit(experiments, fresh=True)
    over(lab, undisturbed)
    assert numbers(lab.store, run_id) == numbers(lab.store, undisturbed)


def test_a_server_that_is_killed_beside_a_live_one_loses_its_run_to_it_and_a_live_one_does_not(tmp_path):
    path = tmp_path / "lab.sqlite"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), "500", "mlp-800x2"], stdout=subprocess.PIPE, text=True, env=env)
    run_id = server.stdout.readline().strip()
    engine = Engine(Store(path)).start()
    try:
        wait(lambda: engine.state().name == "ready")
        time.sleep(ADOPT_INTERVAL + 1)
        assert engine.store.get(run_id).server != engine.server_id and engine.position(run_id) is None
        server.kill()
        server.communicate()
        wait(lambda: engine.store.get(run_id).server == engine.server_id)
        wait(lambda: engine.position(run_id) == 0)
        engine.stop(run_id)
    finally:
        server.kill()
        engine.shutdown()


def test_a_scheduler_that_does_not_answer_is_named_and_runs_can_still_be_stopped(tmp_path):
    engine = Engine(Store(tmp_path / "lab.sqlite"), address="tcp://127.0.0.1:9").start()
    try:
        run_id, _ = engine.submit(race())
        wait(lambda: engine.state().name == "unreachable")
        assert "no Dask scheduler answers at tcp://127.0.0.1:9; start one there, or unset DISTILL_CLUSTER" in engine.status(run_id)
        assert engine.position(run_id) == 1
        engine.stop(run_id)
        assert engine.store.get(run_id).status == "stopped"
    finally:
        engine.shutdown()


# --- the queue and its rights ---------------------------------------------------------------------------------------


def test_the_same_experiments_join_the_run_that_waits(idle):
    experiments = race()
    first = idle.submit(experiments, owner="a")
    assert idle.submit(experiments, owner="b") == first
    assert idle.submit(experiments, owner="b", fresh=True) != first


def test_a_run_whose_state_is_too_large_cannot_be_paused_or_stepped(idle, monkeypatch):
    experiments = race()
    run_id, _ = idle.submit(experiments, paused_at=0)
    monkeypatch.setattr(limits, "MAX_STATE", 1000)
    with pytest.raises(ValueError, match="can be paused or stepped up to"):
        idle.submit(race(), paused_at=3)
    with pytest.raises(ValueError, match="can be paused or stepped up to"):
        idle.step(run_id)
    idle.resume(run_id)
    idle.store.update(run_id, submission="on a worker")
    with pytest.raises(ValueError, match="can be paused or stepped up to"):
        idle.pause(run_id)
    idle.store.update(run_id, submission="")
    idle.pause(run_id)  # one that waits has no state yet
    assert idle.store.get(run_id).status == "paused"


def test_with_a_teacher_trained_again_the_cached_result_is_not_given(idle, home):
    folder = paths.home() / "teachers"
    folder.mkdir(parents=True)
    card = {"name": "cnn-32", "dataset": "mnist", "sha256": "first"}
    experiments = race(1, dataset="mnist", teacher="mlp-1200x2+cnn-32")
    keys = [run_key(experiments)]
    for fingerprint in ("first", "again"):
        (folder / "0123456789abcdef-cnn-32.json").write_text(json.dumps({**card, "sha256": fingerprint}))
        keys.append(run_key(experiments))
    assert len(set(keys)) == 3
    assert run_key(race(1, dataset="digits", teacher="cnn-32", seed=1)) == run_key(race(1, dataset="digits", teacher="cnn-32", seed=1))
    (folder / "0123456789abcdef-cnn-32.json").write_text("cut")
    assert run_key(experiments) == keys[0]


def test_the_key_holds_the_hash_of_a_shipped_teacher_and_the_version_of_the_results(monkeypatch):
    experiments = race(1)
    before = run_key(experiments)
    monkeypatch.setattr("distill_core.experiment.RESULT_VERSION", 1000)
    assert run_key([dataclasses.replace(one) for one in experiments]) != before  # an experiment's key is computed once
    monkeypatch.undo()
    remade = tuple(dataclasses.replace(card, sha256="another") for card in teachers.shipped())
    monkeypatch.setattr("distill_core.teachers.cards.shipped", lambda: remade)
    assert run_key(experiments) != before


def test_the_key_differs_with_the_experiments_and_their_order():
    one, other = race(2)
    assert run_key([one, other]) == run_key([one, other])
    assert len({run_key([one]), run_key([other]), run_key([one, other]), run_key([other, one])}) == 4


def test_everybodys_first_run_goes_before_anybodys_second(idle):
    a1, a2, a3 = (idle.submit(race(), owner="a")[0] for _ in range(3))
    b1, b2 = (idle.submit(race(), owner="b")[0] for _ in range(2))
    assert [idle.position(run_id) for run_id in (a1, b1, a2, b2, a3)] == [1, 2, 3, 4, 5]
    idle.stop(a1, owner="a")
    assert [idle.position(run_id) for run_id in (a1, a2, b1, a3, b2)] == [None, 1, 2, 3, 4]


def test_an_owner_may_have_four_runs_going(idle):
    for _ in range(4):
        idle.submit(race(), owner="a")
    with pytest.raises(ValueError, match="you have 4 runs queued or running, and 4 is the most"):
        idle.submit(race(), owner="a")
    idle.submit(race(), owner="b")


def test_a_full_queue_refuses_with_its_length(idle, monkeypatch):
    monkeypatch.setattr(limits, "MAX_QUEUED", 3)
    for owner in "abc":
        idle.submit(race(), owner=owner)
    with pytest.raises(ValueError, match="the queue is full: 3 runs wait or train"):
        idle.submit(race(), owner="d")


@pytest.mark.parametrize("control", ["pause", "resume", "step", "stop", "reset", "delete"])
def test_nobody_else_may_control_a_run(idle, control):
    run_id, _ = idle.submit(race(), owner="secret")
    for owner in ("", "guess", "command-line"):
        with pytest.raises(PermissionError, match="started by somebody else"):
            getattr(idle, control)(run_id, owner=owner)
    assert idle.store.get(run_id).status == "queued"
    assert (idle.may_control(run_id, owner="secret"), idle.may_control(run_id, owner="guess")) == (True, False)
    assert b"secret" not in idle.store.path.read_bytes()


def test_controls_of_a_run_that_is_not_there_or_not_paused_are_refused(idle):
    with pytest.raises(ValueError, match="there is no run nowhere"):
        idle.stop("nowhere")
    run_id, _ = idle.submit(race())
    with pytest.raises(ValueError, match="the run is queued and cannot go on; only a paused run can"):
        idle.resume(run_id)
    idle.pause(run_id)
    assert (idle.store.get(run_id).status, idle.position(run_id)) == ("paused", None)
    idle.resume(run_id)
    assert idle.position(run_id) == 1
