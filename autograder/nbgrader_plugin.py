"""What puts our grading behind nbgrader's own commands, through the lists that nbgrader lets a course configure.

    nbgrader autograde          SubmissionExporter    reads whatever was handed in, and repairs it
                                KeepOutputs           keeps the student's figures, which stock nbgrader clears
                                GradeOutside          runs the cells in the sandbox and judges outside it; writes score,
                                                      sentences and, for the person who marks, the marking schemes
                                SaveGrades            as nbgrader's, and leaves what cannot be marked to a person
                                CheckMetadata         checks only what was not repaired
    nbgrader generate_feedback  StripForStudents      takes hidden checks and marking schemes out of the page

For assignments that are not ours each of them does what its stock namesake does.
"""

import asyncio
import concurrent.futures
import dataclasses
import datetime
import pathlib
import re

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, Execute, NbGraderPreprocessor, SaveAutoGrades
from traitlets import Dict, Unicode

import autograder.quick  # noqa: F401
from autograder import assignment as assignments
from autograder import pages
from autograder.errors import CourseError, Ungradable
from autograder.grading import notebook as notebooks
from autograder.grading import results
from autograder.grading.results import Results
from autograder.grading.settings import NEEDED, Settings
from autograder.sandbox.limits import Limits

SCHEME = re.compile(r"^\*\*Marking scheme", re.MULTILINE)


def ours(resources):
    """The assignment that a notebook belongs to, or None when it is none of ours."""
    about = resources.get("nbgrader", {})
    name = about.get("assignment")
    if name in assignments.names() and about.get("notebook") == name:
        return assignments.load(name)
    return None


class SubmissionExporter(NotebookExporter):
    """Reads submissions that stock nbgrader would choke on.

    nbgrader converts each submission twice with the same exporter, first the submitted file, then the sanitized copy. What
    the first reading found out is kept for the second: `resources["autograder"]` holds "root" (the course's), "raw" (what was
    handed in) and "ungradable".
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.optimistic_validation = True  # once after all preprocessors, not after each
        self._found, self._handed_in = {}, {}

    def from_filename(self, filename, resources=None, **kwargs):
        path, about = pathlib.Path(filename), (resources or {}).get("nbgrader", {})
        which = about.get("student"), about.get("assignment"), about.get("notebook")
        if path.parent != self._handed_in.setdefault(which, path.parent):  # the copy, which formgrader serves
            pages.remove_active(path.parent)
        assignment = ours(resources or {})
        if assignment is None:
            return super().from_filename(filename, resources=resources, **kwargs)
        raw = path.read_bytes()
        found = self._found.setdefault(which, {"root": self.parent.coursedir.root, "raw": raw, "ungradable": None})
        try:
            nb = notebooks.read(raw)
            notebooks.repair(nb, assignment.master)
        except Ungradable as error:
            found["ungradable"] = str(error)
            nb = placeholder(assignment, str(error))
        modified = datetime.datetime.fromtimestamp(path.stat().st_mtime)
        metadata = {"name": path.stem, "path": str(path.parent), "modified_date": f"{modified:%B %-d, %Y}"}
        return self.from_notebook_node(Unshared(nb), {**resources, "autograder": found, "metadata": metadata}, **kwargs)


class Unshared(NotebookNode):
    """A notebook that nobody else holds; nbconvert and nbformat copy one four times on its way to a file."""

    def __deepcopy__(self, memo):
        return self


def placeholder(assignment, message):
    """The notebook that stands for a file nobody can read, so that a person finds it in formgrader."""
    empty = notebooks.read(b'{"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}')
    empty.cells = [notebooks.blank(cell) for cell in assignment.master.cells if notebooks.grade_id_of(cell)]
    notebooks.repair(empty, assignment.master)
    empty.cells.insert(0, new_markdown_cell(f"**This submission could not be marked.** {message}"))
    return empty


class KeepOutputs(ClearOutput):
    """Keeps the outputs that were handed in: cells that are run get new ones, the others show the student's figures."""

    def preprocess(self, nb, resources):
        return (nb, resources) if ours(resources) else super().preprocess(nb, resources)


class GradeOutside(Execute):
    """Marks the notebook: the student's code in a sandbox, the verdict here."""

    sandbox = Unicode("bubblewrap", help="Which sandbox runs the students' code; see `autograder doctor`.").tag(config=True)
    limits = Dict(help="Limits on one submission; see `autograder/sandbox/limits.py`.").tag(config=True)
    device = Unicode("auto", help="Where device mistakes are looked for: auto, cpu or cuda.").tag(config=True)
    execute = Unicode(NEEDED, help="Which cells are run: those that the marks need, or all.").tag(config=True)
    points = Dict(help="Points of single criteria, {'reparameterize.scale': 1.5}; the sums must stay.").tag(config=True)
    policies = Dict(help="What is accepted of what may be argued about, {'monte_carlo_kl': True}.").tag(config=True)

    results = Unicode(
        ".autograder/results", help="Folder, in the course's, for what was marked; unchanged, it is not marked again."
    ).tag(config=True)

    def kept(self, root):
        """The `Results` of the course in the folder `root`."""
        return Results(pathlib.Path(root) / self.results)

    def settings(self):
        """`Settings` as configured; CourseError names a limit that does not exist."""
        known = [field.name for field in dataclasses.fields(Limits)]
        for name in self.limits:
            if name not in known:
                raise CourseError(f"c.GradeOutside.limits names {name!r}, which does not exist. Known: {', '.join(known)}.")
        return Settings(self.sandbox, Limits(**self.limits), dict(self.points), dict(self.policies), self.device, self.execute)

    def preprocess(self, nb, resources):
        assignment = ours(resources)
        if assignment is None:
            return super().preprocess(nb, resources)
        found = resources["autograder"]
        nb = self._marked(nb, assignment, found)
        if not found["ungradable"]:
            add_marking_schemes(nb, assignment)
        return nb, resources

    def _marked(self, nb, assignment, found):
        """The notebook with its marks, from the results that are kept where there is one."""
        settings, store = self.settings(), self.kept(found["root"])
        key = results.key(found["raw"], assignment, settings)
        packed = store.get(key)
        if packed is None:
            from autograder.grading.submission import grade  # torch takes a second, and what is kept needs none

            packed = results.pack(outside_of_any_loop(grade, found["raw"], assignment, settings))
            store.put(key, packed)
        graded = results.unpack(packed)
        nb.metadata["autograder"] = {"result": key}
        if graded.notebook is None:
            fail_closed(nb, assignment, graded.verdict.message)
            found["ungradable"] = graded.verdict.message
            return nb
        # Sources and metadata are those that nbgrader has checked, against the gradebook; the outputs are ours.
        for cell, marked in zip(nb.cells, graded.notebook.cells, strict=True):
            if (cell.cell_type, cell.source) != (marked.cell_type, marked.source):
                raise CourseError(f"The notebook changed between marking and recording, at the cell `{cell.id}`.")
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = marked.outputs, marked.execution_count
        return nb


def outside_of_any_loop(function, *args):
    """`function(*args)`, in a thread of its own when this one runs an event loop, as formgrader's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def fail_closed(nb, assignment, message):
    """An error output in each test cell: to nbgrader, a test cell without outputs has earned full marks."""
    for cell in nb.cells:
        if notebooks.grade_id_of(cell) in assignment.test_cells:
            cell.outputs = [new_output("error", ename="Ungradable", evalue=message, traceback=[message])]


def add_marking_schemes(nb, assignment):
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

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade") and resources.get("autograder", {}).get("ungradable"):
            grade = self.gradebook.find_grade(data["grade_id"], self.notebook_id, self.assignment_id, self.student_id)
            grade.auto_score, grade.needs_manual_grade = None, True
            self.gradebook.db.commit()
        return cell, resources


class CheckMetadata(CheckCellMetadata):
    """Not needed for notebooks that have been repaired: their metadata is the master's."""

    def preprocess(self, nb, resources):
        return (nb, resources) if ours(resources) else super().preprocess(nb, resources)


class StripForStudents(NbGraderPreprocessor):
    """Takes out of the feedback page what students must not see: hidden regions and marking schemes."""

    def preprocess(self, nb, resources):
        nb.cells = [cell for cell in nb.cells if not cell.metadata.get("autograder", {}).get("marking_scheme")]
        for cell in nb.cells:
            cell.source = notebooks.visible(cell.source)
        return nb, resources
