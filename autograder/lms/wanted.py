"""Which notebook a file is: of the assignment that is collected, of another one of the course, or something else."""

import contextlib
import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from autograder.errors import UnknownAssignment
from autograder.grading.notebook import MAX_BYTES
from autograder.nbgrader import recognition

# nbgrader's own marks in a master notebook, which no release has.
KEPT_FROM_STUDENTS = re.compile(r"BEGIN (?:HIDDEN TESTS|SOLUTION|MARK SCHEME)")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which notebooks a course expects: of this assignment, and of its others, by the names of their cells.

    Attributes:
        notebooks: name of a notebook without its ending → its cells.
        others: assignment → the cells of its notebooks.
    """

    assignment_id: str
    notebooks: Mapping[str, frozenset[str]]
    others: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, coursedir: CourseDirectory, assignment_id: str) -> "Wanted":
        """From the course's masters, its releases, or its gradebook.

        Raises:
            UnknownAssignment: none of them knows it.
        """
        found: dict[str, dict[str, frozenset[str]]] = {}
        for step in (coursedir.release_directory, coursedir.source_directory):
            above = pathlib.Path(coursedir.format_path(step, ".", "*")).parent
            for path in sorted(above.glob("*/*.ipynb")):
                with contextlib.suppress(OSError):
                    found.setdefault(path.parent.name, {})[path.stem] = frozenset(cells_of(path)[0])
        if assignment_id not in found and recognition.has_gradebook(coursedir.db_url):
            with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook, contextlib.suppress(MissingEntry):
                for notebook in gradebook.find_assignment(assignment_id).notebooks:
                    cells = {cell.name for cell in (*notebook.grade_cells, *notebook.solution_cells)}
                    found.setdefault(assignment_id, {})[notebook.name] = frozenset(cells)
        if assignment_id not in found:
            known = f" Known: {', '.join(sorted(found))}." if found else ""
            raise UnknownAssignment(f"There is no assignment {assignment_id!r} in this course.{known}")
        others = {name: frozenset().union(*cells.values()) for name, cells in found.items() if name != assignment_id}
        return cls(assignment_id, found[assignment_id], others)

    def recognise(self, path: pathlib.Path) -> tuple[str, str]:
        """(the assignment's notebook that a file is or "", what is wrong with the file, as a sentence, or "")"""
        try:
            cells, kept = cells_of(path)
        except OSError:
            return "", "It is no notebook that can be read: the upload broke off, or it is something else."
        best = max(self.notebooks, key=lambda name: len(self.notebooks[name] & cells))
        ours = len(self.notebooks[best] & cells)
        other = max(self.others, key=lambda name: len(self.others[name] & cells), default="")
        if other and len(self.others[other] & cells) > ours:
            return "", f"It is a notebook of {other}."
        if not ours:
            return "", "It is a notebook of no assignment of this course."
        if kept:
            return best, "It is a marked copy or the master, not the notebook that students were given."
        return best, ""


def cells_of(path: pathlib.Path) -> tuple[set[str], bool]:
    """(names of a notebook's cells, whether it holds what a release does not); OSError where it is no notebook"""
    try:
        with path.open("rb") as file:
            cells = json.loads(file.read(MAX_BYTES + 1))["cells"]
        found = [(cell.get("metadata") or {}).get("nbgrader") or {} for cell in cells]
        names = {name for about in found if isinstance(name := about.get("grade_id"), str)}
        sources = ("".join(cell.get("source") or "") for cell, about in zip(cells, found, strict=True) if about)
        return names, any(KEPT_FROM_STUDENTS.search(source) for source in sources)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise OSError(str(error)) from error
