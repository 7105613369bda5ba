"""A whole class: marked in parallel, recorded by one process, and taken up again where it broke off.

    submitted/ ─► executor: bytes in, results out ─► results, under a hash of what determined them
                                                        └─► nbgrader autograde, one student after the other ─► gradebook

Results are kept as soon as they are there. Recording is nbgrader's own command, which finds them: gradebook and feedback are
those of a run without us.
"""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

import nbformat
from nbgrader.api import Gradebook, MissingEntry

from autograder.assignment import Assignment
from autograder.course.executors import Executor, Marking
from autograder.course.folder import Course, on_path, quiet
from autograder.errors import CourseError, GraderError, Killed
from autograder.grading import results
from autograder.grading.verdict import Graded, Status, Verdict


@dataclasses.dataclass(frozen=True)
class Marked:
    """What became of one submission.

    Attributes:
        student: nbgrader's id.
        path: of the submitted notebook.
        verdict: `Verdict`.
        known: whether it had been marked before, and was not marked again.
    """

    student: str
    path: pathlib.Path
    verdict: Verdict
    known: bool


def submissions(course: Course, assignment: Assignment) -> dict[str, pathlib.Path]:
    """student → path of the submitted notebook, in nbgrader's folder; CourseError when there are none."""
    coursedir, name = course.coursedir, assignment.name
    pattern = pathlib.Path(coursedir.format_path(coursedir.submitted_directory, "*", name))
    root = pathlib.Path(*pattern.parts[: pattern.parts.index("*")])
    below = pathlib.Path(*pattern.parts[pattern.parts.index("*") :])
    found = sorted(root.glob(str(below / f"{name}.ipynb"))) if root.is_dir() else []
    if not found:
        raise CourseError(f"There is nothing to mark: no file {root / 'STUDENT' / name / name}.ipynb for any student.")
    return {path.relative_to(root).parts[0]: path for path in found}


def grade_class(
    course: Course,
    assignment: Assignment,
    executor: Executor,
    progress: Callable[[int, int, str], None],
    again: bool = False,
) -> Iterator[Marked]:
    """Marks every submission of the class and records it. Yields `Marked`, as they are recorded.

    Args:
        executor: where they are marked.
        progress: `progress(done, total, what)`.
        again: whether what was marked before is marked anew.

    Raises:
        GraderError: the grader cannot do its work. What was recorded before stays; nobody else gets a mark.
    """
    paths, registered = submissions(course, assignment), in_gradebook(course, assignment)
    progress(0, len(paths), "")
    for done, (student, key, packed, known) in enumerate(marked(course, assignment, executor, paths, again), start=1):
        if not (known and student in registered and recorded(course, assignment, student) == key):
            record(course, assignment, student)
        progress(done, len(paths), student)
        yield Marked(student, paths[student], results.verdict_in(packed), known)


def marked(
    course: Course, assignment: Assignment, executor: Executor, paths: Mapping[str, pathlib.Path], again: bool
) -> Iterator[tuple[str, str, bytes, bool]]:
    """Yields (student, name of the result, packed result, whether it was known), as they are kept."""
    settings, store, students = course.settings, course.results, iter(paths.items())
    waiting: dict[Marking, tuple[str, str]] = {}
    while True:
        while len(waiting) < executor.slots and (student_path := next(students, None)):
            student, path = student_path
            raw = path.read_bytes()
            key = results.key(raw, assignment, settings)
            if not again and (packed := store.get(key)) is not None:
                yield student, key, packed, True
            else:
                waiting[executor.submit(raw, assignment.name, settings)] = student, key
        if not waiting:
            return
        finished, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in finished:
            student, key = waiting.pop(future)
            packed = result_of(future, assignment)
            store.put(key, packed)
            yield student, key, packed, False


def result_of(future: Marking, assignment: Assignment) -> bytes:
    """The packed result that a future holds."""
    try:
        fingerprint, packed = future.result()
    except Killed as error:
        message = f"{error} It waits for a person; `autograder grade --again` tries it once more."
        return results.pack(Graded(Verdict(Status.UNGRADABLE, message=message), None))
    if fingerprint != results.fingerprint(assignment.name):
        raise GraderError(
            "What marks is another version of this package or of a library than what records: install the same versions on the "
            "workers of a cluster and here; if something was installed during the run, start it again."
        )
    return packed


def in_gradebook(course: Course, assignment: Assignment) -> set[str]:
    """The students who have a submission in the gradebook; CourseError when it does not know the assignment."""
    with quiet(), on_path(), Gradebook(course.coursedir.db_url, course.coursedir.course_id) as gradebook:
        try:
            gradebook.find_assignment(assignment.name)
        except MissingEntry as error:
            raise CourseError(
                f"The gradebook does not know {assignment.name} yet: run `autograder release` in the course folder first."
            ) from error
        return {submission.student_id for submission in gradebook.assignment_submissions(assignment.name)}


def recorded(course: Course, assignment: Assignment, student: str) -> str | None:
    """The name of the result that the student's autograded notebook shows, or None."""
    try:
        nb = nbformat.read(course.autograded(assignment.name, student), as_version=nbformat.NO_CONVERT)
    except (OSError, ValueError):
        return None
    found: str | None = nb.metadata.get("autograder", {}).get("result")
    return found


def record(course: Course, assignment: Assignment, student: str) -> None:
    with uninterrupted():
        course.autograde(assignment.name, student)


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
