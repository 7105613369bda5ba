"""What was handed in: everything under `submitted/` is accounted for, and nbgrader gets it as it expects it.

    submitted/ ─► `look`: for each student the notebook that counts, or what is wrong and what to do
                    └─► `stage`: .autograder/submitted/STUDENT/ASSIGNMENT/ with that notebook, its time, and the files beside it

nbgrader passes over a notebook of another name or in another folder, takes a student's name for a pattern, and ends the run at
a time that it cannot read or a link that leads nowhere. So it reads the staged copy, in which none of that is left.
"""

import contextlib
import dataclasses
import errno
import fnmatch
import json
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import parse_utc

from autograder.assignment import Assignment
from autograder.errors import CourseError
from autograder.grading.notebook import MAX_BYTES

STAGED = ".autograder/submitted"
TIMESTAMP = "timestamp.txt"
IGNORED = {".ipynb_checkpoints", "__MACOSX", "__pycache__"}
# Browsers and mail programs add an ending to a file whose type they do not know.
NOTEBOOK = re.compile(r".+\.ipynb(\.(txt|json))?", re.IGNORECASE)
MAX_ENTRIES = 2000  # files and folders of one student that are looked at
MAX_BESIDE = 100 * 1024**2  # bytes of all files beside a notebook that are kept
MAX_FILES, MAX_FILE_BYTES = 100, 16 * 1024**2  # of those that code may use, altogether


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """What one student handed in.

    Attributes:
        student: nbgrader's id: the name of the folder.
        folder: the student's, for the assignment.
        path: of the notebook that counts; None where there is none.
        note: what is odd about it and was settled, in a sentence; "" for nothing.
        problem: why nothing can be marked and what to do, in a sentence; "" for nothing.
        timestamp: when it was handed in, as it stands in the file; None where it does not say.
        is_students: False for something that lies where the students' folders are and is none.
    """

    student: str
    folder: pathlib.Path
    path: pathlib.Path | None = None
    note: str = ""
    problem: str = ""
    timestamp: str | None = None
    is_students: bool = True

    def read(self) -> bytes:
        """The notebook's bytes; nothing where there is none, or where it cannot be read any more."""
        if self.path is None:
            return b""
        with contextlib.suppress(OSError), opened(self.path) as file:
            return file.read(MAX_BYTES + 1)
        return b""


def look(coursedir: CourseDirectory, assignment: Assignment, pattern: str = "*") -> list[HandedIn]:
    """What the students handed in, whose id is `pattern` or matches it, in the order of their ids.

    Students who handed in nothing for this assignment are left out.

    Raises:
        CourseError: the folder is not there.
    """
    root, below = students_folder(coursedir, coursedir.submitted_directory, assignment.assignment_id)
    if not root.is_dir():
        raise CourseError(f"There is nothing to mark: {root} is not there. {where(coursedir, assignment)}")
    entries = matching(root, pattern)
    others = other_assignments(coursedir, assignment)
    found = (look_at(entry, below, assignment, others, where(coursedir, assignment)) for entry in entries)
    return [handed_in for handed_in in found if handed_in is not None]


def matching(root: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """The entry of that name, or else those that match it, as nbgrader's `--student` means it."""
    entries = sorted(root.iterdir())
    exact = [entry for entry in entries if entry.name == pattern]
    return exact or [e for e in entries if not e.name.startswith(".") and fnmatch.fnmatchcase(e.name, pattern)]


def students_folder(coursedir: CourseDirectory, step: str, assignment_id: str) -> tuple[pathlib.Path, pathlib.Path]:
    """(the folder that holds the students' in one of nbgrader's steps, what lies between a student's and the notebook)"""
    pattern = pathlib.Path(coursedir.format_path(step, "*", assignment_id))
    at = pattern.parts.index("*")
    return pathlib.Path(*pattern.parts[:at]), pathlib.Path(*pattern.parts[at + 1 :])


def where(coursedir: CourseDirectory, assignment: Assignment) -> str:
    """Where nbgrader expects a notebook, in a sentence."""
    folder = pathlib.Path(coursedir.format_path(coursedir.submitted_directory, "STUDENT", assignment.assignment_id))
    place = os.path.relpath(folder / f"{assignment.notebook_id}.ipynb", coursedir.root)
    return f"Put each student's notebook at {place}."


def other_assignments(coursedir: CourseDirectory, assignment: Assignment) -> set[str]:
    """Names of the course's other assignments, as far as its folders tell."""
    found = set()
    for folder in (coursedir.source_directory, coursedir.release_directory):
        above = pathlib.Path(coursedir.format_path(folder, ".", assignment.assignment_id)).parent
        found |= {path.name for path in above.glob("*") if path.is_dir()}
    return found - {assignment.assignment_id}


def look_at(entry: pathlib.Path, below: pathlib.Path, assignment: Assignment, others: set[str], place: str) -> HandedIn | None:
    """What lies in one entry of the students' folder; None when it is nothing of this assignment."""
    student, wanted = entry.name, f"{assignment.notebook_id}.ipynb"
    folder = entry / below
    if not entry.is_dir():
        kind = "a link that leads nowhere" if entry.is_symlink() else "a file"
        return HandedIn(student, folder, problem=f"This is {kind} where the students' folders are. {place}", is_students=False)
    try:
        inside = folder.is_dir()
        files = list(walk(folder if inside else entry, set() if inside else others))
    except OSError as error:
        return HandedIn(student, folder, problem=f"{error.filename} cannot be read: {error.strerror}.")
    if len(files) >= MAX_ENTRIES:
        return HandedIn(student, folder, problem=f"There are more than {MAX_ENTRIES} files: leave only what was asked for.")
    notebooks = [path for path in files if NOTEBOOK.fullmatch(path.name) and is_regular(path)]
    if not inside:  # another assignment's, perhaps
        notebooks = [path for path in notebooks if is_ours(path, assignment)]
    chosen, note, problem = choose(folder / wanted, notebooks, assignment)
    if chosen is None and not problem:
        if not inside:
            return None
        problem = nothing(folder, wanted, files)
    if problem:
        return HandedIn(student, folder, problem=problem)
    assert chosen is not None
    timestamp, doubt = time_of(chosen.parent, folder)
    try:
        with opened(chosen):
            pass
    except OSError as error:
        return HandedIn(student, folder, problem=f"{chosen.name} cannot be read: {error.strerror}.", timestamp=timestamp)
    return HandedIn(student, folder, chosen, " ".join(filter(None, [note, doubt])), timestamp=timestamp)


def walk(folder: pathlib.Path, others: set[str]) -> Iterator[pathlib.Path]:
    """Files and links below a folder, at most MAX_ENTRIES; not what editors and archives leave, nor other assignments' folders.

    Raises:
        OSError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    count = 0
    for above, folders, files in os.walk(folder, onerror=fail):
        here = pathlib.Path(above)
        links = [name for name in folders if (here / name).is_symlink()]
        left_out = IGNORED | (others if here == folder else set())
        folders[:] = sorted(name for name in folders if name not in left_out and name not in links)
        for name in [*sorted(files), *links]:
            if name.startswith("."):
                continue
            yield here / name
            count += 1
        count += len(folders)
        if count >= MAX_ENTRIES:
            yield from [here] * MAX_ENTRIES
            return


def is_regular(path: pathlib.Path) -> bool:
    """Whether it is a file, and no link to one."""
    return stat.S_ISREG(path.lstat().st_mode)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A regular file, for reading; OSError for a link, which may lead anywhere, and for what would wait for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        yield file


def choose(
    expected: pathlib.Path, notebooks: list[pathlib.Path], assignment: Assignment
) -> tuple[pathlib.Path | None, str, str]:
    """(the notebook that counts or None, what is odd about it, what is wrong)"""
    others = [path for path in notebooks if path != expected]

    def shown(path: pathlib.Path) -> str:
        return os.path.relpath(path, expected.parent)

    if expected in notebooks:
        newer = [path for path in others if newer_version(path, expected) and is_ours(path, assignment)]
        if not newer:
            return expected, "", ""
        names = ", ".join(map(shown, newer))
        note = f"{expected.name} counts; {names}, beside it, is newer. If that one is meant, give it this name."
        return expected, note, ""
    if len(others) > 1:
        others = [path for path in others if is_ours(path, assignment)] or others
    if len(others) > 1:
        names = ", ".join(map(shown, others))
        return None, "", f"None of {names} is called {expected.name}: give this name to the one that counts."
    if others:
        return others[0], f"{shown(others[0])} counts, the only notebook there; nbgrader expects {expected.name}.", ""
    return None, "", ""


def newer_version(path: pathlib.Path, than: pathlib.Path) -> bool:
    """Whether it was changed later and holds something else."""
    if path.stat().st_mtime_ns <= than.stat().st_mtime_ns:
        return False
    with contextlib.suppress(OSError), opened(path) as one, opened(than) as other:
        return one.read(MAX_BYTES) != other.read(MAX_BYTES)
    return False


def is_ours(path: pathlib.Path, assignment: Assignment) -> bool:
    """Whether it holds cells of the assignment."""
    try:
        with opened(path) as file:
            cells = json.loads(file.read(MAX_BYTES))["cells"]
        names = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells}
    except Exception:  # whatever else calls itself a notebook
        return False
    return bool(names & set(assignment.graded_cells))


def nothing(folder: pathlib.Path, wanted: str, files: list[pathlib.Path]) -> str:
    """Why there is no notebook in the student's folder, in a sentence."""
    links = [path for path in files if path.is_symlink()]
    if links:
        return f"{os.path.relpath(links[0], folder)} is a link, and links are not followed: put the file itself there."
    if files:
        names = ", ".join(os.path.relpath(path, folder) for path in files[:3]) + (", …" if len(files) > 3 else "")
        return f"There is no notebook, but {names}: ask the student for {wanted}."
    return f"The folder is empty: ask the student for {wanted}."


def time_of(*folders: pathlib.Path) -> tuple[str | None, str]:
    """(when it was handed in, as the first of these folders that says so does; what is odd about it)"""
    for folder in folders:
        try:
            with opened(folder / TIMESTAMP) as file:
                text = file.read(200).decode("utf-8-sig", "replace").strip()
        except OSError:
            continue
        try:
            parse_utc(text)
        except Exception:  # dateutil raises whatever it meets
            shown = text[:40] if text.isprintable() else "something unreadable"
            return None, f"{TIMESTAMP} says “{shown}”, which is no date and time, so it was taken to be in time."
        return text, ""
    return None, ""


def files_beside(coursedir: CourseDirectory, assignment: Assignment, path: pathlib.Path | None) -> dict[str, bytes]:
    """What code finds beside a notebook: what was handed in with it, and what the course gives out. Path from there → bytes.

    No links, nothing hidden, and no more than `MAX_FILES` files with `MAX_FILE_BYTES` bytes altogether, in the order of names.
    """
    given = pathlib.Path(coursedir.format_path(coursedir.source_directory, ".", assignment.assignment_id)) / "any"
    found: dict[str, bytes] = {}
    for notebook in filter(None, [path, given]):
        for other in beside(notebook) if notebook.parent.is_dir() else []:
            name = other.relative_to(notebook.parent).as_posix()
            with contextlib.suppress(OSError), opened(other) as file:
                if name.isprintable():
                    found[name] = file.read(MAX_FILE_BYTES + 1)
    left, kept = MAX_FILE_BYTES, {}
    for name, data in sorted(found.items())[:MAX_FILES]:
        left -= len(data)
        if left >= 0:
            kept[name] = data
    return kept


def stage(coursedir: CourseDirectory, assignment: Assignment, handed_in: HandedIn) -> pathlib.Path:
    """Makes the folder of what nbgrader is to take of it. → path of the notebook there, an empty file where there is none"""
    folder = pathlib.Path(coursedir.format_path(STAGED, handed_in.student, assignment.assignment_id))
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    notebook = folder / f"{assignment.notebook_id}.ipynb"
    notebook.write_bytes(handed_in.read())
    if handed_in.timestamp is not None:
        (folder / TIMESTAMP).write_text(handed_in.timestamp, encoding="utf-8")
    if handed_in.path is not None:
        for path in beside(handed_in.path):
            to = folder / path.relative_to(handed_in.path.parent)
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, to, follow_symlinks=False)  # costs nothing; nobody changes a staged file
            except OSError:
                with contextlib.suppress(OSError), opened(path) as file, to.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
    return notebook


def beside(path: pathlib.Path) -> list[pathlib.Path]:
    """The files handed in beside a notebook, and below: no links, no other notebook, and no more than MAX_BESIDE bytes."""
    found, left = [], MAX_BESIDE
    with contextlib.suppress(OSError):
        for other in walk(path.parent, set()):
            if other.name == TIMESTAMP or NOTEBOOK.fullmatch(other.name) or not is_regular(other):
                continue
            left -= other.lstat().st_size
            if left >= 0:
                found.append(other)
    return found
