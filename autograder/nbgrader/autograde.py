"""`nbgrader autograde`: what it is made of where a course is configured for marking outside.

    SubmissionExporter    reads whatever was handed in, and repairs it
    KeepOutputs           keeps the student's figures, which stock nbgrader clears
    GradeOutside          runs the cells in the sandbox and judges outside it; writes score, sentences and, for the person who
                          marks, the marking schemes
    SaveGrades            as nbgrader's, and leaves what cannot be marked to a person
    CheckMetadata         checks only what was not repaired

For assignments that are not ours each of them does what its stock namesake does.
"""

import asyncio
import concurrent.futures
import copy
import dataclasses
import datetime
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, Execute, SaveAutoGrades

from autograder import assignment as assignments
from autograder.assignment import Assignment
from autograder.errors import CourseError, Ungradable
from autograder.grading import notebook as notebooks
from autograder.grading import results
from autograder.grading.notebook import Submission
from autograder.grading.results import Results
from autograder.grading.settings import Settings
from autograder.grading.verdict import Graded
from autograder.nbgrader import configuration, pages

Resources = dict[str, Any]
R = TypeVar("R")


def ours(resources: Resources) -> Assignment | None:
    """The assignment that a notebook belongs to, or None when it is none of ours."""
    about = resources.get("nbgrader", {})
    name = about.get("assignment")
    if name in assignments.names() and about.get("notebook") == name:
        return assignments.load(name)
    return None


@dataclasses.dataclass
class Found:
    """What the exporter found out about a submission, for the preprocessors: `resources["autograder"]`.

    Attributes:
        root: the course's folder.
        raw: the bytes that were handed in.
        settings: the course's.
        submission: what was read from them; None when there is nothing to mark.
        ungradable: why, else "".
    """

    root: pathlib.Path
    raw: bytes
    settings: Settings
    submission: Submission | None = None
    ungradable: str = ""


class SubmissionExporter(NotebookExporter):
    """Reads submissions that stock nbgrader would choke on.

    nbgrader converts each submission twice with the same exporter: first the submitted file, which is read and repaired, then
    the sanitized copy of it, which we have written. `Found` is made by the first reading and kept for the second.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.optimistic_validation = True  # once after all preprocessors, not after each
        self._found: dict[tuple[Any, ...], Found] = {}
        self._handed_in: dict[tuple[Any, ...], pathlib.Path] = {}
        self._settings: dict[str, Settings] = {}
        configured = getattr(getattr(self.parent, "coursedir", None), "assignment_id", "")
        if configured in assignments.names():
            self._stop_early(assignments.load(configured))

    def _stop_early(self, assignment: Assignment) -> None:
        """Says what is wrong with the settings once, in place of once for each student, and ends nbgrader."""
        try:
            listed = [getattr(part, "__name__", str(part)) for part in self.parent.autograde_preprocessors]
            if not any(name.endswith("GradeOutside") for name in listed):
                raise CourseError(
                    "c.Autograde.autograde_preprocessors lacks autograder.nbgrader.autograde.GradeOutside, and students' code "
                    "would run without a sandbox: start from MARKING in autograder/nbgrader/__init__.py."
                )
            self._settings[assignment.name] = configuration.settings(self.config, assignment)
        except CourseError as error:
            self.log.error("The grader failed; nobody was marked. %s", error)
            raise SystemExit(2) from error

    def from_filename(self, filename: str, resources: Resources | None = None, **kwargs: Any) -> tuple[str, Resources]:
        path, resources = pathlib.Path(filename), resources or {}
        about = resources.get("nbgrader", {})
        which = about.get("student"), about.get("assignment"), about.get("notebook")
        first = path.parent == self._handed_in.setdefault(which, path.parent)
        if not first:  # the copy, which formgrader serves
            pages.remove_active(path.parent)
        assignment = ours(resources)
        if assignment is None:
            converted: tuple[str, Resources] = super().from_filename(filename, resources=resources, **kwargs)
            return converted
        nb = self._read(path, which, assignment) if first else written_by_us(path)
        modified = datetime.datetime.fromtimestamp(path.stat().st_mtime)
        metadata = {"name": path.stem, "path": str(path.parent), "modified_date": f"{modified:%B %-d, %Y}"}
        resources = {**resources, "autograder": self._found[which], "metadata": metadata}
        converted = self.from_notebook_node(Unshared(nb), resources, **kwargs)
        return converted

    def _read(self, path: pathlib.Path, which: tuple[Any, ...], assignment: Assignment) -> NotebookNode:
        if assignment.name not in self._settings:
            self._settings[assignment.name] = configuration.settings(self.config, assignment)
        found = Found(pathlib.Path(self.parent.coursedir.root), path.read_bytes(), self._settings[assignment.name])
        self._found[which] = found
        try:
            found.submission = Submission.read(found.raw, assignment.master)
        except Ungradable as error:
            found.ungradable = str(error)
            return placeholder(assignment, str(error))
        return copy.deepcopy(found.submission.nb)  # what nbgrader makes of it is not what is marked


def written_by_us(path: pathlib.Path) -> NotebookNode:
    """The notebook in a file that needs no repair; nbformat.read would validate it."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


class Unshared(NotebookNode):
    """A notebook that nobody else holds; nbconvert and nbformat copy one four times on its way to a file."""

    def __deepcopy__(self, memo: object) -> "Unshared":
        return self


def placeholder(assignment: Assignment, message: str) -> NotebookNode:
    """The notebook that stands for a file nobody can read, so that a person finds it in formgrader."""
    empty = notebooks.read(b'{"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}')
    empty.cells = [notebooks.blank(cell) for cell in assignment.master.cells if notebooks.grade_id_of(cell)]
    notebooks.repair(empty, assignment.master)
    empty.cells.insert(0, new_markdown_cell(f"**This submission could not be marked.** {message}"))
    return empty


class KeepOutputs(ClearOutput):
    """Keeps the outputs that were handed in: cells that are run get new ones, the others show the student's figures."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        if ours(resources):
            return nb, resources
        done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
        return done


class GradeOutside(configuration.Traits, Execute):
    """Marks the notebook: the student's code in a sandbox, the verdict here."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        assignment = ours(resources)
        if assignment is None:
            done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
            return done
        found: Found = resources["autograder"]
        key, graded = self._graded(assignment, found)
        nb.metadata["autograder"] = {"result": key}
        if graded.outputs is None:
            found.ungradable = graded.verdict.message
            fail_closed(nb, assignment, graded.verdict.message)
            return nb, resources
        show(nb, assignment, graded.outputs)
        add_marking_schemes(nb, assignment)
        return nb, resources

    def _graded(self, assignment: Assignment, found: Found) -> tuple[str, Graded]:
        """(name of the result, the result), from those that are kept where it is there."""
        store, key = Results(found.root / self.results), results.key(found.raw, assignment, found.settings)
        packed = store.get(key)
        if packed is None:
            from autograder.grading.submission import grade  # torch takes a second, and what is kept needs none

            graded = outside_of_any_loop(grade, found.submission or found.raw, assignment, found.settings)
            packed = results.pack(graded)
            store.put(key, packed)
        return key, results.unpack(packed)


def outside_of_any_loop(function: Callable[..., R], *args: Any) -> R:
    """`function(*args)`, in a thread of its own when this one runs an event loop, as formgrader's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def show(nb: NotebookNode, assignment: Assignment, outputs: Any) -> None:
    """Gives each code cell its outputs. Without its own, a test cell would show what the student made of it."""
    shown = []
    for cell in nb.cells:
        if cell.id in outputs and cell.cell_type == "code":
            cell.outputs = outputs[cell.id]
            shown.append(notebooks.grade_id_of(cell))
    for grade_id in assignment.test_cells:
        if shown.count(grade_id) != 1:
            raise CourseError(f"The notebook changed between marking and recording, at the cell `{grade_id}`.")


def fail_closed(nb: NotebookNode, assignment: Assignment, message: str) -> None:
    """An error output in each test cell: to nbgrader, a test cell without outputs has earned full marks."""
    for cell in nb.cells:
        if notebooks.grade_id_of(cell) in assignment.test_cells:
            cell.outputs = [new_output("error", ename="Ungradable", evalue=message, traceback=[message])]


def add_marking_schemes(nb: NotebookNode, assignment: Assignment) -> None:
    """Puts model answer and marking scheme, from the master, above each written answer."""
    solutions = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in assignment.master.cells
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in [cell for cell in nb.cells if notebooks.grade_id_of(cell) in solutions]:
        if cell.cell_type != "markdown":
            continue
        lines = solutions[cell.metadata.nbgrader.grade_id].split("\n")
        text = "\n".join(line for line in lines if "BEGIN SOLUTION" not in line and "END SOLUTION" not in line)
        scheme = new_markdown_cell(f"*For the person who marks; not shown to students.*\n\n{text.strip()}")
        scheme.metadata["autograder"] = {"marking_scheme": True}
        nb.cells.insert(nb.cells.index(cell), scheme)


class SaveGrades(SaveAutoGrades):
    """nbgrader's, but a submission that could not be marked waits for a person instead of being scored."""

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, cell_index: int) -> tuple[NotebookNode, Resources]:
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        data, found = cell.metadata.get("nbgrader", {}), resources.get("autograder")
        if data.get("grade") and isinstance(found, Found) and found.ungradable:
            grade = self.gradebook.find_grade(data["grade_id"], self.notebook_id, self.assignment_id, self.student_id)
            grade.auto_score, grade.needs_manual_grade = None, True
            self.gradebook.db.commit()
        return cell, resources


class CheckMetadata(CheckCellMetadata):
    """Not needed for notebooks that have been repaired: their metadata is the master's."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        if ours(resources):
            return nb, resources
        done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
        return done
