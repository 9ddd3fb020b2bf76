"""The microscope: one image, and everything the teacher (and a student beside it) thinks of it, at any temperature."""

import math

import streamlit as st
import torch

from distill_core.data import datasets, drawing
from distill_core.data.image_order import ORDERS, WITHOUT_LOGITS, entropy
from distill_core.losses import soft_loss, soften
from pages.components.image_grid import image_grid
from pages.components.soft_targets import Details, soft_targets, within_slider
from pages.sections import networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

MORE = 24
NOBODY, ANY, MINE = "nobody", "all", "drawing"

set_up("Soft targets")

state = st.session_state
usual = {
    "dataset": "", "teacher": "", "run": NOBODY, "beside": "student", "image": "", "T": 4.0,
    "order": next(iter(ORDERS)), "class": ANY, "page": 0, "scale": "linear", "top": "shown", "written": "",
}  # fmt: skip
linked = from_link("microscope", usual)

here = networks.teachers_here()
settle("microscope_dataset", list(here))
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = st.selectbox(
        "Images", list(here), format_func=lambda n: datasets.DATASETS[n].title, key="microscope_dataset", persist_state="session"
    )
    settle("microscope_teacher", here[name])
    teacher_name = st.selectbox("Teacher", here[name], key="microscope_teacher", persist_state="session")
    settle("microscope_order", list(ORDERS))
    order = st.selectbox("Which", list(ORDERS), key="microscope_order", persist_state="session")
    names = datasets.DATASETS[name].class_names
    settle("microscope_class", [ANY, *names])
    of_class = st.selectbox("Of class", [ANY, *names], key="microscope_class", persist_state="session")
    runs = networks.finished_runs(name)
    settle("microscope_run", [NOBODY, *runs])
    run_id = st.selectbox(
        "Beside the teacher", [NOBODY, *runs], format_func=lambda r: networks.describe(runs[r]) if r in runs else r,
        key="microscope_run", persist_state="session", help="Student and baseline of a finished run.",
    )  # fmt: skip
    settle("microscope_beside", ["student", "baseline"])
    if run_id in runs:
        beside = st.segmented_control(
            "Whose", ["student", "baseline"], key="microscope_beside", label_visibility="collapsed", required=True, persist_state="session"
        )
try:
    dataset, teacher = networks.images(name), networks.teacher(name, teacher_name)
    members = {"teacher": teacher} | ({beside: networks.pupils(runs[run_id])[beside]} if run_id in runs else {})
except ValueError as error:
    st.error(str(error))
    st.stop()
if linked or "microscope_bars" not in state:  # also when the page was left and is opened again
    written = names.index(state["microscope_written"]) if state["microscope_written"] in names else None
    details = Details(hide=state["microscope_top"] == "hidden", log=state["microscope_scale"] == "log", asked=written)
    state.update({"microscope_given": within_slider(state["microscope_T"]), "microscope_details": details})
labels = dataset.test_labels
side = dataset.image_shape[1]
drawn = drawing.centre_digit(state["drawing"], size=side) if "drawing" in state and name in ("mnist", "digits") else None


def look_at(image: object) -> None:
    """From the next run on, this image is under the microscope."""
    state["microscope_image"] = str(image)


def turn_page() -> None:
    """The next images of the same kind; after the last, the first again."""
    state["microscope_page"] += 1


gallery, bars = st.columns([3, 8], gap="medium")
with gallery:
    found = ORDERS[order](None if order in WITHOUT_LOGITS else networks.test_logits(name, teacher_name), labels)
    if of_class != ANY:
        found = found[labels[found] == names.index(of_class)]
    listed = (name, teacher_name, order, of_class)
    if not linked and state.get("microscope_listed", listed) != listed:
        state["microscope_page"] = 0
    state["microscope_listed"] = listed
    state["microscope_page"] %= max(1, math.ceil(len(found) / MORE))
    first = MORE * state["microscope_page"]
    shown = found[first : first + MORE]
    told = networks.ask(teacher, dataset, dataset.test_images[shown])

    image = state["microscope_image"]
    if image == MINE and drawn is None:
        st.toast("A drawing stays in the session that drew it: draw one on the page Draw.", icon=":material/draw:")
    if not (image == MINE and drawn is not None) and not (image.isdecimal() and int(image) < len(labels)):
        image = str(int(shown[entropy(told).argmax()])) if len(shown) else "0"  # of these, the one with the most to see
        look_at(image)
    if len(shown):
        sure, says = soften(told, temperature=1).max(dim=1)
        captions = [
            f"{i}: is {names[labels[i]]}, teacher says {names[c]} ({f'{100 * p:.1f}' if p < 0.9995 else '> 99.9'} % at T\u00a0=\u00a01)"
            for i, p, c in zip(shown.tolist(), sure.tolist(), says.tolist(), strict=True)
        ]
        chosen = -1 if image == MINE else int(image)
        image_grid(dataset.test_images[shown].numpy(), ids=shown.tolist(), captions=captions, chosen=chosen, on_pick=look_at, key="grid")
    else:
        st.markdown("There is no such image.")
    with st.container(horizontal=True):
        st.button("More", icon=":material/arrow_forward:", key="microscope_more", disabled=len(found) <= MORE, on_click=turn_page)
        if image != MINE:
            state["microscope_index"] = int(image)
        st.number_input(
            "Image", 0, len(labels) - 1, key="microscope_index", label_visibility="collapsed",
            on_change=lambda: look_at(state["microscope_index"]),
        )  # fmt: skip
        if drawn is not None:
            st.button("My drawing", icon=":material/draw:", key="microscope_mine", on_click=look_at, args=(MINE,))

with bars:
    mine = image == MINE
    pixels = torch.from_numpy(drawn).view(1, 1, side, side) if mine else dataset.test_images[[int(image)]]
    chosen = soft_targets(
        pixels=pixels.numpy(),
        image_shape=dataset.image_shape,
        logits={role: networks.ask(network, dataset, pixels)[0].tolist() for role, network in members.items()},
        class_names=names,
        label=None if mine else int(labels[int(image)]),
        temperature=state["microscope_given"],
        key="microscope_bars",
        details=state["microscope_details"],
    )
state.update(
    {
        "microscope_T": chosen.temperature,
        "microscope_scale": "log" if chosen.details.log else "linear",
        "microscope_top": "hidden" if chosen.details.hide else "shown",
        "microscope_written": "" if chosen.details.asked is None else names[chosen.details.asked],
    }
)
seen = {field: state[f"microscope_{field}"] for field in ("order", "class", "page", "scale", "top", "written")}
seen = {field: value for field, value in seen.items() if value != usual[field]}  # the usual need not be said
run = {"run": run_id, "beside": beside} if run_id in runs else {}
to_link("microscope", {"dataset": name, "teacher": teacher_name, **run, "image": image, "T": chosen.temperature, **seen})
show_source(soften, soft_loss)
