"""A course folder and the nbgrader commands on it, through nbgrader's own API."""

import contextlib
import logging
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning

from autograder.assignment import Assignment
from autograder.errors import CourseError
from autograder.grading.results import Results
from autograder.grading.settings import Settings
from autograder.nbgrader import configuration


class Course:
    """An nbgrader course.

    Args:
        root: the folder with `nbgrader_config.py`.
        assignment: which of its assignments this is about; its settings are checked.
        execute: which cells are run when it marks, in place of what the configuration says.

    Attributes:
        settings: for marking, as `nbgrader autograde` reads them.
        results: what was marked in this course before.

    Raises:
        CourseError: it is no course, or its configuration is wrong.
    """

    def __init__(self, root: pathlib.Path, assignment: Assignment | None = None, execute: str | None = None) -> None:
        self.root = root.resolve()
        if not (self.root / configuration.CONFIG).exists():
            raise CourseError(
                f"{self.root} holds no nbgrader_config.py, so it is no course folder; go to one or name it with --course."
            )
        config = configuration.read(self.root)
        config.CourseDirectory.root = str(self.root)
        if execute is not None:
            config.GradeOutside.execute = execute
        self.settings: Settings = configuration.settings(config, assignment)
        self.results: Results = configuration.results(self.root, config)
        self.coursedir = CourseDirectory(config=config)
        self.coursedir.log.setLevel(logging.ERROR)
        self.api = NbGraderAPI(self.coursedir, config=config)
        self._connection = OneConnection()

    def autograded(self, name: str, student: str) -> pathlib.Path:
        """Path of the marked notebook of a student."""
        return pathlib.Path(self.coursedir.format_path(self.coursedir.autograded_directory, student, name)) / f"{name}.ipynb"

    def generate_assignment(self, name: str) -> pathlib.Path:
        """Runs `nbgrader generate_assignment`: writes the release, registers the assignment. → the release's path"""
        self._run("generate_assignment", name, force=True)
        return pathlib.Path(self.coursedir.format_path(self.coursedir.release_directory, ".", name)) / f"{name}.ipynb"

    def autograde(self, name: str, student: str) -> None:
        """Runs `nbgrader autograde` for one student."""
        with self._connection:
            self._run("autograde", name, student, force=True)

    def generate_feedback(self, name: str, student: str) -> pathlib.Path:
        """Runs `nbgrader generate_feedback` for one student. → the page's path"""
        self._run("generate_feedback", name, student_id=student, force=True)
        return pathlib.Path(self.coursedir.format_path(self.coursedir.feedback_directory, student, name)) / f"{name}.html"

    def _run(self, command: str, *args: str, **kwargs: Any) -> None:
        with quiet(), on_path():
            result = getattr(self.api, command)(*args, **kwargs)
        if not result["success"]:
            said = "\n".join(filter(None, (result.get("error"), result.get("log")))) or "nbgrader gave no reason"
            ours = re.search(r"autograder\.errors\.\w+: (.+)", said)  # the last line of a traceback that nbgrader logged
            raise CourseError(ours[1] if ours else f"nbgrader {command} {' '.join(map(str, args))} failed:\n{said.strip()}")


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
def on_path() -> Iterator[None]:
    """nbgrader makes a new gradebook by running `alembic`, which must be on PATH even when the environment is not active."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
