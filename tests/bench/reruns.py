"""How long the server takes to run each page again when many runs are stored: `python -m tests.bench.reruns [--runs 500]`.

The time is what a websocket client waits for the end of a rerun, so the transfer of the page's messages is in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from distill_core.experiment import Experiment
from distill_core.runs.keys import run_key
from distill_core.runs.store import Store
from distill_core.studies.sweep import Grid
from distill_core.training.cohort import Cohort
from tests.faults.classroom import warm_up
from tests.faults.learner import Learner
from tests.faults.server import LabServer, percentile

PAGES = (
    "", "race", "sweep", "methods", "experiments_from_papers", "find_the_bug", "soft_targets", "dark_knowledge", "calibration", "draw",
    "runs", "lessons", "glossary",
)  # fmt: skip


def fill(path: Path, *, runs: int) -> str:
    """Finished races with records, results and weights, one in ten a sweep of 40 cells; returns the id of the last race."""
    first = Experiment(images=100, epochs=40)
    cohort = Cohort([first, Experiment(images=100, epochs=40, seed=1)], device="cpu")
    records = [record for step in cohort.steps() for record in step]
    artefacts = cohort.artefacts()
    store = Store(path)
    sweep = Grid("temperature", tuple(range(1, 9)), "alpha", (0.1, 0.3, 0.5, 0.7, 0.9), 5).experiments(first)
    for number in range(runs):
        is_sweep = number % 10 == 0
        experiments = sweep if is_sweep else [Experiment(images=100, epochs=40, temperature=1 + number / 50, seed=seed) for seed in (0, 1)]
        run_id = store.create(
            [one.to_json() for one in experiments], key=f"{run_key(experiments[:2])}{number}", kind="sweep" if is_sweep else "race"
        )
        store.write(run_id, records=records, files=artefacts, status="finished", epoch=40.0, seconds=1.5)
    store.close()
    return run_id


def measure(*, runs: int, repeats: int, port: int = 0) -> dict:
    """Median and 95th percentile of a rerun of every page, in milliseconds."""
    server, found = LabServer(port=port), {}
    run_id = fill(server.home / "lab.sqlite", runs=runs)
    with server, Learner(server.address) as learner:
        warm_up(server)  # else the workers, which import PyTorch, share the cores with the first pages
        for page in (*PAGES, f"race?run={run_id}"):
            learner.open(*page.split("?"))
            learner._run()  # with what the first run of the page has left in caches
            times = [1000 * learner._run() for _ in range(repeats)]
            found[page or "start"] = {"median_ms": round(statistics.median(times), 1), "p95_ms": round(percentile(times, 95), 1)}
            if learner.errors:
                found[page or "start"]["errors"] = learner.errors
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    print(json.dumps(measure(runs=asked.runs, repeats=asked.repeats, port=asked.port), indent=1))


if __name__ == "__main__":
    main()
