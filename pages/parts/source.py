"""The function at work, shown as it stands in the repository: its idea as text, its code as code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable

import streamlit as st


def show_source(*functions: Callable) -> None:
    """Docstring and code of each function, from the file that runs."""
    for function in functions:
        module = inspect.getmodule(function).__name__
        st.markdown(f"**`{module}.{function.__name__}`**")
        st.markdown(inspect.getdoc(function))
        st.code(code_of(function), language="python")


def code_of(function: Callable) -> str:
    """The function without its docstring, which stands above as text."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    lines = source.splitlines()
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    return "\n".join(lines)
