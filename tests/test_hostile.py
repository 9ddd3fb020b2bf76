"""Learners without a browser use the lab as a browser does; hostile links, messages and files end in sentences, never in an error box."""

from __future__ import annotations

import json
import urllib.parse

import pytest

from tests.faults import hostile
from tests.faults.learner import Learner
from tests.faults.server import LabServer


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab with scikit-learn's digits only."""
    folder = tmp_path_factory.mktemp("lab")
    with LabServer(DISTILL_DATA=str(folder)) as running:
        yield running


def shown(learner):
    return [message.replace("\\", "").replace("\u2060", "") for message in learner.messages]


def test_a_learner_sees_the_widgets_and_their_values_and_what_it_sets_is_in_the_link(lab):
    with Learner(lab.address) as learner:
        learner.open("race", "temperature=8.0")
        assert learner.widget("temperature").value == ["8.0"] and learner.widget("Student").value.startswith("mlp-30x2")
        learner.set("alpha", [0.5])
        assert "alpha=0.5" in learner.query and "temperature=8.0" in learner.query and not learner.errors


def test_a_race_that_a_learner_starts_ticks_until_it_ends(lab):
    with Learner(lab.address) as learner:
        learner.open("race", "epochs=2&images=100&seeds=1&student=linear")
        learner.press("Train")
        assert "run=" in learner.query and not learner.errors
        for _ in range(600):
            if learner.update() is None:
                break
        assert any("finished\\: 2 epochs" in text for text in learner.markdown), learner.messages


def test_a_value_that_no_browser_sends_is_refused_with_a_sentence_and_reaches_nothing(lab):
    with Learner(lab.address) as learner:
        learner.open("race")
        for name, value, field, named in (
            ("dataset", "/etc/hostname.zip", "", "is not offered"),
            ("seeds", [9000.0], "", "out of range"),
            ("seeds", [float("nan")], "", "'nan'"),
            ("epochs", 10.0**9, "", "out of range"),
            ("temperature", ["5000"], "", "is not offered"),
            ("student", 7, "int_value", "wrong type"),
        ):
            learner.set(name, value, field=field)
            assert not learner.errors and named in " ".join(shown(learner)), (name, shown(learner))
            learner.open("race")
        learner.set("identity", json.dumps({"token": hostile.PICTURE}))
        assert not learner.errors


def assert_plain(learner, page):
    """No text of a stranger is a picture, a link or an element: each of its signs has a backslash before it."""
    for text in learner.markdown:
        assert "](http://stranger" not in text and "<b>dog" not in text.replace("\\<", ""), f"/{page}: {text}"
    assert not learner.errors


def test_no_text_of_a_zip_is_markdown_or_html_on_any_page(lab):
    classes = (hostile.PICTURE.replace("/", "_").replace(":", "_"), "<b>dog")  # what a folder of a zip may be called
    blob = hostile.pack({f"{label}/{n}.png": hostile.picture(seed=n) for label in classes for n in range(10)})
    with Learner(lab.address) as learner:
        learner.open("race", "epochs=1&seeds=1&student=linear&teacher=self")
        learner.upload("zip", f"{hostile.PICTURE}.zip", blob)
        assert not learner.errors and learner.widget("dataset").value.endswith(")")
        learner.set("teacher", "self")
        learner.press("Train")
        while learner.update() is not None:
            assert_plain(learner, "race")
        assert any("finished\\: " in text for text in learner.markdown), learner.messages
        run = learner.query.partition("run=")[2].partition("&")[0]
        for page in ("race", "calibration", "runs", "draw", "soft_targets"):
            learner.open(page, f"run={run}")
            assert_plain(learner, page)
        learner.open("race")  # the set is in the lists of this browser ...
        assert any("a-png" in option for option in learner.widget("dataset").options)
    with Learner(lab.address) as other:  # ... and of no other, except by the link of its run
        other.open("race")
        assert not any("a-png" in option for option in other.widget("dataset").options)
        other.open("calibration")
        assert not any("a-png" in option for option in other.widget("calibration_run").options)
        other.open("race", f"run={run}")
        assert "a-png" in other.widget("dataset").value


@pytest.mark.parametrize("page", hostile.PAGES)
def test_no_text_of_a_link_is_markdown_or_html(lab, page):
    with Learner(lab.address) as learner:
        learner.open(page)
        names = {name for name, _ in urllib.parse.parse_qsl(learner.query)} | {"run", "dataset", "x", "find"}
        for value in (hostile.PICTURE, "<b>dog"):
            with Learner(lab.address) as other:
                other.open(page, urllib.parse.urlencode(dict.fromkeys(sorted(names), value)))
                assert_plain(other, page)


def test_hostile_links_messages_and_files_leave_no_error_box(lab):
    report = hostile.attack(lab, link_count=12, message_count=40, file_count=6, by_hand=False)
    assert report.errors == []
    assert report.cases["link"] >= 12 and report.cases["message"] == 40 and report.cases["file"] >= 12
    assert report.memory[1] - report.memory[0] < 100  # MB
