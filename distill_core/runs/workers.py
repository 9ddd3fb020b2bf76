"""The local cluster, a child process of the server: `python -m distill_core.runs.workers`.

A `LocalCluster` cannot be started inside the Streamlit server: while a page runs, `__main__` is the page's file, and a
new worker process would run that. So the server starts this program. It prints the scheduler's address as one line, and
ends when its standard input closes, which happens however the server ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading

from distill_core.runs.process import ignore_clock_changes, prepare_process

log = logging.getLogger("distill_core.runs")

PRIORITY = 10  # of a worker, as `nice` counts it: a page that is asked for comes first


def shape() -> tuple[int, int]:
    """`(workers, threads of each)` on this machine. Two workers at least, so that a long run does not hold up the next one.

    Measured on two cores that other programs used too, MNIST: a race of five seeds of `mlp-30x2` took 6 s on one thread
    and 31 s on two (threads of a small step wait for each other), one `mlp-800x2` 3.2 s on one and 1.7 s on two. So two
    cores give two workers of one thread; threads are added only where there are cores to spare.
    """
    from dask.system import CPU_COUNT

    workers = max(2, min(4, CPU_COUNT // 2))
    return workers, max(1, CPU_COUNT // workers)


def main() -> None:
    """Start the cluster, print its address, and stay until standard input closes."""
    import dask
    from distributed import LocalCluster

    ignore_clock_changes()
    workers, threads = shape()
    scratch = tempfile.mkdtemp(prefix="distill-workers-")
    dask.config.set(
        {
            # On a busy machine a worker takes longer than the default of 15 s to come back, and would be given up for good.
            "distributed.deploy.lost-worker-timeout": "1h",
            "distributed.scheduler.allowed-failures": 0,  # the engine submits the run again, and shows it
            "distributed.admin.low-level-log-length": 100,  # events that the scheduler keeps of a topic; the store has them all
            "distributed.worker.profile.enabled": False,
            # Every process of the cluster else measures itself 50 times a second, which costs a lab that nobody uses 8 % of a core.
            "distributed.admin.tick.interval": "1s",
            "distributed.admin.system-monitor.interval": "5s",
            "distributed.worker.daemon": True,
            # Limits hold runs below a worker's memory; these would stop a run without a message.
            **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause", "terminate")},
            **{f"distributed.nanny.pre-spawn-environ.{name}": threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")},
            "logging": {"distributed": "error"},
            "temporary-directory": scratch,
        }
    )
    logging.getLogger("distributed").setLevel(logging.ERROR)
    cluster = LocalCluster(
        n_workers=0,
        threads_per_worker=1,  # one run at a time
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
        memory_limit=None,
        preload=["distill_core.runs.workers"],
        silence_logs=logging.ERROR,
    )
    cluster.scale(workers)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)  # at once, and the workers end with their parent; `cluster.close()` waits four seconds for a run in progress


def dask_setup(worker: object) -> None:
    """Each worker, before it counts as ready: a first training step, and from then on a lower priority than the server's."""
    prepare_process()
    ignore_clock_changes()
    import torch

    torch.set_num_threads(shape()[1])
    try:
        warm()
    except Exception:  # a cold worker trains, too; it only starts later
        log.warning("the worker could not be warmed", exc_info=True)
    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        os.setpriority(os.PRIO_PROCESS, 0, max(PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))
    threading.Thread(target=read_ahead, daemon=True).start()


def warm() -> None:
    """Whole training steps of a tiny cohort: the first optimizer and the first `vmap` of a process take seconds."""
    from distill_core.experiment import Experiment
    from distill_core.training.cohort import Cohort

    for _ in Cohort([Experiment(dataset="digits", images=64, epochs=1, seed=seed) for seed in (0, 1)]).steps():
        pass


def read_ahead() -> None:
    """Read the data set of most runs before the first run needs it, if it is on this machine."""
    from distill_core.data import datasets

    with contextlib.suppress(Exception):  # a run that needs it reports the error
        if datasets.DATASETS["mnist"].is_here():
            dataset = datasets.load("mnist")
            _ = dataset.fingerprint, dataset.pixel_mean_std


if __name__ == "__main__":
    main()
