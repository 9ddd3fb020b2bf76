"""A page's choices in its address: whoever opens the link sees the same."""

from __future__ import annotations

import streamlit as st


def from_link(page: str, usual: dict[str, object]) -> None:
    """Put this page's choices (`st.session_state["<page>_<name>"]`) to what the address says. Call it when the page is entered only:

    a message of the browser carries the address as it was when it was sent, and the page may have written another since.
    What the address does not name stays as the session has it, and begins as `usual`.
    """
    for name, value in usual.items():
        st.session_state.setdefault(f"{page}_{name}", value)
        if name in st.query_params:
            text = st.query_params[name]
            try:
                st.session_state[f"{page}_{name}"] = type(value)(text)
            except ValueError:
                st.toast(f"The link says {name}={text[:40]}, which means nothing here.", icon=":material/link_off:")


def to_link(choices: dict[str, object]) -> None:
    """Write the choices into the address; an empty one is left out."""
    told = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in choices.items() if value not in ("", None)}
    if st.query_params.to_dict() != told:
        st.query_params.from_dict(told)


def settle(key: str, options: list) -> None:
    """A choice that is not among the options (of another data set, of a run that was deleted) becomes the first of them."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
