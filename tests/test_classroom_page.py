"""What a learner in a room can do on every page, and what a hand-made message of a browser cannot do."""

import pytest
from test_pages import alone  # noqa: F401

from distill_core.experiment import Experiment
from distill_core.runs.rooms import spread
from distill_core.studies.presets import PRESETS
from pages.server import lab, room

LEARNER, OUTSIDER = "a" * 32, "b" * 32


@pytest.fixture
def rooms(alone):  # noqa: F811
    found = room.rooms()
    found.join(found.open().code, LEARNER)
    return found


def opened(alone, page, token, **state):  # noqa: F811
    app = alone(page)
    app.session_state["owner"] = token
    for name, value in state.items():
        app.session_state[name] = value
    return app.run()


def only_run():
    """The one run in the store, with its experiments."""
    (run,) = lab.store().list()
    return lab.store().get(run.id)


def test_a_hidden_page_is_closed_to_learners_of_the_room_and_to_nobody_else(alone, rooms):  # noqa: F811
    rooms.change(hidden=("Runs", "Start"))
    learner, outsider = opened(alone, "runs", LEARNER), opened(alone, "runs", OUTSIDER)
    assert [box.value for box in learner.info] == ["The lecturer has hidden the page Runs for now."] and not learner.title
    assert not outsider.info and outsider.title[0].value == "Runs"
    assert not opened(alone, "start", LEARNER).info  # the first page cannot be hidden


def test_a_locked_setting_keeps_its_value_whatever_a_browser_sends(alone, rooms):  # noqa: F811
    rooms.change(locked=("epochs", "student", "seeds"), preset="impatient")
    app = opened(alone, "race", LEARNER)
    assert app.number_input(key="epochs").disabled and app.selectbox(key="student").disabled and not app.selectbox(key="dataset").disabled
    for widget, value in ((app.number_input(key="epochs"), 400), (app.slider(key="seeds"), 1)):
        widget.proto.disabled = False  # a message made by hand
        widget.set_value(value)
    app.slider(key="alpha").set_value(0.5).run()
    app.button(key="train").click().run()
    assert not app.exception
    run = only_run()
    first = Experiment.from_json(run.experiments[0])
    assert (
        first.epochs == PRESETS["impatient"].experiment.epochs and len(run.experiments) == PRESETS["impatient"].seeds and first.alpha == 0.5
    )
    assert not opened(alone, "race", OUTSIDER).number_input(key="epochs").disabled


def test_a_start_for_all_trains_the_preset_once_at_the_place_of_the_seat_and_is_a_dot_on_the_board(alone, rooms):  # noqa: F811
    rooms.bring("race", preset="impatient", spread=True, train=True)
    app = opened(alone, "race", LEARNER, room_call=0)
    assert not app.exception and not app.error
    app.run()
    run = only_run()
    first = Experiment.from_json(run.experiments[0])
    assert (first.temperature, first.alpha) == spread(1) and first.epochs == PRESETS["impatient"].experiment.epochs
    assert [(one.run, one.seat) for one in rooms.runs()] == [(run.id, 1)]
    assert rooms.close() == [run.id]


def test_a_latecomer_and_a_reload_start_nothing(alone, rooms):  # noqa: F811
    rooms.bring("race", preset="impatient", train=True)
    app = opened(alone, "race", LEARNER)  # a new session of a browser that is in the room
    assert not app.exception and lab.store().list() == []


def test_a_cached_result_of_somebody_else_is_on_the_board_and_is_not_deleted_with_the_room(alone, rooms):  # noqa: F811
    other = opened(alone, "race", OUTSIDER)
    other.button(key="train").click().run()
    run = only_run()
    assert rooms.runs() == []  # outside the room
    learner = opened(alone, "race", LEARNER)
    learner.button(key="train").click().run()
    assert [one.run for one in rooms.runs()] == [run.id]
    assert rooms.close() == []
