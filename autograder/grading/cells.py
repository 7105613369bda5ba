"""Which cells of a submission are run."""

import dataclasses
import functools
import hashlib
import re
import symtable
from collections.abc import Iterable, Sequence

from nbformat import NotebookNode

from autograder.assignment import Assignment
from autograder.grading.notebook import defines, grade_id_of


def to_run(nb: NotebookNode, assignment: Assignment) -> tuple[list[NotebookNode], list[NotebookNode]]:
    """(cells that the marks depend on, all others), each in order.

    The marks depend on the code up to the last task: up to the last test cell, or solution of a task that somebody moved behind
    it. Not on the test cells, whose visible checks judge nothing, and not on what the master marks as showing something and no
    more, where it was left untouched and no other cell speaks of what it defines. Untouched is also what an earlier release had
    there, by the digests that such a cell of the master keeps in `earlier`.
    """
    ids = list(assignment.graded_cells)
    deciding = set(ids[: ids.index(assignment.test_cells[-1]) + 1])
    shown = {
        cell.id: {digest(cell.source), *cell.metadata.get("earlier", [])}
        for cell in assignment.master.cells
        if "display-only" in cell.metadata.get("tags", [])
    }
    last = max(index for index, cell in enumerate(nb.cells) if grade_id_of(cell) in deciding)
    before = [cell for cell in nb.cells[: last + 1] if grade_id_of(cell) not in assignment.test_cells]
    idle = [cell for cell in before if cell.cell_type == "code" and digest(cell.source) in shown.get(cell.id, ())]
    while True:
        needed = without(before, idle)
        said = words(needed)
        unused = [cell for cell in idle if not names(cell.source) & said]
        if len(unused) == len(idle):
            return needed, without(nb.cells, needed)
        idle = unused


def digest(source: str) -> str:
    """Of the text of a cell, short enough to be kept in another cell's metadata."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def without(cells: Iterable[NotebookNode], others: Sequence[NotebookNode]) -> list[NotebookNode]:
    """The cells that are none of the others, by identity: two may read the same."""
    return [cell for cell in cells if not any(cell is other for other in others)]


@functools.lru_cache(100)
def names(source: str) -> frozenset[str]:
    """The names that code defines at its top level; none where it holds one of IPython's magics."""
    try:
        symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported())


def words(cells: Iterable[NotebookNode]) -> set[str]:
    """All words in the code of cells."""
    return set(re.findall(r"\w+", code(cells)))


def runnable(cells: Iterable[NotebookNode]) -> list[NotebookNode]:
    """The code cells among them that hold something."""
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def code(cells: Iterable[NotebookNode]) -> str:
    """The source of the code cells among them."""
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


@dataclasses.dataclass(frozen=True)
class Moments:
    """Where the test cells stand among the cells that are run.

    Attributes:
        after: test cell → the number of code cells that are run before it, for those below which others are run.
        defined_again: test cell → what is defined above it and once more below.
        with_more_below: the test cells below which a cell is run that is not the master's.
    """

    after: dict[str, int]
    defined_again: dict[str, list[str]]
    with_more_below: list[str]

    @classmethod
    def of(cls, nb: NotebookNode, cells: Sequence[NotebookNode], assignment: Assignment) -> "Moments":
        """Those of a submission, of which `cells` are run."""
        place = {id(cell): number for number, cell in enumerate(nb.cells)}
        run = runnable(cells)
        own = {cell.source for cell in assignment.master.cells}
        after, again, more = {}, {}, []
        for test in nb.cells:
            grade_id = grade_id_of(test)
            if grade_id not in assignment.test_cells:
                continue
            above = [cell for cell in run if place[id(cell)] < place[id(test)]]
            below = run[len(above) :]
            if not below:
                continue
            after[grade_id] = len(above)
            twice = defined(above) & defined(below) & set(assignment.defines)
            again[grade_id] = sorted(twice)
            if any(cell.source not in own for cell in below):
                more.append(grade_id)
        return cls(after, again, more)

    def notes(self, late: Sequence[str]) -> list[str]:
        """What a student is told of what they defined twice.

        Args:
            late: the test cells for which what stands below them counted.
        """
        found = []
        for cell, names in self.defined_again.items():
            for name in names:
                where = "below" if cell in late else "above"
                found.append(
                    f"Your notebook defines `{name}` above and below the test cell `{cell}`: for that cell the one {where} it "
                    "was marked."
                )
        return found


def defined(cells: Iterable[NotebookNode]) -> frozenset[str]:
    """Names of the functions and classes that cells define."""
    return frozenset().union(*map(defines, cells))
