"""The feedback pages of a class: in parallel, and only those that changed.

    gradebook, notebooks of record ─► what each page is made of ─► the pages that are made of something else
                                                                     └─► nbgrader generate_feedback, in several processes

A page says in its head what it was made of, so that nothing else has to be kept.
"""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import pathlib
import signal
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

from autograder.assignment import Assignment
from autograder.course.executors import own_cores
from autograder.course.folder import Course, grader_failures
from autograder.errors import GraderError
from autograder.nbgrader import generate_feedback, marks, student_page
from autograder.nbgrader.submitted import students_folder

FEW = 6  # pages that are made sooner than processes are started
AT_ONCE = 50  # pages that one process makes with one exporter, whose templates take as long as four pages


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of the pages of a class.

    Attributes:
        folder: where they are.
        pages: student → path, of those that were written now.
        unchanged: number of those that were there already.
        waiting: what waits for a person.
    """

    folder: pathlib.Path
    pages: dict[str, pathlib.Path]
    unchanged: int
    waiting: marks.Waiting


def write(
    course: Course,
    assignment: Assignment,
    progress: Callable[[int, int, str], None] = lambda *_: None,
    again: bool = False,
    workers: int | None = None,
) -> Written:
    """Writes the feedback pages of all whose notebook is marked.

    Args:
        progress: `progress(done, total, what)`.
        again: whether pages are written anew that are as they would be.
        workers: number of processes; one per core by default.

    Raises:
        GraderError: pages cannot be written. Those that are written stay.
    """
    with grader_failures():
        course.settle(assignment)
        class_ = course.marks(assignment)
        marked = [student for student in class_ if course.autograded(assignment, student).is_file()]
        changed = [student for student in marked if again or not is_current(course, assignment, student, class_[student])]
        progress(0, len(changed), "writing feedback")
        count = min(workers or len(own_cores()), math.ceil(len(changed) / FEW))
        if count > 1:
            in_processes(course, assignment, changed, count, progress)
        elif changed:
            course.generate_feedback(assignment, *changed)
        progress(len(changed), len(changed), "done")
    folder, _ = students_folder(course.coursedir, course.coursedir.feedback_directory, assignment.assignment_id)
    pages = {student: course.feedback(assignment, student) for student in changed}
    return Written(folder, pages, len(marked) - len(changed), marks.Waiting.of(class_))


def is_current(course: Course, assignment: Assignment, student: str, own: marks.Marks) -> bool:
    """Whether the student's page is there and made of what is there now."""
    try:
        with course.feedback(assignment, student).open(encoding="utf-8") as file:
            head = file.read(1000)
    except (OSError, ValueError):
        return False
    return generate_feedback.made_of(course.autograded(assignment, student).read_bytes(), assignment, own) in head


def in_processes(
    course: Course, assignment: Assignment, students: list[str], count: int, progress: Callable[[int, int, str], None]
) -> None:
    """Runs `nbgrader generate_feedback` for the students, some at a time in each of so many processes."""
    student_page.warm(assignment)
    size = min(AT_ONCE, math.ceil(len(students) / count))
    parts = [students[at : at + size] for at in range(0, len(students), size)]
    # Forked: what is imported and what all pages have in common are there. None of it has a thread or a connection.
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), start, (course.root, assignment)) as pool:
        waiting = {pool.submit(write_some, part): len(part) for part in parts}
        done = 0
        try:
            for future in concurrent.futures.as_completed(waiting):
                future.result()
                done += waiting[future]
                progress(done, len(students), "writing feedback")
        except BrokenProcessPool as error:
            raise GraderError("A process that wrote feedback pages was ended. The same command goes on.") from error
        finally:
            pool.shutdown(cancel_futures=True)  # and waits: one that still closes when Python ends prints a traceback


OWN: list[tuple[Course, Assignment]] = []  # of this process: its gradebook's connection must be its own


def start(root: pathlib.Path, assignment: Assignment) -> None:
    """In a new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    OWN[:] = [(Course(root), assignment)]


def write_some(students: list[str]) -> None:
    course, assignment = OWN[0]
    course.generate_feedback(assignment, *students)
