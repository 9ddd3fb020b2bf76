"""What all tests share. No test writes into the user's folders, and none needs the internet."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from browser_fixtures import (  # noqa: F401 (fixtures for every test that opens a page)
    browser,
    firefox,
    lab_server,
    new_page,
    open_lab,
    serve,
    watched,
)
from data_fixtures import cifar, server  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    """Runs and caches in a folder of this process; the real data sets where they lie beside the repository."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        os.setpriority(os.PRIO_PROCESS, 0, 10)  # that of the lab's workers, which would wait for the tests of the other process
    within = os.environ["DISTILL_HOME"] if hasattr(config, "workerinput") else None  # one of several processes: its parent's folder
    config.distill_home = tempfile.mkdtemp(prefix="distill-tests-", dir=within)
    config.shared_folder = within and Path(within)
    os.environ["DISTILL_HOME"] = config.distill_home
    hypothesis.settings.register_profile("lab", derandomize=True, deadline=None)  # the same inputs each time, on any machine
    hypothesis.settings.load_profile("lab")
    beside = ROOT.parent / "shared" / "data"
    if "DISTILL_DATA" not in os.environ and beside.is_dir():
        os.environ["DISTILL_DATA"] = str(beside)


def pytest_unconfigure(config):
    shutil.rmtree(config.distill_home, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with turn(item.config.shared_folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def turn(folder, *, alone):
    """One test of one of the processes that share `folder`; a test that runs `alone` waits for those of the others, and they for it."""
    if folder is None:
        yield
        return
    import fcntl

    with open(folder / "gate.lock", "w") as gate, open(folder / "running.lock", "w") as running:
        fcntl.flock(gate, fcntl.LOCK_EX)  # until this test starts: nobody overtakes one that waits to be alone
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)  # a child of a fork would keep the lock of a file that is only closed


def pytest_generate_tests(metafunc):
    """`real_set` runs a claim on every labelled set that is on this machine, `card` on every shipped teacher of those."""
    from distill_core import teachers
    from distill_core.data import datasets

    here = [name for name in ("digits", "mnist") if datasets.DATASETS[name].is_here()]
    if "real_set" in metafunc.fixturenames:
        metafunc.parametrize("real_set", here)
    if "card" in metafunc.fixturenames:
        cards = [card for card in teachers.shipped() if datasets.SOURCES[card.dataset].is_here()]
        metafunc.parametrize("card", cards, ids=[f"{card.dataset}-{card.name}" for card in cards])


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    """With DISTILL_TEST_DEVICE=cuda, runs of this process that ask for the CPU, or for no device, train on a GPU."""
    wanted = os.environ.get("DISTILL_TEST_DEVICE", "cpu")
    if wanted == "cpu":
        return
    from distill_core.training import run_data, shards

    pick = run_data.pick_device
    for module in (run_data, shards):
        monkeypatch.setattr(module, "pick_device", lambda device: pick(wanted if device in ("auto", "cpu") else device))


@pytest.fixture(autouse=True)
def one_thread():
    """The networks here are so small that two threads only wait for each other; a busy machine takes three times as long."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.set_flush_denormal(False)  # training sets it for its thread, and Hypothesis wants every float


@pytest.fixture(scope="session")
def mnist():
    """The name of the largest real set on this machine: MNIST, or the digits where it is not."""
    from distill_core.data.datasets import DATASETS

    return "mnist" if DATASETS["mnist"].is_here() else "digits"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A DISTILL_HOME of this test alone."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DISTILL_HOME", str(folder))
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty DISTILL_DATA of this test alone."""
    from distill_core.data import datasets

    folder = tmp_path / "data"
    monkeypatch.setenv("DISTILL_DATA", str(folder))
    datasets._load_named.cache_clear()
    yield folder
    datasets._load_named.cache_clear()


@pytest.fixture(scope="session")
def refused():
    """`with refused(*words):` the block must end in a ValueError of one sentence that contains the words."""

    @contextlib.contextmanager
    def check(*words):
        with pytest.raises(ValueError) as caught:
            yield
        said = str(caught.value)
        assert "\n" not in said and 20 < len(said) < 700, f"not one sentence: {said!r}"
        for word in words:
            assert str(word) in said, f"{word!r} is not named in: {said}"

    return check


@pytest.fixture(scope="session")
def picture():
    """`picture(...)`: the bytes of a picture file, of random pixels unless given."""
    from PIL import Image

    def draw(size=(16, 16), *, mode="RGB", format="PNG", seed=0, pixels=None):
        if pixels is None:
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, format)
        return buffer.getvalue()

    return draw


@pytest.fixture(scope="session")
def zipped():
    """`zipped({path: bytes, ...})`: a zip with these files, in memory."""

    def pack(files, compression=zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for path, blob in files.items():
                archive.writestr(path, blob)
        buffer.seek(0)
        return buffer

    return pack


@pytest.fixture
def small_zip(tmp_path, zipped, picture):
    """The path of a zip of two classes of 10 pictures, 8 x 8."""
    path = tmp_path / "small.zip"
    files = {f"{label}/{i}.png": picture((8, 8), mode="L", seed=17 * i + len(label)) for label in ("cat", "horse") for i in range(10)}
    path.write_bytes(zipped(files).getvalue())
    return path
