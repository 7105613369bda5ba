"""What is said of cells in which something failed: which line, and why, as far as the grader can tell.

An exception's own words are the student's to write, so of them only what Python itself says is repeated.
"""

import ast
import platform
import re
from collections.abc import Container, Iterable

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from autograder.grading.cells import names, words

MAX_NOTES = 3  # of one cell
LINE = re.compile(r"^\s*(?:Cell|Input) In ?\[\d+\](?:, line|:?) ?(\d+)", re.MULTILINE)
SYNTAX = {"SyntaxError", "IndentationError", "TabError"}
MODULE = re.compile(r"No module named '([\w.]{1,60})'")
NAME = re.compile(r"name '(\w{1,60})' is not defined")

OF_COLAB = frozenset({"google"})


class Failures:
    """What is said of the cells of one submission, as they are run: a sentence for each cause.

    A name that a failing line would have defined, and a name or a module that was missing before, is no cause of its own.

    Args:
        instead: ids of the cells in whose place the lesson's own were run.
    """

    def __init__(self, instead: Container[str] = ()) -> None:
        self._instead = instead
        self._missing: set[str] = set()

    def of(self, cell: NotebookNode, number: int) -> list[str]:
        """A sentence for each line of a cell that failed when it was run, the first few.

        Args:
            cell: with the outputs of its run.
            number: of the code cell, as a person counts.
        """
        if cell.id in self._instead:
            why = not_python(cell.source)
            return [f"Code cell {number} could not be run, and the lesson's own was run in its place: {why}"]
        errors = [output for output in cell.outputs if output.output_type == "error"]
        found = []
        for error in errors:
            if error.ename in SYNTAX and (why := not_python(cell.source)):
                found.append(f"Code cell {number} could not be run: {why}")
                self._missing |= words([cell])
                continue
            match = LINE.search("\n".join(error.traceback))
            at = int(match[1]) if match else 0
            ended = error.ename in ("KeyboardInterrupt", "SystemExit") or cell.source.startswith("%%")
            known = self._is_known(error)
            self._missing |= words([cell]) if ended else defined_at(cell.source, at)
            if error.ename != "KeyboardInterrupt" and not known:
                line = source_line(cell.source, at)
                shown, rest = f"the line `{line}`" if line else "a line", "was not run" if ended else "was run"
                found.append(f"In code cell {number} {shown} failed{because(error)}; the rest of the cell {rest}.")
        more = len(found) - MAX_NOTES
        return [*found[:MAX_NOTES], *([f"In code cell {number} {more} more lines failed."] if more > 0 else [])]

    def _is_known(self, error: NotebookNode) -> bool:
        """Whether what is missing was missing before; from now on it was."""
        match = MODULE.search(error.evalue) or NAME.search(error.evalue)
        if match is None:
            return False
        # A module's name has a dot, here, and a name none.
        what = match[1] if match.re is NAME else f"{match[1].partition('.')[0]}."
        known = what in self._missing
        self._missing.add(what)
        return known


def lessons_own(cells: Iterable[NotebookNode], master: Iterable[NotebookNode]) -> dict[str, str]:
    """What is run in place of the lesson's own cells that are no Python as they were handed in: cell id → the master's source.

    Such a cell does nothing at all, so nothing of the student's is left out. A task's cell is never among them.
    """
    own = {cell.id: cell.source for cell in master if cell.cell_type == "code" and "nbgrader" not in cell.metadata}
    changed = [cell for cell in cells if cell.source != own.get(cell.id, cell.source)]
    return {cell.id: own[cell.id] for cell in changed if not_python(cell.source)}


def defined_at(source: str, number: int) -> frozenset[str]:
    """The names that the statement at a line of a cell defines; none where it cannot be found."""
    try:
        python = TransformerManager().transform_cell(source)
        statements = [node for node in ast.parse(python).body if first_line(node) <= number <= (node.end_lineno or 0)]
    except (SyntaxError, ValueError, RuntimeError, MemoryError):  # a RuntimeError: too many magics for IPython
        return frozenset()
    return frozenset().union(*(names(ast.get_source_segment(python, node) or "") for node in statements))


def first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(above.lineno for above in decorators)])


def source_line(source: str, number: int) -> str:
    """A line of the source, as it may be quoted; "" where there is none."""
    lines = source.splitlines()
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return line if line.isprintable() and len(line) <= 120 else ""


def because(error: NotebookNode) -> str:
    """Why, in Python's words where they are known."""
    if match := MODULE.search(error.evalue):
        name = match[1].partition(".")[0]
        own = "" if name in OF_COLAB else " (a file of your own is found if you hand it in beside the notebook)"
        return f": there is no module `{name}` where notebooks are marked, which costs nothing by itself{own}"
    if match := NAME.search(error.evalue):
        return f": the name `{match[1]}` is not defined"
    return f" (`{error.ename}`)" if re.fullmatch(r"[A-Za-z_]{1,60}", error.ename) else ""


def not_python(source: str) -> str:
    """Why a cell, its magics translated, cannot be run at all; "" where it is Python as this version reads it."""
    where = ""
    try:
        ast.parse(TransformerManager().transform_cell(source))
        return ""
    except SyntaxError as error:
        line = source_line(source, error.lineno or 0)
        where = f" at `{line}`" if line else ""
    except (ValueError, RuntimeError, MemoryError):
        pass
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"it is not Python as version {version} reads it{where}; look there, and in the line above, for a bracket or a quote "
        f"that is not closed. If the cell works for you, your Python is newer than {version}."
    )
