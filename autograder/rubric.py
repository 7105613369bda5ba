"""What a hidden check is made of.

A check is a pytest function that takes the fixture `student`, carries `@criterion(...)`, and either returns (the points are
earned) or raises `NotEarned`. Trouble inside a call arrives as a `SubmissionError` and costs the criterion that asked.
Anything else that escapes a check is a bug of ours: it stops the run and costs nobody anything.

The marker, the docstring and what the check notes in `student.record` are also the rubric page and the evidence that
`autograder check --explain` prints.
"""

import dataclasses
from typing import Any

import pytest


def criterion(cell, points, title, asks, section):
    """Marks a check.

    Args:
        cell: grade_id of the test cell that it belongs to.
        points: what it is worth.
        title: what it asks, in a few words, for tables.
        asks: the same in a sentence or two that a student may read.
        section: heading in the notebook where the matter is taught.
    """
    return pytest.mark.criterion(cell=cell, points=points, title=title, asks=asks, section=section)


class NotEarned(Exception):
    """The criterion was judged and is not met.

    Attributes:
        sentence: what was seen and what to do next, for the student. Plain text, no part of the submission in it.
        misconception: name of the known mistake that the numbers show, or None.
        device: "cpu" or "cuda" when the device was the reason, else None.
        section: heading in the notebook to read again, where it is not the criterion's own.
    """

    def __init__(self, sentence, misconception=None, device=None, section=None):
        super().__init__(sentence)
        self.sentence, self.misconception, self.device, self.section = sentence, misconception, device, section


@dataclasses.dataclass
class Call:
    """One call into the submission: what was sent, and what it returned, or the SubmissionError with which it ended."""

    header: dict
    tensors: dict
    returned: Any = None
    error: Exception | None = None


class Record:
    """What happened during one check, kept as it was and put into words only when somebody asks.

    Attributes:
        calls: each `Call`, in order.
        evidence: sentences with the numbers that decided.
    """

    def __init__(self):
        self.calls, self.evidence = [], []

    def call(self, header, tensors):
        """Notes that a call goes out. → the `Call`, to be completed."""
        self.calls.append(Call(header, tensors))
        return self.calls[-1]

    def see(self, sentence):
        """Notes a number of the submission's own, in a sentence."""
        self.evidence.append(sentence)
