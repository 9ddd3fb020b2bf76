"""Who may stop a run: a random token that the learner's browser keeps, and that never appears in a link."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

_FORMAT = re.compile(r"[0-9a-f]{32}")

_identity = st.components.v2.component(
    "identity",
    css=".stElementContainer:has(.identity) {\nposition: absolute; }",  # takes no room on the page
    html='<span class="identity" hidden>\n</span>',
    js=(Path(__file__).parent / "identity.js").read_text(),
    isolate_styles=False,
)


def owner_token(key: str = "identity", *, known: str = "") -> str | None:
    """The browser's own 128-bit token in 32 hexadecimal digits; None until the browser has sent it (the first run).

    `known` is the token that the browser sent on another page of this session: sending it again would run the page twice.
    """
    state = st.session_state.get(key)
    token = (valid_token(state.get("token")) if isinstance(state, dict) else None) or valid_token(known)
    return valid_token(_identity(data={"known": token}, key=key, on_token_change=_nothing).token) or token


def valid_token(token: object) -> str | None:
    """The token if it is 32 hexadecimal digits; anything else that a browser may send counts as none."""
    return token if isinstance(token, str) and _FORMAT.fullmatch(token) else None


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only where it has a callback."""
