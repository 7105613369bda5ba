"""Of all that was downloaded for an assignment, what counts for each student, and a row of the table for everything.

downloads ─► `Who`: whose each file is
               └─► `Attempt`: what a student handed in at one time; `in_order`, the last of them counts
                     └─► `chosen`: which of its files is the notebook, and what goes beside it
"""

import collections
import contextlib
import dataclasses
import datetime
import difflib
import enum
import hashlib
import itertools
import pathlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from autograder.grading.notebook import MAX_BYTES
from autograder.lms.downloads import Download, Upload
from autograder.lms.people import Person, Roster, halves, letters, near, normal, same_but_for_zeros, unsafe
from autograder.lms.sheets import Column, System
from autograder.lms.wanted import Wanted
from autograder.nbgrader.submitted import NOTEBOOK, TIMESTAMP, printable

FEEDBACK = re.compile(rb"<title>Feedback for |\(Score: |id=\"toc\"")
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
    TAKEN_BACK = "taken back"


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        student: nbgrader's id, or "" where nobody is known.
        file: what came in, as the system gave it.
        own: the same as the student named it, where it is known whose it is.
        what: what it is that was put in the place of the notebook, in two words; "" for the notebook, and for nothing.
        for_a_person: whether somebody has to look.
    """

    state: State
    student: str = ""
    name: str = ""
    file: str = ""
    own: str = ""
    what: str = ""
    time: datetime.datetime | None = None
    late: bool = False
    note: str = ""
    for_a_person: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its fields, the time in ISO 8601 or null."""
        return {**dataclasses.asdict(self), "time": self.time.isoformat() if self.time else None}


# --- who -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Found:
    """Whose an upload is.

    Attributes:
        person: None where nobody is known,
        why: and the reason, as a sentence.
        by: what was said by hand, where that was asked.
        sure: whether more than a name says so, which others may have, too.
    """

    person: Person | None
    why: str = ""
    by: str = ""
    sure: bool = True


@dataclasses.dataclass
class Who:
    """Finds out whose an upload is.

    Args:
        roster: who is in the course.
        is_all: whether nobody else is; otherwise whoever is unknown gets the id that their file's name says.
        by_hand: how the part of a path begins by which a system says whose it is → the student whose it is.
        taken_back: as these, of what somebody said before.
        said_now: as these, of all that is said or taken back now.
    """

    roster: Roster
    is_all: bool
    by_hand: Mapping[str, str] = dataclasses.field(default_factory=dict)
    taken_back: Sequence[str] = ()
    said_now: Sequence[str] = ()
    new: dict[str, Person] = dataclasses.field(default_factory=dict)

    def of_all(self, uploads: Sequence[Upload]) -> list[Found]:
        """Whose each upload is; nobody's, where two who differ for the system would be taken for one."""
        found = [self.of(upload) for upload in uploads]
        accounts = collections.defaultdict[tuple[str, str, System], dict[str, Upload]](dict)
        for upload, one in zip(uploads, found, strict=True):
            if one.person:
                for by in {"", one.by}:
                    accounts[one.person.student, by, upload.system].setdefault(upload.account, upload)
        checked, groups = [], groups_in(uploads)
        for upload, one in zip(uploads, found, strict=True):
            if one.person and one.person.student in self.new and groups & set(beginnings(upload.name)):
                one = Found(None, "Its name begins as a group's may: give the worksheet of this assignment with --roster.")
            if one.person and (one.by or not one.sure):
                same = accounts[one.person.student, one.by, upload.system]
                if len(same) > 1:
                    one = Found(None, self.several(one, list(same.values())), one.by)
            checked.append(one)
        return checked

    def several(self, one: Found, uploads: Sequence[Upload]) -> str:
        """Why nobody is taken for one person, in a sentence."""
        begins = sorted({upload.begins for upload in uploads})
        if one.by:
            return f"--who {one.by!r} fits several: {', '.join(begins)}. Say of each whose it is."
        assert one.person is not None
        called = f"Several are called {one.person.name or one.person.student}: {', '.join(begins)}."
        if not self.is_all:
            return f"{called} Give the sheet of the course with --roster."
        return f"{called} Say whose each is: {' '.join('--who ' + shlex.quote(f'{begin}=STUDENT') for begin in begins)}"

    def nobody(self, student: str) -> str:
        """Why somebody who was named is nobody, in a sentence or two."""
        alike = near(student, {person.student: person.name for person in self.roster})
        return f"--who names {student!r}, who is not in the course." + (f" Near it: {', '.join(alike)}." if alike else "")

    def of(self, upload: Upload) -> Found:
        """Whose an upload is, without a look at the others."""
        said = [beginning for beginning in self.by_hand if begins(upload.place, beginning)]
        if said:
            by = max(said, key=len)
            known = self.roster.known_as("student", self.by_hand[by])
            return Found(known[0] if known else None, self.nobody(self.by_hand[by]), by)
        for kind, value in upload.who:
            if kind == Column.LMS_ID and upload.system not in (self.roster.system, System.PLAIN):
                continue
            known = self.roster.known_as(kind, value)
            if known and ("/" in known[0].student or known[0].student in (".", "..")):
                return Found(None, f"No folder can be named {known[0].student!r}, the id in the gradebook.")
            if len(known) > 1:
                names = ", ".join(person.student for person in known)
                whose = shlex.quote(f"{upload.begins}=STUDENT")
                return Found(None, f"Several are called {value}: {names}. Say whose it is: --who {whose}")
            if known and upload.system is System.MOODLE and kind == Column.LMS_ID and not may_be_called(upload.name, known[0]):
                why = f"Its number is {known[0].name}'s in the sheet, and its name another's"
                return Found(None, f"{why}: give the worksheet of this assignment.")
            if known:
                return Found(known[0], sure=kind != Column.NAME or upload.system is System.PLAIN)
        if upload.system is System.MOODLE and (known := self.in_a_group(upload.name)):
            names = ", ".join(person.student for person in known)
            whose = shlex.quote(f"{upload.begins}=STUDENT")
            why = f"It may be of {names}, with a group's name in front: give the worksheet of this assignment, or say it:"
            return Found(None, f"{why} --who {whose}")
        if self.is_all:
            return Found(None, "Nobody in the sheet has this name or number.")
        return self.newcomer(upload)

    def is_taken_back(self, upload: Upload) -> bool:
        """Whether what was said by hand of it was taken back."""
        return any(begins(upload.place, beginning) for beginning in self.taken_back)

    def in_a_group(self, name: str) -> list[Person]:
        """Whose name stands behind a group's, as Moodle writes both."""
        return [person for ending in endings(name) for person in self.roster.known_as(Column.NAME, ending)]

    def newcomer(self, upload: Upload) -> Found:
        """Somebody whom nobody knew before, by what the system says of them."""
        student = normal(upload.own)
        logins = [value for kind, value in upload.who if kind == Column.LOGIN]
        if not student and len(logins) > 1:
            readings = " or ".join(logins)
            return Found(None, f"The login may be {readings}: give the sheet of the course with --roster.")
        if wrong := unsafe(student):
            return Found(None, f"{student or 'Its name'!r} {wrong}: give the sheet of the course with --roster.")
        if alike := [person.student for person in self.roster if same_but_for_zeros(person.student, student)]:
            return Found(
                None, f"{student} is not in the course, and {alike[0]} is: give the sheet of the course with --roster."
            )
        first, last = halves(upload.name) if upload.system is not System.CANVAS else ("", "")
        email = next((value for kind, value in upload.who if kind == Column.EMAIL and "@" in value), "")
        ids = {kind: value for kind, value in upload.who if kind in (Column.LOGIN, Column.NUMBER, Column.LMS_ID)}
        person = Person(student, first, last, email, ids if upload.system is not System.PLAIN else {})
        return Found(self.new.setdefault(student, person), sure=False)

    def id_of_canvas(self, person: Person, uploads: Iterable[Upload] = ()) -> str:
        """The one id of a system that stays the same from one assignment to the next; "" where it is not known."""
        ids = [value for up in uploads if up.system is System.CANVAS for kind, value in up.who if kind == Column.LMS_ID]
        if self.roster.system is System.CANVAS:
            ids.append(person.lms_ids.get(Column.LMS_ID, ""))
        return ids[0] if ids else ""


def begins(place: str, beginning: str) -> bool:
    """Whether a part of a path begins so; `Smith_41` is no beginning of `Smith_4101`."""
    rest = place[len(beginning) :]
    return bool(beginning) and place.startswith(beginning) and not (beginning[-1].isalnum() and rest[:1].isalnum())


def endings(name: str) -> list[str]:
    """What stands behind the hyphens of a name, the longest first."""
    return [name[at + 1 :] for at, letter in enumerate(name) if letter == "-"]


def beginnings(name: str) -> list[str]:
    """What stands before the hyphens of a name."""
    return [name[:at] for at, letter in enumerate(name) if letter == "-"]


def groups_in(uploads: Sequence[Upload]) -> set[str]:
    """With what the names of several begin in Moodle's downloads, where it is no first name: it has a digit or a space."""
    found = collections.defaultdict[str, set[str]](set)
    for upload in uploads:
        for beginning in beginnings(upload.name) if upload.system is System.MOODLE else ():
            found[beginning].add(upload.account)
    return {beginning for beginning, accounts in found.items() if len(accounts) > 1 and re.search(r"[\d ]", beginning)}


# What Moodle writes instead of a name where it hides names.
PARTICIPANT = {"participant", "teilnehmer", "teilnehmerin", "participante", "partecipante", "deelnemer"}


def may_be_called(name: str, person: Person) -> bool:
    """Whether a name, perhaps with a group's and a hyphen in front, may be a person's whose number stands behind it."""
    own = {letters(person.name), letters(f"{person.last_name} {person.first_name}")}
    return not person.name or any(letters(each) in own | PARTICIPANT for each in (name, *endings(name)))


# --- what counts -----------------------------------------------------------------------------------------------------


# (run, when its newest file was written) of an archive.
Order = tuple[int, str]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What a student handed in at one time.

    Attributes:
        order: of its archive: a later one holds a later state. The number of the run in which it was given, and of those that
            were given together, when its newest file was written; a browser names them so that no order can be seen.
    """

    order: Order
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
    keys.append([attempt.order for attempt in attempts])
    for key in keys:
        if all(key) and key.count(max(key)) == 1:  # twice the same is no matter as long as the last is one
            return [attempt for _, attempt in sorted(zip(key, attempts, strict=True), key=lambda pair: pair[0])]
    return None


def without_repetition(ordered: Sequence[Attempt]) -> list[Attempt]:
    """Without what was handed in again right after itself: it was there from the first time on."""
    kept: list[Attempt] = []
    for attempt in ordered:
        if not kept or attempt.content() != kept[-1].content():
            kept.append(attempt)
        elif not (attempt.time and kept[-1].time):
            kept[-1] = attempt
    return kept


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


# student → the moment after which they are late, with grace; None where nobody has set it.
Due = Callable[[str], datetime.datetime | None]
# student → when they handed in what a download has of them, as the system's sheet says it.
Times = Mapping[str, datetime.datetime]


@dataclasses.dataclass
class Plan:
    """What is to be done, and the table of it.

    Attributes:
        whose: (archive, path there) → the ids of the students; none where nobody is known.
        taken_back: of which a person has taken back whose it is.
        unfit: what was said by hand now, and fits nothing that came in.
    """

    placements: list[Placement] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
    whose: dict[tuple[str, str], set[str]] = dataclasses.field(default_factory=dict)
    taken_back: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    unfit: list[str] = dataclasses.field(default_factory=list)
    people: list[tuple[Person, str]] = dataclasses.field(default_factory=list)  # with their id of Canvas


def plan(read: Sequence[tuple[Order, Download]], who: Who, wanted: Wanted, due: Due, times: Times) -> Plan:
    """What of some downloads counts for each student.

    Args:
        due: when students are late, for a hand-in of which a system says only that it was.
        times: for hand-ins of which a download does not say when it was.
    """
    made, theirs = Plan(), dict[str, tuple[Person, dict[tuple[Order, str, str], list[Upload]]]]()
    uploads = [upload for _, download in read for upload in download.uploads]
    made.unfit = [name for name in who.said_now if not any(begins(upload.place, name) for upload in uploads)]
    made.rows += [fits_nothing(name, uploads) for name in made.unfit]
    found = iter(who.of_all(uploads))
    for order, download in read:
        made.rows += of_others(download)
        for upload, one in zip(download.uploads, found, strict=False):
            at = download.archive, "/".join(upload.entry.parts)
            made.whose.setdefault(at, set()).update({one.person.student} if one.person else ())
            if who.is_taken_back(upload):
                made.taken_back.add(at)
            if one.person is None:
                made.rows.append(
                    Row(
                        State.NOT_COLLECTED,
                        name=upload.name,
                        file=upload.entry.name,
                        time=upload.time,
                        late=upload.late,
                        note=one.why,
                        for_a_person=True,
                    )
                )
            else:
                attempts = theirs.setdefault(one.person.student, (one.person, collections.defaultdict(list)))[1]
                attempts[order, download.archive, upload.attempt].append(upload)
    for student in sorted(theirs):
        person, attempts = theirs[student]
        handed_in = [Attempt(order, tuple(found)) for (order, *_), found in attempts.items()]
        placed, rows = of_student(person, handed_in, wanted, due, times.get(student))
        made.rows += rows
        made.people.append((person, who.id_of_canvas(person, itertools.chain(*attempts.values()))))
        if placed:
            made.placements.append(placed)
    for person in who.roster.people if who.is_all else ():
        if person.student not in theirs:
            made.people.append((person, who.id_of_canvas(person)))
            made.rows.append(Row(State.MISSING, person.student, person.name))
    return made


def fits_nothing(name: str, uploads: Sequence[Upload]) -> Row:
    """The row of something said by hand that fits nothing."""
    alike = difflib.get_close_matches(name, {upload.begins for upload in uploads})
    close = f" Near it: {', '.join(map(printable, alike))}." if alike else ""
    note = f"The name of nothing that came in begins so; it is not remembered.{close}"
    return Row(State.LEFT_OUT, file=f"--who {printable(name)}", note=note, for_a_person=True)


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
    person: Person, attempts: Sequence[Attempt], wanted: Wanted, due: Due, in_sheet: datetime.datetime | None
) -> tuple[Placement | None, list[Row]]:
    """What counts of what one student handed in, and the rows of all of it."""

    time = None

    def row(state: State, attempt: Attempt, note: str = "", for_a_person: bool = False, upload: Upload | None = None) -> Row:
        of = upload or attempt.uploads[0]
        file, own = of.entry.name, printable(of.file)
        when = time or attempt.time
        return Row(state, person.student, person.name, file, own, "", when, attempt.late, note, for_a_person)

    distinct: list[Attempt] = []
    for attempt in sorted(attempts, key=lambda attempt: attempt.order):  # the later download knows better whether it was late
        same = [other for other in distinct if (other.time, other.rank) == (attempt.time, attempt.rank)]
        distinct = [other for other in distinct if other not in same or other.content() != attempt.content()] + [attempt]
    ordered = in_order(distinct)
    if ordered is None:
        why = "Nothing says which of these is the last: take the others out of the archive."
        return None, [row(State.NOT_COLLECTED, attempt, why, True) for attempt in distinct]
    ordered = without_repetition(ordered)
    last, rows = ordered[-1], [row(State.EARLIER, attempt) for attempt in ordered[:-1]]
    choice = chosen(last, wanted)
    if choice.counts is None:
        return None, [*rows, row(State.NOT_COLLECTED, last, " ".join(choice.wrong), True)]
    if choice.wrong and any(not chosen(attempt, wanted).wrong for attempt in ordered[:-1]):
        choice.wrong.append("An earlier one is right.")
    time = last.time or in_sheet
    if unread := next((upload.unread for upload in last.uploads if upload.unread and not time), ""):
        choice.wrong.append(f"“{unread}” is no time that can be read: it counts as in time.")
    if last.late and time is None:
        if due(person.student):  # late.py counts it, whenever the deadline is
            choice.odd.append("Late, and the system does not say by how much: it costs the least that being late costs.")
        else:
            choice.wrong.append("Late, and neither is it known by how much nor when it was due: it counts as in time.")
    collected = row(State.COLLECTED, last, " ".join([*choice.wrong, *choice.odd]), bool(choice.wrong), choice.counts)
    rows.append(dataclasses.replace(collected, what=choice.what))
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
        what: as `Row.what`.
    """

    files: dict[str, Upload] = dataclasses.field(default_factory=dict)
    notebook: str = ""
    counts: Upload | None = None
    wrong: list[str] = dataclasses.field(default_factory=list)
    odd: list[str] = dataclasses.field(default_factory=list)
    what: str = ""


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
            names = ", ".join(printable(upload.file) for upload, _ in candidates)
            return Choice(wrong=[f"{names}: nothing says which of them is the last."])
        made.files[f"{name}.ipynb"] = best
        if problems := [problem for upload, problem in candidates if upload is best and problem]:
            made.wrong, made.what = made.wrong + problems, "marked copy"
        left |= {upload for upload, _ in candidates if upload is not best}
    if not found and len(others) == 1:  # put where the notebook belongs, it waits for a person as others do
        made.files[f"{next(iter(wanted.notebooks))}.ipynb"] = others[0][0]
    made.notebook = next(iter(made.files), "")
    made.wrong += [f"{printable(upload.file)}: {problem}" for upload, problem in others]
    if not found:
        made.what = "wrong notebook" if others else "no notebook"
    if not found and not others:
        made.wrong.append(no_notebook(attempt))
    placed = left | set(made.files.values())
    if beside(made.files, [upload for upload in attempt.uploads if upload not in placed]):
        made.odd.append(f"The {TIMESTAMP} that was handed in is left out: nbgrader would believe it.")
    if left:
        made.odd.append(f"Earlier, left aside: {', '.join(sorted(printable(upload.file) for upload in left))}.")
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


def beside(files: dict[str, Upload], others: Iterable[Upload]) -> bool:
    """Gives what was handed in beside the notebook names there, which no other file, and no folder of one, has.

    Returns:
        whether one was left out that says when it was handed in.
    """
    taken, folders, stated = {*files, TIMESTAMP}, set[str](), False
    for upload in others:
        to = pathlib.PurePosixPath(upload.file)
        if str(to) == TIMESTAMP:
            stated = True
            continue
        first, number = pathlib.PurePosixPath(to.parts[0]), 1
        while str(to) in taken or str(to) in folders or not taken.isdisjoint(map(str, to.parents)):
            number += 1
            to = pathlib.PurePosixPath(f"{first.stem} ({number}){first.suffix}", *to.parts[1:])
        files[str(to)] = upload
        taken.add(str(to))
        folders |= set(map(str, to.parents))
    return stated


def hash_of(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(time: datetime.datetime) -> str:
    """What timestamp.txt says, as `nbgrader zip_collect` writes it: UTC, without saying so."""
    return time.astimezone(datetime.UTC).replace(tzinfo=None, microsecond=0).isoformat(" ")
