"""A server of the lab for the scripts of this folder: on this machine only, with a home of its own, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


class LabServer:
    """`with LabServer() as server:` starts `pages/server/serve.py`; its workers are ready when the block begins."""

    def __init__(self, *, port: int = 0, **environment: str) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.home = Path(tempfile.mkdtemp(prefix="distill-faults-"))
        own = {"PYTHONPATH": str(ROOT), "DISTILL_HOME": str(self.home), "DISTILL_PER_ADDRESS": "1000"}
        self.environment = {**os.environ, **own, **environment}

    def __enter__(self) -> LabServer:
        command = [sys.executable, "-m", "streamlit", "run", "pages/server/serve.py", "--server.headless", "true"]
        command += ["--server.port", str(self.port), "--server.address", "127.0.0.1"]
        (ROOT / "static").mkdir(exist_ok=True)
        with (self.home / "server.log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.process = psutil.Process(self._process.pid)
        wait(self._answers, 120, "the server did not answer")
        return self

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(urllib.error.URLError, OSError):
            opener.open(f"{self.address}/_stcore/health", timeout=2).close()
            return True
        return False

    def wait_for_workers(self, count: int = 2) -> None:
        """Until so many worker processes run; the first page must have been opened."""
        wait(lambda: len(self.process.children(recursive=True)) > count, 600, "the workers did not start")

    @property
    def family(self) -> list[psutil.Process]:
        """The server and all of its children."""
        return [self.process, *self.process.children(recursive=True)]

    def memory(self) -> float:
        """Resident memory of the server in MB, without its workers."""
        return self.process.memory_info().rss / 1e6

    def query(self, sql: str) -> list[tuple]:
        """Read the database of the server."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home / 'lab.sqlite'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(sql).fetchall()

    def __exit__(self, *_: object) -> None:
        family = self.family
        self._process.terminate()
        _, self.left = psutil.wait_procs(family, timeout=15)  # which should be none
        for process in self.left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait(condition: Callable[[], object], seconds: float, sentence: str) -> None:
    """Until the condition is true; `TimeoutError` with the sentence if it does not become so."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(sentence)
        time.sleep(0.05)


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that so many percent do not exceed; NaN without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")
