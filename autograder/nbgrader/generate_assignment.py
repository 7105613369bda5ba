"""`nbgrader generate_assignment`: the release of an assignment of ours; those that are not ours are released as ever.

ReleaseExporter     says what is wrong with the course's master before anything is written
ClearSolutions      nbgrader's, with stubs that name no solution
"""

from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader import preprocessors
from nbgrader.converters import GenerateAssignment

from autograder.nbgrader import configuration, ending, recognition, unread

Resources = dict[str, Any]
STUBS: dict[str, Any] = {
    "code_stub": {"python": "# Write your answer here (replace this line)."},
    "text_stub": "*Write your answer here.*",
}


class ReleaseExporter(NotebookExporter):
    """nbconvert's, which also looks at the course's master once, before nbgrader does anything with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.parent, GenerateAssignment):
            return
        with ending.told(self, "nothing was released"):
            if ending.is_of_a_program(self):
                unread.readable(self.parent)
            assignment = recognition.find(self.parent.coursedir, self.parent.coursedir.assignment_id)
            if assignment is not None and ending.is_of_a_program(self):
                configuration.settings(self.config, assignment)
        if assignment is not None:
            # With the release committed and the gradebook not, nbgrader would skip the assignment and register nothing.
            self.parent.force = True


class ClearSolutions(preprocessors.ClearSolutions):
    """nbgrader's; in an assignment of ours, with stubs that name no solution, unless the course sets its own."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        stubs = {name: stub for name, stub in STUBS.items() if name not in self.config.ClearSolutions}
        stock = {name: getattr(self, name) for name in stubs}
        for name, stub in (stubs if recognition.recognised(nb) else stock).items():
            setattr(self, name, stub)
        try:
            cleared: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
            return cleared
        finally:  # the next notebook may be none of ours
            for name, stub in stock.items():
                setattr(self, name, stub)
