"""A class: learners with a race each, all at once; then many sessions that follow a few races.

    python -m tests.faults.classroom [--learners 30] [--sessions 100] [--seconds 30] [--within 20]

A learner is a websocket client (`learner.py`). The charts of its race ask for updates one after another; each reply waits for
something new, and what it takes beyond that is measured. An update is late where this is more than a second. The sessions
come one after another, evenly spread over `--within` seconds; with 0 all at the same moment.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from dataclasses import dataclass, field

from tests.faults.learner import Learner
from tests.faults.server import LabServer, percentile

ANNOUNCED = re.compile(r"number \d+ in the queue, starts in about (\d+) s")


@dataclass
class Seen:
    """What one learner saw."""

    load: float = 0.0
    updates: list[float] = field(default_factory=list)
    late: int = 0
    announced: list[tuple[float, float]] = field(default_factory=list)  # when, and the seconds that were announced
    began: float = 0.0  # when its run was first seen on a worker
    errors: list[str] = field(default_factory=list)


def follow(learner: Learner, seen: Seen, *, until: float) -> None:
    """Follow the charts until the race is over, or until this moment."""
    while learner.is_live and time.monotonic() < until:
        seconds = learner.update()
        if seconds is None:
            break
        seen.updates.append(seconds)
        seen.late += seconds > 1
        if found := ANNOUNCED.search(learner.status):
            seen.announced.append((time.monotonic(), float(found[1])))
        elif not seen.began and "in the queue" not in learner.status:
            seen.began = time.monotonic()
    seen.errors += learner.errors


def races(server: LabServer, *, learners: int, epochs: int = 40, seconds: float = 300.0) -> dict:
    """Every learner opens a page and presses Train on a race that nobody else has."""
    found = [Seen() for _ in range(learners)]
    start = threading.Barrier(learners)
    until, began = time.monotonic() + seconds, time.time()

    def learn(number: int, seen: Seen) -> None:
        with Learner(server.address) as learner:
            start.wait(timeout=120)
            query = f"dataset=digits&images=500&epochs={epochs}&seeds=2&temperature={1 + number / 10:.1f}"
            seen.load = learner.open("race", query)
            learner.press("Train")
            follow(learner, seen, until=until)

    in_threads(learn, found)
    rows = server.query(f"select status, created, started, finished from runs where created >= {began} order by created")
    starts = sorted(range(len(rows)), key=lambda place: rows[place][2] or float("inf"))
    ratios = [
        max((seen.began - when) / said, said / max(0.1, seen.began - when))
        for seen in found
        for when, said in seen.announced[:1]
        if seen.began and said >= 3
    ]
    return {
        "learners": learners,
        "finished": sum(row[0] == "finished" for row in rows),
        "last_after_s": round(max((row[3] for row in rows if row[3]), default=float("nan")) - began, 1),
        "first_load_p95_s": round(percentile((seen.load for seen in found), 95), 3),
        **updates_of(found),
        "waiting_announced": len(ratios),
        "waiting_off_by_factor_p95": round(percentile(ratios, 95), 2),
        "places_lost_at_most": max(place - order for order, place in enumerate(starts)) if starts else 0,
        "errors": [error for seen in found for error in seen.errors],
    }


def sessions(server: LabServer, *, count: int, seconds: float = 30.0, within: float = 0.0) -> dict:
    """A few learners train; all sessions follow one of these races by its link. They come within so many seconds."""
    found, ids, loaded = [Seen() for _ in range(count)], [], threading.Barrier(count)
    with Learner(server.address) as first:
        for number in range(4):
            first.open("race", f"dataset=digits&images=0&epochs=500&batch_size=8&seeds=5&temperature={10 + number}")
            first.press("Train")
        ids = [row[0] for row in server.query("select id from runs where status in ('queued', 'preparing', 'running')")]
        before = server.process.memory_info().rss

        def watch(number: int, seen: Seen) -> None:
            time.sleep(within * number / count)
            with Learner(server.address) as learner:
                seen.load = learner.open("race", f"run={ids[number % len(ids)]}")
                loaded.wait(timeout=120)
                follow(learner, seen, until=time.monotonic() + seconds)

        in_threads(watch, found)
        memory = server.process.memory_info().rss
        for run_id in ids:
            first.open("race", f"run={run_id}")
            first.press("Stop")
    return {
        "sessions": count,
        "came_within_s": within,
        "first_load_p95_s": round(percentile((seen.load for seen in found), 95), 3),
        **updates_of(found),
        "server_memory_mb": round(memory / 1e6),
        "memory_of_a_session_mb": round((memory - before) / count / 1e6, 2),
        "errors": [error for seen in found for error in seen.errors],
    }


def updates_of(found: list[Seen]) -> dict:
    updates = [seconds for seen in found for seconds in seen.updates]
    return {
        "updates": len(updates),
        "updates_p50_ms": round(1000 * percentile(updates, 50), 1),
        "updates_p95_ms": round(1000 * percentile(updates, 95), 1),
        "late": sum(seen.late for seen in found),
    }


def in_threads(act: object, found: list[Seen]) -> None:
    """One thread a learner; an error of a learner is one of its errors."""

    def guarded(number: int, seen: Seen) -> None:
        try:
            act(number, seen)
        except Exception as error:
            seen.errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=guarded, args=(number, seen)) for number, seen in enumerate(found)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def warm_up(server: LabServer) -> None:
    """A first learner: pages are imported, the workers are there."""
    with Learner(server.address) as learner:
        learner.open("race", "dataset=digits&images=100&epochs=2&seeds=1&temperature=19.5")
        server.wait_for_workers()
        learner.press("Train")
        follow(learner, Seen(), until=time.monotonic() + 120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learners", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--within", type=float, default=20.0)
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    with LabServer(port=asked.port) as server:
        warm_up(server)
        if asked.learners:
            print(json.dumps(races(server, learners=asked.learners)), flush=True)
        if asked.sessions:
            print(json.dumps(sessions(server, count=asked.sessions, seconds=asked.seconds, within=asked.within)), flush=True)


if __name__ == "__main__":
    main()
