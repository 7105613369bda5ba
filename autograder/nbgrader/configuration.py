"""The one place that reads a course's `nbgrader_config.py` and checks what it sets for marking, before anything starts."""

import dataclasses
import pathlib
import traceback
from typing import Any

from traitlets import TraitError
from traitlets.config import Config, PyFileConfigLoader

from autograder.assignment import Assignment
from autograder.errors import CourseError
from autograder.grading.settings import Settings, known
from autograder.sandbox.outside.limits import Limits

CONFIG = "nbgrader_config.py"


def read(folder: pathlib.Path) -> Config:
    """The configuration of the course in a folder; empty where there is no file.

    Raises:
        CourseError: the file cannot be run; it says where.
    """
    path = folder / CONFIG
    if not path.exists():
        return Config()
    try:
        return PyFileConfigLoader(CONFIG, path=str(folder)).load_config()
    except SyntaxError as error:
        raise CourseError(f"{error.filename}, line {error.lineno}: {error.msg}: `{(error.text or '').strip()}`") from error
    except Exception as error:  # whatever an instructor's file may raise
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {own[-1].lineno}" if own else ""
        raise CourseError(f"{path}{where}: {type(error).__name__}: {error}") from error


def settings(config: Config, assignment: Assignment | None = None, **instead: Any) -> Settings:
    """The Settings in a configuration, checked: all that `c.GradeOutside` sets exists, and fits the assignment.

    Args:
        assignment: None where none of ours is marked.
        instead: settings to use in place of the configured ones, where they are not None.

    Raises:
        CourseError: a name that does not exist (it names those that do), or a value that cannot be.
    """
    from autograder.nbgrader.autograde import GradeOutside  # nbgrader takes a second to import

    for name in config.GradeOutside:
        if name not in GradeOutside.class_trait_names(config=True):
            own = ", ".join(sorted(GradeOutside.class_own_traits(config=True)))
            raise CourseError(f"{CONFIG} sets c.GradeOutside.{name}, which does not exist. Known: {own}.")
    try:
        marking = GradeOutside(config=config)
    except TraitError as error:
        raise CourseError(f"{CONFIG}, c.GradeOutside: {error}") from error
    found = Settings(
        marking.sandbox, limits(marking.limits), dict(marking.points), dict(marking.policies), marking.device, marking.execute
    )
    found = dataclasses.replace(found, **{name: value for name, value in instead.items() if value is not None})
    if assignment is not None:
        found.check(assignment)
    return found


def limits(set_: dict[str, Any]) -> Limits:
    """The Limits with those of `c.GradeOutside.limits`."""
    known(set_, [field.name for field in dataclasses.fields(Limits)], "limits")
    for name, value in set_.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None) or (value is not None and value <= 0):
            raise CourseError(f"c.GradeOutside.limits[{name!r}] is {value!r}; it must be a number above 0, or None for none.")
    return Limits(**set_)
