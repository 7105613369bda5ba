"""One submission in, one verdict and the outputs of its cells out.

    read ─► repair ─► run the cells up to the last graded one ─► call the student's functions and judge ─► record

Everything that marks (nbgrader's command, the command line, a class) calls `grade`.
"""

import time
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from autograder.assignment import Assignment
from autograder.errors import Ungradable
from autograder.grading import feedback
from autograder.grading.cells import Moments, code, to_run
from autograder.grading.judge import judge
from autograder.grading.notebook import Submission, grade_id_of
from autograder.grading.session import Session
from autograder.grading.settings import Execute, Settings, points_add_up
from autograder.grading.verdict import CheckResult, Graded, Status, Verdict
from autograder.sandbox.outside import backends, gpu


def grade(
    handed_in: bytes | Submission,
    assignment: Assignment,
    settings: Settings | None = None,
    evidence: bool = False,
    files: Mapping[str, bytes] | None = None,
) -> Graded:
    """Marks one submission.

    Args:
        handed_in: the submitted file's bytes, or what was read from them.
        settings: the course's; they are checked first.
        evidence: whether the verdict says what was called and what was seen.
        files: what was handed in beside the bytes: path from the notebook's folder → bytes.

    Returns:
        `Graded`. A submission's own failures are part of it.

    Raises:
        GraderError: the grader cannot do its work here; nobody should be marked.
    """
    started, settings = time.monotonic(), settings or Settings()
    settings.check(assignment)
    try:
        submission = handed_in if isinstance(handed_in, Submission) else Submission.read(handed_in, assignment.master, files)
    except Ungradable as error:
        return Graded(Verdict(Status.UNGRADABLE, message=str(error), seconds=time.monotonic() - started), None)
    checks, notes = judged(submission, assignment, settings, evidence)
    points_add_up([check.criterion for check in checks], assignment)
    notes = (*submission.notes, *notes, *filter(None, [backends.WARNINGS.get(settings.sandbox)]))
    verdict = Verdict(Status.GRADED, checks, notes=notes, sandbox=settings.sandbox, seconds=time.monotonic() - started)
    return Graded(verdict, outputs(submission.nb, verdict, assignment, settings))


def judged(
    submission: Submission, assignment: Assignment, settings: Settings, evidence: bool
) -> tuple[tuple[CheckResult, ...], tuple[str, ...]]:
    """(results, notes): runs the cells that the marks depend on, calls the student's functions, judges what comes back.

    Each check asks for the definitions that were in force at its test cell, as in stock nbgrader. Where there was no answer
    yet, the notebook's end counts.
    """
    cells, rest = to_run(submission.nb, assignment)
    moments = Moments.of(submission.nb, cells, assignment)
    with (
        gpu.lease(settings.device) as leased,
        Session(
            backends.get(settings.sandbox), assignment, cells, settings.limits, submission, leased, moments.after
        ) as session,
    ):
        student = assignment.student(session.call, cuda=leased is not None, policies=settings.policies)
        about: dict[str, Any] = {"points": settings.points, "evidence": evidence}
        checks = judge(assignment, student, code(cells), **about)
        late = [cell for cell in moments.with_more_below if all(c.unanswered for c in checks if c.cell == cell)]
        for cell in late:
            again = {check.id: check for check in judge(assignment, student, code(cells), [cell], at="", **about)}
            checks = tuple(again.get(check.id, check) for check in checks)
        if settings.execute == Execute.ALL:
            session.run_more(rest)
    return checks, (*session.notes, *moments.notes(late), *student.notes)


def outputs(nb: NotebookNode, verdict: Verdict, assignment: Assignment, settings: Settings) -> dict[str, list[NotebookNode]]:
    """The outputs of each code cell, by its id; the test cells show the verdict."""
    found = {cell.id: cell.outputs for cell in nb.cells if cell.cell_type == "code"}
    for cell in nb.cells:
        grade_id = grade_id_of(cell)
        if grade_id in assignment.test_cells:
            seen = feedback.as_text(cell.outputs) if settings.execute == Execute.ALL else []
            found[cell.id] = [*seen, *feedback.outputs(verdict, grade_id)]
    return found
