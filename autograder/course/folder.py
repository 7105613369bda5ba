"""A course folder and the nbgrader commands on it, through nbgrader's own API."""

import contextlib
import functools
import logging
import os
import pathlib
import re
import sys
import warnings

import nbgrader.api
import sqlalchemy
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import PyFileConfigLoader

from autograder.errors import CourseError
from autograder.nbgrader_plugin import GradeOutside


class Course:
    """An nbgrader course.

    Args:
        root: the folder with `nbgrader_config.py`.
        execute: which cells are run when it marks, in place of what the configuration says.
    """

    def __init__(self, root, execute=None):
        self.root = pathlib.Path(root).resolve()
        if not (self.root / "nbgrader_config.py").exists():
            raise CourseError(
                f"{self.root} holds no nbgrader_config.py, so it is no course folder; go to one or name it with --course."
            )
        config = PyFileConfigLoader("nbgrader_config.py", path=str(self.root)).load_config()
        config.CourseDirectory.root = str(self.root)
        if execute is not None:
            config.GradeOutside.execute = execute
        self.coursedir = CourseDirectory(config=config)
        self.coursedir.log.setLevel(logging.ERROR)
        self.api = NbGraderAPI(self.coursedir, config=config)
        self._marking, self._engine = GradeOutside(config=config), OneEngine()

    def settings(self):
        """`Settings` for marking, as `nbgrader autograde` reads them."""
        return self._marking.settings()

    def results(self):
        """The `Results` that are kept in this course."""
        return self._marking.kept(self.root)

    def autograded(self, name, student):
        """Path of the marked notebook of a student."""
        return pathlib.Path(self.coursedir.format_path(self.coursedir.autograded_directory, student, name)) / f"{name}.ipynb"

    def generate_assignment(self, name):
        """Runs `nbgrader generate_assignment`: writes the release, registers the assignment. → the release's path"""
        self._run("generate_assignment", name, force=True)
        return pathlib.Path(self.coursedir.format_path(self.coursedir.release_directory, ".", name)) / f"{name}.ipynb"

    def autograde(self, name, student):
        """Runs `nbgrader autograde` for one student."""
        with self._engine:
            self._run("autograde", name, student, force=True)

    def generate_feedback(self, name, student):
        """Runs `nbgrader generate_feedback` for one student. → the page's path"""
        self._run("generate_feedback", name, student_id=student, force=True)
        return pathlib.Path(self.coursedir.format_path(self.coursedir.feedback_directory, student, name)) / f"{name}.html"

    def _run(self, command, *args, **kwargs):
        with quiet(), on_path():
            result = getattr(self.api, command)(*args, **kwargs)
        if not result["success"]:
            said = "\n".join(filter(None, (result.get("error"), result.get("log")))) or "nbgrader gave no reason"
            ours = re.search(r"autograder\.errors\.\w+: (.+)", said)  # the last line of a traceback that nbgrader logged
            raise CourseError(ours[1] if ours else f"nbgrader {command} {' '.join(map(str, args))} failed:\n{said.strip()}")


@contextlib.contextmanager
def quiet():
    """Without the warnings of nbgrader's own database code, which nobody here can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


class OneEngine:
    """`with engine:` nbgrader's database code uses one engine, and looks once whether all tables are there.

    For each submission it opens the gradebook nine times, each time with a new engine, which compiles every statement anew, and
    looks for every table: together half of what recording takes. Closing the gradebook closes this one's connections, too.
    """

    def __init__(self):
        self._replaced = (
            (nbgrader.api, "create_engine", functools.cache(sqlalchemy.create_engine)),
            (nbgrader.api.Base.metadata, "create_all", functools.cache(nbgrader.api.Base.metadata.create_all)),
        )

    def __enter__(self):
        self._before = [(module, name, getattr(module, name)) for module, name, _ in self._replaced]
        for module, name, ours in self._replaced:
            setattr(module, name, ours)

    def __exit__(self, *exc):
        for module, name, theirs in self._before:
            setattr(module, name, theirs)


@contextlib.contextmanager
def on_path():
    """nbgrader makes a new gradebook by running `alembic`, which must be on PATH even when the environment is not active."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
