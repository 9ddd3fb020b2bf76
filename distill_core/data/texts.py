"""TEXTS: texts as data sets by name, and a learner's own `.txt`.

The little language is always there; Shakespeare is downloaded once, accepted by its SHA-256; an own text is read from a file.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch
from torch import Tensor

from distill_core import paths
from distill_core.data import uploads
from distill_core.data.decoding import quoted, shorten
from distill_core.data.download import Progress, download
from distill_core.data.grammar import WORDS, little_language
from distill_core.data.text import Text, windows

LITTLE, SHAKESPEARE = "little-language", "shakespeare"
WORD_WINDOW, CHARACTER_WINDOW = 32, 64  # tokens of a window
MIN_CHARACTERS, MAX_BYTES, MAX_VOCABULARY = 5_000, 2 * 1024**2, 200  # of a learner's own text
HELD_OUT = 0.1  # the last part of a text is its test text
MAX_TEST = 300  # test windows, evenly spaced over the held-out part: a test takes no longer than the training between two
DIRECTORY = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class TextSource:
    """Where a text comes from, and what is known of it before it is read; the fields of `datasets.Source`.

    `train` and `test` count windows, `image_shape` is `(L,)`, `class_names` the vocabulary.
    """

    name: str
    title: str
    train: int
    test: int
    image_shape: tuple[int]
    class_names: tuple[str, ...]
    read: Callable[[], Text]
    folder: str = ""  # of its file, inside paths.data()
    kind: str = ""  # how it is downloaded
    sha256: str = ""  # of the file
    separator: str = ""

    is_text = True

    @property
    def path(self) -> Path:
        """The file of the text."""
        return paths.data() / self.folder / "input.txt"

    def is_here(self) -> bool:
        """Whether the text is on this machine."""
        return not self.folder or self.path.exists()

    def fetch(self) -> Progress:
        """Download the text, unless it is on this machine."""
        if self.is_here():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path.parent / ".lock").acquire()
        except OSError as error:
            raise ValueError(
                f"{self.title} cannot be stored in {self.path.parent} ({error.strerror}); set DISTILL_DATA to a folder that can be written"
            ) from error
        with lock:
            for fraction in download([DIRECTORY + "input.txt"], self.path, sha256=self.sha256):
                yield f"downloading {self.title}", fraction


# --- the little language --------------------------------------------------------------------------------------------


def _read_little_language() -> Text:
    grammar, source = little_language(), TEXTS[LITTLE]
    parts: list[Tensor] = []
    for number, count in enumerate((source.train, source.test)):
        tokens = torch.from_numpy(grammar.draw(count, WORD_WINDOW + 1, seed=number))
        parts += [tokens[:, :-1].to(torch.uint8), tokens[:, 1:].contiguous()]
    return Text(source.name, source.title, WORDS, *parts, separator=" ", truth=grammar.log_probabilities)


def sentence_start(dataset: Text) -> int:
    """The token after which a text begins: the end of a sentence, or of a line; the first token where there is none."""
    for mark in (".", "\n", " "):
        if mark in dataset.class_names:
            return dataset.class_names.index(mark)
    return 0


# --- texts by characters --------------------------------------------------------------------------------------------


def _read_shakespeare() -> Text:
    source = TEXTS[SHAKESPEARE]
    again = "delete that file and the next run downloads it again"
    try:
        blob = source.path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(
            f"{source.title} is not in {source.path.parent}; a run downloads it, or set DISTILL_DATA to the folder that has it"
        ) from error
    except OSError as error:
        raise ValueError(f"the file of {source.title} in {source.path} cannot be read ({error.strerror}); {again}") from error
    if hashlib.sha256(blob).hexdigest() != source.sha256:
        raise ValueError(f"the file of {source.title} in {source.path} is cut or altered; {again}")
    return by_characters(blob.decode("ascii"), name=source.name, title=source.title, vocabulary=source.class_names)


def by_characters(text: str, *, name: str, title: str, vocabulary: tuple[str, ...] = ()) -> Text:
    """A text as windows of characters: its last tenth is the test text."""
    vocabulary = vocabulary or tuple(sorted(set(text)))
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    table = np.array([ord(character) for character in vocabulary], dtype=np.uint32)
    tokens = np.searchsorted(table, codes)  # the vocabulary is sorted
    split = len(tokens) - int(HELD_OUT * len(tokens))
    inputs, targets = windows(tokens[split:], CHARACTER_WINDOW)
    step = math.ceil(len(inputs) / MAX_TEST)
    return Text(name, title, vocabulary, *windows(tokens[:split], CHARACTER_WINDOW), inputs[::step].clone(), targets[::step].clone())


def read_text(blob: bytes, *, name: str) -> Text:
    """A learner's own text. Raises `ValueError` with one sentence for one that cannot be used."""
    if len(blob) > MAX_BYTES:
        raise ValueError(f"{quoted(name)} has {len(blob) / 1024**2:.1f} MB; the limit is {MAX_BYTES // 1024**2} MB, so give a part of it")
    try:
        text = blob.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{quoted(name)} is not UTF-8 text (byte {error.start:,}); save it as plain text in UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if control := next((one for one in text if ord(one) < 32 and one not in "\n\t"), ""):
        raise ValueError(f"{quoted(name)} holds the control character {ord(control)}, so it is no plain text; save it as .txt in UTF-8")
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"{quoted(name)} has {len(text):,} characters; give a text of {MIN_CHARACTERS:,} or more")
    counts = Counter(text)
    if len(counts) > MAX_VOCABULARY:
        raise ValueError(
            f"{quoted(name)} has {len(counts):,} different characters; the limit is {MAX_VOCABULARY}, so give a text in one alphabet"
        )
    if len(counts) < 2:
        raise ValueError(f"{quoted(name)} repeats one character; give a text")
    return by_characters(text, name=name, title=uploads.title(Path(name).name))


# --- own texts ------------------------------------------------------------------------------------------------------


def keep_text(blob: bytes, *, name: str, owner: str = "") -> str:
    """Keep an uploaded text as `uploads.keep_zip` keeps a zip; returns the data set name for an Experiment."""

    def store(path: Path) -> None:
        read_text(blob, name=name)
        paths.write_atomically(path, blob)

    return uploads.keep_upload(blob, name=name, suffix=".txt", owner=owner, store=store)


def kept_texts(owner: str | None = None) -> list[str]:
    """The names of all uploaded texts, or of those of one browser."""
    return uploads.kept(".txt", owner)


def load_text(name: str) -> Text:
    """The text in a file, given by its path or by the name that `keep_text` returned. Raises `ValueError` with one sentence."""
    path, stamp = uploads.locate(name, kind="text")
    if stamp[0] > MAX_BYTES:
        read_text(b" " * (MAX_BYTES + 1), name=Path(name).name)
    return _load_text(name, path, stamp)


@functools.lru_cache(maxsize=4)
def _load_text(name: str, path: str, stamp: tuple[int, int]) -> Text:
    try:
        text = read_text(Path(path).read_bytes(), name=Path(path).name)
    except OSError as error:
        raise ValueError(f"the text '{shorten(path, 200)}' cannot be read ({error.strerror}); give the path of a .txt") from error
    return Text(name, text.title, text.class_names, text.train_images, text.train_labels, text.test_images, text.test_labels)


def is_text(dataset: str) -> bool:
    """Whether a data set's name is that of a text."""
    return dataset in TEXTS or dataset.endswith(".txt")


@functools.lru_cache(maxsize=2)
def load_named(name: str) -> Text:
    """A text of TEXTS."""
    return TEXTS[name].read()


def as_shown(token: str) -> str:
    """A token as charts name it: space and line break have no sign of their own."""
    return {" ": "space", "\n": "new line", "\t": "tab"}.get(token, token)


TEXTS = {
    source.name: source
    for source in (
        TextSource(LITTLE, "Little language", 10_000, 400, (WORD_WINDOW,), WORDS, _read_little_language, separator=" "),
        TextSource(
            SHAKESPEARE, "Shakespeare", 15_685, 291, (CHARACTER_WINDOW,), ("\n", " ", *"!$&',-.3:;?", *LETTERS), _read_shakespeare,
            "tinyshakespeare", "text", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    )
}  # fmt: skip
