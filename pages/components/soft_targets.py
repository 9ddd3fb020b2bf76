"""One image and its soft targets as bars. The browser computes them, so they follow T while its slider is dragged."""

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
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 30.0  # of the slider

_soft_targets = st.components.v2.component(
    "soft_targets",
    html="""
    <div class="soft-targets">
      <div class="aside"><canvas class="picture" role="img" aria-label="the image" width="1" height="1"></canvas><p class="image-note"></p>
        <button type="button" class="pause" hidden>Pause</button></div>
      <div class="main">
        <label class="control" title="Soft targets are softmax(logits / T): the higher T, the more even.">
          <span>Temperature</span> <span class="shown"></span>
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
    """The options of the bars: top class hidden, logarithmic scale, and the class whose softmax is written out.

    `formula_class` is that class's index; None writes out the true class, or the class under the pointer.
    """

    hide_top: bool = False
    log_scale: bool = False
    formula_class: int | None = None


@dataclass(frozen=True)
class SoftTargets:
    """The learner's choices: T where the slider was last released, and the details, if the component has them."""

    temperature: float
    details: Details | None = None


def soft_targets(
    *,
    pixels: Sequence | np.ndarray | None = None,
    image_shape: tuple[int, int, int] = (1, 1, 1),
    logits: dict[str, Sequence[float] | None],
    class_names: Sequence[str],
    label: int | None,
    temperature: float,
    key: str,
    moving: bool = False,
    details: Details | None = None,
    shown: Sequence[int] | None = None,
) -> SoftTargets:
    """Show one image beside softmax(z / T) of one to three networks, with a slider for T. Two networks are drawn as mirrored bars.

    - `pixels`: D x H x W numbers from 0 to 255; None shows no image.
    - `shown`: the classes that have a bar, in this order; the others count in the softmax only. None shows all.
    - `logits`: C logits by network, such as `{"teacher": [...], "student": [...]}`; None leaves that network's bars empty.
    - `label`: index of the true class; None where it is not known, as for a drawing.
    - `moving`: T moves between 1 and 12 until the learner touches the component or presses *Pause*; where the browser asks for
      reduced motion it moves only when *Play* is pressed.
    - `details`: adds a logarithmic scale, hiding of the top class, entropy, one class's softmax written out, and the length
      of the soft loss's gradient with and without T squared.

    The browser calls the server only when the slider is released, an option is switched or a class is clicked. A new
    `temperature` from the page moves the slider; new `details` set the options. Raises `ValueError` for more than three networks.
    """
    if not 1 <= len(logits) <= 3:
        raise ValueError(f"soft targets of {len(logits)} networks cannot be shown; give one, two or three")
    roles = {name: style_of(name, number) for number, name in enumerate(logits)}
    data = {
        "image": None if pixels is None else {"pixels": _base64(pixels, image_shape), "shape": list(image_shape)},
        "shown": None if shown is None else [int(c) for c in shown],
        "members": [
            {
                "name": name,
                "logits": None if values is None else [float(z) for z in values],
                "light": roles[name].light,
                "dark": roles[name].dark,
            }
            for name, values in logits.items()
        ],
        "classes": list(class_names),
        "label": None if label is None else int(label),
        "temperature": float(temperature),
        "low": MIN_TEMPERATURE,
        "high": MAX_TEMPERATURE,
        "moving": moving,
        "details": None if details is None else asdict(details),
    }
    state = _soft_targets(data=data, key=key, on_temperature_change=_nothing, on_details_change=_nothing)
    chosen = read_temperature(state.temperature, page_value=temperature)
    return SoftTargets(chosen, details and read_details(state.details, page_value=details, classes=len(class_names)))


def _base64(pixels: Sequence | np.ndarray, image_shape: tuple[int, int, int]) -> str:
    return base64.b64encode(np.asarray(pixels, dtype=np.uint8).reshape(image_shape).tobytes()).decode()


def read_temperature(state: object, *, page_value: float) -> float:
    """T from the browser's message. `page_value` if the message is malformed (a browser may send anything) or older than it."""
    if not isinstance(state, dict) or state.get("page_value") != page_value:
        return float(page_value)
    value = state.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return float(page_value)
    return clamp_temperature(value)


def read_details(state: object, *, page_value: Details, classes: int) -> Details:
    """The options from the browser's message. `page_value` if the message is malformed or older than it."""
    if not isinstance(state, dict) or state.get("page_value") != asdict(page_value):
        return page_value
    hide, log, formula = (state.get(name) for name in ("hide_top", "log_scale", "formula_class"))
    if not (isinstance(hide, bool) and isinstance(log, bool)):
        return page_value
    return Details(hide, log, formula if type(formula) is int and 0 <= formula < classes else None)


def clamp_temperature(temperature: float) -> float:
    """The nearest temperature on the slider; the largest one for NaN and infinity."""
    return min(max(float(temperature), MIN_TEMPERATURE), MAX_TEMPERATURE) if math.isfinite(temperature) else MAX_TEMPERATURE


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only if a callback is registered for it."""
