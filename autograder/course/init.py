"""`autograder init`: a course in a folder with an assignment of ours in it, or that assignment in a course that is there.

look at the configuration ─► look at what has the assignment's name ─► configuration, source ─► release, gradebook

What cannot be done is told before anything is written. Nothing that is there is overwritten: it is kept, and listed.
"""

import dataclasses
import pathlib
import re
import shutil
import tempfile

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from traitlets.config import Config

from autograder.assignment import Assignment
from autograder.course import release
from autograder.course.folder import Course, no_alembic, quiet
from autograder.errors import CourseError
from autograder.nbgrader import EXPORT, FEEDBACK, MARKING, PAGES, RELEASE, configuration, recognition

CONFIGURATION = """\
\"\"\"nbgrader's configuration of this course: the stock commands, with marking done outside the students' kernels.\"\"\"

from autograder.nbgrader import configure

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = {course_id!r}
configure(c)

# What a course may set for marking, with its defaults.
# c.GradeOutside.sandbox = "bubblewrap"
# c.GradeOutside.device = "auto"
# c.GradeOutside.execute = "needed"
# c.GradeOutside.limits = {{}}
# c.GradeOutside.points = {{}}
# c.GradeOutside.policies = {{}}
# c.GradeOutside.packages = []
"""
# For a file that is there already, whatever it calls its `c`.
LINES = """\
from autograder.nbgrader import configure

configure(get_config())
"""
NAME = re.compile(r"\w(?:[\w. -]*\w)?")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What there is of a course and of an assignment in it.

    Attributes:
        root: the course's folder.
        assignment: as it is installed.
        source: where its master notebook is in the course, or will be.
        configured: whether there is a configuration; it may lack our lines.
        lacks_lines: whether it does.
    """

    root: pathlib.Path
    assignment: Assignment
    source: pathlib.Path
    configured: bool
    lacks_lines: bool


@dataclasses.dataclass(frozen=True)
class Begun:
    """What was made of it.

    Attributes:
        root: the course's folder.
        assignment: as it is called there.
        made: files and folders that are new, or have our lines now.
        kept: those that were there, and stay as they were.
        own: settings of nbgrader's in which the configuration has something else than ours.
    """

    root: pathlib.Path
    assignment: Assignment
    made: tuple[pathlib.Path, ...]
    kept: tuple[pathlib.Path, ...]
    own: tuple[str, ...]


def look(root: pathlib.Path, assignment: Assignment, name: str) -> Plan:
    """What there is in a folder, which need not be there.

    Args:
        name: what the course calls the assignment, or will: its folder and its notebook.

    Raises:
        ValueError: this is no name.
        FileExistsError: another assignment has that name.
        CourseError: the course's configuration, or what has that name, cannot be read.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an assignment: take letters, digits, spaces, “_”, “-” and “.”.")
    root = root.resolve()
    config = configuration.read(root)
    coursedir = configuration.CourseDirectory(root, config)
    source = pathlib.Path(coursedir.format_path(coursedir.source_directory, ".", name))
    found = recognition.find(coursedir, name)
    if found is None and (source.exists() or in_gradebook(coursedir, name)):
        raise FileExistsError(f"This course has another assignment called {name}: name this one otherwise with --as.")
    if found is not None and found.name != assignment.name:
        raise FileExistsError(f"{name} is {found.name} in this course: name {assignment.name} otherwise with --as.")
    notebook = found.notebook_id if found and source.exists() else name
    configured = (root / configuration.CONFIG).exists()
    return Plan(root, assignment, source / f"{notebook}.ipynb", configured, configured and not configuration.has_ours(config))


def begin(plan: Plan) -> Begun:
    """Makes what is missing; our lines come to the end of a configuration that lacks them.

    Raises:
        CourseError: the configuration does not take our lines, or the release gives something away.
    """
    root, path = plan.root, plan.root / configuration.CONFIG
    made: list[pathlib.Path] = []
    kept: list[pathlib.Path] = []
    if not root.exists():
        root.mkdir(parents=True, mode=0o700)  # solutions, and soon the students' work
    (kept if plan.configured and not plan.lacks_lines else made).append(path)
    if plan.lacks_lines:
        add_lines(path)
    elif not plan.configured:
        course_id = re.sub(r"[^\w-]+", "_", root.name) or "course"
        with path.open("x", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(course_id=course_id))
    (kept if plan.source.exists() else made).append(plan.source)
    if not plan.source.exists():
        copy_source(plan.assignment, plan.source)
    course = Course(root)
    gradebook = recognition.file_of(course.coursedir.db_url)
    registered = gradebook is None or gradebook.exists()
    assignment = course.find(plan.source.parent.name)
    released = course.release(assignment)
    (kept if released.exists() else made).append(released)
    if not released.exists():
        _, leaks = release.make(course, assignment)
        if leaks:
            released.unlink()
            raise CourseError("The release gives something away:\n" + "\n".join(leaks))
    if gradebook is not None:
        (kept if registered else made).append(gradebook)
    if not plan.configured:
        made.append(root / course.coursedir.submitted_directory)
        made[-1].mkdir(exist_ok=True)
    return Begun(root, assignment, tuple(made), tuple(kept), tuple(set_otherwise(configuration.read(root))))


def new_course(root: pathlib.Path, assignment: Assignment) -> Course:
    """A course with that assignment in an empty folder, before anything was released."""
    (root / configuration.CONFIG).write_text(CONFIGURATION.format(course_id="autograder"), encoding="utf-8")
    copy_source(assignment, root / "source" / assignment.name / f"{assignment.name}.ipynb")
    return Course(root)


def generated(assignment: Assignment) -> NotebookNode:
    """The student notebook, generated in a course of its own."""
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        path = new_course(pathlib.Path(folder), assignment).generate_assignment(assignment)
        return nbformat.read(path, as_version=4)


def in_gradebook(coursedir: configuration.CourseDirectory, name: str) -> bool:
    """Whether the gradebook has an assignment of that name, whosoever."""
    if not recognition.has_gradebook(coursedir.db_url):
        return False
    with quiet(), no_alembic(), Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
        try:
            gradebook.find_assignment(name)
        except MissingEntry:
            return False
    return True


def add_lines(path: pathlib.Path) -> None:
    """Puts `LINES` at the end of a configuration.

    Raises:
        CourseError: there they would not do what they say; the file is as it was then.
    """
    before = path.read_bytes()
    end = b"\r\n" if b"\r\n" in before else b"\n"
    path.write_bytes(before.rstrip() + end * 2 + LINES.encode().replace(b"\n", end))
    try:
        if configuration.has_ours(configuration.read(path.parent)):
            return
        said = ""
    except CourseError as error:
        said = f" ({error})"
    path.write_bytes(before)
    raise CourseError(f"{path} does not take our lines at its end{said}; put them into it by hand:\n{LINES}")


def copy_source(assignment: Assignment, to: pathlib.Path) -> None:
    """The master notebook, with what lies beside it for students."""
    beside = assignment.path.parent
    if not (beside / "__init__.py").exists():  # a package, with the hidden checks: nbgrader would hand them out
        ignored = shutil.ignore_patterns(".*", "__pycache__", assignment.path.name)
        shutil.copytree(beside, to.parent, ignore=ignored, copy_function=copy_what_is_missing, dirs_exist_ok=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(assignment.path, to)


def copy_what_is_missing(source: str, to: str) -> None:
    if not pathlib.Path(to).exists():
        shutil.copy2(source, to)


def set_otherwise(config: Config) -> list[str]:
    """Settings in which a course's configuration has something else than ours."""
    parts = (RELEASE, MARKING, FEEDBACK, EXPORT, PAGES)
    sections = [(name, key, value) for part in parts for name, set_ in part.items() for key, value in set_.items()]
    return [f"c.{name}.{key}" for name, key, value in sections if config[name].get(key) != value]
