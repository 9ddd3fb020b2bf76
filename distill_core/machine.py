"""What this machine offers: the number of cores that a process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """The cores that this process may use: those it is bound to, or fewer where its container has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for file in ("cpu.max", "cpu/cpu.cfs_quota_us"):  # version 2 of control groups, and 1
        try:
            quota, *period = (CGROUP / file).read_text().split()
            period = period or (CGROUP / "cpu/cpu.cfs_period_us").read_text().split()
            if quota != "max" and int(quota) > 0:
                return max(1, min(cores, round(int(quota) / int(period[0]))))
        except (OSError, ValueError):  # no such control group: no quota
            continue
    return cores
