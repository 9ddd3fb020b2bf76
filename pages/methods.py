"""Methods: what a student can learn from besides soft targets, and how much each method helps."""

import streamlit as st

from distill_core.glossary import linked
from distill_core.studies.comparison import SET_UPS
from distill_core.text_objectives import method_of
from pages.sections import methods, networks, text_comparison
from pages.sections.method_inputs import show_inputs
from pages.sections.source import functions_of, show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link
from pages.server.old_links import translate_old_link

DEFAULTS = {"group": "Logits", "method": "", "setting": "", "text": "", "dataset": "", "image": 0, "student": ""}

set_up("Methods")
st.title("What can a student learn from?")
translate_old_link({}, {"group": {"Self and chains": methods.CHAINS}})
from_link("methods", DEFAULTS)
state = st.session_state

settle("methods_group", list(methods.GROUPS))
group = st.segmented_control(
    "Group of methods", list(methods.GROUPS), key="methods_group", required=True, persist_state="session",
    format_func=lambda name: methods.TITLES.get(name, name), help=methods.GROUPS_HELP,
)  # fmt: skip
st.markdown(linked(methods.GROUPS[group]))
names = methods.members(group)
settle("methods_method", list(names))
name = st.selectbox(
    "Method",
    list(names),
    key="methods_method",
    format_func=names.get,
    persist_state="session",
    help="The method that is explained below: its loss, what it compares, and its measured differences.",
)
methods.show_card(name)
if group == methods.TEXTS:
    text_comparison.show()
else:
    methods.show_networks(name) if group in methods.WITH_SEVERAL_NETWORKS else show_inputs(name)
    methods.show_comparison(name)
to_link("methods", {choice: state.get(f"methods_{choice}", "") for choice in DEFAULTS})
methods.show_references(name)
if group != methods.TEXTS:
    networks.note_images_only()
if name not in SET_UPS:
    show_source(*functions_of(method_of(name)))
