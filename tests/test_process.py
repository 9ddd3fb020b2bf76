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


BATCHES = """
import asyncio, json, os, sys, time
from distributed.batched import BatchedSend

class Comm:
    sent, closed = [], lambda self: False
    async def write(self, messages, **_):
        self.sent += messages
        return 1

async def main():
    batches = BatchedSend(interval="200ms")
    batches.start(Comm())
    batches.send("before")
    while not Comm.sent:  # the next batch may go 200 ms later
        await asyncio.sleep(0.001)
    now, seen = time.time, len(Comm.sent)
    time.time = lambda: now() - 3600
    if not steady:
        sys.modules["distributed.batched"].time = time.time  # which it had imported
    batches.send("after")
    batches.send("later")
    await asyncio.sleep(1)
    print(json.dumps([seen, Comm.sent]))
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("steady", [True, False])
def test_messages_are_sent_on_after_the_clock_is_set_back_if_the_process_is_told_to_ignore_it(steady):
    start = f"steady = {steady}\n"
    if steady:
        start += "from distill_core.runs.process import ignore_clock_changes; ignore_clock_changes()\n"
    found = subprocess.run(
        [sys.executable, "-c", start + BATCHES], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=60
    )
    assert json.loads(found.stdout) == [1, ["before", "after", "later"] if steady else ["before"]]


def test_a_policy_that_the_user_has_set_stays():
    statement = "os.environ['OMP_WAIT_POLICY'] = 'active'; from distill_core.runs.process import prepare_process; prepare_process()"
    assert after(statement)["environment"] == {"OMP_WAIT_POLICY": "active"}
