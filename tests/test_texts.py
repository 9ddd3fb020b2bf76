"""Texts as data sets: the grammar's exact probabilities, windows, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from distill_core.data import datasets, texts
from distill_core.data.grammar import END, NUMBER, WORDS, little_language
from distill_core.experiment import Experiment

SONG = ("Row, row, row your boat\ngently down the stream.\n" * 200).encode()


def test_the_true_distribution_is_that_of_counted_sentences():
    grammar = little_language()
    tokens = grammar.draw(40_000, 33, seed=5)  # 1.28 million words
    states = grammar.states_along(tokens[:, :-1])
    counts = np.zeros_like(grammar.probabilities)
    np.add.at(counts, (states.ravel(), tokens[:, 1:].ravel()), 1)
    seen = counts.sum(axis=1, keepdims=True)
    p = grammar.probabilities
    error = np.sqrt(p * (1 - p) / np.maximum(seen, 1))
    assert (states >= 0).all() and (counts[p == 0] == 0).all()
    assert (np.abs(counts / np.maximum(seen, 1) - p) <= 5.5 * error + 1e-12)[seen[:, 0] > 500].all()
    assert (seen > 500).mean() > 0.8


def test_the_entropy_rate_is_the_mean_surprise_of_a_long_text():
    grammar = little_language()
    tokens = torch.from_numpy(grammar.draw(8000, 65, seed=6))
    log_p = grammar.log_probabilities(tokens[:, :-1]).double()
    surprise = -log_p.gather(-1, tokens[:, 1:, None]).squeeze(-1)[:, 16:] / np.log(2)  # the start of a sentence is forgotten
    assert surprise.mean().item() == pytest.approx(grammar.entropy_rate, abs=5 * surprise.std().item() / np.sqrt(surprise.numel()))
    assert float(log_p.exp().sum(dim=-1).sub(1).abs().max()) < 1e-6


def test_a_verb_agrees_with_its_subject_behind_a_relative_clause():
    def judged(sentence):
        return little_language().judge(np.array([[NUMBER[word] for word in sentence.split()]]))

    assert judged(". the king that sees the dogs sings .")["grammatical"] == 1
    assert judged(". the king that sees the dogs sing .")["grammatical"] == 0
    assert judged(". the kings that see the dogs sing . sing the .")["grammatical"] == 0.5
    assert judged(". the kings that see the dogs sing . the cat")["sentences"] == 1  # the last one has no end


def test_every_kind_of_sentence_has_its_probability():
    grammar = little_language()
    found = grammar.judge(grammar.draw(8000, 65, seed=8))
    assert sum(grammar.kinds.values()) == pytest.approx(1)
    assert found["grammatical"] == 1 and found["kinds"] == 1
    assert np.abs(np.array(found["frequencies"]) - np.array(list(grammar.kinds.values()))).max() < 0.005
    assert len(WORDS) == len(set(WORDS)) == 40 and WORDS[0] == END


def test_the_label_of_a_position_is_the_token_that_follows_it():
    for name in ("little-language", "shakespeare"):
        if datasets.is_ready(name):
            text, source = datasets.load(name), datasets.source_of(name)
            assert torch.equal(text.train_images[:, 1:].long(), text.train_labels[:, :-1])
            assert (len(text.train_images), len(text.test_images)) == (source.train, source.test)
            assert (text.length,) == source.image_shape and text.class_names == source.class_names
            assert text.encode(text.decode(text.test_images[3].tolist())) == text.test_images[3].tolist()


def test_test_windows_are_not_among_the_training_windows_of_a_text():
    text = texts.by_characters("".join(chr(97 + n % 26) for n in np.random.default_rng(0).integers(0, 26, 20_000)), name="x", title="x")
    joined = text.decode(text.train_images.flatten().tolist())
    assert not any(text.decode(window.tolist()) in joined for window in text.test_images)
    assert len(text.test_images) * texts.CHARACTER_WINDOW <= 2000


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"\xff\xfe" + SONG, ("UTF-8",)),
        (b"too short", ("9 characters", "5,000")),
        (b"a" * 6000, ("one character",)),
        (SONG + b"\0", ("control character 0",)),
        ("".join(chr(0x4E00 + n) for n in range(6000)).encode(), ("6,000 different", "200")),
        (SONG * 220, ("MB", "2 MB")),
    ],
    ids=["not UTF-8", "short", "one character", "binary", "too many characters", "too long"],
)
def test_a_bad_text_is_refused_in_one_sentence(blob, words, refused, home):
    with refused("song.txt", *words):
        texts.keep_text(blob, name="song.txt")
    assert texts.kept_texts() == []


def test_an_own_text_is_kept_for_its_browser_and_read_by_its_name(home):
    blob = SONG.replace(b"\n", b"\r\n")
    kept = texts.keep_text(blob, name="../my song.txt", owner="me")
    assert kept == f"my-song-{hashlib.sha256(blob).hexdigest()[:32]}.txt"
    assert texts.kept_texts("me") == [kept] == texts.kept_texts() and texts.kept_texts("you") == [] and datasets.kept_zips() == []
    text = datasets.load(kept)
    assert text.name == kept and "\r" not in text.class_names and text.decode(text.train_images[0].tolist()).startswith("Row, row")
    assert Experiment(dataset=kept).teacher == "gpt-96x3"


def test_a_missing_text_is_named(refused, home):
    with refused("nothing.txt", "give the path of a .txt"):
        datasets.load("/nowhere/nothing.txt")
    with refused("Shakespeare", "cut or altered", "delete"):
        path = texts.TEXTS["shakespeare"].path
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISTILL_DATA", str(home))
            (home / "tinyshakespeare").mkdir(parents=True)
            (home / "tinyshakespeare" / "input.txt").write_text("To be")
            assert texts.TEXTS["shakespeare"].path != path
            texts.load_named.__wrapped__("shakespeare")


def test_shakespeare_is_downloaded_and_accepted_by_its_sha256(server, data, monkeypatch):
    blob = SONG.replace(b"Row", b"ROW")
    server.files["/input.txt"] = blob
    monkeypatch.setattr(texts, "DIRECTORY", f"{server.address}/")
    source = texts.TEXTS["shakespeare"]
    monkeypatch.setitem(texts.TEXTS, "shakespeare", right := dataclasses.replace(source, sha256=hashlib.sha256(blob).hexdigest()))
    steps = list(right.fetch())
    assert steps[-1] == ("downloading Shakespeare", 1.0) and right.path.read_bytes() == blob and list(right.fetch()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"label_noise": 0.2}, ("label_noise", "images only")),
        ({"hide_classes": (3,)}, ("hide_classes", "images only")),
        ({"validation": 9998}, ("validation 9998", "give 9997 or fewer")),
        ({"augmentation": "fixed"}, ("augmentation", "images only")),
        ({"student": "mlp-300x2"}, ("mlp-300x2", "gpt-48x2")),
        ({"teacher": "cnn-32"}, ("cnn-32", "reads images", "gpt-64x2")),
        ({"method": "hints"}, ("hints", "images")),
        ({"student": "gpt-50x2"}, ("gpt-50x2", "multiple of 4")),
        ({"student": "gpt-1024x2"}, ("gpt-1024x2", "gpt-256x8")),
        ({"assistants": ("cnn-8",)}, ("cnn-8", "reads images")),
    ],
    ids=str,
)
def test_what_a_text_cannot_have_is_refused(fields, words, refused):
    with refused(*words):
        Experiment(**{"dataset": "little-language", "student": "gpt-32x1", **fields})


@pytest.mark.parametrize("fields", [{"student": "gpt-48x2"}, {"teacher": "gpt-64x2"}, {"assistants": ("gru-64",)}], ids=str)
def test_images_cannot_have_language_models(fields, refused):
    with refused("reads texts"):
        Experiment(dataset="digits", **fields)
