"""The report of a run: complete in one file, opened without a network, printed on one page."""

import itertools
import re

import pytest

from distill_core import analysis
from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.export import export, file_name
from distill_core.export.svg import BOTTOM, HEIGHT, TOP, Line, line_chart, round_ticks
from distill_core.export.trained import of_run, of_teacher
from distill_core.runs.finished import default_store, keep_finished
from distill_core.training.cohort import Cohort

EXPERIMENTS = [Experiment(images=100, epochs=4, student="mlp-10x2", seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def cohort():
    cohort = Cohort(EXPERIMENTS, device="cpu")
    return cohort, [one for records in cohort.steps() for one in records]


@pytest.fixture(scope="module")
def results(cohort):
    return [one for one in cohort[1] if one["event"] == "result"]


@pytest.fixture(scope="module")
def run(cohort, results):
    """The student of a run of three seeds."""
    from safetensors.torch import load

    weights = load(cohort[0].artefacts()["weights.safetensors"])
    return of_run(EXPERIMENTS[0], weights, results=results, records=[one for one in cohort[1] if one["event"] == "record"])


def test_the_report_opens_without_a_network_and_shows_the_verdict_of_the_run_on_one_printed_page(run, results, browser, tmp_path):
    path = tmp_path / file_name(run, "report")
    path.write_bytes(export(run, "report"))
    context, asked = browser.new_context(offline=True), []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".verdict").inner_text() == analysis.verdict(results).sentence
    assert page.locator("svg").count() >= 2 + 6 and page.locator(".images img").count() == 6
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth === 8)")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    pages = page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
    context.close()
    assert pages == 1 and path.stat().st_size < 5e6


def test_the_report_has_the_scores_the_settings_and_what_the_interval_covers(run, results):
    text = export(run, "report").decode()
    mean = sum(one["student"]["test_accuracy"] for one in results) / 3
    assert f"{100 * mean:.2f} %" in text and "mlp-10x2" in text and "3, the first is 0" in text
    assert "variation between seeds" in text and "/*" not in text


def test_the_curves_end_at_the_runs_result(run, results):
    text = export(run, "report").decode()
    lines = dict(zip(("student", "baseline"), re.findall(r'<polyline points="([^"]+)"', text), strict=False))
    ends = {name: float(points.split()[-1].split(",")[1]) for name, points in lines.items()}
    means = {name: sum(one[name]["test_accuracy"] for one in results) for name in lines}
    assert (ends["student"] < ends["baseline"]) == (means["student"] > means["baseline"])  # down is less


def test_a_point_outside_the_axis_is_cut_off_and_not_drawn_at_its_edge():
    chart = line_chart([Line("a", [0, 1], [(10, 10, 10), (90, 90, 90)], "#000", "")], title="", low=40, high=100)
    first = re.search(r'<g clip-path="url\(#plot\)">.*<polyline points="[\d.]+,([\d.]+)', chart)[1]
    assert float(first) > HEIGHT - BOTTOM + (HEIGHT - TOP - BOTTOM) / 3 and '<clipPath id="plot">' in chart


def test_a_network_without_a_run_is_refused(run, refused):
    from distill_core.compression import Compression

    for trained in (of_teacher(datasets.load("digits"), "cnn-32"), run.compressed(Compression(bits=8))):
        with refused("no run of its own"):
            export(trained, "report")


def test_names_of_classes_are_text(run):
    from dataclasses import replace

    names = tuple(f"<img src=https://x.org/{number}>" for number in range(10))
    text = export(replace(run, dataset=replace(run.dataset, class_names=names)), "report").decode()
    assert "<img src=https" not in text and "&lt;img" in text


def test_the_command_writes_the_report_of_a_finished_run(cohort, home, tmp_path, capsys):
    store = default_store()
    run_id = keep_finished(store, EXPERIMENTS, cohort[1], cohort[0].artefacts(), seconds=1.0)
    out = tmp_path / "report.html"
    assert main(["export", run_id, "--format", "report", "--out", str(out)]) == 0
    assert "Over 3 seeds" in out.read_text()


@pytest.mark.parametrize(("low", "high"), [(0, 100), (-3.2, 4.1), (88.3, 100), (0, 0), (0, 7)])
def test_ticks_are_round_and_cover_the_values(low, high):
    ticks = round_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 9
    assert len({round(b - a, 8) for a, b in itertools.pairwise(ticks)}) == 1


def test_names_at_the_ends_of_lines_do_not_overlap():
    lines = [Line(name, [0, 1], [(50, 50, 50), (50 + place / 100, 50, 50)], "#000", "") for place, name in enumerate("abc")]
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start"', line_chart(lines, title="", low=0, high=100)))
    assert all(below - above >= 12 for above, below in itertools.pairwise(heights))
