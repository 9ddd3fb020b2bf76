"""The replay of a preset: recorded by the command, shipped for every preset, complete and labelled."""

import json

import pytest

from distill_core.__main__ import main
from distill_core.analysis import verdict
from distill_core.data.datasets import source_of
from distill_core.studies import replays
from distill_core.studies.presets import PRESETS

ABOUT = {"method": "soft-targets", "test_images": 359}


def test_shipped_replays_are_of_presets_and_the_first_race_is_among_them():
    assert "first-race" in replays.replays() and set(replays.replays()) <= set(PRESETS)


@pytest.mark.parametrize("name", sorted(replays.replays()))
def test_a_shipped_replay_is_complete_and_shows_the_measured_effect(name):
    replay, preset = replays.replays()[name], PRESETS[name]
    assert replay.seeds >= preset.seeds and replay.recorded in replay.caption and replay.caption.startswith("Replay")
    last = {(one["experiment"], one["member"]): one for one in replay.records()}
    finals = {role: [one["test_accuracy"] for (_, member), one in last.items() if member == role] for role in ("student", "baseline")}
    assert {one["epoch"] for (_, member), one in last.items() if member in finals} == {preset.experiment.epochs}
    assert len(finals["student"]) == len(finals["baseline"]) == replay.seeds
    difference = 100 * (sum(finals["student"]) - sum(finals["baseline"])) / replay.seeds
    assert difference * preset.measured.difference > 0 or abs(preset.measured.difference) < 0.6
    assert replay.method == preset.experiment.method and replay.test_images == source_of(preset.experiment.dataset).test


def test_the_conclusion_of_a_replay_is_that_of_a_race_with_its_figures():
    """Test accuracies are kept with four decimals; the images they stand for are exact, and so is the sentence."""
    right = {"student": [341, 338, 345], "baseline": [331, 336, 330]}
    records = [
        {"experiment": seed, "member": member, "step": step, "epoch": step, "seconds": 1.0, "test_accuracy": (own[seed] - 2 + step) / 359}
        for step in (1, 2)
        for member, own in right.items()
        for seed in range(3)
    ]
    results = [{member: {"test_accuracy": own[seed] / 359, "test_images": 359} for member, own in right.items()} for seed in range(3)]
    for method in ("soft-targets", "label-smoothing", "mutual-2"):
        replay = replays.record_replay(records, seconds=1.0, seeds=3, method=method, test_images=359)
        assert replay.conclusion == verdict(results, method=method).sentence


def test_a_replay_shows_only_what_was_known_by_then():
    replay = replays.replays()["first-race"]
    half = replay.records(until=replay.seconds / 2)
    assert 0 < len(half) < len(replay.records()) and max(one["seconds"] for one in half) <= replay.seconds / 2


def test_keep_records_a_preset_and_leaves_the_other_replays(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(replays, "PATH", tmp_path / "replays.json")
    replays.PATH.write_text(
        json.dumps({"plenty": {"recorded": "2026-01-01", "machine": "m", "seeds": 1, "seconds": 1.0, **ABOUT, "rows": []}})
    )
    replays.replays.cache_clear()
    assert main(["preset", "first-race", "--seeds", "2", "--keep"]) == 0
    again = replays.replays()
    replays.replays.cache_clear()
    assert set(again) == {"plenty", "first-race"} and again["first-race"].seeds == 2
    assert again["first-race"].conclusion in capsys.readouterr().out
