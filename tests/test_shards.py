"""Shards are a matter of speed: whichever shard a student is in, it gets the numbers it would have had alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.studies.sweep import Grid
from distill_core.training import shards
from distill_core.training.cohort import Cohort, cohorts
from distill_core.training.loop import train
from distill_core.training.shards import Shards, count_shards, split_cohort, train_sharded

SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 2, "batch_size": 64}


def cells(seeds=2, temperatures=(1.0, 4.0, 20.0), alphas=(0.1, 0.5), **choices):
    grid = Grid("temperature", temperatures, "alpha", alphas, seeds)
    return grid.experiments(Experiment(**{**SMALL, **choices}))


def plain(record):
    """A record or result without the clock."""
    return {name: value for name, value in record.items() if name not in ("seconds", "experiment")}


def of_all(steps):
    """The records of each experiment, without the clock, in the order of its steps."""
    found = {}
    for records in steps:
        for one in records:
            found.setdefault(one["experiment"], []).append(plain(one))
    return found


def weights(sharded):
    """The weights of every experiment's student, by its index."""
    return {
        group[i]: {name: value[shard.pair(experiment)[0]].detach().clone() for name, value in shard.weights.items()}
        for shard, group in zip(sharded.shards, sharded.groups, strict=True)
        for i, experiment in enumerate(shard.experiments)
    }


@pytest.mark.parametrize("most", (1, 2, 3))
def test_a_cell_of_a_sweep_is_the_same_experiment_trained_alone(most):
    experiments = cells()
    sharded = Shards(experiments, device="cpu", count=most, dtype=torch.float64)
    found = of_all(sharded.steps())
    for index in range(0, len(experiments), 5):
        *records, result = found[index]
        *alone, result_alone = train(experiments[index], device="cpu", dtype=torch.float64)
        assert [measured(one) for one in records] == [measured(one) for one in alone]
        losses, expected = ([one["hard_loss"] for one in run if one["hard_loss"] is not None] for run in (records, alone))
        assert losses == pytest.approx(expected, rel=1e-8)
        for role in ("student", "baseline", "teacher"):
            assert result[role]["errors_by_class"] == result_alone[role]["errors_by_class"]
            assert result[role]["ece"] == pytest.approx(result_alone[role]["ece"], rel=1e-8)


def measured(record):
    """What is exactly the same, since no prediction depends on rounding in double precision."""
    return [record[name] for name in ("member", "epoch", "step", "test_accuracy", "agreement")]


@settings(max_examples=8)
@given(
    student=st.sampled_from(["linear", "mlp-7x1", "mlp-12x2", "cnn-2"]),
    seeds=st.integers(1, 3),
    hidden=st.sets(st.integers(0, 9), max_size=3),
    noise=st.sampled_from([0.0, 0.3]),
    method=st.sampled_from(["soft-targets", "soft-targets-without-t2"]),
    count=st.integers(2, 4),
)
def test_two_shards_have_the_weights_of_one_cohort_whatever_is_chosen(student, seeds, hidden, noise, method, count):
    experiments = cells(seeds, (2.0, 8.0), student=student, hide_classes=tuple(hidden), label_noise=noise, method=method, epochs=1)
    together, apart = (Shards(experiments, device="cpu", count=n, dtype=torch.float64) for n in (1, count))
    for run in (together, apart):
        for _ in run.steps():
            pass
    ours, theirs = weights(apart), weights(together)
    assert ours.keys() == theirs.keys() == set(range(len(experiments)))
    for index, tensors in theirs.items():
        for name, value in tensors.items():
            torch.testing.assert_close(ours[index][name], value, rtol=1e-8, atol=1e-10)


def test_in_single_precision_ten_steps_differ_by_rounding_only():
    experiments = cells(1, images=320, batch_size=32, epochs=1)  # ten steps
    together, apart = (Shards(experiments, device="cpu", count=n) for n in (1, 2))
    for run in (together, apart):
        for _ in run.steps():
            pass
    for index, tensors in weights(together).items():
        for name, value in tensors.items():
            assert (weights(apart)[index][name] - value).abs().max() <= 1e-5 * value.abs().max()


def test_in_single_precision_final_accuracy_over_ten_seeds_is_that_of_students_trained_alone():
    seeds, temperatures = 10, (2.0, 20.0)
    experiments = cells(seeds, temperatures, (0.1,), images=300, student="mlp-30x2", epochs=10, batch_size=32)
    found = of_all(Shards(experiments, device="cpu", count=2).steps())
    alone = [list(train(experiment, device="cpu"))[-1] for experiment in experiments]

    def right(results):  # test images, of each cell and seed
        accuracies = torch.tensor([one["student"]["test_accuracy"] for one in results], dtype=torch.float64)
        return (accuracies * len(datasets.load("digits").test_labels)).round().view(len(temperatures), seeds).numpy()

    ours, theirs = right([found[index][-1] for index in range(len(experiments))]), right(alone)
    for cell in range(len(temperatures)):
        low, high = interval(ours[cell] - theirs[cell])
        assert -2 <= low <= 0 <= high <= 2
        low, high = interval(ours[cell] - theirs[1 - cell])  # the cell beside it is another student, and that is seen
        assert low > 2 or high < -2


def interval(differences, level=0.95):
    """Student's t of paired differences."""
    n = len(differences)
    half = stats.t.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / n**0.5
    return differences.mean() - half, differences.mean() + half


def test_what_was_kept_goes_on_with_exactly_the_same_numbers():
    experiments = cells(epochs=3)
    whole = Shards(experiments, device="cpu", count=2)
    expected = of_all(whole.steps())
    begun = Shards(experiments, device="cpu", count=2)
    first = []
    for records in begun.steps():
        first.append(records)
        if begun.at_epoch_end and begun.done == 1:
            break
    second = Shards.restored(experiments, begun.state(), device="cpu")
    found = of_all([*first, *second.steps()])
    assert found == expected
    assert begun.state_bytes == pytest.approx(len(begun.state()), rel=0.1)


def test_shards_yield_the_records_of_all_students_together():
    experiments = cells()
    for records in Shards(experiments, device="cpu", count=2).steps():
        assert {one["experiment"] for one in records} in (set(), set(range(len(experiments))))


points = st.builds(
    Experiment,
    temperature=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    alpha=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 4),
)


@given(st.lists(points, min_size=1, max_size=20), st.integers(1, 5))
def test_every_experiment_is_in_one_shard_and_every_shard_is_a_cohort(experiments, most):
    for group in cohorts(experiments):
        parts = split_cohort([experiments[index] for index in group], shards=most)
        assert sorted(index for part in parts for index in part) == list(range(len(group)))
        for part in parts:
            Cohort([experiments[group[index]] for index in part], device="cpu")


@pytest.mark.parametrize(("seeds", "wanted"), [(1, 2), (3, 2), (4, 2), (5, 4), (2, 3)])
def test_shards_are_nearly_equally_large(seeds, wanted):
    sizes = sorted(map(len, split_cohort(cells(seeds), shards=wanted)))
    assert len(sizes) == wanted and sizes[-1] - sizes[0] <= seeds * 1 + 3


def test_seeds_stay_whole_where_they_come_out_even():
    experiments = cells(4)
    for part in split_cohort(experiments, shards=2):
        assert set(Counter(experiments[index].seed for index in part).values()) == {6}


def test_small_steps_have_one_shard_and_large_ones_one_for_each_core(monkeypatch):
    monkeypatch.setattr(shards, "available_cores", lambda: 4)
    assert count_shards(cells(1, batch_size=16)) == 1
    assert count_shards(cells(5, student="mlp-800x2", images=1000, batch_size=256)) == 4


def test_sharded_training_yields_each_experiments_own_result():
    experiments = [*cells(1), *cells(1, student="mlp-9x1")]
    results = {one["experiment"]: one for one in train_sharded(experiments, device="cpu") if one["event"] == "result"}
    assert [results[index]["key"] for index in range(len(experiments))] == [experiment.key for experiment in experiments]


def test_with_fewer_threads_there_are_as_many_shards_and_the_same_numbers():
    experiments = cells()
    runs = [Shards(experiments, device="cpu", count=2, threads=threads) for threads in (1, 2)]
    first, second = (of_all(run.steps()) for run in runs)
    assert first == second and [run.threads for run in runs] == [1, 2]
    assert all(len(run.shards) == 2 for run in runs)
