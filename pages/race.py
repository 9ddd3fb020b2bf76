"""The race: choose a teacher, a student and what it listens to, and watch it learn beside its baseline."""

import streamlit as st

from distill_core.experiment import Experiment
from distill_core.losses import mixed_loss
from distill_core.objectives import METHODS
from distill_core.studies.presets import PRESETS, preset_of
from pages.components.live_chart import have_charts_ready
from pages.sections import controls, race, results
from pages.sections.source import functions_of, show_source
from pages.server.lab import set_up, store

set_up("Race")

controls.restore_link()
run_id = st.query_params.get("run") or st.session_state.get("run")
run = store().get(run_id) if run_id else None
if run is not None and st.session_state.get("restored") != run.id:
    controls.restore([Experiment.from_json(text) for text in run.experiments])
    st.session_state.update({"run": run.id, "restored": run.id})

with st.sidebar:
    controls.offer(
        "Experiments worth doing",
        {name: f"**{entry.title}.** {entry.question}" for name, entry in PRESETS.items()},
        take=lambda name: controls.restore(PRESETS[name].experiments()),
    )
    controls.bring_pictures()
    experiments = controls.choose()

if experiments:
    controls.show_loss(experiments[0])
if shown := race.buttons(run, experiments):
    st.session_state.update({"run": shown, "restored": shown})
    st.query_params["run"] = shown
    st.rerun()
if experiments:
    controls.write_link(experiments, run_id)
if experiments and (preset := preset_of(experiments[0])):
    st.markdown(f"**{preset.title}.** {preset.question}")
if run is not None:
    race.follow(run.id, key="race")
    race.show_claim(Experiment.from_json(run.experiments[0]))
    if run.status in ("finished", "stopped", "paused"):
        results.show(run)
else:
    have_charts_ready()
    st.markdown("Choose at the side, press **Train**, and watch two students learn from the same images.")
method = METHODS[experiments[0].method if experiments else Experiment.method]
show_source(mixed_loss, *functions_of(method.definition))
