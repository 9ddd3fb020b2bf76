"""Figures as SVG, for files that are read without a browser component: lines with bands, and bars."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 66, 10, 36  # margins of a line chart
GAP = 14  # between the names at the ends of two lines
EDGE = 2  # that lines may stand over the edge of the plot, where they are cut off
PLOT = (
    f'<clipPath id="plot"><rect x="{LEFT - EDGE}" y="{TOP - EDGE}" width="{WIDTH - LEFT - RIGHT + 2 * EDGE}" '
    f'height="{HEIGHT - TOP - BOTTOM + 2 * EDGE}"/></clipPath>'
)


@dataclass(frozen=True)
class Line:
    """A named line over `xs`, and its band: `points` are mean, low and high. `dash` is SVG's, empty for a solid line."""

    name: str
    xs: Sequence[float]
    points: Sequence[tuple[float, float, float]]
    colour: str
    dash: str


def line_chart(
    lines: Sequence[Line], *, title: str, low: float | None = None, high: float | None = None, zero: bool = False, from_x: float = -math.inf
) -> str:
    """Lines with their bands over the epochs. `zero`: with a line at 0; `from_x`: the vertical axis fits the points from there on.

    What lies outside of the axis is cut off.
    """
    shown = [value for line in lines for x, point in zip(line.xs, line.points, strict=True) if x >= from_x for value in point]
    shown += [0.0] * zero
    low, high = (min(shown) if low is None else low), (max(shown) if high is None else high)
    ticks = round_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    last = max(line.xs[-1] for line in lines)

    def at(x: float, y: float) -> tuple[float, float]:
        down = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + x / last * (WIDTH - LEFT - RIGHT), down

    parts = [_horizontal(at(0, y)[1], f"{y:g}".replace("-", "\u2212"), strong=zero and y == 0) for y in ticks]
    parts += [_label(at(x, low)[0], HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in round_ticks(0, last) if x <= last]
    parts.append(_label(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 4, "epoch", "middle"))
    parts.append(f'{PLOT}<g clip-path="url(#plot)">{"".join(_drawn(line, at) for line in lines)}</g>')
    ends = sorted((at(line.xs[-1], line.points[-1][0])[1], line) for line in lines) if len(lines) > 1 else []
    below = -math.inf
    for height, line in ends:
        below = max(height, below + GAP)
        parts.append(_label(WIDTH - RIGHT + 6, below + 4, line.name, "start", line.colour))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">{"".join(parts)}</svg>'


def round_ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round values from below `low` to `high` or just above it, about so many."""
    span = max(high - low, 1e-9) / about
    unit = 10 ** math.floor(math.log10(span))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, 10) for k in range(first, max(last, first + 1) + 1)]


def bars(names: Sequence[str], values: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> str:
    """Horizontal bars of probabilities, a group for each class and in it a bar for each network, with a legend."""
    height, left, width = 8 * len(values) + 6, 44, 150
    parts = []
    for row, name in enumerate(names):
        top = row * height
        short = name if len(name) <= 7 else f"{name[:6]}\u2026"
        parts.append(_label(left - 4, top + height / 2 + 2, short, "end"))
        for place, (role, own) in enumerate(values.items()):
            long = own[row] * (width - left)
            parts.append(f'<rect x="{left}" y="{top + 1 + 8 * place}" width="{long:.1f}" height="7" fill="{colours[role]}"/>')
    bottom = height * len(names)
    for place, role in enumerate(values):
        parts.append(_label(left + 56 * place, bottom + 12, role, "start", colours[role]))
    return f'<svg viewBox="0 0 {width} {bottom + 16}" role="img" aria-label="soft targets">{"".join(parts)}</svg>'


def _drawn(line: Line, at: object) -> str:
    middle = " ".join("{:.1f},{:.1f}".format(*at(x, mean)) for x, (mean, _, _) in zip(line.xs, line.points, strict=True))
    edge = [(x, high) for x, (_, _, high) in zip(line.xs, line.points, strict=True)]
    edge += [(x, low) for x, (_, low, _) in reversed(list(zip(line.xs, line.points, strict=True)))]
    around = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in edge)
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    return (
        f'<polygon points="{around}" fill="{line.colour}" fill-opacity="0.2"/>'
        f'<polyline points="{middle}" fill="none" stroke="{line.colour}" stroke-width="2.2"{dash}/>'
    )


def _horizontal(y: float, name: str, *, strong: bool) -> str:
    colour = "#1b1d20" if strong else "#d5d8dd"
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
    return line + _label(LEFT - 5, y + 4, name, "end")


def _label(x: float, y: float, text: str, anchor: str, colour: str = "") -> str:
    fill = f' style="fill:{colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{html.escape(text)}</text>'
