"""The verdict on one submission, as data."""

import dataclasses

from nbformat import NotebookNode

GRADED, UNGRADABLE = "graded", "ungradable"
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What an instructor can show a student who asks why.

    Attributes:
        called: (call in words, what came back in words), in order.
        seen: sentences with the numbers that decided.
    """

    called: tuple[tuple[str, str], ...]
    seen: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """One criterion.

    Attributes:
        id: "cell.criterion".
        cell: grade_id of the test cell.
        title: what it asks, in a few words.
        outcome: "passed", "failed" or "not run".
        points, max_points: earned and possible.
        message: what was seen and what to do next, plain text; empty when it passed.
        misconception: name of the known mistake that the numbers show, or None.
        device: where it failed, if the device was the reason.
        asks: what the criterion asks of the answer, in a sentence or two.
        evidence: `Evidence`, or None unless asked for.
    """

    id: str
    cell: str
    title: str
    outcome: str
    points: float
    max_points: float
    message: str = ""
    misconception: str | None = None
    device: str | None = None
    asks: str = ""
    evidence: Evidence | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one submission earned, and why.

    Attributes:
        status: "graded" or "ungradable".
        checks: one `CheckResult` per expected criterion, in the rubric's order.
        message: why it is ungradable, else "".
        notes: sentences about the notebook as a whole: what was repaired, which cell never ended.
        sandbox: the backend that ran the student's code; None where nothing was run.
        seconds: wall time.
    """

    status: str
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    notes: tuple[str, ...] = ()
    sandbox: str | None = None
    seconds: float = 0.0

    def cell(self, grade_id):
        """(points, max_points) of a test cell."""
        checks = [check for check in self.checks if check.cell == grade_id]
        return sum(check.points for check in checks), sum(check.max_points for check in checks)

    @property
    def cells(self):
        """grade_id → (points, max_points), in the rubric's order."""
        return {check.cell: self.cell(check.cell) for check in self.checks}

    @property
    def score(self):
        return float(sum(check.points for check in self.checks))

    @property
    def max_score(self):
        return float(sum(check.max_points for check in self.checks))

    def to_json(self, notebook):
        """The JSON object that `autograder check --json` prints for `notebook`."""
        result = {"notebook": str(notebook), "status": self.status}
        if self.status == UNGRADABLE:
            return {**result, "message": self.message, "sandbox": self.sandbox, "seconds": round(self.seconds, 3)}
        keys = ("id", "cell", "outcome", "points", "max_points", "message", "misconception", "device")
        return {
            **result,
            "score": self.score,
            "max_score": self.max_score,
            "cells": {cell: {"score": float(got), "max_score": float(of)} for cell, (got, of) in self.cells.items()},
            "checks": [
                {key: getattr(check, key) for key in keys}
                | ({"asks": check.asks, **dataclasses.asdict(check.evidence)} if check.evidence else {})
                for check in self.checks
            ],
            "notes": list(self.notes),
            "sandbox": self.sandbox,
            "seconds": round(self.seconds, 3),
        }


@dataclasses.dataclass(frozen=True)
class Graded:
    """The outcome for one submission: its verdict, and the notebook of record (None when it is ungradable)."""

    verdict: Verdict
    notebook: NotebookNode | None
