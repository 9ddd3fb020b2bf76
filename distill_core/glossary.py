"""The glossary: every term of the lessons in one or two sentences, with the page that shows it; the symbols of the formulas; the history.

`linked` makes the first use of every term in a text a link to its entry; help texts of the pages pass through it too, in one
place (`pages/server/streamlit_patches.py`). A text may also mark a term with double brackets, [[soft targets]]: that it is in
the glossary is then checked.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

MARK = re.compile(r"\[\[([^\]]+)\]\]")


@dataclass(frozen=True)
class Term:
    """One entry. `also`: other words for it, or other forms, under which texts may link to it; `page`: where to see it."""

    meaning: str
    also: tuple[str, ...] = ()
    page: str = ""


def find(word: str) -> str:
    """The entry that a word belongs to. Raises `ValueError` with one sentence if the glossary lacks it."""
    name = _BY_WORD.get(word.casefold())
    if name is None:
        raise ValueError(f"the term {word!r} is not in the glossary; add it to TERMS in distill_core/glossary.py")
    return name


def marked(text: str) -> list[str]:
    """The terms that a text marks with double brackets."""
    return MARK.findall(text)


@functools.lru_cache(maxsize=4096)  # the help texts of a page are the same in each of its runs
def linked(text: str, *, page: str = "glossary") -> str:
    """The text, which is Markdown of this lab, with the first use of each term as a link to its entry on this page.

    A term is found in singular and plural; not within code, a formula, a link, or a longer name such as `student-2`. A text
    that is linked already stays as it is.
    """
    target = re.compile(rf"\]\({re.escape(page)}\?term=([^)]*)\)$")
    used: set[str] = set()

    def link(found: re.Match) -> str:
        word = found["word"]
        if word is None:  # it is passed over; if it is a link to an entry, the term has its link
            used.update(unquote(there[1]) for there in target.finditer(found[0]))
            return found[0]
        if (name := _entry(word)) in used:
            return found[0]
        used.add(name)
        return f"[{word}]({page}?term={quote(name)})"

    return _words().sub(link, MARK.sub(lambda found: find(found[1]) and found[1], text))


@functools.cache
def _words() -> re.Pattern:
    """What `linked` passes over, and the words of all terms, longest first."""
    words = "|".join(map(re.escape, sorted(_BY_WORD, key=len, reverse=True)))
    passed_over = r"`[^`]*`|\$\$.*?\$\$|\$(?:[^$\n]|\n(?!\n))*\$|\[[^\]]*\]\([^)]*\)"
    return re.compile(rf"{passed_over}|(?<![\w-])(?P<word>(?:{words})s?)(?![\w-])", re.IGNORECASE | re.DOTALL)


def _entry(word: str) -> str:
    """The entry of a word in singular or plural."""
    return _BY_WORD.get(word.casefold()) or _BY_WORD[word.casefold().removesuffix("s")]


def explained(formula: str) -> str:
    """What the symbols of a LaTeX formula stand for, as one line of Markdown: "$T$: temperature; $z$: logits"."""
    return "; ".join(f"${symbol}$: {meaning}" for symbol, meaning in SYMBOLS.items() if _has_symbol(formula, symbol))


def _has_symbol(formula: str, symbol: str) -> bool:
    """Whether the symbol stands in the formula by itself: not in a word, nor in a LaTeX command, nor as an index after a comma."""
    return re.search(rf"(?<![A-Za-z\\,]){re.escape(symbol)}(?![A-Za-z])", formula) is not None


TERMS = {
    "Adam": Term(
        "An optimizer that divides each weight's gradient by a running estimate of its size, so that a loss ten times as large "
        "takes nearly the same steps."
    ),
    "Agreement": Term("The share of images to which two networks assign the same class, right or wrong.", page="pages/race.py"),
    "Alpha": Term(
        "The weight of the hard loss in the mixture alpha \u00d7 hard + (1 \u2212 alpha) \u00d7 soft. In some libraries it is the weight "
        "of the soft loss instead.",
        page="pages/sweep.py",
    ),
    "Baseline": Term(
        "The student's architecture trained with the labels only, from the same initial weights on the same batches.", page="pages/race.py"
    ),
    "Born-again networks": Term(
        "Networks of one architecture that teach each other in a chain, generation after generation.", page="pages/methods.py"
    ),
    "Calibration": Term(
        "Agreement of confidence and accuracy: of the images with a confidence of 80 %, 80 % are classified correctly.",
        page="pages/calibration.py",
    ),
    "Capacity gap": Term(
        "The observation that a teacher which is much larger than its student can be a worse one than a smaller teacher.",
        page="pages/experiments_from_papers.py",
    ),
    "Cross-entropy": Term("Minus the mean of log q under p: for a label, minus the logarithm of the probability of its class."),
    "Dark knowledge": Term(
        "What a teacher's probabilities of the wrong classes carry: which classes, and which images, are alike.",
        page="pages/dark_knowledge.py",
    ),
    "Differential privacy": Term(
        "A guarantee that what is published hardly depends on one person's data. Epsilon states how little: the smaller, the better.",
        ("epsilon",),
        "pages/lessons.py",
    ),
    "Ensemble": Term("Several networks whose outputs are averaged.", page="pages/methods.py"),
    "Entropy": Term(
        "Minus the mean of log p under p: how uncertain a distribution is; 0 where one class has all the probability.",
        page="pages/soft_targets.py",
    ),
    "Epoch": Term("A pass over the training images: each is used once.", ("epochs",), "pages/race.py"),
    "Expected calibration error": Term(
        "The mean gap between confidence and accuracy, over groups of images with similar confidence.", ("ECE",), "pages/calibration.py"
    ),
    "Feature-based distillation": Term(
        "The student learns from the activations of the teacher's hidden layers.", ("feature-based",), "pages/methods.py"
    ),
    "Federated distillation": Term(
        "Clients keep their data and exchange outputs for public examples, in place of weights.", page="pages/lessons.py"
    ),
    "Fidelity": Term(
        "How closely a student's outputs match its teacher's. Not the same as accuracy.", page="pages/experiments_from_papers.py"
    ),
    "Hard loss": Term(
        "The cross-entropy of the student's outputs at T = 1 with the labels.", ("hard target", "hard targets"), "pages/race.py"
    ),
    "Hints": Term(
        "A loss that makes a hidden layer of the student, the guided layer, match one of the teacher (FitNets).", page="pages/methods.py"
    ),
    "Interval": Term(
        "A 95 % confidence interval: made in this way again and again, it contains the true value in 95 % of cases. In this lab "
        "it mostly covers the variation between seeds, with the teacher and the test images held fixed.",
        ("confidence interval",),
        "pages/race.py",
    ),
    "KL divergence": Term(
        "Kullback-Leibler divergence, the mean of log(p / q) under p: how many nats are lost if q is used in place of p. It is "
        "not symmetric.",
        ("Kullback-Leibler divergence",),
        "pages/methods.py",
    ),
    "Knowledge distillation": Term(
        "Training a network, the student, on the outputs of another, the teacher.", ("distillation",), "pages/race.py"
    ),
    "Label smoothing": Term(
        "Targets in which every wrong class has the same small probability, for every image, without a teacher.", page="pages/methods.py"
    ),
    "Logits": Term("The outputs of a network before the softmax, one number per class.", page="pages/soft_targets.py"),
    "Low rank": Term(
        "Replacing a weight matrix by the product of two thin ones, which have fewer weights together.", page="pages/compress.py"
    ),
    "Matching logits": Term("A loss on the difference of logits; the limit of the soft loss for large T.", page="pages/methods.py"),
    "Mutual learning": Term(
        "Several students train at the same time, each on the labels and on the others' outputs.", page="pages/methods.py"
    ),
    "Nat": Term("The unit of a loss with the natural logarithm: 1.44 bits.", ("nats",)),
    "Offline distillation": Term("The teacher is trained first and then fixed.", page="pages/methods.py"),
    "On-policy distillation": Term("The student writes texts and learns from the teacher's probabilities for them.", ("on-policy",)),
    "Online distillation": Term("The networks that teach train at the same time as those that learn.", page="pages/methods.py"),
    "Pareto front": Term(
        "Those of which no other is at most as large and at least as accurate: the only ones worth choosing by size and accuracy.",
        page="pages/compress.py",
    ),
    "Permuted classes": Term(
        "A control: soft targets whose wrong classes are put into random order, anew for each image and step.", page="pages/methods.py"
    ),
    "Pruning": Term("Removing weights, mostly those with the smallest magnitude, or whole neurons and channels.", page="pages/compress.py"),
    "Quantisation": Term("Storing weights, and computing, with fewer bits.", page="pages/compress.py"),
    "Relation-based distillation": Term(
        "The student learns how the teacher's features relate the images of a batch.", ("relation-based",), "pages/methods.py"
    ),
    "Response-based distillation": Term("The student learns from the teacher's outputs.", ("response-based",), "pages/methods.py"),
    "Seed": Term(
        "The number that sets initial weights, the choice of images and their order. Several seeds show how much of a result is chance.",
        ("seeds",),
        "pages/race.py",
    ),
    "Self-distillation": Term("The teacher has the student's own architecture.", page="pages/methods.py"),
    "Sequence-level distillation": Term(
        "Training on texts that the teacher wrote, as on labels: all that is possible without its probabilities.", ("sequence-level",)
    ),
    "Soft loss": Term(
        "T\u00b2 times the KL divergence of the student's softened outputs from the teacher's.", page="pages/soft_targets.py"
    ),
    "Soft targets": Term(
        "A network's probabilities of all classes, softened by a temperature: softmax(logits / T).",
        ("soft target",),
        "pages/soft_targets.py",
    ),
    "Softmax": Term("Turns logits into probabilities: the exponential of each, divided by the sum of all.", page="pages/soft_targets.py"),
    "Student": Term("The network that is trained, smaller than its teacher in most cases.", page="pages/race.py"),
    "Teacher": Term("The trained network whose outputs a student learns from.", page="pages/soft_targets.py"),
    "Teaching assistant": Term(
        "A network of middle size that learns from the teacher and then teaches the student.", ("assistant",), "pages/race.py"
    ),
    "Temperature": Term(
        "The number T by which logits are divided before the softmax. Higher: softer, more even probabilities.",
        page="pages/soft_targets.py",
    ),
    "Token": Term("The unit of a language model's text: a character, a part of a word, or a word.", ("tokens",)),
    "Token-level distillation": Term("The student learns from the teacher's probabilities of every next token.", ("token-level",)),
    "Transfer learning": Term("Starting from weights that were trained for another task."),
    "Transfer set": Term("The examples on which the student learns from its teacher. They need no labels.", page="pages/race.py"),
    "Validation images": Term(
        "Training images that are held out: settings are chosen on them, so that the test images only report.",
        ("validation image",),
        "pages/sweep.py",
    ),
}

_BY_WORD = {word.casefold(): name for name, term in TERMS.items() for word in (name, *term.also)}


# --- history --------------------------------------------------------------------------------------------------------

TIMELINE = (
    (2006, "A single network learns from an ensemble's labels: model compression", "Bucil\u0103 et al. 2006, abstract"),
    (2014, "Shallow networks match the logits of deep ones", "Ba and Caruana 2014, abstract"),
    (2015, "Soft targets, temperature, dark knowledge", "Hinton et al. 2015, abstract"),
    (2015, "Hints: hidden layers are matched too", "Romero et al. 2015, abstract"),
    (2016, "Language: distillation of whole sentences", "Kim and Rush 2016, abstract"),
    (2017, "Attention transfer", "Zagoruyko and Komodakis 2017, abstract"),
    (2017, "Privacy: a noisy vote of many teachers", "Papernot et al. 2017, abstract"),
    (2018, "Mutual learning, without a trained teacher", "Zhang et al. 2018, abstract"),
    (2018, "Born-again networks", "Furlanello et al. 2018, abstract"),
    (2019, "DistilBERT", "Sanh et al. 2019, abstract"),
    (2019, "A larger teacher is not always a better one", "Cho and Hariharan 2019, abstract"),
    (2019, "Relations between images", "Park et al. 2019, abstract"),
    (2020, "Teaching assistants", "Mirzadeh et al. 2020, abstract"),
    (2020, "Contrastive distillation", "Tian et al. 2020, abstract"),
    (2021, "Does it really work? Fidelity is not accuracy", "Stanton et al. 2021, abstract"),
    (2022, "Decoupled distillation", "Zhao et al. 2022, abstract"),
    (2022, "Patience and consistency", "Beyer et al. 2022, abstract"),
    (2023, "Distil-Whisper", "Gandhi et al. 2023, the README"),
    (2024, "Large language models: reverse KL, on-policy", "Gu et al. 2024, abstract"),
    (2025, "Reasoning models distilled from written solutions", "Guo et al. 2025, the README"),
    (2025, "Subliminal learning", "Cloud et al. 2025, abstract"),
)

SYMBOLS = {  # of the formulas of the losses, in LaTeX, in the order in which they are explained
    r"\alpha": "weight of the hard loss",
    "L_{hard}": "hard loss",
    "L_{method}": "loss of the method",
    "w": "weight of a term",
    "T": "temperature",
    "p": "class probabilities (the teacher's are the soft targets)",
    "b": "probabilities of the true class and of all others together",
    r"\hat p": "probabilities among the wrong classes",
    "q": "smoothed labels",
    r"\epsilon": "share that is spread over all classes",
    "m_n": "mixture of both distributions",
    r"\beta": "share of the teacher in it",
    r"\mathrm{KL}": "KL divergence",
    r"\rho": "Pearson correlation",
    "z": "logits",
    r"\tilde z": "standardised logits",
    r"\bar z": "mean of an example's logits",
    r"\sigma": "their standard deviation",
    "f": "activations of a hidden layer",
    "a": "attention map",
    "F": "features of the batch, one row per example",
    "G": "similarity of each pair of examples",
    r"\hat G": "G with rows of norm 1",
    "d_{i,j}": "distance of two examples",
    r"\mu": "mean distance",
    "x": "features of an example",
    r"\mathrm{huber}": "half the square of small differences, linear in large ones",
    r"\cos_{i,j,k}": "cosine of the angle at example i between j and k",
    "s_{n,m}": "similarity of example n in the student and m in the teacher",
    "g": "projection of the features",
    r"\tau": "temperature of the similarities",
    "A_n": "examples with another label than n",
    "y_n": "label of example n",
    "t_n": "token that the teacher wrote",
    "K": "number of networks",
    "N": "number of examples in the batch",
    "C": "number of classes",
    "D": "number of channels",
    "H": "height",
    "W": "width",
}

BEFORE = {  # what to know before: each needs those in its list
    "Vectors and functions": (),
    "Probability": (),
    "Logarithm and exponential": (),
    "A neural network classifies": ("Vectors and functions",),
    "Softmax": ("Logarithm and exponential", "A neural network classifies"),
    "Cross-entropy": ("Probability", "Logarithm and exponential"),
    "KL divergence": ("Cross-entropy",),
    "Gradient descent": ("A neural network classifies", "Cross-entropy"),
    "Training, validation, test": ("Gradient descent",),
    "Confidence interval": ("Probability",),
    "Distillation": ("Softmax", "KL divergence", "Gradient descent", "Training, validation, test", "Confidence interval"),
}
