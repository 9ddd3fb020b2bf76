"""One image and its soft targets: bars that follow T while it is dragged, computed in the browser."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from distill_core.figures.palette import style_of

HERE = Path(__file__).parent
LOWEST, HIGHEST = 0.5, 30.0  # T on the slider

_soft_targets = st.components.v2.component(
    "soft_targets",
    html="""
    <div class="soft-targets">
      <div class="beside"><canvas class="picture" role="img" width="1" height="1"></canvas><p class="seen"></p></div>
      <div class="right">
        <label class="control">
          <span class="shown"></span>
          <input type="range" min="0" max="1" step="any" aria-label="temperature T">
        </label>
        <div class="rows"></div>
      </div>
    </div>""",
    css=(HERE / "soft_targets.css").read_text(),
    js=(HERE / "soft_targets_details.js").read_text() + (HERE / "soft_targets.js").read_text(),
)


@dataclass(frozen=True)
class Details:
    """What there is beside the bars: the top class hidden, logarithmic bars, and whose softmax is kept written out (None: any)."""

    hide: bool = False
    log: bool = False
    asked: int | None = None


@dataclass(frozen=True)
class SoftTargets:
    """What the learner chose: T as it stood when the slider was last let go, and the details, where there are any."""

    temperature: float
    details: Details | None = None


def soft_targets(
    *,
    pixels: Sequence | np.ndarray,
    image_shape: tuple[int, int, int],
    logits: dict[str, Sequence[float] | None],
    class_names: Sequence[str],
    label: int | None,
    temperature: float,
    key: str,
    moving: bool = False,
    details: Details | None = None,
) -> SoftTargets:
    """Show one image beside softmax(z / T) of one member, of two as mirrored bars, or of three, with a slider for T.

    `pixels`: D x H x W numbers from 0 to 255. `logits`: by member, such as `{"teacher": [...], "student": [...]}`; None
    for a member that was asked nothing. `label`: the true class; None where nobody knows it, as of a drawing.
    With `moving`, T sweeps from 1 to 12 and back until the learner touches it (and rests where motion is not wanted).
    With `details`: a logarithmic scale, the top class hidden, entropy, the softmax of one class written out with its
    numbers, and the size of the soft loss's gradient with and without T squared.
    Only letting the slider go, a toggle, or a click on a class asks the server; a new `temperature` from the page puts the
    slider there, new `details` the toggles.
    """
    if not 1 <= len(logits) <= 3:
        raise ValueError(f"soft targets of {len(logits)} members cannot be shown; give one, two or three")
    looks = {name: style_of(name, number) for number, name in enumerate(logits)}
    data = {
        "image": {"pixels": _base64(pixels, image_shape), "shape": list(image_shape)},
        "members": [
            {
                "name": name,
                "logits": None if values is None else [float(z) for z in values],
                "light": looks[name].light,
                "dark": looks[name].dark,
            }
            for name, values in logits.items()
        ],
        "classes": list(class_names),
        "label": None if label is None else int(label),
        "temperature": float(temperature),
        "low": LOWEST,
        "high": HIGHEST,
        "moving": moving,
        "details": None if details is None else asdict(details),
    }
    told = _soft_targets(data=data, key=key, on_temperature_change=_nothing, on_details_change=_nothing)
    chosen = _told_temperature(told.temperature, given=temperature)
    return SoftTargets(chosen, details and _told_details(told.details, given=details, classes=len(class_names)))


def _base64(pixels: Sequence | np.ndarray, image_shape: tuple[int, int, int]) -> str:
    return base64.b64encode(np.asarray(pixels, dtype=np.uint8).reshape(image_shape).tobytes()).decode()


def _told_temperature(told: object, *, given: float) -> float:
    """T as the browser told it, if it is one and was chosen since the page gave `given`; a browser may send anything."""
    if not isinstance(told, dict) or told.get("given") != given:
        return float(given)
    value = told.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return float(given)
    return within_slider(value)


def _told_details(told: object, *, given: Details, classes: int) -> Details:
    """The details as the browser told them, if they are some and were chosen since the page gave `given`."""
    if not isinstance(told, dict) or told.get("given") != asdict(given):
        return given
    hide, log, asked = (told.get(name) for name in ("hide", "log", "asked"))
    if not (isinstance(hide, bool) and isinstance(log, bool)):
        return given
    return Details(hide, log, asked if type(asked) is int and 0 <= asked < classes else None)


def within_slider(temperature: float) -> float:
    """The nearest T that the slider has."""
    return min(max(float(temperature), LOWEST), HIGHEST) if math.isfinite(temperature) else HIGHEST


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only where it has a callback."""
