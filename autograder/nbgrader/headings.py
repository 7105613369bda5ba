"""What people call the cells that are marked: by the master notebook's headings, not by their grade_id."""

import re

from autograder.assignment import Assignment
from autograder.grading.notebook import grade_id_of

HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$")
FENCE = re.compile(r" {0,3}(```|~~~)")
POINTS = re.compile(r"\s*\([^()]*\bpoints?\)$")


def headings(source: str) -> list[str]:
    """The headings in a Markdown text, in order, as they stand there."""
    found, in_code = [], False
    for line in source.split("\n"):
        if FENCE.match(line):
            in_code = not in_code
        elif not in_code and (match := HEADING.match(line)):
            found.append(match[1])
    return found


def names(assignment: Assignment) -> dict[str, str]:
    """grade_id → the heading above that cell, without the points in it: "Task 1". The grade_id itself where there is none."""
    found, last = {}, ""
    for cell in assignment.master.cells:
        if cell.cell_type == "markdown":
            last = next(reversed(headings(cell.source)), last)
        grade_id = grade_id_of(cell)
        if grade_id:
            found[grade_id] = POINTS.sub("", last) or grade_id
    return found


def code_of(assignment: Assignment, grade_id: str) -> str | None:
    """grade_id of the cell in which students answer what a test cell marks: the last one above it; None where there is none."""
    cells = list(assignment.graded_cells)
    above = cells[: cells.index(grade_id)]
    own = [id for id in above if assignment.graded_cells[id]["solution"] and not assignment.graded_cells[id]["grade"]]
    return own[-1] if own else None
