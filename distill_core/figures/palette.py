"""The style of each role: colour, dash and marker, so that a chart can be read without its colours.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart. Each has a contrast of at least 3 : 1 on
its background (their reddish purple is darkened for that on white).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LIGHT_BACKGROUND = "#FFFFFF"  # as in .streamlit/config.toml
DARK_BACKGROUND = "#14161A"


@dataclass(frozen=True)
class Style:
    """How one role is drawn. `light` and `dark` name the page's background, not the colour's own shade."""

    light: str
    dark: str
    dash: str
    symbol: str


ROLES = {
    "teacher": Style(light="#009E73", dark="#009E73", dash="dot", symbol="diamond"),  # bluish green
    "student": Style(light="#0072B2", dark="#56B4E9", dash="solid", symbol="circle"),  # blue, sky blue
    "baseline": Style(light="#D55E00", dark="#E69F00", dash="dash", symbol="square"),  # vermillion, orange
}
OTHERS = (
    Style(light="#B0528A", dark="#CC79A7", dash="dashdot", symbol="triangle-up"),  # reddish purple
    Style(light="#1B1D21", dark="#F0E442", dash="longdash", symbol="x"),  # black, yellow
)

TEXT_COLOUR = "#1B1D20"  # for marks that belong to no role, such as an interval on a bar
GREY = "#8A8F98"  # for reference lines; it has enough contrast on both backgrounds

# A figure is drawn in its light colours; on a dark page the browser replaces them by these.
DARK = {style.light: style.dark for style in (*ROLES.values(), *OTHERS)} | {TEXT_COLOUR: "#F2F3F5"}


def style_of(name: str, number: int = 0) -> Style:
    """The style of the role `name`; for any other name the other style with this number."""
    return ROLES.get(name) or OTHERS[number % len(OTHERS)]


def styles_of(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name of one figure: roles have their own, other names get those that no role in the figure uses."""
    unused = [ROLES[name] for name in ROLES if name not in names]
    free = [*OTHERS, *unused] if "teacher" in names else [*unused[:1], *OTHERS, *unused[1:]]
    others = [name for name in names if name not in ROLES]
    return {name: ROLES.get(name) or free[others.index(name) % len(free)] for name in names}


def hatched(colour: str) -> dict:
    """The marker of a hatched bar with an outline, next to bars that are filled."""
    return {"color": "rgba(0,0,0,0)", "line": {"color": colour, "width": 3}, "pattern": {"shape": "/", "fgcolor": colour, "size": 8}}


def plain_labels(names: Iterable[str]) -> list[str]:
    """Names from a learner's zip or a title as a chart shows them: Plotly renders a part of HTML, links among it."""
    return [html.escape(name, quote=False) for name in names]
