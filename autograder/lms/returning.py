"""Feedback back to where the submissions came from, under the names by which the system knows them.

    feedback/STUDENT/ASSIGNMENT/*.html ─┐
    collected.json ─────────────────────┴─► `pack`: a zip for each system, and one with a folder for each student for the rest

What was packed last is remembered in .autograder/returned.json, by a hash of each student's page:

    {"hw3": {"ada": "…sha256…"}}

What each system takes is in docs/returning.md, with its sources.
"""

import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from nbgrader.coursedir import CourseDirectory

from autograder.errors import CourseError
from autograder.lms import collect, zips
from autograder.lms.sheets import System

FOLDER = "returned"  # in the course's
# What a system reads of a name: Moodle the number and the two words behind it, Brightspace both numbers, Canvas both numbers.
MOODLE = re.compile(r"[^_/]+_\d+_assignsubmission_file(?=_|$)")
BRIGHTSPACE = re.compile(r"\d+-\d+ - .+")
CANVAS = re.compile(r"([^_/]+(?:_LATE)?_\d+_\d+)_.+", re.IGNORECASE)
UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.{1,2}$')
MADE_OF = re.compile(rb'<meta name="made-of" content="[^"]*">')
MAX_COMMENT = 1000  # bytes; a zip may have 65,535


@dataclasses.dataclass(frozen=True)
class Packed:
    """A zip with feedback.

    Attributes:
        system: that takes it; None where each student has a folder, for a person to hand out.
        students: whose pages are in it.
    """

    path: pathlib.Path
    system: System | None
    students: Sequence[str]


def collected(coursedir: CourseDirectory, assignment_id: str, only: str | None = None) -> dict[str, dict[str, Any]]:
    """student → what `autograder collect` has recorded of them; CourseError where the record is damaged. `only` as there."""
    where = collect.folder(coursedir, assignment_id)
    students: dict[str, dict[str, Any]] = collect.settled(coursedir, where, only)["students"]
    return students


def remembered(coursedir: CourseDirectory) -> dict[str, dict[str, str]]:
    """assignment → student → hash of what was packed last; nothing where that cannot be read, so that all is packed again."""
    try:
        found = json.loads(memory(coursedir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: own for name, own in found.items() if isinstance(own, dict)} if isinstance(found, dict) else {}


def memory(coursedir: CourseDirectory) -> pathlib.Path:
    return pathlib.Path(coursedir.root, ".autograder", "returned.json")


def remember(coursedir: CourseDirectory, assignment_id: str, pages: Mapping[str, Sequence[pathlib.Path]]) -> None:
    """Keeps what was packed now; what was packed before of other students stays."""
    found = remembered(coursedir)
    found[assignment_id] = found.get(assignment_id, {}) | {student: hash_of(own) for student, own in pages.items()}
    memory(coursedir).parent.mkdir(exist_ok=True)
    collect.write(memory(coursedir), found)


def changed(
    coursedir: CourseDirectory, assignment_id: str, pages: Mapping[str, Sequence[pathlib.Path]]
) -> dict[str, Sequence[pathlib.Path]]:
    """Those of pages that are not as they were when they were packed last."""
    before = remembered(coursedir).get(assignment_id, {})
    return {student: own for student, own in pages.items() if before.get(student) != hash_of(own)}


def hash_of(pages: Sequence[pathlib.Path]) -> str:
    """Of what a student reads: by what a page was made is another with each version of this package."""
    digest = hashlib.sha256()
    for page in pages:
        digest.update(MADE_OF.sub(b"", page.read_bytes(), count=1))
    return digest.hexdigest()


def fresh(folder: pathlib.Path) -> pathlib.Path:
    """A place below a folder for pages that changed, so that a zip which nobody has uploaded yet is not replaced."""
    return next(path for number in itertools.count(1) if not (path := folder / f"changed-{number}").exists())


def pack(
    assignment_id: str,
    pages: Mapping[str, Sequence[pathlib.Path]],
    record: Mapping[str, Mapping[str, Any]],
    to: pathlib.Path,
) -> list[Packed]:
    """Packs feedback pages as the systems take them back. Zips that this made before are replaced; they say so themselves.

    Args:
        pages: student → their pages.
        record: student → as `collected` gives it.
        to: the folder for the zips, in which there may be anything else.

    Raises:
        CourseError: something else has the name of a zip; nothing was changed then.
    """
    sign = f"Feedback of {assignment_id}, packed by autograder return".encode()[:MAX_COMMENT]
    found: dict[System | None, dict[str, dict[str, pathlib.Path]]] = {}
    for student, own in sorted(pages.items()):
        system, names = named(student, own, record.get(student, {}))
        found.setdefault(system, {})[student] = names
    paths = {system: to / f"{system or 'students'}.zip" for system in found}
    for path in paths.values():
        if path.exists() and comment_of(path) != sign:
            raise CourseError(f"{path} is no feedback of {assignment_id}: move it away, or name another folder with --output.")
    to.mkdir(parents=True, exist_ok=True)
    packed = []
    for system, students in found.items():
        path = paths[system]
        partial = path.with_name(f".{path.name}")
        files = ((name, page.read_bytes()) for own in students.values() for name, page in own.items())
        zips.write(partial, files, comment=sign)
        partial.replace(path)
        packed.append(Packed(path, system, list(students)))
    for stale in to.glob("*.zip"):
        if stale not in paths.values() and comment_of(stale) == sign:
            stale.unlink()
    return packed


def comment_of(path: pathlib.Path) -> bytes | None:
    """The comment of a zip; None where it is none that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return None


def named(
    student: str, pages: Sequence[pathlib.Path], about: Mapping[str, Any]
) -> tuple[System | None, dict[str, pathlib.Path]]:
    """(the system that takes a student's pages, the name of each in its zip)"""
    system, file = about.get("system"), str(about.get("file", ""))
    folders = [part for part in str(about.get("folder", "")).split("/") if part]
    if system == System.MOODLE:
        for part in folders:
            if MOODLE.fullmatch(part.removesuffix("_")) and safe(part):
                return System.MOODLE, {f"{part}/{page.name}": page for page in pages}
        if (match := MOODLE.match(file)) and safe(match[0]):
            return System.MOODLE, {f"{match[0]}_{page.name}": page for page in pages}
    if system == System.CANVAS and (match := CANVAS.fullmatch(file)) and safe(file):
        # Not the student's own name: Canvas passes over a file whose last part between `_` begins with `link`.
        return System.CANVAS, {f"{match[1]}_feedback-{page.name.replace('_', '-')}": page for page in pages}
    if system == System.BRIGHTSPACE:
        for part in folders:
            if BRIGHTSPACE.fullmatch(part) and safe(part):
                return System.BRIGHTSPACE, {f"{part}/{page.name}": page for page in pages}
    return None, {f"{student}/{page.name}": page for page in pages}


def safe(name: str) -> bool:
    """Whether a name leads nowhere else where the zip is unpacked."""
    return not UNSAFE.search(name)
