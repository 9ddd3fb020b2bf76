"""What identifies a run's content and its owner."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distill_core.experiment import Experiment


COMMAND_LINE = "command-line"  # the owner of what no browser started; a browser's token has 32 hexadecimal digits
_ADDRESS_KEY = secrets.token_bytes(32)  # never written: whoever reads the file cannot try all addresses


def owner_mark(owner: str) -> str:
    """The hash of an owner's token that the store keeps: enough to recognise it, useless to a reader of the file."""
    return hashlib.sha256(owner.encode()).hexdigest() if owner else ""


def address_mark(address: str) -> str:
    """The hash of a computer's address, which this process alone can compute: enough to count its runs."""
    return hmac.new(_ADDRESS_KEY, address.encode(), "sha256").hexdigest()[:32] if address else ""


def run_key(experiments: Sequence[Experiment]) -> str:
    """A hash of the experiments' keys, in their order, each with the fingerprints of its teachers.

    An experiment's key holds the version of the results, so equal run keys mean equal results. A teacher that does not
    exist yet has no fingerprint: the key changes once the run has made it.
    """
    from distill_core.teachers import teacher_fingerprints  # torch: not in the server before it is needed

    names = {(one.dataset, one.teacher) for one in experiments}
    teachers = {name: teacher_fingerprints(*name) for name in names}
    content = [[one.key, *teachers[one.dataset, one.teacher]] for one in experiments]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def run_key_of_texts(texts: Sequence[str]) -> str:
    """`run_key` of experiments as JSON."""
    from distill_core.experiment import Experiment

    return run_key([Experiment.from_json(text) for text in texts])
