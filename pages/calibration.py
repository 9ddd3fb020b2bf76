"""Calibration: does a network's confidence agree with its accuracy?"""

import streamlit as st

from distill_core.analysis import divergence
from distill_core.calibration import expected_calibration_error, fit_temperature, reliability
from distill_core.data import datasets
from distill_core.glossary import linked
from pages.sections import calibration, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link
from pages.server.old_links import translate_old_link
from pages.server.plain_text import plain, show_error

RELIABILITY, COVERAGE, SCALING, DISAGREEMENTS = "Reliability", "Accuracy vs. coverage", "Temperature scaling", "Disagreements"
VIEWS = (RELIABILITY, COVERAGE, SCALING, DISAGREEMENTS)
CAPTIONS = {
    RELIABILITY: "Confidence is the largest probability of an image. Where it is calibrated, 80 % of the images with a confidence of 80 % "
    "are classified correctly.",
    COVERAGE: "The model classifies only the images of which it is most confident and abstains on the rest. The coverage is the "
    "share of images that it classifies.",
    SCALING: "One temperature per model, which divides its logits, is fitted so that its confidence agrees with its accuracy. The "
    "expected calibration error (ECE) is the mean gap between them.",
    DISAGREEMENTS: "The test images on which the models of the sidebar, such as two teachers, or teacher, baseline and student, differ "
    "most.",
}
VIEW_HELP = "\n\n".join(f"**{view}.** {caption}" for view, caption in CAPTIONS.items())
TEACHERS_ONLY = ""
NONE = "none"
DEFAULTS = {"run": TEACHERS_ONLY, "dataset": "", "teacher": "", "compare": NONE, "view": RELIABILITY, "sort": "classes"}
OLD_NAMES = {"beside": "compare", "by": "sort"}
OLD_VALUES = {
    "compare": {"nobody": NONE},
    "sort": {"names": "classes"},
    "view": {"When silent": COVERAGE, "Disputed": DISAGREEMENTS},
}

set_up("Calibration")
st.title("Is the confidence calibrated?")

available = networks.teachers_here()
translate_old_link(OLD_NAMES, OLD_VALUES)
from_link("calibration", DEFAULTS)
of_link = st.session_state["calibration_run"]
runs = networks.finished_runs(*calibration.datasets_with_runs(of_link), keep=of_link)
kept = {"persist_state": "session"}
if st.session_state["calibration_run"] not in (TEACHERS_ONLY, *runs):
    st.warning("This run does not exist or has not finished: choose another one in the sidebar.")
    st.session_state["calibration_run"] = TEACHERS_ONLY
with st.sidebar:
    run_id = st.selectbox(
        "Models to examine", [TEACHERS_ONLY, *runs], key="calibration_run", **kept,
        format_func=lambda r: networks.describe(runs[r]) if r in runs else "teachers, chosen below",
        help="Teachers, or the three models of a finished race: its teacher, and the baseline and the student of its first seed.",
    )  # fmt: skip
    if run_id == TEACHERS_ONLY:
        settle("calibration_dataset", list(available))
        name = st.selectbox(
            "Data set", list(available), key="calibration_dataset", format_func=lambda n: datasets.DATASETS[n].title, **kept,
            help="Everything is measured on all of its test images.",
        )  # fmt: skip
        settle("calibration_teacher", available[name])
        teacher = st.selectbox(
            "Teacher", available[name], key="calibration_teacher", format_func=networks.name_with_layers, **kept,
            help="The trained network whose confidence is examined.",
        )  # fmt: skip
        others = [NONE, *(other for other in available[name] if other != teacher)]
        settle("calibration_compare", others)
        compare = st.selectbox(
            "Compare with teacher", others, key="calibration_compare", format_func=networks.name_with_layers, **kept,
            help="A second teacher, examined on the same images.",
        )  # fmt: skip

settle("calibration_view", list(VIEWS))
view = st.segmented_control("View", VIEWS, key="calibration_view", required=True, help=VIEW_HELP, **kept)
st.caption(linked(CAPTIONS[view]))
try:
    if run_id == TEACHERS_ONLY:
        chosen = [teacher] if compare == NONE else [teacher, compare]
        members = {one if len(chosen) > 1 else "teacher": networks.test_logits(name, one) for one in chosen}
    else:
        experiment, members = calibration.logits_of_run(run_id)
        name, chosen = experiment.dataset, [experiment.teacher]
    dataset = networks.images(name)
except ValueError as error:
    show_error(error)
    st.stop()
people, note = calibration.human_labels(name)
if people is not None:
    members = {**members, "people": people}

if view == RELIABILITY:
    calibration.show_reliability(members, dataset.test_labels)
elif view == COVERAGE:
    calibration.show_coverage(members, dataset.test_labels)
elif view == SCALING:
    calibration.show_scaling(members, dataset.test_labels)
elif len(members) < 2:
    st.markdown("This view needs two models: choose a run, or a second teacher, in the sidebar.")
else:
    settle("calibration_sort", ["classes", "divergence"])
    sort = st.segmented_control(
        "Sort by", ["classes", "divergence"], key="calibration_sort", required=True, **kept,
        format_func={"classes": "number of different predictions", "divergence": "divergence"}.get,
        help="Divergence: Jensen-Shannon divergence of the soft targets at T = 1, in nats.",
    )  # fmt: skip
    calibration.show_disagreements(members, dataset, sort)
of_run = f" Teacher: {plain(networks.teacher_in_words(experiment))}." if run_id != TEACHERS_ONLY else ""
if view != SCALING:
    st.markdown(f"Measured on all {len(dataset.test_labels):,} test images of {plain(dataset.title)}.{of_run}")
networks.show_notes(name, *chosen)
if note:
    st.caption(note)

choices = ("run",) if run_id != TEACHERS_ONLY else ("dataset", "teacher", "compare")
more = ("sort",) if view == DISAGREEMENTS else ()
to_link("calibration", {field: st.session_state[f"calibration_{field}"] for field in (*choices, "view", *more)})
networks.note_images_only()
show_source(reliability, expected_calibration_error, fit_temperature, divergence)
