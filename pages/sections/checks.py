"""A check in parts: the question with its images, bars or curves, the learner's answer, and the reason."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from distill_core import checks, teachers
from distill_core.checks import Check
from distill_core.figures.checks import bars_figure
from distill_core.figures.curves import bands, race_drawing
from distill_core.studies.presets import PRESETS
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart
from pages.sections import networks
from pages.sections.presentation import lowest_accuracy

DATASET = "digits"
MOST = 999  # questions of each kind
HEIGHT = 360


def _of_teacher(draw: Callable[..., Check]) -> Callable[[int], Check]:
    """A check of the default teacher's outputs for the digits."""

    def question(number: int) -> Check:
        dataset = networks.images(DATASET)
        return draw(networks.test_logits(DATASET, teachers.default_teacher(DATASET)), dataset.test_labels, dataset.class_names, number)

    return question


KINDS: dict[str, Callable[[int], Check]] = {
    "Order by temperature": _of_teacher(checks.order_by_temperature),
    "Which image?": _of_teacher(checks.which_image),
    "Are the curves different?": checks.compare_curves,
}


def ask(kind: str, number: int) -> None:
    """One question; once it is answered, whether that was right, why, and the next one."""
    check = KINDS[kind](number)
    st.markdown(f"#### {check.question}")
    _show(check, f"{kind} {number}")
    given = st.session_state.setdefault("checks_given", {})
    answer = st.radio(
        "Your answer", check.options, index=None, key=f"checks_answer_{kind}_{number}", horizontal=True, help="Your first answer counts."
    )
    if st.button(
        "Check my answer",
        type="primary",
        icon=":material/check:",
        key="checks_check",
        disabled=answer is None,
        help="Shows whether your answer is right, and why." if answer is not None else "Choose an answer first.",
    ):
        given.setdefault((kind, number), answer == check.answer)
        st.session_state["checks_shown"] = (kind, number, answer)
    if answer is not None and st.session_state.get("checks_shown") == (kind, number, answer):
        if answer == check.answer:
            st.success(f"**Right.** {check.reason}", icon=":material/check:")
        else:
            st.info(f"**The answer is {check.answer}.** {check.reason}", icon=":material/lightbulb:")
        _offer_next()
    _show_count(given)


def note(kind: str, number: int, is_right: bool | None) -> None:
    """Count the answer of a check that is trained, once it is known, and offer the next question."""
    given = st.session_state.setdefault("checks_given", {})
    if is_right is not None:
        given.setdefault((kind, number), is_right)
        _offer_next()
    _show_count(given)


def _offer_next() -> None:
    st.button("Next question", icon=":material/arrow_forward:", key="checks_next", on_click=_next, help="Another question of this kind.")


def _show_count(given: dict[tuple[str, int], bool]) -> None:
    if given:
        st.caption(f"{sum(given.values())} of {len(given)} right at the first answer.")


def _next() -> None:
    st.session_state["checks_number"] = st.session_state["checks_number"] % MOST + 1


def _show(check: Check, key: str) -> None:
    if check.images:
        dataset = networks.images(DATASET)
        captions = [f"Image {place + 1}" for place in range(len(check.images))] if len(check.images) > 1 else ["The image"]
        pixels = dataset.test_images[list(check.images)].numpy()
        gallery(pixels, captions=captions, soft={}, class_names=dataset.class_names, key="checks_images")
    if check.bars:
        live_chart(bars_figure(check.bars), key="checks_bars", height=320, revision=key)
    if check.records:
        preset = PRESETS[check.preset]
        drawing = race_drawing(bands(check.records), epochs=preset.experiment.epochs, accuracy_from=lowest_accuracy(preset), height=HEIGHT)
        live_chart(drawing, key="checks_curves", height=HEIGHT, revision=key)
