"""The figures of a class: every run has a dot of its own, every guess is counted, the back row can read them."""

import itertools

import pytest

from distill_core.figures.classroom import Dot, board_figure, choices_figure, guesses_figure, soft_labels_figure

SAME = [Dot(seat, 4.0, 0.1, float(seat), "finished") for seat in range(1, 31)]


def trace(figure, uid):
    return next(one for one in figure["data"] if one["uid"] == uid)


def text_sizes(part):
    """Every size of a text in a figure."""
    if isinstance(part, list):
        return [size for one in part for size in text_sizes(one)]
    if not isinstance(part, dict):
        return []
    own = [value["size"] for name, value in part.items() if name.endswith("font") and isinstance(value, dict) and "size" in value]
    return own + [size for value in part.values() for size in text_sizes(value)]


def test_the_axes_of_the_board_do_not_depend_on_its_runs():
    for dots in ([], SAME, [Dot(1, 0.5, 0.0, None, "running"), Dot(2, 30.0, 1.0, -12.0, "finished")]):
        layout = board_figure(dots)["layout"]
        assert layout["xaxis"]["range"] == board_figure([])["layout"]["xaxis"]["range"]
        assert layout["yaxis"]["range"] == board_figure([])["layout"]["yaxis"]["range"]
        marker = trace(board_figure(dots), "gains")["marker"]
        assert (marker["cmin"], marker["cmax"]) == (-5, 5)


def test_runs_of_equal_settings_have_dots_of_their_own_and_other_runs_stay_at_their_place():
    dots = trace(board_figure([*SAME, Dot(31, 15.0, 0.8, 2.0, "finished")]), "gains")
    places = list(zip(dots["x"], dots["y"], strict=True))
    assert len(set(places)) == 31
    assert min(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.combinations(places, 2)) > 0.02
    assert places[30] == (pytest.approx(1.17609, abs=1e-4), 0.8)


def test_a_run_in_training_is_a_ring_without_a_colour_and_says_what_it_does():
    figure = board_figure([Dot(1, 4.0, 0.1, None, "running"), Dot(2, 8.0, 0.2, -1.5, "finished")])
    assert trace(figure, "training")["hovertext"] == ["learner 1: T = 4, alpha = 0.1<br>running"]
    assert trace(figure, "gains")["text"] == ["\u22121.5"] and trace(figure, "gains")["marker"]["color"] == [-1.5]


@pytest.mark.parametrize("guesses", [[], [0.0], [-15, 15, 15], [0.5, 0.5, 1.5, -0.5, 2.49], [step / 2 for step in range(-30, 31)]])
def test_every_guess_is_counted_once_inside_the_axis(guesses):
    figure = guesses_figure(guesses, measured=(2.09, 1.13, 3.05))
    bars, (low, high) = trace(figure, "guesses"), figure["layout"]["xaxis"]["range"]
    assert sum(bars["y"]) == len(guesses)
    assert all(low <= x <= high for x in [*guesses, 1.13, 3.05])
    assert figure["layout"]["yaxis"]["dtick"] >= 1


def test_a_learner_finds_the_own_guess_and_the_own_choice_by_its_colour():
    colours = trace(guesses_figure([-2.0, 3.0], own=3.0), "guesses")
    other = [x for x, colour in zip(colours["x"], colours["marker"]["color"], strict=True) if colour != colours["marker"]["color"][0]]
    assert other == [3]
    chosen = trace(choices_figure([0, 1, 1], ("a", "b", "c"), own=1), "answers")
    assert chosen["x"] == [1, 2, 0] and chosen["marker"]["color"][1] != chosen["marker"]["color"][0] == chosen["marker"]["color"][2]


def test_an_answer_is_shown_as_text_also_where_it_looks_like_html():
    shown = trace(choices_figure([0], ("<img src=x>", "b & c")), "answers")["y"]
    assert shown == ["&lt;img src=x>", "b &amp; c"]


def test_the_back_row_can_read_every_figure():
    accuracy = {name: {"mean": 40.0, "low": 38.0, "high": 42.0} for name in ("labels", "class", "network")}
    figures = [
        board_figure(SAME),
        guesses_figure([1.0], measured=(1, 0, 2)),
        choices_figure([0], ("a", "b")),
        soft_labels_figure({"accuracy": accuracy}),
    ]
    for figure in figures:
        sizes = text_sizes(figure)
        assert sizes and min(sizes) >= 18
