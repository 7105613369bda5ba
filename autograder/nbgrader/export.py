"""`nbgrader export`: the list of grades, in which what nobody has marked is empty; nbgrader's own writes 0 there."""

import contextlib
import csv
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbgrader.api import Assignment, Gradebook
from nbgrader.plugins import ExportPlugin

from autograder.errors import CourseError
from autograder.nbgrader import late, marks, recognition
from autograder.nbgrader.marks import Marks

# nbgrader's own columns, then the points so far, and which cells wait for a person.
COLUMNS = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score"),
    *("score_so_far", "not_yet_marked", "changed_since_marked"),
)


class ExportMarks(ExportPlugin):
    """A line for each student and assignment, with a column for each graded cell and each criterion.

    `score` is empty until all is marked; `score_so_far` is what there is of it. The criteria of a task are empty where a person
    set its points.
    """

    def export(self, gradebook: Gradebook) -> None:
        to = self.to or "grades.csv"
        self.log.info("Exporting grades to %s", to)
        lines: list[dict[str, Any]] = []
        columns = dict.fromkeys(COLUMNS)
        for assignment in gradebook.assignments:
            if self.assignment and assignment.name not in map(str, self.assignment):
                continue
            if self._coursedir is not None:
                late.settle(gradebook, assignment.name, pathlib.Path(self._coursedir.root))
            class_ = marks.of_assignment(gradebook, assignment.name)
            if waiting := marks.Waiting.of(class_):
                self.log.warning("%s: %s Their cells are empty.", assignment.name, waiting)
            own = self._lines(gradebook, assignment, class_)
            lines += own
            columns |= dict.fromkeys(ordered(own, class_, self._cells(assignment.name)))
        with pathlib.Path(to).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
            writer.writerow({column: as_text(column) for column in columns})
            writer.writerows({column: as_text(value) for column, value in line.items()} for line in lines)

    @property
    def _coursedir(self) -> Any:
        """nbgrader's; None where the plug-in is used without its command."""
        return getattr(self.parent, "coursedir", None)

    def _lines(self, gradebook: Gradebook, assignment: Assignment, class_: dict[str, Marks]) -> list[dict[str, Any]]:
        lines = []
        for student in sorted(gradebook.students, key=lambda one: (one.last_name or "", one.first_name or "", one.id)):
            if self.student and student.id not in map(str, self.student):
                continue
            line = {
                "assignment": assignment.name,
                "duedate": assignment.duedate,
                "student_id": student.id,
                "last_name": student.last_name,
                "first_name": student.first_name,
                "email": student.email,
                "max_score": assignment.max_score,
            }
            if student.id in class_:
                line |= of_submission(class_[student.id]) | self._criteria(assignment.name, student.id, class_[student.id])
            lines.append({column: "" if value is None else value for column, value in line.items()})
        return lines

    def _cells(self, assignment_id: str) -> list[str]:
        """grade_ids in the order of the master, where it is one of ours."""
        with contextlib.suppress(CourseError):
            if self._coursedir and (own := recognition.find(self._coursedir, assignment_id)):
                return list(own.graded_cells)
        return []

    def _criteria(self, assignment_id: str, student: str, own: Marks) -> dict[str, Any]:
        """Criterion → points, as far as the marked notebook says what made up the marks."""
        if self._coursedir is None:
            return {}
        folder = pathlib.Path(self._coursedir.format_path(self._coursedir.autograded_directory, student, assignment_id))
        found = {}
        for path in sorted(folder.glob("*.ipynb")):
            verdict = marks.verdict_of(json.loads(path.read_text(encoding="utf-8")))
            for column, mark in own.cells.items():
                notebook, _, grade_id = column.rpartition("/")
                for check in marks.explained(verdict, grade_id, mark) if notebook in ("", path.stem) else ():
                    found[column + check.id.removeprefix(grade_id)] = check.points if mark.by_person is None else None
        return found


def as_text(value: object) -> object:
    """What a spreadsheet would take for a formula, so that it shows it instead."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def of_submission(own: Marks) -> dict[str, Any]:
    """The columns of what the gradebook has of a submission."""
    changed = [grade_id for grade_id, mark in own.cells.items() if mark.outdated]
    raw = sum(mark.points for mark in own.cells.values() if mark.points is not None)
    return {
        "timestamp": own.timestamp,
        "raw_score": None if own.waiting else raw,
        "late_submission_penalty": own.penalty,
        "score": own.score,
        "score_so_far": own.so_far,
        "not_yet_marked": " ".join(grade_id for grade_id in own.waiting if grade_id not in changed),
        "changed_since_marked": " ".join(changed),
        **{grade_id: mark.points for grade_id, mark in own.cells.items()},
    }


def ordered(lines: Sequence[dict[str, Any]], class_: Mapping[str, Marks], known: Sequence[str]) -> Iterator[str]:
    """The columns of an assignment: each cell, those of `known` first, and behind it its criteria."""
    graded = dict.fromkeys(grade_id for own in class_.values() for grade_id in own.cells)
    places = {grade_id: place for place, grade_id in enumerate(known)}
    cells = sorted(graded, key=lambda column: places.get(column.rpartition("/")[2], len(places)))
    criteria = dict.fromkeys(column for line in lines for column in line if column not in COLUMNS and column not in cells)
    for grade_id in cells:
        yield grade_id
        yield from (id for id in criteria if id.startswith(f"{grade_id}."))
