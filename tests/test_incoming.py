"""Values of links and of browsers' messages: what is refused, and with which sentence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.server import incoming


@pytest.mark.parametrize(
    ("text", "kind", "expected"), [("4", int, 4), ("-3", int, -3), ("0.5", float, 0.5), ("1e-3", float, 0.001), ("mlp", str, "mlp")]
)
def test_a_value_of_a_link_is_read_in_its_type(text, kind, expected):
    assert incoming.read("x", text, kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ("warm", float, "temperature 'warm' is not a number"),
        ("2.5", int, "temperature '2.5' is not a whole number"),
        ("nan", float, "temperature nan"),
        ("1e999", float, "temperature inf"),
        ("9" * 400, int, "temperature 999"),
        ("x" * 9000, str, "9,000 characters"),
        ("1" * 9000, int, "9,000 characters"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused_by_its_name(refused, text, kind, named):
    with refused(named):
        incoming.read("temperature", text, kind)


def test_more_values_than_any_page_has_are_refused_before_one_is_read(refused):
    with refused("xs has 20,000 values", "200"):
        incoming.read_all("xs", ["not a number"] * 20_000, float)


@given(st.text(), st.sampled_from([int, float, str]))
def test_any_text_is_read_as_a_finite_value_or_refused(text, kind):
    try:
        value = incoming.read("x", text, kind)
    except ValueError as error:
        assert "\n" not in str(error).replace(text, "") and len(str(error)) < 200
    else:
        assert isinstance(value, str) or math.isfinite(value)


@pytest.mark.parametrize(
    ("value", "kind", "options", "named"),
    [
        (7, "string_value", None, "wrong type"),
        ("7", "double_value", None, "wrong type"),
        ([1.0], "double_value", None, "wrong type"),
        (math.nan, "double_value", None, "'nan'"),
        ([0.5, math.inf], "double_array_value", None, "'inf'"),
        ("foo", "string_value", ["digits", "MNIST"], "'foo' is not offered; choose one of: digits, MNIST"),
        (["digits", "foo"], "string_array_value", ["digits", "MNIST"], "'foo' is not offered"),
        (["digits"] * 5000, "string_array_value", ["digits"], "5,000 values"),
        ("x" * 90_000, "string_value", None, "90,000 characters"),
    ],
)
def test_a_value_that_its_widget_cannot_have_is_refused_and_named(value, kind, options, named):
    assert named in incoming.problem(value, kind=kind, options=options)


@pytest.mark.parametrize(
    ("value", "kind", "options"),
    [
        ("MNIST", "string_value", ["digits", "MNIST"]),
        ("any text", "string_value", None),
        ([0.5], "double_array_value", None),
        (20.0, "double_value", None),
        ([], "string_array_value", ["digits"]),
        (True, "trigger_value", None),
        ("x" * 20_000, "json_value", None),
    ],
)
def test_a_value_that_its_widget_can_have_passes(value, kind, options):
    assert incoming.problem(value, kind=kind, options=options) == ""


def test_a_sentence_names_a_few_of_many_options():
    assert incoming.choices([f"cnn-{n}" for n in range(50)]) == ", ".join(f"cnn-{n}" for n in range(8)) + ", ..."


@pytest.mark.parametrize(("selected", "expected"), [([0, 2], [0, 2]), ([99, -1, "x", 1.0, True, 1], [1]), (7, []), (None, []), ("01", [])])
def test_only_rows_that_a_table_has_are_selected(selected, expected):
    assert incoming.rows(selected, 3) == expected
