"""What the gradebook holds of an assignment, read at once: what is marked, what waits for a person, what has changed since.

nbgrader's own sums count as 0 what nobody has marked. Whatever shows or hands out marks takes them from here.
"""

import dataclasses
import datetime
import zoneinfo
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import func, select

from autograder.grading.verdict import CheckResult, Verdict

NO_RESPONSE = "No response."  # nbgrader's comment on a cell that is as it was handed out


@dataclasses.dataclass(frozen=True)
class Mark:
    """What one graded cell of a submission has.

    Attributes:
        of: points that it can have.
        by_machine, by_person: points; None where there are none of that kind.
        extra: extra credit.
        waits: whether a person has to look at it, nbgrader's `needs_manual_grade`.
        test: whether it is a test cell, which the machine marks.
    """

    of: float
    by_machine: float | None = None
    by_person: float | None = None
    extra: float = 0.0
    waits: bool = False
    test: bool = False

    @property
    def points(self) -> float | None:
        """None: not yet marked."""
        if self.by_person is not None:
            return self.by_person + self.extra
        if self.waits or self.by_machine is None:
            return None
        return self.by_machine + self.extra

    @property
    def outdated(self) -> bool:
        """Whether a person marked it, and what was handed in has changed since."""
        return self.waits and self.by_person is not None


@dataclasses.dataclass(frozen=True)
class Marks:
    """What a submission has.

    Attributes:
        name: the student's, as the course knows it, else "".
        timestamp: when it was handed in; None where that is not known. UTC, without a zone.
        due: until when it was to be handed in, with the student's extension; None for no deadline. As `timestamp`.
        zone: in which people are told times; None for UTC.
        by_word: whether all that is known is that it was late: `timestamp` is then no time of theirs, but what is counted.
        penalty: points that are taken off because it was late.
        cells: grade_id → `Mark`.
        comments: grade_id of a cell that students fill → what was written beside it, by a person, or `NO_RESPONSE`.
    """

    name: str
    timestamp: datetime.datetime | None
    penalty: float
    cells: Mapping[str, Mark]
    comments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    due: datetime.datetime | None = None
    zone: zoneinfo.ZoneInfo | None = None
    by_word: bool = False

    @property
    def late(self) -> float:
        """Seconds after the deadline; 0 where it was in time, or where either time is not known."""
        if self.timestamp is None or self.due is None:
            return 0.0
        return max(0.0, (self.timestamp - self.due).total_seconds())

    @property
    def waiting(self) -> list[str]:
        """grade_ids of what a person has to look at: not yet marked, or changed since it was."""
        return [grade_id for grade_id, mark in self.cells.items() if mark.points is None or mark.outdated]

    @property
    def ungradable(self) -> bool:
        """Whether the machine could not mark it, and no person has: then the whole of it waits, and no answer by itself."""
        return any(mark.test and mark.points is None for mark in self.cells.values())

    @property
    def so_far(self) -> float | None:
        """Points of what is marked, the penalty taken off; None where nothing is."""
        points = [mark.points for mark in self.cells.values() if mark.points is not None]
        return max(0.0, sum(points) - self.penalty) if points else None

    @property
    def score(self) -> float | None:
        """As `so_far` where nothing waits, else None."""
        return None if self.waiting else self.so_far

    @property
    def of(self) -> float:
        return sum(mark.of for mark in self.cells.values())


def of_assignment(
    gradebook: Gradebook, assignment_id: str, students: Iterable[str] | None = None, notebook: str | None = None
) -> dict[str, Marks]:
    """student → `Marks`, for all of whom the gradebook has a submission of that assignment, or for those named.

    Args:
        notebook: the one that is meant; None for all of the assignment's. As grade_ids are unique in a notebook alone,
            "notebook/grade_id" then stands for them where there are several.
    """
    chosen = [Assignment.name == assignment_id]
    if notebook is not None:
        chosen.append(Notebook.name == notebook)
    if students is not None:
        chosen.append(SubmittedAssignment.student_id.in_(list(students)))
    answer = BaseCell.__table__.alias()  # what is graded and students fill is marked by a person
    filled = (answer.c.notebook_id == BaseCell.notebook_id) & (answer.c.name == BaseCell.name)
    graded = gradebook.db.execute(
        of_submissions(
            Grade,
            Student.first_name,
            Student.last_name,
            SubmittedAssignment.timestamp,
            SubmittedAssignment.extension,
            Assignment.duedate,
            SubmittedNotebook.late_submission_penalty,
            func.coalesce(GradeCell.max_score, TaskCell.max_score, 0.0).label("of"),
            Grade.auto_score,
            Grade.manual_score,
            Grade.extra_credit,
            Grade.needs_manual_grade,
            (GradeCell.__table__.c.id.is_not(None) & answer.c.id.is_(None)).label("test"),
        )
        .join(Student, Student.id == SubmittedAssignment.student_id)
        .outerjoin(GradeCell.__table__, GradeCell.__table__.c.id == Grade.cell_id)
        .outerjoin(TaskCell.__table__, TaskCell.__table__.c.id == Grade.cell_id)
        .outerjoin(answer, filled & (answer.c.type == "SolutionCell"))
        .where(*chosen)
    ).all()
    said = func.coalesce(Comment.manual_comment, Comment.auto_comment).label("said")
    commented = gradebook.db.execute(of_submissions(Comment, said).where(*chosen, said.is_not(None))).all()
    several = len({row.notebook for row in graded}) > 1
    of_student: dict[str, tuple[list[Any], list[Any]]] = {}
    for number, rows in enumerate((graded, commented)):
        for row in rows:
            of_student.setdefault(row.student_id, ([], []))[number].append(row)
    return {student: in_rows(*rows, several) for student, rows in of_student.items() if rows[0]}


def of_submissions(about: type[Grade] | type[Comment], *columns: Any) -> Any:
    """The query of what submissions have of grades or comments: who, where, and those columns."""
    who = SubmittedAssignment.student_id, Notebook.name.label("notebook"), BaseCell.name.label("grade_id")
    return (
        select(*who, *columns)
        .select_from(about)
        .join(SubmittedNotebook, SubmittedNotebook.id == about.notebook_id)
        .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
        .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .join(BaseCell, BaseCell.id == about.cell_id)
        .order_by(SubmittedAssignment.student_id, Notebook.name, BaseCell.name)
    )


def in_rows(graded: list[Any], commented: list[Any], several: bool) -> Marks:
    """The `Marks` in a student's rows."""

    def name(row: Any) -> str:
        return f"{row.notebook}/{row.grade_id}" if several else row.grade_id

    cells = {
        name(row): Mark(row.of, row.auto_score, row.manual_score, row.extra_credit or 0.0, row.needs_manual_grade, row.test)
        for row in graded
    }
    penalties = {row.notebook: row.late_submission_penalty or 0.0 for row in graded}
    called = " ".join(filter(None, (graded[0].first_name, graded[0].last_name)))
    comments = {name(row): row.said for row in commented}
    due, longer = graded[0].duedate, graded[0].extension
    due = due + longer if due is not None and longer is not None else due
    return Marks(called, graded[0].timestamp, sum(penalties.values()), cells, comments, due)


def explained(verdict: Verdict | None, grade_id: str, mark: Mark) -> list[CheckResult]:
    """The criteria that make up the mark of a test cell; none where something else than this verdict made it."""
    checks = [check for check in verdict.checks if check.cell == grade_id] if verdict else []
    theirs = mark.by_machine is not None and abs(sum(check.points for check in checks) - mark.by_machine) < 1e-6
    return checks if theirs else []


def verdict_of(nb: Mapping[str, Any]) -> Verdict | None:
    """The verdict that a marked notebook carries; None where something else marked it."""
    try:
        return Verdict.from_dict(nb["metadata"]["autograder"]["verdict"])
    except (KeyError, TypeError, ValueError):
        return None


@dataclasses.dataclass(frozen=True)
class Waiting:
    """What of a class waits for a person: one sentence, or two; false, and "", where nothing does.

    Attributes:
        answers: student → grade_ids of the answers that nobody has marked, or that have changed since.
        changed: how many of them have changed.
        ungradable: whose submission could not be marked. It waits as a whole, and none of its cells is an answer.
    """

    answers: Mapping[str, Sequence[str]]
    changed: int
    ungradable: Sequence[str]

    @classmethod
    def of(cls, class_: Mapping[str, Marks]) -> "Waiting":
        ungradable = [student for student, own in class_.items() if own.ungradable]
        answers = {student: own.waiting for student, own in class_.items() if own.waiting and not own.ungradable}
        changed = sum(class_[student].cells[grade_id].outdated for student, own in answers.items() for grade_id in own)
        return cls(answers, changed, ungradable)

    @property
    def count(self) -> int:
        """Of the answers."""
        return sum(map(len, self.answers.values()))

    def __bool__(self) -> bool:
        return bool(self.answers or self.ungradable)

    def __str__(self) -> str:
        sentences = []
        if self.answers:
            also = f" ({self.changed} changed since a person marked {'it' if self.changed == 1 else 'them'})"
            sentences.append(
                f"{counted(self.count, 'answer waits', 'answers wait')} for a person{also if self.changed else ''}, "
                f"of {counted(len(self.answers), 'student', 'students')}: {some(self.answers)}."
            )
        if self.ungradable:
            which = counted(len(self.ungradable), "submission", "submissions")
            need = "needs" if len(self.ungradable) == 1 else "need"
            sentences.append(f"{which} could not be marked and {need} a person: {some(self.ungradable)}.")
        return " ".join(sentences)


def counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def some(students: Collection[str], most: int = 5) -> str:
    return ", ".join([*sorted(students)[:most], *(["…"] if len(students) > most else [])])
