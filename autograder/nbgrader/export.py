"""`nbgrader export`: the list of grades, in which what nobody has marked is empty; nbgrader's own writes 0 there.

ExportMarks    the list of grades
IntoSheet      the marks of one assignment, in the sheet that a learning management system exports and takes back
"""

import contextlib
import csv
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbgrader.api import Assignment, Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import ExportPlugin
from traitlets import Unicode

from autograder.errors import CourseError
from autograder.lms import returning
from autograder.lms.entering import Filled, Mark, State, fill, filled_beside
from autograder.lms.sheets import Column, Sheet, System
from autograder.nbgrader import ending, headings, late, marks, recognition
from autograder.nbgrader.deadlines import in_words
from autograder.nbgrader.marks import Marks

# nbgrader's own columns, then the points so far, and which cells wait for a person.
COLUMNS = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score"),
    *("score_so_far", "not_yet_marked", "changed_since_marked"),
    *("status", "hours_late", "misconceptions"),
)


class ExportMarks(ExportPlugin):
    """A line for each student and assignment, with a column for each graded cell and each criterion.

    `score` is empty until all is marked; `score_so_far` is what there is of it. The criteria of a task are empty where a person
    set its points. `status` is marked, waiting (for a person), ungradable or missing.

    Attributes:
        waiting: assignment → what waits for a person, after `export`.
    """

    def export(self, gradebook: Gradebook) -> None:
        with ending.told(self, "nothing was exported"):
            self._export(gradebook)

    def _export(self, gradebook: Gradebook) -> None:
        to = self.to or "grades.csv"
        self.log.info("Exporting grades to %s", to)
        self.waiting: dict[str, marks.Waiting] = {}
        lines: list[dict[str, Any]] = []
        columns = dict.fromkeys(COLUMNS)
        for assignment in gradebook.assignments:
            if self.assignment and assignment.name not in map(str, self.assignment):
                continue
            if self._coursedir is not None:
                late.settle(gradebook, assignment.name, self._coursedir)
            class_ = self._marks(gradebook, assignment.name)
            waiting = self.waiting[assignment.name] = marks.Waiting.of(class_)
            if waiting:
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

    def _marks(self, gradebook: Gradebook, assignment_id: str) -> dict[str, Marks]:
        if self._coursedir is None:
            return marks.of_assignment(gradebook, assignment_id)
        return late.marks_of(gradebook, self._coursedir, assignment_id)

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
                line |= of_submission(class_[student.id]) | self._verdicts(assignment.name, student.id, class_[student.id])
            else:
                line["status"] = "missing"
            lines.append({column: "" if value is None else value for column, value in line.items()})
        return lines

    def _cells(self, assignment_id: str) -> list[str]:
        """grade_ids in the order of the master, where it is one of ours."""
        with contextlib.suppress(CourseError):
            if self._coursedir and (own := recognition.find(self._coursedir, assignment_id)):
                return list(own.graded_cells)
        return []

    def _verdicts(self, assignment_id: str, student: str, own: Marks) -> dict[str, Any]:
        """Criterion → points, and the misconceptions, as far as the marked notebook says what made up the marks."""
        if self._coursedir is None:
            return {}
        folder = pathlib.Path(self._coursedir.format_path(self._coursedir.autograded_directory, student, assignment_id))
        found: dict[str, Any] = {}
        misconceptions: dict[str, None] = {}
        for path in sorted(folder.glob("*.ipynb")):
            verdict = marks.verdict_of(json.loads(path.read_text(encoding="utf-8")))
            for column, mark in own.cells.items():
                notebook, _, grade_id = column.rpartition("/")
                for check in marks.explained(verdict, grade_id, mark) if notebook in ("", path.stem) else ():
                    found[column + check.id.removeprefix(grade_id)] = check.points if mark.by_person is None else None
                    if check.misconception and not check.unanswered:
                        misconceptions[check.misconception] = None
        return found | {"misconceptions": " ".join(misconceptions)}


def as_text(value: object) -> object:
    """What a spreadsheet would take for a formula, so that it shows it instead."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def of_submission(own: Marks) -> dict[str, Any]:
    """The columns of what the gradebook has of a submission."""
    changed = [grade_id for grade_id, mark in own.cells.items() if mark.outdated]
    raw = sum(mark.points for mark in own.cells.values() if mark.points is not None)
    return {
        "timestamp": None if own.by_word else own.timestamp,
        "raw_score": None if own.waiting else raw,
        "late_submission_penalty": own.penalty,
        "score": own.score,
        "score_so_far": own.so_far,
        "not_yet_marked": " ".join(grade_id for grade_id in own.waiting if grade_id not in changed),
        "changed_since_marked": " ".join(changed),
        "status": "ungradable" if own.ungradable else "waiting" if own.waiting else "marked",
        "hours_late": hours_late(own),
        **{grade_id: mark.points for grade_id, mark in own.cells.items()},
    }


def hours_late(own: Marks) -> float | str | None:
    """After the deadline; None where either time is not known, "late" where nothing is known but that."""
    if own.by_word:
        return "late"
    return round(own.late / 3600, 2) if own.timestamp and own.due else None


def ordered(lines: Sequence[dict[str, Any]], class_: Mapping[str, Marks], known: Sequence[str]) -> Iterator[str]:
    """The columns of an assignment: each cell, those of `known` first, and behind it its criteria."""
    graded = dict.fromkeys(grade_id for own in class_.values() for grade_id in own.cells)
    places = {grade_id: place for place, grade_id in enumerate(known)}
    cells = sorted(graded, key=lambda column: places.get(column.rpartition("/")[2], len(places)))
    criteria = dict.fromkeys(column for line in lines for column in line if column not in COLUMNS and column not in cells)
    for grade_id in cells:
        yield grade_id
        yield from (id for id in criteria if id.startswith(f"{grade_id}."))


class IntoSheet(ExportPlugin):
    """`nbgrader export --exporter autograder.nbgrader.export.IntoSheet --IntoSheet.sheet=SHEET.csv`

    Fills the sheet of a learning management system with the marks of one assignment; writes it beside, or where `--to` says.

    Attributes:
        filled: what was written, after `export`.
    """

    sheet = Unicode(help="The sheet, as the learning management system exports it.").tag(config=True)
    column = Unicode(help="The column to fill; by default the one that is named as the assignment.").tag(config=True)
    id_column = Unicode(help="The column that holds nbgrader's student ids, where it is not found.").tag(config=True)
    filled: Filled

    def export(self, gradebook: Gradebook) -> None:
        with ending.told(self, "nothing was exported"):
            self._export(gradebook)

    def _export(self, gradebook: Gradebook) -> None:
        if not self.sheet:
            raise CourseError("Nobody has said which sheet is to be filled: --IntoSheet.sheet=SHEET.csv")
        names = [str(name) for name in self.assignment] or [assignment.name for assignment in gradebook.assignments]
        if len(names) != 1:
            raise CourseError(f"A sheet is filled with the marks of one assignment; name it. Known: {', '.join(names)}.")
        coursedir, (assignment_id,) = self.parent.coursedir, names
        late.settle(gradebook, assignment_id, coursedir)
        class_ = late.marks_of(gradebook, coursedir, assignment_id)
        if waiting := marks.Waiting.of(class_):
            self.log.warning("%s: %s Their cells stay as they are.", assignment_id, waiting)
        path = pathlib.Path(self.sheet)
        own = recognition.find(coursedir, assignment_id)
        called = [assignment_id, *([own.notebook_id, own.title] if own else [])]
        of = gradebook.find_assignment(assignment_id).max_score
        self.filled = fill(
            Sheet.read(path, list(filter(None, [self.id_column, self.column]))),
            for_sheet(gradebook, coursedir, assignment_id, class_, headings.names(own) if own else {}),
            called,
            of,
            self.column or None,
            self.id_column or None,
        )
        if all(row.state in (State.NOT_IN_SHEET, State.NOT_IN_COURSE) for row in self.filled.rows):
            raise CourseError(
                f"{path} has nobody of this course, so nothing was written: is it another course's? --id-column names the "
                "column that holds the students' ids here."
            )
        to = pathlib.Path(self.to) if self.to else filled_beside(path)
        to.write_bytes(self.filled.data)
        self.log.info("Filled %s: %s", self.filled.column, to)


def for_sheet(
    gradebook: Gradebook,
    coursedir: CourseDirectory,
    assignment_id: str,
    class_: Mapping[str, Marks],
    called: Mapping[str, str],
) -> dict[str, Mark]:
    """nbgrader's id → `Mark`, of all students of the course.

    Args:
        called: grade_id → what people call it, in the master's order.
    """
    collected = returning.collected(coursedir, assignment_id)
    found = {}
    for student in gradebook.students:
        own, score, why, said = class_.get(student.id), None, "", ""
        if own is None:
            why = "nothing handed in"
        elif own.waiting:
            why = "could not be marked, waits for a person" if own.ungradable else "waits for a person"
        else:
            score, said = own.score, comment(own, called)
        name = f"{student.first_name or ''} {student.last_name or ''}".strip()
        about = collected.get(student.id, {})
        known = {kind: str(about.get("lms_ids", {}).get(kind, "")) for kind in (Column.LOGIN, Column.NUMBER)}
        ids = {System.CANVAS: student.lms_user_id} if student.lms_user_id else {}
        if (system := about.get("system")) in set(System) and (own_id := about.get("lms_ids", {}).get(Column.LMS_ID)):
            ids[System(system)] = str(own_id)
        found[student.id] = Mark(score, why, said, name, student.email or "", known, ids)
    return found


def comment(own: Marks, called: Mapping[str, str]) -> str:
    """What a mark is made of, in a line."""
    cells = {grade_id: own.cells[grade_id] for grade_id in (*called, *own.cells) if grade_id in own.cells}
    parts = [
        f"{without_end(called.get(grade_id, grade_id))}: {mark.points:g} of {mark.of:g}." for grade_id, mark in cells.items()
    ]
    if own.penalty:
        known = own.late and not own.by_word
        parts.append(f"Handed in {in_words(own.late)} late: -{own.penalty:g}." if known else f"Late: -{own.penalty:g}.")
    return " ".join([f"{own.score:g} of {own.of:g} points.", *parts])


def without_end(title: str) -> str:
    """A heading without the mark that ends a sentence."""
    return title.rstrip(".?!: ")
