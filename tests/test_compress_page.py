"""The page Compress: sliders show the cliff, the combination is measured, a recovery is a race, files are downloaded."""

from dataclasses import replace

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from distill_core import models, teachers
from distill_core.compression import Compression
from distill_core.compression.curves import AXES, Curves, coarse_first, stored_bytes
from distill_core.compression.packing import pack
from distill_core.compression.recipe import NONE, compress
from distill_core.data import datasets
from distill_core.starts import keep_start
from distill_core.studies import ladder
from pages.components.compress_sliders import read_values


@pytest.fixture(scope="module")
def curves():
    dataset = datasets.load("digits")
    return Curves(teachers.load_teacher(dataset, "cnn-32").network, dataset)


def test_curves_are_measured_in_parts_begin_at_the_network_itself_and_end_below_the_cliff(curves):
    curves.go_on(seconds=0)
    assert [["accuracy" in one for one in points].count(True) for points in curves.points.values()] == [1] * len(AXES)
    curves.go_on(seconds=600)
    assert curves.is_finished
    whole = curves.combination(NONE)
    assert whole["accuracy"] == pytest.approx(356 / 359)
    for axis, points in curves.points.items():
        assert [one["value"] for one in points] == list(AXES[axis])
        assert {name: points[0][name] for name in whole} == whole
        assert points[-1]["bytes"] < 0.2 * whole["bytes"], axis
        assert axis == "bits" or points[-1]["accuracy"] < whole["accuracy"] - 0.2, axis


def test_a_combination_of_one_way_is_its_point_of_the_curve(curves):
    curves.go_on(seconds=600)
    for axis, value in (("prune", 80), ("neurons", 50), ("rank", 30), ("bits", 3)):
        (own,) = [one for one in curves.points[axis] if one["value"] == value]
        assert curves.combination(replace(NONE, **{axis: value})) == {name: own[name] for name in ("accuracy", "bytes", "flops")}


def test_the_ends_of_all_curves_are_measured_before_what_is_between():
    order = coarse_first({axis: len(values) for axis, values in AXES.items()})
    assert sorted(order) == sorted((axis, number) for axis, values in AXES.items() for number in range(len(values)))
    first = set(order[:14])
    assert all({(axis, 0), (axis, len(values) - 1)} <= first for axis, values in AXES.items())


def test_a_network_with_shortcuts_has_no_curve_of_its_units():
    dataset = datasets.load("digits")
    network = models.build("resnet-8", image_shape=dataset.image_shape, classes=10, seed=0).eval()
    assert set(Curves(network, dataset).points) == set(AXES) - {"neurons"}


@pytest.mark.parametrize("chosen", [NONE, Compression(prune=80), Compression(bits=4), Compression(neurons=50, rank=50, prune=50, bits=2)])
def test_the_shown_bytes_are_those_of_the_stored_weights(curves, chosen):
    small = compress(curves.network, chosen)
    stored = sum(value.nbytes for value in pack(small, bits=chosen.bits).values())
    assert stored_bytes(small, chosen) == pytest.approx(stored, rel=0.01)


@pytest.mark.parametrize(
    "sent", [None, [], {}, {"values": {"bits": 1}}, {"values": {"bits": True}}, {"values": {"bits": "4"}}, {"values": 3}]
)
def test_a_malformed_message_leaves_the_values_of_the_page(sent):
    values = {"bits": 32}
    message = {"page_values": values, **sent} if isinstance(sent, dict) else sent
    assert read_values(message, curves={"bits": [{"value": 32}, {"value": 4}]}, page_values=values) == values


def test_a_value_of_a_slider_is_taken():
    values = {"bits": 32}
    message = {"page_values": values, "values": {"bits": 4}}
    assert read_values(message, curves={"bits": [{"value": 32}, {"value": 4}]}, page_values=values) == {"bits": 4}


def test_slide_see_the_cliff_recover_download_and_open_the_download(lab_server, watched, tmp_path):
    page = watched(f"{lab_server().address}/compress?network=digits/cnn-32")
    slider = page.get_by_role("slider", name="Remove units or channels")
    slider.wait_for()
    panel = page.locator(".compress-sliders section", has=slider)
    whole = panel.locator(".now").inner_text()
    slider.focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    expect(panel.locator(".now")).to_contain_text("80 % of the units removed")
    assert panel.locator(".now").inner_text() != whole
    expect(page.get_by_text("80 % of the units removed; 95 % interval")).to_be_visible()
    page.locator("button:visible", has_text="Recover").first.click()
    page.get_by_text("finished:").wait_for()
    expect(page.get_by_text("95 % interval").first).to_be_visible()
    page.locator("button:visible", has_text="Make the file").first.click()
    with page.expect_download() as download:
        page.locator("button:visible", has_text="Download digits-cnn-32-neurons-80.html").first.click()
    target = tmp_path / "student.html"
    download.value.save_as(target)
    opened = page.context.browser.new_context(offline=True).new_page()
    opened.goto(target.as_uri())
    expect(opened.locator("h1")).to_contain_text("80 % of the units removed")
    opened.locator(".examples button").first.click()
    expect(opened.locator(".prediction strong")).not_to_be_empty()
    opened.context.close()


def test_an_invalid_link_opens_with_a_network_of_this_machine(home):
    app = AppTest.from_file(str(ROOT / "pages" / "compress.py"), default_timeout=90)
    app.query_params["network"] = "![](https://x.org/a.png)"
    app.run()
    assert not app.exception


def test_a_recovery_on_the_page_race_names_its_start_and_keeps_it_until_it_is_left(home):
    dataset = datasets.load("digits")
    start = keep_start(models.build("mlp-30x2", image_shape=dataset.image_shape, classes=10, seed=0))
    app = AppTest.from_file(str(ROOT / "pages" / "race.py"), default_timeout=90)
    app.query_params.update({"student": "mlp-30x2", "start_from": start, "compression": "neurons-50+int4"})
    app.run()
    assert not app.exception
    assert any(
        "start from the weights of a trained mlp-30x2, compressed: 50 % of the units removed, 4 bits" in m.value for m in app.markdown
    )
    assert app.query_params["start_from"] == start and app.query_params["compression"] == "neurons-50+int4"  # of what Train starts
    app.selectbox(key="student").select("mlp-10x1").run()
    assert "start_from" not in app.query_params and any("new weights are drawn" in caption.value for caption in app.caption)
    app.selectbox(key="student").select("mlp-30x2").run()
    assert app.query_params["start_from"] == start
    app.button(key="new_weights").click().run()
    assert not app.exception and "start_from" not in app.query_params and "compression" not in app.query_params


def test_an_unfinished_ladder_shows_its_rungs_and_no_finding(home, monkeypatch):
    known = ladder.kept()
    own = [row for row in known["rows"] if row["setting"] == "mnist"]
    monkeypatch.setattr(ladder, "kept", lambda: known | {"rows": own[:4]})
    app = AppTest.from_file(str(ROOT / "pages" / "compress.py"), default_timeout=90).run()
    assert not app.exception
    shown = [one.value for one in app.markdown]
    assert any(f"Measured so far: 4 of {len(own)} rungs" in text for text in shown)
    assert not any("the smallest rung is" in text for text in shown)
