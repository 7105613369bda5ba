"""`nbgrader generate_feedback`: the pages that students get."""

from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.grading.notebook import visible
from autograder.nbgrader.submitted import matching, students_folder


class OneStudent(GenerateFeedback):
    """`nbgrader generate_feedback` for one student, whose id nbgrader would take for a pattern."""

    def init_notebooks(self) -> None:
        """Leaves it to the exporter, which is made next."""


class FeedbackExporter(HTMLExporter):
    """nbconvert's, which also finds the marked notebooks of students whose id holds a `[`, `*` or `?`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.parent, GenerateFeedback):
            coursedir = self.parent.coursedir
            root, below = students_folder(coursedir, coursedir.autograded_directory, coursedir.assignment_id)
            for student in matching(root, coursedir.student_id) if root.is_dir() else []:
                found = sorted((student / below).glob(f"{coursedir.notebook_id}.ipynb"))
                if found:
                    self.parent.assignments[str(student / below)] = [str(path) for path in found]


class StripForStudents(NbGraderPreprocessor):
    """Takes out of the feedback page what students must not see: hidden regions and marking schemes."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.cells = [cell for cell in nb.cells if not cell.metadata.get("autograder", {}).get("marking_scheme")]
        for cell in nb.cells:
            cell.source = visible(cell.source)
        return nb, resources
