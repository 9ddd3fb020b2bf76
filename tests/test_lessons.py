"""The lessons: their texts, their experiments, and how results are judged and laid beside a guess."""

import ast
import inspect
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core.figures.lessons import guess_figure
from distill_core.glossary import BEFORE, TERMS, TIMELINE, find, linked, marked
from distill_core.lessons import ALL_LESSONS, LESSONS, measured
from distill_core.lessons import lesson as lessons
from distill_core.lessons.lesson import GROUPS, LEVELS, MAX_WORDS, Choice, Finding, Lesson, Number
from distill_core.lessons.measured import in_words, kept
from distill_core.references import citations, reference
from distill_core.runs.limits import check_limits
from distill_core.statistics import paired_difference
from distill_core.studies.sweep import grid_of
from pages.sections.controls import HELP
from pages.sections.sweep_live import CELL_HELP

WITH_ARMS = [name for name, lesson in ALL_LESSONS.items() if lesson.arms]
MEASURED = [name for name, lesson in LESSONS.items() if lesson.judge]


def results(students, baselines, images=1000):
    """Results of one arm, one seed each, with these accuracies in percent."""
    accuracies = [(("student", s), ("baseline", b)) for s, b in zip(students, baselines, strict=True)]
    return [{role: {"test_accuracy": value / 100, "test_images": images} for role, value in both} for both in accuracies]


# --- the texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_LESSONS)
def test_a_lesson_explains_itself_in_at_most_150_words_whose_terms_are_in_the_glossary(name):
    lesson = ALL_LESSONS[name]
    assert set(lesson.explanations()) in ({""}, set(LEVELS))
    for text in lesson.explanations().values():
        words = len(text.replace("[[", "").replace("]]", "").split())
        assert 60 <= words <= MAX_WORDS, f"{words} words"
        assert "[[" not in linked(text) and all(find(term) in TERMS for term in marked(text))


PASSED_OVER = re.compile(r"`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(glossary\?term=([^)]*)\)")


def unlinked_terms(text):
    """The terms that a text uses, outside of code and formulas, without a link at the first use; a longer term may contain it."""
    prose = PASSED_OVER.sub(" ", text)
    links = [*LINK.finditer(prose)]
    assert len(links) == len({link[2] for link in links})  # each term once
    missing = []
    for name, term in TERMS.items():
        words = "|".join(map(re.escape, (name, *term.also)))
        rest = LINK.sub(lambda link: f"<{link[1]}>", prose)
        first = re.search(rf"(?<![\w-])(?:{words})s?(?![\w-])", rest, re.IGNORECASE)
        if first and rest.rfind("<", 0, first.start() + 1) <= rest.rfind(">", 0, first.start()):
            missing.append(first[0])
    return missing


HELPING = ("HELP", "MEANINGS", "CAPTIONS", "COLUMNS")  # how constants with help texts are named


def help_texts():
    """Every help text of the pages, from their source: what is passed as `help`, and such constants; f-strings in parts."""
    for path in sorted((ROOT / "pages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_argument = isinstance(node, ast.keyword) and node.arg == "help"
            if is_argument or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(HELPING)):
                texts = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield from (text for text in texts if " " in text)


LESSON_TEXTS = [text for lesson in ALL_LESSONS.values() for text in lesson.explanations().values()]


@pytest.mark.parametrize("text", dict.fromkeys([*LESSON_TEXTS, *help_texts()]))
def test_every_term_of_a_lesson_or_a_help_text_links_to_its_entry_at_its_first_use(text):
    shown = linked(text)
    assert unlinked_terms(shown) == [] and linked(shown) == shown
    assert all(unquote(link[2]) in TERMS for link in LINK.finditer(shown))


def test_the_help_texts_of_the_pages_are_found_in_their_source():
    found = set(help_texts())
    assert len(found) > 150 and {HELP["temperature"], CELL_HELP} <= found


def test_a_text_whose_terms_are_links_already_stays_as_it_is():
    text = "A student, [soft targets](glossary?term=Soft%20targets) and the same student's soft targets."
    assert linked(text) == text.replace("A student", "A [student](glossary?term=Student)")


def test_only_the_first_use_of_a_term_is_a_link_and_code_formulas_and_names_are_left_alone():
    text = "A student of `student` and $student$ at student-2; two Students, [a student](x) and self-distillation of soft targets."
    assert linked(text) == (
        "A [student](glossary?term=Student) of `student` and $student$ at student-2; two Students, [a student](x) and "
        "[self-distillation](glossary?term=Self-distillation) of [soft targets](glossary?term=Soft%20targets)."
    )


@pytest.mark.parametrize("name", ALL_LESSONS)
def test_a_lesson_has_an_experiment_or_a_fact_and_leads_to_pages_that_exist(name):
    lesson = ALL_LESSONS[name]
    assert lesson.group in GROUPS and bool(lesson.arms or lesson.trial) == bool(lesson.judge) != bool(lesson.fact)
    assert bool(lesson.trial) == bool(lesson.size) and not (lesson.arms and lesson.trial)
    assert all((ROOT / page).exists() for page, _ in lesson.look.values())
    if lesson.title in ("Best practice and pitfalls", "When it does not help"):  # each of its points can be tried
        assert len(lesson.races) + len(lesson.look) >= 7
    if lesson.fact:
        assert lesson.fact.answer in lesson.guess.options


def test_the_lessons_of_a_group_are_numbered_without_a_gap():
    for group in GROUPS:
        places = [lesson.place for lesson in ALL_LESSONS.values() if lesson.group == group]
        assert places == list(range(1, len(places) + 1)) and places


def test_every_term_names_a_page_that_exists_and_no_word_belongs_to_two_terms():
    words = [word.casefold() for name, term in TERMS.items() for word in (name, *term.also)]
    assert len(words) == len(set(words))
    assert all(not term.page or (ROOT / term.page).exists() for term in TERMS.values())
    assert list(TERMS) == sorted(TERMS, key=str.casefold)


def test_a_word_that_is_no_term_is_refused_with_where_to_add_it(refused):
    with refused("'loss landscape'", "TERMS"):
        find("loss landscape")


def test_the_history_is_in_order_and_its_publications_are_in_the_references():
    years = [year for year, *_ in TIMELINE]
    assert years == sorted(years)
    for year, _, source in TIMELINE:
        assert abs(reference(citations(source)[0]).year - year) <= 1, source


def test_what_to_know_before_is_a_graph_without_a_cycle_that_ends_in_distillation():
    done = set()
    for name, needed in BEFORE.items():  # listed after all that it needs
        assert set(needed) <= done
        done.add(name)
    assert list(BEFORE)[-1] == "Distillation"


# --- the experiments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_ARMS)
def test_an_experiment_of_a_lesson_runs_offline_within_the_limits_and_opens_as_a_race_or_a_sweep(name):
    lesson = ALL_LESSONS[name]
    experiments = lesson.experiments()
    assert {one.dataset for one in experiments} in ({"digits"}, {"little-language"})  # which need no download
    check_limits(experiments, kind="race" if len(lesson.arms) == 1 else "sweep")
    if len(lesson.arms) > 1:
        grid = grid_of(experiments)
        assert len(grid.xs) * len(grid.ys) * grid.seeds == len(experiments)
        assert set(lesson.guess.options) == set(lesson.arms)


@pytest.mark.parametrize("name", MEASURED)
def test_a_lesson_was_measured_over_ten_seeds_and_its_guess_can_be_right(name):
    found, guess = kept()[name], LESSONS[name].guess
    assert found["seeds"] >= 10
    if isinstance(guess, Number):
        assert guess.low <= found["answer"] <= guess.high
    else:
        assert found["answer"] is None or found["answer"] in guess.options


def test_the_readme_has_the_measured_sentence_of_every_lesson_of_the_experiments():
    readme = (ROOT / "README.md").read_text()
    for name, lesson in LESSONS.items():
        if lesson.group == "Experiments":
            assert f"| {lesson.title} | {in_words(kept()[name], lesson.why_not)} |" in readme, name


def test_the_command_measures_only_lessons_that_were_not_measured_over_as_many_seeds(tmp_path, monkeypatch, capsys):
    from distill_core import __main__ as command

    complete = {name: {"seeds": 10} for name, lesson in ALL_LESSONS.items() if lesson.judge}
    monkeypatch.setattr(measured, "FILE", tmp_path / "measured.json")
    measured.FILE.write_text(json.dumps(complete | {"robustness": {"seeds": 2}}))
    command.lesson(seeds=3, keep=True)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["Robustness"]
    assert kept()["robustness"]["seeds"] == 3 and kept()["alpha"] == {"seeds": 10}


def test_results_are_divided_by_arm_in_the_order_of_the_experiments():
    lesson = LESSONS["temperature"]
    experiments = lesson.experiments(seeds=2)
    by_arm = lesson.by_arm([{"temperature": one.temperature, "seed": one.seed} for one in experiments])
    assert {arm: [one["temperature"] for one in found] for arm, found in by_arm.items()} == {
        arm: [experiment.temperature] * 2 for arm, experiment in lesson.arms.items()
    }


# --- judging --------------------------------------------------------------------------------------------------------


def test_the_gain_of_an_arm_is_the_paired_difference_of_its_seeds():
    students, baselines = [91.0, 93.0, 92.5], [90.0, 91.0, 92.0]
    found = lessons.gain("arm", results(students, baselines))
    assert (found.difference, found.low, found.high) == pytest.approx(paired_difference(students, baselines, test_images=1000))


def test_the_best_arm_is_named_only_where_its_interval_to_the_second_excludes_zero():
    base = [90.0] * 5
    clear = {"a": results([95, 95.2, 94.9, 95.1, 95], base), "b": results([92, 92.1, 91.9, 92, 92.2], base), "c": results(base, base)}
    assert lessons.best()(clear).answer == "a" and lessons.best(worst=True)(clear).answer == "c"
    lost = {"a": results([10] * 5, base), "b": results([92, 92.1, 91.9, 92, 92.2], base)}
    low, high = map(
        float, re.search(r"points \(([^ ]+) to ([^ ]+)\)\.$", lessons.best(worst=True)(lost).sentence.replace("\u2212", "-")).groups()
    )
    assert low < -82 < high < 0  # an arm far below its baseline: the limits stay in order
    unclear = {"a": results([95, 91, 96, 90, 94], base), "b": results([91, 95, 92, 96, 90], base)}
    assert lessons.best()(unclear).answer is None


def test_an_effect_under_three_standard_errors_does_not_appear():
    clear, unclear = [92.0, 92.5, 91.5, 92.2], [94.0, 89.0, 96.0, 90.5]
    base = [90.0] * 4
    assert lessons.gain_of("a")({"a": results(clear, base)}).appears
    assert not lessons.gain_of("a")({"a": results(unclear, base)}).appears
    two = {"a": results([95.0, 95.5, 94.8, 95.2], base), "b": results([92.0, 92.4, 91.9, 92.1], base)}
    assert lessons.best()(two).appears and not lessons.best()(two | {"b": results([95.1, 95.3, 94.9, 95.0], base)}).appears
    spread = np.array([0.4, 1.6, 0.1, 1.5, 0.3, 1.7, 0.2, 1.4])  # 3.6 standard errors
    assert lessons.appears(spread, 0.3, 1.5) and not lessons.appears(spread, -0.1, 1.5)
    assert not lessons.appears(spread - 0.3, 0.01, 1.2)  # 2.4, although the interval excludes zero


def test_what_does_not_appear_is_said_with_a_possible_reason():
    for name, lesson in LESSONS.items():
        entry = kept().get(name, {})
        if not entry.get("appears", True):
            assert lesson.why_not and in_words(entry, lesson.why_not).endswith(f"not appear here (possible reason: {lesson.why_not}).")


def test_a_guess_is_right_inside_the_interval_and_its_distance_is_stated():
    finding = Finding("", 2.0, 1.0, 3.0)
    assert lessons.reply(2.5, finding) == "You guessed +2.5: 0.5 from the mean, inside the interval."
    assert "outside" in lessons.reply(-4.0, finding)
    assert lessons.reply("a", Finding("", "a")).endswith("right.")
    assert "the answer is a" in lessons.reply("b", Finding("", "a"))
    assert "cannot tell" in lessons.reply("b", Finding("", None))


@pytest.mark.parametrize("guess", [None, "b", 1.5])
def test_the_figure_has_a_dot_per_arm_and_the_guess_where_there_is_one(guess):
    gains = [{"arm": arm, "difference": d, "low": d - 1, "high": d + 1} for arm, d in (("a", 1.0), ("b", 2.0))]
    figure = guess_figure(gains, guess)
    assert list(figure.data[0].y) == [1.0, 2.0] and np.allclose(figure.data[0].error_y.array, 1)
    assert [note.text for note in figure.layout.annotations] == ["your guess"] * (guess is not None)


# --- the page -------------------------------------------------------------------------------------------------------


def example_of_readme():
    """The code of the README's example of a lesson."""
    return re.search(r"```python\n(.*?LESSON = .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]


def test_the_example_of_readme_is_a_lesson_that_the_page_shows(home, monkeypatch):
    space = {}
    exec(compile(example_of_readme(), "README.md", "exec"), space)
    assert isinstance(space["LESSON"], Lesson)
    monkeypatch.setitem(LESSONS, "example", space["LESSON"])
    app = AppTest.from_file(str(ROOT / "pages" / "lessons.py"), default_timeout=60)
    app.query_params["lesson"] = "example"
    app.run()
    assert not app.exception and app.title[0].value == space["LESSON"].title


def test_every_lesson_is_found_by_its_file_alone():
    files = {path.stem for path in Path(inspect.getfile(lessons)).parent.glob("*.py") if "LESSON = " in path.read_text()}
    assert files == set(ALL_LESSONS)


def test_a_lesson_joins_the_course_when_its_experiment_was_measured():
    assert {name for name in ALL_LESSONS if name not in LESSONS} == {name for name, one in ALL_LESSONS.items() if one.judge} - set(kept())
    assert list(LESSONS) == [name for name in ALL_LESSONS if name in LESSONS]


def test_a_lesson_opens_with_images_that_it_trains_on_and_without_its_result(home):
    app = AppTest.from_file(str(ROOT / "pages" / "lessons.py"), default_timeout=60)
    app.query_params["lesson"] = "noisy_labels"
    app.run()
    assert not app.exception and not app.success and not app.info
    assert any("From the 400 training images" in text.value for text in app.markdown)


def test_a_lesson_with_a_fact_answers_at_once_and_a_choice_must_be_made_first(home):
    app = AppTest.from_file(str(ROOT / "pages" / "lessons.py"), default_timeout=60)
    app.query_params["lesson"] = "systems"
    app.run()
    assert app.button(key="lesson_run").disabled
    app.radio(key="guess_systems").set_value("60 % fewer").run()
    app.button(key="lesson_run").click().run()
    assert isinstance(LESSONS["systems"].guess, Choice)
    assert any("the answer is 40 % fewer" in box.value for box in app.info) and any("DistilBERT" in text.value for text in app.markdown)
