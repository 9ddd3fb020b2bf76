"""Hostile links, messages and files against a lab on this machine: `python -m tests.faults.hostile [--links 500 ...]`.

It starts a lab of its own on a free port of 127.0.0.1, with its own DISTILL_HOME, sends what no browser would, and measures
what the README of this folder reports: error boxes (there must be none), the growth of the server's memory, and how long
the server takes meanwhile to answer a learner who does nothing unusual.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from distill_core.experiment import Experiment
from tests.faults.learner import TIMEOUT, Learner
from tests.faults.server import LabServer

PAGES = (
    "", "race", "sweep", "methods", "experiments_from_papers", "find_the_bug", "soft_targets", "dark_knowledge", "calibration",
    "draw", "runs",
)  # fmt: skip
PICTURE = "![](http://stranger.example/a.png)"
NAMES = (  # parameters that a page reads and does not always write
    "run", "without_t2", "xs", "ys", "seeds", "image", "first", "second", "network", "class", "find", "status", "beside", "hide_classes",
    "assistants",
)  # fmt: skip
VALUES = (
    "", "0", "-1", "1e999", "nan", "inf", "-inf", "1e-320", "99999999999999999999", "0x10", "\u0663", "1_0", "True", "None", "foo",
    "../../etc/passwd", "/etc/passwd.zip", "a\0b", "\u202e\ufeff", "<script>alert(1)</script>", PICTURE, "[x](javascript:alert(1))",
    "$\\frac{1}{0}$", ":material/home:", "'; drop table runs; --", "{}", "[]", "x" * 20_000, "1,2,3", ",", "airbench-64", "mlp-99999x99",
    "50", "2.5",
)  # fmt: skip
LINKS = (  # (page, query) that were found to do harm
    ("sweep", "xs=" + ",".join(str(1 + n / 1000) for n in range(10_000)) + "&ys=" + ",".join(str(n / 10_000) for n in range(10_000))),
    ("map", "xs=" + ",".join(map(str, range(1, 20_000)))),
    ("sweep", "seeds=50"),
    ("sweep", "seeds=-3&epochs=100000000"),
    ("race", "student=airbench-64"),
    ("sweep", "x=foo"),
    ("sweep", "x=alpha&y=alpha"),
    ("sweep", "x=images&xs=-1,0,0,nan"),
    ("sweep", "x=student&xs=mlp-9999x99,nobody"),
    ("sweep", "x=method&y=teacher&xs=nothing&ys=" + PICTURE),
    ("race", "assistants=" + "&assistants=".join(["cnn-8"] * 3000)),
    ("race", "hide_classes=" + "&hide_classes=".join(map(str, range(3000)))),
    ("race", "epochs=500&images=0&seeds=10&student=mlp-4096x16"),
    ("race", "dataset=/etc/hostname.zip"),
    ("race", "teacher=" + "+".join(["cnn-32"] * 5000)),
    ("race", "teacher=1e308*cnn-32"),
    ("sweep", "teacher=" + "+".join(["cnn-32"] * 5000)),
    ("race", "temperature=1e-300"),
    ("race", "batch_size=-8"),
    ("race", "learning_rate=nan"),
    ("race", "run=" + "a" * 9000),
    ("calibration", "run=" + PICTURE),
    ("draw", "run=%00"),
    ("soft_targets", "run=%27&image=-5&T=nan"),
    ("soft_targets", "image=999999999999&page=-3"),
    ("soft_targets", "image=%D9%A3%C2%B2"),  # digits of other scripts
    ("dark_knowledge", "T=nan&edges=99&first=" + PICTURE),
    ("methods", "image=-1"),
    ("methods", "image=1e9"),
    ("runs", "find=%00%25%27&status=foo"),
    ("nowhere", "run=1"),
    ("race/../runs", ""),
    ("race", "&".join(f"p{n}=1" for n in range(5000))),
)
FIELDS = {  # of a WidgetState, with values that no widget here would send
    "trigger_value": [True],
    "bool_value": [True],
    "double_value": [float("nan"), float("inf"), -1e308, 1e308, -1.0, 0.5, 1e9],
    "int_value": [-(2**63), 2**63 - 1, 7],
    "string_value": list(VALUES),
    "double_array_value": [[], [float("nan")], [1e308], [-1.0], [0.5, 0.5], [1.0] * 5000],
    "int_array_value": [[], [2**62], [-1], [1, 2, 3]],
    "string_array_value": [[], ["foo"], [PICTURE], [""] * 3000, ["4.0", "4.0"]],
    "json_value": [
        *("", "null", "[]", "{}", "7", '"text"', "{", "[" * 20_000),
        *map(
            json.dumps,
            (
                {"token": PICTURE},
                {"token": {"a": [1]}},
                {"picked": -1},
                {"picked": {"number": 1e300}},
                {"clicked": [[]]},
                {"clicked": 10**30},
                {"drawing": {"number": 1, "pixels": [999] * 784}},
                {"drawing": {"number": "x", "pixels": "y"}},
                {"temperature": {"page_value": 4.0, "value": "nan"}},
                {"details": {"page_value": {}, "value": []}},
                {"selection": {"rows": [99, -1, "x"], "columns": 7, "cells": [1]}},
            ),
        ),
    ],
    "bytes_value": [b"\0" * 1000],
}  # fmt: skip


@dataclass
class Report:
    """What happened: how many cases, the error boxes among them, and the answers to the well-behaved learner."""

    cases: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)

    def add(self, kind: str, what: str, seconds: float, errors: list[str]) -> None:
        self.cases[kind] = self.cases.get(kind, 0) + 1
        self.errors += [f"{kind} {what[:300]}: {error}" for error in errors]
        self.slowest = sorted([*self.slowest, (seconds, f"{kind} {what[:120]}")], reverse=True)[:5]


# --- links and messages ---------------------------------------------------------------------------------------------


def links(parameters: dict[str, list[str]]) -> st.SearchStrategy[tuple[str, str]]:
    """Links to a page: some of its parameters, each with a value that does harm elsewhere, or that Hypothesis made."""
    value = st.sampled_from(VALUES) | st.text(max_size=30) | st.floats().map(str) | st.integers().map(str)

    def of(page: str) -> st.SearchStrategy[tuple[str, str]]:
        pairs = st.lists(st.tuples(st.sampled_from(sorted({*parameters[page], *NAMES})), value), min_size=1, max_size=3)
        return pairs.map(lambda chosen: (page, urllib.parse.urlencode(chosen, errors="replace")))

    return st.sampled_from(sorted(parameters)).flatmap(of)


def messages() -> st.SearchStrategy[tuple[str, int, str, object]]:
    """A page, the number of one of its widgets, and a field with a value for it."""
    chosen = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(FIELDS[name])))
    made = st.tuples(st.just("string_value"), st.text(max_size=30)) | st.tuples(
        st.just("double_array_value"), st.lists(st.floats(), max_size=3)
    )
    return st.tuples(st.sampled_from(PAGES), st.integers(0, 60), chosen | made).map(lambda case: (case[0], case[1], *case[2]))


def open_link(address: str, page: str, query: str, report: Report) -> None:
    """Open a link as a new learner, and use the page afterwards: the rest of it must still work."""
    with Learner(address) as learner:
        try:
            seconds = learner.open(page, query)
            errors = learner.errors
            if page == "race" and not errors:
                learner.set("alpha", [0.5])
                errors = [f"then: {error}" for error in learner.errors]
        except TimeoutError:
            seconds, errors = TIMEOUT, [f"no answer in {TIMEOUT:.0f} s"]
        report.add("link", f"/{page}?{query}", seconds, errors)


def send_message(learner: Learner, page: str, number: int, name: str, value: object, report: Report) -> None:
    """Send a value for one widget of the page that is open."""
    widgets = list(learner.widgets.values())
    widget = widgets[number % len(widgets)]
    seconds = learner.send(widget.id, name, value)
    report.add("message", f"/{page} {widget.key} {name} {str(value)[:80]!r}", seconds, learner.errors)
    if learner.errors:
        learner.open(page)


# --- files ----------------------------------------------------------------------------------------------------------


def picture(size: tuple[int, int] = (8, 8), format: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def pack(files: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blob in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, blob)
    return buffer.getvalue()


def usual(classes: tuple[str, ...] = ("cat", "dog"), count: int = 10, **of_picture: object) -> dict[str, bytes]:
    return {f"{label}/{n}.png": picture(seed=n, **of_picture) for label in classes for n in range(count)}


def hand_made_files() -> Iterator[tuple[str, bytes]]:
    """Files that were made by hand, each with its name."""
    good = pack(usual())
    yield "empty.zip", b""
    yield "cut.zip", good[: len(good) // 2]
    yield "tail.zip", good[-200:]
    yield "not a zip.zip", b"%PDF-1.7 " * 1000
    yield f"{PICTURE}.zip", pack(usual((PICTURE, "<b>dog</b>")))
    yield "../../up.zip", good
    yield "a\0b.zip", good
    yield "x" * 3000 + ".zip", good
    yield "path.zip", pack({"../../etc/cat/1.png": picture(), **usual()})
    yield "absolute.zip", pack({"/etc/cat/1.png": picture(), **usual()})
    yield "one class.zip", pack(usual(("cat",)))
    yield "text.zip", pack({**usual(), "cat/readme.txt": b"hello"})
    yield "lies.zip", pack({**usual(), "cat/lie.png": b"GIF89a" + b"\0" * 100})
    yield "zeros.zip", pack({**usual(), "cat/zeros.png": b"\0" * 300_000_000})
    one = picture((64, 64))
    yield "many.zip", pack([(f"{'cd'[n % 2]}/{n}.png", one) for n in range(100_000)])
    yield "too many.zip", pack([(f"{'cd'[n % 2]}/{n}.png", b"") for n in range(120_000)])
    yield "classes.zip", pack({f"class {n}/1.png": picture() for n in range(5000)})
    large = flat((4000, 4000))
    yield "large.zip", pack({f"{label}/{n}.png": large for label in "ab" for n in range(200)})
    yield "huge.zip", pack({**usual(), "cat/huge.png": flat((30_000, 30_000))})
    yield "nested.zip", pack({"cat/1.png": good, "dog/1.png": good})
    yield "twice.zip", pack([*usual().items(), *usual().items()])
    yield "words.zip", pack(usual(("\u202ecat", "do\u0000g")))
    yield "sizes.zip", pack({f"{label}/{n}.png": picture((1 + n, 200 - n)) for label in "ab" for n in range(60)})
    yield "long.zip", pack(usual(("c" * 5000, "d" * 5000)))


def flat(size: tuple[int, int]) -> bytes:
    """A large picture of one colour, which is a small file."""
    buffer = io.BytesIO()
    Image.new("1", size).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def changed_files() -> st.SearchStrategy[bytes]:
    """A good zip of which some bytes were changed, or a piece was cut out."""
    good = pack(usual(count=6))
    change = st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255))

    def apply(changes: list[tuple[int, int]], cut: tuple[int, int]) -> bytes:
        blob = bytearray(good)
        for place, byte in changes:
            blob[place] = byte
        start, length = cut
        return bytes(blob[:start] + blob[start + length :])

    return st.builds(apply, st.lists(change, max_size=6), st.tuples(st.integers(0, len(good) - 1), st.integers(0, 40)))


def upload(learner: Learner, name: str, blob: bytes, report: Report) -> None:
    began = time.monotonic()
    try:
        seconds = learner.upload("zip", name, blob)
    except urllib.error.URLError as error:  # refused before all of it had come, and the connection closed
        if getattr(error, "code", 400) >= 500:
            raise
        seconds = time.monotonic() - began
        learner.open("race")
    report.add("file", name, seconds, learner.errors)
    if learner.errors:
        learner.open("race")


# --- the whole ------------------------------------------------------------------------------------------------------


def each(strategy: st.SearchStrategy, count: int, act: Callable[..., None]) -> None:
    """Call `act` with `count` examples, the same on each machine."""
    if count:
        run = given(strategy)(act)
        quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
        settings(
            max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=quiet
        )(run)()  # fmt: skip


def parameters_of(address: str) -> dict[str, list[str]]:
    """The parameters that each page writes into its address."""
    found = {}
    for page in PAGES:
        with Learner(address) as learner:
            learner.open(page)
            found[page] = [name for name, _ in urllib.parse.parse_qsl(learner.query)]
    found["race"] = list(Experiment.__dataclass_fields__)
    return found


def watch(address: str, report: Report, until: threading.Event) -> None:
    """Open pages as a learner who does nothing unusual, again and again."""
    for page in itertools.cycle(("", "race", "find_the_bug", "runs")):
        if until.wait(0.2):
            return
        with Learner(address) as learner:
            report.answers.append(learner.open(page))
            report.errors += [f"well-behaved /{page}: {error}" for error in learner.errors]


def attack(lab: LabServer, *, link_count: int, message_count: int, file_count: int, by_hand: bool = True) -> Report:
    """Everything against a running lab, beside a learner who does nothing unusual."""
    report, ended = Report(), threading.Event()
    parameters = parameters_of(lab.address)  # opens every page once: what they load is not counted as growth
    memory = lab.memory()
    watcher = threading.Thread(target=watch, args=(lab.address, report, ended))
    watcher.start()
    try:
        for page, query in LINKS if by_hand else LINKS[::4]:
            open_link(lab.address, page, query, report)
        each(links(parameters), link_count, lambda case: open_link(lab.address, *case, report))
        learners = {}
        try:
            for page in PAGES:
                learners[page] = Learner(lab.address)
                learners[page].open(page)
            each(messages(), message_count, lambda case: send_message(learners[case[0]], *case, report))
        finally:
            for learner in learners.values():
                learner.close()
        with Learner(lab.address) as learner:
            learner.open("race")
            for name, blob in hand_made_files() if by_hand else itertools.islice(hand_made_files(), 8):
                upload(learner, name, blob, report)
            each(changed_files(), file_count, lambda blob: upload(learner, "changed.zip", blob, report))
    finally:
        ended.set()
        watcher.join()
    report.memory = (memory, lab.memory())
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--links", type=int, default=500)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--files", type=int, default=180)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LabServer(DISTILL_DATA=folder) as lab:  # scikit-learn's digits only
        started = time.monotonic()
        report = attack(lab, link_count=chosen.links, message_count=chosen.messages, file_count=chosen.files)
        seconds = time.monotonic() - started
    for error in dict.fromkeys(report.errors):
        print(error)
    answers = sorted(report.answers)
    print(f"{report.cases} in {seconds:.0f} s, {len(report.errors)} error boxes")
    print(f"memory of the server: {report.memory[0]:.0f} MB, then {report.memory[1]:.0f} MB")
    print(f"well-behaved learner: {len(answers)} pages, median {answers[len(answers) // 2]:.2f} s, slowest {answers[-1]:.2f} s")
    for seconds, what in report.slowest:
        print(f"{seconds:6.2f} s  {what}")


if __name__ == "__main__":
    main()
