"""A whole class: marked in parallel, recorded by one process, and taken up again where it broke off.

    submitted/ ─► executor: bytes in, results out ─► results, under a hash of what determined them
                                                        └─► nbgrader autograde, one student after the other ─► gradebook

Results are kept as soon as they are there. Recording is nbgrader's own command, which finds them: gradebook and feedback are
those of a run without us. Whose recorded points change is told before the first of them is written.
"""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import functools
import json
import pathlib
import shlex
import signal
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.utils import parse_utc

from autograder.assignment import Assignment
from autograder.course.executors import Executor, Marking
from autograder.course.folder import Course, grader_failures, no_alembic, quiet
from autograder.course.moves import Move, compare
from autograder.course.recorded import Recorded
from autograder.errors import CourseError, GradebookLocked, GraderError, Killed, NotRecorded
from autograder.grading import results
from autograder.grading.results import Origin
from autograder.grading.verdict import Graded, Status, Verdict
from autograder.nbgrader import recognition, submitted
from autograder.nbgrader.autograde import lateness
from autograder.nbgrader.marks import Marks
from autograder.nbgrader.submitted import HandedIn


@dataclasses.dataclass(frozen=True)
class Marked:
    """What became of one submission.

    Attributes:
        handed_in: whose it is, where it lay, and what was odd about that.
        verdict: `Verdict`.
        known: whether it had been marked before, and was not marked again.
        unrecorded: why it did not get into the gradebook, else "".
    """

    handed_in: HandedIn
    verdict: Verdict
    known: bool
    unrecorded: str = ""

    @property
    def student(self) -> str:
        """nbgrader's id."""
        return self.handed_in.student

    def to_json(self) -> dict[str, Any]:
        """As `Verdict.to_json`, with what was odd about where it lay."""
        odd = {"student": self.student, "handed_in": self.handed_in.note, "unrecorded": self.unrecorded}
        return {**self.verdict.to_json(self.path), **odd}

    @property
    def path(self) -> pathlib.Path:
        """Of the notebook that counts, or of the folder where there is none."""
        return self.handed_in.path or self.handed_in.folder


def grade_class(
    course: Course,
    assignment: Assignment,
    executor: Executor,
    progress: Callable[[int, int, str], None],
    again: bool = False,
    tell: Callable[[Sequence[Move]], None] = lambda moves: None,
) -> Iterator[Marked]:
    """Marks every submission of the class and records it. Yields `Marked`, as they are recorded.

    What cannot be marked or recorded of one student is part of what is yielded, and stops nobody else. Those whose recorded
    points change are recorded last, after all of them were told.

    Args:
        assignment: as the course has it.
        executor: where they are marked.
        progress: `progress(done, total, what)`.
        again: whether what was marked before is marked anew.
        tell: is given them, if there are any.

    Raises:
        GraderError: the grader cannot do its work. What was recorded before stays; nobody else gets a mark.
    """
    with grader_failures():
        course.settle(assignment)
        registered, class_ = in_gradebook(course, assignment), handed_in_for(course, assignment)
        before = Before(course, assignment, registered)
        progress(0, len(class_), "")
        done = 0
        moving: list[tuple[Marked, Move]] = []
        for one in marked(course, assignment, executor, class_, again):
            handed_in, recorded = one.handed_in, before.recorded(one.handed_in)
            found = Marked(handed_in, results.verdict_in(one.packed), one.known and not handed_in.problem)
            if handed_in.is_students and not (one.known and is_recorded(handed_in, one.key, registered, recorded)):
                if recorded and (move := before.compare(recorded, one)) and move.cells:
                    moving.append((found, move))
                    continue
                found = recorded_now(course, assignment, found)
            done += 1
            progress(done, len(class_), handed_in.student)
            yield found
        if moving:
            tell([move for _, move in moving])
        for more, (found, _) in enumerate(moving, start=1):
            found = recorded_now(course, assignment, found)
            progress(done + more, len(class_), found.student)
            yield found


def handed_in_for(course: Course, assignment: Assignment) -> list[HandedIn]:
    """What the class handed in; CourseError where that is nothing."""
    class_ = submitted.look(course.coursedir, assignment)
    if not class_:
        place = submitted.where(course.coursedir, assignment)
        raise CourseError(f"There is nothing to mark: nobody has handed in {assignment.assignment_id}. {place}")
    return class_


@dataclasses.dataclass(frozen=True)
class Result:
    """What marking made of one submission.

    Attributes:
        handed_in: the submission.
        key: the name of the result.
        origin: all that determines it; empty where nothing could be read.
        packed: the result.
        known: whether it was kept from before.
    """

    handed_in: HandedIn
    key: str
    origin: Origin
    packed: bytes
    known: bool


class Before:
    """What is recorded for a class.

    Args:
        registered: the students who have a submission in the gradebook.
    """

    def __init__(self, course: Course, assignment: Assignment, registered: Container[str]) -> None:
        self._course, self._assignment, self._registered = course, assignment, registered

    def recorded(self, handed_in: HandedIn) -> Recorded | None:
        """What is recorded for a student; None where nothing is."""
        if handed_in.is_students and handed_in.student in self._registered:
            return Recorded.of(self._course, self._assignment, handed_in.student)
        return None

    def compare(self, recorded: Recorded, now: Result) -> Move | None:
        """As `moves.compare`."""
        student, verdict = now.handed_in.student, results.verdict_in(now.packed)
        origin = json.loads(json.dumps(now.origin, default=dict))  # as it comes out of a notebook
        return compare(student, recorded, self._marks[student], verdict, origin, self._assignment)

    @functools.cached_property
    def _marks(self) -> Mapping[str, Marks]:
        return self._course.marks(self._assignment)


def marked(
    course: Course, assignment: Assignment, executor: Executor, class_: Iterable[HandedIn], again: bool
) -> Iterator[Result]:
    """Marks what is not kept from before, or, if `again`, everything. Yields each `Result`, as they are kept."""
    settings, store, students = course.settings, course.results, iter(class_)
    waiting: dict[Marking, tuple[HandedIn, Origin]] = {}
    while True:
        while len(waiting) < executor.slots and (handed_in := next(students, None)):
            if handed_in.problem:
                packed = results.pack(Graded(Verdict(Status.UNGRADABLE, message=handed_in.problem), None))
                yield Result(handed_in, results.unmarked(handed_in.problem), {}, packed, True)
                continue
            raw, files = handed_in.read(), submitted.files_beside(course.coursedir, assignment, handed_in.path)
            origin = results.origin(raw, assignment, settings, files)
            key = results.key(origin)
            kept = None if again else store.get(key)
            if kept is not None:
                yield Result(handed_in, key, origin, kept, True)
            else:
                waiting[executor.submit(raw, files, assignment, settings)] = handed_in, origin
        if not waiting:
            return
        finished, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in finished:
            handed_in, origin = waiting.pop(future)
            packed, key = result_of(future, assignment), results.key(origin)
            store.put(key, packed)
            yield Result(handed_in, key, origin, packed, False)


def result_of(future: Marking, assignment: Assignment) -> bytes:
    """The packed result that a future holds."""
    try:
        fingerprint, packed = future.result()
    except Killed as error:
        message = f"{error} It waits for a person; `autograder grade --again` tries it once more."
        return results.pack(Graded(Verdict(Status.UNGRADABLE, message=message), None))
    if fingerprint != results.fingerprint(assignment.name, assignment.edited):
        raise GraderError(
            "What marks is another version of this package or of a library than what records: install the same versions on the "
            "workers of a cluster and here; if something was installed during the run, start it again."
        )
    return packed


def in_gradebook(course: Course, assignment: Assignment) -> dict[str, tuple[datetime.datetime | None, str]]:
    """student → (when it was handed in, what decides how late it is), for those who have a submission in the gradebook.

    Raises:
        CourseError: it does not know the assignment.
    """
    with quiet(), no_alembic(), Gradebook(course.coursedir.db_url, course.coursedir.course_id) as gradebook:
        try:
            gradebook.find_assignment(assignment.assignment_id)
        except MissingEntry as error:
            raise CourseError(
                f"The gradebook does not know {assignment.assignment_id} yet: run "
                f"`autograder release {shlex.quote(assignment.assignment_id)}` in the course folder first."
            ) from error
        recognition.as_released(gradebook, assignment)
        submissions = gradebook.assignment_submissions(assignment.assignment_id)
        return {
            submission.student_id: (submission.timestamp, lateness(submission, course.coursedir.config))
            for submission in submissions
        }


def is_recorded(
    handed_in: HandedIn,
    key: str,
    registered: Mapping[str, tuple[datetime.datetime | None, str]],
    recorded: Recorded | None,
) -> bool:
    """Whether gradebook and marked notebook show that result, for the time when it was handed in and for today's deadline."""
    if recorded is None:
        return False
    timestamp, late = registered[handed_in.student]
    if handed_in.timestamp is not None and parse_utc(handed_in.timestamp) != timestamp:
        return False
    return recorded.key == key and recorded.late == late


def recorded_now(course: Course, assignment: Assignment, found: Marked) -> Marked:
    """Records what was found, and says where that did not work."""
    try:
        record(course, assignment, found.handed_in)
    except NotRecorded as error:
        return dataclasses.replace(found, unrecorded=str(error))
    return found


PAUSES = (1, 2, 3)  # seconds between attempts to write into a gradebook that another program holds


def record(course: Course, assignment: Assignment, handed_in: HandedIn) -> None:
    for seconds in PAUSES:
        try:
            return record_once(course, assignment, handed_in)
        except GradebookLocked:
            time.sleep(seconds)
    record_once(course, assignment, handed_in)


def record_once(course: Course, assignment: Assignment, handed_in: HandedIn) -> None:
    with uninterrupted():
        course.autograde(assignment, handed_in)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the end: nbgrader would take it for a failed submission."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
