"""What is recorded for a student: the verdict under the key that was recorded for them, else the gradebook's points.

The key stands in the marked notebook, in `autograded/`; the verdict is kept under it in `.autograder/results/`. Where that is
gone, or cannot be read, the points that nbgrader's gradebook has for each test cell remain.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from nbgrader.api import Assignment as AssignmentRow
from nbgrader.api import BaseCell, Grade, Gradebook, Notebook, SubmittedAssignment, SubmittedNotebook

from autograder.assignment import Assignment
from autograder.course.folder import Course, on_path, quiet
from autograder.grading import results
from autograder.grading.results import Kept, Results


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the gradebook has for one graded cell of a student.

    Attributes:
        auto, manual: points by machine and by a person; None where there are none.
        extra: credit that a person added.
        of: what the cell is worth.
        waiting: whether it waits for a person; its points, if there are any, may be those of an earlier answer.
    """

    auto: float | None
    manual: float | None
    extra: float
    of: float
    waiting: bool

    @property
    def points(self) -> float | None:
        """As nbgrader counts them; None while it waits for a person."""
        score = self.auto if self.manual is None else self.manual
        return None if self.waiting or score is None else score + self.extra


@dataclasses.dataclass(frozen=True)
class Row:
    """What the gradebook has for one student.

    Attributes:
        submission: the id of the submitted notebook, by which formgrader's pages are called.
        marks: grade_id → `Mark`.
    """

    submission: str
    marks: Mapping[str, Mark]


def gradebook(course: Course, assignment: Assignment) -> dict[str, Row]:
    """student → `Row`, for those who have a submission, in one query whatever the size of the class."""
    with quiet(), on_path(), Gradebook(course.coursedir.db_url, course.coursedir.course_id) as opened:
        found = (
            opened.db.query(
                SubmittedAssignment.student_id,
                SubmittedNotebook.id,
                BaseCell.name,
                Grade.auto_score,
                Grade.manual_score,
                Grade.extra_credit,
                Grade.max_score,
                Grade.needs_manual_grade,
            )
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
            .join(AssignmentRow, AssignmentRow.id == SubmittedAssignment.assignment_id)
            .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
            .join(BaseCell, BaseCell.id == Grade.cell_id)
            .filter(AssignmentRow.name == assignment.assignment_id, Notebook.name == assignment.notebook_id)
            .order_by(SubmittedAssignment.student_id)
        )
        marks: dict[tuple[str, str], dict[str, Mark]] = {}
        for student, submission, cell, auto, manual, extra, of, waiting in found:
            marks.setdefault((student, submission), {})[cell] = Mark(auto, manual, extra or 0.0, of, waiting)
    return {student: Row(submission, by_cell) for (student, submission), by_cell in marks.items()}


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What is recorded for one student.

    Attributes:
        about: what marking wrote into the metadata of the marked notebook; empty where there is none.
        store: where verdicts are kept.
    """

    about: Mapping[str, Any]
    store: Results

    @classmethod
    def of(cls, course: Course, assignment: Assignment, student: str) -> "Recorded":
        return cls(about(read(course.autograded(assignment, student))), course.results)

    @property
    def key(self) -> str | None:
        """The name of the result that was recorded; None where nothing was."""
        return self.about.get("result")

    @functools.cached_property
    def kept(self) -> Kept | None:
        """The verdict that was recorded; None where it is kept no more, or was kept by another version in another form."""
        packed = self.store.get(self.key) if self.key else None
        try:
            return results.kept(packed) if packed else None
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            return None


def about(notebook: Mapping[str, Any]) -> Mapping[str, Any]:
    """What marking wrote into the metadata of a marked notebook, as `read` gives it."""
    found = notebook.get("metadata", {}).get("autograder", {})
    return found if isinstance(found, dict) else {}


def read(path: pathlib.Path) -> Mapping[str, Any]:
    """A marked notebook's JSON; empty where there is none.

    Not nbformat.read, which takes ten times as long: it validates what was validated when it was written.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
