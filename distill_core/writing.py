"""What a language model writes from a prompt, what it expects next, and how its sentences compare with the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distill_core.data.dataset import seeded
from distill_core.data.grammar import little_language
from distill_core.data.text import Text
from distill_core.data.texts import LITTLE, SHAKESPEARE, sentence_start
from distill_core.language_models import LanguageModel, write

MAX_PROMPT = 500  # characters
JUDGED = 400  # texts of one window that are written to be judged
PROMPTS = {LITTLE: "the king that sees the dogs", SHAKESPEARE: "ROMEO:"}  # an own text has none: networks begin a sentence
SAMPLED_AT, SAMPLED_WORDS, SAMPLED_CHARACTERS = 0.8, 16, 60  # T and length of what networks write while they are trained


def prompt_tokens(dataset: Text, prompt: str) -> list[int]:
    """The tokens that a model reads before it writes: the start of a sentence, then the prompt.

    Raises `ValueError` with one sentence for a prompt that is too long or not in the vocabulary.
    """
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"the prompt has {len(prompt):,} characters; give {MAX_PROMPT} at most")
    return [sentence_start(dataset), *dataset.encode(prompt)]


def continue_prompt(model: LanguageModel, dataset: Text, prompt: Sequence[int], *, tokens: int, temperature: float, seed: int) -> list[int]:
    """What a model writes after a prompt; the same seed gives the same text."""
    begin = torch.tensor([list(prompt)], device=model.stem.weight.device)
    text = write(model, begin, tokens, length=dataset.length, temperature=temperature, generator=seeded(seed, "text"))
    return text[0, len(prompt) :].tolist()


def sample(model: LanguageModel, dataset: Text, *, seed: int) -> str:
    """What a model writes after the prompt of its text: the same random numbers each time, so that only the model makes a difference."""
    prompt, tokens = prompt_tokens(dataset, PROMPTS.get(dataset.name, "")), SAMPLED_WORDS if dataset.separator else SAMPLED_CHARACTERS
    text = continue_prompt(model, dataset, prompt, tokens=tokens, temperature=SAMPLED_AT, seed=seed)
    return dataset.separator + dataset.decode(text)


@torch.no_grad()
def next_logits(model: LanguageModel, dataset: Text, prompt: Sequence[int]) -> Tensor:
    """Logits `(V,)` of the token after a prompt."""
    return model(torch.tensor([list(prompt)[-dataset.length :]]))[0, -1]


@torch.no_grad()
def entropies(model: LanguageModel, dataset: Text, tokens: Sequence[int]) -> list[float]:
    """How uncertain the model was about each token of a text but the first, in bits, from the `length` tokens before it."""
    found: list[float] = []
    for begin in range(0, len(tokens) - 1, dataset.length):
        log_p = model(torch.tensor([tokens[begin : min(begin + dataset.length, len(tokens) - 1)]]))[0].log_softmax(dim=-1)
        found += (-(log_p.exp() * log_p).sum(dim=-1) / np.log(2)).tolist()
    return found


def judge(model: LanguageModel, dataset: Text, *, seed: int = 0, texts: int = JUDGED) -> dict:
    """Sentences of the little language that a model writes at T = 1, judged by the grammar.

    `grammatical`: the share of whole sentences that the grammar can produce; `kinds`: the share of all kinds of sentences among
    them; `frequencies`: how often each kind is written, in the order of the grammar's kinds.
    """
    begin = torch.full((texts, 1), sentence_start(dataset))
    written = write(model, begin, dataset.length, length=dataset.length, generator=seeded(seed, "judged"))
    return little_language().judge(written.numpy())


def judge_truth(dataset: Text, *, seed: int = 0, texts: int = JUDGED) -> dict:
    """The same of as many texts that the grammar itself draws: what a perfect model would reach."""
    return little_language().judge(little_language().draw(texts, dataset.length + 1, seed=seed + 1000))


def kinds_of_truth() -> list[float]:
    """The true probability of each kind of sentence of the little language."""
    return list(little_language().kinds.values())
