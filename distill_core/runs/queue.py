"""The queue: which runs wait, which are on a worker, and which workers are busy.

Plain data in memory behind one lock. Nothing here reads a file, a database or a network, so no method ever waits: pages
ask for a position in the queue while the dispatcher assigns runs.
"""

from __future__ import annotations

import collections
import heapq
import math
import statistics
import threading
import time
from dataclasses import dataclass

SECONDS_A_TASK = 0.5  # that a run takes beside its training: data, the first step, the result
RECENT_RUNS = 6  # the last runs, from which the time of the next ones is predicted


@dataclass(eq=False)
class Job:
    """A run that is queued or on a worker."""

    run_id: str
    owner_hash: str
    number: int  # in order of arrival
    address_hash: str = ""
    submission: str = ""  # the name of the task on the worker; empty while the run waits
    worker: str = ""  # its address
    request: str = ""  # "pause" once somebody has asked for it
    until_epoch: int | None = None  # the pause that the task knows of
    estimate: float = 0.0  # seconds that it trains, roughly; 0 where nobody knows


class Queue:
    """Jobs by run, and the tasks that keep workers busy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, str] = {}  # the worker of each submission whose task has not ended
        self._started: dict[str, tuple[float, float]] = {}  # when each of these began, and its estimate
        self._ended: collections.deque[tuple[float, float]] = collections.deque(maxlen=RECENT_RUNS)  # seconds of the last, and estimates
        self._arrivals = 0

    def add(self, run_id: str, owner_hash: str, address_hash: str = "", *, estimate: float = 0.0) -> Job:
        """A job at the end of the queue; an earlier job of the same run is replaced."""
        with self._lock:
            self._arrivals += 1
            job = self._jobs[run_id] = Job(run_id, owner_hash, self._arrivals, address_hash, estimate=estimate)
        return job

    def hand_over(self, old: str, new: str, *, run_id: str = "") -> None:
        """The jobs of one owner, or one of them, belong to another from now on."""
        with self._lock:
            for job in self._jobs.values():
                if job.owner_hash == old and run_id in ("", job.run_id):
                    job.owner_hash = new

    def remove(self, run_id: str) -> Job | None:
        """Take a run out, waiting or not; returns its job. Its worker stays busy until `task_ended`."""
        with self._lock:
            return self._jobs.pop(run_id, None)

    def discard(self, job: Job) -> bool:
        """Take out this job, and no later one of the same run. Returns whether it was there."""
        with self._lock:
            found = self._jobs.get(job.run_id) is job
            if found:
                del self._jobs[job.run_id]
        return found

    def get(self, run_id: str) -> Job | None:
        """The job of a run."""
        with self._lock:
            return self._jobs.get(run_id)

    def current(self, submission: str) -> Job | None:
        """The job that is on a worker under this name; None if it was removed or assigned again since."""
        job = self.get(submission.split("-")[0])
        return job if job is not None and job.submission == submission else None

    def jobs(self) -> list[Job]:
        """All jobs, in order of arrival."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.number)

    # --- order ------------------------------------------------------------------------------------------------------

    def waiting(self) -> list[Job]:
        """The queue, next job first. Everybody's first run goes before anybody's second; among these, first come first served.

        Among first runs, those of an address come in turn with those of others: new tokens do not bring anybody forward.
        """
        jobs = self.jobs()
        turns = collections.Counter(job.owner_hash for job in jobs if job.submission)
        turns_of_address = collections.Counter()
        queued = []
        for job in jobs:
            if not job.submission:
                turn = (turns[job.owner_hash], turns_of_address[job.address_hash] if job.address_hash else 0, job.number)
                queued.append((turn, job))
                turns[job.owner_hash] += 1
                turns_of_address[job.address_hash] += 1
        return [job for _, job in sorted(queued, key=lambda entry: entry[0])]

    def position(self, run_id: str) -> int | None:
        """0 for a run on a worker, n for the nth in the queue, None for any other."""
        waiting = [job.run_id for job in self.waiting()]
        if run_id in waiting:
            return 1 + waiting.index(run_id)
        return 0 if self.get(run_id) is not None else None

    def seconds_until(self, run_id: str, *, workers: int) -> float | None:
        """How long a waiting run will wait; None before any has ended.

        Each run is expected to take its estimate times the geometric mean of the ratios of time to estimate of the last runs; one without
        an estimate the median of their times. Until RECENT_RUNS with an estimate have finished, each missing one counts as ratio 1: the
        first of all may be slow, because a whole class opens its pages beside them.
        """
        waiting, now = self.waiting(), time.monotonic()
        with self._lock:
            ended, running = list(self._ended), list(self._started.values())
        if not ended or not workers:
            return None
        usual = statistics.median(took for took, _ in ended)
        ratios = [took / (SECONDS_A_TASK + estimate) for took, estimate in ended if estimate]
        factor = math.prod(ratios) ** (1 / RECENT_RUNS)

        def duration(estimate: float) -> float:
            return factor * (SECONDS_A_TASK + estimate) if estimate else usual

        free = [max(0.0, duration(estimate) - (now - began)) for began, estimate in running] + [0.0] * (workers - len(running))
        heapq.heapify(free)
        for job in waiting:
            if job.run_id == run_id:
                return free[0]
            heapq.heapreplace(free, free[0] + duration(job.estimate))
        return None

    # --- workers ----------------------------------------------------------------------------------------------------

    def assign(self, job: Job, submission: str, worker: str, *, until_epoch: int | None = None) -> bool:
        """The job goes to a worker. Returns False if it was removed in the meantime; then nothing changes."""
        with self._lock:
            if self._jobs.get(job.run_id) is not job:
                return False
            job.submission, job.worker, job.until_epoch, job.request = submission, worker, until_epoch, ""
            self._workers[submission] = worker
            self._started[submission] = time.monotonic(), job.estimate
        return True

    def requeue(self, job: Job) -> None:
        """The job waits again, at its old place."""
        with self._lock:
            job.submission, job.worker, job.request = "", "", ""

    def task_ended(self, submission: str, *, finished: bool = False) -> None:
        """The task under this name has ended: its worker is free. Only of a run that `finished` the time counts for the next ones."""
        with self._lock:
            self._workers.pop(submission, None)
            started = self._started.pop(submission, None)
            if finished and started:
                self._ended.append((time.monotonic() - started[0], started[1]))

    def all_tasks_ended(self) -> None:
        """The cluster is gone, and every task with it."""
        with self._lock:
            self._workers.clear()
            self._started.clear()

    def busy_workers(self) -> set[str]:
        """Workers whose task has not ended, whatever became of its run: a stopped run ends only after its step."""
        with self._lock:
            return set(self._workers.values())

    def tasks_on_host_of(self, worker: str) -> int:
        """How many tasks run on the machine of this worker, its own included."""
        with self._lock:
            return sum(host(other) == host(worker) for other in self._workers.values())


def host(worker: str) -> str:
    """The machine in a worker's address: `tcp://127.0.0.1:4000` is on `127.0.0.1`."""
    return worker.rpartition("://")[2].rpartition(":")[0]
