"""Draw a digit: teacher, baseline and student answer at each stroke."""

import io

import numpy as np
import streamlit as st
from PIL import Image

from distill_core.data import datasets
from distill_core.data.drawing import NORMALISERS, centre_digit
from distill_core.experiment import Experiment
from pages.components.draw_pad import draw_pad
from pages.components.soft_targets import soft_targets, within_slider
from pages.sections import networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

NOBODY = "nobody"

set_up("Draw")

state = st.session_state
usual = {"dataset": "", "teacher": "", "run": "", "T": 1.0}
linked = from_link("draw", usual)
if linked and "run" not in st.query_params:  # a link that names none was made with the teacher alone
    state["draw_run"] = NOBODY
if linked or "draw_bars" not in state:  # also when the page was left and is opened again
    state["draw_given"] = within_slider(state["draw_T"])

here = {name: found for name, found in networks.teachers_here().items() if name in ("mnist", "digits")}
runs = networks.finished_runs(*here)
with st.container(horizontal=True):
    settle("draw_run", [*runs, NOBODY])
    run_id = st.selectbox(
        "Baseline and student of", [*runs, NOBODY], format_func=lambda r: networks.describe(runs[r]) if r in runs else r,
        key="draw_run", persist_state="session",
    )  # fmt: skip
    choices = [Experiment.from_json(runs[run_id].experiments[0]).dataset] if run_id in runs else list(here)
    settle("draw_dataset", choices)
    name = st.selectbox("Images", choices, format_func=lambda n: datasets.DATASETS[n].title, key="draw_dataset", persist_state="session")
    settle("draw_teacher", here[name])
    teacher_name = st.selectbox("Teacher", here[name], key="draw_teacher", persist_state="session")
try:
    dataset = networks.images(name)
    members = {"teacher": networks.teacher(name, teacher_name)} | (networks.pupils(runs[run_id]) if run_id in runs else {})
except ValueError as error:
    st.error(str(error))
    st.stop()


def as_png(ink: np.ndarray) -> bytes:
    """The drawing as a picture of four times its size."""
    file = io.BytesIO()
    Image.fromarray(ink).resize((448, 448), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@st.fragment
def answer() -> None:
    """Drawn again at each stroke, and nothing else of the page."""
    pad, bars = st.columns([3, 8], gap="large")
    with pad:
        ink = draw_pad(key="draw_pad")
        if ink.any():
            st.download_button(
                "Keep this drawing", lambda: as_png(ink), file_name="digit.png", mime="image/png", icon=":material/download:",
                key="draw_keep", on_click=lambda: state.update({"drawing": ink}),
            )  # fmt: skip
        if "drawing" in state:
            query = {"dataset": name, "teacher": teacher_name, "image": "drawing"} | ({"run": run_id} if run_id in runs else {})
            st.page_link("pages/soft_targets.py", label="Open in Soft targets", icon=":material/biotech:", query_params=query)
    with bars:
        picture = centre_digit(ink, size=dataset.image_shape[1])[None, None]
        chosen = soft_targets(
            pixels=picture,
            image_shape=dataset.image_shape,
            logits={role: networks.ask(m, dataset, picture)[0].tolist() if ink.any() else None for role, m in members.items()},
            class_names=dataset.class_names,
            label=None,
            temperature=state["draw_given"],
            key="draw_bars",
        )
    state["draw_T"] = chosen.temperature
    run = {"run": run_id} if run_id in runs else {}
    to_link("draw", {"dataset": name, "teacher": teacher_name, **run, "T": chosen.temperature})


assert dataset.image_shape[1] in NORMALISERS
answer()
show_source(centre_digit)
