"""Soft targets: softmax(z / T) of one image by the teacher, and by a student or baseline beside it, at any temperature."""

import streamlit as st

from distill_core.losses import soft_loss, soften
from pages.sections import networks, soft_targets
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link
from pages.server.old_links import translate_old_link
from pages.server.plain_text import show_error

set_up("Soft targets")
st.markdown("#### How does the temperature change the soft targets of one image?")
translate_old_link({"beside": "network", "written": "formula"})
linked = from_link("soft_targets", soft_targets.DEFAULTS)

choices = soft_targets.choose()
try:
    loaded = soft_targets.load(choices)
except ValueError as error:
    show_error(error)
    st.stop()
if linked or "soft_targets_bars" not in st.session_state:  # a new link, or the page is opened again after another one
    soft_targets.restore_bars(loaded.dataset.class_names)

images, bars = st.columns([3, 8], gap="medium")
with images:
    image = soft_targets.choose_image(choices, loaded, linked=linked)
with bars:
    soft_targets.show_bars(loaded, image)
soft_targets.write_link(choices, image)
networks.note_images_only()
show_source(soften, soft_loss)
