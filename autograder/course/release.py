"""The student release, and the proof that it gives nothing away."""

import ast
import json
import re

import nbformat

from autograder.course.fill import cell
from autograder.grading.notebook import BEGIN_HIDDEN, visible

# What no release may contain, wherever in the file it stands.
MARKS = (
    "BEGIN SOLUTION",
    "END SOLUTION",
    BEGIN_HIDDEN,
    "END HIDDEN TESTS",
    "Marking scheme",
    "Model answer",
    "autograder",
)
LONG = 25  # characters: a line of a solution that is shorter may well stand elsewhere


def leaks(release, assignment):
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
            found += [f"Cell {number} of the release {what}." for what in giveaways(candidate.source)]
    return found


def private_lines(master):
    """Lines that stand only in solution or hidden regions of the master."""
    private, public = set(), set()
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


EXPONENTIALS = {"exp", "exp_", "expm1", "exp2", "pow", "softplus", "sqrt"}
SAMPLERS = {"rsample", "kl_divergence", "kl_div", "randn_like", "Normal", "MultivariateNormal"}


def giveaways(source):
    """What the code computes that is a student's task: `exp` of a log-variance, a KL, a sample around a mean."""
    result = []
    for node in ast.walk(ast.parse(strip_magics(source))):
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} if isinstance(node, ast.expr) else set()
        logvar = any("logvar" in name.lower() or "log_var" in name.lower() for name in names)
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in EXPONENTIALS and logvar:
                result.append(f"computes `{called}` of a log-variance")
            if called in SAMPLERS:
                result.append(f"calls `{called}`")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and logvar:
            result.append("computes a power of a log-variance")
    return sorted(set(result))


def strip_magics(source):
    return "\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in source.split("\n"))


def stub_messages(release, assignment):
    """grade_id of each solution cell that stands before a test cell → what its stub's NotImplementedError says."""
    ids = list(assignment.graded_cells())
    before = ids[: ids.index(assignment.test_cells[-1])]
    result = {}
    for grade_id in before:
        if not assignment.graded_cells()[grade_id]["solution"]:
            continue
        raises = [node for node in ast.walk(ast.parse(cell(release, grade_id).source)) if isinstance(node, ast.Raise)]
        texts = [
            part.value
            for node in raises
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        result[grade_id] = " ".join(texts)
    return result


def make(course, assignment):
    """Generates the release of `assignment` in `course` and proves it clean.

    Returns:
        (path, list of leaks).
    """
    path = course.generate_assignment(assignment.name)
    return path, leaks(nbformat.read(path, as_version=4), assignment)
