"""A page's choices in its address: whoever opens the link sees the same."""

from __future__ import annotations

import streamlit as st


def from_link(page: str, usual: dict[str, object]) -> bool:
    """Put this page's choices (`st.session_state["<page>_<name>"]`) to what the address says, where it says something new.

    What the address does not name stays as the session has it, and begins as `usual`. Says whether anything was put.
    A message of the browser carries the address as it was when it was sent: one that the page wrote itself a moment ago
    is not new, or a quick hand would be set back.
    """
    if st.session_state.get("link_page") != page:
        st.session_state.update({"link_page": page, "link_known": []})
    for name, value in usual.items():
        st.session_state.setdefault(f"{page}_{name}", value)
    told = {name: st.query_params[name] for name in usual if name in st.query_params}
    if not told or told in st.session_state["link_known"]:
        return False
    _remember(told)
    for name, text in told.items():
        try:
            st.session_state[f"{page}_{name}"] = type(usual[name])(text)
        except ValueError:
            st.toast(f"The link says {name}={text[:40]}, which means nothing here.", icon=":material/link_off:")
    return True


def to_link(page: str, choices: dict[str, object]) -> None:
    """Write the page's choices into the address; an empty one is left out."""
    told = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in choices.items() if value not in ("", None)}
    if st.query_params.to_dict() != told and st.session_state.get("link_page") == page:
        st.query_params.from_dict(told)
    _remember(told)


def _remember(told: dict[str, str]) -> None:
    known = st.session_state.setdefault("link_known", [])
    if told not in known:
        known.append(told)
        del known[:-50]


def settle(key: str, options: list) -> None:
    """A choice that is not among the options (of another data set, of a run that was deleted) becomes the first of them."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
