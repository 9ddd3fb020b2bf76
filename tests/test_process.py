"""What importing the lab changes in a process (nothing), and what preparing it changes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import ctypes, json, os, sys
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
before = dict(os.environ)
exec(sys.argv[1])
maps = libc.mallinfo2().hblks
libc.malloc(ctypes.c_size_t(16 << 20))
new = {name: os.environ[name] for name in os.environ.keys() - before.keys()}
print(json.dumps({"environment": new, "mapped": libc.mallinfo2().hblks - maps, "torch": "torch" in sys.modules}))
"""


def after(statement):
    """What a fresh process finds after the statement: new variables, and whether 16 MB come straight from the system."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MALLOC_"))}
    command = [sys.executable, "-c", PROGRAM, statement]
    return json.loads(subprocess.run(command, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=60).stdout)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="malloc settings are glibc's")


@pytest.mark.parametrize("module", ["distill_core", "distill_core.runs.engine", "distill_core.runs.process"])
def test_importing_the_lab_changes_neither_the_environment_nor_malloc(module):
    assert after(f"import {module}") == {"environment": {}, "mapped": 1, "torch": False}


def test_a_prepared_process_keeps_freed_memory_and_lets_idle_threads_sleep():
    found = after("from distill_core.runs.process import prepare_process; prepare_process()")
    assert found == {"environment": {"OMP_WAIT_POLICY": "passive"}, "mapped": 0, "torch": False}


def test_a_policy_that_the_user_has_set_stays():
    statement = "os.environ['OMP_WAIT_POLICY'] = 'active'; from distill_core.runs.process import prepare_process; prepare_process()"
    assert after(statement)["environment"] == {"OMP_WAIT_POLICY": "active"}


def test_a_server_may_open_more_files_than_a_system_with_a_low_limit_starts_with():
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    script = """
import resource
from distill_core.runs.process import allow_many_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
allow_many_files(4000)
allow_many_files(300)  # lowers nothing
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert found.strip() == str((4000 if hard == resource.RLIM_INFINITY else min(4000, hard), hard))
