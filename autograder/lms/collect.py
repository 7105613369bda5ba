"""From what a learning management system hands out to `submitted/`, and a table of everything that came in.

    archives and folders ─► downloaded/ASSIGNMENT/archive/        kept as they came
                              └─► downloaded/ASSIGNMENT/extracted/     unpacked, anew each time
                                    └─► `plan`: for each student what counts, and a row for all that does not
                                          └─► submitted/STUDENT/ASSIGNMENT/    the notebook under its own name, what was
                                                                               handed in with it, and timestamp.txt

Of what a student handed in several times, the last counts. Nothing is overwritten but what was collected before, and that is
moved to downloaded/ASSIGNMENT/replaced/; what is there from elsewhere stays, and a row says so.

The record, downloaded/ASSIGNMENT/collected.json, is for what brings feedback back:

    {"format": 1, "assignment": "hw3",
     "archives": [{"name": "submissions.zip", "sha256": "…"}],      in the order in which they were given
     "who": {"101-7 - Alex Smith": "asmith1"},                      what was said by hand
     "students": {"ada": {
        "system": "canvas", "archive": "submissions.zip",
        "folder": "", "file": "lovelaceada_LATE_4101_9001_hw3.ipynb",   the notebook's, as the system gave them
        "notebook": "hw3.ipynb",                                        its name in submitted/
        "time": "2026-10-05T11:30:12+02:00", "late": true,              or null
        "name": "Ada Lovelace", "lms_ids": {"id": "4101", "login": "ada"},
        "placed": {"hw3.ipynb": "…sha256…", "timestamp.txt": "…"}}}}
"""

import collections
import contextlib
import dataclasses
import datetime
import enum
import hashlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from autograder.errors import CourseError
from autograder.grading.notebook import MAX_BYTES
from autograder.lms import downloads
from autograder.lms.downloads import Download, Entry, Upload
from autograder.lms.people import Person, Roster, halves, normal, unsafe
from autograder.lms.sheets import Column, Sheet, System
from autograder.lms.times import Reading
from autograder.nbgrader import recognition
from autograder.nbgrader.submitted import NOTEBOOK, TIMESTAMP

FORMAT = 1
RECORD = "collected.json"
EXTRACTED, ARCHIVE, REPLACED = "extracted", "archive", "replaced"
# nbgrader's own marks in a master notebook, which no release has.
KEPT_FROM_STUDENTS = re.compile(r"BEGIN (?:HIDDEN TESTS|SOLUTION|MARK SCHEME)")
FEEDBACK = re.compile(rb"<title>Feedback for |\(Score: |nbgrader_feedback|id=\"toc\"")
COUNTED = re.compile(r"[-_ ]?\(?\d{1,3}\)?$")  # what browsers and Canvas put behind the name of a later file


class State(enum.StrEnum):
    """What became of something that came in."""

    COLLECTED = "collected"
    REPLACED = "collected anew"
    UNCHANGED = "collected before"
    EARLIER = "earlier"
    LEFT_OUT = "left out"
    NOT_COLLECTED = "not collected"
    MISSING = "nothing came in"
    ADDED = "not a hand-in"


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        student: nbgrader's id, or "" where nobody is known.
        file: what came in, as the system gave it.
        own: the same as the student named it, where it is known whose it is.
        for_a_person: whether somebody has to look.
    """

    state: State
    student: str = ""
    name: str = ""
    file: str = ""
    own: str = ""
    time: datetime.datetime | None = None
    late: bool = False
    note: str = ""
    for_a_person: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its fields, the time in ISO 8601 or null."""
        return {**dataclasses.asdict(self), "time": self.time.isoformat() if self.time else None}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which notebooks a course expects: of this assignment, and of its others, by the names of their cells.

    Attributes:
        notebooks: name of a notebook without its ending → its cells.
        others: assignment → the cells of its notebooks.
    """

    assignment_id: str
    notebooks: Mapping[str, frozenset[str]]
    others: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, coursedir: CourseDirectory, assignment_id: str) -> "Wanted":
        """From the course's masters, its releases, or its gradebook.

        Raises:
            CourseError: none of them knows the assignment.
        """
        found: dict[str, dict[str, frozenset[str]]] = {}
        for step in (coursedir.release_directory, coursedir.source_directory):
            above = pathlib.Path(coursedir.format_path(step, ".", "*")).parent
            for path in sorted(above.glob("*/*.ipynb")):
                with contextlib.suppress(OSError):
                    found.setdefault(path.parent.name, {})[path.stem] = frozenset(cells_of(path)[0])
        if assignment_id not in found and recognition.has_gradebook(coursedir.db_url):
            with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook, contextlib.suppress(MissingEntry):
                for notebook in gradebook.find_assignment(assignment_id).notebooks:
                    cells = {cell.name for cell in (*notebook.grade_cells, *notebook.solution_cells)}
                    found.setdefault(assignment_id, {})[notebook.name] = frozenset(cells)
        if assignment_id not in found:
            known = f" Known: {', '.join(sorted(found))}." if found else ""
            raise CourseError(f"There is no assignment {assignment_id!r} in this course.{known}")
        others = {name: frozenset().union(*cells.values()) for name, cells in found.items() if name != assignment_id}
        return cls(assignment_id, found[assignment_id], others)

    def recognise(self, path: pathlib.Path) -> tuple[str, str]:
        """(the assignment's notebook that a file is or "", what is wrong with the file, as a sentence, or "")"""
        try:
            cells, kept = cells_of(path)
        except OSError:
            return "", "It is no notebook that can be read: the upload broke off, or it is something else."
        best = max(self.notebooks, key=lambda name: len(self.notebooks[name] & cells))
        ours = len(self.notebooks[best] & cells)
        other = max(self.others, key=lambda name: len(self.others[name] & cells), default="")
        if other and len(self.others[other] & cells) > ours:
            return "", f"It is a notebook of {other}."
        if not ours:
            return "", "It is a notebook of no assignment of this course."
        if kept:
            return best, "It is a marked copy or the master, not the notebook that students were given."
        return best, ""


def cells_of(path: pathlib.Path) -> tuple[set[str], bool]:
    """(names of a notebook's cells, whether it holds what a release does not); OSError where it is no notebook"""
    try:
        with path.open("rb") as file:
            cells = json.loads(file.read(MAX_BYTES + 1))["cells"]
        found = [(cell.get("metadata") or {}).get("nbgrader") or {} for cell in cells]
        names = {name for about in found if isinstance(name := about.get("grade_id"), str)}
        sources = ("".join(cell.get("source") or "") for cell, about in zip(cells, found, strict=True) if about)
        return names, any(KEPT_FROM_STUDENTS.search(source) for source in sources)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise OSError(str(error)) from error


# --- who -------------------------------------------------------------------------------------------------------------


def of_gradebook(gradebook: Gradebook) -> Roster:
    """The students that a course has already; `lms_user_id` is Canvas's, the only id of a system that stays the same."""
    return Roster(
        [
            Person(
                student.id,
                student.first_name or "",
                student.last_name or "",
                student.email or "",
                {Column.LOGIN: student.id} | ({Column.LMS_ID: student.lms_user_id} if student.lms_user_id else {}),
            )
            for student in gradebook.students
        ],
        system=System.CANVAS,
    )


@dataclasses.dataclass
class Who:
    """Finds out whose an upload is.

    Args:
        roster: who is in the course.
        is_all: whether nobody else is; otherwise whoever is unknown gets the id that their file's name says.
        by_hand: a part of a path, or its beginning → the student whose it is.
    """

    roster: Roster
    is_all: bool
    by_hand: Mapping[str, str] = dataclasses.field(default_factory=dict)
    new: dict[str, Person] = dataclasses.field(default_factory=dict)

    def of(self, upload: Upload) -> tuple[Person | None, str]:
        """(the student, or None; why nobody is known, as a sentence, or "")"""
        for beginning, student in self.by_hand.items():
            if any(part.startswith(beginning) for part in upload.entry.parts):
                found = self.roster.known_as("student", student)
                return (found[0], "") if found else (None, f"--who names {student!r}, who is not in the course.")
        for kind, value in upload.who:
            if kind == Column.LMS_ID and upload.system not in (self.roster.system, System.PLAIN):
                continue
            found = self.roster.known_as(kind, value)
            if found and ("/" in found[0].student or found[0].student in (".", "..")):
                return None, f"No folder can be named {found[0].student!r}, the id in the gradebook."
            if len(found) > 1:
                names = ", ".join(person.student for person in found)
                whose = shlex.quote(f"{whole_name(upload)}=STUDENT")
                return None, f"Several are called {value}: {names}. Say whose it is: --who {whose}"
            if found:
                namesakes = self.roster.known_as(Column.NAME, upload.name) if upload.system is System.MOODLE else []
                if namesakes and found[0] not in namesakes:
                    return None, (
                        f"Its number is {found[0].name}'s in the sheet, and its name another's: give the worksheet of this "
                        "assignment."
                    )
                return found[0], ""
        if self.is_all:
            return None, "Nobody in the sheet has this name or number."
        student = normal(upload.own)
        if wrong := unsafe(student):
            return None, f"{student or 'Its name'!r} {wrong}: give the sheet of the course with --roster."
        first, last = halves(upload.name) if upload.system is not System.CANVAS else ("", "")
        email = next((value for kind, value in upload.who if kind == Column.EMAIL and "@" in value), "")
        ids = {kind: value for kind, value in upload.who if kind in (Column.LOGIN, Column.NUMBER, Column.LMS_ID)}
        person = Person(student, first, last, email, ids if upload.system is not System.PLAIN else {})
        before = self.new.setdefault(student, person)
        if before.lms_ids != person.lms_ids:
            return None, f"Several are called {upload.name or student}: give the sheet of the course with --roster."
        return before, ""

    def id_of_canvas(self, person: Person, uploads: Iterable[Upload] = ()) -> str:
        """The one id of a system that stays the same from one assignment to the next; "" where it is not known."""
        ids = [value for up in uploads if up.system is System.CANVAS for kind, value in up.who if kind == Column.LMS_ID]
        if self.roster.system is System.CANVAS:
            ids.append(person.lms_ids.get(Column.LMS_ID, ""))
        return ids[0] if ids else ""


def whole_name(upload: Upload) -> str:
    """How the name begins of all that a student handed in, as far as the system says it."""
    return upload.entry.parts[0].split(" ")[0] if upload.system is System.BRIGHTSPACE else upload.entry.parts[0]


# --- what counts -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What a student handed in at one time.

    Attributes:
        order: of its archive; a later one holds a later state.
    """

    order: int
    uploads: tuple[Upload, ...]

    @property
    def time(self) -> datetime.datetime | None:
        return max((upload.time for upload in self.uploads if upload.time), default=None)

    @property
    def late(self) -> bool:
        return any(upload.late for upload in self.uploads)

    @property
    def rank(self) -> int:
        return max(upload.rank for upload in self.uploads)

    def content(self) -> dict[str, str]:
        """path → hash of what is there"""
        return {upload.file: hash_of(upload.entry.path) for upload in self.uploads if upload.entry.path}


def in_order(attempts: Sequence[Attempt]) -> list[Attempt] | None:
    """From the first to the last, or None where nothing says which that is."""
    keys: list[list[Any]] = [[attempt.time for attempt in attempts], [attempt.rank for attempt in attempts]]
    keys.append([attempt.order + 1 for attempt in attempts])
    for key in keys:
        if all(key) and len(set(key)) == len(key):
            return [attempt for _, attempt in sorted(zip(key, attempts, strict=True), key=lambda pair: pair[0])]
    # Twice the same time is no matter as long as the last is one.
    times = keys[0]
    if all(times) and times.count(max(times)) == 1:
        return [attempt for _, attempt in sorted(zip(times, attempts, strict=True), key=lambda pair: pair[0])]
    return None


@dataclasses.dataclass(frozen=True)
class Placement:
    """What goes into a student's folder.

    Attributes:
        files: name there → the file.
        notebook: the upload that counts as the notebook, or else the first.
        time: what timestamp.txt says, or None.
    """

    person: Person
    files: Mapping[str, Upload]
    notebook: str
    counts: Upload
    time: datetime.datetime | None
    late: bool

    def contents(self) -> dict[str, str]:
        """path → hash of all that goes there"""
        new = {name: hash_of(upload.entry.path) for name, upload in self.files.items() if upload.entry.path}
        return new | ({TIMESTAMP: hashlib.sha256(stamp(self.time).encode()).hexdigest()} if self.time else {})


@dataclasses.dataclass
class Plan:
    """What is to be done, and the table of it."""

    placements: list[Placement] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
    people: list[tuple[Person, str]] = dataclasses.field(default_factory=list)  # with their id of Canvas


def plan(read: Sequence[Download], who: Who, wanted: Wanted, due: datetime.datetime | None) -> Plan:
    """What of some downloads counts for each student.

    Args:
        due: what a hand-in that the system calls late was later than, where it does not say when it came.
    """
    made, theirs = Plan(), dict[str, tuple[Person, dict[tuple[int, str], list[Upload]]]]()
    for order, download in enumerate(read):
        made.rows += of_others(download)
        for upload in download.uploads:
            person, why = who.of(upload)
            if person is None:
                made.rows.append(
                    Row(State.NOT_COLLECTED, "", upload.name, upload.entry.name, "", upload.time, upload.late, why, True)
                )
            else:
                attempts = theirs.setdefault(person.student, (person, collections.defaultdict(list)))[1]
                attempts[order, upload.attempt].append(upload)
    for student in sorted(theirs):
        person, attempts = theirs[student]
        placed, rows = of_student(person, [Attempt(order, tuple(found)) for (order, _), found in attempts.items()], wanted, due)
        made.rows += rows
        made.people.append((person, who.id_of_canvas(person, itertools.chain(*attempts.values()))))
        if placed:
            made.placements.append(placed)
    for person in who.roster.people if who.is_all else ():
        if person.student not in theirs:
            made.people.append((person, who.id_of_canvas(person)))
            made.rows.append(Row(State.MISSING, person.student, person.name))
    return made


def of_others(download: Download) -> Iterator[Row]:
    """The rows of what is nobody's hand-in; one for all that a system or a computer adds."""
    added = [entry for entry, why in download.others if not why]
    for entry, why in download.others:
        if why:
            yield Row(State.LEFT_OUT, file=f"{download.archive}: {entry.name}", note=why, for_a_person=True)
    if added:
        more = f" and {len(added) - 1} more" if len(added) > 1 else ""
        yield Row(State.ADDED, file=f"{download.archive}: {added[0].name}{more}", note="Added by a system or a computer.")


def of_student(
    person: Person, attempts: Sequence[Attempt], wanted: Wanted, due: datetime.datetime | None
) -> tuple[Placement | None, list[Row]]:
    """What counts of what one student handed in, and the rows of all of it."""

    def row(state: State, attempt: Attempt, note: str = "", for_a_person: bool = False, upload: Upload | None = None) -> Row:
        of = upload or attempt.uploads[0]
        file, own = of.entry.name, downloads.shown(of.file)
        return Row(state, person.student, person.name, file, own, attempt.time, attempt.late, note, for_a_person)

    distinct: list[Attempt] = []
    for attempt in attempts:
        same = next((other for other in distinct if other.content() == attempt.content()), None)
        if same is None:
            distinct.append(attempt)
        elif attempt.time < same.time if attempt.time and same.time else attempt.order > same.order:
            # It was there from the first time on; without times, the later download knows better whether it was late.
            distinct[distinct.index(same)] = attempt
    ordered = in_order(distinct)
    if ordered is None:
        why = "Nothing says which of these is the last: take the others out of the archive."
        return None, [row(State.NOT_COLLECTED, attempt, why, True) for attempt in distinct]
    last, rows = ordered[-1], [row(State.EARLIER, attempt) for attempt in ordered[:-1]]
    choice = chosen(last, wanted)
    if choice.counts is None:
        return None, [*rows, row(State.NOT_COLLECTED, last, " ".join(choice.wrong), True)]
    if choice.wrong and any(not chosen(attempt, wanted).wrong for attempt in ordered[:-1]):
        choice.wrong.append("An earlier one is right.")
    time = last.time
    if last.late and time is None:
        time = due and due + datetime.timedelta(seconds=1)
        if due:
            choice.odd.append("Late, and the system does not say by how much: one second is counted.")
        else:
            choice.wrong.append("Late, and neither is it known by how much nor when it was due: it counts as in time.")
    rows.append(row(State.COLLECTED, last, " ".join([*choice.wrong, *choice.odd]), bool(choice.wrong), choice.counts))
    return Placement(person, choice.files, choice.notebook, choice.counts, time, last.late), rows


@dataclasses.dataclass
class Choice:
    """What of an attempt goes into the student's folder.

    Attributes:
        files: name there → the file.
        notebook: the name there of what counts as the notebook, "" where there is none.
        counts: that, or the first file; None where several could be it, and nothing goes there.
        wrong: what a person has to look at, in sentences.
        odd: what else is to be said.
    """

    files: dict[str, Upload] = dataclasses.field(default_factory=dict)
    notebook: str = ""
    counts: Upload | None = None
    wrong: list[str] = dataclasses.field(default_factory=list)
    odd: list[str] = dataclasses.field(default_factory=list)


def chosen(attempt: Attempt, wanted: Wanted) -> Choice:
    """What of an attempt goes into the student's folder, under which names."""
    made, left = Choice(), set[Upload]()
    found: dict[str, list[tuple[Upload, str]]] = collections.defaultdict(list)
    for upload in attempt.uploads:
        if NOTEBOOK.fullmatch(pathlib.PurePosixPath(upload.file).name) and upload.entry.path:
            name, problem = wanted.recognise(upload.entry.path)
            found[name].append((upload, problem))
    others = found.pop("", [])
    for name, candidates in found.items():
        best = the_one(name, candidates)
        if best is None:
            names = ", ".join(downloads.shown(upload.file) for upload, _ in candidates)
            return Choice(wrong=[f"{names}: nothing says which of them is the last."])
        made.files[f"{name}.ipynb"] = best
        made.wrong += [problem for upload, problem in candidates if upload is best and problem]
        left |= {upload for upload, _ in candidates if upload is not best}
    if not found and len(others) == 1:  # put where the notebook belongs, it waits for a person as others do
        made.files[f"{next(iter(wanted.notebooks))}.ipynb"] = others[0][0]
    made.notebook = next(iter(made.files), "")
    made.wrong += [f"{downloads.shown(upload.file)}: {problem}" for upload, problem in others]
    if not found and not others:
        made.wrong.append(no_notebook(attempt))
    for upload in attempt.uploads:
        if upload not in left and upload not in made.files.values():
            place(made.files, upload)
    if left:
        made.odd.append(f"Not the last: {', '.join(sorted(downloads.shown(upload.file) for upload in left))}.")
    made.counts = made.files[made.notebook] if made.notebook else attempt.uploads[0]
    return made


def the_one(name: str, candidates: Sequence[tuple[Upload, str]]) -> Upload | None:
    """Which of several files that are the same notebook counts: the last, the one with its name, or None."""
    uploads = [upload for upload, problem in candidates if not problem] or [upload for upload, _ in candidates]
    if len({hash_of(upload.entry.path) for upload in uploads if upload.entry.path}) == 1:
        return uploads[0]
    ranks = [upload.rank for upload in uploads]
    if max(ranks) and ranks.count(max(ranks)) == 1:
        return uploads[ranks.index(max(ranks))]
    exact = [upload for upload in uploads if upload.file == f"{name}.ipynb"]
    others = [upload for upload in uploads if COUNTED.sub("", pathlib.PurePosixPath(upload.file).stem) == name]
    # `homework (1).ipynb` beside `homework.ipynb` may be the later one, or an older one that was opened again.
    return exact[0] if len(exact) == 1 and len(others) == 1 else None


def no_notebook(attempt: Attempt) -> str:
    """What was handed in instead of a notebook, in a sentence."""
    for upload in attempt.uploads:
        suffix, path = pathlib.PurePosixPath(upload.file).suffix.lower(), upload.entry.path
        if suffix in (".zip", ".gz", ".tgz", ".7z", ".rar", ".tar"):
            return "An archive was handed in, which is not opened: unpack it, and put the notebook there."
        if suffix in (".html", ".htm") and path:
            with contextlib.suppress(OSError), path.open("rb") as file:
                if FEEDBACK.search(file.read(MAX_BYTES)):
                    return "A feedback page was handed in, and no notebook."
    return "There is no notebook."


def place(files: dict[str, Upload], upload: Upload) -> None:
    """Gives a file handed in beside the notebook a name of its own there."""
    name = pathlib.PurePosixPath(upload.file)
    if name.name == TIMESTAMP:  # nbgrader would believe it
        return
    taken = {other.casefold() for other in files}
    number = 1
    to = name
    while str(to).casefold() in taken:
        number += 1
        to = name.with_name(f"{name.stem} ({number}){name.suffix}")
    files[str(to)] = upload


def hash_of(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the course's folders --------------------------------------------------------------------------------------------


def folder(coursedir: CourseDirectory, assignment_id: str) -> pathlib.Path:
    """Where nbgrader keeps what was downloaded for an assignment."""
    name = coursedir.config.ZipCollectApp.get("downloaded_directory", "downloaded")
    return pathlib.Path(coursedir.root, name, assignment_id)


def recorded(where: pathlib.Path) -> dict[str, Any]:
    """The record in a folder of downloads; an empty one where there is none.

    Raises:
        CourseError: it is damaged.
    """
    try:
        found = json.loads((where / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError) as error:
        raise CourseError(f"{where / RECORD} is damaged: put back a copy of it, or move it away. {error}") from error
    return {"format": FORMAT, "archives": [], "who": {}, "students": {}, **found}


def archives(where: pathlib.Path, record: Mapping[str, Any]) -> list[pathlib.Path]:
    """What lies in the folder of archives, in the order in which it came; what was put there by hand is last."""
    names = [archive["name"] for archive in record["archives"]]
    if not (where / ARCHIVE).is_dir():
        return []
    found = [path for path in sorted((where / ARCHIVE).iterdir()) if not downloads.LITTER.fullmatch(path.name)]
    return sorted(found, key=lambda path: names.index(path.name) if path.name in names else len(names))


def keep(source: pathlib.Path, where: pathlib.Path, record: dict[str, Any]) -> None:
    """Copies an archive or a folder to where they are kept; the same one only once, another of the same name beside it."""
    own = hash_of_all(source)
    known = {archive["sha256"]: archive["name"] for archive in record["archives"]}
    if own in known and (where / ARCHIVE / known[own]).exists():
        return
    to, number = where / ARCHIVE / source.name, 1
    while to.exists() and to.resolve() != source.resolve():
        number += 1
        to = where / ARCHIVE / (f"{source.name}-{number}" if source.is_dir() else f"{source.stem}-{number}{source.suffix}")
    if to.resolve() != source.resolve():
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, ignore=no_files)
        else:
            shutil.copyfile(source, to)
    record["archives"].append({"name": to.name, "sha256": own})


def no_files(folder: str, names: Sequence[str]) -> list[str]:
    """What in a folder has no content that could be kept: pipes and devices."""
    paths = [pathlib.Path(folder, name) for name in names]
    return [path.name for path in paths if not (path.is_symlink() or path.is_file() or path.is_dir())]


def hash_of_all(source: pathlib.Path) -> str:
    """Hash of a file, or of all that is below a folder."""
    if not source.is_dir():
        return hash_of(source)
    digest = hashlib.sha256()
    for parts, problem, _, _ in downloads.of_folder(source):
        path = source.joinpath(*parts)
        digest.update(f"{'/'.join(parts)}\0{problem or hash_of(path)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def contents(place: pathlib.Path) -> dict[str, str]:
    """path → hash of all files in a student's folder"""
    if not place.is_dir():
        return {}
    return {"/".join(parts): problem or hash_of(place.joinpath(*parts)) for parts, problem, _, _ in downloads.of_folder(place)}


def compared(placed: Placement, to: pathlib.Path, before: Mapping[str, Any]) -> tuple[State, str]:
    """(what becomes of a placement, why it cannot be, as a sentence, or "")

    Args:
        to: the student's folder.
        before: what the record has of the student.
    """
    there = contents(to)
    if there == placed.contents():
        return State.UNCHANGED, ""
    if there and there != before.get("placed"):
        return State.NOT_COLLECTED, "Other files are in the student's folder, which did not come this way: move them away."
    return (State.REPLACED if there else State.COLLECTED), ""


def transfer(placed: Placement, to: pathlib.Path, aside: pathlib.Path) -> None:
    """Puts what counts into a student's folder; what is there is moved aside."""
    with tempfile.TemporaryDirectory(dir=made(to.parent), prefix=".collect-") as partial:
        new = pathlib.Path(partial, "new")
        for name, upload in placed.files.items():
            assert upload.entry.path is not None
            made((new / name).parent)
            shutil.copyfile(upload.entry.path, new / name)
        if placed.time:
            (made(new) / TIMESTAMP).write_text(stamp(placed.time), encoding="utf-8")
        if contents(to):
            number = 1
            while (aside / str(number)).exists():
                number += 1
            shutil.move(to, made(aside) / str(number))
        elif to.exists():
            shutil.rmtree(to)  # there is no file in it
        new.rename(to)


def stamp(time: datetime.datetime) -> str:
    """What timestamp.txt says, as `nbgrader zip_collect` writes it: UTC, without saying so."""
    return time.astimezone(datetime.UTC).replace(tzinfo=None, microsecond=0).isoformat(" ")


def made(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Options:
    """How to collect.

    Attributes:
        roster: the sheet with the students of the course; None: whoever is in the gradebook, and whoever is new.
        id_column: which of its columns is nbgrader's id.
        reading: how times are read.
        who: whose something is, said by hand.
        dry: whether nothing is to be changed.
    """

    roster: pathlib.Path | None = None
    id_column: str | None = None
    reading: Reading = dataclasses.field(default_factory=Reading)
    who: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dry: bool = False


def collect(coursedir: CourseDirectory, assignment_id: str, sources: Sequence[pathlib.Path], options: Options) -> list[Row]:
    """Collects what is in some archives and folders, and in those that were collected before. → the table of all of it

    Raises:
        CourseError: something cannot be read, or be read in one way; nothing was changed then, but for the archives kept.
    """
    for source in sources:
        if not source.exists():
            raise CourseError(f"{source} is not there.")
    where = folder(coursedir, assignment_id)
    wanted, record = Wanted.of(coursedir, assignment_id), recorded(where)
    record["who"] = {**record["who"], **options.who}
    with contextlib.ExitStack() as stack:
        if options.dry:
            extracted = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            found = [*archives(where, record), *sources]
        else:
            for source in sources:
                keep(source, where, record)
            extracted, found = where / EXTRACTED, archives(where, record)
            if extracted.exists():
                shutil.rmtree(extracted)
        if not found:
            raise CourseError(f"There is nothing to collect: name a zip or a folder, or put it into {where / ARCHIVE}.")
        entries = unpacked(found, extracted)
        if options.dry and not recognition.has_gradebook(coursedir.db_url):
            return carried_out(coursedir, None, planned(None, entries, wanted, record["who"], options), where, record)
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            done = planned(gradebook, entries, wanted, record["who"], options)
            rows = carried_out(coursedir, None if options.dry else gradebook, done, where, record)
    if not options.dry:
        write(where / RECORD, record | {"assignment": assignment_id})
    return rows


def unpacked(found: Sequence[pathlib.Path], to: pathlib.Path) -> list[list[Entry]]:
    """The entries of some archives, unpacked to `to`/NUMBER/NAME."""
    return [downloads.unpack(path, to / str(number) / path.name) for number, path in enumerate(found, 1)]


def entries_below(extracted: pathlib.Path) -> list[list[Entry]]:
    """The entries of archives that were unpacked so before."""
    places = [path for path in extracted.glob("*/*") if path.is_dir() and path.parent.name.isdecimal()]
    return [
        [Entry(place.name, parts, place.joinpath(*parts), problem) for parts, problem, _, _ in downloads.of_folder(place)]
        for place in sorted(places, key=lambda path: int(path.parent.name))
    ]


def planned(
    gradebook: Gradebook | None,
    entries: Sequence[Sequence[Entry]],
    wanted: Wanted,
    by_hand: Mapping[str, str],
    options: Options,
) -> Plan:
    """What is to be done with the files of some archives."""
    read = [downloads.read(each, options.reading, wanted.assignment_id) for each in entries if each]
    roster = known = of_gradebook(gradebook) if gradebook else Roster([])
    if options.roster is not None:
        sheet = Sheet.read(options.roster)
        roster = Roster.of(sheet, options.id_column, {person.student for person in known.people})
    due = None
    with contextlib.suppress(MissingEntry):
        due = gradebook and gradebook.find_assignment(wanted.assignment_id).duedate
    due = due and due.replace(tzinfo=datetime.UTC)
    return plan(read, Who(roster, options.roster is not None, by_hand), wanted, due)


def enrol(gradebook: Gradebook, done: Plan) -> None:
    """Puts the students into the gradebook, with what is known of them; what is not known stays as it is there."""
    for person, id_ in done.people:
        about = {"first_name": person.first_name, "last_name": person.last_name, "email": person.email, "lms_user_id": id_}
        gradebook.update_or_create_student(person.student, **{key: value for key, value in about.items() if value})


def carried_out(
    coursedir: CourseDirectory, gradebook: Gradebook | None, done: Plan, where: pathlib.Path, record: dict[str, Any]
) -> list[Row]:
    """Puts everything where it belongs, students into the gradebook, and both into the record. → the table, as it turned out

    Args:
        gradebook: None where nothing is to be changed.
    """
    if gradebook is not None:
        enrol(gradebook, done)
    rows = list(done.rows)
    for placed in done.placements:
        student = placed.person.student
        to = pathlib.Path(coursedir.format_path(coursedir.submitted_directory, student, where.name))
        state, why = compared(placed, to, record["students"].get(student, {}))
        at = next(n for n, row in enumerate(rows) if row.student == student and row.state is State.COLLECTED)
        note, look = " ".join(filter(None, [rows[at].note, why])), rows[at].for_a_person or bool(why)
        rows[at] = dataclasses.replace(rows[at], state=state, note=note, for_a_person=look)
        if gradebook and not why:
            if state is not State.UNCHANGED:
                transfer(placed, to, where / REPLACED / student)
            record["students"][student] = about_placed(placed)
    return rows


def about_placed(placed: Placement) -> dict[str, Any]:
    """What the record has of a student."""
    entry = placed.counts.entry
    return {
        "system": str(placed.counts.system),
        "archive": entry.archive,
        "folder": "/".join(entry.parts[:-1]),
        "file": entry.parts[-1],
        "notebook": placed.notebook,
        "time": placed.time.isoformat() if placed.time else None,
        "late": placed.late,
        "name": placed.person.name,
        "lms_ids": {str(kind): value for kind, value in placed.person.lms_ids.items()},
        "placed": placed.contents(),
    }


def write(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Whoever reads meanwhile sees the whole of it or the one before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
