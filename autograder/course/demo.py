"""The main job on a sample class: from nothing to a marked class, in a course folder of its own."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable

import nbformat

from autograder.assignment import Assignment
from autograder.course import analysis, feedback_pages, init, report
from autograder.course.batch import grade_class
from autograder.course.executors import Processes
from autograder.course.folder import Course
from autograder.errors import CourseError
from autograder.nbgrader import FORMGRADER
from autograder.nbgrader.marks import Marks, counted


@dataclasses.dataclass
class Row:
    """One student's line: what the gradebook holds after marking.

    Attributes:
        student, story: who, and what they did.
        cells: grade_id → (score or None, max score) of the automatically graded cells.
        waiting: what waits for a person, in words, or "".
        feedback: path of the feedback page.
    """

    student: str
    story: str
    cells: dict[str, tuple[float | None, float]]
    waiting: str
    feedback: pathlib.Path


@dataclasses.dataclass
class Demo:
    """What the demonstration made: rows of the class, and where the files are."""

    root: pathlib.Path
    release: pathlib.Path
    rows: list[Row]
    gradebook: pathlib.Path
    grades: pathlib.Path
    feedback: pathlib.Path
    report: pathlib.Path


def run(root: pathlib.Path, assignment: Assignment, progress: Callable[[int, int, str], None]) -> Demo:
    """Makes a new course in `root`, marks the assignment's sample class, writes feedback, grades and the class report. → Demo

    Args:
        progress: `progress(done, total, what)`, called before each piece of work and once at the end.
    """
    root = root.resolve()
    progress(0, 1, "generating the release")
    new_folder(root)
    init.begin(init.look(root, assignment, assignment.name))
    course = Course(root)
    release = course.release(assignment)
    students = assignment.samples.students(nbformat.read(release, as_version=4))
    for name, (_, raw) in students.items():
        path = root / "submitted" / name / assignment.name / f"{assignment.name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
    total = len(students) + 1
    progress(0, total, "marking")
    with Processes(assignment) as executor:
        for number, marked in enumerate(grade_class(course, assignment, executor, lambda *_: None), start=1):
            progress(number, total, f"marked {marked.student}")
    progress(len(students), total, "writing feedback")
    feedback_pages.write(course, assignment)
    grades = root / "grades.csv"
    course.export(grades)
    class_marks = course.marks(assignment)
    rows = [
        row(assignment, name, story, class_marks[name], course.feedback(assignment, name))
        for name, (story, _) in students.items()
    ]
    class_ = analysis.gather(course, assignment, formgrader=FORMGRADER)
    page, _ = report.write(class_, root / report.FOLDER / assignment.assignment_id, similar=True)
    progress(total, total, "done")
    return Demo(root, release, rows, root / "gradebook.db", grades, root / "feedback", page)


def new_folder(root: pathlib.Path) -> None:
    """An empty folder; one that is there is removed only if an earlier demonstration made it."""
    if root.exists():
        if any(root.iterdir()) and not (root / STAMP).exists():
            raise CourseError(f"{root} is there and was not made by `autograder demo`; name another folder with --output.")
        shutil.rmtree(root)
    root.mkdir(parents=True)
    (root / STAMP).write_text("Made by `autograder demo`, which makes this folder anew each time.\n")


STAMP = "made-by-autograder-demo.txt"


def row(assignment: Assignment, student: str, story: str, own: Marks, page: pathlib.Path) -> Row:
    cells = {name: (own.cells[name].by_machine, own.cells[name].of) for name in assignment.test_cells}
    answers = counted(len(own.waiting), "answer", "answers") if own.waiting else ""
    return Row(student, story, cells, "all of it" if own.ungradable else answers, page)
