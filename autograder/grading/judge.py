"""Judges a submission by the hidden checks: one result for each criterion."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from autograder.assignment import Assignment
from autograder.criteria import Asked, Criterion, NotEarned, Record
from autograder.errors import ChecksError, GraderError, SubmissionError
from autograder.grading.explain import explain, no_answer
from autograder.grading.kept_pytest import Checks, criteria, criterion_of
from autograder.grading.pytorch import Student, came_back, one_thread
from autograder.grading.verdict import CheckResult, Evidence, Outcome


def judge(
    assignment: Assignment,
    student: Student,
    source: str,
    cells: Sequence[str] | None = None,
    points: Mapping[str, float] | None = None,
    evidence: bool = False,
    at: str | None = None,
) -> tuple[CheckResult, ...]:
    """The results of the checks of `cells` (all of the assignment's by default), one per expected criterion.

    Args:
        student: the fixture of that name.
        source: the submission's code, whose words may be quoted back to the student.
        points: overrides of points, {"cell.criterion": points}.
        evidence: whether the results say what was called and what was seen.
        at: the moment as of which the notebook's definitions count, "" for its end; None: for each check its test cell's.

    Raises:
        ChecksError: the checks could not be run, or one broke by itself.
        GraderError: one met trouble of the grader's.
    """
    expected = criteria(assignment, points, cells)
    collector = Collector(assignment, student, source, expected, evidence, at)
    with one_thread():
        Checks.of(assignment.checks(cells)).run(collector)
    if collector.broken is not None:
        name, error = collector.broken
        if isinstance(error, GraderError):
            raise error
        raise ChecksError(f"the check {name} broke by itself: {error!r}") from error
    results = [collector.results.get(criterion.id) or not_run(criterion) for criterion in expected]
    return tuple(told_once(results, collector.causes))


def told_once(results: Sequence[CheckResult], causes: Mapping[str, str]) -> Iterator[CheckResult]:
    """The results, each cause told by the first criterion of its test cell that it costs: the others only point there.

    Args:
        causes: id of a criterion that is not met → what says which fault it was.
    """
    told: dict[tuple[str, str], CheckResult] = {}
    for result in results:
        if result.outcome == Outcome.FAILED:
            first = told.setdefault((result.cell, causes[result.id]), result)
            if first is not result:
                message = f"For the same reason as “{first.criterion.title}”."
                result = dataclasses.replace(result, message=message, cause=first.id)
        yield result


class Collector:
    """Turns outcomes into results: a `kept_pytest.Reporter`."""

    def __init__(
        self,
        assignment: Assignment,
        student: Student,
        source: str,
        expected: Sequence[Criterion],
        evidence: bool,
        at: str | None,
    ) -> None:
        self._at = at
        self._assignment, self._student, self._source, self._with_evidence = assignment, student, source, evidence
        self._expected = {criterion.id: criterion for criterion in expected}
        self.results: dict[str, CheckResult] = {}
        self.causes: dict[str, str] = {}  # criterion → the known mistake, or without a name the sentence, that cost it
        self.broken: tuple[str, BaseException] | None = None

    def begin(self, item: pytest.Item) -> Student:
        self._student.record = Record()
        self._student.at = criterion_of(item).cell if self._at is None else self._at
        return self._student

    def report(self, item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
        """Takes the outcome of one phase of a check."""
        error, during = call.excinfo.value if call.excinfo else None, call.when == "call"
        criterion = self._expected[criterion_of(item).id]
        if during and isinstance(error, NotEarned):
            lost = error.sentence, error.misconception, error.device, error.section
            self.results[criterion.id] = self._result(criterion, lost)
        elif during and isinstance(error, SubmissionError):
            lost = *explain(error, self._source, self._assignment.like), None
            self.results[criterion.id] = self._result(criterion, lost, unanswered=no_answer(error))
            self.causes[criterion.id] = lost[0]  # two exceptions are two faults
        elif error is not None:
            self.broken = self.broken or (criterion.id, error)
        elif during:
            self.results[criterion.id] = self._result(criterion)

    def _result(
        self,
        criterion: Criterion,
        lost: tuple[str, str | None, str | None, str | None] | None = None,
        unanswered: bool = False,
    ) -> CheckResult:
        found: dict[str, Any] = {"evidence": self._evidence() if self._with_evidence else None, "unanswered": unanswered}
        if lost is None:
            return CheckResult(criterion, Outcome.PASSED, criterion.points, **found)
        sentence, misconception, device, section = lost
        message = f"{sentence} See “{section or criterion.section}” in the notebook."
        named = None if misconception is None else str(misconception)  # a `Mistake`, perhaps
        self.causes[criterion.id] = named or sentence
        return CheckResult(criterion, Outcome.FAILED, 0.0, message, named, device, **found)

    def _evidence(self) -> Evidence:
        """What the check that has just ended recorded, in words."""
        record = self._student.record
        return Evidence(tuple(map(self._in_words, record.calls)), tuple(record.evidence))

    def _in_words(self, asked: Asked) -> tuple[str, str]:
        """(the call, what came back)"""
        call = self._student.in_words(asked.call, self._assignment.functions[asked.call.operation])
        if asked.error is not None:
            return call, explain(asked.error, self._source, self._assignment.like)[0]
        assert asked.reply is not None
        return call, came_back(asked.reply)


def not_run(criterion: Criterion) -> CheckResult:
    sentence = "This check was not run, so it earns nothing; ask your instructor to have it marked again."
    return CheckResult(criterion, Outcome.NOT_RUN, 0.0, sentence)
