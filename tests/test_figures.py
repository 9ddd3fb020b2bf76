"""The learning curves: their numbers, and that the figures show these numbers."""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from plotly.io.json import to_json_plotly
from scipy import stats

from distill_core.figures import palette
from distill_core.figures.classes import confusion_figure, per_class_figure
from distill_core.figures.curves import bands, compare_figure, declutter_labels, race_drawing, race_figure


def record(member="student", seed=0, step=0, **fields):
    unmeasured = dict.fromkeys(("hard_loss", "soft_loss", "test_accuracy", "agreement"))
    return {"experiment": seed, "member": member, "epoch": step / 10, "step": step, **unmeasured, **fields}


def test_the_mean_and_the_t_interval_are_scipys():
    values = np.random.default_rng(0).uniform(0.5, 0.9, size=(4, 3))  # seeds, steps
    records = [record(seed=s, step=10 * e, test_accuracy=values[s, e]) for s in range(4) for e in range(3)]
    band = bands(records)["student", "test_accuracy"]
    low, high = stats.t.interval(0.95, 3, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))
    assert band["x"] == [0, 1, 2]
    assert band["n"] == 4
    assert band["band"] == "interval"
    np.testing.assert_allclose(band["mean"], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(band["low"], low, rtol=1e-12)
    np.testing.assert_allclose(band["high"], high, rtol=1e-12)


def test_a_band_of_accuracies_stays_between_0_and_100_percent():
    values = {"test_accuracy": (1.0, 0.99, 0.7), "agreement": (0.0, 0.01, 0.3), "hard_loss": (0.1, 0.2, 4.0)}
    curves = bands([record(seed=seed, **{name: own[seed] for name, own in values.items()}) for seed in range(3)])
    high, low = curves["student", "test_accuracy"]["high"], curves["student", "agreement"]["low"]
    assert (high, low) == ([1.0], [0.0]) and curves["student", "hard_loss"]["high"][0] > 4.0


def test_two_seeds_span_their_range_and_one_seed_has_no_band():
    two = bands([record(seed=0, hard_loss=1.0), record(seed=1, hard_loss=3.0)])["student", "hard_loss"]
    assert (two["low"], two["mean"], two["high"], two["band"]) == ([1.0], [2.0], [3.0], "range")
    one = bands([record(hard_loss=1.0)])["student", "hard_loss"]
    assert (one["low"], one["mean"], one["high"], one["band"]) == ([], [1.0], [], "")


def test_a_step_counts_only_when_all_seeds_were_measured():
    records = [record(seed=0, step=0, hard_loss=1.0), record(seed=1, step=0, hard_loss=2.0), record(seed=0, step=10, hard_loss=0.5)]
    assert bands(records)["student", "hard_loss"]["x"] == [0]
    assert bands([*records, record(seed=1, step=10, hard_loss=0.7)])["student", "hard_loss"]["x"] == [0, 1]


def test_a_field_that_was_not_measured_has_no_point_and_members_do_not_mix():
    records = [record(step=0, test_accuracy=0.1), record(step=5, hard_loss=2.0), record("baseline", step=5, hard_loss=3.0)]
    curves = bands(records)
    assert curves["student", "test_accuracy"]["x"] == [0]
    assert curves["student", "hard_loss"]["x"] == [0.5]
    assert curves["baseline", "hard_loss"]["mean"] == [3.0]
    assert ("baseline", "test_accuracy") not in curves


def test_of_two_records_of_a_step_the_later_one_counts():
    records = [record(seed=s, step=0, hard_loss=v) for s, v in ((0, 1.0), (1, 1.0), (0, 2.0), (1, 4.0))]
    assert bands(records)["student", "hard_loss"]["mean"] == [3.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_left_out(value):
    records = [record(step=0, hard_loss=1.0), record(step=10, hard_loss=value), record(step=20, hard_loss=2.0)]
    assert bands(records)["student", "hard_loss"]["x"] == [0, 2]


def test_bands_do_not_depend_on_the_order_of_records():
    records = [record(seed=s, step=t, hard_loss=1.0 + s + t) for s in range(3) for t in (0, 10)]
    assert all(bands(order) == bands(records) for order in itertools.islice(itertools.permutations(records), 0, 720, 37))


def test_labels_keep_their_order_their_distance_and_their_bounds():
    assert declutter_labels([10, 50], gap=20) == [10, 50]
    assert declutter_labels([50, 49], gap=20) == [59.5, 39.5]
    places = declutter_labels([98, 97, 99, 20], gap=8, low=0, high=100)
    assert sorted(places, reverse=True)[0] <= 100
    assert all(b - a >= 8 - 1e-9 for a, b in itertools.pairwise(sorted(places)))
    assert np.argsort(places).tolist() == np.argsort([98, 97, 99, 20]).tolist()
    assert declutter_labels([], gap=1) == []


def records_of(epochs, seeds=3):
    return [
        record(member, seed=s, step=10 * e, test_accuracy=base + 0.01 * s + 0.05 * e, hard_loss=2.0 - 0.1 * e)
        for s in range(seeds)
        for e in range(epochs + 1)
        for member, base in (("student", 0.3), ("baseline", 0.2))
    ]


def test_axes_and_traces_stay_the_same_during_a_run():
    figures = [race_figure(bands(records_of(e) if e >= 0 else []), teacher_accuracy=0.98, epochs=10) for e in (-1, 0, 1, 9)]
    layouts = [(p.layout.xaxis.range, p.layout.yaxis.range, p.layout.margin.to_plotly_json()) for p in figures]
    assert all(layout == layouts[0] for layout in layouts)
    assert layouts[0][0] == (0, 10)
    assert layouts[0][1] == (0, 100)
    assert len({tuple(trace.uid for trace in p.data) for p in figures}) == 1


def test_the_figure_shows_percentages_with_their_band_and_the_teacher():
    numbers = bands(records_of(4))
    traces = {trace.uid: trace for trace in race_figure(numbers, teacher_accuracy=0.98, epochs=4).data}
    np.testing.assert_allclose(traces["student test_accuracy"].y, np.array(numbers["student", "test_accuracy"]["mean"]) * 100, atol=0.005)
    area = traces["student test_accuracy band"]
    band = numbers["student", "test_accuracy"]
    np.testing.assert_allclose(area.y, [100 * v for v in (*band["high"], *band["low"][::-1])], atol=0.005)
    assert set(traces["teacher"].y) == {98.0}
    assert "student 51.00 % (48.52 to 53.48)" in traces["student test_accuracy"].hovertext


def test_no_text_of_a_figure_is_none_nan_null_or_undefined():
    for seeds, fields in itertools.product((1, 2, 3), (("test_accuracy",), ("hard_loss", "soft_loss"))):
        figure = race_figure(bands(records_of(3, seeds)), fields=fields, teacher_accuracy=0.9)
        texts = [str(t) for trace in figure.data for t in (trace.name, trace.hovertemplate, *(trace.hovertext or ()), *(trace.text or ()))]
        texts = [s for s in texts if s != "None"] + [figure.layout.xaxis.title.text or "", *(a.text for a in figure.layout.annotations)]
        assert not [s for s in texts if any(word in s for word in ("None", "nan", "null", "undefined"))]
        json.loads(to_json_plotly(figure.to_dict()))


def test_the_title_of_the_horizontal_axis_names_the_band():
    titles = [race_figure(bands(records_of(1, seeds))).layout.xaxis.title.text for seeds in (1, 2, 3)]
    assert titles == ["epoch · one seed", "epoch · band: lowest and highest of 2 seeds", "epoch · band: 95 % interval, 3 seeds"]


def test_text_is_16_px_or_more_and_lines_3_px_or_more():
    figure = race_figure(bands(records_of(3)), fields=("test_accuracy", "hard_loss"), teacher_accuracy=0.9)

    def sizes(value):
        if isinstance(value, dict):
            if isinstance(value.get("font", value.get("textfont")), dict):
                yield value.get("font", value.get("textfont")).get("size", 16)
            for inner in value.values():
                yield from sizes(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from sizes(inner)

    text_sizes = list(sizes(figure.to_dict()))
    assert text_sizes
    assert min(text_sizes) >= 16
    assert min(trace.line.width for trace in figure.data if trace.mode and "lines" in trace.mode) >= 3


@pytest.mark.parametrize("value", [0.0, -1e-9, 1e-7, 0.99, 1.0, 1.5, 2.3, 74, 1e6])
def test_a_loss_axis_starts_at_zero_and_holds_every_point(value):
    low, high = race_figure(bands([record(soft_loss=value)]), fields=("soft_loss",)).layout.yaxis.range
    assert low == 0
    assert value < high <= max(1.5, 2.1 * value)


@pytest.mark.parametrize("log", [False, True])
def test_the_label_of_the_methods_own_loss_titles_its_panel_and_its_hover(log):
    drawing = race_drawing(bands([record(soft_loss=0.5)]), fields=("soft_loss",), loss_label="hint loss (mean square)", log=log)
    assert [title["text"] for title in drawing["layout"]["annotations"]] == ["hint loss (mean square)"]
    assert drawing["layout"]["xaxis"]["unifiedhovertitle"]["text"] == "epoch %{x}<br>hint loss (mean square)"
    assert next(trace["hovertext"] for trace in drawing["data"] if trace["uid"] == "student soft_loss") == ["student 0.500"]


@pytest.mark.parametrize("log", [False, True])
def test_with_several_panels_each_hover_text_names_its_loss(log):
    curves = bands([record(soft_loss=0.5, hard_loss=1.0)])
    drawing = race_drawing(curves, fields=("soft_loss", "hard_loss"), loss_label="hint loss (mean square)", log=log)
    assert [title["text"] for title in drawing["layout"]["annotations"]] == ["hint loss (mean square)", "hard loss (nats)"]
    hover = {trace["uid"]: trace["hovertext"] for trace in drawing["data"] if trace.get("hovertext")}
    assert hover["student soft_loss"] == ["student, hint loss (mean square): 0.500"]
    assert hover["student hard_loss"] == ["student, hard loss (nats): 1.000"]


def test_the_label_of_the_methods_own_loss_is_in_the_comparison_of_runs():
    runs = {"one": bands([record(soft_loss=0.5)])}
    figure = compare_figure(runs, field="soft_loss", loss_label="hint loss (mean square)")
    assert figure.layout.yaxis.title.text == "hint loss (mean square)" and "hint loss" in figure.data[0].hovertext[0]
    assert compare_figure(runs, field="soft_loss").layout.yaxis.title.text == "soft loss (nats)"


def test_baselines_of_compared_runs_differ_in_their_markers_and_name_their_run():
    both = [record(member=member, test_accuracy=0.5) for member in ("student", "baseline")]
    figure = compare_figure({"one": bands(both), "two": bands(both)})
    baselines = [trace for trace in figure.data if "baseline" in trace.name]
    assert [trace.name for trace in baselines] == ["one, baseline", "two, baseline"]
    assert len({trace.marker.symbol for trace in figure.data}) == 4 and all("markers" in trace.mode for trace in baselines)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_styles_differ_in_colour_dash_and_marker_and_have_contrast_on_both_backgrounds():
    styles = [*palette.ROLES.values(), *palette.OTHERS]
    for part in ("light", "dark", "dash", "symbol"):
        assert len({getattr(style, part) for style in styles}) == len(styles), part
    for style in styles:
        assert contrast(style.light, palette.LIGHT_BACKGROUND) >= 3
        assert contrast(style.dark, palette.DARK_BACKGROUND) >= 3


def test_figures_need_neither_torch_nor_a_database():
    code = "import sys, distill_core.figures.curves; print([m for m in ('torch', 'sqlalchemy', 'streamlit') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_figures_are_made_while_another_thread_imports_pandas():
    code = """
import builtins, sys, threading
started, go_on = threading.Event(), threading.Event()
imported = builtins.__import__
def slowly(name, *rest, **more):
    if name == "pandas.core.api" and threading.current_thread() is thread:
        started.set()
        go_on.wait(5)
    return imported(name, *rest, **more)
builtins.__import__ = slowly
thread = threading.Thread(target=lambda: imported("pandas"))
thread.start()
started.wait(20)
threading.Timer(1, go_on.set).start()
from distill_core.figures.classes import confusion_figure
import numpy as np
confusion_figure(np.eye(2), ["cat", "dog"])
assert started.is_set()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_names_from_a_learners_zip_are_no_html_in_a_chart():
    name = '<a href="http://stranger.example">cat</a>'
    for figure in (confusion_figure(np.eye(2), [name, "dog"]), per_class_figure({"teacher": [1, 1]}, [name, "dog"])):
        assert "<a" not in figure.to_json().replace("\\u003c", "<") and "&lt;a href" in figure.to_json().replace("\\u003c", "<")
