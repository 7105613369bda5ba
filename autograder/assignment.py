"""What the rest of the package knows of an assignment, and how one is found.

An assignment is a Python package, this one's or another's, with an `Assignment`, which the package names as an entry point of
the group `autograder.assignments`. Nothing else names one. `docs/new-assignment.md` makes one step by step.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import nbformat

from autograder.errors import CourseError, UnknownAssignment

GROUP = "autograder.assignments"
PACKAGE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Policy:
    """Something arguable, which a course may settle for itself.

    Attributes:
        name: key in `c.GradeOutside.policies`.
        default: whether it is accepted.
        question: what may be done, and what speaks for and against it.
        otherwise: what it costs where it is not accepted.
    """

    name: str
    default: bool
    question: str
    otherwise: str


@dataclasses.dataclass(frozen=True)
class Assignment:
    """One assignment.

    Attributes:
        name: the entry point's; a course may call it otherwise, see `nbgrader/recognition.py`.
        title: for people.
        package: the Python package that it lives in, `__name__` there. Its parts:
            `operations.py`, all that reaches the worker: how the student's functions are called
            `checks/<grade_id>.py`, the hidden checks of a test cell
            `student.py`, with `Student`, the checks' fixture
            `samples.py`, with `ANSWERS`, a right answer to each task, and `students`, the sample class
            `catalogue.yaml`, right and wrong answers
            `variants.py`, at will, with `variants`: right answers for `selftest --recombined`
            `slips.py` and `truth.py`, at will, with `slips` and `broken`: wrong answers for `selftest --slips`, and the
            criteria that each breaks
            `giveaways.py`, at will, with `giveaways`: what code does that is a student's task
            `remarks.py`, at will, with `REMARKS`: misconception → what to say in class about it
        path: of the master notebook, with solutions and hidden regions.
        functions: operation → the function in the student's words.
        defines: what the notebook has to define: functions and classes.
        like: the input that sentences about devices name: new tensors belong beside it.
        policies: what may be argued about.
        rules: what holds of how it is marked beside what holds of any, a sentence each, for the rubric.
        edited: the master notebook as a course has it, as JSON; None: the one at `path`.
        assignment_id: what a course calls it, which is nbgrader's name for its folder; `name` by default.
        notebook_id: what a course calls its notebook; `name` by default.
    """

    name: str
    title: str
    package: str
    path: pathlib.Path
    functions: Mapping[str, str]
    defines: tuple[str, ...]
    like: str
    policies: tuple[Policy, ...] = ()
    rules: tuple[str, ...] = ()
    edited: str | None = None
    assignment_id: str = ""
    notebook_id: str = ""

    def __post_init__(self) -> None:
        for field in ("assignment_id", "notebook_id"):
            object.__setattr__(self, field, getattr(self, field) or self.name)

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """Of the package."""
        (folder,) = importlib.import_module(self.package).__path__
        return pathlib.Path(folder)

    @property
    def operations(self) -> pathlib.Path:
        return self.folder / "operations.py"

    @property
    def student(self) -> Callable[..., Any]:
        """The checks' fixture, a class derived from `grading.pytorch.Student`, which says what it is made with."""
        found: Callable[..., Any] = self._part("student").Student
        return found

    @property
    def samples(self) -> ModuleType:
        """The module with right answers and the sample class."""
        return self._part("samples")

    @property
    def variants(self) -> ModuleType:
        """The module that makes right answers by recombination; CourseError where there is none."""
        return self._part_at_will("variants", "to recombine right answers with")

    @property
    def slips(self) -> ModuleType:
        """The module that makes wrong answers by typical slips; CourseError where there is none."""
        return self._part_at_will("slips", "to make wrong answers with")

    @property
    def truth(self) -> ModuleType:
        """The module that says which criteria an answer breaks; CourseError where there is none."""
        return self._part_at_will("truth", "to say which criteria an answer breaks")

    def giveaways(self, source: str) -> Sequence[str]:
        """What a code cell computes that is a student's task, in words; empty for a release."""
        if importlib.util.find_spec(f"{self.package}.giveaways") is None:
            return ()
        found: Sequence[str] = self._part("giveaways").giveaways(source)
        return found

    @property
    def remarks(self) -> Mapping[str, str]:
        """Name of a misconception → what to say in class about it, in a few sentences; there need be none."""
        if importlib.util.find_spec(f"{self.package}.remarks") is None:
            return {}
        found: Mapping[str, str] = self._part("remarks").REMARKS
        return found

    def _part_at_will(self, name: str, purpose: str) -> ModuleType:
        try:
            return self._part(name)
        except ModuleNotFoundError as error:
            raise CourseError(f"{self.name} has no {name}.py {purpose}.") from error

    def _part(self, name: str) -> ModuleType:
        """A module of the assignment's that is imported only for marking: torch takes a second."""
        return importlib.import_module(f"{self.package}.{name}")

    def checks(self, cells: Sequence[str] | None = None) -> list[pathlib.Path]:
        """The files of the hidden checks, in the order of the test cells (all, or those named)."""
        return [self.folder / "checks" / f"{cell}.py" for cell in (cells or self.test_cells)]

    @functools.cached_property
    def master(self) -> nbformat.NotebookNode:
        """The master notebook; CourseError when it is not there."""
        if self.edited is not None:
            return nbformat.reads(self.edited, as_version=4)
        try:
            return nbformat.read(self.path, as_version=4)
        except FileNotFoundError as error:
            raise CourseError(f"The master notebook of {self.name} is not at {self.path}; reinstall its package.") from error

    @functools.cached_property
    def test_cells(self) -> list[str]:
        """grade_ids of the automatically graded cells, in order."""
        return [id for id, data in self.graded_cells.items() if data["grade"] and not data["solution"]]

    @functools.cached_property
    def graded_cells(self) -> dict[str, Any]:
        """grade_id → nbgrader metadata of every nbgrader cell of the master, in order."""
        found = (cell.metadata.get("nbgrader") for cell in self.master.cells)
        return {data["grade_id"]: data for data in found if data}


def course_file(*parts: str) -> pathlib.Path:
    """A file of our course: in the checkout, or among the data of the installed package."""
    installed = PACKAGE.joinpath("_course", *parts)
    return installed if installed.exists() else PACKAGE.parent.joinpath(*parts)


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all assignments that are installed."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)}))


@functools.cache
def default() -> str:
    """The name that is meant where nobody names one: the first assignment that comes with this package."""
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.module.startswith(f"{__package__}."):
            return entry.name
    raise UnknownAssignment(f"This package has registered no assignment: reinstall it. Known: {', '.join(names())}.")


@functools.cache
def load(name: str) -> Assignment:
    """The assignment of that name.

    Raises:
        UnknownAssignment: there is none.
        CourseError: its package is broken.
    """
    found = [entry for entry in importlib.metadata.entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise UnknownAssignment(f"There is no assignment {name!r}. Known: {', '.join(names())}.")
    try:
        assignment = found[0].load()
    except Exception as error:  # whatever another package may raise
        raise CourseError(f"The assignment {name} cannot be imported from {found[0].value}: {error!r}") from error
    if not isinstance(assignment, Assignment) or assignment.name != name:
        raise CourseError(f"The entry point {name} of {GROUP} leads to {found[0].value}, which is no Assignment of that name.")
    return assignment


@functools.lru_cache(8)
def as_edited(name: str, edited: str | None) -> Assignment:
    """The assignment of that name with the master notebook as a course has it (JSON), or with its own."""
    return load(name) if edited is None else dataclasses.replace(load(name), edited=edited)
