"""Every page: opened alone, through app.py, and by its address on a fresh server."""

import contextlib
import json
import re
import sqlite3
from dataclasses import asdict, replace

import pytest
import torch
from browser_fixtures import MOVED, PAGES, ROOT, open_page_from_menu
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest
from test_race_browser import until

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine, run_key
from distill_core.runs.keys import owner_mark
from distill_core.runs.store import Store
from distill_core.studies.comparison import SET_UPS
from distill_core.studies.presets import PRESETS
from distill_core.studies.replays import replays
from distill_core.teachers import default_teacher
from distill_core.training.cohort import Cohort
from pages.sections import bugs, calibration, controls, methods, networks, source
from pages.server import curves, lab, room

NOT_FOR_PEOPLE = re.compile(r"\b(None|nan|NaN|undefined|NaT)\b|Traceback")


@pytest.fixture
def alone(home, monkeypatch):
    """`alone(page)`: a page (or app.py) run without a browser, in a lab of its own whose runs stay in the queue."""
    monkeypatch.setattr(Engine, "start", lambda engine: engine)
    monkeypatch.setattr("pages.sections.race.address", lambda: "this machine")  # AppTest's own is no text
    caches = (lab.store, lab.engine, room.rooms)
    for cache in caches:
        cache.clear()

    def page(name, *, link=None):
        script = ROOT / "app.py" if name == "app" else ROOT / "pages" / f"{name}.py"
        app = AppTest.from_file(str(script), default_timeout=90)
        for field, value in (link or {}).items():
            app.query_params[field] = value
        return app

    yield page
    for cache in caches:
        cache.clear()


def race(**choices):
    """A race over two seeds: its experiments, records and artefacts."""
    experiments = [Experiment(images=100, epochs=3, **choices, seed=seed) for seed in (0, 1)]
    cohort = Cohort(experiments, device="cpu")
    records = [record for step in cohort.steps() for record in step]
    return experiments, records, cohort.artefacts()


@pytest.fixture(scope="module")
def trained():
    """The usual race."""
    return race()


@pytest.fixture
def finished(trained, home):
    """`finished()` stores a race in this test's lab as the engine would; returns its id. Keywords change its experiments."""

    def put(trained=trained, **changes):
        experiments, records, artefacts = trained
        experiments = [replace(experiment, **changes) for experiment in experiments]
        store = Store(home / "lab.sqlite")
        texts = [experiment.to_json() for experiment in experiments]
        run_id = store.create(texts, key=run_key(experiments), epochs=experiments[0].epochs)
        for name, blob in artefacts.items():
            store.write_artefact(run_id, name, blob)
        store.append(run_id, records, epoch=float(experiments[0].epochs), seconds=1.5)
        store.set_status(run_id, "finished")
        return run_id

    return put


def shown_text(app):
    """All that the page shows as text: labels, values, tables; the source of functions apart."""
    return [text for part in (app.main, app.sidebar) for text in _shown_text(part)]


def _shown_text(element):
    kind = element.type
    if children := getattr(element, "children", {}):
        if not (kind == "expander" and element.label == source.TITLE):
            for child in children.values():
                yield from _shown_text(child)
    elif kind in ("arrow_data_frame", "table"):
        yield from map(str, [*element.value.columns, *element.value.to_numpy().ravel().tolist()])
    elif kind in ("markdown", "caption", "title", "header", "subheader", "latex", "error", "warning", "info", "success", "toast"):
        yield str(element.value)
    elif kind in ("selectbox", "multiselect", "radio", "select_slider", "button_group"):
        yield from (element.label, *map(str, element.options))
    elif kind in ("button", "metric", "number_input", "slider", "text_input", "checkbox", "toggle"):
        yield element.label


def unescaped(markdown):
    """The text that a browser shows for `plain_text.plain(text)`."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown).replace("\u2060", "")


def one_sentence(text):
    return "\n" not in text and 20 < len(text) < 400 and "Traceback" not in text


# --- each page, alone and through app.py ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_alone(alone, name):
    app = alone(name).run()
    assert not app.exception and not app.error
    assert len(app.main) > 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_alone_where_runs_are(alone, finished, name):
    run_id = finished()
    app = alone(name, link={"run": run_id} if name != "runs" else None).run()
    assert not app.exception and not app.error
    assert [text for text in shown_text(app) if NOT_FOR_PEOPLE.search(text)] == []


def test_every_page_opens_through_app(alone, finished):
    finished()
    app = alone("app").run()
    for name in PAGES:
        app.switch_page(f"pages/{name}.py").run()
        assert not app.exception and not app.error, name
        assert [text for text in shown_text(app) if NOT_FOR_PEOPLE.search(text)] == [], name


def test_app_lists_every_page_and_every_former_address():
    listed = re.findall(r"pages/(\w+)\.py", (ROOT / "app.py").read_text())
    assert sorted(listed) == sorted([*PAGES, *MOVED])


WIDGETS = ("selectbox", "multiselect", "slider", "select_slider", "number_input", "text_input", "toggle", "button", "button_group")


def widgets(element):
    """All widgets below an element of the page."""
    for child in getattr(element, "children", {}).values():
        yield from [child] if child.type in WIDGETS else widgets(child)


@pytest.mark.parametrize("name", PAGES)
def test_every_widget_has_a_label_and_a_help_text(alone, finished, name):
    run_id = finished()
    app = alone(name, link={"run": run_id} if name != "runs" else None).run()
    found = [widget for part in (app.main, app.sidebar) for widget in widgets(part)]
    assert found or name in ("classroom", "lecturer")  # they have some once there is a room
    explained = [widget for widget in found if str(widget.key).startswith("presets_")]  # their labels are sentences
    assert [widget.label for widget in found if not (widget.label and (widget in explained or widget.proto.help))] == []


def test_the_lecturers_and_a_learners_widgets_have_a_label_and_a_help_text(alone):
    rooms = room.rooms()
    code = rooms.open().code
    token = "a" * 32
    rooms.join(code, token)
    rooms.ask("choice", "Which is *better*?", choices=("<b>student</b>", "baseline"))
    lecturer, learner = alone("lecturer"), alone("classroom")
    lecturer.session_state["lecturer"] = True
    learner.session_state["owner"] = token
    for app, least in ((lecturer.run(), 15), (learner.run(), 2)):
        assert not app.exception and not app.error
        found = [*widgets(app.main)]
        assert len(found) >= least
        assert [widget.label for widget in found if not (widget.label and widget.proto.help)] == []
        assert any(r"\*better\*" in text.value for text in [*app.markdown, *app.subheader])  # a question is no Markdown


# --- choices --------------------------------------------------------------------------------------------------------

CHOICES = {
    "plain": {"images": 300, "temperature": 8.0, "alpha": 0.5, "seeds": 3},
    "everything": {
        "images": 500, "hide_classes": [3, 7], "label_noise": 0.2, "teacher": "cnn-32", "student": "cnn-4", "temperature": 1.5,
        "alpha": 0.25, "epochs": 7, "batch_size": 64, "learning_rate": 0.03, "optimizer": "sgd", "schedule": "constant", "seeds": 2,
        "precision": "bfloat16-emulated",
    },
    "all images, one seed": {"images": 0, "alpha": 0.0, "student": "linear", "seeds": 1},
    "a teacher of its own size, and noise": {"images": 300, "teacher": "self", "unlabelled": 1000, "unlabelled_from": "noise", "seeds": 2},
    "another set": {"dataset": "fashion-mnist", "images": 10_000, "epochs": 2, "batch_size": 256, "seeds": 4},
}  # fmt: skip


def expected(choices):
    default = default_teacher(choices.get("dataset", controls.START.dataset))
    fields = {**asdict(controls.START), "teacher": default, **choices}
    seeds = fields.pop("seeds")
    return [Experiment(**{**fields, "hide_classes": tuple(fields["hide_classes"]), "seed": seed}) for seed in range(seeds)]


def queued(run_id):
    return [Experiment.from_json(text) for text in lab.store().get(run_id).experiments]


def run_shown(app):
    values = app.query_params["run"]
    return values if isinstance(values, str) else values[-1]


def choose(app, choices):
    for field, value in choices.items():
        widget = next(w for kind in (app.selectbox, app.select_slider, app.slider, app.number_input, app.multiselect) for w in kind
                      if w.key == field)  # fmt: skip
        widget.set_value(value).run()
        assert not app.exception, field


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_widgets_give_the_experiments_they_show_and_a_link_that_restores_them(alone, choices):
    app = alone("race").run()
    choose(app, choices)
    app.button(key="train").click().run()
    assert not app.exception and not app.error
    run_id = run_shown(app)
    assert queued(run_id) == expected(choices)

    link = {name: values for name, values in app.query_params.items() if name != "run"}
    again = alone("race", link=link).run()
    again.button(key="train").click().run()
    assert run_shown(again) == run_id  # the same experiments join the run that waits

    reopened = alone("race", link={"run": run_id}).run()  # the id alone restores every choice
    assert reopened.session_state["seeds"] == choices["seeds"]
    assert {name: reopened.session_state[name] for name in choices} == choices


def test_a_precision_for_which_this_machine_has_no_instructions_is_refused_in_one_sentence(alone, monkeypatch):
    monkeypatch.setattr("distill_core.precision.instructions", lambda device: "")
    app = alone("race").run()
    choose(app, {"precision": "bfloat16"})
    app.button(key="train").click().run()
    assert not app.exception and "run" not in app.query_params
    said = app.error[0].value.replace("\\", "")  # text that is no Markdown
    assert "precision 'bfloat16' needs a processor with AMX" in said and "choose float32, or bfloat16-emulated" in said


def test_another_data_set_brings_its_default_teacher_and_keeps_a_teacher_that_is_shipped_for_it(alone):
    app = alone("race").run()
    app.selectbox(key="dataset").set_value("cifar10").run()
    assert app.session_state["teacher"] == "cnn-32" and not app.info
    app.selectbox(key="dataset").set_value("mnist").run()
    assert app.session_state["teacher"] == "cnn-32"
    app = alone("sweep").run()
    app.selectbox(key="sweep_dataset").set_value("cifar10").run()
    assert app.session_state["sweep_teacher"] == "cnn-32" and not app.info


@pytest.mark.parametrize(("page", "prefix"), [("race", ""), ("sweep", "sweep_")])
def test_a_teacher_that_must_be_trained_is_announced_before_the_press(alone, page, prefix):
    app = alone(page).run()
    app.selectbox(key=f"{prefix}dataset").set_value("cifar10").run()
    app.selectbox(key=f"{prefix}teacher").set_value("mlp-1200x2").run()
    (note,) = app.info
    assert "first trains it" in unescaped(note.value) and re.search(r"in about \d+ (minutes|s) on", unescaped(note.value))


@pytest.mark.parametrize(("page", "prefix"), [("race", ""), ("sweep", "sweep_")])
def test_a_teacher_of_the_jpeg_copy_and_label_smoothing_are_said_where_it_is_chosen(alone, page, prefix):
    app = alone(page).run()
    app.selectbox(key=f"{prefix}dataset").set_value("cifar10").run()
    app.selectbox(key=f"{prefix}teacher").set_value("airbench-256").run()
    captions = " ".join(caption.value for caption in app.caption)
    assert "a JPEG copy of these images" in captions and "label smoothing 0.2" in captions


@pytest.mark.parametrize("name", SET_UPS)
def test_the_race_of_a_set_up_has_data_for_which_its_teacher_is_shipped(name):
    experiment = methods._experiment(name)
    assert set(teachers.parse_ensemble(experiment.teacher)) <= {card.name for card in teachers.shipped_for(experiment.dataset)}


def test_pages_list_the_teachers_of_the_original_cifar10_where_it_is(monkeypatch):
    monkeypatch.setattr(datasets.Source, "is_here", lambda source: source.name in ("cifar10", "digits"))
    assert networks.teachers_here() == {
        "cifar10": ["cnn-32", "airbench-256", "airbench-pair"],
        "digits": ["cnn-32", "mlp-1200x2", "mlp-1200x2-noisy"],
    }


@pytest.mark.parametrize("combine", ("probabilities", "logits"))
def test_calibration_shows_the_teacher_of_the_run_combined_as_in_the_run(alone, finished, combine):
    run_id = finished(teacher="3*cnn-32+mlp-1200x2", combine=combine)
    app = alone("calibration", link={"run": run_id}).run()
    assert f"Teacher: 3*cnn-32+mlp-1200x2, mean of {combine}." in unescaped(" ".join(shown_text(app)))
    lab.store.clear()
    dataset = datasets.load("digits")
    _, members = calibration.logits_of_run(run_id)
    expected = teachers.load_teacher(dataset, "3*cnn-32+mlp-1200x2", combine=combine).network
    torch.testing.assert_close(members["teacher"], teachers.logits(expected, dataset, dataset.test_images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("page", "prefix"), [("draw", "draw"), ("soft_targets", "soft_targets")])
def test_a_page_with_a_run_offers_the_teacher_of_the_run(alone, finished, page, prefix):
    run_id = finished(teacher="3*cnn-32+mlp-1200x2", combine="logits")
    app = alone(page, link={"run": run_id, "dataset": "digits", "teacher": "3*cnn-32+mlp-1200x2"}).run()
    assert not app.exception and app.session_state[f"{prefix}_teacher"] == "3*cnn-32+mlp-1200x2"


def test_a_run_s_ensemble_is_combined_as_in_the_run_and_any_other_by_probabilities(alone, finished):
    run = lab.store().get(finished(teacher="cnn-32+mlp-1200x2", combine="logits"))
    assert networks.combination(run, "cnn-32+mlp-1200x2") == "logits"
    assert networks.combination(run, "cnn-32") == networks.combination(None, "cnn-32+mlp-1200x2") == "probabilities"


def test_a_press_takes_one_run_of_the_page_which_shows_the_buttons_as_they_are_afterwards(alone, monkeypatch):
    app, runs, choose = alone("race").run(), [], controls.choose
    monkeypatch.setattr(controls, "choose", lambda: runs.append(1) or choose())
    for presses, disabled in ((["train"], {"train"}), (["step", "stop"], {"pause", "stop"})):  # of both at once, Stop counts
        runs.clear()
        for name in presses:
            app.button(key=name).click()
        app.run()
        assert not app.exception and len(runs) == 1
        assert {name for name in ("train", "pause", "step", "stop", "reset") if app.button(key=name).disabled} == disabled


def test_a_paused_run_of_another_browser_cannot_be_resumed_and_its_settings_can_be_trained(alone, finished, monkeypatch):
    run_id = finished()
    lab.store().write(run_id, status="paused", epoch=1)
    monkeypatch.setattr(Engine, "may_control", lambda *given, **choices: False)
    app = alone("race", link={"run": run_id}).run()
    assert not app.exception and app.button(key="train").label == "Train" and app.button(key="stop").disabled
    monkeypatch.setattr(Engine, "may_control", lambda *given, **choices: True)
    assert app.run().button(key="train").label == "Resume"


def test_a_preset_gives_its_own_experiments(alone):
    from distill_core.studies.presets import PRESETS

    app = alone("race").run()
    for name, preset in PRESETS.items():
        app.button(key=f"presets_{name}").click().run()
        assert not app.exception
        app.button(key="train").click().run()
        run_id = run_shown(app)
        assert queued(run_id) == preset.experiments(), name
        app.button(key="stop").click().run()


def test_a_race_says_what_its_interval_covers_and_of_which_kind_each_interval_is(alone, finished):
    app = alone("race", link={"run": finished()}).run()
    assert not app.exception
    (told,) = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one.value) for one in app.markdown if "What an interval covers" in one.value]
    assert "this teacher and these test images held fixed" in told and "Student minus baseline" in told
    (table,) = [one.value for one in app.dataframe if "interval covers" in one.value]
    assert dict(zip(table["network"], table["interval covers"], strict=True))["teacher"] == "test images (Wilson)"
    assert set(table["interval covers"]) <= {"test images (Wilson)", "2 seeds (t)"}


# --- several runs ---------------------------------------------------------------------------------------------------


def test_compared_runs_are_coloured_where_their_settings_differ(alone, finished):
    *_, newest = [finished(temperature=temperature, alpha=alpha) for temperature, alpha in ((4.0, 0.1), (8.0, 0.5))]
    app = alone("runs").run()
    assert len(app.dataframe[0].value) == 2
    assert app.dataframe[0].value["data set"].tolist() == ["Digits (8 x 8)"] * 2
    assert app.dataframe[0].value["method"].tolist() == ["Soft targets"] * 2
    app.session_state[f"2 runs, {newest} first"] = {"selection": {"rows": [0, 1], "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    compared = app.dataframe[1]
    values = compared.value
    differing = [field for field in values.index if values.loc[field].nunique() > 1]
    assert differing == ["temperature", "alpha"]
    coloured = {int(row) for row in re.findall(r"_row(\d+)_col\d+", compared.proto.arrow_data.styler.styles)}
    assert [values.index[row] for row in sorted(coloured)] == differing


# --- invalid links and stored runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ({"temperature": "0", "alpha": "7", "dataset": "nope", "epochs": "1000000000"}, "nope"),
        ({"temperature": "0"}, "temperature 0.0"),
        ({"temperature": "nan"}, "temperature nan"),
        ({"temperature": "warm"}, "temperature 'warm'"),
        ({"alpha": "7"}, "alpha 7.0"),
        ({"epochs": "1000000000"}, "epochs 1000000000"),
        ({"epochs": "many"}, "epochs 'many'"),
        ({"images": "99999"}, "images 99999"),
        ({"student": "mlp-99999x99"}, "student"),
        ({"hide_classes": "three"}, "hide_classes 'three'"),
        ({"hide_classes": "12"}, "hide_classes 12"),
        ({"seeds": "1000"}, "seeds 1000"),
        ({"seeds": "x"}, "seeds 'x'"),
        ({"dataset": "/etc/passwd.zip"}, "passwd.zip"),
        ({"learning_rate": "1e999"}, "learning_rate"),
    ],
    ids=str,
)
def test_an_invalid_link_gives_one_message_and_the_page_opens_with_its_defaults(alone, link, named):
    app = alone("race", link=link).run()
    assert not app.exception
    messages = [unescaped(message.value) for message in [*app.toast, *app.error]]
    assert len(messages) == 1 and one_sentence(messages[0]) and named in messages[0], messages
    assert not app.button(key="train").disabled
    app.button(key="train").click().run()
    run_id = run_shown(app)
    assert queued(run_id) == expected({"seeds": 5})


def test_a_run_whose_pictures_were_deleted_gives_a_message_and_the_page_opens(alone, finished):
    run_id = finished(dataset="holiday-0123abcd.zip")
    app = alone("race", link={"run": run_id}).run()
    assert not app.exception
    messages = [unescaped(message.value) for message in [*app.error, *app.warning]]
    assert messages and all("holiday-0123abcd.zip" in text and one_sentence(text) for text in messages), messages
    app.selectbox(key="dataset").set_value("digits").run()
    assert not app.error and not app.button(key="train").disabled


def test_what_was_changed_beside_a_finished_run_is_there_after_a_reload(alone, finished):
    run_id = finished(hide_classes=(3,), temperature=8.0)
    app = alone("race", link={"run": run_id}).run()
    app.select_slider(key="temperature").set_value(4.0).run()  # the default of the page, but not what the run has
    app.multiselect(key="hide_classes").set_value([]).run()
    app.slider(key="seeds").set_value(7).run()
    assert run_shown(app) == run_id
    again = alone("race", link=dict(app.query_params.items())).run()
    assert not again.exception and run_shown(again) == run_id
    assert {name: again.session_state[name] for name in ("temperature", "hide_classes", "seeds")} == {
        "temperature": 4.0,
        "hide_classes": [],
        "seeds": 7,
    }
    assert again.session_state["images"] == 100  # of the run


def test_a_link_that_is_opened_later_in_a_session_is_applied_and_leaves_the_run_of_the_session(alone, finished):
    app = alone("race", link={"run": finished()}).run()
    app.query_params.clear()
    app.query_params["temperature"] = "20.0"
    app.run()
    assert not app.exception and app.session_state["temperature"] == 20.0 and app.session_state["images"] == controls.START.images
    assert "run" not in app.query_params


def test_a_link_to_a_run_that_does_not_exist_gives_a_warning_and_the_page_opens(alone):
    app = alone("race", link={"run": "0123456789ab"}).run()
    assert not app.exception and not app.button(key="train").disabled
    (warning,) = app.warning
    assert "does not exist" in warning.value and one_sentence(warning.value)


PARSERS = [name for name in PAGES if name != "start"]  # pages that read stored runs


@pytest.mark.parametrize(
    ("method", "label"),
    [("soft-targets", "soft loss (nats)"), ("hints", "hint loss (squared activations)"), ("similarity", "similarity loss")],
)
def test_the_chart_of_a_methods_own_loss_has_its_name_and_unit(alone, finished, method, label):
    run_id = finished(method=method)
    figures = curves.race_figures(run_id, lab.store().version(run_id), ("soft_loss", "hard_loss"))
    titles = [json.loads(figure)["layout"]["annotations"][0]["text"] for figure in figures.values()]
    assert titles == [label, "hard loss (nats)"]


def test_a_teacher_that_the_run_trains_has_a_curve_in_place_of_a_line(alone, finished):
    run_id = finished(race(teacher="self"))
    figure = curves.race_figures(run_id, lab.store().version(run_id), ("test_accuracy",))["test_accuracy"]
    figure = json.loads(figure)
    (line,) = (trace for trace in figure["data"] if trace.get("name") == "teacher" and "lines" in trace["mode"])
    assert len(line["x"]) > 2 and line["y"][-1] > line["y"][0]


def test_the_calibration_of_a_run_of_teacher_self_is_shown_with_the_teacher_that_it_trained(alone, finished):
    run_id = finished(race(teacher="self"))
    first, logits = calibration.logits_of_run(run_id)
    assert list(logits) == ["teacher", "baseline", "student"]
    result, labels = lab.store().results(run_id)[0], datasets.load(first.dataset).test_labels
    for role, found in logits.items():
        assert (found.argmax(dim=1) == labels).double().mean().item() == pytest.approx(result[role]["test_accuracy"], abs=1e-9)


@pytest.mark.parametrize("name", PARSERS)
def test_a_run_that_cannot_be_read_takes_no_page_down(alone, finished, name):
    finished()
    change_stored_run(finished(), '{"optimizer": "of a later version"}')
    app = alone(name).run()
    assert not app.exception and not app.error


def test_a_run_that_cannot_be_read_is_listed_and_can_be_selected(alone, finished):
    run_id = finished()
    change_stored_run(run_id, "no JSON at all")
    app = alone("runs").run()
    assert app.dataframe[0].value["status"].tolist() == ["unreadable"]
    app.session_state[f"1 runs, {run_id} first"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    assert not app.exception and "cannot be read" in " ".join(shown_text(app))


def test_a_link_to_a_run_that_cannot_be_read_gives_one_sentence_and_the_page_opens(alone, finished):
    run_id = finished()
    change_stored_run(run_id, '{"optimizer": "of a later version"}')
    app = alone("race", link={"run": run_id}).run()
    assert not app.exception and not app.button(key="train").disabled
    (error,) = app.error
    assert run_id in error.value and one_sentence(error.value)


def change_stored_run(run_id, text):
    """Write `text` in place of each of a run's experiments."""
    with contextlib.closing(sqlite3.connect(lab.store().path)) as database:
        database.execute("update runs set experiments = ?, first = ? where id = ?", (json.dumps([text, text]), text, run_id))
        database.commit()


@pytest.mark.parametrize("body", ['{"student": {"test_acc', "[]", '{"teacher": {}}'], ids=("cut", "a list", "without a student"))
def test_a_race_whose_results_cannot_be_read_gives_one_sentence_and_is_trained_again_by_train(alone, finished, body):
    run_id = finished()
    with contextlib.closing(sqlite3.connect(lab.store().path)) as database:
        database.execute("update results set body = ? where run = ?", (body, run_id))
        database.commit()
    app = alone("race", link={"run": run_id}).run()
    assert not app.exception
    (error,) = app.error
    assert "cannot be read" in unescaped(error.value) and one_sentence(error.value)
    app.button(key="train").click().run()
    assert not app.exception and app.session_state["run"] != run_id


SWEEPS = ["map", "sweep"]  # the kind of a sweep, in an earlier version and now


@pytest.mark.parametrize("kind", SWEEPS)
def test_a_sweep_opened_as_a_race_leaves_the_race_page_with_its_defaults(alone, kind):
    texts = [Experiment(seed=seed).to_json() for seed in range(12)]  # more seeds than the slider offers
    run_id = lab.store().create(texts, key="sweep", kind=kind, epochs=40)
    app = alone("race", link={"run": run_id}).run()
    assert not app.exception and not app.button(key="train").disabled
    assert app.session_state["seeds"] == 5


def test_find_the_bug_opens_with_a_replay_of_the_correct_code_that_is_labelled_as_one(alone):
    app = alone("find_the_bug").run()
    assert not app.exception
    (label,) = [text for text in shown_text(app) if "How the correct implementation learns" in text]
    assert replays()[bugs.RECORDED].caption in label and PRESETS[bugs.RECORDED].experiment.method == Experiment.method


def test_draw_opens_with_test_images_and_how_the_teacher_classifies_them(alone):
    app = alone("draw", link={"dataset": "digits", "T": "2"}).run()
    assert not app.exception
    assert any("Until you draw" in text and "at T = 2." in text for text in shown_text(app))


def test_races_of_find_the_bug_are_listed_nowhere_because_their_settings_give_the_bug_away(alone, finished):
    run_id = finished(method="alpha-swapped")
    with contextlib.closing(sqlite3.connect(lab.store().path)) as database:
        database.execute("update runs set kind = 'puzzle' where id = ?", (run_id,))
        database.commit()
    runs = alone("runs")
    assert any("There is no run yet" in text for text in shown_text(runs.run())) and not runs.dataframe
    assert alone("draw").run().selectbox(key="draw_run").options == ["none"]


def test_a_race_opened_as_a_sweep_is_said_to_be_one_and_the_page_works(alone, finished):
    app = alone("sweep", link={"run": finished()}).run()
    assert not app.exception and not app.error and not app.button(key="sweep_train").disabled
    assert [warning.value for warning in app.warning] == ["The run of this link is a race."]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ([Experiment(dataset="holiday-0123abcd.zip", teacher="mlp-1200x2", seed=seed).to_json() for seed in (0, 1)], "uploaded"),
        (["{}", '{"optimizer": "of a later version"}'], "cannot be read"),
        ([Experiment(temperature=t, alpha=a, images=n).to_json() for t, a, n in ((1, 0.1, 10), (2, 0.2, 20))], "two axes"),
    ],
    ids=("uploaded pictures", "unreadable", "no sweep of two axes"),
)
def test_a_sweep_that_cannot_be_shown_gives_one_sentence_and_the_page_works(alone, texts, named):
    run_id = lab.store().create(texts, key="sweep", kind="sweep", epochs=40)
    app = alone("sweep", link={"run": run_id}).run()
    assert not app.exception and not app.button(key="sweep_train").disabled
    (error,) = app.error
    assert named in unescaped(error.value) and one_sentence(error.value)


@pytest.mark.parametrize("kind", SWEEPS)
def test_the_runs_page_shows_no_accuracy_for_a_sweep(alone, finished, kind):
    run_id = finished()
    with contextlib.closing(sqlite3.connect(lab.store().path)) as database:
        database.execute("update runs set kind = ? where id = ?", (kind, run_id))
        database.commit()
    table = alone("runs").run().dataframe[0].value
    assert table["title"].tolist() == ["sweep"] and table["student %"].tolist() == [""]


def test_runs_with_equal_settings_have_different_descriptions(alone, finished):
    runs = [lab.store().get(finished()) for _ in range(2)]
    assert len({networks.describe(run) for run in runs}) == 2


@pytest.mark.parametrize("change", [{"method": "decoupled"}, {"alpha": 0.5}, {"temperature": 8.0}, {"student": "linear"}])
def test_a_description_of_a_run_shows_its_settings(alone, finished, change):
    runs = [lab.store().get(run_id) for run_id in (finished(), finished(**change))]
    plain, changed = (networks.describe(run).replace(run.id[:6], "").rpartition(", ")[0] for run in runs)  # without id and time
    assert plain != changed


IMAGE = "![](https://elsewhere.example/x.png)"


@pytest.mark.parametrize("link", [{"student": IMAGE}, {"dataset": f"{IMAGE}.zip"}, {"epochs": IMAGE}])
def test_text_of_a_link_is_never_markdown(alone, link):
    app = alone("race", link=link).run()
    (message,) = [message.value for message in [*app.toast, *app.error]]
    assert "](" not in message and IMAGE in unescaped(message)


def test_a_run_pressed_before_the_browsers_token_came_belongs_to_that_browser(alone):
    app = alone("race").run()
    app.button(key="train").click().run()
    (run,) = lab.store().list()
    assert not app.button(key="stop").disabled  # already now
    app.session_state["identity"] = {"token": "0123456789abcdef" * 2}
    app.run()
    assert lab.store().owners_of(run.id) == (owner_mark("0123456789abcdef" * 2),)
    assert not app.button(key="stop").disabled
    stranger = alone("race", link={"run": run.id}).run()
    assert stranger.button(key="stop").disabled


def test_the_list_of_runs_reads_no_records_results_or_other_experiments(alone, finished, monkeypatch):
    run_ids = {finished() for _ in range(3)}
    for name in ("list", "get", "results", "records"):
        monkeypatch.setattr(Store, name, lambda *_, name=name, **__: pytest.fail(f"{name} is called"))
    table = alone("runs").run().dataframe[0].value
    assert len(table) == len(run_ids) and all(float(value) > 0 for value in table["student %"])


# --- a database that cannot be used --------------------------------------------------------------------------------------


def newer(home):
    home.mkdir()
    with sqlite3.connect(home / "lab.sqlite") as database:
        database.execute("PRAGMA user_version = 999")
    return "written by a newer Distill Lab"


def no_database(home):
    home.mkdir()
    (home / "lab.sqlite").write_bytes(b"this is no database " * 500)
    return "not a database of the lab"


def unwritable(home):
    home.write_text("a file stands where the folder should be")
    return "cannot be written; make it writable, or set DISTILL_HOME to another folder"


@pytest.mark.parametrize("harm", [newer, no_database, unwritable])
@pytest.mark.parametrize("name", PAGES)
def test_a_database_that_cannot_be_used_gives_one_sentence_on_every_page(alone, home, name, harm):
    sentence = harm(home)
    app = alone(name).run()
    assert not app.exception
    (error,) = app.error
    assert sentence in unescaped(error.value) and one_sentence(error.value)


# --- by address ------------------------------------------------------------------------------------------------------

MENU = {
    "Learn": ["Start", "Lessons", "Checks", "Glossary"],
    "Experiment": ["Race", "Sweep", "Methods", "Experiments from papers", "Find the bug", "Compress", "Advisor"],
    "Look inside": ["Soft targets", "Dark knowledge", "Calibration", "Draw"],
    "Lab notebook": ["Runs"],
    "Class": ["Classroom", "Presentation", "Lecturer", "Preflight"],
}


def opened(page, name):
    """Wait until the page with this address is there."""
    expect(page.get_by_test_id("stTopNavSection")).to_have_text(list(MENU), timeout=90_000)
    expect(page).to_have_title(f"{name.replace('_', ' ').capitalize()} · Distill Lab", timeout=90_000)
    expect(page.locator("[data-testid=stMain] [data-testid=stElementContainer]").nth(2)).to_be_attached(timeout=90_000)
    expect(page.get_by_role("dialog")).to_have_count(0)  # Streamlit's "page not found"


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory):
    """The address of a server with its own DISTILL_HOME."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize(("script", "name"), [("app.py", "race"), ("pages/server/serve.py", "glossary")])
def test_the_first_visit_to_a_server_may_be_a_deep_link(lab_server, watched, script, name):
    opened(watched(f"{lab_server(script=script).address}/{name}"), name)


FORMER = {"map": "x=alpha", "microscope": "dataset=digits", "trust": "dataset=digits"}  # a query by former address


@pytest.mark.parametrize(("script", "first"), [("app.py", "map"), ("pages/server/serve.py", "trust")])
def test_a_former_address_opens_the_new_page_with_its_query_also_as_a_servers_first_visit(lab_server, new_page, script, first):
    address = lab_server(script=script).address
    for old in (first, *FORMER):
        page = new_page(f"{address}/{old}?{FORMER[old]}")
        expect(page).to_have_url(re.compile(f"/{MOVED[old]}\\?.*{FORMER[old]}"), timeout=90_000)
        opened(page, MOVED[old])


ADDED = """sections => sections.map(section =>
    getComputedStyle(section.querySelector("p"), "::after").content.replaceAll('"', ""))"""  # by the style sheet


def test_every_page_is_in_the_menu_and_marked_there_in_a_wide_window_and_on_a_phone(address, new_page):
    page = new_page(address)
    for number, (group, names) in enumerate(MENU.items()):
        for name in names:
            open_page_from_menu(page, group, name)
            expect(page).to_have_title(f"{name} · Distill Lab", timeout=90_000)
            marks = [f": {name}" if n == number else "none" for n in range(len(MENU))]
            until(lambda marks=marks: page.get_by_test_id("stTopNavSection").evaluate_all(ADDED) == marks)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_text([name for names in MENU.values() for name in names], timeout=60_000)
