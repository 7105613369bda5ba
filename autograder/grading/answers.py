"""Answers that stand elsewhere than in their box.

Editors lose nbgrader's metadata and cells' ids; students write into a new cell below the box. What a student wrote is then
recognised by where it stands: between the lesson's own cells, which are known by their id or their text.
"""

import difflib
from collections.abc import Mapping, Sequence

from nbformat import NotebookNode

from autograder.grading.hidden import visible

ALIKE = 0.85  # ratio of equal characters from which a text is taken for the lesson's, edited
CANDIDATES = 40
LONG = 40  # characters: a shorter text may be like another by chance


def plain(source: str) -> str:
    """A text without the differences that editors make."""
    return " ".join(source.split())


def numbers(nb: NotebookNode, master: Sequence[NotebookNode], found: Mapping[str, NotebookNode]) -> list[int | None]:
    """For each cell of a submission its number among the master's cells; None for the student's own.

    Args:
        found: grade_id → the submission's cell, as far as they are known.
    """
    texts: dict[str, int] = {}
    ids: dict[str, int] = {}
    graded: dict[str, int] = {}
    for number, cell in enumerate(master):
        data = cell.metadata.get("nbgrader")
        if data:
            graded[data.grade_id] = number
        else:
            ids[cell.id] = number
        if not (data and data.solution):
            texts.setdefault(plain(visible(cell.source)), number)
    known = {id(cell): graded[grade_id] for grade_id, cell in found.items()}
    return [known.get(id(cell), ids.get(cell.id, texts.get(plain(cell.source)))) for cell in nb.cells]


def find_by_place(
    nb: NotebookNode,
    master: Sequence[NotebookNode],
    found: dict[str, NotebookNode],
    notes: list[str],
) -> None:
    """Adds to `found` the cells that lost their metadata: questions by their text, answers by where they stand."""
    missing = [
        (at, cell)
        for at, cell in enumerate(master)
        if "nbgrader" in cell.metadata and cell.metadata.nbgrader.grade_id not in found
    ]
    if not missing:
        return
    places = numbers(nb, master, found)
    missing.sort(key=lambda one: one[1].metadata.nbgrader.solution)  # questions tell where their answers are
    for at, original in missing:
        grade_id = original.metadata.nbgrader.grade_id
        if original.metadata.nbgrader.solution:
            cells = [cell for cell in between(nb, places, at) if cell.cell_type == original.cell_type]
            box = cells[0] if cells else None
            if box is not None and original.cell_type == "markdown":
                box.source = "\n\n".join(cell.source for cell in cells)
                gone = {id(cell) for cell in cells[1:]}
                places = [n for n, cell in zip(places, nb.cells, strict=True) if id(cell) not in gone]
                nb.cells = [cell for cell in nb.cells if id(cell) not in gone]
        else:
            box = like(nb, places, at, original, visible(original.source))
        if box is not None:
            found[grade_id] = box
            places[next(place for place, cell in enumerate(nb.cells) if cell is box)] = at
            notes.append(f"The cell `{grade_id}` had lost its nbgrader metadata and was recognised.")


def between(nb: NotebookNode, places: Sequence[int | None], at: int) -> list[NotebookNode]:
    """The student's own cells, with something in them, between the master's cells around number `at`."""
    above = [place for place, number in enumerate(places) if number is not None and number < at]
    if not above:
        return []
    below = [place for place, number in enumerate(places) if number is not None and number > at and place > above[-1]]
    inside = range(above[-1] + 1, below[0] if below else len(places))
    return [nb.cells[place] for place in inside if places[place] is None and nb.cells[place].source.strip()]


def like(nb: NotebookNode, places: Sequence[int | None], at: int, original: NotebookNode, text: str) -> NotebookNode | None:
    """The submission's cell with the text of a master's cell, or nearly so."""
    for place, cell in enumerate(nb.cells):
        if places[place] == at:
            return cell
    if len(text) < LONG:
        return None
    own = [cell for cell, place in zip(nb.cells, places, strict=True) if place is None]
    alike = [cell for cell in own if cell.cell_type == original.cell_type and 0.7 < len(cell.source) / len(text) < 1.4]
    for cell in alike[:CANDIDATES]:  # comparing takes milliseconds
        match = difflib.SequenceMatcher(None, text, cell.source, autojunk=False)
        if min(match.real_quick_ratio(), match.quick_ratio()) > ALIKE and match.ratio() > ALIKE:
            return cell
    return None


def beside_boxes(nb: NotebookNode, master: Sequence[NotebookNode]) -> frozenset[str]:
    """grade_ids of the written answers that have text of the student's own right above or below their box.

    Args:
        nb: repaired.
    """
    found = {data.grade_id: cell for cell in nb.cells if (data := cell.metadata.get("nbgrader"))}
    places = numbers(nb, master, found)
    near = set()
    for grade_id, box in found.items():
        data = box.metadata.nbgrader
        if not (data.solution and data.grade and box.cell_type == "markdown"):
            continue
        here = next(place for place, cell in enumerate(nb.cells) if cell is box)
        for step in (-1, 1):
            place = here + step
            while 0 <= place < len(places) and places[place] is None:
                if nb.cells[place].cell_type != "code" and nb.cells[place].source.strip():
                    near.add(grade_id)
                place += step
    return frozenset(near)
