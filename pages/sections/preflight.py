"""Is this machine ready for a lecture: what was found, and the seconds that each preset takes here."""

from __future__ import annotations

import streamlit as st

from distill_core import doctor
from distill_core.data import datasets
from distill_core.runs.keys import run_key
from distill_core.studies.presets import PRESETS
from pages.sections import race
from pages.server.lab import engine, store

TICK = 2.0


@st.cache_data(ttl=600, show_spinner="Checking data, teachers, memory and disk")
def findings(port: int) -> dict:
    """What `doctor` finds without training; the port is the server's own."""
    return doctor.check(port=port)


def show_findings(found: dict) -> None:
    """Each finding as one line of a table, the ones that need something first."""
    untroubled = found["ready"] and engine().state().name == "ready"
    (st.success if untroubled else st.warning)(
        "This machine is ready." if untroubled else "Something is missing: see the lines marked with \u26a0.", icon=":material/checklist:"
    )
    rows = [
        ("workers", engine().state().name == "ready", engine().state().sentence),
        ("device", True, f"{found['device']}, {found['cores']} cores"),
        ("bfloat16", True, found["bfloat16"]),
        ("memory", (found["free_memory_gb"] or 99) > 1, _of(found["free_memory_gb"], found["memory_gb"])),
        ("disk", found["free_disk_gb"] > 1, f"{found['free_disk_gb']} GB free"),
        (
            "folder of the runs",
            found["home_writable"] is True,
            "can be written" if found["home_writable"] is True else found["home_writable"],
        ),
        ("port", True, f"{found['port']}, where you read this"),
        *_in_one_line("data", found["datasets"]),
        *_in_one_line("teacher", found["teachers"]),
    ]
    st.dataframe(
        [{"": "\u2713" if fine else "\u26a0", "what": name, "found": text} for name, fine, text in sorted(rows, key=lambda row: row[1])],
        hide_index=True, height="content",
        column_config={"": st.column_config.TextColumn(width=40), "what": st.column_config.TextColumn(width=130)},
    )  # fmt: skip


def _in_one_line(kind: str, states: dict[str, str]) -> list[tuple[str, bool, str]]:
    """The ready ones together; each of the others by itself."""
    ready = [name for name, state in states.items() if state == "ready"]
    others = [(f"{kind}: {name}", False, state) for name, state in states.items() if state != "ready"]
    return [*others, (f"{kind}, {len(ready)} ready", True, ", ".join(ready))] if ready else others


def _of(free: float | None, total: float | None) -> str:
    return f"{free} GB free of {total}" if free is not None else "cannot be read on this system"


def seconds() -> None:
    """The seconds of each preset here: of its stored run, else of `doctor --presets`. A button measures those that are missing."""
    measured = {name: _measured(name) for name in PRESETS}
    missing = [name for name in PRESETS if measured[name][0] is None and datasets.DATASETS[PRESETS[name].experiment.dataset].is_here()]
    waiting = [name for name in missing if measured[name][1] in ("queued", "preparing", "running")]
    if st.button(
        "Time the presets not timed yet", type="primary", icon=":material/timer:", key="measure",
        disabled=not missing or bool(waiting),
        help="Runs each once, one after another. Their results are kept, so in the lecture they are there at once.",
    ):  # fmt: skip
        st.session_state["to_measure"] = missing
        st.rerun()
    st.fragment(_table, run_every=TICK if st.session_state.get("to_measure") or waiting else None)()


def _table() -> None:
    _queue_next()
    measured = {name: _measured(name) for name in PRESETS}
    rows = [
        {
            "preset": PRESETS[name].title,
            "data": PRESETS[name].experiment.dataset,
            "seeds": PRESETS[name].seeds,
            "seconds here": f"{took:.1f}" if took is not None else "",
            "state": state,
        }
        for name, (took, state) in measured.items()
    ]
    st.dataframe(rows, hide_index=True, height="content")


def _queue_next() -> None:
    """Queue one preset at a time: a browser may have only a few runs in the queue, and learners come first."""
    left = st.session_state.get("to_measure", [])
    if left and _measured(left[0])[1] in ("queued", "preparing", "running"):
        return
    if left and _measured(left[0])[0] is not None:
        left = left[1:]
    st.session_state["to_measure"] = left
    if left and not race.start(PRESETS[left[0]].experiments(), title=PRESETS[left[0]].title):
        st.session_state["to_measure"] = []


def _measured(name: str) -> tuple[float | None, str]:
    """Seconds of a preset here, and the state of its measurement."""
    key = run_key(PRESETS[name].experiments())
    if run := store().finished_with_key(key):
        return run.seconds, "measured, and its result is stored"
    if run := store().active_with_key(key):
        return None, run.status
    kept = doctor.kept_seconds().get(name)
    return kept, "measured by doctor" if kept is not None else "not measured"
