"""Links of earlier versions: their parameters, translated into today's names and values."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def translate_old_link(names: Mapping[str, str], values: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Rewrite an old link in the address, before `from_link` reads it.

    `names`: old parameter name to new. `values`: by new parameter name, old value to new.
    """
    query = st.query_params.to_dict()
    renamed = {names[name]: value for name, value in query.items() if name in names}
    renamed |= {name: value for name, value in query.items() if name not in names}
    translated = {name: (values or {}).get(name, {}).get(value, value) for name, value in renamed.items()}
    if translated != query:
        st.query_params.from_dict(translated)
