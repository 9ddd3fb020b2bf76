"""What the lab takes, and what it estimates that a run needs."""

import dataclasses

import pytest

from distill_core.experiment import Experiment
from distill_core.runs import limits, workers
from distill_core.runs.limits import check_limits, check_pausable, state_bytes
from distill_core.runs.store import Store


@pytest.fixture
def eight_gigabytes(monkeypatch):
    """A machine whose workers have 8 GB each for networks."""
    monkeypatch.setattr(limits, "max_memory", lambda: 8e9)


LARGE = Experiment(dataset="mnist", student="mlp-2048x6", images=10)


@pytest.mark.parametrize(
    ("experiments", "kind", "sentence"),
    [
        ([], "race", "0 experiments cannot be one race; give from 1 to 64"),
        ([Experiment()] * 65, "race", "65 experiments cannot be one race"),
        ([Experiment()] * 401, "sweep", "401 experiments cannot be one sweep; give from 1 to 400"),
        ([Experiment()], "party", "kind 'party' is not known; choose one of: race, sweep"),
        ([dataclasses.replace(LARGE, images=0, epochs=500)] * 2, "race", "multiplications .* the most is 1e.15; choose fewer"),
        ([LARGE] * 20, "race", "GB of memory, the most is 8 GB on this machine"),
        ([Experiment(dataset="cifar10", student="cnn-64", batch_size=8192, epochs=1)] * 8, "race", "GB of memory, the most is 8 GB"),
    ],
)
def test_more_than_the_lab_takes_is_refused_with_the_number(eight_gigabytes, experiments, kind, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_limits(experiments, kind=kind)


def test_an_ordinary_class_is_within_the_limits(eight_gigabytes):
    check_limits([Experiment(dataset="mnist", student="mlp-800x2", epochs=20, batch_size=256, seed=seed) for seed in range(10)])
    check_limits([Experiment(dataset="mnist", images=1000, epochs=40, temperature=t) for t in range(1, 401)], kind="sweep")
    check_limits([Experiment(dataset="cifar10", student="cnn-16", seed=seed) for seed in range(5)])


def test_a_small_machine_refuses_what_a_large_one_takes(monkeypatch):
    experiments = [dataclasses.replace(LARGE, seed=seed) for seed in range(10)]
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 256e9)
    check_limits(experiments)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 4e9)
    with pytest.raises(ValueError, match=r"the most is 1\.5 GB on this machine"):
        monkeypatch.setattr(workers, "shape", lambda: (2, 1))
        check_limits(experiments)


def test_each_worker_may_use_its_share_of_the_memory(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 16e9)
    monkeypatch.setattr(workers, "shape", lambda: (2, 1))
    two = limits.max_memory()
    monkeypatch.setattr(workers, "shape", lambda: (4, 1))
    assert limits.max_memory() == two / 2 < 8e9


@pytest.mark.parametrize(
    "choices",
    [
        {"student": "mlp-30x2"},
        {"student": "cnn-4", "optimizer": "sgd"},
        {"student": "mlp-40x2", "assistants": ("mlp-60x2", "mlp-50x2")},
        {"student": "mlp-20x1", "method": "mutual-3"},
        {"student": "mlp-40x2", "teacher": "self", "assistants": ("mlp-40x2",)},
        {"student": "mlp-20x2", "method": "contrastive"},
        {"student": "mlp-20x2", "method": "hints", "assistants": ("mlp-60x2",)},
    ],
)
def test_the_estimated_state_has_the_size_of_the_real_one(choices):
    from distill_core.training.shards import Shards

    experiments = [Experiment(images=64, epochs=1, batch_size=64, seed=seed, **choices) for seed in (0, 1)]
    cohort = Shards(experiments)
    for _ in cohort.steps():
        pass
    assert state_bytes(experiments) == pytest.approx(len(cohort.state()), rel=0.25, abs=20_000)


def test_students_of_a_sweep_share_the_baseline_of_their_seed():
    one = Experiment(student="mlp-300x2")
    cells = [dataclasses.replace(one, temperature=t, alpha=a) for t in (1.0, 4.0, 8.0) for a in (0.1, 0.5)]
    assert state_bytes(cells) == pytest.approx(state_bytes([one]) / 2 * 7)
    assert state_bytes([one, dataclasses.replace(one, student="linear")]) == state_bytes([one])  # one cohort after another


def test_a_state_that_is_too_large_is_refused_with_both_sizes():
    check_pausable([Experiment(dataset="mnist", student="mlp-800x2", seed=seed) for seed in range(10)])
    with pytest.raises(ValueError, match=r"the state of this run has 5\.\d GB, and a run can be paused or stepped up to 0.512 GB"):
        check_pausable([dataclasses.replace(LARGE, seed=seed) for seed in range(10)])


def test_a_sweep_above_the_cap_is_refused_with_its_estimate(monkeypatch):
    with pytest.raises(ValueError, match="the sweep would take about 20 minutes, and 15 is the most"):
        limits.check_time(1200)
    monkeypatch.setenv("DISTILL_CAP", "1500")
    limits.check_time(1200)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lab.sqlite")


def finish(store, experiments, *, seconds):
    """A finished run of these experiments."""
    run_id = store.create([one.to_json() for one in experiments], key="k")
    store.append(run_id, [], seconds=seconds)
    store.set_status(run_id, "finished")


def estimate(store, experiments):
    return limits.estimate_seconds(experiments, factor=limits.measured_factor(store))


@pytest.mark.parametrize(("images", "ratio"), [(20_000, 3.0), (20_000, 0.5), (600, 1.5)])
def test_an_estimate_follows_what_finished_runs_of_the_student_took(store, images, ratio):
    experiments = [Experiment(dataset="mnist", images=images, student="mlp-300x2", batch_size=256, seed=seed) for seed in range(3)]
    before = estimate(store, experiments)
    finish(store, experiments, seconds=ratio * before)
    assert estimate(store, experiments) == pytest.approx(ratio * before)


def test_a_run_in_another_precision_changes_no_estimate(store):
    experiments = [Experiment(dataset="mnist", images=20_000, student="mlp-300x2", batch_size=256)]
    before = estimate(store, experiments)
    finish(store, [dataclasses.replace(one, precision="bfloat16-emulated") for one in experiments], seconds=10 * before)
    assert estimate(store, experiments) == before


def test_a_small_run_changes_the_estimate_of_a_large_one_by_no_more_than_a_factor_of_three(store):
    """Most of what a small run takes is neither multiplications nor steps: after one, a sweep of 20 s was announced with 11 minutes."""
    large = [Experiment(dataset="mnist", epochs=20, batch_size=64) for _ in range(200)]
    before = estimate(store, large)
    finish(store, [Experiment(images=50, epochs=20, batch_size=64) for _ in range(200)], seconds=1.2)
    assert before / 3 < estimate(store, large) < 3 * before


def test_an_estimate_counts_the_tests_of_a_short_training_on_few_images():
    few = [Experiment(dataset="mnist", images=200, epochs=10, batch_size=200, student="mlp-800x2")]
    of_training = 2 * 200 * 10 * (784 * 800 + 800 * 800 + 800 * 10) / limits.RATES["mlp"]
    of_tests = 2 * 11 * 10_000 * (784 * 800 + 800 * 800 + 800 * 10) / 3 / limits.RATES["mlp"]
    assert limits.estimate_seconds(few) == pytest.approx(of_training + of_tests + 10 * limits.SECONDS_A_STEP, rel=0.01)
