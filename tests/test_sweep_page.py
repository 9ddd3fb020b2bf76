"""The page Sweep without a browser: links, old and invalid ones too, and the names of losses."""

from __future__ import annotations

import math

import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core.analysis import verdict
from distill_core.data.datasets import DATASETS
from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.keys import run_key
from distill_core.studies import advice
from distill_core.studies.sweep import Grid
from pages.sections import sweep_live, sweep_results
from pages.sections.sweep import loss_names
from pages.server import lab
from pages.server.experiments import experiments_of


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


def test_all_students_of_a_sweep_train_in_the_precision_that_is_chosen(open_sweep):
    app = open_sweep(dataset="digits", xs="1,4", ys="0.1", seeds="1", precision="bfloat16-emulated")
    app.button(key="sweep_train").click().run()
    assert not app.exception and not app.error
    (run,) = lab.store().list()
    assert {one.precision for one in experiments_of(run)} == {"bfloat16-emulated"}


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


SMALL = {"dataset": "digits", "images": "500", "validation": "300", "seeds": "1"} | {
    "x": "alpha",
    "xs": "0.1,0.5",
    "y": "student",
    "ys": "mlp-5x2",
}


def test_before_a_sweep_the_page_shows_a_measured_one_with_its_data_set_student_seeds_and_date(open_sweep):
    app = open_sweep(**SMALL | {"y": "temperature", "ys": "1,4", "student": "mlp-10x2"})
    assert not app.exception
    (label,) = [text.value for text in app.markdown if "An example, measured before" in text.value]
    rows = [row for row in advice.kept() if row["experiment"]["dataset"] == "digits" and row["experiment"]["student"] == "mlp-10x2"]
    nearest = min(rows, key=lambda row: abs(math.log(row["experiment"]["images"] / 500)))
    assert f"{nearest['experiment']['images']:,} images, student mlp-10x2" in label and f"recorded on {nearest['date']}" in label
    assert "10 seeds" in label and any("Best cell, chosen on 300 validation images" in text.value for text in app.markdown)


def test_before_a_sweep_that_was_trained_already_the_page_shows_its_result_and_not_the_example(open_sweep):
    grid = Grid("alpha", (0.1, 0.5), "student", ("mlp-5x2",), 1)
    experiments = grid.experiments(Experiment(dataset="digits", images=500, validation=300, epochs=20, batch_size=64, learning_rate=0.01))
    store = lab.store()
    run_id = store.create([one.to_json() for one in experiments], key=run_key(experiments), kind="sweep", epochs=20)
    measured = {"step": 100, "epoch": 20.0, "seconds": 1.0, "validation_accuracy": 0.8}
    records = [
        {"event": "record", "experiment": place, "member": member, **measured, "test_accuracy": accuracy}
        for place in (0, 1)
        for member, accuracy in (("student", 0.9), ("baseline", 0.8))
    ]
    store.append(run_id, records, status="finished", seconds=1.0)
    app = open_sweep(**SMALL)
    assert not app.exception and not app.error
    texts = [text.value for text in app.markdown]
    assert any("These settings were trained before" in text for text in texts) and not any("An example" in text for text in texts)
    assert any("+10.0 points over its baseline" in text for text in texts) and not app.session_state["sweep_run"]


def test_an_old_link_with_the_run_without_t2_is_translated(open_sweep):
    app = open_sweep(dataset="digits", run="0123456789ab", without="ba9876543210")
    assert not app.exception
    assert app.session_state["sweep_without_t2"] == "ba9876543210"
    assert [warning.value for warning in app.warning] == [
        "This sweep does not exist: it was deleted, or it is on another server. Start a new one."
    ]


def test_a_cell_of_one_seed_has_the_interval_of_its_race_on_the_page_and_in_the_download(open_sweep):
    """Once the sweep has ended: until then nobody knows which test images were classified correctly."""
    store = lab.store()
    run_id = store.create([Experiment(images=100, temperature=t).to_json() for t in (1.0, 4.0)], key="k", kind="sweep")
    right = {("student", 0): (341, 14), ("baseline", 0): (331, 4), ("student", 1): (335, 9), ("baseline", 1): (333, 7)}
    record = {"event": "record", "step": 1, "epoch": 1.0, "seconds": 1.0}
    store.append(run_id, [{**record, "member": m, "experiment": race, "test_accuracy": n / 359} for (m, race), (n, _) in right.items()])
    before = sweep_results.table(store.get(run_id))
    results = [
        {m: {"test_accuracy": right[m, race][0] / 359, "test_images": 359, "discordant": right[m, race][1]} for m in sweep_live.PAIR}
        for race in (0, 1)
    ]
    store.append(run_id, [{"event": "result", "experiment": race, **one} for race, one in enumerate(results)])
    assert store.set_status(run_id, "finished")
    after, races = sweep_results.table(store.get(run_id)), [verdict([one], method="soft-targets") for one in results]
    assert after["low"].tolist() == pytest.approx([race.low for race in races]) and after["low"][0] > 0 > after["low"][1]
    assert after["high"].tolist() == pytest.approx([race.high for race in races])
    assert (before["low"] < after["low"]).all() and set(after["interval covers"]) == {"choice of test images"}
    words = sweep_live.snapshot(store.get(run_id)).words
    assert f"95 % interval {races[0].low:+.1f} to {races[0].high:+.1f}" in words and "helped" not in words


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
        ({"precision": "float16"}, "precision 'float16' is not offered here; choose one of: float32, bfloat16"),
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
