"""`nbgrader generate_feedback`: the pages that students get.

FeedbackExporter    finds the marked notebooks, reads the gradebook's marks once, and renders our page for an assignment of
                    ours; another one keeps nbgrader's
StripForStudents    takes out what students must not see
Marks               lays our page out; for another assignment, nbgrader's own GetGrades
"""

import functools
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import GetGrades
from traitlets import Bool

from autograder.assignment import Assignment
from autograder.grading.hidden import visible
from autograder.nbgrader import configuration, ending, late, marks, pages, recognition, student_page, unread
from autograder.nbgrader.autograde import Unshared
from autograder.nbgrader.submitted import TIMESTAMP, matching, students_folder

STOCK, TEMPLATE = "index.html.j2", "student_page.html.j2"  # both in the folder `feedback` of a place for templates

FOR_RELEASE = (TIMESTAMP, "submission_secret.txt")  # nbgrader's own files, which `nbgrader release_feedback` reads


class Students(GenerateFeedback):
    """`nbgrader generate_feedback` for the students named, whose ids nbgrader would take for patterns."""

    def __init__(self, students: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.students = students

    def init_notebooks(self) -> None:
        """Leaves it to the exporter, which is made next."""


class FeedbackExporter(HTMLExporter):
    """nbconvert's, with our page for assignments of ours.

    It also finds the marked notebooks of students whose id holds a `[`, `*` or `?`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.assignment: Assignment | None = None
        self.marks: Mapping[str, marks.Marks] = {}
        if isinstance(self.parent, GenerateFeedback):
            with ending.told(self, "no page was written"):
                self._prepare(self.parent)

    def _prepare(self, converter: GenerateFeedback) -> None:
        coursedir = converter.coursedir
        if ending.is_of_a_program(converter):
            unread.readable(converter)
        self.assignment = recognition.find(coursedir, coursedir.assignment_id)
        root, below = students_folder(coursedir, coursedir.autograded_directory, coursedir.assignment_id)
        if isinstance(converter, Students):
            students = [root / student for student in converter.students]
        else:
            students = matching(root, coursedir.student_id) if root.is_dir() else []
        for student in students:
            found = sorted((student / below).glob(f"{coursedir.notebook_id}.ipynb"))
            if found:
                converter.assignments[str(student / below)] = [str(path) for path in found]
        if self.assignment is None:
            return
        if ending.is_of_a_program(converter):
            configuration.settings(self.config, self.assignment)
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            if not isinstance(converter, Students):
                late.settle(gradebook, coursedir.assignment_id, coursedir)
            names = [student.name for student in students]
            self.marks = late.marks_of(gradebook, coursedir, coursedir.assignment_id, names, self.assignment.notebook_id)
        if (waiting := marks.Waiting.of(self.marks)) and not isinstance(converter, Students):
            self.log.warning("%s The pages say so.", waiting)

    def from_filename(self, filename: str, *args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        """Also takes away what nbgrader has copied beside an assignment of ours: the student's files serve marking alone."""
        own = self.assignment is not None and pathlib.Path(filename).stem == self.assignment.notebook_id
        if self.template_name == "feedback" and self.template_file in (STOCK, TEMPLATE):  # a course may have its own
            self.set_trait("template_file", TEMPLATE if own else STOCK)
        converted: tuple[str, dict[str, Any]] = super().from_filename(filename, *args, **kwargs)
        if self.assignment is not None:
            marked, about = pathlib.Path(filename).parent, converted[1]["nbgrader"]
            coursedir = self.parent.coursedir
            page = pathlib.Path(coursedir.format_path(coursedir.feedback_directory, about["student"], about["assignment"]))
            kept = [marked / name for name in FOR_RELEASE]
            for path in marked.rglob("*"):
                # The marked notebook, too, which nbgrader leaves where an id is a pattern.
                if path.is_file() and path not in kept:
                    (page / path.relative_to(marked)).unlink(missing_ok=True)
        return converted

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        """Without what nbconvert does to the finished page of its own templates, which takes longer than all else."""
        converted: tuple[str, dict[str, Any]]
        if self.template_file == TEMPLATE:
            self.register_filter("highlight_code", student_page.highlighted)
            self.register_filter("below", student_page.below)
            self.register_filter("remark", pages.remark)
            self.register_filter("in_words", student_page.in_words)
            self.optimistic_validation = True  # once after all preprocessors, not after each
            converted = TemplateExporter.from_notebook_node(self, Unshared(nb), self._init_resources(resources), **kwargs)
        else:
            converted = super().from_notebook_node(nb, resources, **kwargs)
        return converted


def made_of(raw: bytes, assignment: Assignment, own: marks.Marks) -> str:
    """A hash of all that determines a page: the marked notebook, the master, the marks, and what renders it."""
    parts = look(assignment.path), assignment.title, assignment.edited or "", repr(own)
    return hashlib.sha256("\n".join(parts).encode() + shown(raw)).hexdigest()


def shown(raw: bytes) -> bytes:
    """A marked notebook without what no page shows: what determined its verdict, how long that took, and the cells' ids.

    Those of cells that marking inserts are others each time.
    """
    try:
        nb = json.loads(raw)
        nb["cells"] = [{**cell, "id": ""} for cell in nb["cells"]]
        nb["metadata"]["autograder"] = {"verdict": {**nb["metadata"]["autograder"]["verdict"], "seconds": 0, "sandbox": None}}
    except (ValueError, KeyError, TypeError):  # something else marked it
        return raw
    return json.dumps(nb).encode()


@functools.cache
def look(master: pathlib.Path) -> str:
    """A hash of the files and libraries that render a page, and of the package's own master."""
    digest, folder = hashlib.sha256(master.read_bytes()), pathlib.Path(__file__).parent
    of_grading = folder.with_name("grading").glob("*.py")  # what a student may see of a cell, and what a verdict is
    for path in sorted([*folder.glob("*.py"), *folder.rglob("*.j2"), *of_grading]):
        digest.update(path.read_bytes())
    for library in ("jinja2", "latex2mathml", "mistune", "nbconvert", "nh3", "pygments"):
        digest.update(importlib.metadata.version(library).encode())
    return digest.hexdigest()


class StripForStudents(Preprocessor):
    """Takes out of the feedback page what students must not see: hidden regions and marking schemes.

    nbconvert's, as nbgrader's own base knows less than what an exporter of pages configures, and warns of it.
    """

    enabled = Bool(True).tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.cells = [cell for cell in nb.cells if not cell.metadata.get("autograder", {}).get("marking_scheme")]
        for cell in nb.cells:
            cell.source = visible(cell.source)
        return nb, resources


class AddMarks(GetGrades):
    """nbgrader's; for a page of ours, all that it shows, in `resources["page"]`."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        exporter, about = self.parent, resources["nbgrader"]
        if getattr(exporter, "template_file", "") != TEMPLATE:
            done: tuple[NotebookNode, dict[str, Any]] = super().preprocess(nb, resources)
            return done
        own = exporter.marks[about["student"]]
        read = pathlib.Path(resources["metadata"]["path"], f"{about['notebook']}.ipynb")
        resources["made_of"] = made_of(read.read_bytes(), exporter.assignment, own)
        resources["page"] = student_page.page(nb, exporter.assignment, own, about["student"])
        return nb, resources
