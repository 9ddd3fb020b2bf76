"""A page's choices in its address: whoever opens the link sees the same. Every value is checked before it is used."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.server import incoming


def from_link(page: str, defaults: dict[str, object]) -> bool:
    """Set this page's choices (`st.session_state["<page>_<name>"]`) from the address, and report whether any was set.

    What the address does not name keeps its value in the session, at first the one in `defaults`. Whether a value is among
    the choices of the page is found where it is drawn: see `settle` and `bound`.

    A choice that the session has lost is read from the address again: a run of the page that was broken off before its
    widgets were drawn leaves none of them behind.
    """
    lost = [name for name in defaults if f"{page}_{name}" not in st.session_state and name in st.query_params]
    for name, value in defaults.items():
        st.session_state.setdefault(f"{page}_{name}", value)
    values = opened(page, defaults) or {name: st.query_params.get_all(name) for name in lost}
    for name, texts in values.items():
        try:
            st.session_state[f"{page}_{name}"] = incoming.read(name, texts[-1], type(defaults[name]))
        except ValueError as error:
            incoming.report_link(error)
        else:
            st.session_state["link_new"][f"{page}_{name}"] = name
    return bool(values)


def opened(page: str, names: Sequence[str] | dict[str, object]) -> dict[str, list[str]]:
    """The values of a link that was opened, by parameter; empty where the page itself wrote the address.

    A message of the browser carries the address as it was when it was sent. An address that the page wrote is therefore
    not applied again: it would undo what the learner has changed since.
    """
    if st.session_state.get("link_page") != page:
        st.session_state.update({"link_page": page, "link_known": []})
    st.session_state["link_new"] = {}  # what comes from this link and is not checked yet, by key
    values = {name: st.query_params.get_all(name) for name in names if name in st.query_params}
    if not values or values in st.session_state["link_known"]:
        return {}
    _remember(values)
    return values


def to_link(page: str, choices: dict[str, object]) -> None:
    """Write the page's choices into the address; an empty one is left out, a list gives several values.

    The address is noted before it is sent: sending it can end this run of the page, and the browser has it then.
    """
    values = {name: _texts(value) for name, value in choices.items() if value not in ("", None)}
    written = {name: texts for name, texts in values.items() if texts}
    current = {name: st.query_params.get_all(name) for name in st.query_params}
    _remember(written)
    if current != written and st.session_state.get("link_page") == page:
        st.query_params.from_dict(written)


def _texts(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return [f"{value:g}" if isinstance(value, float) else str(value)]


def _remember(values: dict[str, list[str]]) -> None:
    known = st.session_state.setdefault("link_known", [])
    if values not in known:
        known.append(values)
        del known[:-50]


def settle(key: str, options: Sequence, *, otherwise: object = None) -> None:
    """Replace a choice that is not among the options (a link, another data set, a deleted run) by the first of them, or by `otherwise`."""
    if (current := st.session_state.get(key)) not in options:
        offered = f"; choose one of: {incoming.choices(options)}" if incoming.choices(options) else ""
        reason = f"'{incoming.shorten(current)}' is not offered here{offered}" if current != "" else ""
        reset(key, options[0] if otherwise is None else otherwise, reason=reason)


def bound(key: str, least: float, most: float, *, otherwise: float | None = None) -> None:
    """Replace a number outside these limits by the nearer one, or by `otherwise`."""
    current = st.session_state.get(key)
    if not least <= current <= most:
        nearest = type(current)(min(max(current, least), most))
        reason = f"{incoming.shorten(current)} is out of range; give a number from {least:,} to {most:,}"
        reset(key, nearest if otherwise is None else otherwise, reason=reason)


def reset(key: str, value: object, *, reason: str) -> None:
    """Give a choice another value. If the old one came from the link that was just opened, one sentence says why."""
    name = st.session_state.get("link_new", {}).pop(key, "")
    if name and reason:
        incoming.report_link(f"{name} {reason}")
    st.session_state[key] = value
