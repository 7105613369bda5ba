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
from collections.abc import Collection, Iterator
from typing import BinaryIO

from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files, parse_utc

from autograder.assignment import Assignment
from autograder.errors import CourseError
from autograder.grading.notebook import MAX_BYTES

STAGED = ".autograder/submitted"
TIMESTAMP = "timestamp.txt"
IGNORED = {".ipynb_checkpoints", "__MACOSX", "__pycache__"}
# Browsers and mail programs add an ending to a file whose type they do not know.
NOTEBOOK = re.compile(r".+\.ipynb(\.(txt|json))?", re.IGNORECASE)
MAX_ENTRIES, MAX_DEPTH = 2000, 20  # files and folders of one student that are looked at
MAX_BESIDE = 100 * 1024**2  # bytes of all files beside a notebook that are kept
MAX_FILES, MAX_FILE_BYTES, MAX_NAME = 100, 16 * 1024**2, 400  # of those that code may use: bytes altogether, of a path


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
    others = Others.of(coursedir, assignment)
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


@dataclasses.dataclass(frozen=True)
class Others:
    """What of a course is not the assignment, as far as its folders tell.

    Attributes:
        assignments: names of the other assignments' folders.
        alike: those of them that have its cells, too: what lies there belongs there.
        notebooks: names of the other notebooks in the assignment's own folder.
    """

    assignments: frozenset[str]
    alike: frozenset[str]
    notebooks: frozenset[str]

    @classmethod
    def of(cls, coursedir: CourseDirectory, assignment: Assignment) -> "Others":
        folders = [path for own in own_folders(coursedir, assignment) for path in own.parent.glob("*") if path.is_dir()]
        folders = [path for path in folders if path.name != assignment.assignment_id]
        alike = (folder.name for folder in folders if any(is_ours(path, assignment) for path in folder.glob("*.ipynb")))
        return cls(frozenset(path.name for path in folders), frozenset(alike), other_notebooks(coursedir, assignment))


def own_folders(coursedir: CourseDirectory, assignment: Assignment) -> list[pathlib.Path]:
    """The assignment's folders in the course's source and in its releases."""
    steps = (coursedir.source_directory, coursedir.release_directory)
    return [pathlib.Path(coursedir.format_path(step, ".", assignment.assignment_id)) for step in steps]


def other_notebooks(coursedir: CourseDirectory, assignment: Assignment) -> frozenset[str]:
    """Names of the other notebooks in the assignment's own folders."""
    found = {path.name for own in own_folders(coursedir, assignment) for path in own.glob("*.ipynb")}
    return frozenset(found - {f"{assignment.notebook_id}.ipynb"})


def look_at(entry: pathlib.Path, below: pathlib.Path, assignment: Assignment, others: Others, place: str) -> HandedIn | None:
    """What lies in one entry of the students' folder; None when it is nothing of this assignment."""
    student, wanted = printable(entry.name), f"{assignment.notebook_id}.ipynb"
    folder = entry / below
    if not entry.is_dir():
        kind = "a link that leads nowhere" if entry.is_symlink() else "a file"
        return HandedIn(student, folder, problem=f"This is {kind} where the students' folders are. {place}", is_students=False)
    if student != entry.name:
        problem = "The name of this folder is no text that can be stored: rename it."
        return HandedIn(student, folder, problem=problem, is_students=False)
    try:
        inside = folder.is_dir()
        files = list(walk(folder if inside else entry, set() if inside else others.assignments))
    except OSError as error:
        return HandedIn(student, folder, problem=f"{student}'s folder cannot be read: {error.strerror}.")
    timestamp, doubt = time_of(folder)
    if len(files) >= MAX_ENTRIES:
        problem = f"There are more than {MAX_ENTRIES} files, or folders in folders: leave only what was asked for."
        return HandedIn(student, folder, problem=problem, timestamp=timestamp)
    notebooks = [path for path in files if NOTEBOOK.fullmatch(path.name) and is_regular(path)]
    notebooks = [path for path in notebooks if path not in {folder / name for name in others.notebooks}]
    if not inside:  # another assignment's, perhaps
        notebooks = [path for path in notebooks if is_ours(path, assignment)]
    chosen, note, problem = choose(folder / wanted, notebooks, assignment)
    if chosen is None and not problem:
        problem = astray(entry, folder / wanted, assignment, others)
        if not inside and not problem:
            return None
        problem = problem or nothing(folder, wanted, files)
    if problem:
        return HandedIn(student, folder, problem=problem, timestamp=timestamp)
    assert chosen is not None
    try:
        with opened(chosen):
            pass
    except OSError as error:
        problem = f"{printable(chosen.name)} cannot be read: {error.strerror}."
        return HandedIn(student, folder, problem=problem, timestamp=timestamp)
    return HandedIn(student, folder, chosen, " ".join(filter(None, [note, doubt])), timestamp=timestamp)


def printable(name: str) -> str:
    """A name that somebody else has given, as text that can be shown and stored."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def walk(folder: pathlib.Path, others: Collection[str]) -> Iterator[pathlib.Path]:
    """Files and links below a folder; not what editors and archives leave, nor other assignments' folders.

    At most `MAX_ENTRIES`, which are given too where folders lie too deep in each other.

    Raises:
        OSError: a folder cannot be read.
    """
    count, waiting = 0, [(folder, 0)]
    while waiting:
        here, depth = waiting.pop(0)
        left_out = IGNORED | set(others if here == folder else ())
        for path in sorted(here.iterdir()):
            count += 1
            if count >= MAX_ENTRIES or depth > MAX_DEPTH:
                yield from [here] * MAX_ENTRIES
                return
            if path.is_symlink() or not path.is_dir():
                if not path.name.startswith("."):
                    yield path
            elif path.name not in left_out:
                waiting.append((path, depth + 1))


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
        return printable(os.path.relpath(path, expected.parent))

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


def astray(entry: pathlib.Path, expected: pathlib.Path, assignment: Assignment, others: Others) -> str:
    """Which notebook of the assignment lies among the student's for another one, in a sentence; "" for none."""
    found: list[pathlib.Path] = []
    for name in sorted(others.assignments - others.alike):
        with contextlib.suppress(OSError):
            files = [path for path in walk(entry / name, set()) if NOTEBOOK.fullmatch(path.name) and is_regular(path)]
            found += [path for path in files if is_ours(path, assignment, least=len(assignment.graded_cells) // 2)]
    if not found:
        return ""
    names = ", ".join(printable(os.path.relpath(path, entry)) for path in found[:3])
    return (
        f"{names} in {entry.name}'s folder is a notebook of {assignment.assignment_id}, and lies with another assignment: "
        f"if it is meant, put it at {os.path.relpath(expected, entry.parent)}."
    )


def is_ours(path: pathlib.Path, assignment: Assignment, least: int = 1) -> bool:
    """Whether it holds cells of the assignment, at least so many."""
    try:
        with opened(path) as file:
            cells = json.loads(file.read(MAX_BYTES))["cells"]
        names = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells}
    except Exception:  # whatever else calls itself a notebook
        return False
    return len(names & set(assignment.graded_cells)) >= least


def nothing(folder: pathlib.Path, wanted: str, files: list[pathlib.Path]) -> str:
    """Why there is no notebook in the student's folder, in a sentence."""
    files = [path for path in files if path != folder / TIMESTAMP]  # nbgrader's, not the student's
    links = [path for path in files if path.is_symlink()]
    names = [printable(os.path.relpath(path, folder)) for path in [*links[:1], *files[:3]]]
    if links:
        return f"{names[0]} is a link, and links are not followed: put the file itself there."
    if files:
        more = ", …" if len(files) > 3 else ""
        return f"There is no notebook, but {', '.join(names)}{more}: ask the student for {wanted}."
    return f"The folder is empty: ask the student for {wanted}."


def time_of(folder: pathlib.Path) -> tuple[str | None, str]:
    """(when it was handed in, what is odd about that), as the assignment's folder says; what lies deeper is the student's."""
    try:
        with opened(folder / TIMESTAMP) as file:
            text = file.read(200).decode("utf-8-sig", "replace").strip()
    except OSError:
        return None, ""
    try:
        parse_utc(text)
    except Exception:  # dateutil raises whatever it meets
        shown = text[:40] if text.isprintable() else "something unreadable"
        return (
            None,
            f"{TIMESTAMP} says “{shown}”, which is no date and time, so it was taken to be in time; formgrader's list of "
            "submissions stays empty until the file is mended or gone.",
        )
    return text, ""


def files_beside(coursedir: CourseDirectory, assignment: Assignment, path: pathlib.Path | None) -> dict[str, bytes]:
    """What code finds beside a notebook: what was handed in with it, and what the course gives out. Path from there → bytes.

    The course's come first, unless `c.Autograde.exclude_overwriting` says that students edit them. No links, nothing hidden,
    and no more than `MAX_FILES` files with `MAX_FILE_BYTES` bytes altogether, in the order of names.
    """
    given = pathlib.Path(coursedir.format_path(coursedir.source_directory, ".", assignment.assignment_id))
    edited = coursedir.config.get("Autograde", {}).get("exclude_overwriting", {}).get(assignment.assignment_id, [])
    places: dict[str, pathlib.Path] = {}
    if path is not None:
        places |= {other.relative_to(path.parent).as_posix(): other for other in beside(path)}
    for name in find_all_files(str(given), [*coursedir.ignore, "*.ipynb"]) if given.is_dir() else []:
        relative = pathlib.Path(name).relative_to(given).as_posix()
        if not (relative in edited and relative in places):
            places[relative] = pathlib.Path(name)
    kept: dict[str, bytes] = {}
    left = MAX_FILE_BYTES
    for name, place in sorted(places.items()):
        if len(kept) == MAX_FILES or not name.isprintable() or len(name.encode()) > MAX_NAME:
            continue
        with contextlib.suppress(OSError), opened(place) as file:
            data = file.read(left + 1)
            if len(data) <= left:
                kept[name], left = data, left - len(data)
    return kept


def stage(coursedir: CourseDirectory, assignment: Assignment, handed_in: HandedIn) -> list[pathlib.Path]:
    """Makes the folder of what nbgrader is to take of it.

    Returns:
        paths of the notebooks there: ours, an empty file where there is none, and those that the course has beside it.
    """
    folder = pathlib.Path(coursedir.format_path(STAGED, handed_in.student, assignment.assignment_id))
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    notebooks = [folder / f"{assignment.notebook_id}.ipynb"]
    notebooks[0].write_bytes(handed_in.read())
    if handed_in.timestamp is not None:
        (folder / TIMESTAMP).write_text(handed_in.timestamp, encoding="utf-8")
    for name in sorted(other_notebooks(coursedir, assignment)):
        with contextlib.suppress(OSError), opened(handed_in.folder / name) as file:
            notebooks.append(folder / name)
            notebooks[-1].write_bytes(file.read())
    if handed_in.path is not None:
        for path in beside(handed_in.path):
            with contextlib.suppress(OSError):  # a name may be that of a notebook, or too long
                put(path, folder / path.relative_to(handed_in.path.parent))
    return notebooks


def put(path: pathlib.Path, to: pathlib.Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, to, follow_symlinks=False)  # costs nothing; nobody changes a staged file
    except OSError:  # another disk; where something has that name, copying fails too
        with opened(path) as file, to.open("xb") as copy:
            shutil.copyfileobj(file, copy)


def beside(path: pathlib.Path) -> list[pathlib.Path]:
    """The files handed in beside a notebook, and below: no links, no other notebook, and no more than MAX_BESIDE bytes."""
    found, left = [], MAX_BESIDE
    with contextlib.suppress(OSError):
        for other in walk(path.parent, set()):
            if not str(other.relative_to(path.parent)).isprintable():  # nbgrader logs names as they are
                continue
            if other.name == TIMESTAMP or NOTEBOOK.fullmatch(other.name) or not is_regular(other):
                continue
            left -= other.lstat().st_size
            if left >= 0:
                found.append(other)
    return found
