"""The cells of a sweep: every combination of the values of two choices, each over several seeds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from distill_core.experiment import Experiment
from distill_core.statistics import score_of

AXES = ("temperature", "alpha", "student", "images", "label_noise", "teacher", "method", "on_policy_share", "beta", "top_k")
MAX_RACES = 400  # of one sweep


@dataclass(frozen=True)
class Grid:
    """A sweep: `y` sets the rows, `x` the columns, each cell has `seeds` races. A sweep of a single choice has one value of `y`."""

    x: str
    xs: tuple
    y: str
    ys: tuple
    seeds: int

    def place(self, row: int, column: int, seed: int) -> int:
        """The index of a race in `experiments`."""
        return (row * len(self.xs) + column) * self.seeds + seed

    def experiments(self, usual: Experiment) -> list[Experiment]:
        """The races of all cells, row by row. Raises `ValueError` for axes or values that make no sweep."""
        for axis, values in ((self.x, self.xs), (self.y, self.ys)):
            if axis not in AXES:
                raise ValueError(f"axis '{axis}' is not known; choose one of: {', '.join(AXES)}")
            if not values:
                raise ValueError(f"{axis} has no value; choose one or more")
            if len(set(values)) != len(values):
                raise ValueError(f"{axis} has a value twice ({', '.join(map(str, values))}); give each value once")
        if self.x == self.y:
            raise ValueError(f"both axes are {self.x}; choose two different ones")
        races = len(self.xs) * len(self.ys) * self.seeds
        if not 1 <= races <= MAX_RACES:  # before one of them is built
            raise ValueError(
                f"{len(self.xs)} x {len(self.ys)} cells with {self.seeds} seeds are {races:,} races; give from 1 to {MAX_RACES}, for "
                "example fewer values or fewer seeds"
            )
        return list(_races(self, usual))


@functools.lru_cache(maxsize=64)
def _races(grid: Grid, usual: Experiment) -> tuple[Experiment, ...]:
    """Built once: a page asks for the same ones, and for their keys, at every rerun."""
    cells = [{grid.x: x, grid.y: y} for y in grid.ys for x in grid.xs]
    return tuple(replace(usual, **cell, seed=usual.seed + seed) for cell in cells for seed in range(grid.seeds))


def grid_of(experiments: Sequence[Experiment]) -> Grid:
    """The sweep of these experiments: the inverse of `Grid.experiments`."""
    seeds = len({experiment.seed for experiment in experiments})
    cells = experiments[::seeds]
    values = {axis: tuple(dict.fromkeys(getattr(cell, axis) for cell in cells)) for axis in AXES}
    varying = [axis for axis in AXES if len(values[axis]) > 1]
    if len(varying) > 2:
        raise ValueError(f"{', '.join(varying)} all vary; a sweep has two axes")
    x = next((axis for axis in varying if getattr(cells[0], axis) != getattr(cells[1], axis)), AXES[0])
    y = next((axis for axis in varying if axis != x), next(axis for axis in AXES if axis != x))
    return Grid(x, values[x], y, values[y], seeds)


def best_settings(experiments: Sequence[Experiment], results: Sequence[dict]) -> list[tuple[Experiment, float]]:
    """The settings of a sweep, best first, each with its gain: mean test accuracy above the baseline's, in percentage points.

    Of a text it is the number of bits a character that the student needs less than its baseline.

    The order is that of the same gain on the validation images, where there are any: what is chosen on them is only
    reported on the test images. Both are means over the seeds.
    """
    by_setting: dict[Experiment, list[dict]] = {}
    for experiment, result in zip(experiments, results, strict=True):
        by_setting.setdefault(replace(experiment, seed=0), []).append(result)
    score = score_of(results[0]["student"])
    measure = score.validation if experiments[0].validation else score.field
    factor = score.sign * score.scale
    ordered = sorted(by_setting, key=lambda setting: -_gain(by_setting[setting], measure, factor))
    return [(setting, _gain(by_setting[setting], score.field, factor)) for setting in ordered]


def _gain(results: Sequence[dict], measure: str, factor: float) -> float:
    return factor * fmean(one["student"][measure] - one["baseline"][measure] for one in results)
