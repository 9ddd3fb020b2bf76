"""The route of live updates: who waits, who is refused, and how often the store is read for all of them."""

import asyncio
import contextlib
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request

from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from pages.server import curves, lab, live_updates


@pytest.fixture
def store(tmp_path, monkeypatch):
    found = Store(tmp_path / "lab.sqlite")
    for module in (lab, curves):
        monkeypatch.setattr(module, "store", lambda: found)
    monkeypatch.setattr(curves, "engine", lambda: Engine(found))  # which is not started: it would adopt the run
    monkeypatch.setattr(live_updates, "WATCHER", live_updates.Watcher())
    yield found
    found.close()


@pytest.fixture
def run_id(store):
    return store.create([Experiment().to_json()], key="k", status="running")


def request(run_id, *, after="", panels="test_accuracy,agreement", client="10.0.0.1"):
    return Request(
        {
            "type": "http",
            "path_params": {"run_id": run_id},
            "query_string": f"after={after}&panels={panels}".encode(),
            "client": (client, 1),
            "headers": [],
        }
    )


def run(coroutine):
    """Its result, from a thread without an event loop: in the main thread Playwright's may be running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def replies(*requests, then=None):
    """The replies to requests that come at once; `then` is called while they wait."""

    async def gather():
        waiting = [asyncio.create_task(live_updates._reply(one)) for one in requests]
        if then:
            while not live_updates.WATCHER.waiting:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(then)
        return await asyncio.gather(*waiting)

    return run(gather())


def record(step):
    return {"event": "record", "experiment": 0, "member": "student", "step": step, "epoch": 1.0, "seconds": 1.0, "test_accuracy": 0.5}


@pytest.mark.parametrize(
    "change", [{"run_id": "nowhere"}, {"run_id": "nowhere", "after": "-1"}, {"panels": "agreement,owner_hash"}, {"panels": ""}]
)
def test_an_unknown_run_or_panel_is_answered_without_waiting(store, run_id, change):
    version = store.version(run_id)[0]
    (reply,) = replies(request(**{"run_id": run_id, "after": version, **change}))
    assert reply.status_code == 404 and live_updates.WATCHER.reads == 0


def test_many_that_wait_for_one_run_cost_the_reads_of_one(store, run_id):
    version, reads = store.version(run_id)[0], []
    versions = store.versions
    store.versions = lambda ids: reads.append(list(ids)) or versions(ids)
    began = time.monotonic()
    found = replies(*[request(run_id, after=version)] * 50, then=lambda: store.append(run_id, [record(1)]))
    assert [reply.status_code for reply in found] == [200] * 50
    assert len({reply.body for reply in found}) == 1
    update = json.loads(found[0].body)
    assert update["version"] == version + 1 and update["figures"].keys() == {"test_accuracy", "agreement"}
    assert update["status"] == ["sprint", "running, epoch 0 of 40, one seed"]
    assert 0 < len(reads) <= 2 + (time.monotonic() - began) / live_updates.POLL
    assert all(ids == [run_id] for ids in reads)
    assert live_updates.WATCHER.waiting == {} and not live_updates.WATCHER.clients


def test_an_update_of_a_race_on_a_text_has_the_newest_text_and_one_of_images_none(store, run_id):
    def written(run):
        (reply,) = replies(request(run, panels="agreement"))
        return json.loads(reply.body)["written"]

    assert written(run_id) is None
    small = Experiment(dataset="little-language", student="gpt-16x1", teacher="gpt-64x2")
    text_run = store.create([small.to_json()], key="t", status="running")
    assert written(text_run) is None
    found = [{"epoch": epoch, "student": f" <b>s{epoch}", "baseline": f" b{epoch}"} for epoch in (0, 5)]
    store.write(text_run, files={curves.SAMPLES: json.dumps({"prompt": "the", "samples": found}).encode()})
    assert written(text_run) == {"prompt": "the", **found[1]}
    store.write(text_run, files={curves.SAMPLES: b"{"})
    assert written(text_run) is None


def test_a_client_that_waits_too_often_is_refused_and_others_are_not(store, run_id, monkeypatch):
    monkeypatch.setattr(live_updates, "MAX_WAITING_OF_CLIENT", 3)
    version = store.version(run_id)[0]
    asked = [request(run_id, after=version) for _ in range(3)]

    async def late():
        waiting = [asyncio.create_task(live_updates._reply(one)) for one in asked]
        while live_updates.WATCHER.clients.total() < 3:
            await asyncio.sleep(0.01)
        refused = await live_updates._reply(request(run_id, after=version))
        other = asyncio.create_task(live_updates._reply(request(run_id, after=version, client="10.0.0.2")))
        store.append(run_id, [record(1)])
        return refused.status_code, [reply.status_code for reply in await asyncio.gather(*waiting, other)]

    assert run(late()) == (429, [200] * 4)


def test_a_database_that_is_locked_against_readers_gives_its_sentence(store, run_id, monkeypatch):
    version = store.version(run_id)[0]
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")  # in which a writer keeps readers out, too
        other.execute("BEGIN EXCLUSIVE")
        (reply,) = replies(request(run_id, after=version))
        other.execute("ROLLBACK")
    assert reply.status_code == 503 and b"is locked by another program" in reply.body
