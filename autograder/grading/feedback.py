"""What a test cell shows: the sentences for the student, and the score as nbgrader reads it."""

from collections.abc import Iterable

from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.grading.verdict import Outcome, Verdict

SIGNS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.NOT_RUN: "?"}


def outputs(verdict: Verdict, grade_id: str) -> list[NotebookNode]:
    """The outputs that tell the student the verdict on a test cell, and nbgrader the score: one plain float."""
    score, _ = verdict.cell(grade_id)
    return [
        new_output("stream", name="stdout", text=text(verdict, grade_id)),
        new_output("execute_result", {"text/plain": repr(round(float(score), 9))}, execution_count=1),
    ]


def text(verdict: Verdict, grade_id: str) -> str:
    """A line per criterion: what it is, what it earned, and what was seen."""
    got, of = verdict.cell(grade_id)
    lines = [f"Your marks for `{grade_id}`: {got:g} of {of:g}"]
    for check in verdict.checks:
        if check.cell == grade_id:
            points = f"{check.points:g} of {check.max_points:g}"
            said = f": {check.message}" if check.message else ""
            lines.append(f"{SIGNS[check.outcome]} {check.criterion.title} ({points}){said}")
    return "\n".join([*lines, *(f"Note: {note}" for note in verdict.notes)]) + "\n"


def as_text(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Outputs without errors, stderr and results: nbgrader would read a mark into each of them."""
    text = "".join(
        output.text if output.output_type == "stream" else "\n".join(output.get("traceback", [])) + "\n"
        for output in outputs
        if output.output_type in ("stream", "error")
    )
    return [new_output("stream", name="stdout", text=text)] if text.strip() else []
