"""`nbgrader generate_feedback`: the pages that students get."""

import pathlib
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.grading.notebook import visible
from autograder.nbgrader import recognition
from autograder.nbgrader.submitted import matching, students_folder


class OneStudent(GenerateFeedback):
    """`nbgrader generate_feedback` for one student, whose id nbgrader would take for a pattern."""

    def init_notebooks(self) -> None:
        """Leaves it to the exporter, which is made next."""


class FeedbackExporter(HTMLExporter):
    """nbconvert's, which finds the marked notebooks of students whose id holds a `[`, `*` or `?`, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = False
        if isinstance(self.parent, GenerateFeedback):
            self._ours = recognition.find(self.parent.coursedir, self.parent.coursedir.assignment_id) is not None
            coursedir = self.parent.coursedir
            root, below = students_folder(coursedir, coursedir.autograded_directory, coursedir.assignment_id)
            for student in matching(root, coursedir.student_id) if root.is_dir() else []:
                found = sorted((student / below).glob(f"{coursedir.notebook_id}.ipynb"))
                if found:
                    self.parent.assignments[str(student / below)] = [str(path) for path in found]

    def from_filename(self, filename: str, *args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        """Also takes away what nbgrader has copied beside an assignment of ours: the student's files serve marking alone."""
        converted: tuple[str, dict[str, Any]] = super().from_filename(filename, *args, **kwargs)
        if self._ours:
            marked, about = pathlib.Path(filename).parent, converted[1]["nbgrader"]
            coursedir = self.parent.coursedir
            page = pathlib.Path(coursedir.format_path(coursedir.feedback_directory, about["student"], about["assignment"]))
            for path in marked.rglob("*"):
                if path.is_file() and path.suffix != ".ipynb":
                    (page / path.relative_to(marked)).unlink(missing_ok=True)
        return converted


class StripForStudents(NbGraderPreprocessor):
    """Takes out of the feedback page what students must not see: hidden regions and marking schemes."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.cells = [cell for cell in nb.cells if not cell.metadata.get("autograder", {}).get("marking_scheme")]
        for cell in nb.cells:
            cell.source = visible(cell.source)
        return nb, resources
