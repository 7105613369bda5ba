"""One submission in, one graded notebook and one verdict out.

    read ─► repair ─► run the cells up to the last graded one ─► call the student's functions and judge ─► record

Everything that marks (nbgrader's command, the command line, a class) calls `grade`.
"""

import functools
import re
import symtable
import time

from nbformat.v4 import new_output

from autograder.errors import CourseError, Ungradable
from autograder.grading import notebook as notebooks
from autograder.grading.judge import judge
from autograder.grading.session import Session
from autograder.grading.settings import ALL, NEEDED, Settings
from autograder.grading.verdict import FAILED, GRADED, NOT_RUN, PASSED, UNGRADABLE, Graded, Verdict
from autograder.sandbox import backends, gpu


def grade(raw, assignment, settings=None, evidence=False):
    """Marks one submission.

    Args:
        raw: the submitted file's bytes.
        assignment: an `Assignment`.
        settings: `Settings`.
        evidence: whether the verdict says what was called and what was seen.

    Returns:
        `Graded`. A submission's own failures are part of it.

    Raises:
        GraderError: the grader cannot do its work here; nobody should be marked.
    """
    started = time.monotonic()
    try:
        nb = notebooks.read(raw)
        notes = notebooks.repair(nb, assignment.master)
    except Ungradable as error:
        return Graded(Verdict(UNGRADABLE, message=str(error), seconds=time.monotonic() - started), None)
    settings = settings or Settings()
    known(settings.policies, [policy.name for policy in assignment.policies], "policies")
    known([settings.execute], [NEEDED, ALL], "execute")
    cells, rest = to_run(nb, assignment)
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    with (
        gpu.lease(settings.device) as leased,
        Session(backends.get(settings.sandbox), assignment, cells, settings.limits, nb.cells, leased) as session,
    ):
        student = assignment.student(session.call, cuda=leased is not None, policies=settings.policies)
        checks = judge(assignment, student, code, points=settings.points, evidence=evidence)
        if settings.execute == ALL:
            session.run_more(rest)
    known(settings.points, [check.id for check in checks], "points")
    verdict = Verdict(
        GRADED,
        checks,
        notes=(*notes, *session.notes, *student.notes, *filter(None, [backends.WARNINGS.get(settings.sandbox)])),
        sandbox=settings.sandbox,
        seconds=time.monotonic() - started,
    )
    for grade_id, (_, of) in verdict.cells.items():
        points = assignment.graded_cells[grade_id]["points"]
        if of != points:
            raise CourseError(
                f"The criteria of {grade_id} are worth {of:g} points together, and its cell {points:g}, which the gradebook "
                "knows: mend c.GradeOutside.points in nbgrader_config.py so that the sum stays."
            )
    for cell in nb.cells:
        grade_id = notebooks.grade_id_of(cell)
        if grade_id in assignment.test_cells:
            seen = as_text(cell.outputs) if settings.execute == ALL else []
            cell.outputs = [*seen, *record(verdict, grade_id)]
    return Graded(verdict, nb)


def known(set_, names, what):
    """CourseError for a setting of something that does not exist."""
    for name in set_:
        if name not in names:
            raise CourseError(f"c.GradeOutside.{what} names {name!r}, which does not exist. Known: {', '.join(names)}.")


def to_run(nb, assignment):
    """(cells that the marks depend on, all others), each in order.

    The marks depend on the code up to the last task: up to the last test cell, or solution of a task that somebody moved behind
    it. Not on the test cells, whose visible checks judge nothing, and not on what the master marks as showing something and no
    more, where it was left untouched and no other cell speaks of what it defines.
    """
    ids = list(assignment.graded_cells)
    deciding = set(ids[: ids.index(assignment.test_cells[-1]) + 1])
    shown = {cell.id: cell.source for cell in assignment.master.cells if "display-only" in cell.metadata.get("tags", [])}
    last = max(index for index, cell in enumerate(nb.cells) if notebooks.grade_id_of(cell) in deciding)
    before = [cell for cell in nb.cells[: last + 1] if notebooks.grade_id_of(cell) not in assignment.test_cells]
    idle = [cell for cell in before if cell.cell_type == "code" and shown.get(cell.id) == cell.source]
    while True:
        needed = without(before, idle)
        said = words(needed)
        unused = [cell for cell in idle if not names(cell.source) & said]
        if len(unused) == len(idle):
            return needed, without(nb.cells, needed)
        idle = unused


def without(cells, others):
    """The cells that are none of the others, by identity: two may read the same."""
    return [cell for cell in cells if not any(cell is other for other in others)]


@functools.cache
def names(source):
    """The names that a cell of the master's defines; none where it holds one of IPython's magics."""
    try:
        symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    except SyntaxError:
        return frozenset()
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported())


def words(cells):
    """All words in the code of cells."""
    return set(re.findall(r"\w+", "\n".join(cell.source for cell in cells if cell.cell_type == "code")))


def as_text(outputs):
    """Outputs without errors, stderr and results: nbgrader would read a mark into each of them."""
    text = "".join(
        output.text if output.output_type == "stream" else "\n".join(output.get("traceback", [])) + "\n"
        for output in outputs
        if output.output_type in ("stream", "error")
    )
    return [new_output("stream", name="stdout", text=text)] if text.strip() else []


def record(verdict, grade_id):
    """The outputs that tell the student the verdict on a test cell, and nbgrader the score."""
    score, _ = verdict.cell(grade_id)
    text = feedback(verdict, grade_id)
    return [
        new_output("stream", name="stdout", text=text),
        new_output("execute_result", {"text/plain": repr(float(score))}, execution_count=1),
    ]


def feedback(verdict, grade_id):
    """A line per criterion: what it is, what it earned, and what was seen."""
    got, of = verdict.cell(grade_id)
    lines = [f"Your marks for `{grade_id}`: {got:g} of {of:g}"]
    for check in verdict.checks:
        if check.cell == grade_id:
            sign = {PASSED: "✓", FAILED: "✗", NOT_RUN: "?"}[check.outcome]
            points = f"{check.points:g} of {check.max_points:g}"
            lines.append(f"{sign} {check.title} ({points})" + (f": {check.message}" if check.message else ""))
    return "\n".join([*lines, *(f"Note: {note}" for note in verdict.notes)]) + "\n"
