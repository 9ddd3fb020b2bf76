"""The check that trains the answer: a choice for a budget, against the advisor's, judged by its paired interval."""

import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core import budget
from distill_core.advisor import advise
from distill_core.data.datasets import DATASETS
from distill_core.models import check_image_shape
from distill_core.runs.limits import check_limits, estimate_seconds
from distill_core.statistics import paired_difference

NUMBERS = range(1, len(budget.QUESTIONS) + 1)


def results(*accuracies):
    return [{"student": {"test_accuracy": value / 100, "test_images": 1000}} for value in accuracies]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_labs_choice_fits_the_budget_and_is_the_advisors(number):
    question = budget.budget(number)
    assert question.bytes_of(question.lab.student) <= question.max_bytes
    assert question.lab == advise(question.dataset, labels=question.labels, max_bytes=question.max_bytes).experiment
    assert question.lab.images == question.labels


@pytest.mark.parametrize("number", NUMBERS)
def test_a_learner_may_choose_students_below_and_above_the_budget(number):
    question = budget.budget(number)
    fits = [question.bytes_of(student) <= question.max_bytes for student in question.students]
    assert any(fits) and not all(fits)
    assert question.lab.student in question.students or fits.count(True) > 2
    for student in question.students:
        check_image_shape(student, DATASETS[question.dataset].image_shape)


def test_a_student_above_the_budget_is_refused_with_both_sizes(refused):
    question = budget.budget(1)
    with refused("mlp-100x2", f"{question.bytes_of('mlp-100x2'):,}", f"{question.max_bytes:,}"):
        question.answer("mlp-100x2", temperature=4.0, alpha=0.5)


def test_both_choices_differ_in_student_t_and_alpha_only_and_share_their_seeds():
    question = budget.budget(1)
    yours = question.answer("mlp-3x2", temperature=2.0, alpha=0.3)
    changed = {name for name in vars(yours) if getattr(yours, name) != getattr(question.lab, name)}
    assert changed <= {"student", "temperature", "alpha"}
    assert [one.seed for one in budget.experiments(yours)] == [one.seed for one in budget.experiments(question.lab)]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_choice_that_fits_runs_within_the_limits(number):
    question = budget.budget(number)
    for student in question.students:
        if question.bytes_of(student) <= question.max_bytes:
            chosen = budget.experiments(question.answer(student, temperature=4.0, alpha=0.5))
            check_limits(chosen)
            assert estimate_seconds(chosen) < 30, student


@pytest.mark.parametrize(
    ("yours", "labs", "says"),
    [
        ((95, 95.2, 94.9), (90, 90.1, 90), budget.YOURS),
        ((90, 90.1, 90), (95, 95.2, 94.9), budget.LABS),
        ((95, 91, 93), (91, 95, 93), budget.UNCLEAR),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval(yours, labs, says):
    found = budget.judge(results(*yours), results(*labs))
    assert (found.difference, found.low, found.high) == pytest.approx(paired_difference(yours, labs, test_images=1000))
    assert found.sentence.startswith(says)


def test_the_page_offers_a_choice_that_fits_and_refuses_one_that_does_not(home):
    app = AppTest.from_file(str(ROOT / "pages" / "checks.py"), default_timeout=90)
    app.query_params["kind"], app.query_params["number"] = "Choose for a budget", "2"
    app.run()
    question = budget.budget(2)
    assert not app.exception and question.question in app.markdown[0].value and not app.error
    assert app.selectbox[0].value == question.smallest and not app.button(key="budget_run").disabled
    assert any("From the 300 training images" in text.value for text in app.markdown)
    app.selectbox[0].set_value("mlp-100x2").run()
    assert "and the budget is" in app.error[0].value and app.button(key="budget_run").disabled
