"""What the rest of the package knows of an assignment, and how to find one.

An assignment is a folder in `source/` and a subpackage of the same name with an attribute `assignment`. Nothing else in the
package names one.
"""

import dataclasses
import functools
import importlib
import pathlib
import pkgutil
from collections.abc import Callable, Mapping

import nbformat

import autograder
from autograder.errors import CourseError

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
        name: folder in `source/` and name of its notebook.
        title: for people.
        folder: the assignment's subpackage: `calls.py` runs in the worker, `checks/test_<grade_id>.py` are the hidden
            checks of a test cell.
        functions: operation of a call → the function in the student's words.
        policies: what may be argued about.
        giveaways: source of a code cell → what it computes that is a student's task, in words; empty for a release.
    """

    name: str
    title: str
    folder: pathlib.Path
    functions: Mapping[str, str]
    policies: tuple[Policy, ...]
    giveaways: Callable

    @property
    def calls(self):
        return self.folder / "calls.py"

    @property
    def student(self):
        """`student(call, cuda, policies)` → the checks' fixture. `call(header, tensors)` reaches the submission.

        The fixture has sentences about the submission as a whole in `notes`, and a `rubric.Record` in `record`, which is
        replaced before each check.
        """
        return self._part("student").Student

    @property
    def words(self):
        """`words(call, source)` → (a `rubric.Call`, what came back), both in words."""
        return self._part("words").words

    def _part(self, name):
        """A module of the assignment's that is imported only for marking: torch takes a second."""
        return importlib.import_module(f"autograder.{self.name}.{name}")

    @property
    def samples(self):
        """The module with right answers (`ANSWERS`) and the sample class (`students`)."""
        return self._part("samples")

    def checks(self, cells=None):
        """The files of the hidden checks, in the order of the test cells (all, or those named)."""
        return [self.folder / "checks" / f"test_{cell}.py" for cell in (cells or self.test_cells)]

    @functools.cached_property
    def master(self):
        """The master notebook, with solutions and hidden regions."""
        return nbformat.read(course_file("source", self.name, f"{self.name}.ipynb"), as_version=4)

    @functools.cached_property
    def test_cells(self):
        """grade_ids of the automatically graded cells, in order."""
        return [id for id, data in self.graded_cells.items() if data["grade"] and not data["solution"]]

    @functools.cached_property
    def graded_cells(self):
        """grade_id → nbgrader metadata of every nbgrader cell of the master, in order."""
        found = (cell.metadata.get("nbgrader") for cell in self.master.cells)
        return {data["grade_id"]: data for data in found if data}


def course_file(*parts):
    """A file of the course: in the checkout, or among the data of the installed package."""
    for root in (PACKAGE / "_course", PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise CourseError(f"{pathlib.Path(*parts)} is neither in the package nor beside it; reinstall the package.")


@functools.cache
def load(name):
    """The assignment of that name; CourseError names those that exist."""
    if name not in names():
        raise CourseError(f"There is no assignment {name!r}. Known: {', '.join(names())}.")
    return importlib.import_module(f"autograder.{name}").assignment


@functools.cache
def names():
    """The names of all assignments."""
    return tuple(
        module.name
        for module in pkgutil.iter_modules(autograder.__path__)
        if module.ispkg and (PACKAGE / module.name / "calls.py").exists()
    )
