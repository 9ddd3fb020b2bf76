"""Requests a second of `serve`, and their latency, under a constant load: none may be lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from distill_core import models
from distill_core.data import datasets
from distill_core.export.files import safetensors
from distill_core.export.trained import Trained
from tests.bench.measure import Figure

ROOT = Path(__file__).resolve().parents[2]
RATE, SECONDS, CONNECTIONS = 1000, 10, 16


def run() -> Iterator[Figure]:
    """mlp-30x2 on 28 x 28 images, with random weights, behind the API; the load generator shares the machine's cores."""
    dataset = datasets.load("mnist" if datasets.DATASETS["mnist"].is_here() else "digits")
    network = models.build("mlp-30x2", image_shape=dataset.image_shape, classes=dataset.classes, seed=0).eval().requires_grad_(False)
    path = Path(os.environ["DISTILL_HOME"]) / "bench.safetensors"
    path.write_bytes(safetensors(Trained("mlp-30x2", "mlp-30x2", "student", network, dataset)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "distill_core", "serve", str(path), "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        _wait(port, server)
        pixels = dataset.test_images[0].flatten().tolist()
        body = json.dumps({"images": [pixels]}).encode()
        asyncio.run(_load(port, body, rate=RATE, seconds=1))  # warms up
        seconds, lost, spent = asyncio.run(_load(port, body, rate=RATE, seconds=SECONDS))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=20)
    ordered = sorted(seconds)
    yield Figure("serve: requests a second, one image each", [len(seconds) / spent], "1/s", f"at least {0.99 * RATE}")
    yield Figure("serve: milliseconds, median", [1000 * ordered[len(ordered) // 2]], "ms")
    yield Figure("serve: milliseconds, 99th percentile", [1000 * ordered[int(0.99 * len(ordered))]], "ms", "at most 20")
    yield Figure("serve: requests lost", [lost], "", "at most 0")


def _wait(port: int, server: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the service did not come up")


async def _load(port: int, body: bytes, *, rate: int, seconds: float) -> tuple[list[float], int, float]:
    """Send `rate` requests a second over several connections, each at its time whether or not earlier ones were answered.

    Returns the seconds from when each was due to its answer, the number without one of 200, and the seconds of all.
    """
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    taken, lost, count, began = [], 0, int(rate * seconds), time.perf_counter()
    numbers = iter(range(count))

    async def connection() -> None:
        nonlocal lost
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
            lost += not answer.startswith(b"HTTP/1.1 200")
            taken.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return taken, lost + count - len(taken), time.perf_counter() - began
