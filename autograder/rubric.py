"""What a hidden check is made of.

A check is a pytest function that takes the fixture `student`, carries `@criterion(...)`, and either returns (the points are
earned) or raises `NotEarned`. Trouble inside a call arrives as a `SubmissionError` and costs the criterion that asked.
Anything else that escapes a check is a bug of ours: it stops the run and costs nobody anything.
"""

import pytest


def criterion(cell, points, title):
    """Marks a check.

    Args:
        cell: grade_id of the test cell that it belongs to.
        points: what it is worth.
        title: what it asks, in a few words, for tables.
    """
    return pytest.mark.criterion(cell=cell, points=points, title=title)


class NotEarned(Exception):
    """The criterion was judged and is not met.

    Attributes:
        sentence: what was seen and what to do next, for the student. Plain text, no part of the submission in it.
        misconception: name of the known mistake that the numbers show, or None.
        device: "cpu" or "cuda" when the device was the reason, else None.
    """

    def __init__(self, sentence, misconception=None, device=None):
        super().__init__(sentence)
        self.sentence, self.misconception, self.device = sentence, misconception, device
