"""What is said of cells in which something failed: which line, and why, as far as the grader can tell.

An exception's own words are the student's to write, so of them only what Python itself says is repeated.
"""

import ast
import platform
import re

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

MAX_NOTES = 3  # of one cell; what fails after a line that failed is its consequence, mostly
LINE = re.compile(r"^\s*(?:Cell|Input) In ?\[\d+\](?:, line|:?) ?(\d+)", re.MULTILINE)
SYNTAX = {"SyntaxError", "IndentationError", "TabError"}
MODULE = re.compile(r"No module named '([\w.]{1,60})'")
NAME = re.compile(r"name '(\w{1,60})' is not defined")

OF_COLAB = frozenset({"google"})


def failures(cell: NotebookNode, number: int) -> list[str]:
    """A sentence for each line of a cell that failed when it was run, the first few.

    Args:
        cell: with the outputs of its run.
        number: of the code cell, as a person counts.
    """
    errors = [output for output in cell.outputs if output.output_type == "error"]
    found = []
    for error in errors:
        if error.ename in SYNTAX and (why := not_python(cell.source, number)):
            found.append(why)
        elif error.ename != "KeyboardInterrupt":
            match = LINE.search("\n".join(error.traceback))
            line = source_line(cell.source, int(match[1])) if match else ""
            shown = f"the line `{line}`" if line else "a line"
            rest = "was not run" if error.ename == "SystemExit" or cell.source.startswith("%%") else "was run"
            found.append(f"In code cell {number} {shown} failed{because(error)}; the rest of the cell {rest}.")
    more = len(found) - MAX_NOTES
    return [*found[:MAX_NOTES], *([f"In code cell {number} {more} more lines failed."] if more > 0 else [])]


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


def not_python(source: str, number: int) -> str:
    """Why a cell, its magics translated, could not be run at all; "" where it is Python as this version reads it."""
    where = ""
    try:
        ast.parse(TransformerManager().transform_cell(source))
        return ""
    except SyntaxError as error:
        line = source_line(source, error.lineno or 0)
        where = f" at `{line}`" if line else ""
    except (ValueError, RecursionError, MemoryError):
        pass
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"Code cell {number} could not be run: it is not Python as version {version} reads it{where}; look there, and in the "
        f"line above, for a bracket or a quote that is not closed. If the cell works for you, your Python is "
        f"newer than {version}."
    )
