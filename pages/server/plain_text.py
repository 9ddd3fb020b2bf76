"""Text from links, file names and errors, shown as the characters it consists of.

Streamlit renders what `st.error`, `st.toast` or a caption is given as Markdown. A name such as `![](https://...)` would
make every browser that shows it load a picture from another server.
"""

from __future__ import annotations

import re

import streamlit as st

_MARKUP = re.compile(r"[!-/:-@\[-`{-~]")  # CommonMark: a backslash before any ASCII punctuation makes it plain


def plain(text: object) -> str:
    """Markdown that renders as `text`, on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def show_error(error: object) -> None:
    """An error as one sentence on the page."""
    st.error(plain(error))
