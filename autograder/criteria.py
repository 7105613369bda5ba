"""What a hidden check is made of.

A check is a pytest function that takes the fixture `student`, carries `@criterion(...)`, and either returns (the points are
earned) or raises `NotEarned`. Trouble inside a call arrives as a `SubmissionError` and costs the criterion that asked.
Anything else that escapes a check is a bug of ours: it stops the run and costs nobody anything.

The `Criterion` that the decorator makes, the docstring and what the check notes in `student.record` are also the rubric page
and the evidence that `autograder check --explain` prints.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from autograder.errors import NotEarned, SubmissionError

if TYPE_CHECKING:  # a verdict holds criteria, and whoever only records verdicts needs neither torch nor pytest
    from autograder.sandbox.inside.messages import Call, Reply

__all__ = ["Asked", "Criterion", "NotEarned", "Record", "criterion"]

Check = TypeVar("Check", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One line of the rubric.

    Attributes:
        id: "cell.criterion".
        cell: grade_id of the test cell that it belongs to.
        points: what it is worth; a course may set it.
        title: what it asks, in a few words, for tables.
        asks: the same in a sentence or two that a student may read.
        section: heading in the notebook where the matter is taught.
    """

    id: str
    cell: str
    points: float
    title: str
    asks: str
    section: str


def criterion(cell: str, points: float, title: str, asks: str, section: str) -> Callable[[Check], Check]:
    """Makes a function the check of a criterion, which gets the function's name; the arguments are those of `Criterion`."""
    import pytest

    def mark(check: Check) -> Check:
        id = f"{cell}.{check.__name__.removeprefix('test_')}"
        marked: Check = pytest.mark.criterion(Criterion(id, cell, float(points), title, asks, section))(check)
        return marked

    return mark


@dataclasses.dataclass
class Asked:
    """One call into the submission: what was asked, and the reply, or the SubmissionError with which it ended."""

    call: "Call"
    reply: "Reply | None" = None
    error: SubmissionError | None = None


class Record:
    """What happened during one check, kept as it was and put into words only when somebody asks.

    Attributes:
        calls: each `Asked`, in order.
        evidence: sentences with the numbers that decided.
    """

    def __init__(self) -> None:
        self.calls: list[Asked] = []
        self.evidence: list[str] = []

    def ask(self, call: "Call") -> Asked:
        """Notes that a call goes out. → to be completed with what comes back"""
        self.calls.append(Asked(call))
        return self.calls[-1]

    def see(self, sentence: str) -> None:
        """Notes a number of the submission's own, in a sentence."""
        self.evidence.append(sentence)
