"""What comes from outside, the values of a link and of a browser's messages, checked here before any page uses them.

Widgets have limits, but only in the browser: a link or a hand-made message can name any value. What is refused is said in
one sentence, and the page goes on with its default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from pages.server.plain_text import plain

MAX_TEXT = 2000  # characters of one value of a link
MAX_MESSAGE = 20_000  # characters of a text that a widget sends; a selection of 500 rows has 3,000
MAX_VALUES = 200  # values of one parameter, or of one widget
MAX_NUMBER = 1e300
MAX_INTEGER = 2**53  # browsers count no further
MAX_JSON = 200_000  # characters of a component's value; a drawing has 17,000
SHOWN = 8  # options that a sentence names
_TYPES = {  # what each field of a message holds
    "string_value": str,
    "json_value": str,
    "bool_value": bool,
    "trigger_value": bool,
    "double_value": float,
    "int_value": int,
    "double_array_value": list,
    "int_array_value": list,
    "string_array_value": list,
}


def report(sentence: str) -> None:
    """Say that a value was refused."""
    st.toast(plain(sentence), icon=":material/link_off:")


def report_link(reason: object) -> None:
    """Say what is wrong with a value of the link that was opened."""
    report(f"This link has an invalid setting: {reason}")


def shorten(value: object) -> str:
    """A value as a sentence quotes it."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def choices(options: Sequence) -> str:
    """The options as a sentence names them."""
    named = [shorten(option) for option in options if option != ""]
    return ", ".join(named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")


# --- links ----------------------------------------------------------------------------------------------------------


def read(name: str, text: str, kind: type) -> int | float | str:
    """A value of a link, in its type. Raises `ValueError` with one sentence for what is none."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"{name} '{shorten(text)}' has {len(text):,} characters; give {MAX_TEXT} at most")
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError as error:
        raise ValueError(f"{name} '{shorten(text)}' is not a {'whole ' if kind is int else ''}number; give one, such as 4") from error
    if not abs(value) <= (MAX_INTEGER if kind is int else MAX_NUMBER):  # NaN is in no range
        raise ValueError(f"{name} {shorten(value)} cannot be used; give a number, such as 4")
    return value


def read_all(name: str, texts: Sequence[str], kind: type) -> list:
    """Several values of a link, each as `read` reads it."""
    if len(texts) > MAX_VALUES:
        raise ValueError(f"{name} has {len(texts):,} values; give {MAX_VALUES} at most")
    return [read(name, text, kind) for text in texts]


# --- messages -------------------------------------------------------------------------------------------------------


def problem(value: object, *, kind: str, options: Sequence[str] | None = None) -> str:
    """What is wrong with the value of a widget, as a browser sent it; empty if nothing is.

    `kind` is the field of the message in which the widget's value belongs; `options` are the texts of its options.
    """
    expected = _TYPES.get(kind)
    if expected is not None and not isinstance(value, expected | int if expected is float else expected):
        return "has the wrong type"
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_VALUES:
        return f"has {len(values):,} values; the most is {MAX_VALUES}"
    for one in values:
        if isinstance(one, str) and len(one) > (MAX_JSON if kind == "json_value" else MAX_MESSAGE):
            return f"has {len(one):,} characters, which are too many"
        if isinstance(one, float) and not math.isfinite(one):
            return f"'{one}' is not a number"
        if options is not None and one not in options:
            return f"'{shorten(one)}' is not offered; choose one of: {choices(options)}"
    return ""


def report_message(key: str, reason: str) -> None:
    """Say that a value for the widget with this key was refused."""
    report(f"The value of {key.replace('_', ' ')} {reason}.")


def rows(selected: object, count: int) -> list[int]:
    """The selected rows of a table of `count` rows, as far as they are in it."""
    return [row for row in selected if type(row) is int and 0 <= row < count] if isinstance(selected, Sequence) else []
