"""The scripts of tests/faults in small: a class, killed workers and servers, faults around the lab, and what is left behind."""

import pytest

from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from tests.faults import classroom, faults, kills
from tests.faults.server import LabServer, wait


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    started = Engine(Store(tmp_path_factory.mktemp("faults") / "lab.sqlite")).start()
    wait(lambda: started.state().name == "ready", 600, "the workers did not start")
    yield started
    started.shutdown()


def test_workers_killed_at_random_change_no_number(engine):
    assert kills.kill_workers(engine, runs=4, kills=2, seed=5, epochs=200) == {
        "runs": 4, "workers_killed": 2, "finished": 4, "identical": 4
    }  # fmt: skip


WORDS = {"disk": ("check the disk", "is full"), "lock": ("is locked by another program",), "clock": ("running, epoch",)}


@pytest.mark.parametrize("name", WORDS)
def test_a_fault_gives_a_sentence_and_loses_nothing(engine, name):
    report = faults.FAULTS[name](engine)
    assert report["finished"] and report["nothing_lost"], report
    assert any(words in report["sentence"] for words in WORDS[name]), report


def test_killed_servers_lose_no_record_that_was_shown(tmp_path):
    assert kills.kill_servers(tmp_path / "lab.sqlite", kills=2) == {
        "servers_killed": 2, "all_runs_taken_up": 2, "runs_that_lost_records": 0, "databases_damaged": 0
    }  # fmt: skip


def test_a_small_class_finishes_and_its_server_leaves_no_process_behind():
    with LabServer() as server:
        classroom.warm_up(server)
        report = classroom.races(server, learners=3, epochs=5)
        watched = classroom.sessions(server, count=6, seconds=3.0)
    assert report["finished"] == 3
    assert report["errors"] == [] == watched["errors"]
    assert report["updates"] > 0 and watched["updates"] > 0
    assert server.left == []
