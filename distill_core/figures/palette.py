"""Who is drawn how: each role by colour, by dash and by marker, so that a chart reads without its colours.

The colours are Okabe and Ito's, which colour-blind readers can tell apart; each has a contrast of at least 3 : 1 on its
background (their reddish purple is darkened for that on white).
"""

from __future__ import annotations

from dataclasses import dataclass

LIGHT_BACKGROUND = "#FFFFFF"  # as in .streamlit/config.toml
DARK_BACKGROUND = "#14161A"


@dataclass(frozen=True)
class Role:
    """How one role is drawn. `light` and `dark` name the page's background, not the colour's own shade."""

    light: str
    dark: str
    dash: str
    symbol: str


ROLES = {
    "teacher": Role(light="#009E73", dark="#009E73", dash="dot", symbol="diamond"),  # bluish green
    "student": Role(light="#0072B2", dark="#56B4E9", dash="solid", symbol="circle"),  # blue, sky blue
    "baseline": Role(light="#D55E00", dark="#E69F00", dash="dash", symbol="square"),  # vermillion, orange
}
OTHERS = (
    Role(light="#B0528A", dark="#CC79A7", dash="dashdot", symbol="triangle-up"),  # reddish purple
    Role(light="#1B1D21", dark="#F0E442", dash="longdash", symbol="x"),  # black, yellow
)

INK = "#1B1D20"  # what is nobody's, such as an interval over a bar

# A figure is drawn in its light colours; the page replaces them by these when it is dark.
DARK = {role.light: role.dark for role in (*ROLES.values(), *OTHERS)} | {INK: "#F2F3F5"}


def role(name: str, others: int = 0) -> Role:
    """The role called `name`, or for any other name one of the remaining looks, by its number."""
    return ROLES.get(name) or OTHERS[others % len(OTHERS)]


def hatched(colour: str) -> dict:
    """A bar's marker with hatching inside an outline, beside bars that are filled."""
    return {"color": "rgba(0,0,0,0)", "line": {"color": colour, "width": 3}, "pattern": {"shape": "/", "fgcolor": colour, "size": 8}}
