"""The little language: sentences of forty words, drawn from a finite-state grammar whose probabilities are known exactly.

A state and a word have one next state. The words so far therefore determine the state, and the true distribution of the next
word is that of the state: nothing is estimated. A verb agrees with its subject also behind a relative clause ("the king that
sees the dogs sings"), and each subject has verbs that it prefers.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

END = "."
ADJECTIVES = ("small", "big", "red", "happy", "quiet")
SINGULAR, PLURAL = ("cat", "dog", "bird", "child", "king"), ("cats", "dogs", "birds", "children", "kings")
ACTS = (("sleeps", "sleep"), ("sings", "sing"), ("runs", "run"))  # verbs without an object, singular and plural
DEEDS = (("sees", "see"), ("hears", "hear"), ("likes", "like"), ("follows", "follow"))  # with an object
ADVERBS = ("today", "often", "slowly", "again")
DETERMINERS = {0: ("the", "a", "every"), 1: ("the", "some", "many")}  # of singular and plural nouns
WORDS = (
    END, "the", "a", "every", "some", "many", "that", *ADJECTIVES, *SINGULAR, *PLURAL,
    *itertools.chain(*ACTS), *itertools.chain(*DEEDS), *ADVERBS,
)  # fmt: skip
NUMBER = {word: number for number, word in enumerate(WORDS)}
SEED = 7

State = tuple  # a name and what has to be remembered, such as ("verb", "king")
Choices = dict[str, tuple[float, State]]  # by word: its probability, and the next state


class Grammar:
    """The states, each with its possible words, their probabilities and the states that they lead to.

    A sentence: a subject of determiner, perhaps an adjective, and noun; perhaps a relative clause; a verb without an object and
    perhaps an adverb, or a verb and its object. `seed` sets the probabilities of the words.
    """

    start: State = ("start",)

    def __init__(self, seed: int = SEED) -> None:
        self._rng = np.random.default_rng(seed)
        self.states: dict[State, Choices] = {}
        waiting = [self.start]
        while waiting:
            state = waiting.pop()
            if state not in self.states:
                self.states[state] = self._choices(*state)
                waiting += [following for _, following in self.states[state].values()]
        self.names = list(self.states)
        place = {state: number for number, state in enumerate(self.names)}
        self.probabilities = np.zeros((len(self.names), len(WORDS)))  # (S, V) true next-word distribution of each state
        self.following = np.full((len(self.names), len(WORDS)), -1)  # (S, V) next state; -1 for a word that cannot come
        for state, choices in self.states.items():
            for word, (probability, following) in choices.items():
                self.probabilities[place[state], NUMBER[word]] = probability
                self.following[place[state], NUMBER[word]] = place[following]

    def _choices(self, name: str, *memory: str) -> Choices:
        """What may follow in one state."""
        if name == "start":
            return self._determiner(("subject",))
        if name.endswith("-the"):  # "the" goes before both numbers
            role = (name.removesuffix("-the"), *memory)
            return self._noun_phrase(role, SINGULAR + PLURAL)
        if name.endswith("-noun") or name.endswith("-adjective"):
            role, nouns = (name.rpartition("-")[0], *memory[:-1]), {"s": SINGULAR, "p": PLURAL, "b": SINGULAR + PLURAL}[memory[-1]]
            return self._noun_phrase(role, nouns) if name.endswith("-noun") else self._spread(nouns, lambda noun: self._after(role, noun))
        subject = memory[0] if memory else ""
        if name == "after-subject":
            relative = {"that": (0.25, ("relative", subject))}
            return relative | self._verbs(subject, 0.75, act=lambda verb: ("act",), deed=lambda verb: ("deed",))
        if name == "relative":
            return self._verbs(subject, 1.0, deed=lambda verb: ("clause", subject))
        if name == "clause":
            return self._determiner(("inner", subject))
        if name == "verb":
            return self._verbs(subject, 1.0, act=lambda verb: ("act",), deed=lambda verb: ("deed",))
        if name == "act":
            return self._spread(ADVERBS, lambda word: ("end",), share=0.6) | {END: (0.4, self.start)}
        if name == "deed":
            return self._determiner(("object",))
        return {END: (1.0, self.start)}

    def _determiner(self, role: tuple[str, ...]) -> Choices:
        either = {"the": (0.4, (f"{role[0]}-the", *role[1:]))}
        one = self._spread(DETERMINERS[0][1:], lambda word: (f"{role[0]}-noun", *role[1:], "s"), share=0.35)
        return either | one | self._spread(DETERMINERS[1][1:], lambda word: (f"{role[0]}-noun", *role[1:], "p"), share=0.25)

    def _noun_phrase(self, role: tuple[str, ...], nouns: tuple[str, ...]) -> Choices:
        kind = "b" if len(nouns) > len(SINGULAR) else "s" if nouns == SINGULAR else "p"
        described = self._spread(ADJECTIVES, lambda word: (f"{role[0]}-adjective", *role[1:], kind), share=0.3)
        return described | self._spread(nouns, lambda noun: self._after(role, noun), share=0.7)

    def _after(self, role: tuple[str, ...], noun: str) -> State:
        """The state after the noun of a subject, of an object, or of a relative clause's object."""
        return {"subject": ("after-subject", noun), "inner": ("verb", *role[1:]), "object": ("end",)}[role[0]]

    def _verbs(self, subject: str, share: float, **next_of: object) -> Choices:
        """Verbs in the subject's number; each subject prefers its own."""
        number = int(subject in PLURAL)
        found: Choices = {}
        if "act" in next_of:
            found |= self._spread([forms[number] for forms in ACTS], next_of["act"], share=0.55 * share)
            share *= 0.45
        return found | self._spread([forms[number] for forms in DEEDS], next_of["deed"], share=share)

    def _spread(self, words: tuple[str, ...] | list[str], next_of, share: float = 1.0) -> Choices:  # noqa: ANN001
        """`share`, divided over the words at random, some of them much more probable than others."""
        drawn = self._rng.dirichlet([0.8] * len(words)) * 0.9 + 0.1 / len(words)
        return {word: (share * float(part), next_of(word)) for word, part in zip(words, drawn, strict=True)}

    # --- what is known exactly --------------------------------------------------------------------------------------

    def states_along(self, tokens: np.ndarray) -> np.ndarray:
        """The state after each token of texts `(N, L)` that begin with the end of a sentence; -1 from an impossible word on.

        After the end of a sentence the state is `start` again, also where the sentence was impossible.
        """
        start, end = self.names.index(self.start), NUMBER[END]
        found, state = np.empty(tokens.shape, dtype=np.int64), np.full(len(tokens), start)
        for position in range(tokens.shape[1]):
            word = tokens[:, position]
            state = np.where(word == end, start, np.where(state < 0, -1, self.following[state, word]))
            found[:, position] = state
        return found

    def log_probabilities(self, tokens: Tensor) -> Tensor:
        """The true next-word distribution after each token `(N, L)`, as logarithms `(N, L, V)`; -inf for words that cannot come."""
        table = torch.from_numpy(np.log(np.where(self.probabilities > 0, self.probabilities, 1e-300))).float()
        table = table.masked_fill(torch.from_numpy(self.probabilities == 0), -torch.inf)
        return table[torch.from_numpy(self.states_along(tokens.cpu().numpy()))].to(tokens.device)

    @functools.cached_property
    def stationary(self) -> np.ndarray:
        """How often each state occurs in a long text, `(S,)`: the solution of pi = pi P."""
        count = len(self.names)
        moves = np.zeros((count, count))
        for state, word in zip(*np.nonzero(self.probabilities), strict=True):
            moves[state, self.following[state, word]] += self.probabilities[state, word]
        equations = np.vstack([moves.T - np.eye(count), np.ones(count)])
        return np.linalg.lstsq(equations, np.append(np.zeros(count), 1.0), rcond=None)[0]

    @functools.cached_property
    def entropy_rate(self) -> float:
        """Bits a word of a long text: the mean entropy of the next word, which no model can beat."""
        p = self.probabilities
        return float(self.stationary @ -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1))

    # --- drawing and judging sentences ------------------------------------------------------------------------------

    def draw(self, texts: int, length: int, *, seed: int) -> np.ndarray:
        """Texts `(N, length)` of sentence after sentence, each beginning with the end of one."""
        rng, tokens = np.random.default_rng(seed), np.empty((texts, length), dtype=np.int64)
        cumulative = self.probabilities.cumsum(axis=1)
        state = np.full(texts, self.names.index(self.start))
        tokens[:, 0] = NUMBER[END]
        for position in range(1, length):
            word = (rng.random((texts, 1)) * cumulative[state, -1:] >= cumulative[state]).sum(axis=1)
            tokens[:, position] = word
            state = self.following[state, word]
        return tokens

    @functools.cached_property
    def kinds(self) -> dict[str, float]:
        """All kinds of sentences with their probabilities. A kind: singular or plural, relative clause or not, and which verb."""
        found: dict[str, float] = defaultdict(float)
        place = self.names.index(self.start)
        waiting: list[tuple[int, tuple[int, ...], float]] = [(place, (), 1.0)]
        merged: dict[tuple[int, str], float] = {}
        while waiting:  # by depth: prefixes with the same state and kind so far are one
            merged.clear()
            for state, words, probability in waiting:
                for word in np.flatnonzero(self.probabilities[state]):
                    share, following = probability * self.probabilities[state, word], self.following[state, word]
                    trail = (*words, *_marks(WORDS[word]))
                    if word == NUMBER[END]:
                        found[" ".join(trail)] += share
                    else:
                        merged[following, trail] = merged.get((following, trail), 0.0) + share
            waiting = [(state, trail, probability) for (state, trail), probability in merged.items()]
        return dict(found)

    def judge(self, tokens: np.ndarray) -> dict:
        """Of texts `(N, L)` that begin with the end of a sentence: the share of grammatical sentences, and of kinds that occur.

        Only whole sentences count. A kind is covered if a grammatical sentence of it was written; `frequencies` has the share of each
        kind, in the order of `kinds`.
        """
        right = whole = 0
        seen: dict[str, int] = dict.fromkeys(self.kinds, 0)
        for states, words in zip(self.states_along(tokens), tokens, strict=True):
            ends = np.flatnonzero(words == NUMBER[END])
            for begin, end in itertools.pairwise(ends):
                whole += 1
                before = states[end - 1]
                if end - begin > 1 and before >= 0 and self.probabilities[before, NUMBER[END]] > 0:
                    right += 1
                    seen[" ".join(mark for word in words[begin + 1 : end] for mark in _marks(WORDS[word]))] += 1
        covered = sum(count > 0 for count in seen.values()) / len(seen)
        frequencies = [count / max(1, whole) for count in seen.values()]
        return {"grammatical": right / max(1, whole), "kinds": covered, "sentences": whole, "frequencies": frequencies}


_VERBS = {form: forms[0] for forms in (*ACTS, *DEEDS) for form in forms}


def _marks(word: str) -> tuple[str, ...]:
    """What a word adds to the kind of its sentence: a verb, a relative clause; nothing for other words."""
    return (word,) if word == "that" else (_VERBS[word] + ("-p" if word != _VERBS[word] else "-s"),) if word in _VERBS else ()


@functools.cache
def little_language() -> Grammar:
    """The grammar of the data set `little-language`."""
    return Grammar()
