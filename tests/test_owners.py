"""Whose a run is: several learners share the one that computes the same experiments, and nobody takes it from the others."""

import itertools
import time

import pytest

from distill_core.experiment import Experiment
from distill_core.runs import limits, upkeep
from distill_core.runs.engine import Engine
from distill_core.runs.keys import COMMAND_LINE, owner_mark
from distill_core.runs.store import Store

SEEDS = itertools.count(20_000)


def race():
    return [Experiment(images=100, epochs=4, seed=next(SEEDS))]


@pytest.fixture
def idle(tmp_path):
    """An engine that was not started: its queue only grows."""
    return Engine(Store(tmp_path / "lab.sqlite"))


@pytest.fixture
def shared(idle):
    """The id of a waiting run that ann, ben and cid have asked for."""
    experiments = race()
    ids = {idle.submit(experiments, owner=owner)[0] for owner in ("ann", "ben", "cid")}
    assert len(ids) == 1
    return ids.pop()


def finish(engine, run_id):
    engine.queue.remove(run_id)
    engine.store.append(run_id, [{"event": "record", "experiment": 0, "member": "student", "step": 1, "epoch": 1.0, "seconds": 0.1}])
    engine.store.set_status(run_id, "finished")


@pytest.mark.parametrize("leaving", [("ann", "ben", "cid"), ("cid", "ann", "ben")])
def test_a_shared_run_goes_on_until_its_last_owner_has_stopped_it(idle, shared, leaving):
    first, second, last = leaving
    assert "goes on for 2 other learners who pressed Train on it too" in idle.stop(shared, owner=first)
    assert "1 other learner who" in idle.stop(shared, owner=second)
    run = idle.store.get(shared)
    assert (run.status, idle.position(shared), run.owner_hash) == ("queued", 1, owner_mark(last))
    assert idle.queue.get(shared).owner_hash == owner_mark(last)  # whose turn it takes
    assert [idle.may_control(shared, owner=owner) for owner in leaving] == [False, False, True]
    with pytest.raises(PermissionError, match="started by somebody else"):
        idle.stop(shared, owner=first)
    assert idle.stop(shared, owner=last) == ""
    assert (idle.store.get(shared).status, idle.position(shared)) == ("stopped", None)


def test_delete_takes_a_shared_result_from_nobody_else(idle, shared):
    finish(idle, shared)
    assert "stays for 2 other learners" in idle.delete(shared, owner="ann")
    assert len(idle.store.records(shared)) == 1 and not idle.may_control(shared, owner="ann")
    idle.delete(shared, owner="ben")
    assert idle.delete(shared, owner="cid") == ""
    assert idle.store.get(shared) is None


def test_whoever_gets_a_cached_result_keeps_it_when_the_first_owner_deletes(idle):
    experiments = race()
    run_id, _ = idle.submit(experiments, owner="ann")
    finish(idle, run_id)
    assert idle.submit(experiments, owner="ben") == (run_id, True)
    idle.delete(run_id, owner="ann")
    assert idle.store.get(run_id).status == "finished" and idle.may_control(run_id, owner="ben")


def test_reset_of_a_shared_run_gives_a_run_of_ones_own(idle, shared):
    own = idle.reset(shared, owner="ben")
    assert own != shared and idle.store.get(shared).status == "queued"
    assert (idle.store.get(own).status, idle.store.get(own).experiments) == ("paused", idle.store.get(shared).experiments)
    assert idle.may_control(own, owner="ben") and not idle.may_control(shared, owner="ben")
    assert idle.reset(own, owner="ben") == own  # nobody else has it


@pytest.mark.parametrize("control", ["pause", "step"])
def test_a_shared_run_is_paused_for_nobody(idle, shared, control):
    with pytest.raises(PermissionError, match="2 other learners train this run too, so it cannot be paused; press Reset"):
        getattr(idle, control)(shared, owner="ann")
    assert (idle.store.get(shared).status, idle.position(shared)) == ("queued", 1)


# --- who owns a run -------------------------------------------------------------------------------------------------


def test_no_run_is_without_an_owner(idle):
    with pytest.raises(PermissionError, match="a run needs an owner"):
        idle.submit(race(), owner="")
    with pytest.raises(ValueError, match="a run needs an owner"):
        idle.store.create([race()[0].to_json()], key="k", owner_hash="")
    assert idle.store.list() == []
    run_id, _ = idle.submit(race())  # the command line
    assert idle.store.owners_of(run_id) == (owner_mark(COMMAND_LINE),)
    assert not idle.may_control(run_id, owner="")


def test_what_was_started_before_the_token_came_belongs_to_the_browser(idle):
    experiments = race()
    run_id, _ = idle.submit(experiments, owner="provisional")
    shared, _ = idle.submit(race(), owner="provisional")
    idle.store.join(shared, owner_mark("browser"))  # from another tab
    idle.hand_over("provisional", "browser")
    for one in (run_id, shared):
        assert idle.store.owners_of(one) == (owner_mark("browser"),)
        assert idle.store.get(one).owner_hash == idle.queue.get(one).owner_hash == owner_mark("browser")
    assert idle.store.counts(owner_mark("browser"), "")[0].active == 2


# --- limits that a new token does not lift --------------------------------------------------------------------------


def test_new_tokens_do_not_lift_the_limit_of_an_address(idle, monkeypatch):
    monkeypatch.setenv("DISTILL_PER_ADDRESS", "3")
    for token in "abc":
        idle.submit(race(), owner=token, address="10.0.0.1")
    with pytest.raises(ValueError, match=r"3 runs from the address of this computer .* 3 active ones are the most"):
        idle.submit(race(), owner="d", address="10.0.0.1")
    idle.submit(race(), owner="d", address="10.0.0.2")
    assert b"10.0.0" not in idle.store.path.read_bytes()


def test_new_tokens_of_one_address_do_not_go_before_another_learner(idle):
    greedy = [idle.submit(race(), owner=f"token {n}", address="10.0.0.1")[0] for n in range(4)]
    other, _ = idle.submit(race(), owner="other", address="10.0.0.2")
    assert [idle.position(run_id) for run_id in (greedy[0], other, *greedy[1:])] == [1, 2, 3, 4, 5]


def test_paused_runs_count(idle):
    for _ in range(limits.PAUSED_FACTOR * limits.MAX_ACTIVE):
        run_id, _ = idle.submit(race(), owner="ann", paused_at=0)
    with pytest.raises(ValueError, match="you have 12 runs queued, running or paused, and 12 is the most; delete a paused one"):
        idle.submit(race(), owner="ann", paused_at=0)
    idle.resume(run_id, owner="ann")  # it is one of the twelve
    idle.delete(run_id, owner="ann")
    idle.submit(race(), owner="ann", paused_at=0)


# --- a day, and a disk ----------------------------------------------------------------------------------------------


def test_a_run_that_is_paused_for_too_long_is_stopped_and_keeps_its_curves(idle, monkeypatch):
    old, new = (idle.submit(race(), paused_at=0)[0] for _ in range(2))
    idle.store.append(old, [{"event": "record", "experiment": 0, "member": "student", "step": 1, "epoch": 1.0, "seconds": 0.1}])
    idle.store.save_state(old, b"state")
    now = time.time()
    idle.store.update(old, touched=now - limits.PAUSED_SECONDS - 1)
    upkeep.tidy(idle.store)
    assert [idle.store.get(run_id).status for run_id in (old, new)] == ["stopped", "paused"]
    assert "paused for 24 hours" in idle.store.get(old).message
    assert len(idle.store.records(old)) == 1 and idle.store.load_state(old) is None


def test_the_longest_unused_results_make_room_first_and_no_unfinished_run(idle):
    store = idle.store
    made = {}
    for name in ("oldest", "used again", "newest", "waiting"):
        made[name], _ = idle.submit(race(), owner=name)
        store.write_artefact(made[name], "weights.safetensors", bytes(1_000_000))
        if name != "waiting":
            finish(idle, made[name])
    store.join(made["used again"], owner_mark("somebody"))
    before = upkeep.bytes_used(store)
    assert 4_000_000 < before < 5_000_000
    assert upkeep.shrink(store, before) == 0
    assert upkeep.shrink(store, before - 1) == 1
    assert {run.id for run in store.list()} == set(made.values()) - {made["oldest"]}
    assert upkeep.shrink(store, 1) == 2
    assert [run.id for run in store.list()] == [made["waiting"]]
    assert idle.stored()[0] == upkeep.bytes_used(store) < 1_500_000


def test_what_a_dead_process_left_of_a_deleted_run_is_removed(idle):
    run_id, _ = idle.submit(race())
    idle.store.write_artefact(run_id, "weights.safetensors", b"w")
    aside = idle.store._put_aside(run_id)  # and here it died
    assert aside.is_dir()
    upkeep.tidy(idle.store)
    assert not aside.exists()
