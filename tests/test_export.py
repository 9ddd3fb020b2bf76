"""Exports: each loads in another runtime and agrees with torch; truncated and foreign files are refused."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from browser_fixtures import ROOT
from safetensors.numpy import load as load_numpy

from distill_core import models
from distill_core.__main__ import main
from distill_core.compression import Compression, parse_compression
from distill_core.data import datasets
from distill_core.data.drawing import centre_digit
from distill_core.experiment import Experiment
from distill_core.export import FORMATS, OF_TEXTS, export, file_name, offered
from distill_core.export.files import read_safetensors
from distill_core.export.onnx_model import TOLERANCE, OnnxModel, compare, onnx, onnx_int8
from distill_core.export.trained import Trained, of_run, of_teacher
from distill_core.runs.finished import find, keep_finished
from distill_core.runs.finished import of_run as of_stored_run
from distill_core.runs.store import Store
from distill_core.serving import make_app
from distill_core.statistics import format_percent
from distill_core.studies import ladder
from distill_core.training.cohort import Cohort

EXPERIMENT = Experiment(epochs=5, student="mlp-20x2")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def cohort():
    """A trained run: its experiments, records and artefacts."""
    trained = Cohort([EXPERIMENT], device="cpu")
    return trained, [one for records in trained.steps() for one in records]


@pytest.fixture(scope="module")
def student(cohort):
    """The student of a run on digits."""
    from safetensors.torch import load

    trained, records = cohort
    results = [one for one in records if one["event"] == "result"]
    return of_run(
        EXPERIMENT,
        load(trained.artefacts()["weights.safetensors"]),
        results=results,
        records=[r for r in records if r["event"] == "record"],
    )


@pytest.fixture(scope="module")
def cnn(digits):
    return of_teacher(digits, "cnn-32")


def test_the_student_of_a_run_has_the_runs_number(student):
    logits = student.logits(student.dataset.test_images)
    accuracy = (logits.argmax(dim=1) == student.dataset.test_labels).double().mean().item()
    assert accuracy == pytest.approx(student.results[0]["student"]["test_accuracy"], abs=1 / 359)


def test_safetensors_load_in_numpy_and_give_the_same_logits(student):
    weights = load_numpy(export(student, "safetensors"))
    images = student.dataset.test_images[:50]
    hidden = student.dataset.pixels(images).flatten(1).numpy()
    for name in ("stem", "blocks.1.0"):
        hidden = np.maximum(0, hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    logits = hidden @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(logits, student.logits(images).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", ["", "neurons-50", "rank-40", "prune-80+int4", "int8"])
@pytest.mark.parametrize("which", ["student", "cnn"])
def test_an_exported_file_comes_back_with_the_same_outputs(which, text, request, tmp_path):
    trained = request.getfixturevalue(which).compressed(parse_compression(text))
    path = tmp_path / file_name(trained, "safetensors")
    path.write_bytes(export(trained, "safetensors"))
    again, images = read_safetensors(path), trained.dataset.test_images[:50]
    torch.testing.assert_close(again.logits(images), trained.logits(images), rtol=1e-4, atol=1e-4)
    assert again.compression == trained.compression


@pytest.mark.parametrize("harm", ["cut", "foreign", "empty", "missing", "another"])
def test_a_file_that_is_cut_or_foreign_is_refused(student, tmp_path, refused, harm):
    from safetensors.torch import save

    path, blob = tmp_path / "network.safetensors", export(student, "safetensors")
    content = {"cut": blob[:-100], "foreign": b"PK\x03\x04 no weights", "empty": b"", "another": save({"a": torch.zeros(2)})}
    if harm != "missing":
        path.write_bytes(content[harm])
    with refused("network.safetensors", "export"):
        read_safetensors(path)


@pytest.mark.parametrize("which", ["student", "cnn"])
def test_onnx_agrees_with_torch_in_onnx_runtime(which, request):
    trained = request.getfixturevalue(which)
    difference, same = compare(trained, onnx(trained))
    assert difference <= TOLERANCE and same == 1


def test_networks_with_shortcuts_and_ensembles_become_onnx(digits):
    for name in ("resnet-8",):
        network = models.build(name, image_shape=(1, 8, 8), classes=10, seed=0).eval().requires_grad_(False)
        difference, _ = compare(one := Trained(name, name, "student", network, digits), onnx(one))
        assert difference <= TOLERANCE


def test_the_int8_model_really_has_weights_of_8_bits_and_is_smaller_and_as_accurate(cnn):
    from onnx import TensorProto, load_model_from_string

    plain, small = onnx(cnn), onnx_int8(cnn)
    model = load_model_from_string(small)
    weights = [one for one in model.graph.initializer if len(one.dims) > 1 and one.name not in ("mean", "inverse_std")]
    assert len(weights) == 4 and {one.data_type for one in weights} == {TensorProto.INT8}
    assert len(small) < 0.35 * len(plain)
    _, same = compare(cnn, small)
    assert same > 0.98


def test_onnx_runtime_runs_integer_kernels_on_the_int8_model(cnn, tmp_path):
    """The graph that ONNX Runtime has optimised for this machine: no product of floats is left of the convolutions."""
    import onnxruntime
    from onnx import load

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(onnx_int8(cnn), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in load(tmp_path / "optimised.onnx").graph.node]
    assert sum(kind in ("QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat") for kind in kinds) == 4, kinds
    assert not {"Conv", "Gemm", "MatMul"} & set(kinds), kinds


@pytest.mark.parametrize("blob", [b"", b"not a model", b"\x08\x0a" * 40])
def test_a_foreign_model_is_refused(blob, refused):
    with refused("ONNX", "export"):
        OnnxModel(blob)


def test_a_cut_model_is_refused(student, refused):
    with refused("ONNX", "export"):
        OnnxModel(onnx(student)[:-500])


def test_a_model_without_half_of_its_units_is_a_smaller_file(cnn):
    half = cnn.compressed(Compression(neurons=50))
    for form in ("safetensors", "onnx"):
        assert len(export(half, form)) < 0.45 * len(export(cnn, form))


def test_the_torch_program_gives_the_same_logits_for_any_number_of_images(student):
    program = torch.export.load(io.BytesIO(export(student, "torch"))).module()
    for count in (1, 7):
        images = student.dataset.test_images[:count]
        torch.testing.assert_close(program(images), student.logits(images), rtol=1e-4, atol=1e-4)


def test_the_csv_has_a_line_for_each_record(student):
    rows = list(csv.DictReader(io.StringIO(export(student, "csv").decode())))
    assert len(rows) == len(student.records)
    assert float(rows[-1]["test_accuracy"]) == student.records[-1]["test_accuracy"]


def test_a_teacher_has_no_records(cnn, refused):
    with refused("records", "csv"):
        export(cnn, "csv")


def test_the_card_names_data_recipe_figures_and_limits(student):
    text = export(student, "card").decode()
    for part in ("## Data", "## Recipe", "## Figures", "## Limits", "mlp-1200x2", "95 % interval", "1,438 training"):
        assert part in text
    assert format_percent(student.results[0]["student"]["test_accuracy"]) in text


def test_the_notebook_gives_the_runs_number_without_the_lab(student, tmp_path):
    cells = json.loads(export(student, "notebook"))["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    assert not any("distill_core" in cell for cell in code[:-1])
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(code[:-1]))
    told = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.returncode == 0, told.stderr
    assert f"{student.results[0]['student']['test_accuracy']:.4f}" in told.stdout
    assert "`pip install numpy safetensors scikit-learn torch`" in cells[0]["source"]


def test_training_again_in_the_notebook_gives_the_runs_number(student, capsys):
    code = [cell["source"] for cell in json.loads(export(student, "notebook"))["cells"] if cell["cell_type"] == "code"]
    exec(code[-1], {})
    assert f"student {student.results[0]['student']['test_accuracy']:.4f}," in capsys.readouterr().out


@pytest.mark.parametrize("form", ["html", "notebook"])
def test_what_is_no_chain_of_layers_has_no_page_and_no_notebook(digits, form, refused):
    network = models.build("resnet-8", image_shape=(1, 8, 8), classes=10, seed=0).eval()
    with refused("chain"):
        export(Trained("resnet-8", "resnet-8", "student", network, digits), form)


# --- language models ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["gpt-16x2", "gru-12"])
def writer(request):
    """A language model of a run on the little language."""
    from safetensors.torch import load

    experiment = Experiment(dataset="little-language", student=request.param, images=16, epochs=2, batch_size=8, learning_rate=0.01)
    trained = Cohort([experiment], device="cpu")
    records = [one for records in trained.steps() for one in records]
    results, logged = ([one for one in records if one["event"] == kind] for kind in ("result", "record"))
    return of_run(experiment, load(trained.artefacts()["weights.safetensors"]), results=results, records=logged)


def code_of_notebook(trained):
    return [cell["source"] for cell in json.loads(export(trained, "notebook"))["cells"] if cell["cell_type"] == "code"]


def test_a_language_model_comes_back_from_its_file_with_the_same_outputs_and_vocabulary(writer, tmp_path):
    path = tmp_path / file_name(writer, "safetensors")
    path.write_bytes(export(writer, "safetensors"))
    again, tokens = read_safetensors(path), writer.dataset.test_images[:20]
    assert torch.equal(again.logits(tokens), writer.logits(tokens)) and again.dataset.class_names == writer.dataset.class_names
    assert path.name == f"little-language-{writer.name}.safetensors"


def test_onnx_of_a_language_model_agrees_with_torch_on_the_test_windows(writer):
    blob = onnx(writer)
    difference, same = compare(writer, blob)
    assert difference <= TOLERANCE and same == 1
    assert OnnxModel(blob).logits(writer.dataset.test_images[:3].numpy()).shape == (3, 32, writer.dataset.classes)


def test_the_notebook_of_a_language_model_gives_the_runs_number_without_the_lab_and_writes(writer, capsys):
    number = writer.results[0]["student"]["test_bits_per_character"]
    *without_lab, again = code_of_notebook(writer)
    assert not any("distill_core" in cell for cell in without_lab)
    space = {}
    for cell in without_lab:
        exec(cell, space)
    said, text = capsys.readouterr().out.splitlines()
    assert said.startswith(f"{number:.4f} bits a character") and text.startswith("the king that sees the dogs ")
    exec(again, {})
    assert f"student {number:.4f}," in capsys.readouterr().out


def test_every_format_that_is_offered_for_a_language_model_is_a_file_and_every_other_is_refused(writer, refused):
    assert offered(writer) == list(OF_TEXTS) and all(export(writer, form) for form in ("safetensors", "csv"))
    rows = list(csv.DictReader(io.StringIO(export(writer, "csv").decode())))
    assert len(rows) == len(writer.records) and float(rows[-1]["test_bits_per_character"]) > 0
    for form in FORMATS.keys() - set(OF_TEXTS):
        with refused("language model", form, "safetensors, onnx, notebook, csv"):
            export(writer, form)


def test_a_language_model_is_neither_compressed_nor_served(writer, refused):
    for attempt in (lambda: writer.compressed(Compression(bits=8)), lambda: make_app(writer), lambda: list(ladder.of_one(writer, seeds=1))):
        with refused("language model", "only networks for images"):
            attempt()


def test_a_teacher_of_texts_is_exported_by_its_name(home):
    teacher = find("little-language/gpt-64x2")
    assert offered(teacher) == ["safetensors", "onnx", "notebook"] and len(code_of_notebook(teacher)) == 4


# --- the page, in a browser without a network -----------------------------------------------------------------------


@pytest.fixture
def offline(browser, tmp_path):
    """Opens an exported page from a file, with the network off; at the end nothing may have gone wrong or been requested."""
    contexts, errors, requested = [], [], []

    def open_page(trained, **options):
        path = tmp_path / "student.html"
        path.write_bytes(export(trained, "html"))
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_offline(True)
        context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto(path.as_uri())
        requested.clear()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == [] and [url for url in requested if not url.startswith("data:")] == []


@pytest.mark.parametrize("which", ["student", "cnn"])
def test_the_page_computes_the_logits_of_torch(which, request, offline):
    trained = request.getfixturevalue(which)
    page, images = offline(trained), trained.dataset.test_images[:40]
    logits = page.evaluate("images => images.map((image) => network.logits(image))", images.flatten(1).tolist())
    ours = trained.logits(images)
    assert (torch.tensor(logits).argmax(dim=1) == ours.argmax(dim=1)).all()
    torch.testing.assert_close(torch.tensor(logits), ours, rtol=0.02, atol=0.05)  # weights of 16 bits


@pytest.mark.parametrize("size", [28, 8])
def test_the_page_centres_a_drawing_as_the_lab_does(student, offline, size):
    page, generator, drawings = offline(student), np.random.default_rng(0), []
    for _ in range(20):
        pad, (y, x) = np.zeros((112, 112)), generator.uniform(25, 85, 2)
        for step in generator.normal(0, 2.5, (60, 2)):  # a random stroke of a round pen
            y, x = np.clip([y + step[0], x + step[1]], 8, 104)
            rows, columns = np.mgrid[:112, :112]
            pad = np.maximum(pad, np.clip(5 - np.hypot(rows - y, columns - x), 0, 1) * 255)
        drawings.append(pad.astype(np.uint8))
    centred = page.evaluate("([pads, size]) => pads.map((pad) => centreDigit(pad, size))", [[pad.tolist() for pad in drawings], size])
    for pad, found in zip(drawings, centred, strict=True):
        assert np.abs(np.array(found) - centre_digit(pad, size=size)).max() <= 1


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_the_page_recognises_a_drawn_digit_with_the_network_off(mnist, offline, device):
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True} if device == "phone" else {}
    page = offline(of_teacher(datasets.load(mnist), "cnn-32"), **options)
    box = page.locator(".pad canvas").bounding_box()

    def point(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    strokes = {"1": [[(0.5, 0.1), (0.5, 0.9)]], "7": [[(0.25, 0.15), (0.75, 0.15), (0.45, 0.9)]]}
    if mnist == "digits":  # whose sevens have a bar
        strokes.pop("7")
    for digit, lines in strokes.items():
        for line in lines:
            page.mouse.move(*point(*line[0]))
            page.mouse.down()
            for place in line[1:]:
                page.mouse.move(*point(*place), steps=12)
            page.mouse.up()
        assert page.locator(".prediction strong").inner_text() == digit
        page.get_by_role("button", name="Clear").click()
        assert page.locator(".prediction strong").inner_text() == ""


def test_a_class_name_cannot_end_the_script(cnn, offline):
    from dataclasses import replace

    hostile = replace(cnn.dataset, class_names=("</script><img src=x onerror=alert(1)>", *map(str, range(1, 10))))
    page = offline(replace(cnn, dataset=hostile))
    assert page.locator(".bars .label").first.inner_text() == "</script><img src=x onerror=alert(1)>"
    assert page.locator("main img").count() == 0


# --- the command line -----------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_its_key_and_a_teacher_by_its_name(cohort, home, refused):
    trained, records = cohort
    store = Store(home / "lab.sqlite")
    run_id = keep_finished(store, [EXPERIMENT], records, trained.artefacts(), seconds=1.0)
    assert keep_finished(store, [EXPERIMENT], records, trained.artefacts(), seconds=1.0) == run_id
    for name in (run_id, EXPERIMENT.key):
        assert find(name, store=store).experiment == EXPERIMENT
    assert find("digits/cnn-32").name == "cnn-32"
    for name in ("../../etc/passwd", "0" * 12, "0" * 16, "digits/none", "nowhere/cnn-32", "none.safetensors"):
        with refused({"digits/none": "none", "nowhere/cnn-32": "nowhere"}.get(name, name)):
            find(name, store=store)


def test_a_run_with_damaged_weights_is_refused(cohort, home, refused):
    trained, records = cohort
    store = Store(home / "lab.sqlite")
    run_id = keep_finished(
        store, [EXPERIMENT], records, {"weights.safetensors": trained.artefacts()["weights.safetensors"][:-50]}, seconds=1.0
    )
    with refused(run_id, "train it again"):
        of_stored_run(store, store.get(run_id))


def test_train_keeps_its_run_and_export_writes_it(home, tmp_path, capsys):
    small = ["train", "--images", "100", "--epochs", "1", "--student", "mlp-8x1", "--device", "cpu", "--json"]
    assert main(small) == 0
    key = json.loads(capsys.readouterr().out.splitlines()[-1])["key"]
    out = tmp_path / "student.onnx"
    assert main(["export", key, "--format", "onnx", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == out.stat().st_size and OnnxModel(out.read_bytes()).image_shape == (1, 8, 8)


@pytest.mark.parametrize(
    "arguments",
    [["none"], ["digits/cnn-32", "--format", "gif"], ["digits/cnn-32", "--compression", "x"], ["digits/cnn-32", "--out", "no/such/f"]],
)
def test_what_cannot_be_exported_gives_one_line(arguments, home, capsys):
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("distill_core: ") and said.count("\n") == 1


def test_readme_names_the_formats():
    assert set(FORMATS) >= {"safetensors", "onnx", "html", "notebook", "csv"}
    assert "python -m distill_core export RUN" in (ROOT / "README.md").read_text()
