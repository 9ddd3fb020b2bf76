"""The settings that some methods have beside T and alpha: what each means, its limits, and a method with values of them.

A setting is a field of an Experiment. Where it has its default, it is not in the run's key; a method without the setting can only
have the default. SETTINGS lists all of them, CONFIGURED how each method takes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from distill_core.batch import Method
from distill_core.bounds import check_choice, check_range
from distill_core.text_objectives import TOP, jensen_shannon_with, method_of, top_k_with

ONE_CLASS, LEFT_OUT = "one-class", "left-out"
NEAREST = 0.001  # beta nearer to 0 or 1, but not 0 or 1 itself, is lost in the rounding of float32
FIXED = ("jensen-shannon-0.1", "jensen-shannon-0.9", "top-5", "top-5-scaled")  # methods that are others with certain settings


@dataclass(frozen=True)
class Setting:
    """What a setting is called, on a page and within a sentence; its default and limits; the methods that have it.

    `most` 0: the number of classes. `choices`: of a name, with their titles.
    """

    title: str
    symbol: str
    help: str
    default: float | int | str
    methods: tuple[str, ...]
    least: float = 0
    most: float = 1
    choices: Mapping[str, str] | None = None


SETTINGS = {
    "on_policy_share": Setting(
        "lambda, the share of on-policy steps",
        "lambda",
        "The share of the steps in which the student trains on text that it writes itself, from 0 (never) to 1 (always: the charts of "
        "losses, which are measured on the data set, then stay empty), in Agarwal et al. 2024 (GKD), section 3.",
        default=0.5,
        methods=("on-policy", "on-policy-reverse-kl"),
    ),
    "beta": Setting(
        "beta, from the soft loss to its reverse",
        "beta",
        "The weight of the teacher's distribution in the mixture with which both are compared, from 0 (the limit is the soft loss) to 1 "
        "(its reverse), in Agarwal et al. 2024 (GKD), section 2.",
        default=0.5,
        methods=("jensen-shannon",),
    ),
    "top_k": Setting(
        "k, probabilities that the teacher gives",
        "k",
        "How many of the teacher's largest probabilities the student is trained on, from 1 to the number of all tokens, which are the "
        "soft targets themselves, in Peng et al. 2024, section 3.2.",
        default=TOP,
        methods=("top-k",),
        least=1,
        most=0,
    ),
    "rest": Setting(
        "Rest of the probability",
        "rest",
        "What becomes of the probability of the tokens beyond the k: one further class of both networks, which is ours, or nothing, with "
        "the k scaled to 1, in Peng et al. 2024, section 3.2.",
        default=ONE_CLASS,
        methods=("top-k",),
        choices={ONE_CLASS: "one further class", LEFT_OUT: "left out, the k scaled to 1"},
    ),
}
DEFAULTS = {name: setting.default for name, setting in SETTINGS.items()}


def settings_of(method: str) -> tuple[str, ...]:
    """The names of the settings that a method has."""
    return tuple(name for name, setting in SETTINGS.items() if method in setting.methods)


def check_settings(method: str, values: Mapping[str, object], *, classes: int) -> None:
    """Raise `ValueError` for a value that the method cannot have; `values` has all settings, `classes` is the number of tokens."""
    for name, setting in SETTINGS.items():
        if method not in setting.methods:
            if values[name] != setting.default:
                choose = " or ".join(setting.methods)
                raise ValueError(f"{name} {values[name]} has no effect on method '{method}'; leave it out, or choose {choose}")
        elif setting.choices:
            check_choice(name, values[name], setting.choices)
        else:
            check_range(name, values[name], setting.least, setting.most or classes)
    if 0 < min(values["beta"], 1 - values["beta"]) < NEAREST:
        raise ValueError(
            f"beta {values['beta']} is too near to its limit for float32; give 0, 1, or a number from {NEAREST} to {1 - NEAREST}"
        )
    if values["top_k"] == 1 and values["rest"] == LEFT_OUT:
        raise ValueError(f"top_k 1 scaled to 1 is the same whatever the teacher outputs; give rest {ONE_CLASS}, or top_k 2 or more")


def in_words(method: str, values: Mapping[str, object]) -> str:
    """The settings of a method and their values: "k 5, rest one-class"; empty for a method without any."""
    own = ((SETTINGS[name].symbol, values[name]) for name in settings_of(method))
    return ", ".join(f"{symbol} {value if isinstance(value, str) else format(value, 'g')}" for symbol, value in own)


# --- a method with its settings -------------------------------------------------------------------------------------


def configured(method: str, values: Mapping[str, object]) -> Method:
    """The method with these values of its settings; `values` may have further names."""
    own = {name: values[name] for name in settings_of(method)}
    return CONFIGURED[method](method_of(method), **own) if own else method_of(method)


def with_beta(method: Method, *, beta: float) -> Method:
    """The weight makes the loss as large as the soft loss at high temperatures, whatever beta; at 0 and 1 it is a limit itself."""
    return replace(method, loss=jensen_shannon_with(beta), weight=1.0 if beta in (0, 1) else 1 / (beta * (1 - beta)))


def with_probabilities(method: Method, *, top_k: int, rest: str) -> Method:
    return replace(method, loss=top_k_with(top_k, keep_rest=rest == ONE_CLASS))


def with_share(method: Method, *, on_policy_share: float) -> Method:
    return replace(method, student_writes=on_policy_share)


CONFIGURED: dict[str, Callable[..., Method]] = {
    "on-policy": with_share,
    "on-policy-reverse-kl": with_share,
    "jensen-shannon": with_beta,
    "top-k": with_probabilities,
}
