"""The map: a range of temperatures and alphas, of sizes and images, all trained at once."""

import streamlit as st

from distill_core.controls import without_t2
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from pages.components.live_chart import have_charts_ready
from pages.sections import race
from pages.sections import sweep as maps
from pages.sections.source import functions_of, show_source
from pages.server.lab import set_up, store
from pages.server.link import from_link, to_link

set_up("Sweep")

if from_link("map", maps.usual()):
    for axis, text in ((st.session_state["map_x"], "xs"), (st.session_state["map_y"], "ys")):
        if values := maps.read_values(axis, st.session_state[f"map_{text}"]):
            st.session_state[f"map_values_{axis}"] = values

with st.sidebar:
    chosen = maps.choose()

run_ids = [run_id for name in ("run", "without") if (run_id := st.session_state.get(f"map_{name}"))]
active = [run_id for run_id in run_ids if (run := store().get(run_id)) and run.active]

if chosen:
    grid, experiments = chosen
    maps.ask(grid, experiments)
else:
    st.markdown("#### Every cell is a student")
with st.container(horizontal=True, vertical_alignment="center"):
    go = st.button("Go", type="primary", icon=":material/grid_on:", key="map_go", disabled=not chosen or bool(active))
    stop = st.button("Stop", icon=":material/stop:", key="map_stop", disabled=not any(maps.mine(run_id) for run_id in active))
    alone = not chosen or not maps.can_leave_t2_out(experiments)
    both = st.toggle(
        "Beside it, the same without T\u00b2", key="map_both", disabled=alone, help="The factor that many implementations leave out."
    )
if go:
    st.session_state["map_run"] = maps.start(experiments, title=f"map of {grid.x} and {grid.y}") or ""
    without = maps.start(maps.without_t2(experiments), title=f"map of {grid.x} and {grid.y} without T\u00b2") if both and not alone else ""
    st.session_state["map_without"] = without or ""
    st.rerun()
if stop:
    for run_id in active:
        race.control("stop", run_id)
    st.rerun()

if chosen:
    written = {"xs": ",".join(map(str, grid.xs)), "ys": ",".join(map(str, grid.ys))}
    state = {name: st.session_state.get(f"map_{name}", "") for name in maps.usual() if name not in written}
    to_link("map", {**state, **written})

if run_ids:
    maps.follow(run_ids)
    done = [run for run_id in run_ids if (run := store().get(run_id)) is not None and run.status in ("finished", "stopped")]
    if done and done[0].id == run_ids[0]:
        st.markdown("**Next:** point at a cell to see its curve; click it (on a phone, touch it twice) to open it as a race.")
        maps.show_slices(done[0])
        maps.show_front(done[0])
    for run in done:
        maps.keep(run)
else:
    have_charts_ready()
    st.markdown("Press **Go**: all students train at once, and each cell sharpens epoch by epoch. Other axes stand at the side.")
show_source(*functions_of(METHODS[experiments[0].method if chosen else Experiment.method].definition), without_t2)
