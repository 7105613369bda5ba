"""Marking a class anew after something changed: first who moves and why, and, if that is right, into the gradebook.

    submitted/ ─► marked under today's checks, settings and libraries ─► kept, under another name than what is recorded
                                                                           └─► compared with what is recorded ─► moves
    --apply:  moves ─► regrades/ASSIGNMENT/TIME.json ─► nbgrader autograde, for each whose recorded result is an old one

Without `apply` neither the gradebook nor a marked notebook is touched. What was kept is what `autograder grade` would record.
"""

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from autograder.assignment import Assignment
from autograder.course.batch import Before, Marked, handed_in_for, in_gradebook, marked, recorded_now
from autograder.course.executors import Executor
from autograder.course.folder import Course, grader_failures
from autograder.course.moves import Move
from autograder.errors import CourseError
from autograder.grading import results

RECORDS = "regrades"


@dataclasses.dataclass(frozen=True)
class Regrade:
    """What marking a class anew would change.

    Attributes:
        students: how many of those who are recorded were marked anew, or would be as before.
        moves: of those whose points of a test cell change.
        words: of those who keep their points and are told something else.
        old: what was marked of each whose recorded result is not today's: they move, are told something else, or neither.
        new: students who handed in and are not recorded yet.
        gone: students who are recorded and whose submission is not there any more.
    """

    students: int
    moves: Sequence[Move]
    words: Sequence[Move]
    old: Sequence[Marked]
    new: Sequence[str]
    gone: Sequence[str]


def look(course: Course, assignment: Assignment, executor: Executor, progress: Callable[[int, int, str], None]) -> Regrade:
    """Marks everybody under today's checks, settings and libraries, and compares with what is recorded. Records nothing.

    Args:
        assignment: as the course has it.
        executor: where they are marked.
        progress: `progress(done, total, what)`.

    Raises:
        GraderError: the grader cannot do its work.
    """
    with grader_failures():
        registered = in_gradebook(course, assignment)
        class_ = [handed_in for handed_in in handed_in_for(course, assignment) if handed_in.is_students]
        here = {handed_in.student for handed_in in class_}
        recorded_ones = [handed_in for handed_in in class_ if handed_in.student in registered]
        if not recorded_ones:
            raise CourseError(f"Nobody is recorded for {assignment.assignment_id} yet: `autograder grade` comes first.")
        before = Before(course, assignment, registered)
        progress(0, len(recorded_ones), "")
        moves: list[Move] = []
        words: list[Move] = []
        old: list[Marked] = []
        found = marked(course, assignment, executor, recorded_ones, again=False)
        for done, one in enumerate(found, start=1):
            recorded = before.recorded(one.handed_in)
            if recorded is not None and recorded.key != one.key:
                old.append(Marked(one.handed_in, results.verdict_in(one.packed), one.known))
                if move := before.compare(recorded, one):
                    (moves if move.cells else words).append(move)
            progress(done, len(recorded_ones), one.handed_in.student)

    def by_student(move: Move) -> str:
        return move.student

    return Regrade(
        len(recorded_ones),
        sorted(moves, key=by_student),
        sorted(words, key=by_student),
        old,
        sorted(here - set(registered)),
        sorted(set(registered) - here),
    )


def apply(
    course: Course, assignment: Assignment, found: Regrade, reason: str, progress: Callable[[int, int, str], None]
) -> tuple[pathlib.Path | None, dict[str, str]]:
    """Records what `look` found, and keeps a record of it, which is there before the first mark moves.

    Returns:
        path of the record, None where nothing was to do; student → why they could not be recorded.
    """
    if not found.old:
        return None, {}
    record = Record.new(course, assignment, found, reason)
    with grader_failures():
        record.write()
        for done, one in enumerate(found.old):
            progress(done, len(found.old), f"recording {one.student}")
            one = recorded_now(course, assignment, one)
            if one.unrecorded:
                record.about["unrecorded"][one.student] = one.unrecorded
        record.about["finished"] = now()
        record.write()
    return record.path, record.about["unrecorded"]


@dataclasses.dataclass(frozen=True)
class Record:
    """What was regraded, when, with what and why: a file of the course's.

    Attributes:
        path: of the file.
        about: what stands in it.
    """

    path: pathlib.Path
    about: dict[str, Any]

    @classmethod
    def new(cls, course: Course, assignment: Assignment, found: Regrade, reason: str) -> "Record":
        date = now()
        about = {
            "date": date,
            "finished": None,
            "assignment": assignment.assignment_id,
            "reason": reason,
            "marked_with": results.marker(assignment.name, assignment.edited),
            "settings": dataclasses.asdict(course.settings),
            "students": found.students,
            "moves": [move.to_json() for move in found.moves],
            "other_words": [move.to_json() for move in found.words],
            "unrecorded": {},
        }
        folder = course.root / RECORDS / assignment.assignment_id
        return cls(folder / f"{date.replace(':', '')}.json", about)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.about, ensure_ascii=False, indent=1, default=dict) + "\n", encoding="utf-8")
        partial.replace(self.path)


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
