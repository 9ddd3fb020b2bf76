"""Trust: is a network as often right as it says?"""

import streamlit as st

from distill_core.analysis import divergence
from distill_core.calibration import expected_calibration_error, fit_temperature, reliability
from distill_core.data import datasets
from pages.sections import calibration, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

VIEWS = ("Reliability", "When silent", "Temperature scaling", "Disputed")
TEACHERS_ONLY = ""
NOBODY = "nobody"
USUAL = {"run": TEACHERS_ONLY, "dataset": "", "teacher": "", "beside": NOBODY, "view": VIEWS[0], "by": "names"}

set_up("Calibration")
st.title("Is it as often right as it says?")

runs = networks.finished_runs(*calibration.sets_with_runs())
sets = networks.teachers_here()
from_link("trust", USUAL)
kept = {"persist_state": "session"}
if st.session_state["trust_run"] not in (TEACHERS_ONLY, *runs):
    st.warning("That run is not here, or has not finished: choose another at the side.")
    st.session_state["trust_run"] = TEACHERS_ONLY
with st.sidebar:
    run_id = st.selectbox(
        "Whose confidence", [TEACHERS_ONLY, *runs], key="trust_run", **kept,
        format_func=lambda r: networks.describe(runs[r]) if r in runs else "teachers alone",
        help="A finished run shows its teacher, and baseline and student of its first seed.",
    )  # fmt: skip
    if run_id == TEACHERS_ONLY:
        settle("trust_dataset", list(sets))
        name = st.selectbox("Images", list(sets), key="trust_dataset", format_func=lambda n: datasets.DATASETS[n].title, **kept)
        settle("trust_teacher", sets[name])
        teacher = st.selectbox("Teacher", sets[name], key="trust_teacher", **kept)
        others = [NOBODY, *(other for other in sets[name] if other != teacher)]
        settle("trust_beside", others)
        beside = st.selectbox("Beside it", others, key="trust_beside", **kept)

settle("trust_view", list(VIEWS))
view = st.segmented_control("View", VIEWS, key="trust_view", required=True, label_visibility="collapsed", **kept)
try:
    if run_id == TEACHERS_ONLY:
        chosen = [teacher] if beside == NOBODY else [teacher, beside]
        members = {one if len(chosen) > 1 else "teacher": networks.test_logits(name, one) for one in chosen}
    else:
        name, members = calibration.of_run(run_id)
    dataset = networks.images(name)
except ValueError as error:
    st.error(str(error))
    st.stop()
people, about = calibration.people(name)
if people is not None:
    members = {**members, "people": people}

if view == "Reliability":
    calibration.show_reliability(members, dataset.test_labels)
elif view == "When silent":
    calibration.show_coverage(members, dataset.test_labels)
elif view == "Temperature scaling":
    calibration.show_scaling(members, dataset.test_labels)
elif len(members) < 2:
    st.markdown("One network has nobody to disagree with: choose a run, or a second teacher, at the side.")
else:
    settle("trust_by", ["names", "divergence"])
    by = st.segmented_control(
        "First", ["names", "divergence"], key="trust_by", required=True, **kept,
        format_func=lambda b: {"names": "most different names", "divergence": "largest divergence"}[b],
    )  # fmt: skip
    calibration.show_disputed(members, dataset, by)
st.markdown(f"All {len(dataset.test_labels):,} test images of {dataset.title}.")
if about:
    st.caption(about)

choices = ("run",) if run_id != TEACHERS_ONLY else ("dataset", "teacher", "beside")
more = ("by",) if view == "Disputed" else ()
to_link("trust", {field: st.session_state[f"trust_{field}"] for field in (*choices, "view", *more)})
show_source(reliability, expected_calibration_error, fit_temperature, divergence)
