"""Processes killed in the middle of their work: workers, then whole servers.

python -m tests.faults.kills [--runs 60] [--workers 20] [--servers 20]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distill_core.experiment import Experiment
from distill_core.runs.dispatcher import MAX_DEATHS
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from tests.faults.server import ROOT, wait


def kill_workers(engine: Engine, *, runs: int, kills: int, seed: int = 0, epochs: int = 40) -> dict:
    """Runs of several owners while random workers are killed; then the same runs undisturbed, and their numbers compared."""
    draw = random.Random(seed)
    experiments = [[Experiment(images=300, epochs=epochs, temperature=2.0, seed=1000 * seed + number)] for number in range(runs)]
    disturbed = [engine.submit(one, owner=f"owner {number}", fresh=True)[0] for number, one in enumerate(experiments)]
    killed = 0
    until = time.monotonic() + 20 * runs + 120
    while killed < kills and time.monotonic() < until and any(engine.store.get(run_id).active for run_id in disturbed):
        time.sleep(draw.uniform(0.05, 0.5))
        victims = [job for job in engine.queue.jobs() if job.submission and engine.store.get(job.run_id).deaths < MAX_DEATHS - 1]
        if not victims:
            continue
        with contextlib.suppress(Exception):  # it ended just now
            pids = engine.dispatcher.cluster.client.run(os.getpid, on_error="ignore")
            os.kill(pids[draw.choice(victims).worker], signal.SIGKILL)
            killed += 1
    finish(engine, disturbed)
    undisturbed = [engine.submit(one, owner=f"owner {number}", fresh=True)[0] for number, one in enumerate(experiments)]
    finish(engine, undisturbed)
    pairs = [[numbers(engine.store, run_id) for run_id in pair] for pair in zip(disturbed, undisturbed, strict=True)]
    return {
        "runs": runs,
        "workers_killed": killed,
        "finished": sum(engine.store.get(run_id).status == "finished" for run_id in disturbed),
        "identical": sum(one == other for one, other in pairs),
    }


def finish(engine: Engine, run_ids: list[str]) -> None:
    wait(lambda: not any(engine.store.get(run_id).active for run_id in run_ids), 60 + 20 * len(run_ids), "the runs did not end")


def numbers(store: Store, run_id: str) -> tuple[list, list]:
    """All records and results of a run, without the clock and the order of arrival."""
    records = [{name: value for name, value in one.items() if name not in ("row", "seconds")} for one in store.records(run_id)]
    results = [{name: value for name, value in one.items() if name != "seconds"} for one in store.results(run_id)]
    return sorted(records, key=lambda one: (one["experiment"], one["member"], one["step"])), results


SERVER = """
import sys, time
from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
engine = Engine(Store(sys.argv[1])).start()
for number in range(int(sys.argv[2])):
    engine.submit([Experiment(epochs=500, images=0, batch_size=4, seed=1000 * int(sys.argv[3]) + number)], owner=str(number))
while active := [run for run in engine.store.list(limit=1000) if run.active]:
    for run in active:
        if records := engine.store.records(run.id):
            print(run.id, len(records), records[-1]["row"], flush=True)
    time.sleep(0.05)
"""


def kill_servers(path: Path, *, kills: int, seed: int = 0) -> dict:
    """A server is killed in mid-run again and again; what it has shown must be there, and the next one takes up its runs."""
    draw, shown, lost, damaged, taken_up = random.Random(seed), {}, 0, 0, 0
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for number in range(kills):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(path), "2" if number == 0 else "0", str(seed)], stdout=subprocess.PIPE, text=True, env=env
        )
        before, until = set(shown), time.monotonic() + 180
        advanced: set[str] = set()
        stop_at = None
        while time.monotonic() < (stop_at or until):
            line = server.stdout.readline()
            if not line:
                break
            run_id, count, row = line.split()
            if int(row) > shown.get(run_id, (0, 0))[1]:
                advanced.add(run_id)
            shown[run_id] = (int(count), int(row))
            if before <= advanced and stop_at is None:  # every run that was shown goes on, whichever is the first
                stop_at = time.monotonic() + draw.uniform(0.0, 2.0)
        server.send_signal(signal.SIGKILL)
        server.communicate()
        taken_up += before <= advanced
        with contextlib.closing(sqlite3.connect(path)) as database:
            damaged += database.execute("pragma integrity_check").fetchall() != [("ok",)]
            for run_id, (count, _) in shown.items():
                lost += database.execute("select count(*) from records where run = ?", (run_id,)).fetchone()[0] < count
    return {"servers_killed": kills, "all_runs_taken_up": taken_up, "runs_that_lost_records": lost, "databases_damaged": damaged}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--servers", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distill-faults-") as folder:
        if asked.workers:
            engine = Engine(Store(Path(folder) / "workers.sqlite")).start()
            try:
                wait(lambda: engine.state().name == "ready", 600, "the workers did not start")
                print(json.dumps(kill_workers(engine, runs=asked.runs, kills=asked.workers)), flush=True)
            finally:
                engine.shutdown()
        if asked.servers:
            print(json.dumps(kill_servers(Path(folder) / "servers.sqlite", kills=asked.servers)), flush=True)


if __name__ == "__main__":
    main()
