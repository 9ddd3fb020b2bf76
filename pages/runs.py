"""All runs: find one again, compare several, download their records."""

from dataclasses import asdict

import pandas as pd
import streamlit as st

from distill_core.data import datasets
from distill_core.figures.curves import bands, compare_figure
from distill_core.runs import upkeep
from distill_core.runs.schema import Entry
from distill_core.statistics import ACCURACY, BITS
from pages.components.live_chart import live_chart
from pages.sections import controls, race
from pages.server import incoming, pictures
from pages.server.experiments import first_experiment
from pages.server.lab import engine, link, run_owner, set_up, store
from pages.server.link import settle

PER_PAGE = 100  # runs in the list
SETTINGS = ("dataset", "images", "teacher", "student", "method", "temperature", "alpha", "epochs")
HEADINGS = {"dataset": "data set", "images": "training images"}  # where the words differ from the name of the setting

set_up("Runs")
st.title("Runs")

search, status = st.columns([3, 1])
text = search.text_input(
    "Search titles and settings",
    placeholder="mnist, cnn-8, noisy ...",
    key="find",
    bind="query-params",
    help="Lists the runs whose title or settings contain this text.",
)
wanted = status.selectbox(
    "Status",
    ["all", "finished", "running", "preparing", "queued", "paused", "stopped", "failed"],
    key="status",
    help="Lists the runs in this state only.",
)
found = {"text": text, "status": "" if wanted == "all" else wanted, "visible": pictures.visible()}
count = store().count(**found)
if not count:
    nothing_stored = not text and wanted == "all"
    st.markdown("There is no run yet: start one on the Race page." if nothing_stored else "No run matches; clear the search.")
    link("pages/race.py", "Open the Race page", icon="sprint")
    st.stop()
part = 1
if count > PER_PAGE:
    settle("runs_part", parts := list(range(1, 1 + -(-count // PER_PAGE))))
    part = st.selectbox(
        f"Part of {count:,} runs", parts, key="runs_part", help="The list shows the newest runs first, a part at a time.",
        format_func=lambda n: f"{1 + PER_PAGE * (n - 1):,} to {min(count, PER_PAGE * n):,}",
    )  # fmt: skip
runs = store().entries(**found, limit=PER_PAGE, offset=PER_PAGE * (part - 1))


def accuracy_of(run: Entry, accuracy: float | None) -> str:
    """A mean over the seeds of a race in percent; empty until it has ended, and for a sweep."""
    return f"{100 * accuracy:.2f}" if accuracy is not None and run.kind == "race" else ""


def settings_of(run: Entry) -> dict:
    """The settings of a run's first seed; empty where they cannot be read."""
    first = first_experiment(run)
    return asdict(first) | {"seeds": run.size} if first else {}


def heading(field: str) -> str:
    """The name of a setting in words."""
    return HEADINGS.get(field, field.replace("_", " "))


def in_words(field: str, value: object) -> str:
    """The value of a setting in words: data set and method by their titles."""
    if field == "dataset":
        source = datasets.source_of(value)
        return source.title if source else datasets.title(value)
    if field == "method":
        return controls.method_title(value)
    if field == "images":
        return f"{value:,}" if value else "all"
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


settings = {run.id: settings_of(run) for run in runs}
started = pd.to_datetime([run.created for run in runs], unit="s", utc=True).tz_convert(st.context.timezone or "UTC")
table = pd.DataFrame(
    {
        "started": started.tz_localize(None).floor("s"),
        "title": [run.title or ("race" if run.kind == "race" else "sweep") for run in runs],
        "status": [run.status if settings[run.id] else "unreadable" for run in runs],
        "baseline %": [accuracy_of(run, run.baseline_accuracy) for run in runs],
        "student %": [accuracy_of(run, run.student_accuracy) for run in runs],
        **{heading(field): [in_words(field, of[field]) if (of := settings[run.id]) else "" for run in runs] for field in SETTINGS},
        "seeds": [str(settings[run.id].get("seeds", "")) if run.kind == "race" else "" for run in runs],
    }
)
columns = {
    f"{role} %": st.column_config.TextColumn(help=f"Final test accuracy of the {role}, the mean over the seeds.")
    for role in ("baseline", "student")
}
# Rows are selected by their position, so the selection is dropped when a run is added or deleted.
key = f"{count} runs, {runs[0].id} first"
selected = st.dataframe(
    table, hide_index=True, key=key, on_select="rerun", selection_mode="multi-row", column_config=columns
).selection.rows  # fmt: skip
picked = [runs[row] for row in incoming.rows(selected, len(runs))]
if not picked:
    st.markdown("Tick one run to open it, several to compare them.")
    st.caption(f"On this server {upkeep.stored_in_words(store())}.")
    st.stop()

with st.container(horizontal=True):
    if len(picked) == 1 and settings[picked[0].id]:
        link("pages/race.py" if picked[0].kind == "race" else "pages/sweep.py", "Open", icon="open_in_new", run=picked[0].id)
    records = pd.DataFrame([{"run": run.id, **record} for run in picked for record in store().records(run.id)])
    csv = records.to_csv(index=False)
    st.download_button(
        "Curves as CSV", csv, file_name="runs.csv", mime="text/csv", icon=":material/download:", key="csv",
        help="One line per measurement: epoch, losses, test accuracy and agreement of each network.",
    )  # fmt: skip
    deletable = [run for run in picked if engine().may_control(run.id, owner=run_owner())]
    noun = "run" if len(deletable) == 1 else "runs"
    with st.popover(f"Delete {len(deletable) or ''}".strip(), icon=":material/delete:", disabled=not deletable, key="delete"):
        st.markdown(f"Delete {len(deletable)} {noun} with all records for good? A run that others have started too stays with them.")
        if st.button(f"Delete {len(deletable)} {noun} for good", key="delete_for_good", type="primary"):
            for run in deletable:
                race.control("delete", run.id)
            st.rerun()
    if not deletable:
        st.caption("Only the browser that started a run can delete it.")

compared = {run.id: settings[run.id] for run in picked if settings[run.id]}
if not compared:
    st.markdown("The settings of this run cannot be read: it was stored by another version of the lab.")
    st.stop()
fields = next(iter(compared.values()))
differing = [field for field in fields if field != "seed" and len({str(of_run[field]) for of_run in compared.values()}) > 1]
titles = {run.id: run.title or f"run {run.id[:4]}" for run in picked}
names = {
    run_id: ", ".join([*(f"{heading(field)} {in_words(field, of_run[field])}" for field in differing), titles[run_id]])
    for run_id, of_run in compared.items()
}
names |= {run_id: f"{name} ({run_id[:4]})" for run_id, name in names.items() if list(names.values()).count(name) > 1}
texts = [datasets.is_text(of_run["dataset"]) for of_run in compared.values()]
if any(texts) and not all(texts):
    st.caption("Runs on texts have bits a character in place of a test accuracy: they are not in this chart.")
live_chart(
    compare_figure(
        {name: bands(store().records(run_id)) for run_id, name in names.items()}, field=(BITS if all(texts) else ACCURACY).field
    ),
    key="compare", height=460, revision=" ".join(names),
)  # fmt: skip
if len(compared) > 1:
    listed = [field for field in fields if field != "seed"]
    shown = pd.DataFrame({names[run_id]: [in_words(field, of_run[field]) for field in listed] for run_id, of_run in compared.items()})
    shown.index = [heading(field) for field in listed]
    colours = ["background-color: #E69F0055" if field in differing else "" for field in listed]
    st.dataframe(shown.style.apply(lambda column: colours, axis=0))
