"""A long day: a new run every few seconds; is memory flat, and is anything left behind?

python -m tests.faults.soak [--minutes 10] [--every 10]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from tests.faults.classroom import Seen, follow, warm_up
from tests.faults.learner import Learner
from tests.faults.server import LabServer, percentile


def soak(*, minutes: float, every: float, port: int = 0) -> dict:
    """One learner after another opens the lab, trains, and looks at all pages that list runs."""
    scratch = set(Path(tempfile.gettempdir()).glob("distill-workers-*"))
    memory, files, updates, errors, runs = [], [], [], [], 0
    server = LabServer(port=port, DISTILL_STORED_GB="0.02")  # so that old results are deleted meanwhile
    with server:
        warm_up(server)
        ended = time.monotonic() + 60 * minutes
        while time.monotonic() < ended:
            due, seen = time.monotonic() + every, Seen()
            with Learner(server.address) as learner:
                learner.open("race", f"dataset=digits&images=300&epochs=10&seeds=2&temperature={1 + runs % 190 / 10:.1f}&seed={runs}")
                learner.press("Train")
                follow(learner, seen, until=time.monotonic() + 60)
                for page in ("runs", "soft_targets"):
                    learner.open(page)
            runs, updates, errors = runs + 1, updates + seen.updates, errors + seen.errors
            memory.append(sum(process.memory_info().rss for process in server.family) / 1e6)
            files.append(server.process.num_fds())
            time.sleep(max(0.0, due - time.monotonic()))
        stored = server.query("select count(*) from runs")[0][0]
    quarter = max(1, len(memory) // 4)
    early, late = statistics.fmean(memory[quarter : 2 * quarter] or memory), statistics.fmean(memory[-quarter:])
    return {
        "runs": runs,
        "runs_stored_at_the_end": stored,
        "memory_mb": [round(memory[0]), round(early), round(late)],
        "memory_late_over_early": round(late / early, 3),
        "open_files_first_last": [files[0], files[-1]],
        "updates_p95_ms": round(1000 * percentile(updates, 95), 1),
        "processes_left": len(server.left),
        "folders_left": len(set(Path(tempfile.gettempdir()).glob("distill-workers-*")) - scratch),
        "errors": errors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    print(json.dumps(soak(minutes=asked.minutes, every=asked.every, port=asked.port)))


if __name__ == "__main__":
    main()
