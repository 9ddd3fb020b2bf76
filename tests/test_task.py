"""The task of a worker, followed in this process: what it reports, where it pauses, and what it saves."""

import itertools
import json

import filelock
import pytest

from distill_core import paths, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.runs import task

SEEDS = itertools.count(5000)


class Recorder(task.Reporter):
    """Keeps events in place of sending them; `on_event` may react to one."""

    def __init__(self, on_event=lambda message: None):
        super().__init__("topic", f"run-{next(SEEDS)}")
        self.events, self.snapshots, self.on_event = [], [], on_event

    def send(self, **message):
        if message["about"] == "snapshot":
            self.snapshots.append(task.SNAPSHOTS.pop(self.submission))
        self.events.append(message)
        self.on_event(message)

    def about(self, kind):
        return [event for event in self.events if event["about"] == kind]


def race(count=2, **choices):
    return [Experiment(**{"images": 256, "epochs": 6, "seed": next(SEEDS), **choices}).to_json() for _ in range(count)]


def train(texts, reporter=None, *, state=None, until_epoch=None, cap=100.0):
    return task.train(reporter or Recorder(), texts, state=state, until_epoch=until_epoch, cap=cap)


def plain(records):
    """Records and results without the clock."""
    return [{name: value for name, value in one.items() if name != "seconds"} for one in records]


def test_the_texts_of_a_race_are_sent_while_it_trains_and_the_last_are_its_artefact():
    small = {"dataset": "little-language", "student": "gpt-16x1", "teacher": "gpt-64x2", "images": 16, "epochs": 2, "batch_size": 8}
    reporter = Recorder()
    outcome = train(race(2, **small), reporter)
    kinds = [event["about"] for event in reporter.events]
    files = [event["files"] for event in reporter.about("files")]
    assert [[one["epoch"] for one in json.loads(file["texts.json"])["samples"]] for file in files] == [[0], [0, 2]]
    assert kinds.index("files") == kinds.index("records") + 1 and files[-1].items() <= outcome["artefacts"].items()
    assert len(files[-1]["texts.json"]) < 2000
    images = Recorder()
    train(race(1, images=20, epochs=1), images)
    assert images.about("files") == []


def two_shapes():
    return [*race(1, student="linear", images=100, epochs=2), *race(1, student="mlp-8x1", images=100, epochs=2)]


def test_a_run_goes_on_from_a_snapshot_with_the_same_numbers(monkeypatch):
    monkeypatch.setattr(task, "SNAPSHOT_INTERVAL", 0.0)
    texts, whole = race(), Recorder()
    outcome = train(texts, whole)
    assert len(whole.snapshots) == 5  # after every epoch but the last
    again = train(texts, state=whole.snapshots[2]["state"])
    assert plain(again["records"]) == [one for one in plain(outcome["records"]) if one["event"] == "result" or one["epoch"] > 3]


def test_an_event_about_a_snapshot_carries_no_state(monkeypatch):
    monkeypatch.setattr(task, "SNAPSHOT_INTERVAL", 0.0)
    reporter = Recorder()
    train(race(1), reporter)
    assert reporter.about("snapshot") == [{"about": "snapshot"}] * 5


def test_a_snapshot_above_the_bound_is_not_made(monkeypatch):
    monkeypatch.setattr(task, "SNAPSHOT_INTERVAL", 0.0)
    monkeypatch.setattr(task, "MAX_SNAPSHOT", 10)
    reporter = Recorder()
    train(race(1), reporter)
    assert reporter.snapshots == []


def test_a_snapshot_holds_the_artefacts_of_the_cohorts_that_are_trained(monkeypatch):
    monkeypatch.setattr(task, "SNAPSHOT_INTERVAL", 0.0)
    texts, reporter = two_shapes(), Recorder()
    outcome = train(texts, reporter)
    first, second = reporter.snapshots
    assert first["artefacts"] == {}
    assert second["artefacts"].keys() == {"weights.safetensors", "predictions.safetensors"}
    again = train(texts, state=second["state"])
    assert {**second["artefacts"], **again["artefacts"]} == outcome["artefacts"]


def test_a_state_that_is_too_large_is_not_kept_and_the_run_goes_on(monkeypatch):
    monkeypatch.setattr(task, "MAX_STATE", 10)
    reporter = Recorder()
    assert train(race(1), reporter, until_epoch=2)["outcome"] == "finished"
    assert [event["message"] for event in reporter.about("refused")] == [
        "the state of this run is too large to be kept; it trains on without a pause"
    ]


def test_every_step_trains_exactly_one_epoch_also_from_one_cohort_to_the_next():
    texts, state, reached = two_shapes(), None, []
    whole = train(texts)
    records, artefacts = [], {}
    for until_epoch in range(1, 5):
        outcome = train(texts, state=state, until_epoch=until_epoch)
        state = outcome.get("state")
        records += plain(outcome["records"])
        artefacts |= outcome["artefacts"]
        reached.append((outcome["outcome"], outcome["epoch"]))
    assert reached == [("paused", 1.0), ("paused", 2.0), ("paused", 3.0), ("finished", 4.0)]
    assert records == plain(whole["records"]) and artefacts == whole["artefacts"]


@pytest.mark.parametrize("pause_at", [1, 2, 3])
def test_seconds_never_restart_where_a_chain_of_assistants_was_paused(pause_at):
    texts = race(1, assistants=("mlp-20x1",), images=100, epochs=2)  # at 2 the assistant becomes the teacher
    first = train(texts, until_epoch=pause_at)
    second = train(texts, state=first["state"])
    seconds = [one["seconds"] for outcome in (first, second) for one in outcome["records"]]
    assert seconds == sorted(seconds)
    assert second["seconds"] >= first["seconds"] > 0


def test_seconds_of_a_run_go_on_where_its_second_cohort_was_paused_among_assistants():
    texts = [*race(1, student="linear", images=100, epochs=2), *race(1, assistants=("mlp-20x1",), images=100, epochs=2)]
    first = train(texts, until_epoch=3)
    second = train(texts, state=first["state"])
    whole = task.Saved.unpack(first["state"])
    assert whole.earlier + (whole.seconds - whole.earlier) <= second["seconds"] <= whole.seconds + 5
    assert second["records"][0]["seconds"] + whole.earlier >= first["seconds"]


class ManualClock(task.Clock):
    """A clock that is over when the test sets it."""

    over = False

    def is_over(self):
        return self.over


def test_a_run_that_has_trained_when_its_time_is_over_is_finished(monkeypatch):
    monkeypatch.setattr(task, "Clock", ManualClock)
    monkeypatch.setattr(task, "EVENT_INTERVAL", 0.0)

    def at_the_last_epoch(message):
        ManualClock.over = message["about"] == "records" and message["epoch"] == 6

    outcome = train(race(1), Recorder(at_the_last_epoch))
    ManualClock.over = False
    assert (outcome["outcome"], outcome["message"], outcome["epoch"]) == ("finished", "", 6.0)
    assert outcome["records"][-1]["event"] == "result"


def test_a_run_whose_time_is_over_before_its_last_cohort_is_stopped(monkeypatch):
    monkeypatch.setattr(task, "Clock", ManualClock)
    monkeypatch.setattr(task, "EVENT_INTERVAL", 0.0)

    def at_the_last_epoch_of_the_first(message):
        ManualClock.over = ManualClock.over or (message["about"] == "records" and message["epoch"] == 2)

    outcome = train(two_shapes(), Recorder(at_the_last_epoch_of_the_first))
    ManualClock.over = False
    assert outcome["outcome"] == "stopped" and outcome["message"].startswith("stopped after 1.67 minutes, the most a run may take")
    assert [one["event"] for one in outcome["records"]].count("result") == 1


def test_a_stopped_run_ends_after_its_step():
    reporter = Recorder()
    reporter.on_event = lambda message: message["about"] == "records" and task.REQUESTS.update({reporter.submission: "stop"})
    outcome = train(race(1, epochs=100), reporter)
    task.REQUESTS.clear()
    assert outcome["outcome"] == "stopped" and outcome["epoch"] < 5


def test_a_stopped_run_does_not_wait_for_a_teacher_that_another_run_trains(home):
    dataset = datasets.load("digits")
    name = next(name for name in teachers.TEACHERS if name not in {card.name for card in teachers.shipped() if card.dataset == "digits"})
    folder = paths.home() / "teachers"
    folder.mkdir(parents=True)
    reporter = Recorder()
    reporter.on_event = lambda message: message["about"] == "progress" and task.REQUESTS.update({reporter.submission: "stop"})
    with filelock.FileLock(folder / f"{dataset.fingerprint}-{name}.lock"):
        outcome = train(race(1, teacher=name), reporter)
    task.REQUESTS.clear()
    assert outcome["outcome"] == "stopped"  # while the lock was still held
    assert reporter.about("progress")[0]["what"].startswith(f"waiting for another run that trains the teacher {name}")


def test_an_error_becomes_one_sentence_and_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(task, "Reporter", lambda topic, submission: Recorder())
    monkeypatch.setattr(task, "prepare_all", lambda *_: 1 / 0)
    task.REQUESTS["s"] = "pause"
    outcome = task.work("s", race(1), topic="t", cap=10.0)
    assert outcome["outcome"] == "failed" and "ended with an error of the lab itself (ZeroDivisionError)" in outcome["message"]
    assert "s" not in task.REQUESTS
    assert "needs more memory" in task.explain(MemoryError())


def test_a_state_of_an_older_lab_can_be_read():
    assert task.Saved.unpack(b'{"cohort": 1, "seconds": 2.5}\nabc') == task.Saved(1, 2.5, 0.0, b"abc")
    assert task.Saved.unpack(task.Saved(1, 2.5, 1.5, b"a\nb").pack()) == task.Saved(1, 2.5, 1.5, b"a\nb")
