"""The verdict on one submission, as data."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from autograder.criteria import Criterion


class Status(enum.StrEnum):
    """Whether a submission could be marked."""

    GRADED = "graded"
    UNGRADABLE = "ungradable"


class Outcome(enum.StrEnum):
    """What became of a criterion."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What an instructor can show a student who asks why.

    Attributes:
        called: (call in words, what came back in words), in order.
        seen: sentences with the numbers that decided.
    """

    called: tuple[tuple[str, str], ...]
    seen: tuple[str, ...]


SAYS_NO_MORE = ("not_done", "raises")  # than the sentence beside it


def known_as(misconception: str | None) -> str:
    """A misconception's name for people: "a and b" of two at once, "a or b" of either of two, "" where it says nothing."""
    names = "" if misconception in SAYS_NO_MORE else misconception or ""
    return names.replace("_", " ").replace("+", " and ").replace("/", " or ")


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What became of one criterion.

    Attributes:
        criterion: as its check declares it, with the course's points.
        outcome: whether it is met.
        points: earned.
        message: what was seen and what to do next, plain text; empty when it passed.
        misconception: name of the known mistake that the numbers show, or None.
        device: where it failed, if the device was the reason.
        evidence: `Evidence`, or None unless asked for.
        unanswered: whether there is no answer: nothing of that name, or the stub as it was handed out.
        cause: id of the criterion whose sentence tells the cause already, where this one failed for the same reason; else "".
    """

    criterion: Criterion
    outcome: Outcome
    points: float
    message: str = ""
    misconception: str | None = None
    device: str | None = None
    evidence: Evidence | None = None
    unanswered: bool = False
    cause: str = ""

    @property
    def id(self) -> str:
        return self.criterion.id

    @property
    def cell(self) -> str:
        return self.criterion.cell

    @property
    def max_points(self) -> float:
        return self.criterion.points

    def to_json(self) -> dict[str, Any]:
        keys = ("id", "cell", "outcome", "points", "max_points", "message", "misconception", "device", "cause")
        found = {key: getattr(self, key) for key in keys}
        return found | ({"asks": self.criterion.asks, **dataclasses.asdict(self.evidence)} if self.evidence else {})


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one submission earned, and why.

    Attributes:
        status: whether it could be marked.
        checks: one `CheckResult` per expected criterion, in the rubric's order.
        message: why it is ungradable, else "".
        notes: sentences about the notebook as a whole: what was repaired, which cell never ended.
        sandbox: the backend that ran the student's code; None where nothing was run.
        seconds: wall time.
    """

    status: Status
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    notes: tuple[str, ...] = ()
    sandbox: str | None = None
    seconds: float = 0.0

    def cell(self, grade_id: str) -> tuple[float, float]:
        """(points, max_points) of a test cell."""
        checks = [check for check in self.checks if check.cell == grade_id]
        return sum(check.points for check in checks), sum(check.max_points for check in checks)

    @property
    def cells(self) -> dict[str, tuple[float, float]]:
        """grade_id → (points, max_points), in the rubric's order."""
        return {check.cell: self.cell(check.cell) for check in self.checks}

    @property
    def score(self) -> float:
        return float(sum(check.points for check in self.checks))

    @property
    def max_score(self) -> float:
        return float(sum(check.max_points for check in self.checks))

    def to_json(self, notebook: object) -> dict[str, Any]:
        """The JSON object that `autograder check --json` prints for `notebook`."""
        result = {"notebook": str(notebook), "status": self.status}
        if self.status == Status.UNGRADABLE:
            return {**result, "message": self.message, "sandbox": self.sandbox, "seconds": round(self.seconds, 3)}
        return {
            **result,
            "score": self.score,
            "max_score": self.max_score,
            "cells": {cell: {"score": float(got), "max_score": float(of)} for cell, (got, of) in self.cells.items()},
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
            "sandbox": self.sandbox,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Verdict":
        """The Verdict in what `dataclasses.asdict` made of one; evidence is not kept."""
        checks = tuple(
            CheckResult(**{**check, "criterion": Criterion(**check["criterion"]), "outcome": Outcome(check["outcome"])})
            for check in found["checks"]
        )
        return cls(**{**found, "status": Status(found["status"]), "checks": checks, "notes": tuple(found["notes"])})


@dataclasses.dataclass(frozen=True)
class Graded:
    """The outcome for one submission.

    Attributes:
        verdict: `Verdict`.
        outputs: id of each code cell → its outputs, for the notebook of record; None when it is ungradable.
    """

    verdict: Verdict
    outputs: Mapping[str, list[NotebookNode]] | None
