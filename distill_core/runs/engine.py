"""The engine: what pages ask of the queue.

Pages call the methods of `Engine` from many threads. Each checks the rights and the limits, makes one guarded change in
the store (see `transitions`), and returns; a thread of its own, the dispatcher, does everything that takes longer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from distill_core.runs import limits, upkeep
from distill_core.runs.dispatcher import Dispatcher, State
from distill_core.runs.keys import COMMAND_LINE, address_mark, owner_mark, run_key
from distill_core.runs.queue import Queue
from distill_core.runs.schema import ACTIVE, Run
from distill_core.runs.store import Store, StoreError
from distill_core.runs.transitions import transition

if TYPE_CHECKING:
    from distill_core.experiment import Experiment


class Engine:
    """Queue and control of runs. `address`: a Dask scheduler; without one, workers are started on this machine."""

    def __init__(self, store: Store, *, address: str | None = None) -> None:
        self.store = store
        self.queue = Queue()
        self.dispatcher = Dispatcher(store, self.queue, address=address or os.environ.get("DISTILL_CLUSTER") or None)
        self.server_id = self.dispatcher.server.id

    def start(self) -> Engine:
        """Start in the background, with the runs that a dead server left."""
        self.dispatcher.start()
        return self

    def shutdown(self) -> None:
        """End the workers. Runs that are not over are taken up by another server, or by the next one."""
        self.dispatcher.shutdown()

    def state(self) -> State:
        """The state of the engine, for a line at the edge of a page."""
        return self.dispatcher.state()

    # --- submit -----------------------------------------------------------------------------------------------------

    def submit(
        self,
        experiments: Sequence[Experiment],
        *,
        owner: str = COMMAND_LINE,
        address: str = "",
        title: str = "",
        kind: str = "race",
        fresh: bool = False,
        paused_at: int | None = None,
    ) -> tuple[str, bool]:
        """Queue a run of `experiments`; returns `(run id, whether it is a cached result)`.

        The same experiments get the finished run, or the one that is queued or running, unless `fresh`; whoever asks for it
        becomes one of its owners. `address` is that of the owner's computer. `paused_at` is the epoch at which the run
        pauses; at 0 nothing is trained before `resume` or `step`.
        Raises `ValueError` for more than the lab takes, and for a precision that the workers of this machine have not.
        """
        key, join, mark = run_key(experiments), not fresh and paused_at is None, _mark(owner)
        if join and (finished := self.store.finished_with_key(key)) and not self.store.is_damaged(finished.id):
            with contextlib.suppress(StoreError):  # the result is there, whether or not the disk can be written
                self.store.join(finished.id, mark)
            return finished.id, True
        limits.check_limits(experiments, kind=kind)
        if not self.dispatcher.cluster.address:  # workers elsewhere refuse it themselves
            limits.check_precisions(experiments)
        if kind == "sweep":
            limits.check_time(self.estimate(experiments))
        if paused_at is not None:
            limits.check_pausable(experiments)
        run_id, is_new = self.store.create_or_join(
            [one.to_json() for one in experiments],
            key=key,
            join=join,
            check_queue=limits.check_queue,
            kind=kind,
            title=title,
            epochs=max(one.all_epochs for one in experiments),
            owner_hash=mark,
            address_hash=address_mark(address),
            until_epoch=paused_at,
            status="paused" if paused_at == 0 else "queued",
            server=self.server_id,
        )
        if is_new and paused_at != 0:
            self._enqueue(run_id, mark, address_mark(address), estimate=limits.estimate_seconds(experiments))
        return run_id, False

    def estimate(self, experiments: Sequence[Experiment]) -> float:
        """Seconds that the experiments will take, roughly: from what finished runs took here, or else from usual rates."""
        limits.check_limits(experiments, kind="sweep")
        return limits.estimate_seconds(experiments, factor=limits.measured_factor(self.store))

    # --- control ----------------------------------------------------------------------------------------------------

    def pause(self, run_id: str, *, owner: str = COMMAND_LINE) -> None:
        """Pause at the end of the epoch; the worker is free for others meanwhile. A run that waits is paused at once."""
        run, alone = self._controlled(run_id, owner), {"sole_owner": _mark(owner)}
        if transition(self.store, run_id, "hold", only_if={"submission": ""}, message="", until_epoch=None, **alone):
            self._remove(run_id)
            return
        if run.active:
            _check_pausable(run)
        message = "pausing at the end of the epoch"
        if self.store.update(run_id, only_from=ACTIVE, until_epoch=int(run.epoch) + 1, message=message, **alone):
            job = self.queue.get(run_id)
            if job is not None and job.submission:  # else it is on a worker of another server, which follows the store
                job.request = "pause"
                self.dispatcher.request(job.submission, "pause")
        elif run.active and (others := self._others(run_id, owner)):
            raise PermissionError(f"{_learners(others)} train this run too, so it cannot be paused; press Reset for one of your own")
        elif run.status != "paused":
            raise ValueError(f"the run is {run.status} and cannot be paused; only one that is queued or running can")

    def resume(self, run_id: str, *, owner: str = COMMAND_LINE) -> None:
        """Go on from where the run was paused, with the same numbers as without a pause."""
        self._go_on(self._controlled(run_id, owner), until_epoch=None)

    def step(self, run_id: str, *, owner: str = COMMAND_LINE) -> None:
        """Train one more epoch, then pause. A run that is active pauses at the end of its epoch."""
        run = self._controlled(run_id, owner)
        if run.active:
            self.pause(run_id, owner=owner)
        else:
            self._go_on(run, until_epoch=int(run.epoch) + 1)

    def stop(self, run_id: str, *, owner: str = COMMAND_LINE) -> str:
        """End the run now; its records stay. The worker ends its task after the step that it is in.

        A run of several owners goes on for the others. Returns a sentence about that, or nothing.
        """
        run, mark = self._controlled(run_id, owner), _mark(owner)
        if transition(self.store, run_id, "stop", message="stopped", until_epoch=None, sole_owner=mark):
            self._remove(run_id)
        elif (run.active or run.status == "paused") and (others := self._leave(run_id, mark)):
            return f"this run goes on for {_learners(others)} who pressed Train on it too; it is no longer yours"
        return ""

    def reset(self, run_id: str, *, owner: str = COMMAND_LINE, address: str = "") -> str:
        """Back to the same initial weights: records and state are deleted, the run is paused at epoch 0; returns its id.

        A run of several owners stays with the others, and this one gets a new run.
        """
        run, mark = self._controlled(run_id, owner), _mark(owner)
        if self.store.reset(run_id, sole_owner=mark):
            self._remove(run_id)
            return run_id
        from distill_core.experiment import Experiment

        experiments = [Experiment.from_json(text) for text in run.experiments]
        new, _ = self.submit(experiments, owner=owner, address=address, title=run.title, kind=run.kind, fresh=True, paused_at=0)
        self._leave(run_id, mark)
        return new

    def delete(self, run_id: str, *, owner: str = COMMAND_LINE) -> str:
        """Stop the run if it is active, and delete everything about it.

        A run of several owners stays with the others. Returns a sentence about that, or nothing.
        """
        self._controlled(run_id, owner)
        if self.store.delete(run_id, sole_owner=_mark(owner)):
            self._remove(run_id)
        elif others := self._leave(run_id, _mark(owner)):
            return f"this run stays for {_learners(others)} who pressed Train on it too; it is no longer yours"
        return ""

    def hand_over(self, old: str, new: str) -> None:
        """All runs of one owner belong to another from now on: to a browser whose token came after the first press."""
        if self.store.hand_over(_mark(old), _mark(new)):
            self.queue.hand_over(_mark(old), _mark(new))

    # --- a class ----------------------------------------------------------------------------------------------------

    def end(self, run_id: str) -> None:
        """Stop a run for everybody, whoever started it: for the lecturer of a room."""
        if transition(self.store, run_id, "stop", message="stopped by the lecturer", until_epoch=None):
            self._remove(run_id)

    def erase(self, run_id: str) -> None:
        """Delete a run for everybody, whoever started it: for the lecturer of a room."""
        self.store.delete(run_id)
        self._remove(run_id)

    def compute(self, function: Callable[..., object], *arguments: object) -> Future:
        """Call a function of the lab on a worker, outside the queue of runs: for what takes a second or two."""
        return self.dispatcher.compute(function, *arguments)

    # --- questions --------------------------------------------------------------------------------------------------

    def position(self, run_id: str) -> int | None:
        """0 for a run that is on a worker, n for the nth in the queue, None for any other."""
        return self.queue.position(run_id)

    def status(self, run_id: str | Run) -> str:
        """The status of the run, as one sentence for a learner. A run that was read just now is not read again."""
        run = run_id if isinstance(run_id, Run) else self.store.get(run_id)
        if run is None:
            return f"there is no run {run_id}; it may have been deleted"
        if run.status == "queued":
            state, position = self.state(), self.position(run.id)
            if state.name != "ready":
                return state.sentence
            if not position:
                return run.message or "about to start"
            seconds = self.dispatcher.seconds_until(run.id)
            return f"number {position} in the queue" + (f", starts in about {max(1, round(seconds))} s" if seconds is not None else "")
        if run.status == "preparing":
            return f"{run.what}, {100 * run.fraction:.0f} %" if run.what else "getting ready"
        return run.message or f"{run.status}, epoch {run.epoch:.3g} of {run.epochs}"

    def may_control(self, run_id: str, *, owner: str) -> bool:
        """Whether this owner may stop, pause or delete the run."""
        return bool(owner) and owner_mark(owner) in self.store.owners_of(run_id)

    def stored(self) -> tuple[int, float]:
        """The bytes that all runs take on the disk, and the most that they may take."""
        return upkeep.bytes_used(self.store), limits.max_stored()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _controlled(self, run_id: str, owner: str) -> Run:
        """The run, if this owner may control it."""
        run = self.store.get(run_id)
        if run is None:
            raise ValueError(f"there is no run {run_id}; it may have been deleted, choose one from the list of runs")
        if not self.may_control(run_id, owner=owner):
            raise PermissionError("this run was started by somebody else; press Train to have one of your own")
        return run

    def _others(self, run_id: str, owner: str) -> int:
        """How many others pressed Train on the run."""
        return len(set(self.store.owners_of(run_id)) - {_mark(owner)})

    def _leave(self, run_id: str, mark: str) -> int:
        """One owner leaves a run of several; returns how many others it has."""
        others = self.store.leave(run_id, mark)
        if others:
            self.queue.hand_over(mark, self.store.owners_of(run_id)[0], run_id=run_id)
        return others

    def _go_on(self, run: Run, *, until_epoch: int | None) -> None:
        if run.status != "paused":
            raise ValueError(f"the run is {run.status} and cannot go on; only a paused run can, reset it to begin again")
        if until_epoch is not None:
            _check_pausable(run)
        counts = self.store.counts(run.owner_hash, run.address_hash)
        limits.check_queue(*(count._replace(unfinished=count.unfinished - 1) for count in counts))  # this one is paused now
        changed = {"message": "", "until_epoch": until_epoch, "server": self.server_id, "deaths": 0}
        if transition(self.store, run.id, "resume", **changed):
            self._enqueue(run.id, run.owner_hash, run.address_hash)

    def _enqueue(self, run_id: str, mark: str, address: str, *, estimate: float = 0.0) -> None:
        self.queue.add(run_id, mark, address, estimate=estimate)
        self.dispatcher.wake()

    def _remove(self, run_id: str) -> None:
        """The run leaves the queue, and its task is asked to stop. A server that has the run elsewhere follows the store."""
        job = self.queue.remove(run_id)
        if job is not None and job.submission:
            self.dispatcher.request(job.submission, "stop")
        self.dispatcher.wake()


def _mark(owner: str) -> str:
    if not owner:
        raise PermissionError("a run needs an owner, and this browser has sent no token; reload the page")
    return owner_mark(owner)


def _learners(count: int) -> str:
    return f"{count} other learner{'s' if count > 1 else ''}"


def _check_pausable(run: Run) -> None:
    from distill_core.experiment import Experiment

    limits.check_pausable([Experiment.from_json(text) for text in run.experiments])
