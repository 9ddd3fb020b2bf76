"""The presentation: text of 20 px or more, axes that stay, keys, and a replay that says that it is one."""

import pytest
from test_figures_classroom import text_sizes
from test_pages import alone  # noqa: F401

from distill_core.figures.curves import bands, race_drawing
from distill_core.studies.presets import PRESETS
from distill_core.studies.replays import replays
from pages.sections import presentation


@pytest.mark.parametrize("name", sorted(replays()))
def test_the_wall_shows_20_px_and_the_axes_of_the_whole_race_from_the_start(name):
    preset, replay = PRESETS[name], replays()[name]
    drawn = []
    for records in ([], replay.records(replay.seconds / 2), replay.records()):
        low = presentation.lowest_accuracy(preset)
        figure = presentation.enlarged(race_drawing(bands(records), epochs=preset.experiment.epochs, accuracy_from=low, height=400))
        assert min(text_sizes(figure)) >= 20
        drawn.append([figure["layout"][axis]["range"] for axis in ("xaxis", "yaxis")])
    assert drawn[0] == drawn[1] == drawn[2]
    ends = [100 * one["test_accuracy"] for one in replay.records() if one["epoch"] == preset.experiment.epochs]
    assert min(ends) > drawn[0][1][0]  # the end of no curve is below the axis


def test_the_keys_change_the_preset_and_the_replay_is_labelled_with_its_date(alone):  # noqa: F811
    app = alone("presentation").run()
    first, second = list(PRESETS)[:2]
    assert PRESETS[first].question in [text.value for text in app.markdown]
    app.button(key="next").click().run()
    assert PRESETS[second].question in [text.value for text in app.markdown]
    app.button(key="previous").click().run()
    app.button(key="replay").click().run()
    assert not app.exception
    assert any(replays()[first].recorded in element.proto.body and "Replay" in element.proto.body for element in app.get("html"))
    shortcuts = {button.key: button.proto.shortcut for button in app.button}
    assert len({*shortcuts.values()}) == len(shortcuts) and all(shortcuts.values())
