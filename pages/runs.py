"""All runs: find one again, compare several, take their numbers along."""

from dataclasses import asdict

import pandas as pd
import streamlit as st

from distill_core.experiment import Experiment
from distill_core.figures.curves import bands, compare_figure
from pages.components.live_chart import live_chart
from pages.sections import race
from pages.server.lab import engine, link, owner, set_up, store

set_up("Runs")
st.title("Runs")

words, status = st.columns([3, 1])
text = words.text_input("Find", placeholder="mnist, cnn-8, noisy ...", key="find", bind="query-params")
wanted = status.selectbox("Status", ["all", "finished", "running", "queued", "paused", "stopped", "failed"], key="status")
runs = store().list(text=text, status="" if wanted == "all" else wanted)
if not runs:
    st.markdown("No run is here yet: start one on the race page." if not text and wanted == "all" else "No run fits; clear the search.")
    link("pages/race.py", "To the race", icon="sprint")
    st.stop()


def final(run_id: str) -> dict[str, str]:
    """Mean final accuracies of a run in percent; empty until it has ended."""
    found = store().results(run_id)
    return {
        role: f"{100 * sum(r[role]['test_accuracy'] for r in found) / len(found):.2f}" if found else "" for role in ("baseline", "student")
    }


choices = [asdict(Experiment.from_json(run.experiments[0])) for run in runs]
ended = [final(run.id) for run in runs]
shown_fields = ("dataset", "images", "teacher", "student", "temperature", "alpha", "epochs")
started = pd.to_datetime([run.created for run in runs], unit="s", utc=True).tz_convert(st.context.timezone or "UTC")
table = pd.DataFrame(
    {
        "started": started.tz_localize(None).floor("s"),
        "title": [run.title or "race" for run in runs],
        "status": [run.status for run in runs],
        "baseline %": [accuracies["baseline"] for accuracies in ended],
        "student %": [accuracies["student"] for accuracies in ended],
        **{field: [choice[field] for choice in choices] for field in shown_fields},
        "seeds": [len(run.experiments) for run in runs],
    }
)
# Rows are chosen by their place: in another list, after a run came or went, none is chosen.
place = f"{len(runs)} runs, {runs[0].id} first"
selected = st.dataframe(table, hide_index=True, key=place, on_select="rerun", selection_mode="multi-row").selection.rows
picked = [runs[row] for row in selected]
if not picked:
    st.markdown("Tick one run to open it, several to compare them.")
    st.stop()

with st.container(horizontal=True):
    if len(picked) == 1:
        link("pages/race.py", "Open", icon="open_in_new", run=picked[0].id)
    told = pd.DataFrame([{"run": run.id, **record} for run in picked for record in store().records(run.id)])
    st.download_button("CSV", told.to_csv(index=False), file_name="runs.csv", mime="text/csv", icon=":material/download:", key="csv")
    deletable = [run for run in picked if engine().may_control(run.id, owner=owner())]
    if st.button(f"Delete {len(deletable)}", icon=":material/delete:", key="delete", disabled=not deletable, help="Only your own runs."):
        for run in deletable:
            race.control("delete", run.id)
        st.rerun()

fields = {run.id: asdict(Experiment.from_json(run.experiments[0])) | {"seeds": len(run.experiments)} for run in picked}
differing = [name for name in next(iter(fields.values())) if len({str(choice[name]) for choice in fields.values()}) > 1 and name != "seed"]
names = {run.id: ", ".join([*(f"{name} {fields[run.id][name]}" for name in differing), run.title or f"run {run.id[:4]}"]) for run in picked}
names |= {run_id: f"{name} ({run_id[:4]})" for run_id, name in names.items() if list(names.values()).count(name) > 1}
live_chart(
    compare_figure({names[run.id]: bands(store().records(run.id)) for run in picked}), key="compare", height=460,
    revision=" ".join(run.id for run in picked),
)  # fmt: skip
if len(picked) > 1:
    shown = pd.DataFrame({names[run.id]: {name: str(value) for name, value in fields[run.id].items() if name != "seed"} for run in picked})
    st.dataframe(shown.style.apply(lambda row: ["background-color: #E69F0055" if row.name in differing else ""] * len(row), axis=1))
