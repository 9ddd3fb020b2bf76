"""`python -m tests.bench [training] [page]`: prints what was measured, one JSON object a subject."""

from __future__ import annotations

import json
import sys

from tests.bench import page, training

SUBJECTS = {"training": training.measure, "page": page.measure}

if __name__ == "__main__":
    for name in sys.argv[1:] or SUBJECTS:
        if name not in SUBJECTS:
            sys.exit(f"bench '{name}' is not known; choose from: {', '.join(SUBJECTS)}")
        print(json.dumps({name: SUBJECTS[name]()}), flush=True)
