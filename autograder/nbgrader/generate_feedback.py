"""`nbgrader generate_feedback`: the pages that students get."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.grading.notebook import visible


class StripForStudents(NbGraderPreprocessor):
    """Takes out of the feedback page what students must not see: hidden regions and marking schemes."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.cells = [cell for cell in nb.cells if not cell.metadata.get("autograder", {}).get("marking_scheme")]
        for cell in nb.cells:
            cell.source = visible(cell.source)
        return nb, resources
