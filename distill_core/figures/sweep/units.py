"""The numbers of a sweep as text: percentage points and percent of images, bits a character of a text.

A gain is above 0 where the student is better than its baseline: of accuracies the student's minus the baseline's, of bits, of which
fewer are better, the baseline's minus the student's.
"""

from __future__ import annotations

import math

from distill_core.statistics import BITS, Score, format_bits

POINTS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)
BITS_A_CHARACTER = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def limits(score: Score) -> tuple[float, ...]:
    """The possible ends of the colour scale."""
    return BITS_A_CHARACTER if score is BITS else POINTS


def digits(score: Score) -> int:
    """Decimals of a gain in a cell and in words."""
    return 3 if score is BITS else 1


def format_value_of(score: Score, value: float) -> str:
    """What a network reaches: 94.82 %, 3.542 bits."""
    return f"{format_bits(value)} bits" if score is BITS else f"{value:.2f} %"


def format_gain(score: Score, gain: float, *, more: int = 0, unit: bool = True) -> str:
    """A gain with its sign and unit; `more`: further decimals."""
    number = _signed(gain, digits(score) + more)
    return f"{number} {score.unit}" if unit else number


def format_interval(score: Score, low: float, high: float, *, more: int = 0) -> str:
    """The interval of a gain, which is not known for bits of one seed."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval with one seed"
    return "95 % interval {} to {}".format(*(_signed(value, digits(score) + more) for value in (low, high)))


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "\u2212")


def legend(score: Score) -> str:
    """What the colours of a heat map mean."""
    if score is BITS:
        return (
            "Blue: the student needs fewer bits a character than its baseline, which is better; orange: more. "
            "Hatched: the 95 % interval includes zero, or is not known because there is one seed. Framed: the best cell."
        )
    return (
        "Blue: student above its baseline, in percentage points; orange: below it. "
        "Hatched: the 95 % interval includes zero. Framed: the best cell."
    )


def gain_title(score: Score) -> str:
    """The title of an axis with gains."""
    return "gain (bits a character)" if score is BITS else "student minus baseline (points)"


def value_title(score: Score) -> str:
    """The title of an axis with what networks reach."""
    return "bits a character (lower is better)" if score is BITS else "test accuracy (%)"


def set_of_choice(score: Score, *, validation: int = 0) -> str:
    """On what a cell is chosen: so many examples that are held out, or the test set."""
    if validation:
        return f"{validation:,} validation {'windows' if score is BITS else 'images'}"
    return "the test text" if score is BITS else "the test images"
