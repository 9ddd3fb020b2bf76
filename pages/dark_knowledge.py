"""Dark knowledge: what a teacher takes for what, over a whole data set."""

import streamlit as st

from distill_core import datasets
from distill_core.analysis import class_spread, mean_soft_targets
from distill_core.figures.knowledge import round_the_circle
from distill_core.losses import soften
from pages.parts import knowledge, networks
from pages.parts.lab import set_up
from pages.parts.link import from_link, settle, to_link
from pages.parts.source import show_source

TEMPERATURES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0]
VIEWS = ("Class by class", "Looks like", "Map of images", "What two share")
NOBODY = "nobody"
USUAL = {
    "dataset": "", "teacher": "", "beside": NOBODY, "part": "test", "T": 4.0, "view": VIEWS[0], "scale": "linear", "diagonal": "hidden",
    "doubts": 2, "map": "PCA", "first": "", "second": "",
}  # fmt: skip

set_up("Dark knowledge")
st.title("What does the teacher take for what?")

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
        help=f"Of more than {knowledge.MOST:,} training images, {knowledge.MOST:,} drawn by seed 0.", **kept,
    )  # fmt: skip
    if st.session_state["dark_T"] not in TEMPERATURES:
        st.toast(f"T = {st.session_state['dark_T']:g} is not on the slider; choose from 0.5 to 30.", icon=":material/link_off:")
        st.session_state["dark_T"] = USUAL["T"]
    temperature = st.select_slider("Temperature T", TEMPERATURES, key="dark_T", **kept)

settle("dark_view", list(VIEWS))
view = st.segmented_control("View", VIEWS, key="dark_view", required=True, label_visibility="collapsed", **kept)
chosen = [teacher] if beside == NOBODY else [teacher, beside]
try:
    dataset = datasets.load(name)
    found = {one: knowledge.means(name, one, part, temperature) for one in chosen}
except ValueError as error:
    st.error(str(error))
    st.stop()
classes = list(dataset.class_names)

if view == "Class by class":
    with st.container(horizontal=True):
        settle("dark_scale", ["linear", "log"])
        settle("dark_diagonal", ["hidden", "shown"])
        scale = st.segmented_control("Colours", ["linear", "log"], key="dark_scale", required=True, **kept)
        diagonal = st.segmented_control("The right class", ["hidden", "shown"], key="dark_diagonal", required=True, **kept)
    knowledge.show_means(
        found, class_names=dataset.class_names, temperature=temperature, diagonal=diagonal == "shown", log=scale == "log"
    )  # fmt: skip
elif view == "Looks like":
    settle("dark_doubts", [1, 2, 3])
    doubts = st.segmented_control("Lines from each class", [1, 2, 3], key="dark_doubts", required=True, **kept)
    order = round_the_circle(knowledge.means(name, teacher, part, knowledge.REFERENCE))
    knowledge.show_graph(found, order, class_names=dataset.class_names, temperature=temperature, doubts=doubts)
elif view == "Map of images":
    settle("dark_map", ["PCA", "t-SNE"])
    how = st.segmented_control("Laid out by", ["PCA", "t-SNE"], key="dark_map", required=True, **kept)
    knowledge.show_map(name, chosen, part, how)
else:
    with st.container(horizontal=True):
        strongest = knowledge.strongest_pair(found[teacher], classes)
        for which, usual in zip(("first", "second"), strongest, strict=True):
            if st.session_state[f"dark_{which}"] not in classes:
                st.session_state[f"dark_{which}"] = usual
        first = st.selectbox("One class", classes, key="dark_first", **kept)
        second = st.selectbox("Another", classes, key="dark_second", **kept)
    if first == second:
        st.markdown("Choose two different classes.")
    else:
        knowledge.show_pair(name, chosen, part, temperature, (classes.index(first), classes.index(second)))
if view in ("Class by class", "Map of images"):
    knowledge.show_spread(name, chosen, part)

shown_in = {
    "Class by class": ("scale", "diagonal"),
    "Looks like": ("doubts",),
    "Map of images": ("map",),
    "What two share": ("first", "second"),
}
always = ("dataset", "teacher", "beside", "part", "T", "view")
to_link("dark", {field: st.session_state[f"dark_{field}"] for field in (*always, *shown_in[view])})
with st.expander("The functions at work"):
    show_source(soften, mean_soft_targets, class_spread)
