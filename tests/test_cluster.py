"""A scheduler that is not the lab's own: which are refused, and one with workers in other processes, of which one dies."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from browser_fixtures import ROOT, free_port

from distill_core.experiment import Experiment
from distill_core.runs.cluster import check_address
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786", "tls://10.0.0.5:8786"])
def test_a_scheduler_on_this_machine_or_behind_tls_is_taken(address):
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.5:8786", "tcp://lab.example:8786", "10.0.0.5:8786", "ws://10.0.0.5:8786", "tcp://0.0.0.0:1"]
)
def test_an_unencrypted_scheduler_elsewhere_is_refused_unless_it_is_allowed(address, monkeypatch, refused, tmp_path):
    with refused(address, "is not encrypted", "tls://", "DISTILL_CLUSTER_UNENCRYPTED=1"):
        Engine(Store(tmp_path / "lab.sqlite"), address=address)
    monkeypatch.setenv("DISTILL_CLUSTER_UNENCRYPTED", "1")
    assert check_address(address) == address


@pytest.fixture
def room(tmp_path):
    """A scheduler, and `worker(*options)`, which starts a worker as another computer would; every one with its own home."""
    processes, port = [], free_port()

    def start(*command):
        env = {**os.environ, "DISTILL_HOME": str(tmp_path / f"home-{len(processes)}"), "PYTHONPATH": str(ROOT)}
        log = (tmp_path / f"log-{len(processes)}").open("w")
        processes.append(
            subprocess.Popen([sys.executable, "-m", "dask", *command], env=env, stdout=log, stderr=log, start_new_session=True)
        )
        log.close()
        return processes[-1]

    address = f"tcp://127.0.0.1:{port}"
    start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    yield (
        address,
        lambda *options: start(
            "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", "distill_core.runs.workers", *options
        ),
    )
    for process in processes:
        process.kill()
        process.wait()


def wait(condition, seconds=600.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.02)


def numbers(store, run_id):
    records = [{name: value for name, value in one.items() if name not in ("row", "seconds")} for one in store.records(run_id)]
    return sorted(records, key=lambda one: (one["experiment"], one["member"], one["step"]))


def test_a_run_survives_the_death_of_its_worker_on_a_scheduler_elsewhere(room, tmp_path):
    address, worker = room
    computers = [worker("--resources", "GPU=1"), worker()]
    engine = Engine(Store(tmp_path / "lab.sqlite"), address=address).start()
    try:
        wait(lambda: engine.state().sentence == "2 workers are ready")
        experiments = [Experiment(epochs=60, batch_size=16, seed=seed) for seed in (0, 1)]
        run_id, _ = engine.submit(experiments)
        wait(lambda: len(engine.store.records(run_id)) > 8)
        pids = engine.dispatcher.cluster.client.run(os.getpid)
        assert pids[engine.queue.get(run_id).worker] == computers[0].pid  # the one with the GPU
        os.kill(computers[0].pid, signal.SIGKILL)
        wait(lambda: not engine.store.get(run_id).active)
        run = engine.store.get(run_id)
        assert run.status == "finished", run.message
        undisturbed, _ = engine.submit(experiments, fresh=True)
        wait(lambda: not engine.store.get(undisturbed).active)
        assert numbers(engine.store, run_id) == numbers(engine.store, undisturbed)
    finally:
        engine.shutdown()


BATCHES = """
import asyncio, json, os, sys, time
from distributed.batched import BatchedSend

class Comm:
    sent, closed = [], lambda self: False
    async def write(self, messages, **_):
        self.sent += messages
        return 1

async def main():
    batches = BatchedSend(interval="200ms")
    batches.start(Comm())
    batches.send("before")
    while not Comm.sent:  # the next batch may go 200 ms later
        await asyncio.sleep(0.001)
    now, seen = time.time, len(Comm.sent)
    time.time = lambda: now() - 3600
    if not steady:
        sys.modules["distributed.batched"].time = time.time  # which it had imported
    batches.send("after")
    batches.send("later")
    await asyncio.sleep(1)
    print(json.dumps([seen, Comm.sent]))
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("steady", [True, False])
def test_messages_are_sent_on_after_the_clock_is_set_back_if_the_process_ignores_clock_changes(steady):
    start = f"steady = {steady}\n"
    if steady:
        start += "from distill_core.runs.process import ignore_clock_changes; ignore_clock_changes()\n"
    found = subprocess.run(
        [sys.executable, "-c", start + BATCHES], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=60
    )
    assert json.loads(found.stdout) == [1, ["before", "after", "later"] if steady else ["before"]]
