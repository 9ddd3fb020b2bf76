"""The figures of dark knowledge and of calibration: their numbers, and that the figures show these numbers."""

import itertools
import math

import numpy as np
import pytest
from plotly.colors import sample_colorscale
from plotly.io.json import to_json_plotly

from distill_core.figures import calibration, dark_knowledge
from distill_core.figures.palette import ROLES, styles_of

NAMES = ("cat", "dog", "ship", "truck")
MEAN = np.array([[0.7, 0.2, 0.06, 0.04], [0.25, 0.6, 0.05, 0.1], [0.02, 0.03, 0.8, 0.15], [0.01, 0.04, 0.15, 0.8]])
TABLE = {
    "low": [0, 0.5],
    "high": [0.5, 1],
    "count": [0, 40],
    "accuracy": [math.nan, 0.75],
    "confidence": [math.nan, 0.9],
    "accuracy_low": [math.nan, 0.6],
    "accuracy_high": [math.nan, 0.86],
}


def texts_and_lines(figure):
    """The sizes of all texts and the widths of all lines in a figure."""

    def walk(part, path=()):
        if isinstance(part, dict):
            for name, value in part.items():
                yield from walk(value, (*path, name))
        elif isinstance(part, list | tuple):
            for value in part:
                yield from walk(value, path)
        else:
            yield path, part

    found = list(walk(figure.to_dict()))
    sizes = [v for path, v in found if path[-1] == "size" and path[-2].endswith("font")]
    lines = [v for path, v in found if path[-2:] == ("line", "width") or (path[-1] == "thickness" and "error" in path[-2])]
    return sizes, lines


# --- dark knowledge -------------------------------------------------------------------------------------------------


def test_the_diagonal_is_hidden_by_default_and_the_rest_is_percent():
    shown = dark_knowledge.shades(MEAN, diagonal=False, log=False)
    assert np.isnan(np.diag(shown)).all() and shown[0, 1] == 20
    assert np.diag(dark_knowledge.shades(MEAN, diagonal=True, log=False)).tolist() == [70, 60, 80, 80]


def test_a_logarithmic_scale_has_a_floor():
    shown = dark_knowledge.shades(np.array([[0.9, 0.1], [0.0, 1.0]]), diagonal=True, log=True)
    np.testing.assert_allclose(shown, [[math.log10(90), 1], [math.log10(100 * dark_knowledge.FLOOR), 2]])


def test_each_class_points_to_its_most_probable_other_classes():
    one = {(e.start, e.end): e.probability for e in dark_knowledge.edges(MEAN, per_class=1)}
    assert one == {(0, 1): 0.2, (1, 0): 0.25, (2, 3): 0.15, (3, 2): 0.15}
    two = dark_knowledge.edges(MEAN, per_class=2)
    assert len(two) == 8 and [e.probability for e in two] == sorted(e.probability for e in two)
    assert all(e.start != e.end for e in dark_knowledge.edges(MEAN, per_class=9)) and len(dark_knowledge.edges(MEAN, per_class=9)) == 12


def test_a_class_without_images_has_no_edges():
    mean = MEAN.copy()
    mean[2] = np.nan
    assert {e.start for e in dark_knowledge.edges(mean)} == {0, 1, 3}
    assert len(dark_knowledge.similarity_graph(mean, NAMES, order=range(4)).data) > 0
    assert "NaN" not in to_json_plotly(dark_knowledge.heat_map(mean, NAMES).to_dict())


def test_the_width_of_a_line_is_proportional_to_its_probability_with_a_minimum():
    arrows = [dark_knowledge.Edge(0, 1, p) for p in (0.0, 0.1, 0.2)]
    assert dark_knowledge.widths(arrows, widest=0.2) == [3, dark_knowledge.MAX_WIDTH / 2, dark_knowledge.MAX_WIDTH]
    assert dark_knowledge.widths(arrows, widest=0.0) == [3, 3, 3]


def test_the_circular_order_of_six_is_close_to_the_shortest():
    rng = np.random.default_rng(0)
    mean = rng.uniform(size=(6, 6))

    def length(order):
        place = {c: i for i, c in enumerate(order)}
        away = [[min(abs(place[a] - place[b]), 6 - abs(place[a] - place[b])) for b in range(6)] for a in range(6)]
        return ((mean + mean.T) * away).sum()

    order = dark_knowledge.circular_order(mean)
    assert sorted(order) == list(range(6)) and order[0] == 0 and order == dark_knowledge.circular_order(mean)
    best = min(length((0, *rest)) for rest in itertools.permutations(range(1, 6)))
    assert length(order) <= best * 1.05


def test_the_two_directions_are_two_lines_that_keep_their_distance_from_the_classes():
    a, b = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    there, back = dark_knowledge.bend(a, b, gap=0.2), dark_knowledge.bend(b, a, gap=0.2)
    assert np.linalg.norm(there[20] - back[20]) > 0.2
    assert np.linalg.norm(there[0] - a) >= 0.2 and np.linalg.norm(there[-1] - b) >= 0.2
    np.testing.assert_allclose(np.linalg.norm(dark_knowledge.circle([2, 0, 1]), axis=1), 1)
    np.testing.assert_allclose(dark_knowledge.circle([2, 0, 1])[2], [0, 1], atol=1e-12)


@pytest.mark.parametrize("log", [False, True])
def test_every_number_in_the_heat_map_can_be_read_on_its_colour(log):
    figure = dark_knowledge.heat_map(np.random.default_rng(0).dirichlet(np.full(10, 0.3), 10), list("abcdefghij"), diagonal=True, log=log)
    heat, names = figure.data[0], list(figure.data[0].x)
    for texts in figure.data[1:]:
        for x, y in zip(texts.x, texts.y, strict=True):
            place = (heat.z[names.index(y)][names.index(x)] - heat.zmin) / (heat.zmax - heat.zmin)
            (colour,) = sample_colorscale("Cividis", [min(1, max(0, place))], colortype="tuple")
            background, text = luminance(colour), {"white": 1.0, "black": 0.0}[texts.textfont.color]
            assert (max(background, text) + 0.05) / (min(background, text) + 0.05) >= 4.5


def luminance(colour):
    """Relative luminance, as WCAG defines it, of red, green and blue from 0 to 1."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_the_figures_show_the_numbers():
    heat, *texts = dark_knowledge.heat_map(MEAN, NAMES, maximum=0.5).data
    written = {(y, x): text for trace in texts for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)}
    assert (
        heat.zmax == 50
        and written[NAMES[0], NAMES[1]] == "20"
        and (NAMES[0], NAMES[0]) not in written
        and "images of cat, mean probability of dog: 20.0 %" in heat.hovertext[0][1]
    )
    graph = dark_knowledge.similarity_graph(MEAN, NAMES, order=[0, 1, 2, 3], per_class=1, widest=0.25)
    assert max(trace.line.width or 0 for trace in graph.data) == dark_knowledge.MAX_WIDTH
    assert any("images of dog, mean probability of cat: 25.0 %" in (trace.hovertext or ()) for trace in graph.data)


# --- calibration ----------------------------------------------------------------------------------------------------


def test_the_bars_of_a_reliability_diagram_are_the_table_in_percent_without_empty_bins():
    bars = calibration.reliability_bars(TABLE)
    assert {name: np.round(values, 9).tolist() for name, values in bars.items()} == {
        "middle": [75], "width": [50], "accuracy": [75], "low": [60], "high": [86], "confidence": [90], "gap": [15],
        "count": [40], "share": [100],
    }  # fmt: skip


def test_the_gap_is_drawn_from_the_accuracy_to_the_confidence():
    accuracy, gap, *_ = calibration.reliability_figure(TABLE, style=ROLES["student"]).data
    assert accuracy.y[0] == pytest.approx(75) and gap.base[0] == pytest.approx(75) and gap.base[0] + gap.y[0] == pytest.approx(90)
    assert accuracy.error_y.array[0] == pytest.approx(11) and accuracy.error_y.arrayminus[0] == pytest.approx(15)


def test_roles_keep_their_styles_and_other_names_get_different_ones():
    styles = styles_of(["teacher", "baseline", "student", "people"])
    assert {name: styles[name] for name in ROLES} == ROLES and styles["people"] not in ROLES.values()
    two = styles_of(["mlp", "cnn"])
    assert two["mlp"] == ROLES["teacher"] and two["mlp"].symbol != two["cnn"].symbol


def test_scaling_is_an_open_marker_before_and_a_filled_one_after_with_intervals():
    one = {"ece": {"before": (0.05, 0.04, 0.07), "after": (0.01, 0.0, 0.02)}}
    before, after = calibration.scaling_figure({"student": one}).data
    assert (before.marker.symbol, after.marker.symbol) == ("circle-open", "circle") and before.x[0] == pytest.approx(5)
    assert before.error_x.array[0] == pytest.approx(2) and before.error_x.arrayminus[0] == pytest.approx(1)


def test_text_is_16_px_or_more_and_lines_3_px_or_more():
    share = np.linspace(0.1, 1, 10)
    curve = {"share": share, "accuracy": 1 - share / 50, "low": 0.97 - share / 50, "high": 1 - share / 99}
    one = {"ece": {"before": (0.05, 0.04, 0.07), "after": (0.01, 0.0, 0.02)}}
    figures = [
        dark_knowledge.heat_map(MEAN, NAMES),
        dark_knowledge.heat_map(MEAN, NAMES, log=True, diagonal=True),
        dark_knowledge.similarity_graph(MEAN, NAMES, order=range(4)),
        calibration.reliability_figure(TABLE, style=ROLES["teacher"]),
        calibration.coverage_figure({"teacher": curve, "student": curve}),
        calibration.scaling_figure({"student": one}),
    ]
    for figure in figures:
        sizes, lines = texts_and_lines(figure)
        assert sizes and min(sizes) >= 16
        assert all(width >= 3 or width == 0 for width in lines), lines
