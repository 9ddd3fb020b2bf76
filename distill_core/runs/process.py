"""Settings of a process that trains, or that sends runs to those that do; importing `distill_core` changes nothing."""

from __future__ import annotations

import ctypes
import os
import sys
import time

# Idle threads of OpenMP otherwise spin while they wait: when a browser or a second run needs the same cores, a race of
# 3 s takes 90 s. OpenMP reads the variable when torch is loaded, never later.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def prepare_process() -> None:
    """Make OpenMP's idle threads sleep, and make malloc keep freed memory. Call it before torch is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Raise glibc's thresholds above which freed memory goes back to the system; elsewhere nothing is changed.

    By default every step of training asks for its large tensors again, page by page. With the memory kept, an epoch of
    `mlp-30x2` takes 5 % less time, one of `cnn-8` 10 % less.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 256 << 20)


def allow_many_files(wanted: int = 8192) -> None:
    """Raise the limit of open files as far as the system lets this process, up to `wanted`; not on Windows, which has none.

    A session of Streamlit holds four of them, for two minutes longer than its page is open. Some systems start with 256.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def ignore_clock_changes() -> None:
    """Let Dask's messages in this process follow a clock that nobody can set back.

    `distributed` sends in batches, each after a deadline, and takes that deadline from the time of day, as tornado's loop
    does. After the computer's clock is set back by an hour, nothing would be sent for an hour.
    """
    from distributed import batched
    from tornado.ioloop import IOLoop

    batched.time = time.monotonic
    IOLoop.time = lambda _: time.monotonic()
