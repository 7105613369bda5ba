"""A course folder and the nbgrader commands on it, through nbgrader's own API."""

import contextlib
import logging
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.utils import capture_log, temp_attrs
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from autograder.assignment import Assignment
from autograder.errors import AutograderError, CourseError, GradebookLocked, NotRecorded
from autograder.grading.results import Results
from autograder.grading.settings import Settings
from autograder.lms.entering import Filled
from autograder.nbgrader import autograde, configuration, generate_feedback, late, recognition, submitted
from autograder.nbgrader.deadlines import Deadlines
from autograder.nbgrader.export import ExportMarks, IntoSheet
from autograder.nbgrader.marks import Marks, Waiting
from autograder.nbgrader.submitted import HandedIn


class Course:
    """An nbgrader course.

    Args:
        root: the folder with `nbgrader_config.py`.
        execute: which cells are run when it marks, in place of what the configuration says.

    Attributes:
        settings: for marking, as `nbgrader autograde` reads them; `find` checks them for an assignment.
        results: what was marked in this course before.

    Raises:
        CourseError: it is no course, or its configuration is wrong.
    """

    def __init__(self, root: pathlib.Path, execute: str | None = None) -> None:
        self.root = root.resolve()
        config = configuration.of_course(self.root)
        config.CourseDirectory.root = str(self.root)
        if execute is not None:
            config.GradeOutside.execute = execute
        self.settings: Settings = configuration.settings(config)
        self.results: Results = configuration.results(self.root, config)
        with configuration.wrong_values():
            self.coursedir = CourseDirectory(config=config)
            self.api = NbGraderAPI(self.coursedir, config=config)
        self.coursedir.db_url = patient(self.coursedir.db_url)
        self.coursedir.log.setLevel(logging.ERROR)
        self._connection = OneConnection()

    def find(self, name: str | None, otherwise: str = "") -> Assignment:
        """As `recognition.in_course`, the course's settings checked for it.

        Raises:
            UnknownAssignment: there is none, or there are several.
            CourseError: it cannot be marked, or a setting does not fit it.
        """
        found = recognition.in_course(self.coursedir, name, otherwise)
        self.settings.check(found)
        return found

    def autograded(self, assignment: Assignment, student: str) -> pathlib.Path:
        """Path of the marked notebook of a student."""
        folder = self.coursedir.format_path(self.coursedir.autograded_directory, student, assignment.assignment_id)
        return pathlib.Path(folder) / f"{assignment.notebook_id}.ipynb"

    def release(self, assignment: Assignment) -> pathlib.Path:
        """Path of the student notebook."""
        folder = self.coursedir.format_path(self.coursedir.release_directory, ".", assignment.assignment_id)
        return pathlib.Path(folder) / f"{assignment.notebook_id}.ipynb"

    def generate_assignment(self, assignment: Assignment) -> pathlib.Path:
        """Runs `nbgrader generate_assignment`: writes the release, registers the assignment. → the release's path

        Raises:
            CourseError: there is no master notebook, or nbgrader did not do it.
        """
        folder = self.coursedir.format_path(self.coursedir.source_directory, ".", assignment.assignment_id)
        master = pathlib.Path(folder) / f"{assignment.notebook_id}.ipynb"
        if not master.exists():
            raise CourseError(f"{master} is not there, and the release is made from it; `autograder init` puts it there.")
        self._run("generate_assignment", assignment.assignment_id, force=True)
        return self.release(assignment)

    def autograde(self, assignment: Assignment, handed_in: HandedIn) -> None:
        """Runs `nbgrader autograde` for what one student handed in.

        Raises:
            NotRecorded: it did not work for this student.
        """
        with self._connection, temp_attrs(self.coursedir, assignment_id=assignment.assignment_id), quiet(), no_alembic():
            with configuration.wrong_values():
                converter = autograde.OneStudent(handed_in, coursedir=self.coursedir, parent=self.api)
            converter.force = True
            self._check(capture_log(converter), f"autograde {assignment.assignment_id}", NotRecorded)

    def feedback(self, assignment: Assignment, student: str) -> pathlib.Path:
        """Path of a student's feedback page."""
        folder = self.coursedir.format_path(self.coursedir.feedback_directory, student, assignment.assignment_id)
        return pathlib.Path(folder) / f"{assignment.notebook_id}.html"

    def generate_feedback(self, assignment: Assignment, *students: str) -> None:
        """Runs `nbgrader generate_feedback` for the students named."""
        with self._connection, temp_attrs(self.coursedir, assignment_id=assignment.assignment_id), quiet(), no_alembic():
            with configuration.wrong_values():
                converter = generate_feedback.Students(students, coursedir=self.coursedir, parent=self.api)
            converter.force = True
            self._check(capture_log(converter), f"generate_feedback {assignment.assignment_id}", CourseError)

    def settle(self, assignment: Assignment) -> list[late.Changed]:
        """As `late.settle`."""
        with grader_failures(), quiet(), no_alembic(), Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            return late.settle(gradebook, assignment.assignment_id, self.coursedir)

    def deadlines(self) -> Deadlines:
        """The course's `deadlines.toml`."""
        return Deadlines.read(self.root)

    def students(self, assignment: Assignment) -> dict[str, str]:
        """id → name, "" where it is not known, of all whom the gradebook knows, or who handed something in."""
        with grader_failures(), quiet(), no_alembic(), Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            known = {one.id: f"{one.first_name or ''} {one.last_name or ''}".strip() for one in gradebook.students}
        with contextlib.suppress(CourseError):  # nobody has handed anything in
            known = {one.student: "" for one in submitted.look(self.coursedir, assignment) if one.is_students} | known
        return known

    def marks(self, assignment: Assignment) -> dict[str, Marks]:
        """student → what the gradebook has of them."""
        with grader_failures(), quiet(), no_alembic(), Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            return late.marks_of(gradebook, self.coursedir, assignment.assignment_id, notebook=assignment.notebook_id)

    def waiting(self, assignment: Assignment) -> Waiting:
        """What waits for a person."""
        return Waiting.of(self.marks(assignment))

    def export(self, to: pathlib.Path, assignment_id: str | None = None) -> dict[str, Waiting]:
        """Runs `nbgrader export`, with our list of grades, whatever the course has. → assignment → what waits for a person

        Args:
            assignment_id: None for all.
        """
        own = [assignment_id] if assignment_id is not None else []
        with grader_failures(), quiet(), no_alembic(), Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            plugin = ExportMarks(parent=self.api, to=str(to), assignment=own)
            plugin.export(gradebook)
        return plugin.waiting

    def export_into(
        self, sheet: pathlib.Path, assignment: Assignment, to: pathlib.Path, column: str | None, id_column: str | None
    ) -> Filled:
        """Runs `nbgrader export`, with the sheet of a learning management system.

        Args:
            to: where the filled sheet is written.
            column, id_column: names in the sheet; None where they are found.
        """
        names = {"column": column or "", "id_column": id_column or "", "assignment": [assignment.assignment_id]}
        with grader_failures(), quiet(), no_alembic(), Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            plugin = IntoSheet(parent=self.api, sheet=str(sheet), to=str(to), **names)
            plugin.export(gradebook)
        return plugin.filled

    def _run(self, command: str, *args: str, **kwargs: Any) -> None:
        with quiet(), no_alembic(), configuration.wrong_values():
            result = getattr(self.api, command)(*args, **kwargs)
        self._check(result, f"{command} {' '.join(map(str, args))}", CourseError)

    def _check(self, result: dict[str, Any], command: str, otherwise: type[AutograderError]) -> None:
        """Raises what an nbgrader command failed with: CourseError where the course is the matter, or `otherwise`."""
        if result["success"]:
            return
        said = "\n".join(filter(None, (result.get("error"), result.get("log")))) or "nbgrader gave no reason"
        if failure := known_failure(said):
            raise failure
        if match := re.search(OURS, said, re.MULTILINE):
            raise CourseError(match[1])
        raise otherwise(f"nbgrader {command} failed:\n{said.strip()}")


OURS = r"^(?:\[ERROR\] |\s*)autograder\.errors\.\w+: (.+)"  # the last line of a traceback that nbgrader logged

# What databases and systems say, what it means, and what to do. From the beginning of a line: a file's name may say anything.
LOGGED = r"^(?:\[ERROR\] |\s*)"  # as nbgrader logs the end of a traceback
SQL = LOGGED + r"sqlalchemy\.exc\.\w+: \("
FAILURES = [
    (
        SQL + r"(?:sqlite3\.OperationalError\) database is locked|psycopg\.errors\.(?:LockNotAvailable|DeadlockDetected)\))",
        "Another program (formgrader, another run) is writing to the gradebook: wait until it has finished, or end it.",
    ),
    (
        SQL + r"(?:sqlite3\.OperationalError\) (?:no such|table \w+ has no)|psycopg\.errors\.Undefined(?:Column|Table)\))",
        "The gradebook was made by another version of nbgrader: keep a copy of it, then run `nbgrader db upgrade` here.",
    ),
    (
        SQL + r"sqlite3\.DatabaseError\) (?:file is not a database|database disk image is malformed)",
        "The gradebook is damaged: put back a copy of it, or move it away and run `autograder release`.",
    ),
    (
        SQL
        + r"sqlite3\.OperationalError\) database or disk is full|"
        + LOGGED
        + r"(?:builtins\.)?OSError: \[Errno (?:28|122)\]",
        "The disk is full: make room.",
    ),
    (
        SQL
        + r"sqlite3\.OperationalError\) (?:attempt to write|unable to open)|"
        + LOGGED
        + r"(?:builtins\.)?OSError: \[Errno 30\]",
        "The gradebook or its folder cannot be written: see to the rights of the course folder.",
    ),
    (
        LOGGED + r"sqlalchemy\.exc\.(?:OperationalError|InterfaceError|DatabaseError): \(",
        "The gradebook does not answer: see that its server runs, and that c.CourseDirectory.db_url is right.",
    ),
]
LAST = " Then give the same command again; it goes on where it stopped."


def known_failure(said: str) -> CourseError | None:
    """The grader's failure in what nbgrader, a database or the system said, with its repair; None when it is none of these."""
    for pattern, meaning in FAILURES:
        if match := re.search(pattern, said, re.MULTILINE):
            line = said[match.start() :].strip().splitlines()[0].removeprefix("[ERROR] ")
            kind = GradebookLocked if "locked" in match[0] else CourseError
            return kind(f"{meaning}{LAST} ({shortened(line)})")
    return None


def shortened(line: str, length: int = 160) -> str:
    return line if len(line) <= length else line[: length - 1] + "…"


@contextlib.contextmanager
def grader_failures() -> Iterator[None]:
    """Turns what a database or the system raises, outside of nbgrader's commands too, into a CourseError with its repair."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        failure = known_failure(f"{type(error).__module__}.{type(error).__name__}: {error}")
        if failure is None:
            raise
        raise failure from error


SECONDS = 60  # that SQLite waits for another program to finish what it writes


def patient(db_url: str) -> str:
    """The URL of a gradebook, which waits for others where it is SQLite."""
    return f"{db_url}?timeout={SECONDS}" if db_url.startswith("sqlite:///") and "?" not in db_url else db_url


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of nbgrader's own database code, which nobody here can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


class OneConnection:
    """`with connection:` nbgrader's gradebook stays connected when it is closed, and is looked over once.

    For each submission nbgrader opens the gradebook nine times. Each time it makes a new engine, which connects and compiles
    every statement anew, looks for every table, and looks for the course: together half of what recording takes.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[Any, ...], dict[str, Any]] = {}  # what it was opened with → what it consists of

    def __enter__(self) -> None:
        self._theirs = Gradebook.__init__, Gradebook.close

        def open_once(gradebook: Any, *args: Any, **kwargs: Any) -> None:
            with_what = (*args, *kwargs.items())
            if with_what not in self._opened:
                self._theirs[0](gradebook, *args, **kwargs)
                self._opened[with_what] = dict(vars(gradebook))
            vars(gradebook).update(self._opened[with_what])

        Gradebook.__init__, Gradebook.close = open_once, lambda gradebook: gradebook.db.remove()

    def __exit__(self, *exc: object) -> None:
        Gradebook.__init__, Gradebook.close = self._theirs


@contextlib.contextmanager
def no_alembic() -> Iterator[None]:
    """For the version of a new gradebook nbgrader starts the program `alembic`, which must be on PATH and imports nbgrader
    anew: 2 s. It is asked in this process."""
    theirs, api.get_alembic_version = api.get_alembic_version, gradebook_version
    try:
        yield
    finally:
        api.get_alembic_version = theirs


def gradebook_version() -> str:
    """The version of a new gradebook, which `alembic heads` prints."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(ALEMBIC_DIR).get_current_head())
