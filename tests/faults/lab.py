"""A lab on a free port of this machine, with its own folder, for scripts that measure what it bears."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


class Lab:
    """`with Lab(folder) as lab:` runs from `lab.address`; what it stores and logs is in `folder`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.log = folder / "server.txt"
        script = ROOT / "pages" / "server" / "serve.py"
        options = ["--server.headless", "true", "--server.port", str(port), "--server.address", "127.0.0.1"]
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(script), *options],
                cwd=ROOT, env={**os.environ, "DISTILL_HOME": str(folder / "home"), **environment}, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Lab:
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return self
        self.stop()
        raise RuntimeError(f"the lab did not start:\n{self.log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def memory(self) -> float:
        """Resident memory of the server in MB, without its workers."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """End it, and after ten seconds by force."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, sign)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
