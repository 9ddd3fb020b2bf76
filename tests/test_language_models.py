"""Language models: what is kept while writing changes nothing, no position sees what follows, and a cohort equals alone on texts."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from test_cohort import DOUBLE, alone, assert_same, together
from torch.testing import assert_close

from distill_core import analysis, models, students, teachers, writing
from distill_core.batch import Batch
from distill_core.data import datasets
from distill_core.data.grammar import little_language
from distill_core.experiment import Experiment
from distill_core.language_models import attention, draw, write
from distill_core.losses import bits_per_character, jensen_shannon_loss, reverse_soft_loss, soft_loss, top_k_loss
from distill_core.objectives import METHODS, objective
from distill_core.references import citations
from distill_core.text_objectives import TEXT_METHODS
from distill_core.training.cohort import Cohort
from distill_core.training.own_text import is_own, written_by_students
from distill_core.training.run_data import load_run_data
from distill_core.training.schedule import STEPS_PER_TEXT, Schedule

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


@pytest.mark.parametrize(("length", "before"), [(7, 0), (1, 6), (3, 4)])
def test_attention_is_that_of_pytorch_also_behind_positions_that_were_read_before(length, before):
    queries, (keys, values) = torch.randn(2, 4, length, 3).double(), torch.randn(2, 2, 4, before + length, 3).double()
    seen = torch.ones(length, before + length, dtype=torch.bool).tril(before)
    assert_close(attention(queries, keys, values), F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen))


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
    assert analysis.kl_to_truth(truth, truth).item() == pytest.approx(0, abs=1e-6)
    found = analysis.text_scores(model(LITTLE.test_images.long()).detach(), LITTLE, truth, parameters=1)
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


@pytest.mark.parametrize("student", MODELS)
def test_a_cohort_equals_alone_on_a_text_in_bfloat16(student, monkeypatch):
    choices = {**SMALL, "epochs": 1, "student": student}
    experiments = [Experiment(**choices, precision="bfloat16-emulated", seed=seed) for seed in (1, 0)]
    *found, in_float32 = together([*experiments, Experiment(**choices, seed=1)], torch.float64)
    for experiment, own in zip(experiments, found, strict=True):
        assert_same(own, alone(experiment, torch.float64, monkeypatch), DOUBLE)
    assert found[0][0][-1]["student"] != in_float32[0][-1]["student"]


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


# --- texts that are written while networks train ---------------------------------------------------------------------


def trained(experiments, *, stop_after=None):
    """A cohort, its records without the clock, and its state after an epoch if one is named."""
    cohort, records, state = Cohort(experiments, device="cpu"), [], None
    for new in cohort.steps():
        records += [{**one, "seconds": 0} for one in new]
        if stop_after == cohort.epoch and cohort.at_epoch_end and state is None:
            state = cohort.state()
    return cohort, records, state


def test_texts_that_networks_write_while_they_train_change_no_number_of_the_training(monkeypatch):
    experiments = [small("soft-targets", seed=seed, epochs=3) for seed in (1, 0)]
    before = torch.get_rng_state()
    writing_cohort, records, _ = trained(experiments)
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(Schedule, "sampled_epochs", lambda schedule, networks: frozenset())
    silent, same, _ = trained(experiments)
    assert writing_cohort.texts() and not silent.texts()
    assert records == same
    assert all(torch.equal(value, silent.weights[name]) for name, value in writing_cohort.weights.items())


def test_the_last_text_is_what_the_trained_networks_of_the_first_experiment_write_after_the_prompt():
    cohort, _, state = trained([small("soft-targets", seed=seed, epochs=3) for seed in (1, 0)], stop_after=1)
    (blob,) = cohort.texts().values()
    found = json.loads(blob)
    first, last = found["samples"][0], found["samples"][-1]
    assert (first["epoch"], last["epoch"]) == (0, 3) and first["student"] == first["baseline"] != last["student"]
    for role, k in zip(("student", "baseline"), cohort.pair(cohort.first), strict=True):
        assert cohort.first.seed == 1 and last[role] == writing.sample(cohort.member(k), LITTLE, seed=1)
        prompt = writing.prompt_tokens(LITTLE, found["prompt"])
        tokens = writing.continue_prompt(cohort.member(k), LITTLE, prompt, tokens=writing.SAMPLED_WORDS, temperature=0.8, seed=1)
        assert last[role] == " " + LITTLE.decode(tokens)
    again = Cohort(cohort.experiments, device="cpu")
    again.restore(state)
    assert [one["epoch"] for one in again.samples] == [0]
    list(again.steps())
    assert again.texts() == cohort.texts()


@pytest.mark.parametrize(("images", "epochs", "networks"), [(300, 40, 2), (300, 40, 10), (10_000, 100, 2), (8, 1, 2), (300, 2, 10)])
def test_a_run_writes_nine_texts_at_most_and_fewer_where_it_takes_few_steps(images, epochs, networks):
    schedule = Schedule(Experiment(dataset="little-language", images=images, epochs=epochs, batch_size=32), images, 400)
    found = sorted(schedule.sampled_epochs(networks))
    assert (found[0], found[-1]) == (0, epochs) and 2 <= len(found) <= 9
    assert len(found) == 2 or schedule.steps * networks >= len(found) * STEPS_PER_TEXT
    gaps = [after - before for before, after in pairwise(found)]
    assert gaps == sorted(gaps)  # most at the beginning


# --- methods of texts -----------------------------------------------------------------------------------------------


def small(method, **choices):
    """An experiment of this method that takes little time; DistilBERT's has every second block of its teacher."""
    student = "gpt-64x1" if method.startswith("distilbert") else "gpt-16x1"
    usual = {"images": 16, "epochs": 2, "batch_size": 8, "learning_rate": 0.01}
    return Experiment(**{"dataset": "little-language", "student": student, "method": method, **usual, **choices})


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_a_method_of_texts_trains_as_a_cohort_what_it_trains_alone(method, monkeypatch):
    experiments = [small(method, seed=1, alpha=0.3), small(method, seed=0, alpha=0.0)]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), DOUBLE)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_every_method_of_texts_names_its_source_its_loss_and_its_unit(method):
    entry = TEXT_METHODS[method]
    assert "Source:" in entry.definition.__doc__ and citations(entry.paper)
    assert entry.loss_name and entry.unit in ("", "nats") and method not in METHODS


def test_a_student_writes_about_half_of_its_steps_and_the_same_ones_each_time():
    own = [is_own(TEXT_METHODS["on-policy"], step) for step in range(400)]
    assert 160 < sum(own) < 240 and own == [is_own(TEXT_METHODS["on-policy"], step) for step in range(400)]
    assert not any(is_own(METHODS["soft-targets"], step) for step in range(400))


def test_text_of_the_student_begins_as_the_window_and_is_graded_at_its_own_positions():
    data = load_run_data([small("on-policy")], device="cpu")
    windows = data.get_batch(next(data.batches(0)), 0).images
    network = models.build("gpt-16x1", seed=0, **SHAPE)
    weights = {name: torch.stack([weight, weight]) for name, weight in network.state_dict().items()}
    text = written_by_students(network, weights, windows.expand(2, -1, -1), seeds=[0, 1], step=7)
    assert text.shape == (2, 8, 33) and torch.equal(text[..., :8], windows.expand(2, -1, -1)[..., :8])
    assert not torch.equal(text[0], text[1])
    graded = data.graded(text)
    assert torch.equal(graded.images[..., 1:], graded.labels[..., :-1])
    asked = teachers.load_teacher(LITTLE, "gpt-64x2").network(graded.images[1])
    assert torch.allclose(graded.teacher_logits[1], asked)


def test_a_batch_has_as_much_text_of_the_teacher_as_of_the_data_set_and_no_hard_loss_on_it():
    data = load_run_data([small("sequence-level", seed=seed, images=20) for seed in (0, 1)], device="cpu")
    inputs = data.get_batch(next(data.batches(0)), 0)
    assert inputs.images.shape[0] == 2 and inputs.images.shape[2] == 32 and inputs.rows(inputs.unlabelled) == inputs.unlabelled * 32
    assert inputs.examples("hard_loss") == 8 and inputs.examples("soft_loss") == 8 + inputs.unlabelled
    assert sum(data.get_batch(indices, 0).unlabelled for indices in data.batches(0)) == 20
    assert torch.equal(inputs.images[..., 1:], inputs.labels[..., :-1])
    written = data.images[-40:]
    assert little_language().judge(written.numpy().astype(int))["grammatical"] > 0.8  # the teacher has learned the language


def test_the_loss_of_the_teachers_text_is_the_hard_loss_on_its_examples():
    logits, labels = torch.randn(12, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 7
    batch = Batch(logits, logits, labels, alpha=0.3, temperature=2.0, unlabelled=5)
    total, terms = objective(TEXT_METHODS["sequence-level"], batch)
    hard, own = (torch.nn.functional.cross_entropy(logits[rows], labels[rows]) for rows in (slice(0, 7), slice(7, 12)))
    assert terms["hard_loss"].item() == pytest.approx(hard.item()) and terms["soft_loss"].item() == pytest.approx(own.item())
    assert total.item() == pytest.approx((0.3 * hard + 0.7 * own).item())


@pytest.mark.parametrize(("beta", "limit"), [(1e-4, soft_loss), (1 - 1e-4, reverse_soft_loss)])
def test_jensen_shannon_tends_to_both_divergences(beta, limit):
    student, teacher = torch.randn(2, 50, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = 1e4 * jensen_shannon_loss(student, teacher, temperature=2.0, beta=beta)
    assert found.item() == pytest.approx(limit(student, teacher, temperature=2.0).item(), rel=2e-3)


def test_the_largest_probabilities_with_the_rest_as_one_class_are_a_coarser_divergence():
    student, teacher = torch.randn(2, 50, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    exact = soft_loss(student, teacher, temperature=1.0)
    coarse = [top_k_loss(student, teacher, k=k, temperature=1.0) for k in range(1, 9)]
    assert all(one <= other + 1e-12 for one, other in pairwise(coarse)) and coarse[-1].item() == pytest.approx(exact.item())
    p, q = teacher.softmax(dim=-1), student.softmax(dim=-1)
    top = p.argsort(dim=-1, descending=True)[:, :3]
    p, q = p.gather(-1, top), q.gather(-1, top)
    both = [torch.cat([one, 1 - one.sum(dim=-1, keepdim=True)], dim=-1) for one in (p, q)]
    assert coarse[2].item() == pytest.approx((both[0] * (both[0] / both[1]).log()).sum(dim=-1).mean().item())
    p, q = (one / one.sum(dim=-1, keepdim=True) for one in (p, q))
    scaled = top_k_loss(student, teacher, k=3, temperature=1.0, keep_rest=False)
    assert scaled.item() == pytest.approx((p * (p / q).log()).sum(dim=-1).mean().item())


def test_distilbert_starts_from_every_second_block_of_its_teacher(refused):
    teacher = teachers.load_teacher(LITTLE, "gpt-64x2").network.state_dict()
    student = students.initial(small("distilbert"), LITTLE, seed=5).state_dict()
    assert all(torch.equal(value, teacher[name]) for name, value in student.items())
    other = students.initial(small("distilbert-random"), LITTLE, seed=5).state_dict()
    assert not torch.equal(other["head.weight"], teacher["head.weight"])
    with refused("distilbert", "choose gpt-64x1"):
        Experiment(dataset="little-language", method="distilbert", student="gpt-48x2")
    with refused("sequence-level", "a teacher that is trained"):
        Experiment(dataset="little-language", method="sequence-level", teacher="self")
    with refused("on-policy", "is for texts"):
        Experiment(dataset="digits", method="on-policy")
