"""Checks for understanding: the answer of each question follows from what is shown, and the page tells it."""

import numpy as np
import pytest
import torch
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core import checks, teachers
from distill_core.data import datasets
from distill_core.statistics import paired_difference
from distill_core.studies.presets import PRESETS
from pages.sections.checks import KINDS

NUMBERS = range(1, 21)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def logits(digits):
    teacher = teachers.load_teacher(digits, teachers.default_teacher("digits"))
    return teachers.logits(teacher.network, digits, digits.test_images)


@pytest.mark.parametrize("number", NUMBERS)
def test_in_the_right_order_the_largest_probability_falls_and_the_entropy_rises(digits, logits, number):
    check = checks.order_by_temperature(logits, digits.test_labels, digits.class_names, number)
    ordered = [np.array(list(check.bars[letter].values())) for letter in check.answer.split(", ")]
    assert all(one.sum() == pytest.approx(1, abs=1e-5) for one in ordered)
    assert ordered[0].max() > ordered[1].max() + 0.01 and ordered[1].max() > ordered[2].max() + 0.01
    assert check.answer in check.options and len(check.options) == 6


@pytest.mark.parametrize("number", NUMBERS)
def test_the_bars_of_the_hidden_image_are_its_own_and_differ_from_those_of_the_other_two(digits, logits, number):
    check = checks.which_image(logits, digits.test_labels, digits.class_names, number)
    labels = {int(digits.test_labels[image]) for image in check.images}
    (bars,) = check.bars.values()
    classes = [c for c in range(10) if c not in labels]
    assert len(labels) == 3 and [digits.class_names[c] for c in classes] == list(bars)
    shown = np.array(list(bars.values()))
    own = [torch.softmax(logits[image][classes] / 4, dim=-1).numpy() for image in check.images]
    distances = [np.abs(shown - one).sum() / 2 for one in own]
    assert check.options[int(np.argmin(distances))] == check.answer
    assert sorted(distances)[0] < 1e-5 and sorted(distances)[1] > 0.2  # a learner can see the difference


@pytest.mark.parametrize("number", NUMBERS)
def test_curves_differ_where_the_paired_interval_of_the_shown_seeds_excludes_zero(number):
    check = checks.compare_curves(number)
    last = {}
    for record in check.records:
        last[record["experiment"], record["member"]] = 100 * record["test_accuracy"]
    seeds = sorted({seed for seed, _ in last})
    both = [[last[seed, member] for seed in seeds] for member in ("student", "baseline")]
    images = datasets.DATASETS[PRESETS[check.preset].experiment.dataset].test
    _, low, high = paired_difference(*both, test_images=images)
    assert check.answer == (checks.BETTER if low > 0 else checks.WORSE if high < 0 else checks.UNCLEAR)
    assert f"over {len(seeds)} seeds" in check.question


def test_every_answer_is_the_right_one_sometimes(digits, logits):
    curves = {checks.compare_curves(number).answer for number in range(40)}
    images = {checks.which_image(logits, digits.test_labels, digits.class_names, number).answer for number in NUMBERS}
    orders = {checks.order_by_temperature(logits, digits.test_labels, digits.class_names, number).answer for number in range(40)}
    assert (len(curves), len(images), len(orders)) == (3, 3, 6)


def test_equal_numbers_give_equal_questions_and_others_give_others():
    assert checks.compare_curves(7) == checks.compare_curves(7)
    assert len({checks.compare_curves(number).question + checks.compare_curves(number).preset for number in NUMBERS}) > 5


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer_gets_the_right_one_with_its_reason_and_only_the_first_answer_counts(home, kind):
    check = KINDS[kind](3)
    app = AppTest.from_file(str(ROOT / "pages" / "checks.py"), default_timeout=90)
    app.query_params["kind"], app.query_params["number"] = kind, "3"
    app.run()
    assert app.button(key="checks_check").disabled and not app.exception
    wrong = next(option for option in check.options if option != check.answer)
    app.radio[0].set_value(wrong).run()
    app.button(key="checks_check").click().run()
    assert f"**The answer is {check.answer}.** {check.reason}" in [box.value for box in app.info]
    app.radio[0].set_value(check.answer).run()
    app.button(key="checks_check").click().run()
    assert f"**Right.** {check.reason}" in [box.value for box in app.success]
    assert "0 of 1 right at the first answer." in [one.value for one in app.caption]
    app.button(key="checks_next").click().run()
    assert not app.exception and not app.success and app.session_state["checks_number"] == 4
