"""A sweep: its cells as numbers and in words, its figures, and accuracy against size."""

from distill_core.figures.sweep.figures import cell_figure, colour_limit, slice_figure, sweep_figure
from distill_core.figures.sweep.numbers import Cells, best_along, best_cell, cell_lines, cells, choice_along, neighbours
from distill_core.figures.sweep.size import front_figure, pareto_front
from distill_core.figures.sweep.units import gain_title, legend, set_of_choice
from distill_core.figures.sweep.words import (
    NAMES,
    axis_title,
    best_by_row,
    best_in_words,
    format_value,
    short_name,
    summary,
    tick_labels,
)

__all__ = [
    "NAMES",
    "Cells",
    "axis_title",
    "best_along",
    "best_by_row",
    "best_cell",
    "best_in_words",
    "cell_figure",
    "cell_lines",
    "cells",
    "choice_along",
    "colour_limit",
    "format_value",
    "front_figure",
    "gain_title",
    "legend",
    "neighbours",
    "pareto_front",
    "set_of_choice",
    "short_name",
    "slice_figure",
    "summary",
    "sweep_figure",
    "tick_labels",
]
