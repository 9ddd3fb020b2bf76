"""The API: predictions of the exported model; whatever else is sent gets 4xx with one sentence."""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from browser_fixtures import ROOT, free_port
from starlette.testclient import TestClient

from distill_core import serving
from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.export.trained import of_teacher


@pytest.fixture(scope="module")
def trained():
    return of_teacher(datasets.load("digits"), "cnn-32")


@pytest.fixture(scope="module")
def client(trained):
    with TestClient(serving.make_app(trained)) as client:
        yield client


def test_predictions_are_those_of_the_network(client, trained):
    images = trained.dataset.test_images[:20]
    ours = trained.logits(images).softmax(dim=1)
    asked = (
        {"images": images.tolist()},
        {"images": images.flatten(1).tolist()},
        {"images": images[:, 0].tolist()},
        {"images_base64": [base64.b64encode(image.numpy().tobytes()).decode() for image in images]},
    )
    for body in asked:
        reply = client.post("/predict", json=body)
        assert reply.status_code == 200, reply.text
        for soft, one in zip(ours, reply.json()["predictions"], strict=True):
            assert one["index"] == int(soft.argmax()) and one["class"] == trained.dataset.class_names[one["index"]]
            assert one["probabilities"] == pytest.approx(soft.tolist(), abs=1e-4)


PIXELS = [0] * 64
HOSTILE = {
    "no JSON": (b"{", 400),
    "empty": (b"", 400),
    "deep": (b"[" * 100_000, 400),
    "a list": (b"[]", 422),
    "no images": (b"{}", 422),
    "null": (b'{"images": null}', 422),
    "none": (b'{"images": []}', 422),
    "too many": (json.dumps({"images": [[0]] * 257}).encode(), 422),
    "another field": (json.dumps({"images": [PIXELS], "x": 1}).encode(), 422),
    "both": (json.dumps({"images": [PIXELS], "images_base64": []}).encode(), 422),
    "shape": (json.dumps({"images": [[0] * 63]}).encode(), 422),
    "another shape": (json.dumps({"images": [[[0] * 4] * 16]}).encode(), 422),
    "ragged": (json.dumps({"images": [PIXELS, [0]]}).encode(), 422),
    "numbers": (json.dumps({"images": [1, 2]}).encode(), 422),
    "text": (json.dumps({"images": [["0"] * 64]}).encode(), 422),
    "truth": (json.dumps({"images": [[True] * 64]}).encode(), 422),
    "NaN": (b'{"images": [[NaN' + b", 0" * 63 + b"]]}", 422),
    "infinite": (b'{"images": [[1e999' + b", 0" * 63 + b"]]}", 422),
    "huge": (b'{"images": [[' + b"9" * 400 + b", 0" * 63 + b"]]}", 422),
    "negative": (json.dumps({"images": [[-1] + [0] * 63]}).encode(), 422),
    "above": (json.dumps({"images": [[256] + [0] * 63]}).encode(), 422),
    "no base64": (json.dumps({"images_base64": ["?"]}).encode(), 422),
    "short base64": (json.dumps({"images_base64": ["AAAA"]}).encode(), 422),
    "number as base64": (json.dumps({"images_base64": [1]}).encode(), 422),
    "long": (b" " * 2_000_000, 413),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_request_gets_4xx_with_one_sentence(client, name):
    body, status = HOSTILE[name]
    reply = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text
    said = reply.json()["error"]
    assert "\n" not in said and 20 < len(said) < 300 and "Traceback" not in said


def test_a_body_without_a_length_is_read_only_up_to_the_limit(client):
    sent = []

    def parts():
        for _ in range(100):
            sent.append(1)
            yield b" " * 100_000

    assert client.post("/predict", content=parts(), headers={"content-type": "application/json"}).status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("GET", "/nothing", 404), ("POST", "/health", 405)])
def test_another_address_or_method_gets_one_sentence(client, method, path, status):
    reply = client.request(method, path)
    assert reply.status_code == status and "/predict" in reply.json()["error"]


def test_another_content_type_is_refused(client):
    reply = client.post("/predict", content=b"x", headers={"content-type": "text/plain"})
    assert reply.status_code == 415 and "application/json" in reply.json()["error"]


def test_a_slow_body_is_given_up(client, monkeypatch, trained):
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.2)

    def slow():
        yield b"{"
        time.sleep(0.6)
        yield b"}"

    assert client.post("/predict", content=slow(), headers={"content-type": "application/json"}).status_code in (400, 408, 422)


def test_metrics_count_what_was_asked(trained):
    client = TestClient(serving.make_app(trained))
    for body in ({"images": [PIXELS]}, {"images": [PIXELS] * 6}, {}):
        client.post("/predict", json=body)
    text = client.get("/metrics").text
    for line in ('predict_requests_total{status="200"} 2', 'predict_requests_total{status="422"} 1', "predict_images_total 7"):
        assert line in text
    assert 'predict_seconds_bucket{le="+Inf"} 3' in text and "predict_seconds_count 3" in text


def test_the_description_names_shapes_limits_and_errors_and_its_page_needs_no_other_server(client):
    found = client.get("/openapi.json").json()
    body = found["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    nested = body["oneOf"][0]["properties"]["images"]["items"]["oneOf"][0]
    assert nested["maxItems"] == 1 and nested["items"]["maxItems"] == 8
    assert set(found["paths"]["/predict"]["post"]["responses"]) == {"200", "400", "408", "413", "415", "422"}
    page = client.get("/docs").text
    assert "POST /predict" in page and "http" not in page.replace("https://", "http").split("<pre>")[0]


def test_health(client):
    assert client.get("/health").json()["status"] == "ok"


def test_the_command_serves_a_teacher_and_ends_on_a_signal(home):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "distill_core", "serve", "digits/cnn-32", "--port", str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        body = json.dumps({"images": [PIXELS]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"})
        for _ in range(300):
            try:
                with urllib.request.urlopen(request, timeout=5) as reply:
                    found = json.load(reply)
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.2)
        assert len(found["predictions"][0]["probabilities"]) == 10
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert out == ""


def test_a_port_in_use_gives_one_line(home, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "digits/cnn-32", "--port", str(taken.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "another --port" in said
