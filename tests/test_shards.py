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
from distill_core.training.shards import Shards, count_shards, split_cohort, train_sharded
from distill_core.training.trainer import train

SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 2, "batch_size": 64}


def cells(seeds=2, temperatures=(1.0, 4.0, 20.0), alphas=(0.1, 0.5), **choices):
    grid = Grid("temperature", temperatures, "alpha", alphas, seeds)
    return grid.experiments(Experiment(**{**SMALL, **choices}))


def plain(told):
    """A record or result without the clock."""
    return {name: value for name, value in told.items() if name not in ("seconds", "experiment")}


def of_all(steps):
    """What is told of each experiment, without the clock, in the order of its steps."""
    found = {}
    for records in steps:
        for one in records:
            found.setdefault(one["experiment"], []).append(plain(one))
    return found


def weights(side_by_side):
    """The weights of every experiment's student, by its place."""
    return {
        places[i]: {name: value[shard._pair(experiment)[0]].detach().clone() for name, value in shard.weights.items()}
        for shard, places in zip(side_by_side.shards, side_by_side.places, strict=True)
        for i, experiment in enumerate(shard.experiments)
    }


@pytest.mark.parametrize("most", (1, 2, 3))
def test_a_cell_of_a_map_is_the_same_experiment_trained_alone(most):
    experiments = cells()
    side_by_side = Shards(experiments, device="cpu", most=most, dtype=torch.float64)
    told = of_all(side_by_side.steps())
    for place in range(0, len(experiments), 5):
        *records, result = told[place]
        *alone, result_alone = train(experiments[place], device="cpu", dtype=torch.float64)
        assert [measured(one) for one in records] == [measured(one) for one in alone]
        losses, expected = ([one["hard_loss"] for one in told_by if one["hard_loss"] is not None] for told_by in (records, alone))
        assert losses == pytest.approx(expected, rel=1e-8)
        for role in ("student", "baseline", "teacher"):
            assert result[role]["errors_by_class"] == result_alone[role]["errors_by_class"]
            assert result[role]["ece"] == pytest.approx(result_alone[role]["ece"], rel=1e-8)


def measured(told):
    """What is exactly the same, since no verdict turns on rounding in double precision."""
    return [told[name] for name in ("member", "epoch", "step", "test_accuracy", "agreement")]


@settings(max_examples=8)
@given(
    student=st.sampled_from(["linear", "mlp-7x1", "mlp-12x2", "cnn-2"]),
    seeds=st.integers(1, 3),
    hidden=st.sets(st.integers(0, 9), max_size=3),
    noise=st.sampled_from([0.0, 0.3]),
    method=st.sampled_from(["soft-targets", "soft-targets-without-t2"]),
    most=st.integers(2, 4),
)
def test_two_lanes_have_the_weights_of_one_cohort_whatever_is_chosen(student, seeds, hidden, noise, method, most):
    experiments = cells(seeds, (2.0, 8.0), student=student, hide_classes=tuple(hidden), label_noise=noise, method=method, epochs=1)
    together, apart = (Shards(experiments, device="cpu", most=n, dtype=torch.float64) for n in (1, most))
    for run in (together, apart):
        for _ in run.steps():
            pass
    ours, theirs = weights(apart), weights(together)
    assert ours.keys() == theirs.keys() == set(range(len(experiments)))
    for place, tensors in theirs.items():
        for name, value in tensors.items():
            torch.testing.assert_close(ours[place][name], value, rtol=1e-8, atol=1e-10)


def test_in_single_precision_ten_steps_differ_by_rounding_only():
    experiments = cells(1, images=320, batch_size=32, epochs=1)  # ten steps
    together, apart = (Shards(experiments, device="cpu", most=n) for n in (1, 2))
    for run in (together, apart):
        for _ in run.steps():
            pass
    for place, tensors in weights(together).items():
        for name, value in tensors.items():
            assert (weights(apart)[place][name] - value).abs().max() <= 1e-5 * value.abs().max()


def test_in_single_precision_final_accuracy_over_ten_seeds_is_that_of_students_trained_alone():
    seeds, temperatures = 10, (2.0, 20.0)
    experiments = cells(seeds, temperatures, (0.1,), images=300, student="mlp-30x2", epochs=10, batch_size=32)
    told = of_all(Shards(experiments, device="cpu", most=2).steps())
    alone = [list(train(experiment, device="cpu"))[-1] for experiment in experiments]

    def right(results):  # test images, of each cell and seed
        accuracies = torch.tensor([one["student"]["test_accuracy"] for one in results], dtype=torch.float64)
        return (accuracies * len(datasets.load("digits").test_labels)).round().view(len(temperatures), seeds).numpy()

    ours, theirs = right([told[place][-1] for place in range(len(experiments))]), right(alone)
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
    whole = Shards(experiments, device="cpu", most=2)
    expected = of_all(whole.steps())
    begun = Shards(experiments, device="cpu", most=2)
    first = []
    for told in begun.steps():
        first.append(told)
        if begun.at_epoch_end and begun.done == 1:
            break
    second = Shards.restored(experiments, begun.state(), device="cpu")
    found = of_all([*first, *second.steps()])
    assert found == expected
    assert begun.state_bytes == pytest.approx(len(begun.state()), rel=0.1)


def test_lanes_tell_an_epoch_of_all_students_together():
    experiments = cells()
    for told in Shards(experiments, device="cpu", most=2).steps():
        assert {one["experiment"] for one in told} in (set(), set(range(len(experiments))))


places = st.builds(
    Experiment,
    temperature=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    alpha=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 4),
)


@given(st.lists(places, min_size=1, max_size=20), st.integers(1, 5))
def test_every_experiment_is_in_one_lane_and_every_lane_is_a_cohort(experiments, most):
    for group in cohorts(experiments):
        parts = split_cohort([experiments[place] for place in group], shards=most)
        assert sorted(place for part in parts for place in part) == list(range(len(group)))
        for part in parts:
            Cohort([experiments[group[place]] for place in part], device="cpu")


@pytest.mark.parametrize(("seeds", "lanes_wanted"), [(1, 2), (3, 2), (4, 2), (5, 4), (2, 3)])
def test_lanes_are_nearly_equally_long(seeds, lanes_wanted):
    sizes = sorted(map(len, split_cohort(cells(seeds), shards=lanes_wanted)))
    assert len(sizes) == lanes_wanted and sizes[-1] - sizes[0] <= seeds * 1 + 3


def test_seeds_stay_whole_where_they_come_out_even():
    experiments = cells(4)
    for part in split_cohort(experiments, shards=2):
        assert set(Counter(experiments[place].seed for place in part).values()) == {6}


def test_small_steps_have_one_lane_and_large_ones_one_a_core(monkeypatch):
    monkeypatch.setattr(shards.os, "cpu_count", lambda: 4)
    assert count_shards(cells(1, batch_size=16)) == 1
    assert count_shards(cells(5, student="mlp-800x2", images=1000, batch_size=256)) == 4


def test_side_by_side_tells_every_experiment_its_own_result():
    experiments = [*cells(1), *cells(1, student="mlp-9x1")]
    results = {told["experiment"]: told for told in train_sharded(experiments, device="cpu") if told["event"] == "result"}
    assert [results[place]["key"] for place in range(len(experiments))] == [experiment.key for experiment in experiments]
