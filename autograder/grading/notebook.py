"""From the bytes that were handed in to a notebook that can be run and marked.

The notebook is understood before it runs: what is the master's (test cells, questions, metadata, points) is put back from
the master; what is the student's is kept. Each repair is told in one sentence.
"""

import ast
import base64
import binascii
import copy
import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.errors import Ungradable
from autograder.grading import answers
from autograder.grading.hidden import visible

MAX_BYTES = 100 * 1024**2
# The pictures that are kept, and how their files begin; a browser runs nothing in them.
PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MAX_TEXT = 20_000
MAX_CELLS = 3_000
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
MAX_IMAGE = 3_000_000


@dataclasses.dataclass(frozen=True)
class Submission:
    """What was handed in, read and repaired.

    Attributes:
        raw: the file's bytes.
        nb: the notebook, which marking changes: the outputs of the cells that are run.
        notes: a sentence for each repair.
        files: what was handed in beside it: path from the notebook's folder → bytes.
        beside_boxes: grade_ids of written answers next to whose box there is text of the student's own.
    """

    raw: bytes
    nb: NotebookNode
    notes: tuple[str, ...]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    beside_boxes: frozenset[str] = frozenset()

    @classmethod
    def read(cls, raw: bytes, master: NotebookNode, files: Mapping[str, bytes] | None = None) -> "Submission":
        """Reads and repairs it; Ungradable when there is nothing to mark."""
        nb = read(raw)
        notes = tuple(repair(nb, master))
        return cls(raw, nb, notes, files or {}, answers.beside_boxes(nb, master.cells))


def grade_id_of(cell: NotebookNode) -> Any:
    """The cell's grade_id, a string, or None."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def read(raw: bytes) -> NotebookNode:
    """The notebook in `raw` (bytes), as nbformat 4; Ungradable when it is none."""
    if len(raw) > MAX_BYTES:
        raise Ungradable(f"The file has {len(raw) / 1e6:.0f} MB, more than the {MAX_BYTES / 1e6:.0f} MB that are read.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Ungradable(
            f"The file is not text in UTF-8 (byte {error.start}): it was damaged on its way, or is not a notebook."
        ) from error
    try:
        data = json.loads(text)
        if SURROGATE.search(text):  # half a character can be neither sent nor stored
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Ungradable(f"The file is not JSON ({short(error)}): the upload broke off, or it is not a notebook.") from error
    if not isinstance(data, dict) or not ("cells" in data or "worksheets" in data):
        raise Ungradable("The file is JSON, but not a notebook: it has no cells.")
    try:
        nb = nbformat.convert(nbformat.from_dict(data), 4) if data.get("nbformat") != 4 else nbformat.from_dict(data)
        cells = [clean for n, cell in enumerate(nb.cells) if (clean := normal(cell, f"unnamed-{n}")) is not None]
    except Exception as error:  # nbformat's converters assume a valid notebook and raise whatever they meet
        raise Ungradable(f"The notebook's structure cannot be understood ({type(error).__name__}).") from error
    if len(cells) > MAX_CELLS:
        raise Ungradable(f"The notebook has {len(cells)} cells, more than the {MAX_CELLS} that are read.")
    unique_ids(cells)
    # Not new_notebook, which validates it, as do all that write it.
    return nbformat.NotebookNode(cells=cells, metadata=nbformat.NotebookNode(), nbformat=4, nbformat_minor=5)


def short(error: Exception) -> str:
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__


def normal(cell: Any, id: str) -> NotebookNode | None:
    """A clean cell with the same source, nbgrader metadata and outputs; None for something that is not a cell.

    Args:
        id: for a cell that has none of its own.
    """
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = cell.get("source", "")
    source = "".join(source) if isinstance(source, list) else source
    source = source if isinstance(source, str) else ""
    # Not new_code_cell, which validates each cell by itself: most of the time that reading took.
    clean = nbformat.from_dict({"cell_type": cell["cell_type"], "id": id, "metadata": {}, "source": source})
    own = cell.get("id")
    if isinstance(own, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", own):
        clean.id = own
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(nbgrader, dict) and isinstance(nbgrader.get("grade_id"), str):
        clean.metadata["nbgrader"] = nbgrader
    if clean.cell_type == "code":
        outputs = cell.get("outputs")
        clean.outputs = clean_outputs(outputs if isinstance(outputs, list) else [])
        count = cell.get("execution_count")
        clean.execution_count = count if type(count) is int else None
    elif pictures := attached(cell.get("attachments")):
        clean.attachments = pictures
    return clean


def attached(attachments: Any) -> dict[str, dict[str, str]]:
    """The pictures among a Markdown cell's attachments: name → type → base64."""
    found = {}
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        pictures = {mime: joined(value) for mime, value in data.items()} if isinstance(data, dict) else {}
        if pictures := {mime: value for mime, value in pictures.items() if is_picture(mime, value)}:
            found[name] = pictures
    return found


def repair(nb: NotebookNode, master: NotebookNode) -> list[str]:
    """Changes `nb` so that every nbgrader cell of `master` stands in it once, as the master has it. → notes

    Raises:
        Ungradable: not one of the assignment's cells can be found.
    """
    notes: list[str] = []
    wanted = {cell.metadata.nbgrader.grade_id: cell for cell in master.cells if "nbgrader" in cell.metadata}
    found = find(nb, wanted, notes)
    if found:
        answers.find_by_place(nb, master.cells, found, notes)
    if not found:
        raise Ungradable("None of the assignment's cells is in this notebook: perhaps another notebook was handed in.")
    for cell in nb.cells:
        if not any(cell is kept for kept in found.values()):
            cell.metadata.pop("nbgrader", None)
    previous = None
    for grade_id, original in wanted.items():
        if grade_id not in found:
            at = nb.cells.index(previous) + 1 if previous is not None else 0
            if not original.metadata.nbgrader.solution:  # a task may have been answered below its cell
                following = [nb.cells.index(found[other]) for other in after(grade_id, wanted) if other in found]
                last = min((place for place in following if place >= at), default=at)
                at += above_the_lessons_own(nb.cells[at:last], original, master)
            found[grade_id] = blank(original)
            nb.cells.insert(at, found[grade_id])
            notes.append(f"The cell `{grade_id}` was missing and was put back.")
        restore(found[grade_id], original, notes)
        previous = found[grade_id]
    unique_ids(nb.cells)
    nb.metadata = copy.deepcopy(master.metadata)
    return notes


def above_the_lessons_own(cells: Sequence[NotebookNode], original: NotebookNode, master: NotebookNode) -> int:
    """The first place among cells below which nothing stands but what the lesson has below the original.

    Where that is the last place that is judged, nothing below it is run: the lesson's training takes seconds.
    """
    start = next(number for number, cell in enumerate(master.cells) if cell is original)
    lesson = {cell.source for cell in master.cells[start:] if "nbgrader" not in cell.metadata}
    at = len(cells)
    while at and cells[at - 1].source in lesson:
        at -= 1
    return at


def after(grade_id: str, wanted: Iterable[str]) -> list[str]:
    """Those that come after it."""
    names = list(wanted)
    return names[names.index(grade_id) + 1 :]


def find(nb: NotebookNode, wanted: dict[str, NotebookNode], notes: list[str]) -> dict[str, NotebookNode]:
    """grade_id → the student's cell: by nbgrader's metadata, else by cell id, else by what it defines."""
    found: dict[str, NotebookNode] = {}
    for cell in nb.cells:
        grade_id = grade_id_of(cell)
        if grade_id in wanted and grade_id in found:
            notes.append(f"The cell `{grade_id}` stands there more than once; the first one counts as that cell.")
        elif grade_id in wanted:
            found[grade_id] = cell
    taken = {id(cell) for cell in found.values()}
    for grade_id, original in wanted.items():
        if grade_id in found:
            continue
        free = [cell for cell in nb.cells if id(cell) not in taken]
        match = next((cell for cell in free if cell.id == original.id), None)
        match = match or next((cell for cell in free if defines(original) and defines(original) <= defines(cell)), None)
        if match is not None:
            found[grade_id] = match
            taken.add(id(match))
            notes.append(f"The cell `{grade_id}` had lost its nbgrader metadata and was recognised.")
    return found


def defines(cell: NotebookNode) -> frozenset[str]:
    """Names of the functions and classes that a code cell defines at its top level."""
    if cell.cell_type != "code":
        return frozenset()
    try:
        tree = ast.parse(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))


def blank(original: NotebookNode) -> NotebookNode:
    """A cell in place of one that is gone. A solution cell stays empty: its stub would replace what stands elsewhere."""
    cell = copy.deepcopy(original)
    if original.metadata.nbgrader.solution:
        cell.source = "" if cell.cell_type == "markdown" else "# This cell was missing from the submission."
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell


def restore(cell: NotebookNode, original: NotebookNode, notes: list[str]) -> None:
    """Gives a cell its type, metadata and, if it is the master's, its source."""
    if cell.cell_type != original.cell_type:
        cell.cell_type = original.cell_type
        if original.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.pop("attachments", None)
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    checksum = cell.metadata.get("nbgrader", {}).get("checksum")
    cell.metadata = copy.deepcopy(original.metadata)
    data = original.metadata.nbgrader
    if isinstance(checksum, str):  # nbgrader's, which tells it an untouched answer; it overwrites what a student may set
        cell.metadata.nbgrader["checksum"] = checksum
    if data.locked or (data.grade and not data.solution):
        if visible(cell.source).strip() != visible(original.source).strip():
            notes.append(f"The read-only cell `{data.grade_id}` had been changed; the original counts.")
        cell.source = original.source


def unique_ids(cells: Sequence[NotebookNode]) -> None:
    """Gives the second of two cells with one id another, the same whenever the file is read: outputs are kept by it."""
    seen: set[str] = set()
    for number, cell in enumerate(cells):
        own, more = cell.id, itertools.count()
        while cell.id in seen:
            cell.id = f"{own[:30]}-{number}-{next(more)}"
        seen.add(cell.id)


def clean_outputs(outputs: Iterable[Any]) -> list[NotebookNode]:
    """Outputs that may be stored and shown: text and pictures, cut to size; nothing that a browser would run."""
    clean: list[NotebookNode] = []
    left = MAX_TEXT
    for output in outputs:
        kind = output.get("output_type") if isinstance(output, dict) else None
        if kind == "stream":
            text = cut(joined(output.get("text")), left)
            left -= len(text)
            if text:
                name = "stderr" if output.get("name") == "stderr" else "stdout"
                clean.append(nbformat.v4.new_output("stream", name=name, text=text))
        elif kind in ("display_data", "execute_result"):
            data = {
                mime: joined(value)
                for mime, value in output.get("data", {}).items()
                if mime == "text/plain" or is_picture(mime, joined(value))
            }
            if "text/plain" in data:
                data["text/plain"] = cut(data["text/plain"], left)
                left -= len(data["text/plain"])
            if data:
                clean.append(nbformat.v4.new_output("display_data", data))
        elif kind == "error":
            trace = cut("\n".join(map(str, output.get("traceback") or [])), left)
            left -= len(trace)
            clean.append(
                nbformat.v4.new_output(
                    "error",
                    ename=str(output.get("ename"))[:200],
                    evalue=str(output.get("evalue"))[:2000],
                    traceback=trace.split("\n"),
                )
            )
        if len(clean) >= 200:
            break
    return clean


def is_picture(mime: str, data: str) -> bool:
    """Whether `data` is the base64 of a picture of that type, as far as its first bytes tell."""
    if mime not in PICTURES or len(data) > MAX_IMAGE:
        return False
    try:
        return base64.b64decode("".join(data.split()), validate=True).startswith(PICTURES[mime])
    except (binascii.Error, ValueError):
        return False


def joined(value: Any) -> str:
    value = "".join(map(str, value)) if isinstance(value, list) else value
    return value if isinstance(value, str) else ""


def cut(text: str, size: int) -> str:
    size = max(size, 0)
    return text if len(text) <= size else text[:size] + "\n… (output cut here)"
