"""Text from links, file names and errors, shown as the characters it consists of.

Streamlit renders what `st.error`, `st.toast` or a caption is given as Markdown. A name such as `![](https://...)` would
make every browser that shows it load a picture from another server.
"""

from __future__ import annotations

import re

import streamlit as st

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # CommonMark: a backslash before any ASCII punctuation makes it plain
# Addresses, e-mail addresses and :icons: are found after the backslashes are gone. An invisible character that allows no
# line break (U+2060, word joiner) hides them.
_FOUND_LATER = re.compile(r"(:|@|www)(?=\S)", re.IGNORECASE)


def plain(text: object) -> str:
    """Markdown that renders as `text`, on one line."""
    one_line = " ".join(str(text).split())
    return _PUNCTUATION.sub(r"\\\g<0>", _FOUND_LATER.sub("\\1\u2060", one_line))


def show_error(error: object) -> None:
    """An error as one sentence on the page."""
    st.error(plain(error))
