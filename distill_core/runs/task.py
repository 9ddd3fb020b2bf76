"""The work itself, on a worker: follow the training, tell what happens, listen for Stop and Pause.

The server sends texts and numbers and gets plain ones back. Torch is imported only where the work is done.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from itertools import accumulate

log = logging.getLogger("distill_core.runs")

ASKED: dict[str, str] = {}  # by submission: "stop" or "pause". Asking is free: training looks here after every step
PAUSE_BETWEEN_NEWS = 0.1  # seconds
PAUSE_BETWEEN_STATES = 10.0  # seconds: so much is trained again after a crash
LARGEST_STATE = 64e6  # bytes that are sent along while training; a larger run begins again


async def ask(submission: str, what: str) -> None:
    """Called on every worker when somebody presses Stop or Pause; `async`, so that the server need not wait for an answer."""
    ASKED[submission] = what


def work(
    submission: str, experiments: Sequence[str], *, topic: str, state: bytes | None = None, until_epoch: int | None = None, cap: float
) -> dict:
    """Train `experiments` (as JSON), from `state` if there is one; tell the news under `topic`; return the outcome.

    The outcome holds all records again: news may be lost with a connection, the outcome is not. It never raises: what
    went wrong is one sentence in it, and the traceback is in the worker's log.
    """
    news = News(topic, submission)
    try:
        return _work(news, experiments, state=state, until_epoch=until_epoch, cap=cap)
    except ValueError as error:
        log.info("run refused", exc_info=True)
        return news.outcome("failed", message=str(error))
    except Exception as error:
        log.exception("run failed")
        return news.outcome("failed", message=_sentence(error))
    finally:
        ASKED.pop(submission, None)


def _work(news: News, experiments: Sequence[str], *, state: bytes | None, until_epoch: int | None, cap: float) -> dict:
    from distill_core.experiment import Experiment
    from distill_core.training.cohort import cohorts  # torch: never in the server
    from distill_core.training.shards import Shards

    race = [Experiment.from_json(text) for text in experiments]
    groups = cohorts(race)  # experiments of one shape train at once, others one cohort after another
    ends = list(accumulate(race[group[0]].all_epochs for group in groups))
    news.tell(about="started", epochs=ends[-1])
    if not _prepare(news, race):
        return news.outcome("stopped")

    first, used, cohort_state = _unpack(state)
    kept_at, deadline = time.monotonic(), time.monotonic() + cap - used
    for index in range(first, len(groups)):
        group, before = groups[index], ends[index] - race[groups[index][0]].all_epochs
        members = [race[place] for place in group]
        cohort, cohort_state = Shards.restored(members, cohort_state) if cohort_state else Shards(members), None
        earlier = cap - (deadline - time.monotonic()) - cohort.seconds if index else 0.0  # what other cohorts took
        for told in cohort.steps():
            news.add([{**one, "experiment": group[one["experiment"]]} for one in told], done=before + cohort.done, earlier=earlier)
            asked = ASKED.get(news.submission)
            if asked == "stop":
                return news.outcome("stopped")
            if time.monotonic() > deadline:
                return news.outcome("stopped", message=_capped(cap))
            if not cohort.at_epoch_end or not 0 < cohort.done < cohort.first.all_epochs:
                continue
            if asked == "pause" or (until_epoch is not None and before + cohort.done >= until_epoch):
                return news.outcome("paused", state=_pack(index, cap - (deadline - time.monotonic()), cohort.state()))
            if time.monotonic() - kept_at >= PAUSE_BETWEEN_STATES and cohort.state_bytes <= LARGEST_STATE:
                news.tell(about="state", state=_pack(index, cap - (deadline - time.monotonic()), cohort.state()))
                kept_at = time.monotonic()
        for name, blob in cohort.artefacts().items():  # of each cohort's first experiment
            news.artefacts[name if group[0] == 0 else f"{group[0]}-{name}"] = blob
    return news.outcome("finished")


def _prepare(news: News, race: Sequence) -> bool:
    """Bring data and teachers to this machine. Says whether to go on: False if somebody pressed Stop."""
    from distill_core.training.run_data import prepare

    for experiment in {(one.dataset, one.teacher): one for one in race}.values():
        for what, fraction in prepare(experiment):
            news.progress(what, fraction)
            if ASKED.get(news.submission) == "stop":
                return False
    return True


def _pack(index: int, seconds: float, state: bytes) -> bytes:
    """A state of the run: which cohort it is in, how long it has trained, and that cohort's own state."""
    return json.dumps({"cohort": index, "seconds": seconds}).encode() + b"\n" + state


def _unpack(state: bytes | None) -> tuple[int, float, bytes | None]:
    if state is None:
        return 0, 0.0, None
    head, cohort_state = state.split(b"\n", 1)
    head = json.loads(head)
    return head["cohort"], head["seconds"], cohort_state


class News:
    """What a run tells: at once at first, then in small batches; and everything again at its end."""

    def __init__(self, topic: str, submission: str) -> None:
        self.topic = topic
        self.submission = submission
        self.records: list[dict] = []
        self.artefacts: dict[str, bytes] = {}
        self._untold: list[dict] = []
        self._told_at = 0.0  # the first record goes out at once
        self._reached: dict[str, float] = {}  # epoch and seconds

    def add(self, told: list[dict], *, done: int, earlier: float) -> None:
        """Records of one step; `done` epochs were trained so far, and cohorts before this one took `earlier` seconds."""
        if told:
            self.records += told
            self._untold += told
            if epochs := [one["epoch"] for one in told if one["event"] == "record"]:
                self._reached = {"epoch": done + max(epochs) % 1, "seconds": earlier + max(one["seconds"] for one in told)}
        if self._untold and time.monotonic() - self._told_at >= PAUSE_BETWEEN_NEWS:
            self.tell(about="records", records=self._untold, **self._reached)
            self._untold, self._told_at = [], time.monotonic()

    def progress(self, what: str, fraction: float) -> None:
        """What is being prepared, and which fraction of it is done."""
        if time.monotonic() - self._told_at >= PAUSE_BETWEEN_NEWS:
            self.tell(about="progress", what=what, fraction=float(fraction))
            self._told_at = time.monotonic()

    def tell(self, **message: object) -> None:
        """One event to the server."""
        from distributed import get_worker

        get_worker().log_event(self.topic, {"submission": self.submission, **message})

    def outcome(self, kind: str, *, message: str = "", **more: object) -> dict:
        """How it ended: "finished", "paused", "stopped" or "failed"."""
        return {"outcome": kind, "message": message, "records": self.records, "artefacts": self.artefacts, **self._reached, **more}


def _capped(cap: float) -> str:
    minutes = f"{cap / 60:.3g} minutes" if cap >= 60 else f"{cap:.3g} seconds"
    return f"stopped after {minutes}, the most a run may take here; choose fewer epochs or images, or set DISTILL_CAP to more seconds"


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "the run needs more memory than there is; choose fewer seeds, a smaller student or a smaller batch"
    return f"the run broke off with an error of the lab itself ({type(error).__name__}); the workers' log says where"
