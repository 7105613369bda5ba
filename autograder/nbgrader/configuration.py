"""The one place that reads a course's `nbgrader_config.py` and checks what it sets for marking, before anything starts."""

import contextlib
import dataclasses
import difflib
import math
import os
import pathlib
import traceback
from collections.abc import Iterator
from typing import Any

from traitlets import Dict, List, TraitError, Unicode
from traitlets.config import Config, Configurable, PyFileConfigLoader

from autograder.assignment import Assignment
from autograder.errors import CourseError, SettingError
from autograder.grading.results import Results
from autograder.grading.settings import Execute, Settings, known
from autograder.nbgrader import RELEASE
from autograder.sandbox.outside.limits import Limits

CONFIG = "nbgrader_config.py"


class Traits(Configurable):
    """What `c.GradeOutside` may set: read here for the command line, and by nbgrader for its preprocessor."""

    sandbox = Unicode("bubblewrap", help="Which sandbox runs the students' code; see `autograder doctor`.").tag(config=True)
    limits = Dict(help="Limits on one submission; see `autograder/sandbox/outside/limits.py`.").tag(config=True)
    device = Unicode("auto", help="Where device mistakes are looked for: auto, cpu or cuda.").tag(config=True)
    execute = Unicode(str(Execute.NEEDED), help="Which cells are run: those that the marks need, or all.").tag(config=True)
    points = Dict(help="Points of single criteria, {'cell.criterion': 1.5}; the sums must stay.").tag(config=True)
    policies = Dict(help="What is accepted of what may be argued about, {'policy': True}.").tag(config=True)
    packages = List(Unicode(), help="Packages beyond the lesson's that students may import, as they import them.").tag(
        config=True
    )
    results = Unicode(
        ".autograder/results", help="Folder, in the course's, for what was marked; unchanged, it is not marked again."
    ).tag(config=True)


class GradeOutside(Traits):
    """`c.GradeOutside` without nbgrader, which takes a second to import."""


class CourseDirectory(Configurable):
    """`c.CourseDirectory` as far as assignments are found by it, without nbgrader."""

    course_id = Unicode("").tag(config=True)
    directory_structure = Unicode("{nbgrader_step}/{student_id}/{assignment_id}").tag(config=True)
    source_directory = Unicode("source").tag(config=True)
    release_directory = Unicode("release").tag(config=True)
    submitted_directory = Unicode("submitted").tag(config=True)
    root = Unicode("").tag(config=True)
    db_url = Unicode("").tag(config=True)

    def __init__(self, folder: pathlib.Path, config: Config) -> None:
        own = {name: value for name, value in config.CourseDirectory.items() if self.has_trait(name)}
        with wrong_values():
            super().__init__(config=Config({"CourseDirectory": own}))
        self.root = self.root or str(folder.resolve())
        self.db_url = self.db_url or f"sqlite:///{self.root}/gradebook.db"

    def format_path(self, nbgrader_step: str, student_id: str, assignment_id: str) -> str:
        """The path of a student's folder (of all: ".") in one of nbgrader's steps."""
        names = {"nbgrader_step": nbgrader_step, "student_id": student_id, "assignment_id": assignment_id}
        return str(pathlib.Path(self.root, self.directory_structure.format(**names)))


def read(folder: pathlib.Path) -> Config:
    """The configuration of the course in a folder; empty where there is no file.

    Raises:
        SettingError: the file cannot be run; it says where.
    """
    path = folder.resolve() / CONFIG  # as traceback names it
    if not os.path.lexists(path):
        return Config()
    try:
        return PyFileConfigLoader(CONFIG, path=str(path.parent)).load_config()
    except (Exception, SystemExit) as error:  # whatever an instructor's file may raise
        if isinstance(error, SyntaxError) and pathlib.Path(str(error.filename)).is_file():  # or one that it has read
            where = f"{error.filename}, line {error.lineno}"
            raise SettingError(f"{where}: {error.msg}: `{(error.text or '').strip()}`") from error
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {own[-1].lineno}" if own else ""
        raise SettingError(f"{path}{where}: {type(error).__name__}: {error}") from error


def of_course(folder: pathlib.Path) -> Config:
    """As `read`, of a folder that must be a course's; CourseError where it is none."""
    if not (folder / CONFIG).exists():
        raise CourseError(
            f"{folder.resolve()} holds no {CONFIG}, so it is no course folder; go to one or name it with --course."
        )
    return read(folder)


def has_ours(config: Config) -> bool:
    """Whether a configuration has ours in it, though it may set parts of it itself."""
    return bool(config.GenerateAssignment.get("exporter_class") == RELEASE["GenerateAssignment"]["exporter_class"])


def settings(config: Config, assignment: Assignment | None = None, **instead: Any) -> Settings:
    """The Settings in a configuration, checked: all that `c.GradeOutside` sets exists, and fits the assignment.

    Args:
        assignment: None where none of ours is marked.
        instead: settings to use in place of the configured ones, where they are not None.

    Raises:
        SettingError: a name that does not exist (it names those that do), or a value that cannot be.
    """
    marking = checked(config)
    found = Settings(
        marking.sandbox,
        limits(marking.limits),
        dict(marking.points),
        dict(marking.policies),
        marking.device,
        marking.execute,
        tuple(marking.packages),
    )
    found = dataclasses.replace(found, **{name: value for name, value in instead.items() if value is not None})
    if assignment is not None:
        found.check(assignment)
    return found


def checked(config: Config) -> Traits:
    """`c.GradeOutside`, all that it sets checked: SettingError where a name does not exist, or a value has a wrong type."""
    for name in difflib.get_close_matches(GradeOutside.__name__, config, cutoff=0.85):
        if name != GradeOutside.__name__:
            raise SettingError(f"{CONFIG} sets c.{name}, which nothing reads: c.GradeOutside is meant.")
    own = Traits.class_trait_names(config=True)
    class_: type[Traits] = GradeOutside
    if not set(config.GradeOutside) <= set(own):
        from autograder.nbgrader import autograde  # what it inherits from nbgrader's, for the assignments that are not ours

        class_ = autograde.GradeOutside
    for name in config.GradeOutside:
        if name not in class_.class_trait_names(config=True):
            ours = ", ".join(sorted(own))
            raise SettingError(f"{CONFIG} sets c.GradeOutside.{name}, which does not exist. Known: {ours}.")
    with wrong_values():
        return class_(config=config)


@contextlib.contextmanager
def wrong_values() -> Iterator[None]:
    """Turns what nbgrader's classes say of a configured value that cannot be theirs into a SettingError."""
    try:
        yield
    except TraitError as error:
        raise SettingError(f"{CONFIG}: {error}") from error


def results(root: pathlib.Path, config: Config) -> Results:
    """What was marked before in the course in a folder."""
    return Results(root / checked(config).results)


def limits(set_: dict[str, Any]) -> Limits:
    """The Limits with those of `c.GradeOutside.limits`."""
    fields = {field.name: field for field in dataclasses.fields(Limits)}
    known(set_, fields, "limits")
    for name, value in set_.items():
        whole = "int" in str(fields[name].type)
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and 0 < value < math.inf
        if not (number or (value is None and "None" in str(fields[name].type))):
            kind = "whole number" if whole else "number"
            raise SettingError(f"c.GradeOutside.limits[{name!r}] is {value!r}; it must be a {kind} above 0.")
    return Limits(**set_)
