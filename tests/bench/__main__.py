"""`python -m tests.bench [SUBJECT ...] [--json]`: the tables of README.md (or JSON), of SUBJECTS or of all of them."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = ("training", "sweep", "cifar", "page", "serve", "compress", "texts", "lessons", "gpu")


def main(names: list[str], *, as_json: bool) -> int:
    """Measure the subjects. Returns the exit status: 1 if a goal was missed, 2 for an unknown subject."""
    for name in names:
        if name not in SUBJECTS:
            print(f"bench '{name}' is not known; choose from: {', '.join(SUBJECTS)}", file=sys.stderr)
            return 2
    shared = ROOT.parent / "shared" / "data"
    if "DISTILL_DATA" not in os.environ and shared.is_dir():
        os.environ["DISTILL_DATA"] = str(shared)
    with tempfile.TemporaryDirectory(prefix="distill-bench-") as home:
        os.environ["DISTILL_HOME"] = home
        from tests.bench import measure  # imports torch, so only once the environment is set

        figures = []
        head = f"{datetime.date.today()}: {measure.machine()}"
        print(head if as_json else f"{head}\n\n{measure.HEAD}", file=sys.stderr if as_json else sys.stdout, flush=True)
        for name in names or SUBJECTS:
            for figure in importlib.import_module(f"tests.bench.{name}").run():
                figures.append(figure)
                print(figure.row(), file=sys.stderr if as_json else sys.stdout, flush=True)
        if as_json:
            print(json.dumps({"machine": head, "figures": [figure.fields() for figure in figures]}))
        return int(any(figure.reached is False for figure in figures))


if __name__ == "__main__":
    subjects = [name for name in sys.argv[1:] if name != "--json"]
    sys.exit(main(subjects, as_json="--json" in sys.argv))
