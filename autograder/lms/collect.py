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
     "archives": [{"name": "submissions.zip", "sha256": "…",        in the order in which they were given
                   "run": 1, "newest": "2026-10-05T11:30:12",       in which run; when its newest file was written
                   "system": "canvas"}],                            only where a person has said it
     "id_column": null,                                             of the sheet that is kept beside, where one was named
     "who": {"101-7 - Alex Smith": "asmith1"},                      what was said by hand
     "students": {"ada": {
        "system": "canvas", "archive": "submissions.zip",
        "folder": "", "file": "lovelaceada_LATE_4101_9001_hw3.ipynb",   the notebook's, as the system gave them
        "notebook": "hw3.ipynb",                                        its name in submitted/
        "time": "2026-10-05T11:30:12+02:00", "late": true,              or null
        "name": "Ada Lovelace", "lms_ids": {"id": "4101", "login": "ada"},   `id` is that system's
        "placed": {"hw3.ipynb": "…sha256…", "timestamp.txt": "…"}}},
     "expected": {…}}                                               as students: what `nbgrader zip_collect` is to copy
"""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from autograder.errors import CourseError
from autograder.lms import downloads
from autograder.lms.downloads import Entry
from autograder.lms.people import Person, Roster, same_but_for_zeros
from autograder.lms.plan import Due, Placement, Plan, Row, State, Who, begins, hash_of, plan, stamp
from autograder.lms.sheets import Column, Sheet, System, plain
from autograder.lms.times import Reading
from autograder.lms.wanted import Wanted
from autograder.nbgrader import recognition
from autograder.nbgrader.deadlines import Deadline, Deadlines
from autograder.nbgrader.submitted import TIMESTAMP

FORMAT = 1
RECORD = "collected.json"
SHEETS = (".csv", ".tsv", ".xls", ".xlsx")
ROSTER = "roster.csv"  # the sheet of the last time
NOBODY = "none"  # says by hand that something said before does not hold
HANDED_IN = "lastmodifiedsubmission"  # Moodle's name of a column, as `plain` has it
EXTRACTED, ARCHIVE, REPLACED = "extracted", "archive", "replaced"


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
    return {"format": FORMAT, "archives": [], "who": {}, "students": {}, "expected": {}, "id_column": None, **found}


def settled(coursedir: CourseDirectory, where: pathlib.Path, only: str | None = None) -> dict[str, Any]:
    """The record, with what nbgrader was to copy and has copied, which is looked for among all files of a student.

    Args:
        only: the student who is asked about; None for all.
    """
    record = recorded(where)
    for student, about in record.pop("expected").items():
        if only in (None, student) and contents(students_folder(coursedir, student, where.name)) == about["placed"]:
            record["students"][student] = about
    return record


def students_folder(coursedir: CourseDirectory, student: str, assignment_id: str) -> pathlib.Path:
    """Where a student's submission lies."""
    return pathlib.Path(coursedir.format_path(coursedir.submitted_directory, student, assignment_id))


def archives(
    where: pathlib.Path, record: Mapping[str, Any], new: Mapping[pathlib.Path, pathlib.Path] | None = None
) -> list[tuple[pathlib.Path, str]]:
    """[(an archive or a folder, the name under which it is kept)], in the order in which they came.

    Args:
        new: where something will be kept → where it lies yet.
    """
    places = [where / ARCHIVE / archive["name"] for archive in record["archives"]]
    found = [((new or {}).get(place, place), place.name) for place in places]
    return [(path, name) for path, name in found if path.exists()]


def noted(sources: Sequence[pathlib.Path], where: pathlib.Path, record: dict[str, Any]) -> dict[pathlib.Path, pathlib.Path]:
    """Notes in the record what was put into the folder of archives by hand, and sources. Nothing is copied yet.

    The same one is noted once, and another of the same name under a name of its own.

    Returns:
        where something will be kept → the source that it comes from.

    Raises:
        CourseError: a source holds the place where it would be kept.
    """
    run = 1 + max((archive["run"] for archive in record["archives"]), default=0)
    known = {archive["sha256"] for archive in record["archives"] if (where / ARCHIVE / archive["name"]).exists()}
    names = {archive["name"] for archive in record["archives"]}
    new = dict[pathlib.Path, pathlib.Path]()

    def note(path: pathlib.Path, name: str) -> bool:
        if (own := hash_of_all(path)) in known:
            return False
        record["archives"].append({"name": name, "sha256": own, "run": run, "newest": newest(path)})
        known.add(own)
        names.add(name)
        return True

    for path in sorted((where / ARCHIVE).iterdir()) if (where / ARCHIVE).is_dir() else ():
        if path.name not in names and not downloads.LITTER.fullmatch(path.name):
            note(path, path.name)
    for source in sources:
        if where.resolve().is_relative_to(source.resolve()):
            raise CourseError(f"{source} holds the course itself: name the archive, or the folder with what was downloaded.")
        if source.resolve().parent == (where / ARCHIVE).resolve():
            continue
        own, number = source if source.name not in ("", "..") else source.resolve(), 1
        start, end = (own.stem, own.suffix) if zipfile.is_zipfile(source) else (own.name, "")
        name = start + end
        while name in names or (where / ARCHIVE / name).exists():
            number += 1
            name = f"{start}-{number}{end}"
        if note(source, name):
            new[where / ARCHIVE / name] = source
    return new


def of_system(system: System, sources: Sequence[pathlib.Path], record: dict[str, Any]) -> None:
    """Notes in the record whose system made some archives, which are noted there; all of them where none is named."""
    own = {hash_of_all(source) for source in sources}
    for archive in record["archives"]:
        if not sources or archive["sha256"] in own:
            archive["system"] = str(system)


def newest(source: pathlib.Path) -> str:
    """When the newest file of an archive or a folder was written, in ISO 8601; "" where that cannot be told."""
    if zipfile.is_zipfile(source):
        with contextlib.suppress(OSError, zipfile.BadZipFile, NotImplementedError, ValueError), zipfile.ZipFile(source) as file:
            return max(("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*info.date_time) for info in file.infolist()), default="")
        return ""
    paths = [source.joinpath(*parts) for parts, *_ in downloads.of_folder(source)] if source.is_dir() else [source]
    latest = max((path.lstat().st_mtime for path in paths), default=0)
    return datetime.datetime.fromtimestamp(latest).isoformat(timespec="seconds")


def keep(source: pathlib.Path, to: pathlib.Path) -> None:
    """Copies an archive or a folder to where they are kept; whole, or not at all."""
    with tempfile.TemporaryDirectory(dir=to.parent.parent, prefix=".collect-") as partial:
        copy = pathlib.Path(partial, to.name)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=no_files)
        elif zipfile.is_zipfile(source):
            shutil.copyfile(source, copy)
        else:  # a notebook alone: its name says whose it is, so it keeps that, in a folder
            shutil.copyfile(source, made(copy) / source.name)
        copy.rename(made(to.parent) / to.name)


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
            set_aside(to, aside)
        elif to.exists():
            shutil.rmtree(to)  # there is no file in it
        made(new).rename(to)


def set_aside(folder: pathlib.Path, aside: pathlib.Path) -> None:
    """Moves a student's folder among those of before."""
    number = 1
    while (aside / str(number)).exists():
        number += 1
    shutil.move(folder, made(aside) / str(number))


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
        who: whose something is, said by hand; `NOBODY` takes back what was said before.
        system: whose system made the archives, said by hand; None finds it, or keeps what was said before.
        dry: whether nothing is to be changed.
    """

    roster: pathlib.Path | None = None
    id_column: str | None = None
    reading: Reading = dataclasses.field(default_factory=Reading)
    who: Mapping[str, str] = dataclasses.field(default_factory=dict)
    system: System | None = None
    dry: bool = False


def collect(coursedir: CourseDirectory, assignment_id: str, sources: Sequence[pathlib.Path], options: Options) -> list[Row]:
    """Collects what is in some archives and folders, and in those that were collected before. → the table of all of it

    Raises:
        CourseError: something cannot be read, or be read in one way; nothing was changed then.
    """
    for source in sources:
        if not source.exists():
            raise CourseError(f"{source} is not there.")
        if source.suffix.lower() in SHEETS:
            raise CourseError(f"{source} is a sheet, and nobody's hand-in: give it with --roster.")
    where = folder(coursedir, assignment_id)
    wanted, record = Wanted.of(coursedir, assignment_id), settled(coursedir, where)
    options = with_sheet_of_before(options, where, record)
    record |= {"assignment": assignment_id, "who": said(record["who"], options.who)}
    new = noted(sources, where, record)
    if options.system is not None:
        of_system(options.system, sources, record)
    found = archives(where, record, new)
    if not found:
        raise CourseError(f"There is nothing to collect: name a zip or a folder, or put it into {where / ARCHIVE}.")
    with contextlib.ExitStack() as stack:
        # What was extracted before stays until everything could be read.
        above = None if options.dry else made(where)
        extracted = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=above, prefix=".collect-")))
        entries = unpacked(found, extracted / EXTRACTED)
        if options.dry and not recognition.has_gradebook(coursedir.db_url):
            return carried_out(coursedir, None, planned(coursedir, None, entries, wanted, record, options), where, record)
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            done = planned(coursedir, gradebook, entries, wanted, record, options)
            if options.dry:
                return carried_out(coursedir, None, done, where, record)
            record["who"] = {name: student for name, student in record["who"].items() if name not in done.unfit}
            for to, source in new.items():
                keep(source, to)
            keep_sheet(options, where, record)
            try:
                rows = carried_out(coursedir, gradebook, done, where, record)
            finally:  # what was placed until then is known to have come this way
                write(where / RECORD, record)
        if (where / EXTRACTED).exists():
            shutil.rmtree(where / EXTRACTED)
        (extracted / EXTRACTED).rename(where / EXTRACTED)
    return rows


def with_sheet_of_before(options: Options, where: pathlib.Path, record: Mapping[str, Any]) -> Options:
    """With the sheet that the assignment was collected with before, where none is named: its ids and times still hold."""
    kept = where / ROSTER
    if options.roster is not None or not kept.is_file():
        return options
    return dataclasses.replace(options, roster=kept, id_column=options.id_column or record["id_column"])


def keep_sheet(options: Options, where: pathlib.Path, record: dict[str, Any]) -> None:
    """Keeps the sheet, and in the record the column that was named, for the next time."""
    kept = where / ROSTER
    if options.roster is None or options.roster == kept:
        return
    fresh = kept.with_suffix(".new")
    shutil.copyfile(options.roster, fresh)
    fresh.replace(kept)
    record["id_column"] = options.id_column


def said(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What is said by hand, after what was said before and what is said or taken back now."""
    back = taken_back(now)
    left = {name: of for name, of in before.items() if not any(begins(name, one) or begins(one, name) for one in back)}
    return left | {name: student for name, student in now.items() if student != NOBODY}


def taken_back(said: Mapping[str, str]) -> list[str]:
    """Of what it is said that nothing said before holds."""
    return [name for name, student in said.items() if student == NOBODY]


def unpacked(found: Sequence[tuple[pathlib.Path, str]], to: pathlib.Path) -> list[list[Entry]]:
    """The entries of archives, each with the name under which it is kept, unpacked to `to`/NUMBER/NAME."""
    return [downloads.unpack(path, to / str(number) / name) for number, (path, name) in enumerate(found, 1)]


def entries_below(extracted: pathlib.Path) -> list[list[Entry]]:
    """The entries of archives that were unpacked so before."""
    places = [path for path in extracted.glob("*/*") if path.is_dir() and path.parent.name.isdecimal()]
    return [
        [Entry(place.name, parts, place.joinpath(*parts), problem) for parts, problem, _, _ in downloads.of_folder(place)]
        for place in sorted(places, key=lambda path: int(path.parent.name))
    ]


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


def planned(
    coursedir: CourseDirectory,
    gradebook: Gradebook | None,
    entries: Sequence[Sequence[Entry]],
    wanted: Wanted,
    record: Mapping[str, Any],
    options: Options,
) -> Plan:
    """What is to be done with the files of some archives."""
    deadline, reading = Deadlines.read(pathlib.Path(coursedir.root)).find(wanted.assignment_id), options.reading
    if reading.zone is None:  # deadlines.toml names the zone of all times that name none themselves
        reading = dataclasses.replace(reading, zone=deadline.zone)
    orders = {archive["name"]: (archive["run"], archive["newest"]) for archive in record["archives"]}
    told = {archive["name"]: System(archive["system"]) for archive in record["archives"] if archive.get("system")}
    read = []
    for each in filter(None, entries):
        name = each[0].archive
        read.append((orders.get(name, (0, "")), downloads.read(each, reading, wanted.assignment_id, told.get(name))))
    roster = known = of_gradebook(gradebook) if gradebook else Roster([])
    times: dict[str, datetime.datetime] = {}
    unread, timeless = 0, False
    if options.roster is not None:
        sheet = Sheet.read(options.roster, [options.id_column] if options.id_column else [])
        ids = {person.student for person in known}
        roster = Roster.of(sheet, options.id_column, ids)
        for person in roster:
            alike = [student for student in ids if same_but_for_zeros(student, person.student)]
            if alike and person.student not in ids:
                raise CourseError(
                    f"{options.roster} has {person.student!r}, and the course {alike[0]!r}: a spreadsheet program leaves out "
                    "zeros. Export the sheet again, and give it as it is."
                )
        found = times_in(sheet, roster, reading)
        times, unread = found or ({}, 0)
        timeless = found is None and sheet.system is System.MOODLE
    who = Who(roster, options.roster is not None, record["who"], taken_back(options.who), list(options.who))
    done = plan(read, who, wanted, due_of(deadline, gradebook, wanted.assignment_id), times)
    if timeless and any(download.system is System.MOODLE for _, download in read):
        note = "It has no column “Last modified (submission)”, as an English worksheet has: nobody counts as late."
        done.rows.append(Row(State.LEFT_OUT, file=str(options.roster), note=note, for_a_person=True))
    if unread:
        note = f"{unread} times in it cannot be read; who has none in the download counts as in time."
        done.rows.append(Row(State.LEFT_OUT, file=str(options.roster), note=note, for_a_person=True))
    return done


def times_in(sheet: Sheet, roster: Roster, reading: Reading) -> tuple[dict[str, datetime.datetime], int] | None:
    """(student → when they handed in, as Moodle's worksheet says it, how many times in it cannot be read); None without any"""
    columns = [at for at, name in enumerate(sheet.names) if plain(name) == HANDED_IN]
    if sheet.system is not System.MOODLE or not columns:
        return None
    texts = {student: sheet.cell(row, columns[0]) for student, row in roster.rows.items()}
    said = {student: text for student, text in texts.items() if re.search(r"\d", text)}
    reading = reading.settled(said.values())
    times = {student: time for student, text in said.items() if (time := reading.read(text))}
    return times, len(said) - len(times)


def due_of(deadline: Deadline, gradebook: Gradebook | None, assignment_id: str) -> Due:
    """When each student is late, as deadlines.toml says it, or else the gradebook."""
    in_gradebook = None
    with contextlib.suppress(MissingEntry):
        in_gradebook = gradebook and gradebook.find_assignment(assignment_id).duedate

    def due(student: str) -> datetime.datetime | None:
        moment = deadline.extensions.get(student, deadline.due or in_gradebook)
        if deadline.due is None and gradebook is not None and moment is not None:
            with contextlib.suppress(MissingEntry):
                moment += gradebook.find_submission(assignment_id, student).extension or datetime.timedelta()
        grace = datetime.timedelta(seconds=deadline.policy.grace if deadline.policy else 0)
        return moment and (moment + grace).replace(tzinfo=datetime.UTC)

    return due


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
    theirs = functools.partial(students_folder, coursedir, assignment_id=where.name)
    for placed in done.placements:
        student = placed.person.student
        to = theirs(student)
        state, why = compared(placed, to, record["students"].get(student, {}))
        if gradebook and not why and state is not State.UNCHANGED:
            try:
                transfer(placed, to, where / REPLACED / student)
            except OSError as error:
                if error.errno in downloads.FULL:
                    raise CourseError(f"{to} cannot be written: {error.strerror}.") from error
                state, why = State.NOT_COLLECTED, f"It could not be put into the student's folder: {error.strerror}."
        at = next(n for n, row in enumerate(rows) if row.student == student and row.state is State.COLLECTED)
        note, look = " ".join(filter(None, [rows[at].note, why])), rows[at].for_a_person or bool(why)
        rows[at] = dataclasses.replace(rows[at], state=state, note=note, for_a_person=look)
        if gradebook and not why:
            record["students"][student] = about_placed(placed)
    kept = {placed.person.student for placed in done.placements}
    for student, about in list(record["students"].items()):
        path = about["archive"], "/".join(filter(None, [about["folder"], about["file"]]))
        if student in kept or student in done.whose.get(path, {student}):
            continue
        if not done.whose[path] and path not in done.taken_back:  # perhaps a sheet was forgotten
            state, note = State.UNCHANGED, "What was collected before may not be theirs, and stays."
        else:
            state, note = State.TAKEN_BACK, f"It is not theirs, and is moved to {where.name}/{REPLACED}/{student}."
            if contents(theirs(student)) != about["placed"]:
                note = "It is not theirs, and was changed since: look into the student's folder."
            elif gradebook:
                set_aside(theirs(student), where / REPLACED / student)
            if gradebook:
                del record["students"][student]
        rows.append(Row(state, student, about["name"], path[1], note=note, for_a_person=True))
    return rows


def about_placed(placed: Placement) -> dict[str, Any]:
    """What the record has of a student."""
    entry = placed.counts.entry
    # The system's own id as the download says it: the sheet's may be that of another system.
    ids = {kind: value for kind, value in placed.person.lms_ids.items() if kind != Column.LMS_ID}
    ids |= {kind: value for kind, value in placed.counts.who if kind == Column.LMS_ID and placed.counts.system != System.PLAIN}
    return {
        "system": str(placed.counts.system),
        "archive": entry.archive,
        "folder": "/".join(entry.parts[:-1]),
        "file": entry.parts[-1],
        "notebook": placed.notebook,
        "time": placed.time.isoformat() if placed.time else None,
        "late": placed.late,
        "name": placed.person.name,
        "lms_ids": {str(kind): value for kind, value in ids.items()},
        "placed": placed.contents(),
    }


def write(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Whoever reads meanwhile sees the whole of it or the one before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
