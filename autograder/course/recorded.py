"""What is recorded for a student: the verdict in the marked notebook, and what determined it, else the gradebook's points."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from autograder.assignment import Assignment
from autograder.course.folder import Course
from autograder.grading.results import Origin
from autograder.grading.verdict import Verdict
from autograder.nbgrader import marks


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What is recorded for one student.

    Attributes:
        key: the name of the result; None where nothing is recorded.
        late: what decided how late it was.
        verdict: None where the notebook was marked by something else, or is gone.
        origin: all that determined the verdict; empty without one.
    """

    key: str | None = None
    late: str | None = None
    verdict: Verdict | None = None
    origin: Origin = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, course: Course, assignment: Assignment, student: str) -> "Recorded":
        return cls.in_notebook(read(course.autograded(assignment, student)))

    @classmethod
    def in_notebook(cls, nb: Mapping[str, Any]) -> "Recorded":
        """In a marked notebook, as `read` gives it."""
        about, verdict = nb.get("metadata", {}).get("autograder", {}), marks.verdict_of(nb)
        return cls(about.get("result"), about.get("late"), verdict, about.get("origin", {}) if verdict else {})


def read(path: pathlib.Path) -> Mapping[str, Any]:
    """A marked notebook's JSON; empty where there is none.

    Not nbformat.read, which takes ten times as long: it validates what was validated when it was written.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
