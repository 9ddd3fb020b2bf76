"""A file server on this machine, for tests of downloads."""

from __future__ import annotations

import http.server
import socket
import threading

import numpy as np
import pytest

from distill_core.data import download

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
