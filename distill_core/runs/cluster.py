"""The connection to the workers: a Dask scheduler by address, by default one in a child process of this server."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import ipaddress
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from distill_core.runs import process, task

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger("distill_core.runs")

UNENCRYPTED = "DISTILL_CLUSTER_UNENCRYPTED"
GPU = "GPU"  # the resource of a worker that has one: dask worker --resources GPU=1


def check_address(address: str) -> str:
    """The address of a scheduler itself. Raises `ValueError` for one that anybody on the way could speak for.

    Whoever speaks as the scheduler runs code on its clients: docs/security.md.
    """
    protocol, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if protocol == "tls" or os.environ.get(UNENCRYPTED) == "1":
        return address
    with contextlib.suppress(ValueError):
        if protocol == "tcp" and (host == "localhost" or ipaddress.ip_address(host).is_loopback):
            return address
    raise ValueError(
        f"the scheduler at '{address}' is not on this machine, and its connection is not encrypted; whoever can reach it could run "
        f"programs here: give DISTILL_CLUSTER an address with tls://, or set {UNENCRYPTED}=1 on a network that you trust"
    )


class Cluster:
    """A scheduler and its workers. All methods but `close_child` belong to the dispatcher's thread.

    `address`: a Dask scheduler; without one, workers are started on this machine. `on_event` gets what tasks send under
    `topic`, in a thread of the client.
    """

    def __init__(self, *, address: str | None, topic: str, log_path: Path, on_event: Callable[[dict], None]) -> None:
        self.address = address
        self.topic = topic  # of this server: others may use the same scheduler
        self.log_path = log_path
        self.on_event = on_event
        self.client: Client | None = None
        self.child: subprocess.Popen | None = None
        self._closing = threading.Event()
        self._fetching = ThreadPoolExecutor(1, thread_name_prefix="distill-snapshots")

    def connect(self) -> None:
        """Connect to the scheduler that was named, or to one in a new child process. Raises if neither is there."""
        import dask
        from distributed import Client  # here: half a second that the first page need not wait for

        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # a paused run's state is sent along
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # the dispatcher itself shows what happened
        address = self.address or self._start_child()
        process.ignore_clock_changes()
        self.client = Client(address, timeout="5s", set_as_default=False, name="distill-server")
        self.client.subscribe_topic(self.topic, lambda event: self.on_event(event[1]))

    def _start_child(self) -> str:
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        with self._open_log() as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "distill_core.runs.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**process.ENVIRONMENT, **os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the server; the child ends when its input closes
            )
        if self._closing.is_set():
            self.close_child()
        address = self.child.stdout.readline().strip()
        if not address:
            raise ConnectionError("the workers' process ended before it printed its address")
        return address

    def _open_log(self):  # noqa: ANN202
        try:
            return self.log_path.open("a" if self.log_path.exists() and self.log_path.stat().st_size < 1_000_000 else "w")
        except OSError:
            return open(os.devnull, "w")

    def processing(self) -> dict[str, list[str]]:
        """The workers, each with the tasks that the scheduler has given it. Raises if the scheduler does not answer."""
        if self.child is not None and self.child.poll() is not None:
            raise ConnectionError("the workers' process has died")
        return self.client.sync(self.client.scheduler.processing, workers=None, callback_timeout=10)

    def gpu_workers(self) -> set[str]:
        """The workers that were started with a GPU as a resource."""
        if self.child is not None:
            return set()
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address for address, worker in workers.items() if worker["resources"].get(GPU, 0) >= 1}

    def submit(self, submission: str, experiments: Iterable[str], *, worker: str, **options: object) -> Future:
        """Start `task.work` on a worker; it runs on another one, with a GPU or without, if that worker dies."""
        return self.client.submit(
            task.work,
            submission,
            experiments,
            topic=self.topic,
            key=submission,
            pure=False,
            workers=[worker],
            allow_other_workers=True,
            **options,
        )

    def compute(self, function: Callable[..., object], arguments: tuple, answer: concurrent.futures.Future) -> None:
        """Call `function` on any worker; `answer` gets what it returns. A worker that dies, or Dask's own error, is a `ValueError`."""

        def pass_on(future: Future) -> None:
            try:
                answer.set_result(future.result())
            except ValueError as error:
                answer.set_exception(error)
            except CancelledError:
                answer.set_exception(ValueError("the workers were restarted meanwhile; try it again"))
            except Exception as error:
                log.error("a call on a worker failed", exc_info=error)
                answer.set_exception(ValueError(task.explain(error)))

        answer.task = self.client.submit(function, *arguments, pure=False)  # kept: Dask forgets a future that nobody holds
        answer.task.add_done_callback(pass_on)

    def outcome(self, future: Future) -> dict | None:
        """What a task that has ended returned; None if its worker died. An error of Dask becomes a failed run."""
        if future.status == "finished":
            try:
                return self.client.gather(future)
            except Exception:  # the worker died with the result
                log.info("the result of a run was lost", exc_info=True)
                return None
        if future.status == "error" and type(future.exception()).__name__ != "KilledWorker":
            log.error("a run could not be started", exc_info=future.exception())
            return {"outcome": "failed", "message": task.explain(future.exception()), "records": [], "artefacts": {}}
        return None

    def request(self, submission: str, what: str) -> None:
        """Ask the task to stop or to pause, wherever it runs; does not wait."""
        if self.client is not None:
            self.client.run(task.request, submission, what, wait=False, on_error="ignore")

    def fetch_snapshot(self, submission: str, worker: str, then: Callable[[dict], None]) -> None:
        """Get a snapshot from the worker that keeps it, in a thread; `then` gets it there. Without an answer nothing happens."""

        def fetch(client: Client) -> None:
            with contextlib.suppress(Exception):  # the worker or the scheduler died; a later snapshot will do
                if snapshot := client.run(task.take_snapshot, submission, workers=[worker])[worker]:
                    then(snapshot)

        self._fetching.submit(functools.partial(fetch, self.client))

    def disconnect(self, *, stop: Iterable[str] = ()) -> None:
        """Close client and child. Submissions in `stop` are asked to end; tasks of the child end with it."""
        client, self.client = self.client, None
        if client is not None:
            with contextlib.suppress(Exception):
                for submission in stop:
                    client.run(task.request, submission, "stop", on_error="ignore")
            with contextlib.suppress(Exception):
                client.close(timeout=2)
        self._close_input()
        child, self.child = self.child, None
        if child is not None:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()  # its workers end with their parent
                child.wait()
            child.stdout.close()

    def close_child(self) -> None:
        """Let the child end, for good. From any thread: the dispatcher may be waiting for its first line."""
        self._closing.set()
        self._fetching.shutdown(wait=False, cancel_futures=True)
        self._close_input()

    def _close_input(self) -> None:
        child = self.child
        if child is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
