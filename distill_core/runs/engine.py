"""The queue: hands runs to workers, and what they tell to the store.

Pages call the methods of `Engine` from many threads. They write their wish to the store and return; one thread, the
keeper, does everything else in the order in which it came: it starts the workers or finds the scheduler, hands over
what can start now, writes what comes back, and begins again when something has died.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import hmac
import json
import logging
import os
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import filelock

from distill_core.runs import task
from distill_core.runs.store import ACTIVE, Run, Store, StoreError

if TYPE_CHECKING:
    from distributed import Client, Future

    from distill_core.experiment import Experiment

log = logging.getLogger("distill_core.runs")

MAX_EXPERIMENTS = {"race": 64, "sweep": 400}
MAX_ACTIVE = 4  # queued or running, of one owner
MAX_QUEUED = 200
MAX_WORK = 1e15  # multiplications of a weight with a pixel; two cores do some 1e13 in a quarter of an hour
MAX_MEMORY = 8e9  # bytes
TENSORS_OF_TRIPLES = 6  # cosines of all triples of a batch, and what their gradient needs
RATES = {"linear": 2e10, "mlp": 2e10, "cnn": 1e10, "resnet": 1e10}  # multiplications a second, until runs have told better
SECONDS_A_STEP = 5e-4  # that a step takes beside its multiplications
MAX_DEATHS = 3
CAP = 900.0  # seconds; DISTILL_CAP
TICK = 0.5  # seconds between looks at the cluster when nothing happens


class State(NamedTuple):
    """How the engine is: "starting", "ready", "restarting", "unreachable" or "storage", and one sentence."""

    name: str
    sentence: str


@dataclass
class Job:
    """A run that is queued or on a worker."""

    run_id: str
    owner_hash: str
    number: int  # in order of arrival
    submission: str = ""  # the name of this handing over: what an earlier one still tells is not ours
    future: Future | None = None
    worker: str = ""
    asked: str = ""
    deaths: int = 0


class Engine:
    """Queue and control of runs. `address`: a Dask scheduler; without one, workers are started on this machine."""

    def __init__(self, store: Store, *, address: str | None = None) -> None:
        self.store = store
        self.address = address or os.environ.get("DISTILL_CLUSTER") or None
        self._topic = f"distill-{secrets.token_hex(4)}"  # of this server: others may use the same scheduler
        self._jobs: dict[str, Job] = {}
        self._numbers = 0
        self._lock = threading.RLock()
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unwritten: collections.deque[Callable[[], None]] = collections.deque()
        where = f"looking for the scheduler at {self.address}" if self.address else "the workers are starting"
        self._state = State("starting", f"{where}; runs wait in the queue until then")
        self._trouble = ""
        self._client: Client | None = None
        self._child: subprocess.Popen | None = None
        self._workers: set[str] = set()
        self._failures = 0  # starts of the cluster in vain, one after another
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="distill-engine", daemon=True)
        self._only_one = filelock.FileLock(store.path.with_suffix(".engine.lock"), timeout=0, thread_local=False)

    # --- what pages call --------------------------------------------------------------------------------------------

    def start(self) -> Engine:
        """Begin in the background, and take up again what an earlier server left unfinished."""
        with contextlib.suppress(filelock.Timeout, OSError):  # held by another server: its runs are not ours to take up
            self._only_one.acquire()
            try:
                self._adopt()
            except StoreError as error:
                self._trouble = str(error)
                self._unwritten.append(self._adopt)
        self._keeper.start()
        return self

    def shutdown(self) -> None:
        """Let go of the workers. Runs that are not finished are taken up again by the next engine."""
        self._closing.set()
        self._inbox.put(None)
        self._close_child()
        if self._keeper.is_alive():
            self._keeper.join(timeout=15)
        self._only_one.release()

    def state(self) -> State:
        """How the engine is, for a line at the edge of a page."""
        return State("storage", self._trouble) if self._trouble else self._state

    def submit(
        self,
        experiments: Sequence[Experiment],
        *,
        owner: str = "",
        title: str = "",
        kind: str = "race",
        fresh: bool = False,
        paused_at: int | None = None,
    ) -> tuple[str, bool]:
        """Queue a run of `experiments`; returns `(run id, whether it was on the shelf)`.

        The same experiments are answered by the finished run, or join the one that is queued or running, unless `fresh`.
        `paused_at` is the epoch at which the run pauses; at 0 nothing is trained before `resume` or `step`.
        Raises `ValueError` for more than the lab takes.
        """
        key = run_key(experiments)
        with self._lock:
            if not fresh and paused_at is None:
                if done := self.store.finished_with_key(key):
                    return done.id, True
                if going := self.store.active_with_key(key):
                    return going.id, False
            check_limits(experiments, kind=kind)
            if kind == "sweep":
                self._check_time(experiments)
            mark = owner_mark(owner)
            self._check_queue(mark)
            run_id = self.store.create(
                [one.to_json() for one in experiments],
                key=key,
                kind=kind,
                title=title,
                epochs=max(one.all_epochs for one in experiments),
                owner_hash=mark,
                until_epoch=paused_at,
                status="paused" if paused_at == 0 else "queued",
            )
            if paused_at != 0:
                self._enqueue(run_id, mark)
        return run_id, False

    def estimate(self, experiments: Sequence[Experiment]) -> float:
        """Seconds that the experiments will take, roughly: from what finished runs took here, or else from usual rates."""
        check_limits(experiments, kind="sweep")
        rates = {student: self._rate(student) for student in {one.student for one in experiments}}
        return sum(_steps(one) * SECONDS_A_STEP / len(experiments) + _size(one)[0] / rates[one.student] for one in experiments)

    def _rate(self, student: str) -> float:
        """Multiplications a second of finished runs of this student alone: the quickest of the last ones."""
        done = self.store.list(text=student, status="finished", limit=5)
        rates = [_work_of(student, run.experiments) / run.seconds for run in done if run.seconds > 1]
        return max(rates, default=0) or RATES.get(student.split("-")[0], 1e10)

    def pause(self, run_id: str, *, owner: str = "") -> None:
        """Pause at the end of the epoch; the worker is free for others meanwhile."""
        run = self._mine(run_id, owner)
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None:
                if run.status != "paused":
                    raise ValueError(f"the run is {run.status} and cannot be paused; only one that is queued or running can")
            elif job.submission:
                self.store.update(run_id, only_from=ACTIVE, until_epoch=int(run.epoch) + 1, message="pausing at the end of the epoch")
                job.asked = "pause"
                self._ask(job.submission, "pause")
            else:
                self._jobs.pop(run_id)
                self.store.set_status(run_id, "paused", only_from=ACTIVE, message="", until_epoch=None)

    def resume(self, run_id: str, *, owner: str = "") -> None:
        """Go on from where the run was paused, with the same numbers as if it had never stopped."""
        self._go_on(self._mine(run_id, owner), until_epoch=None)

    def step(self, run_id: str, *, owner: str = "") -> None:
        """Train one more epoch, then pause. A run that is going pauses at the end of its epoch."""
        run = self._mine(run_id, owner)
        if run.active:
            self.pause(run_id, owner=owner)
        else:
            self._go_on(run, until_epoch=int(run.epoch) + 1)

    def stop(self, run_id: str, *, owner: str = "") -> None:
        """End the run now; what it has told stays. The worker leaves off after the step that it is in."""
        run = self._mine(run_id, owner)
        if run.status in (*ACTIVE, "paused"):
            self._let_go(run_id)
            self.store.set_status(run_id, "stopped", only_from=(*ACTIVE, "paused"), message="stopped", until_epoch=None)
            self.store.drop_state(run_id)

    def reset(self, run_id: str, *, owner: str = "") -> None:
        """Back to the same initial weights: records and state are dropped, the run is paused at epoch 0."""
        self._mine(run_id, owner)
        self._let_go(run_id)
        self.store.reset(run_id)

    def delete(self, run_id: str, *, owner: str = "") -> None:
        """Stop the run if it is going, and forget it."""
        self._mine(run_id, owner)
        self._let_go(run_id)
        self.store.delete(run_id)

    def position(self, run_id: str) -> int | None:
        """0 for a run that is on a worker, n for the nth in the queue, None for one that is neither."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None:
                return None
            return 0 if job.submission else 1 + self._waiting().index(job)

    def status(self, run_id: str) -> str:
        """How the run is, as one sentence for a learner."""
        run = self.store.get(run_id)
        if run is None:
            return f"there is no run {run_id}; it may have been deleted"
        if run.status == "queued":
            state, place = self.state(), self.position(run_id)
            return state.sentence if state.name != "ready" else f"number {place} in the queue" if place else run.message or "about to start"
        if run.status == "preparing":
            return f"{run.what}, {run.fraction:.0%}" if run.what else "getting ready"
        return run.message or f"{run.status}, epoch {run.epoch:.3g} of {run.epochs}"

    def may_control(self, run_id: str, *, owner: str) -> bool:
        """Whether this owner may stop, pause or delete the run."""
        run = self.store.get(run_id)
        return run is not None and hmac.compare_digest(run.owner_hash, owner_mark(owner))

    # --- behind them ------------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """What an earlier server left queued or running is queued again; what was paused stays paused."""
        for run in self.store.unfinished():
            if run.id not in self._jobs:
                self.store.set_status(run.id, "queued", message="taken up again after the server was restarted")
                self._enqueue(run.id, run.owner_hash)

    def _mine(self, run_id: str, owner: str) -> Run:
        run = self.store.get(run_id)
        if run is None:
            raise ValueError(f"there is no run {run_id}; it may have been deleted, choose one from the list of runs")
        if not hmac.compare_digest(run.owner_hash, owner_mark(owner)):
            raise PermissionError("this run was started by somebody else; press Train to have one of your own")
        return run

    def _check_time(self, experiments: Sequence[Experiment]) -> None:
        seconds, cap = self.estimate(experiments), float(os.environ.get("DISTILL_CAP") or CAP)
        if seconds > cap:
            raise ValueError(
                f"the map would take about {seconds / 60:.0f} minutes, and {cap / 60:.3g} is the most a run may take here; "
                "choose fewer cells, seeds, images or epochs, or set DISTILL_CAP to more seconds"
            )

    def _check_queue(self, mark: str) -> None:
        mine, queued = self.store.count_active(mark), self.store.count_active()
        if mine >= MAX_ACTIVE:
            raise ValueError(f"you have {mine} runs queued or running, and {MAX_ACTIVE} is the most; stop one or wait for its end")
        if queued >= MAX_QUEUED:
            raise ValueError(f"the queue is full: {queued} runs wait or train, and {MAX_QUEUED} is the most; try again later")

    def _enqueue(self, run_id: str, mark: str) -> None:
        with self._lock:
            self._numbers += 1
            self._jobs[run_id] = Job(run_id, mark, self._numbers)
        self._inbox.put(None)

    def _go_on(self, run: Run, *, until_epoch: int | None) -> None:
        with self._lock:
            if run.status != "paused":
                raise ValueError(f"the run is {run.status} and cannot go on; only a paused run can, reset it to begin again")
            self._check_queue(run.owner_hash)
            if self.store.set_status(run.id, "queued", only_from=("paused",), message="", until_epoch=until_epoch):
                self._enqueue(run.id, run.owner_hash)

    def _let_go(self, run_id: str) -> None:
        """The run leaves queue and worker; what its worker still tells finds no job."""
        with self._lock:
            job = self._jobs.pop(run_id, None)
        if job and job.submission:
            self._ask(job.submission, "stop")
        self._inbox.put(None)

    def _ask(self, submission: str, what: str) -> None:
        self._inbox.put(lambda: self._client and self._client.run(task.ask, submission, what, wait=False, on_error="ignore"))

    def _waiting(self) -> list[Job]:
        """The queue. Everybody's first run goes before anybody's second, and among these who came first."""
        turns = collections.Counter(job.owner_hash for job in self._jobs.values() if job.submission)
        queued = []
        for job in sorted((job for job in self._jobs.values() if not job.submission), key=lambda job: job.number):
            queued.append((turns[job.owner_hash], job.number, job))
            turns[job.owner_hash] += 1
        return [job for _, _, job in sorted(queued, key=lambda entry: entry[:2])]

    # --- the keeper -------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                if self._client is None:
                    self._connect()
                if self._client is not None:
                    self._look()
                    self._hand_over()
                self._listen()
                self._write()
            except Exception as error:  # whatever went wrong with the cluster: begin again
                if not self._closing.is_set():
                    log.info("the cluster was lost", exc_info=True)
                    self._lose(error)
        self._disconnect(say_stop=True)

    def _listen(self) -> None:
        """Do what has arrived; wait for something if nothing has."""
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=TICK)
            while True:
                if message is not None:
                    message()
                message = self._inbox.get_nowait()

    def _write(self) -> None:
        """Write what is not written yet, in its order. With a full disk it waits here, and nothing is lost."""
        while self._unwritten:
            try:
                self._unwritten[0]()
            except StoreError as error:
                self._trouble = str(error)
                return
            self._unwritten.popleft()
        self._trouble = ""

    def _connect(self) -> None:
        """Find the scheduler that was named, or start the workers' process and ask it for its address."""
        import dask
        from distributed import Client  # here: half a second that the first page need not wait for

        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # the state of a paused run
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # the engine itself says what happened
        address = self.address or self._start_child()
        self._client = Client(address, timeout="5s", set_as_default=False, name="distill-server")
        self._client.subscribe_topic(self._topic, lambda event: self._inbox.put(lambda: self._hear(event[1])))

    def _start_child(self) -> str:
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        with self._open_log() as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "distill_core.runs.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the server; the child ends when its input closes
            )
        if self._closing.is_set():
            self._close_child()
        address = self._child.stdout.readline().strip()
        if not address:
            raise ConnectionError("the workers' process ended before it said its address")
        return address

    def _open_log(self):  # noqa: ANN202
        path = self.store.path.parent / "workers.log"
        try:
            return path.open("a" if path.exists() and path.stat().st_size < 1_000_000 else "w")
        except OSError:
            return open(os.devnull, "w")

    def _look(self) -> None:
        """Which workers are there; raises if the scheduler does not answer."""
        if self._child is not None and self._child.poll() is not None:
            raise ConnectionError("the workers' process has died")
        self._workers = set(self._client.sync(self._client.scheduler.ncores, callback_timeout=10))
        count = len(self._workers)
        if count:
            self._failures = 0
            self._state = State("ready", f"{count} worker{'s are' if count > 1 else ' is'} ready")
        elif self.address:
            self._state = State("starting", f"the scheduler at {self.address} has no workers; runs wait until one comes")
        elif self._state.name == "ready":
            self._state = State("restarting", "the workers have died and are started again; runs go on by themselves")

    def _hand_over(self) -> None:
        """Give each free worker the next run. No run waits on a worker: a long one before it would hold it up."""
        with self._lock:
            busy = {job.worker for job in self._jobs.values() if job.submission}
            chosen = list(zip(sorted(self._workers - busy), self._waiting(), strict=False))
        for worker, job in chosen:
            try:
                run, state = self.store.get(job.run_id), self.store.load_state(job.run_id)
            except StoreError as error:
                self._trouble = str(error)
                return
            if run is None:
                self._drop(job)
                continue
            submission = f"{job.run_id}-{secrets.token_hex(4)}"
            with self._lock:
                if self._jobs.get(job.run_id) is not job:
                    continue  # stopped or paused in the meantime
                job.submission, job.worker, job.asked = submission, worker, ""
            future = self._client.submit(
                task.work,
                submission,
                run.experiments,
                topic=self._topic,
                state=state,
                until_epoch=run.until_epoch,
                cap=float(os.environ.get("DISTILL_CAP") or CAP),
                key=submission,
                pure=False,
                workers=[worker],
                allow_other_workers=True,
            )
            job.future = future
            future.add_done_callback(lambda future, s=submission: self._inbox.put(lambda: self._settle(s, future)))

    def _job(self, submission: str) -> Job | None:
        """The job that was handed over under this name, unless it was let go or handed over again."""
        job = self._jobs.get(submission.split("-")[0])
        return job if job is not None and job.submission == submission else None

    def _drop(self, job: Job) -> None:
        with self._lock:
            if self._jobs.get(job.run_id) is job:
                del self._jobs[job.run_id]

    def _hear(self, news: dict) -> None:
        """What a worker tells."""
        with self._lock:
            job = self._job(news["submission"])
        if job is None:
            return
        run_id, submission = job.run_id, job.submission
        if news["about"] == "started":
            if job.asked:  # before this worker could hear it
                self._ask(submission, job.asked)
            self._later(submission, lambda: self.store.set_status(run_id, "preparing", only_from=ACTIVE, epochs=news["epochs"]))
        elif news["about"] == "progress":
            told = {"what": news["what"], "fraction": news["fraction"]}
            self._later(submission, lambda: self.store.update(run_id, only_from=ACTIVE, **told))
        elif news["about"] == "records":
            how_far = {"status": "running", "what": "", "epoch": news["epoch"], "seconds": news["seconds"]}
            self._later(submission, lambda: self.store.append(run_id, news["records"], **how_far))
        elif news["about"] == "state":  # for the case that the worker, or this server, dies
            self._later(submission, lambda: self.store.save_state(run_id, news["state"]))

    def _later(self, submission: str, write: Callable[[], object]) -> None:
        """Write when its turn comes, if the run was not let go until then."""

        def if_still_ours() -> None:
            with self._lock:  # Stop and Reset wait for a write in progress, and none comes after them
                if self._job(submission):
                    write()

        self._unwritten.append(if_still_ours)

    def _settle(self, submission: str, future: Future) -> None:
        """A run has come back from its worker."""
        with self._lock:
            job = self._job(submission)
        if job is None or future is not job.future:
            return
        if future.status == "finished":
            outcome = self._client.gather(future)
            self._later(submission, lambda: self._keep_outcome(job, outcome))
        elif future.status == "error" and type(future.exception()).__name__ != "KilledWorker":
            log.error("a run could not be handed over", exc_info=future.exception())
            outcome = {"outcome": "failed", "message": task._sentence(future.exception()), "records": [], "artefacts": {}}
            self._later(submission, lambda: self._keep_outcome(job, outcome))
        else:
            self._later(submission, lambda: self._take_up_again(job))

    def _keep_outcome(self, job: Job, outcome: dict) -> None:
        """The end of a run, or a pause. First the files, then the rows, then the status: a crash between costs nothing."""
        run_id, kind = job.run_id, outcome["outcome"]
        for name, blob in outcome["artefacts"].items():
            self.store.write_artefact(run_id, name, blob)
        if kind == "paused":
            self.store.save_state(run_id, outcome["state"])
        how_far = {name: outcome[name] for name in ("epoch", "seconds") if name in outcome}
        self.store.append(run_id, outcome["records"], **how_far)
        self.store.set_status(run_id, kind, only_from=ACTIVE, message=outcome["message"], until_epoch=None)
        if kind != "paused":
            self.store.drop_state(run_id)
        self._drop(job)

    def _take_up_again(self, job: Job, *, deaths: int = 1) -> None:
        """The worker died. From the last state, or from the beginning; with the same numbers either way."""
        with self._lock:
            job.deaths += deaths
            if job.deaths >= MAX_DEATHS:
                sentence = f"its worker died {job.deaths} times, perhaps for want of memory; choose fewer seeds or a smaller student"
                self.store.set_status(job.run_id, "failed", only_from=ACTIVE, message=sentence)
                self._drop(job)
            else:
                self.store.set_status(job.run_id, "queued", only_from=ACTIVE, message="its worker died; the run is taken up again")
                job.submission, job.worker, job.future = "", "", None

    def _lose(self, error: Exception) -> None:
        """The scheduler is gone: forget it, queue again what it had, and try again after a moment."""
        self._disconnect()
        self._failures += 1
        if self.address:
            where = f"no Dask scheduler answers at {self.address}; start one there, or unset DISTILL_CLUSTER to train on this machine"
            self._state = State("unreachable", where)
        elif self._failures > 3:
            place = self.store.path.parent / "workers.log"
            self._state = State("unreachable", f"the workers cannot be started on this machine; {place} says why")
        else:
            self._state = State("restarting", "the workers have died and are started again; runs go on by themselves")
        with self._lock:
            lost = [job.submission for job in self._jobs.values() if job.submission]
        deaths = 0 if self.address else 1  # a run may have brought down our own child, but not a scheduler elsewhere
        for submission in lost:
            self._later(submission, lambda s=submission: self._take_up_again(self._job(s), deaths=deaths))
        self._write()
        self._closing.wait(min(0.2 * 2**self._failures, 10))

    def _disconnect(self, *, say_stop: bool = False) -> None:
        """Close client and child. A remote worker is told to leave off; those of the child end with it."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                if say_stop and self.address:
                    for job in [job for job in self._jobs.values() if job.submission]:
                        client.run(task.ask, job.submission, "stop", on_error="ignore")
            with contextlib.suppress(Exception):
                client.close(timeout=2)
        self._close_child()
        child, self._child = self._child, None
        if child is not None:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()  # its workers see their parent go, and end
                child.wait()
            child.stdout.close()

    def _close_child(self) -> None:
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()


# --- what a browser may send ----------------------------------------------------------------------------------------


def owner_mark(owner: str) -> str:
    """What the store keeps of an owner's token: enough to know it again, useless to whoever reads the file."""
    return hashlib.sha256(owner.encode()).hexdigest() if owner else ""


def run_key(experiments: Sequence[Experiment]) -> str:
    """A hash of the experiments' keys, in their order."""
    return hashlib.sha256(json.dumps([one.key for one in experiments]).encode()).hexdigest()[:16]


def check_limits(experiments: Sequence[Experiment], *, kind: str = "race") -> None:
    """Raise `ValueError` for more than the lab takes, whatever a browser sent."""
    if kind not in MAX_EXPERIMENTS:
        raise ValueError(f"kind '{kind}' is not known; choose one of: {', '.join(MAX_EXPERIMENTS)}")
    most = MAX_EXPERIMENTS[kind]
    if not 1 <= len(experiments) <= most:
        raise ValueError(f"{len(experiments)} experiments cannot be one {kind}; give from 1 to {most}, for example fewer seeds")
    for one in experiments:
        _check_pictures(one.dataset)
    sizes = [_size(one) for one in experiments]
    work = sum(work for work, _ in sizes)
    if work > MAX_WORK:
        raise ValueError(
            f"the run would take {work:.1e} multiplications (images x epochs x weights x networks), the most is {MAX_WORK:.0e}; "
            "choose fewer images, epochs or seeds, or a smaller student"
        )
    memory = sum(memory for _, memory in sizes)
    if memory > MAX_MEMORY:
        raise ValueError(
            f"the networks would need about {memory / 1e9:.0f} GB of memory, the most is {MAX_MEMORY / 1e9:.0f} GB; "
            "choose fewer seeds, a smaller student or a smaller batch"
        )


def _check_pictures(dataset: str) -> None:
    """A browser may name a zip that was brought to the lab, and no other file of this machine."""
    from distill_core.data import datasets

    if dataset not in datasets.DATASETS and dataset not in datasets.kept_pictures():
        raise ValueError(f"the pictures '{Path(dataset).name}' are not in this lab; bring the zip again, or choose another data set")


@functools.lru_cache(maxsize=256)
def _work_of(student: str, texts: tuple[str, ...]) -> float:
    """Multiplications of a run, whose experiments are JSON; 0 if it trained other students too."""
    from distill_core.experiment import Experiment

    done = [Experiment.from_json(text) for text in texts]
    return sum(_size(one)[0] for one in done) if {one.student for one in done} == {student} else 0.0


def _steps(experiment: Experiment) -> int:
    from distill_core.data import datasets

    source = datasets.DATASETS.get(experiment.dataset)
    return experiment.all_epochs * -(-(experiment.images or (source.train if source else 1000)) // experiment.batch_size)


def _size(experiment: Experiment) -> tuple[float, float]:
    """Multiplications and bytes of one experiment, with its baseline, peers and assistants, rather too few than too many."""
    from distill_core import models
    from distill_core.data import datasets
    from distill_core.objectives import METHODS

    source = datasets.DATASETS.get(experiment.dataset)
    shape, classes = (source.image_shape, len(source.class_names)) if source else ((3, 32, 32), 10)
    images = experiment.images or (source.train if source else 1000)
    method, batch = METHODS[experiment.method], min(experiment.batch_size, images)
    cost, *assistants = (models.cost(name, image_shape=shape, classes=classes) for name in (experiment.student, *experiment.assistants))
    networks = 2 + method.peers
    work = images * experiment.epochs * (networks * cost.multiplications + sum(one.multiplications for one in assistants))
    memory = sum(16 * one.parameters + 4 * batch * one.outputs for one in (*[cost] * networks, *assistants))  # with gradients and moments
    triples = 4 * networks * TENSORS_OF_TRIPLES * batch**3 if method.max_batch else 0
    return work, memory + triples
