"""A page's choices in its address: whoever opens the link sees the same."""

from __future__ import annotations

import streamlit as st

from pages.server.plain_text import plain


def from_link(page: str, defaults: dict[str, object]) -> bool:
    """Set this page's choices (`st.session_state["<page>_<name>"]`) from the address, and report whether any was set.

    What the address does not name keeps its value in the session, at first the one in `defaults`. A message of the
    browser carries the address as it was when it was sent. An address that the page itself wrote is therefore not
    applied again: it would undo what the learner has changed since.
    """
    if st.session_state.get("link_page") != page:
        st.session_state.update({"link_page": page, "link_known": []})
    for name, value in defaults.items():
        st.session_state.setdefault(f"{page}_{name}", value)
    values = {name: st.query_params[name] for name in defaults if name in st.query_params}
    if not values or values in st.session_state["link_known"]:
        return False
    _remember(values)
    for name, text in values.items():
        try:
            st.session_state[f"{page}_{name}"] = type(defaults[name])(text)
        except ValueError:
            st.toast(f"This link has an invalid setting, {plain(f'{name}={text[:40]}')}; it is left out.", icon=":material/link_off:")
    return True


def to_link(page: str, choices: dict[str, object]) -> None:
    """Write the page's choices into the address; an empty one is left out."""
    values = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in choices.items() if value not in ("", None)}
    if st.query_params.to_dict() != values and st.session_state.get("link_page") == page:
        st.query_params.from_dict(values)
    _remember(values)


def _remember(values: dict[str, str]) -> None:
    known = st.session_state.setdefault("link_known", [])
    if values not in known:
        known.append(values)
        del known[:-50]


def settle(key: str, options: list) -> None:
    """Replace a choice that is no longer among the options (another data set, a deleted run) by the first of them."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
