"""Language models: what is kept while writing changes nothing, no position sees what follows, and a cohort equals alone on texts."""

from __future__ import annotations

import pytest
import torch
from test_cohort import DOUBLE, alone, assert_same, together

from distill_core import analysis, models, teachers, writing
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.language_models import draw, write
from distill_core.losses import bits_per_character
from distill_core.training.run_data import load_run_data
from distill_core.training.schedule import Schedule

LITTLE = datasets.load("little-language")
SHAPE = {"image_shape": LITTLE.image_shape, "classes": LITTLE.classes}
SMALL = {"dataset": "little-language", "teacher": "self", "images": 40, "epochs": 2, "batch_size": 16, "learning_rate": 0.01}
MODELS = ("gpt-16x2", "gru-12")


@pytest.fixture(params=MODELS)
def model(request):
    return models.build(request.param, seed=3, **SHAPE).eval()


def test_no_position_sees_what_follows_it(model):
    tokens = LITTLE.test_images[:4].long()
    changed = tokens.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % LITTLE.classes
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :20], after[:, :20]) and not torch.equal(before[:, 20:], after[:, 20:])


def test_reading_token_by_token_with_what_is_kept_equals_reading_at_once(model):
    model.double()
    tokens, past, steps = LITTLE.test_images[:3].long(), None, []
    for position in range(tokens.shape[1]):
        logits, _, past = model.read(model.stem(tokens[:, position : position + 1]), past)
        steps.append(logits)
    assert torch.cat(steps, dim=1).sub(model(tokens)).abs().max() < 1e-12


def test_writing_takes_the_most_probable_token_at_temperature_zero(model):
    prompt = LITTLE.test_images[:2, :5].long()
    text = write(model, prompt, 8, length=LITTLE.length, temperature=0)
    for position in range(5, 13):
        assert torch.equal(text[:, position], model(text[:, :position])[:, -1].argmax(dim=-1))


def test_a_seed_gives_the_same_text_and_another_seed_another(model):
    prompt = writing.prompt_tokens(LITTLE, "the king")
    texts = [writing.continue_prompt(model, LITTLE, prompt, tokens=70, temperature=1.0, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == 70  # more than one window


def test_tokens_are_drawn_as_often_as_the_softmax_says():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    drawn = draw(logits.expand(40_000, 4), temperature=2.0, generator=torch.Generator().manual_seed(0)).flatten().bincount(minlength=4)
    assert drawn / 40_000 == pytest.approx((logits / 2).softmax(dim=0).tolist(), abs=0.015)


def test_a_prompt_outside_the_vocabulary_is_refused(refused):
    with refused("'unicorn'", "Little language", "king"):
        writing.prompt_tokens(LITTLE, "the unicorn sings")
    with refused("600 characters"):
        writing.prompt_tokens(LITTLE, "x" * 600)


def test_the_truth_has_no_divergence_from_itself_and_the_fewest_bits(model):
    truth = LITTLE.truth(LITTLE.test_images)
    assert analysis.kl_to_truth(truth, truth).item() == pytest.approx(0, abs=1e-9)
    found = analysis.text_scores(model(LITTLE.test_images.long()), LITTLE, truth, parameters=1)
    assert found["truth_kl"] > 1 and found["entropy_rate"] < found["test_bits_per_character"]
    bits = bits_per_character(truth, LITTLE.test_labels, characters=LITTLE.characters_per_token).item()
    assert found["entropy_rate"] == pytest.approx(bits, rel=1e-5)
    assert found["low"] < found["test_bits_per_character"] < found["high"]


@pytest.mark.parametrize("student", MODELS)
def test_a_cohort_equals_alone_on_a_text(student, monkeypatch):
    experiments = [
        Experiment(**SMALL, student=student, alpha=a, temperature=t, seed=s) for a, t in ((0.1, 4.0), (0.5, 2.0)) for s in (1, 0)
    ]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        expected = alone(experiment, torch.float64, monkeypatch)
        assert_same(found, expected, DOUBLE)
        bits = [one["test_bits_per_character"] for one in expected[0] if one["event"] == "record"]
        assert [one["test_bits_per_character"] for one in found[0] if one["event"] == "record"] == pytest.approx(bits, rel=1e-6)
        assert "test_accuracy" not in expected[0][0] and bits[-1] < bits[0]


@pytest.mark.parametrize("method", ("reverse-kl", "jensen-shannon", "permuted-classes", "mutual-2", "decoupled"))
def test_a_method_of_images_trains_on_a_text_as_a_cohort_and_alone(method, monkeypatch):
    experiments = [Experiment(**{**SMALL, "teacher": "gpt-64x2", "epochs": 1}, student="gpt-16x1", method=method, seed=s) for s in (1, 0)]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), DOUBLE)


def test_a_cached_probability_belongs_to_its_position():
    experiment = Experiment(dataset="little-language", images=50, batch_size=20, student="gpt-16x1")
    data = load_run_data([experiment], device="cpu")
    teacher = teachers.load_teacher(LITTLE, "gpt-64x2").network
    for indices in data.batches(1):
        inputs = data.get_batch(indices, 0)
        asked = teacher(inputs.images[0])
        assert inputs.teacher_logits[0].sub(asked).abs().max() < 0.02  # they are kept in half precision
        assert inputs.teacher_logits[0].roll(1, dims=0).sub(asked).abs().max() > 1  # of another window
        assert inputs.teacher_logits[0].roll(1, dims=1).sub(asked).abs().max() > 1  # of another position
        assert torch.equal(inputs.images[0, :, 1:], inputs.labels[0, :, :-1])


def test_the_default_race_is_measured_at_least_ten_times():
    experiment = Experiment(dataset="little-language", images=300, epochs=40)
    assert list(Schedule(experiment, 300, 400).log_steps.values()).count("test") >= 10
