"""What being late costs, in the gradebook: dates, extensions and penalties as `deadlines.toml` has them.

    nbgrader autograde ─► dates of the student ─► AssignLatePenalties ─► ByDeadlines, its plug-in
    grade, feedback, export, deadline ─► settle: the same for all who are in the gradebook

nbgrader makes a penalty when it marks by machine, and never looks again: a deadline that moves would not take it back, nor
would points of a person count. `settle` does both, wherever marks are handed out. What the file does not say stays as it is;
what it once said is kept in .autograder/late.json, so that it is taken back when it is taken out of the file.
"""

import dataclasses
import datetime
import json
import os
import pathlib
from collections.abc import Collection, Iterable
from typing import Any

from nbgrader.api import Assignment, Gradebook, MissingEntry, SubmittedAssignment, SubmittedNotebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin

from autograder.lms import returning
from autograder.nbgrader import marks
from autograder.nbgrader.deadlines import Deadline, Deadlines, Policy
from autograder.nbgrader.marks import Marks
from autograder.nbgrader.submitted import TIMESTAMP


class ByDeadlines(LateSubmissionPlugin):
    """nbgrader's, with the policy of the course's file; without one there, its own `penalty_method`."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        assigns = self.parent  # nbgrader's AssignLatePenalties, whose exporter belongs to its command
        policy = Deadlines.read(pathlib.Path(assigns.parent.parent.coursedir.root)).find(assigns.assignment_id).policy
        if policy is None:
            stock: float | None = super().late_submission_penalty(student_id, score, total_seconds_late)
            return stock
        ours = Ours.read(assigns.parent.parent.coursedir, assigns.assignment_id)
        dataclasses.replace(ours, penalties=True).write(assigns.parent.parent.coursedir, assigns.assignment_id)
        notebook = assigns.gradebook.find_submission_notebook(assigns.notebook_id, assigns.assignment_id, student_id)
        return penalty(policy, notebook, total_seconds_late)


def penalty(policy: Policy, notebook: SubmittedNotebook, seconds: float) -> float:
    """Points that a notebook loses which was handed in so late."""
    of, whole = notebook.max_score, notebook.assignment.max_score
    return policy.penalty(seconds, notebook.score, of, of / whole if whole else 1.0)


@dataclasses.dataclass
class Ours:
    """What of an assignment's dates and penalties in the gradebook is there because of the file, to be taken back without it.

    Attributes:
        due: the date that was put there; None where none was.
        before: the date that was there before that.
        penalties: whether they are made by the file's policy.
        counted: student → the time that was put there, for whom a system says no more than that they were late.
    """

    due: str | None = None
    before: str | None = None
    penalties: bool = False
    counted: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, coursedir: CourseDirectory, assignment_id: str) -> "Ours":
        """Nothing where there is no file, or one that is damaged: what is in the gradebook then stays."""
        try:
            found = json.loads(cls.path(coursedir).read_text(encoding="utf-8"))
            return cls(**found.get(assignment_id, {}))
        except (OSError, ValueError, TypeError, AttributeError):
            return cls()

    @staticmethod
    def path(coursedir: CourseDirectory) -> pathlib.Path:
        return pathlib.Path(coursedir.root, ".autograder", "late.json")

    def write(self, coursedir: CourseDirectory, assignment_id: str) -> None:
        """Writes it, where it is not there already."""
        path = self.path(coursedir)
        if self == self.read(coursedir, assignment_id):
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps({**found, assignment_id: dataclasses.asdict(self)}, indent=1), encoding="utf-8")
        partial.replace(path)


def set_date(assignment: Assignment, deadline: Deadline, ours: Ours) -> None:
    """Gives an assignment the date of the file; or, once that has none any more, the date and no extensions, as before it."""
    now = assignment.duedate
    if deadline.due is not None:
        if ours.due is None:
            ours.before = now and now.isoformat()
        ours.due = deadline.due.isoformat()
        if now != deadline.due:
            assignment.duedate = deadline.due
    elif ours.due is not None:
        if now is not None and now.isoformat() == ours.due:
            assignment.duedate = datetime.datetime.fromisoformat(ours.before) if ours.before else None
        for submission in assignment.submissions:
            submission.extension = None
        ours.due = ours.before = None


def set_dates(coursedir: CourseDirectory, submission: SubmittedAssignment) -> None:
    """Gives a submission the dates of the course's file, if that has some; see `settle`."""
    assignment_id = submission.assignment.name
    deadline, ours = Deadlines.read(pathlib.Path(coursedir.root)).find(assignment_id), Ours.read(coursedir, assignment_id)
    set_date(submission.assignment, deadline, ours)
    of_student(submission, deadline, ours, late_by_word(coursedir, assignment_id, submission.student_id))
    ours.write(coursedir, assignment_id)


def of_student(submission: SubmittedAssignment, deadline: Deadline, ours: Ours, late: Collection[str]) -> None:
    """Sets a student's extension, and the time of a submission of which is known no more than that it was late.

    Args:
        late: the students of whom no more is known. A second after deadline and grace, whenever that is, costs them the
            least that being late can cost.
    """
    student = submission.student_id
    if deadline.due is not None:
        until = deadline.extensions.get(student)
        longer = until - deadline.due if until is not None else None
        if submission.extension != longer:
            submission.extension = longer
    if student in late and (due := submission.duedate) is not None:
        grace = deadline.policy.grace if deadline.policy else 0
        submission.timestamp = due + datetime.timedelta(seconds=grace + 1)
        ours.counted[student] = submission.timestamp.isoformat()
    elif (counted := ours.counted.pop(student, None)) and submission.timestamp == datetime.datetime.fromisoformat(counted):
        submission.timestamp = None


def late_by_word(coursedir: CourseDirectory, assignment_id: str, only: str | None = None) -> set[str]:
    """The students of whom the system that they were collected from says that they were late, and not by how much.

    Args:
        only: the one who is asked about, while a class is marked one by one; None for all.
    """

    def has_time(student: str) -> bool:
        return pathlib.Path(coursedir.format_path(coursedir.submitted_directory, student, assignment_id), TIMESTAMP).exists()

    if only is not None and has_time(only):
        return set()
    collected = returning.collected(coursedir, assignment_id, only)
    found = {student for student, about in collected.items() if about.get("late") and not about.get("time")}
    return {student for student in found if only in (None, student) and not has_time(student)}


def marks_of(
    gradebook: Gradebook,
    coursedir: CourseDirectory,
    assignment_id: str,
    students: Iterable[str] | None = None,
    notebook: str | None = None,
) -> dict[str, Marks]:
    """As `marks.of_assignment`, with what the course's files say beside the gradebook."""
    zone, ours = Deadlines.read(pathlib.Path(coursedir.root)).find(assignment_id).zone, Ours.read(coursedir, assignment_id)

    def by_word(student: str, own: Marks) -> bool:
        return own.timestamp is not None and ours.counted.get(student) == own.timestamp.isoformat()

    found = marks.of_assignment(gradebook, assignment_id, students, notebook)
    return {student: dataclasses.replace(own, zone=zone, by_word=by_word(student, own)) for student, own in found.items()}


@dataclasses.dataclass(frozen=True)
class Changed:
    """A penalty that is another than before, in points."""

    student: str
    before: float
    after: float


def settle(gradebook: Gradebook, assignment_id: str, coursedir: CourseDirectory) -> list[Changed]:
    """Dates and penalties of all who have handed in, as the course's file has them. → whose penalty changed

    What the file does not say stays as it is; but what it once said is taken back: dates are those of before, and penalties
    are made by nbgrader's own method.

    Raises:
        CourseError: something in the file cannot be; it says in which line.
    """
    deadline, ours = Deadlines.read(pathlib.Path(coursedir.root)).find(assignment_id), Ours.read(coursedir, assignment_id)
    try:
        assignment = gradebook.find_assignment(assignment_id)
    except MissingEntry:
        return []
    set_date(assignment, deadline, ours)
    by_word = late_by_word(coursedir, assignment_id)
    policy, taken_out = deadline.policy, deadline.policy is None and ours.penalties
    changed: dict[str, Changed] = {}
    for submission, notebook in of_class(gradebook, assignment):
        of_student(submission, deadline, ours, by_word)
        if policy is None and not taken_out:
            continue
        late, before, after = submission.total_seconds_late, notebook.late_submission_penalty or 0.0, 0.0
        if late and policy is not None:
            after = penalty(policy, notebook, late)
        elif late:
            after = by_nbgrader(coursedir, submission.student_id, notebook.score, late)
        if after != before:
            notebook.late_submission_penalty = after or None
            known = changed.get(submission.student_id, Changed(submission.student_id, 0.0, 0.0))
            changed[submission.student_id] = Changed(known.student, known.before + before, known.after + after)
    ours.penalties = policy is not None
    ours.write(coursedir, assignment_id)
    gradebook.db.commit()
    return sorted(changed.values(), key=lambda one: one.student)


def by_nbgrader(coursedir: CourseDirectory, student: str, score: float, seconds: float) -> float:
    """The penalty by the course's `c.LateSubmissionPlugin.penalty_method`."""
    return LateSubmissionPlugin(config=coursedir.config).late_submission_penalty(student, score, seconds) or 0.0


def of_class(gradebook: Gradebook, assignment: Assignment) -> list[Any]:
    """[(submission, notebook of it)], at once."""
    found: list[Any] = (
        gradebook.db.query(SubmittedAssignment, SubmittedNotebook)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .filter(SubmittedAssignment.assignment_id == assignment.id)
        .all()
    )
    return found
