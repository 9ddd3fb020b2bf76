"""Compress: how small can a trained network become, and what does its teacher recover?"""

import streamlit as st

from distill_core.compression import factorise, prune_neurons, prune_weights
from distill_core.compression.quantisation import fake_quantise
from pages.sections import compress, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, to_link

set_up("Compress")
st.title("How small can the network become?")
from_link("compress", compress.DEFAULTS)

if (chosen := compress.choose()) is not None:
    trained, curves = chosen
    name = st.session_state["compress_network"]
    compression = compress.sliders(trained, curves, name)
    compress.recover(trained, compression)
    compress.downloads(trained, compression)
    to_link("compress", {"network": name, "recovery": st.session_state.get("compress_recovery", "")})
compress.show_ladder()
networks.note_images_only()
show_source(prune_weights, prune_neurons, factorise, fake_quantise)
