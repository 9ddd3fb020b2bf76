"""The local cluster, a child process of the server: `python -m distill_core.runs.workers`.

A `LocalCluster` cannot live inside the Streamlit server: while a page runs, the page file stands in the place of
`__main__`, and that is what a new worker process would run. So the server starts this program. It prints the scheduler's
address as one line, and ends when its standard input closes: when the server is gone, however it went.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys

log = logging.getLogger("distill_core.runs")


def shape() -> tuple[int, int]:
    """`(workers, threads of each)`. At least two workers, so that one learner's long run does not make the next one wait.

    MEASURED_COMMENT
    """
    from dask.system import CPU_COUNT

    workers = max(2, min(4, CPU_COUNT // 2))
    return workers, max(1, CPU_COUNT // workers)


def main() -> None:
    """Open the cluster, say where it is, and stay until standard input closes."""
    import dask
    from distributed import LocalCluster

    workers, threads = shape()
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,  # the engine takes a run up again, and says so
            "distributed.admin.low-level-log-length": 100,  # events are kept this long by the scheduler; the store has them
            "distributed.worker.profile.enabled": False,
            "distributed.worker.daemon": True,
            # Data never outgrows a worker; these would only stop a run without a word.
            **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause", "terminate")},
            **{f"distributed.nanny.pre-spawn-environ.{name}": threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")},
            "logging": {"distributed": "error"},
        }
    )
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with LocalCluster(
        n_workers=0,
        threads_per_worker=1,  # one run at a time
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
        memory_limit=None,
        preload=["distill_core.runs.workers"],
        silence_logs=logging.ERROR,
    ) as cluster:
        cluster.scale(workers)
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


def dask_setup(worker: object) -> None:
    """Each worker, before it counts as ready: polite to the server, and warm."""
    import torch

    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        os.nice(10)
    torch.set_num_threads(shape()[1])
    try:
        warm()
    except Exception:  # a worker that is cold is still a worker
        log.warning("the worker could not be warmed", exc_info=True)


def warm() -> None:
    """Whole training steps of a tiny cohort: the first optimizer and the first `vmap` of a process take seconds."""
    from distill_core.cohort import Cohort
    from distill_core.experiment import Experiment

    for _ in Cohort([Experiment(dataset="digits", images=64, epochs=1, seed=seed) for seed in (0, 1)]).steps():
        pass


if __name__ == "__main__":
    main()
