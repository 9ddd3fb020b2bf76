"""The page Sweep without a browser: links, old and invalid ones too, and the names of losses."""

from __future__ import annotations

import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core.data.datasets import DATASETS
from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from pages.sections.sweep import loss_names
from pages.server import lab


@pytest.fixture
def open_sweep(home, monkeypatch):
    """`open_sweep(**link)`: the page with this link, in a lab whose engine does not start; `file`: another page."""
    monkeypatch.setattr(Engine, "start", lambda engine: engine)
    caches = (lab.store, lab.engine)
    for cache in caches:
        cache.clear()

    def page(file="sweep.py", **link):
        app = AppTest.from_file(str(ROOT / "pages" / file), default_timeout=90)
        for field, value in link.items():
            app.query_params[field] = value
        return app.run()

    yield page
    for cache in caches:
        cache.clear()


@pytest.mark.parametrize(
    "link",
    [
        {"x": "foo"},
        {"x": "foo", "xs": "1,2"},
        {"y": "temperature", "ys": "1,2"},
        {"seeds": "50"},
        {"seeds": "-1", "epochs": "100000"},
        {"xs": "warm,1"},
        {"dataset": "moon", "student": "huge", "method": "none"},
    ],
    ids=str,
)
def test_an_invalid_link_opens_a_sweep_that_can_be_trained(open_sweep, link):
    app = open_sweep(**{"dataset": "digits"} | link)
    assert not app.exception and not app.error
    assert not app.button(key="sweep_train").disabled


def test_a_link_restores_axes_values_and_shared_settings(open_sweep):
    app = open_sweep(dataset="digits", x="alpha", xs="0.1,0.55", y="student", ys="mlp-5x2", temperature="7", seeds="2")
    assert app.selectbox(key="sweep_x").value == "alpha" and app.selectbox(key="sweep_y").value == "student"
    assert app.session_state["sweep_values_alpha"] == [0.1, 0.55] and app.session_state["sweep_values_student"] == ["mlp-5x2"]
    assert app.selectbox(key="sweep_temperature").value == 7.0
    assert any("2 cells x 2 seeds = 4 students" in text.value for text in app.markdown)


@pytest.mark.parametrize(
    ("link", "held_out"),
    [
        ({"dataset": "digits"}, 300),
        ({"dataset": "digits", "validation": "2000"}, 300),
        ({"dataset": "digits", "validation": "0"}, 0),
        ({"dataset": "mnist", "validation": "5000"}, 5000),
        ({"dataset": "digits", "validation": "-5"}, 300),
    ],
    ids=str,
)
def test_a_sweep_holds_out_validation_images_unless_told_otherwise(open_sweep, link, held_out):
    if not DATASETS[link["dataset"]].is_here():
        pytest.skip("MNIST is not on this machine")
    app = open_sweep(**link)
    assert not app.exception and not app.error
    assert app.selectbox(key="sweep_validation").value == held_out


@pytest.mark.parametrize(
    ("link", "least"),
    [
        ({"x": "temperature", "y": "alpha"}, 0.0),
        ({"x": "temperature", "y": "alpha", "method": "hints-two-stage"}, 0.0),
        ({"x": "temperature", "y": "alpha", "method": "hints"}, 0.1),
        ({"x": "alpha", "y": "student", "method": "mutual-2"}, 0.1),
        ({"x": "method", "xs": "soft-targets,similarity", "y": "alpha"}, 0.1),
        ({"x": "temperature", "y": "alpha", "ys": "0,0.2", "method": "contrastive"}, 0.2),
    ],
    ids=str,
)
def test_the_alpha_axis_leaves_out_0_for_methods_that_need_the_labels(open_sweep, link, least):
    app = open_sweep(**{"dataset": "digits"} | link)
    assert not app.exception and not app.error
    assert min(app.session_state["sweep_values_alpha"]) == least
    assert not app.button(key="sweep_train").disabled


def test_an_old_link_with_the_run_without_t2_is_translated(open_sweep):
    app = open_sweep(dataset="digits", run="0123456789ab", without="ba9876543210")
    assert not app.exception
    assert app.session_state["sweep_without_t2"] == "ba9876543210"
    assert [warning.value for warning in app.warning] == [
        "This sweep does not exist: it was deleted, or it is on another server. Start a new one."
    ]


def test_each_loss_is_named_once_with_its_unit():
    experiments = [Experiment(method=method) for method in ("soft-targets", "correlation", "soft-targets", "logits")]
    assert loss_names(experiments) == "soft loss (nats), correlation loss, logit loss (squared logits)"


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ({"x": "foo"}, "x 'foo' is not offered here; choose one of: temperature"),
        ({"seeds": "50"}, "seeds 50 is out of range; give a number from 1 to 10"),
        ({"epochs": "100000000"}, "epochs 100000000 is out of range"),
        ({"xs": ",".join(map(str, range(1, 20_000)))}, "characters; give"),
        ({"xs": ",".join(["1"] * 300)}, "temperature has 300 values; give 200 at most"),
        ({"xs": "1,nan"}, "temperature nan"),
        ({"xs": "warm,1"}, "temperature 'warm' is not a number"),
        ({"xs": "1,-4"}, "temperature -4.0"),
        ({"x": "student", "xs": "mlp-5x2,nobody"}, "nobody"),
        ({"x": "method", "xs": "nothing"}, "method 'nothing' is not known"),
        ({"batch_size": "-8"}, "batch_size -8"),
        ({"temperature": "1e-300", "x": "alpha", "y": "student"}, "temperature 1e-300"),
        ({"teacher": "+".join(["cnn-32"] * 50)}, "teacher 'cnn-32+"),
    ],
    ids=str,
)
def test_a_bad_value_of_a_sweeps_link_gives_one_sentence_and_the_page_works(open_sweep, link, named):
    app = open_sweep(**{"dataset": "digits"} | link)
    assert not app.exception and not app.error
    (message,) = [toast.value.replace("\\", "").replace("\u2060", "") for toast in app.toast]
    assert named in message and len(message) < 460
    assert not app.button(key="sweep_train").disabled


def test_a_sweep_of_more_races_than_a_run_may_have_is_refused_before_it_is_pressed(open_sweep):
    many = ",".join(str(1 + n / 100) for n in range(150))
    app = open_sweep(dataset="digits", xs=many, ys="0.1,0.2,0.3", seeds="1")
    (error,) = app.error
    assert not app.exception and "450 races" in error.value and app.button(key="sweep_train").disabled
