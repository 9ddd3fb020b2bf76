"""Dark knowledge: what a teacher takes for what, over a whole data set."""

import streamlit as st

from distill_core.analysis import class_spread, mean_soft_targets
from distill_core.data import datasets
from distill_core.figures.dark_knowledge import circular_order
from distill_core.losses import soften
from pages.sections import dark_knowledge, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

TEMPERATURES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0]
CHOICES = {
    "Class by class": [("scale", "Colours", ["linear", "log"]), ("diagonal", "The right class", ["hidden", "shown"])],
    "Looks like": [("doubts", "Lines from each class", [1, 2, 3])],
    "Map of images": [("map", "Laid out by", ["PCA", "t-SNE"])],
    "What two share": [],
}
NOBODY = "nobody"
USUAL = {
    "dataset": "", "teacher": "", "beside": NOBODY, "part": "test", "T": 4.0, "view": "Class by class",
    "scale": "linear", "diagonal": "hidden", "doubts": 2, "map": "PCA", "first": "", "second": "",
}  # fmt: skip

set_up("Dark knowledge")
st.title("What does the teacher take for what?")

state = st.session_state
sets = networks.teachers_here()
from_link("dark", USUAL)
kept = {"persist_state": "session"}
with st.sidebar:
    settle("dark_dataset", list(sets))
    name = st.selectbox("Images", list(sets), key="dark_dataset", format_func=lambda n: datasets.DATASETS[n].title, **kept)
    settle("dark_teacher", sets[name])
    teacher = st.selectbox("Teacher", sets[name], key="dark_teacher", **kept)
    others = [NOBODY, *(other for other in sets[name] if other != teacher)]
    settle("dark_beside", others)
    beside = st.selectbox("Beside it", others, key="dark_beside", help="A second teacher on the same images.", **kept)
    settle("dark_part", ["test", "train"])
    part = st.segmented_control(
        "Which images", ["test", "train"], key="dark_part", required=True, format_func=lambda p: {"test": "test", "train": "training"}[p],
        help=f"Of more than {dark_knowledge.MAX:,} training images, {dark_knowledge.MAX:,} drawn by seed 0.", **kept,
    )  # fmt: skip
    if state["dark_T"] not in TEMPERATURES:
        st.toast("The link's T is not on the slider; choose one from 0.5 to 30.", icon=":material/link_off:")
        state["dark_T"] = USUAL["T"]
    temperature = st.select_slider("Temperature T", TEMPERATURES, key="dark_T", **kept)

settle("dark_view", list(CHOICES))
view = st.segmented_control("View", list(CHOICES), key="dark_view", required=True, label_visibility="collapsed", **kept)
chosen = [teacher] if beside == NOBODY else [teacher, beside]
try:
    dataset = networks.images(name)
    found = {one: dark_knowledge.means(name, one, part, temperature) for one in chosen}
except ValueError as error:
    st.error(str(error))
    st.stop()
classes = list(dataset.class_names)

with st.sidebar:  # what only this view has
    for field, label, options in CHOICES[view]:
        settle(f"dark_{field}", options)
        st.segmented_control(label, options, key=f"dark_{field}", required=True, **kept)
    if view == "What two share":
        alike = dark_knowledge.strongest_pair(found[teacher], classes)
        for field, label, usual in (("first", "One class", alike[0]), ("second", "Another", alike[1])):
            if state[f"dark_{field}"] not in classes:
                state[f"dark_{field}"] = usual
            st.selectbox(label, classes, key=f"dark_{field}", **kept)

seen = {"class_names": dataset.class_names, "temperature": temperature}
if view == "Class by class":
    dark_knowledge.show_means(found, diagonal=state["dark_diagonal"] == "shown", log=state["dark_scale"] == "log", **seen)
elif view == "Looks like":
    order = circular_order(dark_knowledge.means(name, teacher, part, dark_knowledge.REFERENCE))
    dark_knowledge.show_graph(found, order, doubts=state["dark_doubts"], **seen)
elif view == "Map of images":
    dark_knowledge.show_map(name, chosen, part, state["dark_map"])
elif state["dark_first"] == state["dark_second"]:
    st.markdown("Choose two different classes.")
else:
    dark_knowledge.show_pair(name, chosen, part, temperature, tuple(classes.index(state[f"dark_{w}"]) for w in ("first", "second")))
if view in ("Class by class", "Map of images"):
    dark_knowledge.show_spread(name, chosen, part)

own = ("first", "second") if view == "What two share" else [field for field, *_ in CHOICES[view]]
to_link("dark", {field: state[f"dark_{field}"] for field in ("dataset", "teacher", "beside", "part", "T", "view", *own)})
show_source(soften, mean_soft_targets, class_spread)
