"""Checks of a value that somebody chose: a name among others, a number within limits. Each refuses with one sentence."""

from __future__ import annotations

from collections.abc import Collection


def check_choice(field: str, value: str, choices: Collection[str]) -> None:
    """Raise `ValueError` unless the value is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{field} '{value}' is not known; choose one of: {', '.join(choices)}")


def check_range(field: str, value: float, least: float, most: float, *, above: bool = False) -> None:
    """Raise `ValueError` unless the value is between `least` and `most`; with `above` also for `least` itself."""
    if not least <= value <= most or (above and value == least):  # NaN is in no range
        bounds = f"above {least} and at most {most:g}" if above else f"from {least:,} to {most:,}"
        raise ValueError(f"{field} {value} cannot be run; give a number {bounds}")
