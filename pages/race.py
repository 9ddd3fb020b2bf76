"""The race: choose teacher, student and method, and watch the student learn beside its baseline."""

import streamlit as st

from distill_core.data.datasets import is_text
from distill_core.experiment import Experiment
from distill_core.losses import mixed_loss
from distill_core.studies.presets import PRESETS, preset_of
from distill_core.text_objectives import method_of
from pages.components.live_chart import have_charts_ready
from pages.sections import controls, networks, race, results, transfer_set
from pages.sections.source import functions_of, show_source
from pages.server import room
from pages.server.experiments import HIDDEN, experiments_of
from pages.server.lab import link, owner, set_up, store
from pages.server.plain_text import show_error

set_up("Race")

opened = controls.opened_link()
run_id = st.query_params.get("run") or (None if opened else st.session_state.get("run"))
run = store().get(run_id) if run_id else None
settings = []
try:
    if run is not None and run.kind not in ("race", HIDDEN):
        link("pages/sweep.py", "This run is a sweep: open it on the Sweep page", icon="grid_on", run=run.id)
    elif run is not None:
        settings = experiments_of(run)
    elif "run" in st.query_params:
        st.warning("The run of this link does not exist: it was deleted, or it belongs to another server. Start a new one.")
except ValueError as error:
    show_error(error)
if not settings:
    run = run_id = st.session_state["run"] = None
elif st.session_state.get("restored") != run.id:
    controls.restore(settings)
    st.session_state.update({"run": run.id, "restored": run.id})
controls.restore_link(opened, settings)

if start := room.start_of_call(owner()):
    controls.restore(PRESETS[start[0]].experiments())
    st.session_state.update({**start[1], "run": None})
    run = run_id = None
    settings = []

with st.sidebar:
    controls.lock(room.locked())
    controls.offer(
        "Presets from the literature",
        {name: f"**{entry.title}.** {entry.question}" for name, entry in PRESETS.items()},
        take=lambda name: controls.restore(PRESETS[name].experiments()),
        press="Train",
        help="A preset is a race with prepared settings and a measured result. Choosing one fills in all settings below; press Train to "
        "train it.",
    )
    controls.upload_images()
    experiments = controls.choose()

st.subheader("Race: with and without a teacher")
if experiments:
    controls.show_start(experiments[0])
    controls.show_loss(experiments[0])
    networks.show_untrained(experiments[0].dataset, experiments[0].teacher)
row = st.container()  # above the error of a refused start
started = race.start(experiments, title=PRESETS[start[0]].title) if start and start[2] and experiments else None
if shown := started or race.act_on_press(run, experiments):
    st.session_state.update({"run": shown, "restored": shown})
    st.query_params["run"] = shown
    run = store().get(shown)
    settings = experiments_of(run) if run is not None else []
with row:
    race.buttons(run, experiments)
if experiments:
    controls.write_link(experiments, (run.id, settings) if run else None)
if experiments and (preset := preset_of(experiments[0])):
    st.markdown(f"**{preset.title}.** {preset.question}")
if run is not None:
    race.follow(run.id, key="race", drawn=run)
    race.explain_charts(settings[0])
    race.show_claim(settings[0])
    if run.status in ("finished", "stopped", "paused"):
        results.show(run)
else:
    have_charts_ready()
    examples = "text" if experiments and is_text(experiments[0].dataset) else "images"
    st.markdown(
        f"Press **Train**: a student with a teacher and its baseline without one train side by side on the same {examples}. The settings "
        "are ready; change them in the sidebar (on a phone, open it with \u00bb at the top)."
    )
    if experiments:
        transfer_set.show(experiments)
method = method_of(experiments[0].method if experiments else Experiment.method)
show_source(mixed_loss, *functions_of(method))
