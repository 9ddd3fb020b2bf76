"""A file server on this machine, for tests of downloads, and small files in the layout of CIFAR-10."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

from distill_core.data import download

TRAIN, TEST = 50, 20  # images of a small set
BLOB = np.random.default_rng(9).integers(0, 256, 700_000, dtype=np.uint8).tobytes()


class Server:
    """Serves `files`; can ignore Range, cut the first `cuts` responses in half, and alter the first `alters`."""

    def __init__(self, files):
        self.files, self.ranges, self.cuts, self.alters = files, True, 0, 0
        self.requests = []  # (path, Range)
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requested = self.headers.get("Range", "")
                server.requests.append((self.path, requested))
                if self.path not in server.files:
                    return self.send_error(404)
                blob = server.files[self.path]
                start = int(requested[6:-1]) if server.ranges and requested else 0
                if start >= len(blob):
                    return self.send_error(416)
                body = blob[start:]
                self.send_response(206 if server.ranges and requested else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if server.alters:
                    server.alters -= 1
                    body = bytes([body[0] ^ 1]) + body[1:]
                if server.cuts:
                    server.cuts -= 1
                    body = body[: len(body) // 2]
                return self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    """A running Server with one file, `/blob`; a failed try waits for nothing."""
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = Server({"/blob": BLOB})
    yield started
    started.http.shutdown()
    started.http.server_close()


def unused_address():
    """An address without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def cifar(data, monkeypatch):
    """A small set in the layout of CIFAR-10's Python batches: its folder and its arrays."""
    from distill_core.data import datasets

    rng = np.random.default_rng(4)
    source = replace(datasets.DATASETS["cifar10"], train=TRAIN, test=TEST)
    monkeypatch.setitem(datasets.DATASETS, "cifar10", source)
    kind = datasets.import_torchvision().datasets.CIFAR10
    folder = data / source.folder
    folder.mkdir(parents=True)
    arrays = []

    def write(file, content):
        blob = pickle.dumps(content)
        (folder / file).write_bytes(blob)
        return [file, hashlib.md5(blob).hexdigest()]

    def batch(file, count):
        arrays.append((rng.integers(0, 256, (count, 3072), dtype=np.uint8), (np.arange(count) % 10).tolist()))
        return write(file, {"data": arrays[-1][0], "labels": arrays[-1][1]})

    monkeypatch.setattr(kind, "train_list", [batch(f"data_batch_{i}", TRAIN // 5) for i in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [batch("test_batch", TEST)])
    meta = write("batches.meta", {"label_names": list(source.class_names)})
    monkeypatch.setattr(kind, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return folder, arrays
