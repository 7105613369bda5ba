"""Answers in their places: makes submissions out of the release."""

import ast
import copy
from collections.abc import Mapping

from nbformat import NotebookNode

from autograder.grading.notebook import grade_id_of


def cell(nb: NotebookNode, grade_id: str) -> NotebookNode:
    """The cell with that grade_id; KeyError when there is none."""
    for candidate in nb.cells:
        if grade_id_of(candidate) == grade_id:
            return candidate
    raise KeyError(f"no cell with grade_id {grade_id!r}")


def fill(nb: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """A copy of `nb` with answers in place.

    Args:
        answers: grade_id of a code cell → source of one function, which replaces the function or method of that name in the
            cell; grade_id of a Markdown cell → the whole text.
    """
    nb = copy.deepcopy(nb)
    for grade_id, answer in answers.items():
        target = cell(nb, grade_id)
        target.source = answer if target.cell_type == "markdown" else replace_function(target.source, answer)
    return nb


def replace_function(source: str, function: str) -> str:
    """`source` with the function or method of the same name as `function` replaced by it, indented to fit."""
    name = next(node.name for node in ast.parse(function).body if isinstance(node, ast.FunctionDef))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            indent = " " * node.col_offset
            new = [indent + line if line else line for line in function.rstrip("\n").split("\n")]
            lines = source.split("\n")
            return "\n".join([*lines[: node.lineno - 1], *new, *lines[node.end_lineno :]])
    raise KeyError(f"the cell defines no {name}")
