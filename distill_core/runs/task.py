"""The task on a worker: train, report to the server, and follow its requests to stop or pause.

The server sends texts and numbers and gets plain ones back. Torch is imported only where the training is.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distill_core.runs.limits import MAX_SNAPSHOT, MAX_STATE

if TYPE_CHECKING:
    from distill_core.experiment import Experiment

log = logging.getLogger("distill_core.runs")

REQUESTS: dict[str, str] = {}  # by submission: "stop" or "pause"; training reads it after every step, which costs nothing
SNAPSHOTS: dict[str, dict] = {}  # by submission: the newest state and the artefacts so far, until the server fetches them
EVENT_INTERVAL = 0.1  # seconds between two events
SNAPSHOT_INTERVAL = 10.0  # seconds between two snapshots: so much is trained again after a crash


async def request(submission: str, what: str) -> None:
    """Called on every worker when somebody presses Stop or Pause; `async`, so that the server need not wait for it."""
    REQUESTS[submission] = what


async def take_snapshot(submission: str) -> dict | None:
    """Called by the server on the worker that has a snapshot; None if the task has ended since."""
    return SNAPSHOTS.pop(submission, None)


def work(
    submission: str,
    experiments: Sequence[str],
    *,
    topic: str,
    state: bytes | None = None,
    until_epoch: int | None = None,
    cap: float,
    sharing: int = 1,
) -> dict:
    """Train `experiments` (as JSON), from `state` if there is one, and return the outcome.

    `topic` is where events go; `until_epoch` the epoch at whose end the run pauses; `cap` the seconds that it may train;
    `sharing` the number of runs that train on this machine now. The outcome holds all records again, because events may
    be lost with a connection. It never raises: an error becomes one sentence in the outcome, and a traceback in the log.
    """
    reporter = Reporter(topic, submission)
    try:
        return train(reporter, experiments, state=state, until_epoch=until_epoch, cap=cap, sharing=sharing)
    except ValueError as error:
        log.info("run refused", exc_info=True)
        return reporter.outcome("failed", message=str(error))
    except Exception as error:
        log.exception("run failed")
        return reporter.outcome("failed", message=explain(error))
    finally:
        REQUESTS.pop(submission, None)
        SNAPSHOTS.pop(submission, None)


def train(
    reporter: Reporter, experiments: Sequence[str], *, state: bytes | None, until_epoch: int | None, cap: float, sharing: int = 1
) -> dict:
    """`work` without its errors. Experiments of one shape train at once, as a cohort; others one cohort after another."""
    from distill_core.experiment import Experiment

    parsed = [Experiment.from_json(text) for text in experiments]
    stages = stages_of(parsed)
    reporter.send(about="started", epochs=stages[-1].end)
    if not prepare_all(reporter, parsed):
        return reporter.outcome("stopped")
    reporter.send(about="prepared")

    saved = Saved.unpack(state)
    clock = Clock(cap, used=saved.seconds)
    for stage in stages[saved.stage :]:
        resumed = saved if stage.index == saved.stage else None
        outcome = train_stage(reporter, stage, resumed, clock=clock, until_epoch=until_epoch, sharing=sharing)
        if outcome is not None:
            return outcome
    return reporter.outcome("finished")


def train_stage(
    reporter: Reporter, stage: Stage, saved: Saved | None, *, clock: Clock, until_epoch: int | None, sharing: int
) -> dict | None:
    """Train one cohort, from `saved` if its state is there. Returns an outcome if the run ends here; None to go on.

    `sharing`: runs that train on this machine, this one included; its shards use this share of the cores.
    """
    from distill_core.machine import available_cores
    from distill_core.training.shards import Shards

    resumed, threads = saved is not None and saved.state, max(1, available_cores() // sharing)
    cohort = Shards.restored(stage.members, saved.state, threads=threads) if resumed else Shards(stage.members, threads=threads)
    earlier = saved.earlier if resumed else clock.used()  # seconds that the cohorts before this one took

    def pauses(epochs: int) -> bool:
        return REQUESTS.get(reporter.submission) == "pause" or (until_epoch is not None and epochs >= until_epoch)

    for records in cohort.steps():
        epochs = stage.start + cohort.done
        reporter.add([{**one, "experiment": stage.places[one["experiment"]]} for one in records], done=epochs, earlier=earlier)
        if records and stage.places[0] == 0:
            reporter.show(cohort.texts())
        trained = epochs == stage.end  # only the results of this cohort are left
        if REQUESTS.get(reporter.submission) == "stop":
            return reporter.outcome("stopped")
        if clock.is_over() and not trained:
            return reporter.outcome("stopped", message=_stopped_after(clock.cap))
        if trained or cohort.done == 0 or not cohort.at_epoch_end:
            continue
        if pauses(epochs):
            if cohort.state_bytes <= MAX_STATE:
                return reporter.outcome("paused", state=Saved(stage.index, clock.used(), earlier, cohort.state()).pack())
            reporter.send(about="refused", message="the state of this run is too large to be kept; it trains on without a pause")
            REQUESTS.pop(reporter.submission, None)
            until_epoch = None
        if cohort.state_bytes <= MAX_SNAPSHOT and clock.snapshot_is_due():
            reporter.offer(Saved(stage.index, clock.used(), earlier, cohort.state()).pack())
    for name, blob in cohort.artefacts().items():  # of each cohort's first experiment
        reporter.artefacts[name if stage.places[0] == 0 else f"{stage.places[0]}-{name}"] = blob
    if stage.is_last:
        return None
    if clock.is_over():
        return reporter.outcome("stopped", message=_stopped_after(clock.cap))
    if pauses(stage.end):  # between two cohorts only the place is kept
        return reporter.outcome("paused", state=Saved(stage.index + 1, clock.used(), clock.used(), b"").pack())
    return None


class Stage(NamedTuple):
    """One cohort of a run: which experiments, and between which epochs of the run it trains."""

    index: int
    places: list[int]
    members: list[Experiment]
    start: int
    end: int
    is_last: bool


def stages_of(experiments: Sequence[Experiment]) -> list[Stage]:
    """The cohorts of a run, in the order of their training."""
    from distill_core.training.cohort import cohorts  # torch: never in the server

    stages, start = [], 0
    groups = cohorts(experiments)
    for index, places in enumerate(groups):
        members = [experiments[place] for place in places]
        end = start + members[0].all_epochs
        stages.append(Stage(index, places, members, start, end, index == len(groups) - 1))
        start = end
    return stages


def prepare_all(reporter: Reporter, experiments: Sequence[Experiment]) -> bool:
    """Bring data sets and teachers to this machine. Returns False if the run was stopped meanwhile."""
    from distill_core.training.run_data import prepare

    for experiment in {(one.dataset, one.unlabelled_from, one.teacher): one for one in experiments}.values():
        for what, fraction in prepare(experiment):
            reporter.progress(what, fraction)
            if REQUESTS.get(reporter.submission) == "stop":
                return False
    return True


class Clock:
    """The time that a run has trained, over all its stretches, and the time that is left."""

    def __init__(self, cap: float, *, used: float) -> None:
        self.cap = cap
        self._started = time.monotonic() - used
        self._snapshot_at = time.monotonic()

    def used(self) -> float:
        """Seconds trained so far."""
        return time.monotonic() - self._started

    def is_over(self) -> bool:
        """Whether the run has used all its time."""
        return self.used() > self.cap

    def snapshot_is_due(self) -> bool:
        """Whether the last snapshot is old enough; if so, the next one counts from now."""
        due = time.monotonic() - self._snapshot_at >= SNAPSHOT_INTERVAL
        if due:
            self._snapshot_at = time.monotonic()
        return due


class Saved(NamedTuple):
    """A state of the run, from which it goes on with the same numbers."""

    stage: int  # which cohort trains
    seconds: float  # trained so far
    earlier: float  # of these, in the cohorts before this one
    state: bytes  # of this cohort; empty before its first step

    def pack(self) -> bytes:
        """As bytes: one line of JSON, then the cohort's state."""
        return json.dumps({"stage": self.stage, "seconds": self.seconds, "earlier": self.earlier}).encode() + b"\n" + self.state

    @classmethod
    def unpack(cls, packed: bytes | None) -> Saved:
        """What `pack` wrote; without it, the beginning. An older lab wrote `cohort` for `stage`, and no `earlier`."""
        if packed is None:
            return cls(0, 0.0, 0.0, b"")
        line, state = packed.split(b"\n", 1)
        head = json.loads(line)
        return cls(head.get("stage", head.get("cohort")), head["seconds"], head.get("earlier", 0.0), state)


class Reporter:
    """Sends events to the server: the first records at once, then small batches; keeps all of them for the outcome."""

    def __init__(self, topic: str, submission: str) -> None:
        self.topic = topic
        self.submission = submission
        self.records: list[dict] = []
        self.artefacts: dict[str, bytes] = {}
        self._unsent: list[dict] = []
        self._sent_at = 0.0  # the first record goes out at once
        self._shown: dict[str, bytes] = {}
        self._reached: dict[str, float] = {}  # epoch and seconds

    def add(self, records: list[dict], *, done: int, earlier: float) -> None:
        """Records of one step; `done` epochs were trained so far, and the cohorts before this one took `earlier` seconds."""
        if records:
            self.records += records
            self._unsent += records
            if epochs := [one["epoch"] for one in records if one["event"] == "record"]:
                self._reached = {"epoch": done + max(epochs) % 1, "seconds": earlier + max(one["seconds"] for one in records)}
        if self._unsent and time.monotonic() - self._sent_at >= EVENT_INTERVAL:
            self.send(about="records", records=self._unsent, **self._reached)
            self._unsent, self._sent_at = [], time.monotonic()

    def show(self, files: dict[str, bytes]) -> None:
        """Small files that a page shows while the run trains, as soon as they differ from those of the last call."""
        if files != self._shown:
            self._shown = files
            self.send(about="files", files=files)

    def progress(self, what: str, fraction: float) -> None:
        """Which step of the preparation is running, and the fraction of it that is done."""
        if time.monotonic() - self._sent_at >= EVENT_INTERVAL:
            self.send(about="progress", what=what, fraction=float(fraction))
            self._sent_at = time.monotonic()

    def offer(self, state: bytes) -> None:
        """Keep a snapshot here and announce it. The event carries no state: the scheduler keeps its last events."""
        SNAPSHOTS[self.submission] = {"state": state, "artefacts": dict(self.artefacts)}
        self.send(about="snapshot")

    def send(self, **message: object) -> None:
        """One event to the server, with the name of the submission and the worker's address."""
        from distributed import get_worker

        worker = get_worker()
        worker.log_event(self.topic, {"submission": self.submission, "worker": worker.address, **message})

    def outcome(self, kind: str, *, message: str = "", **more: object) -> dict:
        """How the task ended: "finished", "paused", "stopped" or "failed"."""
        return {"outcome": kind, "message": message, "records": self.records, "artefacts": self.artefacts, **self._reached, **more}


def explain(error: Exception) -> str:
    """One sentence about an error of the program or the machine."""
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "the run needs more memory than there is; choose fewer seeds, a smaller student or a smaller batch"
    return f"the run ended with an error of the lab itself ({type(error).__name__}); the traceback is in the workers' log"


def _stopped_after(cap: float) -> str:
    minutes = f"{cap / 60:.3g} minutes" if cap >= 60 else f"{cap:.3g} seconds"
    return f"stopped after {minutes}, the most a run may take here; choose fewer epochs or images, or set DISTILL_CAP to more seconds"
