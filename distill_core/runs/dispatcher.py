"""The dispatcher: the one thread that assigns runs to workers and writes what they report.

It works through these steps again and again: adopt runs of servers that died, follow what other servers changed, find
the workers, assign, handle events, write. Writes wait in order until the disk takes them. Pages never wait for it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from distill_core.runs import limits, upkeep
from distill_core.runs.cluster import Cluster, check_address
from distill_core.runs.keys import run_key_of_texts
from distill_core.runs.queue import Job, Queue
from distill_core.runs.schema import STATE, Run
from distill_core.runs.servers import Server
from distill_core.runs.store import Store, StoreError
from distill_core.runs.task import explain
from distill_core.runs.transitions import OUTCOMES, transition

if TYPE_CHECKING:
    from distributed import Future

log = logging.getLogger("distill_core.runs")

MAX_DEATHS = 3
TICK = 0.5  # seconds between two checks of the cluster and the store when nothing happens
ADOPT_INTERVAL = 5.0  # seconds between two searches for servers that died
TIDY_INTERVAL = 30.0  # seconds between two looks at what the runs take on the disk


class State(NamedTuple):
    """The engine's state: "starting", "ready", "restarting", "unreachable" or "storage", and one sentence."""

    name: str
    sentence: str


class Dispatcher:
    """Runs in a thread of its own between `start` and `shutdown`. Pages call `wake`, `request`, `compute` and `state` only."""

    def __init__(self, store: Store, jobs: Queue, *, address: str | None) -> None:
        self.store, self.queue = store, jobs
        self.server = Server(store.path.parent / "servers")
        self.cluster = Cluster(
            address=check_address(address) if address else None,
            topic=f"distill-{secrets.token_hex(4)}",
            log_path=store.path.parent / "workers.log",
            on_event=lambda event: self._inbox.put(lambda: self._on_event(event)),
        )
        where = f"connecting to the scheduler at {address}" if address else "the workers are starting"
        self._state = State("starting", f"{where}; runs wait in the queue until then")
        self._trouble = ""  # with the store
        self._inbox: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._writes: collections.deque[Callable[[], object]] = collections.deque()
        self._tasks: dict[str, Future] = {}  # by submission, until it ends: a released future's task runs on unseen
        self._workers: set[str] = set()
        self._gpu_workers: set[str] = set()
        self._occupied: set[str] = set()  # workers that the scheduler has given a task, of this server or another
        self._failures = 0  # attempts in vain to start or reach the cluster, one after another
        self._due = {"follow": 0.0, "adopt": 0.0, "tidy": 0.0}  # when each is done again
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="distill-dispatcher", daemon=True)

    # --- from any thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Adopt what a dead server left, then run in the background."""
        self.server.start()
        self._attempt(self._adopt)
        self._thread.start()

    def shutdown(self) -> None:
        """End the workers and the thread. Active runs are adopted by another server, or the next one."""
        self._closing.set()
        self._inbox.put(None)
        self.cluster.close_child()
        if self._thread.is_alive():
            self._thread.join(timeout=15)
        self.server.stop()

    def state(self) -> State:
        """The state of store and cluster, with one sentence for learners."""
        trouble = self._trouble
        return State("storage", trouble) if trouble else self._state

    def seconds_until(self, run_id: str) -> float | None:
        """How long a run that waits will wait, roughly; None where nothing is known about that."""
        return self.queue.seconds_until(run_id, workers=len(self._workers))

    def wake(self) -> None:
        """Something was queued or removed."""
        self._inbox.put(None)

    def request(self, submission: str, what: str) -> None:
        """Ask a task to stop or to pause."""
        self._inbox.put(lambda: self.cluster.request(submission, what))

    def compute(self, function: Callable[..., object], *arguments: object) -> concurrent.futures.Future:
        """Call a function on a worker; its future gets what it returns or raises."""
        answer: concurrent.futures.Future = concurrent.futures.Future()
        self._inbox.put(lambda: self.cluster.compute(function, arguments, answer))
        return answer

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._closing.is_set():
            trouble, pause = self._keep_up(), 0.0
            try:
                if self.cluster.client is None:
                    self.cluster.connect()
                self._find_workers()
                trouble = self._assign() or trouble
                self._handle_inbox()
            except Exception as error:  # whatever went wrong with the cluster: connect anew
                if not self._closing.is_set():
                    log.info("the cluster was lost", exc_info=error)
                    pause = self._lose_cluster()
            self._trouble = self._write() or trouble
            self._closing.wait(pause)
        running = [job.submission for job in self.queue.jobs() if job.submission]
        self.cluster.disconnect(stop=running if self.cluster.address else ())

    def _attempt(self, action: Callable[[], object]) -> str:
        """Call `action`. Returns a sentence if the store cannot be used now and the action is to be tried again, else "".

        Any other error is an error of the program, which would come back each time: it is logged and the action dropped.
        """
        try:
            action()
        except StoreError as error:
            return str(error)
        except Exception:
            log.exception("a change of a run was dropped")
        return ""

    def _write(self) -> str:
        """Write what is not written yet, in its order. With a full disk the rest stays, and nothing is lost."""
        while self._writes:
            if trouble := self._attempt(self._writes[0]):
                return trouble
            self._writes.popleft()
        return ""

    def _handle_inbox(self) -> None:
        """Handle what has arrived; wait a tick for something if nothing has."""
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=TICK)
            while True:
                if message is not None:
                    message()
                message = self._inbox.get_nowait()

    # --- other servers ----------------------------------------------------------------------------------------------

    def _keep_up(self) -> str:
        """Follow what other servers changed, adopt what dead ones left, and tidy the store, each when it is due."""
        now, trouble = time.monotonic(), ""
        duties = (
            ("follow", TICK, self._follow),
            ("adopt", ADOPT_INTERVAL, self._adopt),
            ("tidy", TIDY_INTERVAL, lambda: upkeep.tidy(self.store)),
        )
        for name, interval, action in duties:
            if now >= self._due[name]:
                self._due[name] = now + interval
                trouble = self._attempt(action) or trouble
        return trouble

    def _adopt(self) -> None:
        """Active runs of servers that died are queued here. A live server's stay with it."""
        for server in self.store.servers() - {self.server.id}:
            if not self.server.is_dead(server):
                continue
            changed = {"server": self.server.id, "message": "queued again after the server was restarted"}
            for claim in self.store.active_of(server):
                if transition(self.store, claim.id, "adopt", only_if={"server": server}, **changed):
                    self.queue.add(claim.id, claim.owner_hash, claim.address_hash)
                    if claim.submission:  # on a scheduler elsewhere its task may still run
                        self.request(claim.submission, "stop")

    def _follow(self) -> None:
        """Bring the queue in line with the store, which other servers write, too: they may stop, reset or pause a run."""
        jobs = self.queue.jobs()  # read before the store: a run that is queued in between is not missed
        claims = {claim.id: claim for claim in self.store.active_of(self.server.id)}
        for job in jobs:
            claim = claims.pop(job.run_id, None)
            if claim is None or claim.submission != job.submission:
                if self.queue.discard(job) and job.submission:
                    self.request(job.submission, "stop")
            elif job.submission and claim.until_epoch not in (None, job.until_epoch):
                job.until_epoch, job.request = claim.until_epoch, "pause"
                self.request(job.submission, "pause")
        for claim in claims.values():
            if self.queue.get(claim.id) is None and (
                not claim.submission or transition(self.store, claim.id, "requeue", only_if={"submission": claim.submission})
            ):
                self.queue.add(claim.id, claim.owner_hash, claim.address_hash)

    # --- workers ----------------------------------------------------------------------------------------------------

    def _find_workers(self) -> None:
        """Which workers there are, and which of them have a task."""
        processing = self.cluster.processing()
        if set(processing) != self._workers:
            self._gpu_workers = self.cluster.gpu_workers()
        self._workers = set(processing)
        self._occupied = {worker for worker, tasks in processing.items() if tasks}
        count, address = len(processing), self.cluster.address
        if count:
            self._failures = 0
            self._state = State("ready", f"{count} worker{'s are' if count > 1 else ' is'} ready")
        elif address:
            self._state = State("starting", f"the scheduler at {address} has no workers; runs wait until one comes")
        elif self._state.name == "ready":
            self._state = State("restarting", RESTARTING)

    def _assign(self) -> str:
        """Give each free worker the next run. No run waits on a worker: a long one before it would hold it up."""
        free = sorted(self._workers - self._occupied - self.queue.busy_workers())
        free.sort(key=lambda worker: worker not in self._gpu_workers)  # those with a GPU first
        for worker, job in zip(free, self.queue.waiting(), strict=False):
            try:
                run, state = self.store.get(job.run_id), self.store.load_state(job.run_id)
                claimed = run is not None and self._claim(job, run, worker)
            except StoreError as error:
                return str(error)
            except Exception as error:  # a row that cannot be read would come back each time
                log.exception("a run could not be read")
                self._write_later("fail", job, only_if={"server": self.server.id}, message=explain(error))
                continue
            if claimed:
                self._submit(job, run, state)
        return ""

    def _claim(self, job: Job, run: Run, worker: str) -> bool:
        """Name the run's next task, in the store and in the queue, if nothing about the run has changed since it was read.

        A run that was stopped or deleted meanwhile leaves the queue by `_follow`.
        """
        submission = f"{job.run_id}-{secrets.token_hex(4)}"
        expected = {"server": self.server.id, "submission": "", "changes": run.changes}
        found = self.store.write(job.run_id, only_from=("queued",), only_if=expected, submission=submission)
        return found and self.queue.assign(job, submission, worker, until_epoch=run.until_epoch)

    def _submit(self, job: Job, run: Run, state: bytes | None) -> None:
        submission = job.submission
        future = self._tasks[submission] = self.cluster.submit(
            submission,
            run.experiments,
            worker=job.worker,
            state=state,
            until_epoch=run.until_epoch,
            cap=limits.max_seconds(),
            sharing=self.queue.tasks_on_host_of(job.worker),
        )
        future.add_done_callback(lambda future: self._inbox.put(lambda: self._on_end(submission, future)))

    def _lose_cluster(self) -> float:
        """The scheduler is gone: forget it and queue its runs again. Returns the seconds to wait before the next attempt."""
        self.cluster.disconnect()
        self._tasks.clear()
        self.queue.all_tasks_ended()
        self._failures += 1
        address = self.cluster.address
        if address:
            sentence = f"no Dask scheduler answers at {address}; start one there, or unset DISTILL_CLUSTER to train on this machine"
            self._state = State("unreachable", sentence)
        elif self._failures > 3:
            path = self.cluster.log_path
            self._state = State("unreachable", f"the workers cannot be started on this machine; the reason is in {path}")
        else:
            self._state = State("restarting", RESTARTING)
        deaths = 0 if address else 1  # a run may have killed our own child, but not a scheduler elsewhere
        for job in self.queue.jobs():
            if job.submission:
                self._writes.append(functools.partial(self._worker_died, job, job.submission, deaths=deaths))
        return min(0.2 * 2**self._failures, 10)

    # --- what a task reports ----------------------------------------------------------------------------------------

    def _write_later(self, name: str, job: Job, *, only_if: dict, **changed: object) -> None:
        """Make a transition when its turn to be written comes."""
        self._writes.append(functools.partial(transition, self.store, job.run_id, name, only_if=only_if, **changed))

    def _on_event(self, event: dict) -> None:
        """An event of a task. Everything it reports is written only while the run carries the task's name."""
        submission, about = event["submission"], event["about"]
        job = self.queue.current(submission)
        if job is None:
            if about == "started":  # the run was removed before the worker could receive the request
                self.cluster.request(submission, "stop")
            return
        guard = {"submission": submission}
        if about == "started":
            if job.request:  # before the worker could receive it
                self.cluster.request(submission, job.request)
            self._write_later("prepare", job, only_if=guard, epochs=event["epochs"])
        elif about == "progress":
            self._write_later("prepare", job, only_if=guard, what=event["what"], fraction=event["fraction"])
        elif about == "prepared":
            self._writes.append(functools.partial(self._update_key, job.run_id, guard))
        elif about == "records":
            reached = {"epoch": event["epoch"], "seconds": event["seconds"]}
            self._write_later("train", job, only_if=guard, records=event["records"], what="", **reached)
        elif about == "files":
            self._write_later("train", job, only_if=guard, files=event["files"])
        elif about == "snapshot":  # for the case that the worker, or this server, dies
            save = functools.partial(self._save_snapshot, job.run_id, guard)
            self.cluster.fetch_snapshot(submission, event["worker"], save)
        elif about == "refused":
            job.until_epoch, job.request = None, ""
            self._write_later("train", job, only_if=guard, message=event["message"], until_epoch=None)

    def _save_snapshot(self, run_id: str, guard: dict, snapshot: dict) -> None:
        """From any thread: files to go on from, written in their turn."""
        files = {**snapshot["artefacts"], STATE: snapshot["state"]}
        self._inbox.put(lambda: self._writes.append(functools.partial(self.store.write, run_id, only_if=guard, files=files)))

    def _update_key(self, run_id: str, guard: dict) -> None:
        """A teacher that the run has made is part of the key from now on."""
        run = self.store.get(run_id)
        if run is not None and (key := run_key_of_texts(run.experiments)) != run.key:
            self.store.write(run_id, only_if=guard, key=key)

    def _on_end(self, submission: str, future: Future) -> None:
        """A task has ended, and its worker is free, whatever became of the run."""
        if self._tasks.get(submission) is not future:
            return  # of a cluster that was lost
        job, outcome = self.queue.current(submission), None
        if job is not None:
            outcome = self.cluster.outcome(future)
        del self._tasks[submission]
        self.queue.task_ended(submission, finished=outcome is not None and outcome["outcome"] == "finished")
        if outcome is not None:
            self._writes.append(functools.partial(self._finish, job, submission, outcome))
        elif job is not None:
            self._writes.append(functools.partial(self._worker_died, job, submission))

    def _finish(self, job: Job, submission: str, outcome: dict) -> None:
        """The end of a run, or its pause: files, records and status in one transaction."""
        if self.queue.current(submission) is not job:
            return
        name, guard = OUTCOMES[outcome["outcome"]], {"submission": submission}
        changed = {column: outcome[column] for column in ("epoch", "seconds") if column in outcome}
        files = dict(outcome["artefacts"])
        if name == "pause":
            files[STATE] = outcome["state"]
        try:
            if name == "finish":
                self._update_key(job.run_id, guard)
            common = {"only_if": guard, "message": outcome["message"], "until_epoch": None}
            transition(self.store, job.run_id, name, records=outcome["records"], files=files, **common, **changed)
        except StoreError:
            raise  # it is tried again
        except Exception as error:  # it would fail each time
            log.exception("the outcome of a run cannot be written")
            transition(self.store, job.run_id, "fail", only_if=guard, message=explain(error))
        self.queue.discard(job)

    def _worker_died(self, job: Job, submission: str, *, deaths: int = 1) -> None:
        """Queue the run again, from its last snapshot or from the beginning; with the same numbers either way.

        The death is counted in the same write that takes the task's name from the run, so it is counted once.
        """
        if self.queue.current(submission) is not job:
            return
        run, guard = self.store.get(job.run_id), {"submission": submission}
        deaths += run.deaths if run is not None else 0
        if deaths >= MAX_DEATHS:
            message = f"its worker died {deaths} times, perhaps because the memory was full; choose fewer seeds or a smaller student"
            transition(self.store, job.run_id, "fail", only_if=guard, deaths=deaths, message=message)
            self.queue.discard(job)
            return
        message = "its worker died; the run is queued again"
        if transition(self.store, job.run_id, "requeue", only_if=guard, deaths=deaths, message=message):
            self.queue.requeue(job)
        else:
            self.queue.discard(job)  # stopped, reset or deleted meanwhile


RESTARTING = "the workers have died and are started again; runs go on by themselves"
