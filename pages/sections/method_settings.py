"""The settings that some methods have beside T and alpha, as widgets: lambda, beta, k and the rest of the probability."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import streamlit as st

from distill_core.method_settings import SETTINGS, settings_of
from pages.server.link import bound, settle


def choose(
    methods: Sequence[str],
    classes: int,
    *,
    prefix: str = "",
    without: Collection[str] = (),
    is_locked: Callable[[str], bool] = lambda _: False,
) -> dict[str, object]:
    """The settings that these methods have, but for those of `without`; `classes`: the number of tokens, the most that k can be."""
    own = [name for name in SETTINGS if name not in without and any(name in settings_of(method) for method in methods)]
    return {name: _choose(name, f"{prefix}{name}", classes, disabled=is_locked(name)) for name in own}


def _choose(name: str, key: str, classes: int, *, disabled: bool) -> object:
    setting = SETTINGS[name]
    st.session_state.setdefault(key, setting.default)
    common = {"key": key, "persist_state": "session", "help": setting.help, "disabled": disabled}
    if setting.choices:
        settle(key, list(setting.choices))
        return st.selectbox(setting.title, list(setting.choices), format_func=setting.choices.get, **common)
    most = setting.most or max(classes, 1)
    bound(key, setting.least, most)
    if isinstance(setting.default, int):
        return int(st.number_input(setting.title, int(setting.least), int(most), **common))
    return st.slider(setting.title, float(setting.least), float(most), step=0.05, **common)
