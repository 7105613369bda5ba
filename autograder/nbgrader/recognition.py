"""Which of a course's assignments is ours: by its cells, whatever the course calls it.

What decides is the course's own: its master notebook in `source/`, else its release, else its gradebook. A submission decides
nothing: a student could take out what shows whose it is, and so have it run without a sandbox.
"""

import dataclasses
import functools
import os
import pathlib
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import nbformat
from nbformat import NotebookNode

from autograder import assignment as assignments
from autograder.assignment import Assignment
from autograder.errors import CourseError, UnknownAssignment
from autograder.grading.notebook import defines, grade_id_of

if TYPE_CHECKING:  # nbgrader takes a second to import
    from nbgrader.api import Gradebook

OUR_CALL = "autograder.stock"  # in the hidden region of every test cell of ours
KIND = {"grade": "graded", "solution": "to be answered", "locked": "read-only"}


class CourseDirectory(Protocol):
    """nbgrader's, or `configuration.CourseDirectory`, which is quicker to import."""

    course_id: str
    source_directory: str
    release_directory: str
    root: str
    db_url: str

    def format_path(self, nbgrader_step: str, student_id: str, assignment_id: str) -> str: ...


def in_course(coursedir: CourseDirectory, assignment_id: str | None = None, otherwise: str = "") -> Assignment:
    """The assignment of ours that a course has under that name, or, without a name, the only one that it has.

    Args:
        otherwise: the name that is meant where none is named, and the course's source folder tells nothing.

    Raises:
        UnknownAssignment: there is none, or there are several.
        CourseError: it cannot be marked.
    """
    if assignment_id is None:
        own = names(coursedir)
        if len(own) > 1:
            raise UnknownAssignment(f"This course has several assignments: name one of {', '.join(own)}.")
        assignment_id = own[0] if own else otherwise
    found = find(coursedir, assignment_id)
    if found is None:
        own = names(coursedir)
        place = os.path.normpath(coursedir.format_path(coursedir.source_directory, ".", assignment_id))
        known = (
            f"Known: {', '.join(own)}." if own else f"Put the master notebook into {os.path.relpath(place, coursedir.root)}."
        )
        if pathlib.Path(place).is_dir():
            raise UnknownAssignment(f"{assignment_id} is another assignment: nbgrader's own commands mark it. {known}")
        raise UnknownAssignment(f"There is no assignment {assignment_id!r}. {known}")
    return found


def find(coursedir: CourseDirectory, assignment_id: str) -> Assignment | None:
    """The assignment of ours that a course has under that name, with the course's own master; None when it is none of ours.

    Raises:
        CourseError: it is ours, and cannot be marked: its notebook cannot be read, lacks something, or there are two.
    """
    for folder in (coursedir.source_directory, coursedir.release_directory):
        places = pathlib.Path(coursedir.format_path(folder, ".", assignment_id))
        notebooks = sorted(path for path in places.glob("*.ipynb") if path.is_file())
        if notebooks:
            found = [made for path in notebooks if (made := in_notebook(path, assignment_id))]
            if len(found) > 1:
                names = " and ".join(f"{made.notebook_id}.ipynb" for made in found)
                raise CourseError(f"{places} holds two notebooks that are ours, {names}: give each a folder of its own.")
            return found[0] if found else None
    return in_gradebook(coursedir, assignment_id)


def names(coursedir: CourseDirectory) -> list[str]:
    """The names under which a course has assignments of ours in its source folder."""
    above = pathlib.Path(coursedir.format_path(coursedir.source_directory, ".", "*")).parent
    return [path.name for path in sorted(above.glob("*")) if path.is_dir() and may_be_ours(coursedir, path.name)]


def may_be_ours(coursedir: CourseDirectory, assignment_id: str) -> bool:
    """Whether it is, or is one that cannot be marked: whoever names it is told why."""
    try:
        return find(coursedir, assignment_id) is not None
    except CourseError:
        return True


def in_notebook(path: pathlib.Path, assignment_id: str) -> Assignment | None:
    """The assignment in a master notebook or a release, or None; read again when the file has changed."""
    stat = path.stat()
    return _in_notebook(path, assignment_id, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(32)
def _in_notebook(path: pathlib.Path, assignment_id: str, stamp: tuple[int, ...]) -> Assignment | None:
    try:
        master = nbformat.read(path, as_version=4)
    except Exception as error:  # it may be ours, and then nothing of it may run
        raise CourseError(f"{path} cannot be read as a notebook: {str(error).splitlines()[0]}") from error
    for number, cell in enumerate(master.cells):  # an old notebook's cells have none
        cell.setdefault("id", f"cell-{number}")
    master.nbformat_minor = max(master.nbformat_minor, 5)
    own = recognised(master)
    if own is None:
        if any(OUR_CALL in cell.source for cell in master.cells):
            raise CourseError(
                f"{path} calls {OUR_CALL}, and its cells are those of no assignment that is installed here "
                f"({', '.join(assignments.names())}): install its package."
            )
        return None
    wrong = differences(own, master)
    if wrong:
        raise CourseError(f"{path} is {own.name}, changed so that it cannot be marked. " + " ".join(wrong))
    return dataclasses.replace(own, edited=edited(own, master), assignment_id=assignment_id, notebook_id=path.stem)


def in_gradebook(coursedir: CourseDirectory, assignment_id: str) -> Assignment | None:
    """The assignment that the gradebook has under that name, with the master of its package; None when it has none of ours."""
    if not has_gradebook(coursedir.db_url):
        return None
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
        try:
            found = gradebook.find_assignment(assignment_id)
        except MissingEntry:
            return None
        for notebook in found.notebooks:
            own = with_cells(cell.name for cell in (*notebook.grade_cells, *notebook.solution_cells))
            if own is not None:
                return dataclasses.replace(own, assignment_id=assignment_id, notebook_id=notebook.name)
    return None


def as_released(gradebook: "Gradebook", assignment: Assignment) -> None:
    """CourseError where the gradebook has other cells or points than the course's master: it was edited after the release."""
    from nbgrader.api import MissingEntry

    try:
        notebook = gradebook.find_notebook(assignment.notebook_id, assignment.assignment_id)
    except MissingEntry:
        return  # nbgrader says so itself
    known = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
    wanted = {id: float(data["points"]) for id, data in assignment.graded_cells.items() if data["grade"]}
    differing = sorted(id for id in known.keys() | wanted.keys() if known.get(id) != wanted.get(id))
    if differing:
        raise CourseError(
            f"{', '.join(differing)}: the master notebook was edited after its release, and the gradebook has other points. "
            f"Run `autograder release {shlex.quote(assignment.assignment_id)}` again."
        )


def has_gradebook(db_url: str) -> bool:
    """Whether there is one already; nbgrader would make a new file."""
    path = file_of(db_url)
    return path is None or path.exists()


def file_of(db_url: str) -> pathlib.Path | None:
    """The file that a gradebook is; None where it is on a server."""
    server, _, path = db_url.partition("?")[0].partition("sqlite:///")
    return None if server else pathlib.Path(path)


def recognised(nb: NotebookNode) -> Assignment | None:
    """The assignment whose master or release a notebook is, changed perhaps; None when it is none of ours."""
    return with_cells(grade_id_of(cell) for cell in nb.cells)


def with_cells(grade_ids: Iterable[Any]) -> Assignment | None:
    """The assignment of which at least half of the tasks' and test cells have one of these names."""
    present = set(grade_ids)
    for name in assignments.names():
        try:
            own = assignments.load(name)
        except CourseError:  # another's package is broken; a notebook of its own says so by its hidden region
            continue
        wanted = needed(name)
        if 2 * len(wanted.keys() & present) >= len(wanted):
            return own
    return None


@functools.cache
def needed(name: str) -> dict[str, NotebookNode]:
    """grade_id → cell of the package's master: the tasks in code and the test cells, which no course may change in kind."""
    cells = [cell for cell in assignments.load(name).master.cells if cell.cell_type == "code" and grade_id_of(cell)]
    return {grade_id_of(c): c for c in cells if c.metadata.nbgrader.solution or c.metadata.nbgrader.grade}


def differences(own: Assignment, master: NotebookNode) -> list[str]:
    """What of a course's master does not fit the hidden checks, in sentences that say how to mend it; empty: it fits."""
    found = []
    for grade_id, original in needed(own.name).items():
        cells = [cell for cell in master.cells if grade_id_of(cell) == grade_id]
        if len(cells) != 1:
            there = "is missing" if not cells else f"stands there {len(cells)} times"
            found.append(f"The cell `{grade_id}` {there}: it must stand there once, with that grade_id.")
            continue
        (cell,) = cells
        data = cell.metadata.nbgrader
        if cell.cell_type != original.cell_type:
            found.append(f"The cell `{grade_id}` is {cell.cell_type}, and must be {original.cell_type}.")
            continue
        for flag, word in KIND.items():
            wanted = original.metadata.nbgrader[flag]
            if bool(data.get(flag)) != wanted:
                found.append(f"The cell `{grade_id}` must {'' if wanted else 'not '}be {word} ({flag!r}: {wanted!r}).")
        lost = (defines(original) & {*own.defines}) - defines(cell)
        if lost:
            found.append(
                f"The cell `{grade_id}` must define {', '.join(sorted(lost))}: the hidden checks call it by that name."
            )
    for cell in master.cells:
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade") and not data.get("solution") and not data.get("task") and data["grade_id"] not in own.test_cells:
            found.append(
                f"The cell `{data['grade_id']}` is to be marked by machine, and there is no hidden check for it: "
                "make it a manually graded answer, or plain code."
            )
    return found


def edited(own: Assignment, master: NotebookNode) -> str | None:
    """A course's master as JSON, without outputs; None where it is the package's."""

    def parts(nb: NotebookNode) -> list[Any]:
        return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in nb.cells]

    if parts(master) == parts(own.master):
        return None
    for cell in master.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    text: str = nbformat.writes(master)
    return text
