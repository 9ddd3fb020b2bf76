"""Sweep: many students at once, over two settings such as temperature and alpha."""

import streamlit as st

from distill_core.controls import without_t2
from distill_core.experiment import Experiment
from distill_core.text_objectives import method_of
from pages.components.live_chart import have_charts_ready
from pages.sections import race, sweep, sweep_before, sweep_live, sweep_results
from pages.sections.source import functions_of, show_source
from pages.server.lab import set_up, store
from pages.server.link import from_link, to_link
from pages.server.old_links import translate_old_link

set_up("Sweep")
translate_old_link({"without": "without_t2"})
if from_link("sweep", sweep.defaults()):
    sweep.restore_axes()

with st.sidebar:
    chosen = sweep.choose()

state = st.session_state
run_ids = sweep_live.that_can_be_shown([run_id for name in ("run", "without_t2") if (run_id := state[f"sweep_{name}"])])
active = [run_id for run_id in run_ids if (run := store().get(run_id)) and run.active]

if chosen:
    grid, experiments = chosen
    sweep.describe(grid, experiments)
else:
    st.markdown("#### Train many students at once")
with st.container(horizontal=True, vertical_alignment="center"):
    train = st.button(
        "Train all", type="primary", icon=":material/grid_on:", key="sweep_train", disabled=not chosen or bool(active),
        help="Trains the students of all cells, each with its baseline.",
    )  # fmt: skip
    can_stop = any(sweep_live.may_stop(run_id) for run_id in active)
    stop = st.button(
        "Stop",
        icon=":material/stop:",
        key="sweep_stop",
        disabled=not can_stop,
        help="Ends the sweep for good; what is trained so far stays.",
    )
    has_t2 = bool(chosen) and sweep.has_t2(experiments)
    both = st.toggle(
        "Add a heat map without T\u00b2", key="sweep_both", disabled=not has_t2,
        help="Train all then trains the sweep twice: with the factor T\u00b2 of the soft loss, and without it. Dividing the logits by T "
        "shrinks the gradient of the soft loss by T\u00b2, and the factor restores it; many implementations leave it out. Only for soft "
        "targets.",
    )  # fmt: skip
if train:
    state["sweep_run"] = sweep.start(grid, experiments)
    state["sweep_without_t2"] = sweep.start(grid, sweep.without_t2(experiments), note=" without T\u00b2") if both and has_t2 else ""
    st.rerun()
if stop:
    for run_id in active:
        race.control("stop", run_id)
    st.rerun()

if chosen:
    to_link("sweep", sweep.choices(grid, experiments[0]))

if run_ids:
    sweep_live.follow(run_ids)
    ended = [run for run_id in run_ids if (run := store().get(run_id)) is not None and run.status in ("finished", "stopped")]
    if ended and ended[0].id == run_ids[0]:
        st.markdown("**Next:** hover over a cell to see its curves; click it (on a touch screen, tap it twice) to open it as a race.")
        sweep_results.show_slices(ended[0])
        sweep_results.show_front(ended[0])
    for run in ended:
        sweep_results.show_downloads(run)
else:
    st.markdown(
        "Press **Train all**. The result is a heat map with one cell per combination of the two axes; it is updated while the students "
        "train. Choose axes and settings in the sidebar (on a phone, open it with \u00bb at the top)."
    )
    if chosen:
        sweep_before.show(experiments)
    else:
        have_charts_ready()
show_source(*functions_of(method_of(experiments[0].method if chosen else Experiment.method)), without_t2)
