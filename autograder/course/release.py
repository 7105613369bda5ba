"""The student release, and the proof that it gives nothing away."""

import json
import pathlib
import re

import nbformat
from nbformat import NotebookNode

from autograder.assignment import Assignment
from autograder.course.folder import Course
from autograder.errors import CourseError
from autograder.grading.hidden import BEGIN_HIDDEN, END_HIDDEN, visible
from autograder.grading.kept_pytest import criteria

# What no release may contain, wherever in the file it stands.
MARKS = (
    "BEGIN SOLUTION",
    "END SOLUTION",
    BEGIN_HIDDEN,
    END_HIDDEN,
    "Marking scheme",
    "Model answer",
    "autograder",
)
LONG = 25  # characters: a line of a solution that is shorter may well stand elsewhere


def leaks(release: NotebookNode, assignment: Assignment) -> list[str]:
    """Sentences about everything in `release` (a notebook) that belongs to the master alone; empty when it is clean.

    Looks at sources, metadata, outputs and attachments, at the lines of every solution and hidden region, and at calls that
    would do a task for the student.
    """
    found = []
    text = json.dumps(release, ensure_ascii=False)
    found += [f"The release holds the text {mark!r}." for mark in MARKS if mark in text]
    for line in private_lines(assignment.master):
        if json.dumps(line, ensure_ascii=False)[1:-1] in text:
            found.append(f"The release holds a line of the master's solutions or hidden checks: {line!r}.")
    for number, candidate in enumerate(release.cells, start=1):
        if candidate.get("outputs"):
            found.append(f"Cell {number} of the release has outputs.")
        if candidate.get("attachments"):
            found.append(f"Cell {number} of the release has attachments, which nbgrader does not clear.")
        if candidate.cell_type == "code":
            found += [f"Cell {number} of the release {what}." for what in assignment.giveaways(candidate.source)]
    return found


def private_lines(master: NotebookNode) -> list[str]:
    """Lines that stand only in solution or hidden regions of the master."""
    private: set[str] = set()
    public: set[str] = set()
    for candidate in master.cells:
        shown, in_solution = visible(candidate.source), False
        hidden = set(candidate.source.split("\n")) - set(shown.split("\n"))
        private |= {line.strip() for line in hidden}
        for line in shown.split("\n"):
            if "BEGIN SOLUTION" in line:
                in_solution = True
            (private if in_solution else public).add(line.strip())
            if "END SOLUTION" in line:
                in_solution = False
    shown = "\n".join(public)
    return sorted(line for line in private if len(line) >= LONG and line not in shown)


def make(course: Course, assignment: Assignment) -> tuple[pathlib.Path, list[str]]:
    """Generates the release of `assignment` in `course` and proves it clean. → (path, list of leaks)

    Raises:
        CourseError: the course's master lacks something that the checks need.
    """
    text = "\n".join(cell.source for cell in assignment.master.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    sections = dict.fromkeys(criterion.section for criterion in criteria(assignment))
    lost = [section for section in sections if not any(heading.startswith(section) for heading in headings)]
    if lost:
        names = ", ".join(f"“{name}”" for name in lost)
        raise CourseError(
            f"The checks' sentences send students to the sections {names}, which the notebook lacks: keep the headings."
        )
    path = course.generate_assignment(assignment)
    return path, leaks(nbformat.read(path, as_version=4), assignment)
