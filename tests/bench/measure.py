"""Shared by all subjects: the machine's rate, alternating repeats, and a figure as a row of a table."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
import torch


@dataclass(frozen=True)
class Figure:
    """One measured quantity. `values` are its repeats; `goal` is the bound on its median, such as `"at least 30"` or `"at most 1"`."""

    what: str
    values: Sequence[float]
    unit: str
    goal: str = ""

    @property
    def median(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The 95th percentile of the repeats."""
        return sorted(self.values)[round(0.95 * (len(self.values) - 1))]

    @property
    def reached(self) -> bool | None:
        """Whether the median meets the goal; None without a goal."""
        if not self.goal:
            return None
        kind, bound = self.goal.rsplit(" ", 1)
        return self.median >= float(bound) if kind == "at least" else self.median <= float(bound)

    def fields(self) -> dict:
        """The figure as plain values."""
        return {
            "what": self.what,
            "median": self.median,
            "unit": self.unit,
            "values": list(self.values),
            "goal": self.goal,
            "reached": self.reached,
        }

    def row(self) -> str:
        """A row of the table in README.md."""
        goal = {None: "", True: f"{self.goal}: yes", False: f"{self.goal}: **no**"}[self.reached]
        span = f"{_three(min(self.values))} to {_three(max(self.values))}" + (f", p95 {_three(self.p95)}" if len(self.values) >= 20 else "")
        return f"| {self.what} | {_three(self.median)} {self.unit} | {span} | {len(self.values)} | {goal} |"


def _three(value: float) -> str:
    """A figure with at least three digits, and without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


HEAD = "| what | median | range | repeats | goal |\n|---|---|---|---|---|"


def alternate(works: dict[str, Callable[[], object]], *, times: int) -> dict[str, list[float]]:
    """Seconds of each work, measured in turn, so that other load on the machine affects all of them equally."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(times):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratios(seconds: dict[str, list[float]], slow: str, quick: str) -> list[float]:
    """The speed-up of `quick` over `slow`, repeat by repeat."""
    return [a / b for a, b in zip(seconds[slow], seconds[quick], strict=True)]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def thread_counts() -> list[int]:
    """One thread, as each worker has on two cores, and one per core, the default of PyTorch."""
    return sorted({1, os.cpu_count() or 1})


def product(size: int = 2048) -> Callable[[], None]:
    """A product of two matrices: `2 * size**3` operations at the machine's rate."""
    a, b, out = (torch.randn(size, size) for _ in range(3))
    return lambda: torch.mm(a, b, out=out)


def busy() -> float:
    """The load of other programs on the cores, as a fraction, over one second."""
    return psutil.cpu_percent(1.0) / 100


def machine() -> str:
    """The machine in one line, for the head of the table."""
    rates = []
    for count in thread_counts():
        with threads(count):
            seconds = alternate({"product": product()}, times=9)["product"]
            rates.append(f"{2 * 2048**3 / statistics.median(seconds) / 1e9:.0f} GFLOP/s on {count} thread{'s' * (count > 1)}")
    return (
        f"{os.cpu_count()} cores, {busy():.0%} of their time used by other programs, torch {torch.__version__}, "
        f"products of 2048 x 2048 matrices in float32 at {' and '.join(rates)}"
    )
