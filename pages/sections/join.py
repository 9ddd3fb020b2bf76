"""How another computer or phone opens this lab: its address, and the QR code of it."""

from __future__ import annotations

import streamlit as st

from pages.server import network


def show_address() -> None:
    """A button that shows the address and its QR code; nothing where the lab is open to this machine only."""
    if not network.is_open() or not (address := network.address_to_share(st.context.url)):
        return
    with st.popover("Join from another device", icon=":material/qr_code_2:"):
        picture = network.qr_code(address).svg_data_uri(scale=8, border=4, light="white")
        st.html(f'<img src="{picture}" alt="QR code of the address below" style="width: 20rem; max-width: 100%">')
        st.markdown("In the same network, open")
        st.code(address, language=None)
