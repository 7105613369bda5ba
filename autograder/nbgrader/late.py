"""What being late costs, in the gradebook: dates, extensions and penalties as `deadlines.toml` has them.

    nbgrader autograde ─► dates of the student ─► AssignLatePenalties ─► ByDeadlines, its plug-in
    grade, feedback, export, deadline ─► settle: the same for all who are in the gradebook

nbgrader makes a penalty when it marks by machine, and never looks again: a deadline that moves would not take it back, nor
would points of a person count. `settle` does both, wherever marks are handed out. What the file does not say stays as it is.
"""

import dataclasses
import pathlib
from typing import Any

from nbgrader.api import Assignment, Gradebook, MissingEntry, SubmittedAssignment, SubmittedNotebook
from nbgrader.plugins import LateSubmissionPlugin

from autograder.nbgrader.deadlines import Deadline, Deadlines, Policy


class ByDeadlines(LateSubmissionPlugin):
    """nbgrader's, with the policy of the course's file; without one there, its own `penalty_method`."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        assigns = self.parent  # nbgrader's AssignLatePenalties, whose exporter belongs to its command
        policy = Deadlines.read(pathlib.Path(assigns.parent.parent.coursedir.root)).find(assigns.assignment_id).policy
        if policy is None:
            stock: float | None = super().late_submission_penalty(student_id, score, total_seconds_late)
            return stock
        notebook = assigns.gradebook.find_submission_notebook(assigns.notebook_id, assigns.assignment_id, student_id)
        return penalty(policy, notebook, total_seconds_late)


def penalty(policy: Policy, notebook: SubmittedNotebook, seconds: float) -> float:
    """Points that a notebook loses which was handed in so late."""
    of, whole = notebook.max_score, notebook.assignment.max_score
    return policy.penalty(seconds, notebook.score, of, of / whole if whole else 1.0)


def set_dates(deadline: Deadline, submission: SubmittedAssignment) -> None:
    """Gives a submission the dates of the file, if that has some."""
    if deadline.due is None:
        return
    if submission.assignment.duedate != deadline.due:
        submission.assignment.duedate = deadline.due
    until = deadline.extensions.get(submission.student_id)
    longer = until - deadline.due if until is not None else None
    if submission.extension != longer:
        submission.extension = longer


@dataclasses.dataclass(frozen=True)
class Changed:
    """A penalty that is another than before, in points."""

    student: str
    before: float
    after: float


def settle(gradebook: Gradebook, assignment_id: str, root: pathlib.Path) -> list[Changed]:
    """Dates and penalties of all who have handed in, as the file of the course in a folder has them. → whose penalty changed

    Raises:
        CourseError: something in the file cannot be; it says in which line.
    """
    deadline = Deadlines.read(root).find(assignment_id)
    try:
        assignment = gradebook.find_assignment(assignment_id)
    except MissingEntry:
        return []
    if deadline.due is not None and assignment.duedate != deadline.due:
        assignment.duedate = deadline.due
    changed: dict[str, Changed] = {}
    for submission, notebook in of_class(gradebook, assignment):
        set_dates(deadline, submission)
        if deadline.policy is None:
            continue
        late = submission.total_seconds_late
        before, after = notebook.late_submission_penalty or 0.0, penalty(deadline.policy, notebook, late) if late else 0.0
        if after != before:
            notebook.late_submission_penalty = after or None
            known = changed.get(submission.student_id, Changed(submission.student_id, 0.0, 0.0))
            changed[submission.student_id] = Changed(known.student, known.before + before, known.after + after)
    gradebook.db.commit()
    return sorted(changed.values(), key=lambda one: one.student)


def of_class(gradebook: Gradebook, assignment: Assignment) -> list[Any]:
    """[(submission, notebook of it)], at once."""
    found: list[Any] = (
        gradebook.db.query(SubmittedAssignment, SubmittedNotebook)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .filter(SubmittedAssignment.assignment_id == assignment.id)
        .all()
    )
    return found
