"""Dark knowledge: which classes a teacher finds similar, over a whole data set."""

import streamlit as st

from distill_core.analysis import class_spread, mean_soft_targets
from distill_core.data import datasets
from distill_core.figures.dark_knowledge import circular_order
from distill_core.glossary import linked
from distill_core.losses import soften
from pages.sections import dark_knowledge, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link
from pages.server.old_links import translate_old_link
from pages.server.plain_text import show_error

TEMPERATURES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0]
MEANS, GRAPH, PROJECTION, PAIR = "Mean soft targets", "Similarity graph", "Logit projection", "Images between two classes"
CAPTIONS = {
    MEANS: "Each row is a true class: the soft targets of its images, averaged. A large number away from the diagonal marks a class that "
    "the teacher finds similar.",
    GRAPH: "Arrows lead from each true class to the wrong classes with the largest mean probability.",
    PROJECTION: "Each image is a point. The teacher's logits of an image, one number per class, are reduced to two coordinates: images "
    "with similar logits lie close together. PCA: the two directions of largest variance; t-SNE: only near neighbours have a meaning.",
    PAIR: "Images of the first class to which the teacher gives the largest probability of the second class, and the reverse.",
}
VIEW_HELP = "\n\n".join(f"**{view}.** {caption}" for view, caption in CAPTIONS.items())
OPTIONS = {  # of each view: parameter, label, values, help
    MEANS: [
        ("scale", "Colour scale", ["linear", "log"], "The logarithmic scale shows small probabilities too."),
        ("diagonal", "Diagonal", ["hidden", "shown"], "The probability of the true class, much larger than others. Hidden: empty cells."),
    ],
    GRAPH: [("edges", "Arrows per class", [1, 2, 3], "To how many of its most similar classes each class points.")],
    PROJECTION: [
        (
            "projection", "Projection by", ["PCA", "t-SNE"],
            "PCA: the two directions of largest variance. t-SNE: similar logits stay close; other distances have no meaning.",
        )
    ],
    PAIR: [],
}  # fmt: skip
NONE = "none"
DEFAULTS = {
    "dataset": "", "teacher": "", "compare": NONE, "part": "test", "T": 4.0, "view": MEANS,
    "scale": "linear", "diagonal": "hidden", "edges": 2, "projection": "PCA", "first": "", "second": "",
}  # fmt: skip
OLD_NAMES = {"beside": "compare", "doubts": "edges", "map": "projection"}
OLD_VALUES = {
    "compare": {"nobody": NONE},
    "view": {"Class by class": MEANS, "Looks like": GRAPH, "Map of images": PROJECTION, "What two share": PAIR},
}

set_up("Dark knowledge")
st.title("Which classes does the teacher find similar?")

state = st.session_state
available = networks.teachers_here()
translate_old_link(OLD_NAMES, OLD_VALUES)
from_link("dark", DEFAULTS)
kept = {"persist_state": "session"}
with st.sidebar:
    settle("dark_dataset", list(available))
    name = st.selectbox(
        "Data set", list(available), key="dark_dataset", format_func=lambda n: datasets.DATASETS[n].title, **kept,
        help="Whose images the teacher classifies.",
    )  # fmt: skip
    settle("dark_teacher", available[name])
    teacher = st.selectbox(
        "Teacher", available[name], key="dark_teacher", format_func=networks.name_with_layers, **kept,
        help="The trained network whose outputs are shown.",
    )  # fmt: skip
    others = [NONE, *(other for other in available[name] if other != teacher)]
    settle("dark_compare", others)
    compare = st.selectbox(
        "Compare with teacher", others, key="dark_compare", format_func=networks.name_with_layers, **kept,
        help="A second teacher, shown beside the first on the same images.",
    )  # fmt: skip
    networks.show_notes(name, *(one for one in (teacher, compare) if one != NONE))
    settle("dark_part", ["test", "train"])
    part = st.segmented_control(
        "Images", ["test", "train"], key="dark_part", required=True, format_func={"test": "test", "train": "training"}.get,
        help=f"All images of this part, or {dark_knowledge.MAX_IMAGES:,} of them, drawn at random with seed 0, if there are more.", **kept,
    )  # fmt: skip
    settle("dark_T", TEMPERATURES, otherwise=DEFAULTS["T"])
    temperature = st.select_slider(
        "Temperature T",
        TEMPERATURES,
        key="dark_T",
        help="Soft targets are softmax(logits / T): the higher T, the more even. A projection shows logits, which do not depend on T.",
        **kept,
    )

settle("dark_view", list(OPTIONS))
view = st.segmented_control("View", list(OPTIONS), key="dark_view", required=True, help=VIEW_HELP, **kept)
st.caption(linked(CAPTIONS[view]))
chosen = [teacher] if compare == NONE else [teacher, compare]
try:
    dataset = networks.images(name)
    means = {one: dark_knowledge.means(name, one, part, temperature) for one in chosen}
except ValueError as error:
    show_error(error)
    st.stop()
classes = list(dataset.class_names)

with st.sidebar:  # options of this view alone
    for field, label, options, explanation in OPTIONS[view]:
        settle(f"dark_{field}", options)
        st.segmented_control(label, options, key=f"dark_{field}", required=True, help=explanation, **kept)
    if view == PAIR:
        similar = dark_knowledge.most_similar_pair(means[teacher], classes)
        for field, label, default in (("first", "First class", similar[0]), ("second", "Second class", similar[1])):
            settle(f"dark_{field}", classes, otherwise=default)
            st.selectbox(
                label, classes, key=f"dark_{field}", **kept,
                help="One of the two classes; the two that the teacher finds most similar are the first choice.",
            )  # fmt: skip

shared = {"class_names": dataset.class_names, "temperature": temperature}
if view == MEANS:
    dark_knowledge.show_means(means, diagonal=state["dark_diagonal"] == "shown", log=state["dark_scale"] == "log", **shared)
elif view == GRAPH:
    order = circular_order(dark_knowledge.means(name, teacher, part, dark_knowledge.LAYOUT_TEMPERATURE))
    dark_knowledge.show_graph(means, order, edges_per_class=state["dark_edges"], **shared)
elif view == PROJECTION:
    dark_knowledge.show_projection(name, chosen, part, state["dark_projection"])
elif state["dark_first"] == state["dark_second"]:
    st.markdown("Choose two different classes in the sidebar.")
else:
    dark_knowledge.show_pair(name, chosen, part, temperature, tuple(classes.index(state[f"dark_{w}"]) for w in ("first", "second")))
if view in (MEANS, PROJECTION):
    dark_knowledge.show_spread(name, chosen, part)

options = ("first", "second") if view == PAIR else [field for field, *_ in OPTIONS[view]]
to_link("dark", {field: state[f"dark_{field}"] for field in ("dataset", "teacher", "compare", "part", "T", "view", *options)})
networks.note_images_only()
show_source(soften, mean_soft_targets, class_spread)
