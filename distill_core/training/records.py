"""The records of a run: plain values, one for each member at each step that is measured, and the result at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from torch import Tensor

from distill_core import analysis
from distill_core.experiment import Experiment
from distill_core.objectives import Method
from distill_core.training.run_data import RunData

Record = dict  # {"event": "record", "member": "student" | "baseline" | "assistant-1" | "teacher", "epoch": ..., ...}
PAIR = ("student", "baseline")
TEACHER = "teacher"  # the member that is generation 0, where the teacher is `self`
MEASURED = ("hard_loss", "soft_loss", "test_accuracy", "validation_accuracy", "agreement")
MEASURED_OF_TEXT = ("hard_loss", "soft_loss", "test_bits_per_character", "validation_bits_per_character", "agreement")


def record(member: str, *, step: int, epoch: float, seconds: float, of_text: bool = False, **measured: float) -> Record:
    """One record, with the fields of images or of a text.

    What was not measured at this step is None, and so is the loss of a run that diverged: NaN is no JSON.
    """
    finite = {name: value for name, value in measured.items() if math.isfinite(value)}
    values = {name: finite.get(name) for name in (MEASURED_OF_TEXT if of_text else MEASURED)}
    return {"event": "record", "member": member, "epoch": round(epoch, 4), "step": step, "seconds": round(seconds, 4), **values}


def result(
    experiment: Experiment,
    data: RunData,
    *,
    seconds: float,
    scores: dict[str, dict],
    correct: dict[str, Tensor],
    assistants: Sequence[dict] = (),
) -> Record:
    """The last record of a race, from the `scores` of its members, and of its assistants if it has any.

    `correct`: for each member, which test images it classifies correctly, `(N_test,)`. From it student and baseline each
    get `discordant`: the number of images that this one of the two classifies correctly and the other does not. Of a text it has
    the bits a character of each window, and both get `difference_error`, the standard error of the mean difference.
    """
    if scores.keys() >= set(PAIR):
        scores = dict(scores)
        for one, other in (PAIR, PAIR[::-1]):
            if data.dataset.is_text:
                scores[one] = {**scores[one], "difference_error": analysis.standard_error(correct[one] - correct[other])}
            else:
                scores[one] = {**scores[one], "discordant": analysis.discordant(correct[one], correct[other])}
    return {
        "event": "result",
        "key": experiment.key,
        "experiment": asdict(experiment),
        "seconds": round(seconds, 4),
        **scores,
        "teacher": data.teacher_scores[data.number_of(experiment) % len(data.teacher_scores)],
        **({"assistants": list(assistants)} if assistants else {}),
    }


def logged_measures(method: Method, member: str) -> tuple[str, ...]:
    """What is recorded of a member: a baseline has no regressor of its own, and no peers; generation 0 has no teacher."""
    if member == TEACHER:
        return ("hard_loss", "test_accuracy", "test_bits_per_character")
    only_hard = member == "baseline" and (method.make_regressor or method.peers)
    return tuple(name for name in dict.fromkeys(MEASURED + MEASURED_OF_TEXT) if name != "soft_loss" or not only_hard)
