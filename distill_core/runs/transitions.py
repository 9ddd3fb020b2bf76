"""The states of a run, and every way from one to another.

A run is *queued*, *preparing* or *running* (these are active), *paused*, or over: *finished*, *stopped* or *failed*.
Each transition is one guarded write to the store: it happens only from its sources, and only if the columns in `only_if`
have the values that the caller expects. Two of them matter:

- `submission`: the name of the task on a worker. What a task reports is written only while the run still carries its
  name. Every transition that takes a run from its worker clears it, so a late report changes nothing and a repeated
  one is written once.
- `server`: the server whose queue holds the run. Only that server assigns it to a worker.
"""

from __future__ import annotations

from typing import NamedTuple

from distill_core.runs.schema import ACTIVE
from distill_core.runs.store import Store


class Transition(NamedTuple):
    """From which statuses to which; whether the run leaves its worker, and whether its saved state is deleted."""

    sources: tuple[str, ...]
    target: str
    leaves_worker: bool = True
    drops_state: bool = False


TRANSITIONS = {
    # asked for on a page
    "hold": Transition(("queued",), "paused"),  # a run that waits; guard: no submission
    "resume": Transition(("paused",), "queued"),
    "stop": Transition((*ACTIVE, "paused"), "stopped", drops_state=True),
    "expire": Transition(("paused",), "stopped", drops_state=True),  # a run that was paused for too long
    # reported by the worker; guard: its submission
    "prepare": Transition(ACTIVE, "preparing", leaves_worker=False),
    "train": Transition(ACTIVE, "running", leaves_worker=False),
    "pause": Transition(ACTIVE, "paused"),
    "finish": Transition(ACTIVE, "finished", drops_state=True),
    "time out": Transition(ACTIVE, "stopped", drops_state=True),
    "fail": Transition(ACTIVE, "failed", drops_state=True),
    # when something died
    "requeue": Transition(ACTIVE, "queued"),  # its worker; guard: its submission
    "adopt": Transition(ACTIVE, "queued"),  # its server; guard: that server
}
OUTCOMES = {"paused": "pause", "finished": "finish", "stopped": "time out", "failed": "fail"}  # of a task


def transition(store: Store, run_id: str, name: str, *, only_if: dict | None = None, **changed: object) -> bool:
    """Make the transition `name`, together with other changes of `Store.write`. Returns whether the run was in a source."""
    rule = TRANSITIONS[name]
    if rule.leaves_worker:
        changed["submission"] = ""
    return store.write(run_id, only_from=rule.sources, only_if=only_if, drop_state=rule.drops_state, status=rule.target, **changed)
