"""What may go wrong around the lab: each gives a sentence, loses nothing, and the runs go on.

python -m tests.faults.faults [scheduler] [disk] [lock] [clock] [--gone 30]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distill_core.experiment import Experiment
from distill_core.runs import upkeep
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store, StoreError
from tests.faults.kills import finish, numbers
from tests.faults.server import ROOT, free_port, wait


def disturbed(engine: Engine, fault: object, *, seed: int, epochs: int = 60) -> dict:
    """A run during which `fault(run id)` happens; then the same run without it. What the fault returns is reported too."""
    experiments = [Experiment(images=300, epochs=epochs, batch_size=16, seed=seed)]
    run_id, _ = engine.submit(experiments, owner="somebody", fresh=True)
    wait(lambda: engine.store.records(run_id), 600, "the run did not begin")
    seen = len(engine.store.records(run_id))
    report = fault(run_id)
    kept = len(engine.store.records(run_id)) >= seen
    finish(engine, [run_id])
    again, _ = engine.submit(experiments, owner="somebody", fresh=True)
    finish(engine, [again])
    wait(lambda: engine.state().name == "ready", 60, "the lab did not recover")
    same = numbers(engine.store, run_id) == numbers(engine.store, again)
    return {**report, "finished": engine.store.get(run_id).status == "finished", "nothing_lost": kept and same}


def full_disk(engine: Engine) -> dict:
    """No file of this process can grow: what a full disk does to the database and to all artefacts."""

    def fault(_: str) -> dict:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            wait(lambda: engine.state().name == "storage", 60, "the full disk was not noticed")
            return {"sentence": engine.state().sentence}
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return disturbed(engine, fault, seed=1)


def locked_database(engine: Engine, *, seconds: float = 5.0) -> dict:
    """Another program holds the lock for writing. A page that reads waits for nothing, one that writes gets a sentence."""

    def fault(run_id: str) -> dict:
        with contextlib.closing(sqlite3.connect(engine.store.path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            unlock = time.monotonic() + seconds
            began = time.monotonic()
            engine.status(run_id), engine.store.records(run_id), engine.position(run_id)
            read, began, sentence = time.monotonic() - began, time.monotonic(), ""
            try:
                engine.submit([Experiment(images=100, epochs=1, seed=99)], owner="other")
            except StoreError as error:
                sentence = str(error)
            wrote = time.monotonic() - began
            time.sleep(max(0.0, unlock - time.monotonic()))
            other.execute("ROLLBACK")
        return {"sentence": sentence, "read_after_s": round(read, 3), "sentence_after_s": round(wrote, 2)}

    return disturbed(engine, fault, seed=2)


def clock_set_back(engine: Engine) -> dict:
    """The clock of the server goes back by a day in mid-run. What is measured and what waits does not follow it."""
    now = time.time

    def fault(run_id: str) -> dict:
        time.time = lambda: now() - 86_400
        before = engine.store.get(run_id).epoch
        wait(lambda: not engine.store.get(run_id).active or engine.store.get(run_id).epoch > before, 60, "the run stood still")
        paused, _ = engine.submit([Experiment(images=100, epochs=1, seed=98)], owner="other", paused_at=0)
        upkeep.tidy(engine.store)
        return {"sentence": engine.status(run_id), "paused_run_kept": engine.store.get(paused).status == "paused"}

    try:
        return disturbed(engine, fault, seed=3)
    finally:
        time.time = now


def scheduler_gone(folder: Path, *, seconds: float) -> dict:
    """A scheduler in another process, and its worker, die in mid-run and come back after a while."""
    port, processes = free_port(), []
    address = f"tcp://127.0.0.1:{port}"

    def start() -> None:
        worker = ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", "distill_core.runs.workers"]
        for command in (["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], worker):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command],
                    env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip

    def stop() -> None:
        while processes:
            process = processes.pop()
            process.kill()
            process.wait()

    def fault(run_id: str) -> dict:
        stop()
        wait(lambda: engine.state().name == "unreachable", 60, "the missing scheduler was not noticed")
        sentence = engine.status(run_id)
        time.sleep(seconds)
        start()
        return {"sentence": sentence}

    start()
    engine = Engine(Store(folder / "scheduler.sqlite"), address=address).start()
    try:
        wait(lambda: engine.state().name == "ready", 600, "the worker did not come")
        return disturbed(engine, fault, seed=4, epochs=200)
    finally:
        engine.shutdown()
        stop()


FAULTS = {"disk": full_disk, "lock": locked_database, "clock": clock_set_back}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", choices=["scheduler", *FAULTS, []], default=[])
    parser.add_argument("--gone", type=float, default=30.0, help="seconds without the scheduler")
    asked = parser.parse_args()
    chosen = asked.faults or ["scheduler", *FAULTS]
    with tempfile.TemporaryDirectory(prefix="distill-faults-") as folder:
        if "scheduler" in chosen:
            print(json.dumps({"fault": "scheduler", **scheduler_gone(Path(folder), seconds=asked.gone)}), flush=True)
        if set(chosen) & set(FAULTS):
            engine = Engine(Store(Path(folder) / "lab.sqlite")).start()
            try:
                wait(lambda: engine.state().name == "ready", 600, "the workers did not start")
                for name in FAULTS:
                    if name in chosen:
                        print(json.dumps({"fault": name, **FAULTS[name](engine)}), flush=True)
            finally:
                engine.shutdown()


if __name__ == "__main__":
    main()
