"""What a learning management system hands out: archives unpacked without harm, and whose each file is, by its name.

    a zip or a folder ─► `unpack`: files in a folder of ours, and what was left out, each with the reason
                            └─► `read`: whose system made it, and for each file who handed it in and when

A student has named the files, and packs what they like, so only the system's own part of a name says whose a file is: where it
stands in the path is what most files of the archive agree on. Nothing in an archive decides where anything is written: names
that lead elsewhere, links and devices are left out, and so is what is too large. An archive inside is not opened.

How the systems name files is in docs/lms.md, with its sources.
"""

import collections
import contextlib
import dataclasses
import datetime
import errno
import functools
import pathlib
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import yaml

from autograder.errors import CourseError
from autograder.lms.sheets import Column, System
from autograder.lms.times import Reading
from autograder.nbgrader.submitted import opened, printable

MAX_ENTRIES = 100_000
MAX_FILE = 256 << 20  # bytes
MAX_ALL = 16 << 30
MAX_DEPTH = 20
MAX_NAME = 240  # bytes of one name; file systems take 255
# What computers leave in archives by themselves.
LITTER = re.compile(r"__MACOSX|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.ipynb_checkpoints|__pycache__|\.git", re.IGNORECASE)
DRIVE = re.compile(r"[A-Za-z]:")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
METADATA = "submission_metadata.yml"
EXPORT = re.compile(r"assignment_\d+_export.*")  # the folder around everything
MAX_METADATA = 64 << 20
NOTEBOOK_ENDING = re.compile(r"\.ipynb(\.(txt|json))?$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file in an archive or a folder.

    Attributes:
        archive: the name of that.
        parts: its path there, as it stands there.
        path: where it lies now; None where it was left out.
        problem: why it was left out, as a sentence; "" where it was not.
    """

    archive: str
    parts: tuple[str, ...]
    path: pathlib.Path | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        return printable("/".join(self.parts))

    @property
    def litter(self) -> bool:
        """Whether nobody handed it in: a computer added it."""
        return any(LITTER.fullmatch(part) for part in self.parts)


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file that somebody handed in.

    Attributes:
        who: what its name says of who that is: (`Column`, value), the surest first.
        own: the id that they get where nobody knows them; "" where the name has none that stays the same.
        name: theirs, as the system writes it; "" where it does not.
        place: the part of its path by which the system says whose it is, and
        begins: how that begins for all that they hand in.
        attempt: what it was handed in with: of one student and archive, files of the same attempt belong together.
        file: its path as the student knows it.
        time: when, or None where the system does not say, or where it cannot be read:
        unread: the text then.
        late: whether the system says that it was late.
        rank: a number that grows from one upload to the next, or 0.
    """

    entry: Entry
    system: System
    who: tuple[tuple[str, str], ...]
    own: str
    name: str
    place: str
    begins: str
    attempt: str
    file: str
    time: datetime.datetime | None = None
    unread: str = ""
    late: bool = False
    rank: int = 0

    @property
    def account(self) -> str:
        """What differs between two of the same name, in one system."""
        numbers = [value for kind, value in self.who if kind == Column.LMS_ID]
        return numbers[0] if numbers and self.system is not System.PLAIN else self.own


@dataclasses.dataclass(frozen=True)
class Download:
    """What is in an archive, as far as it can be told.

    Attributes:
        others: entries that are nobody's hand-in, each with a sentence; "" for what the system itself adds.
    """

    archive: str
    system: System
    uploads: Sequence[Upload]
    others: Sequence[tuple[Entry, str]]


# --- unpacking -------------------------------------------------------------------------------------------------------


def unpack(source: pathlib.Path, to: pathlib.Path) -> list[Entry]:
    """Copies what is in a zip, a folder, or a single file, to a folder of its own, which has its name.

    Returns:
        all files that are in there, those that were left out too.

    Raises:
        CourseError: it cannot be read, or is no archive.
    """
    to.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_dir():
            return list(copied(of_folder(source), to.name, to))
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                return list(copied(of_zip(archive), to.name, to))
        if source.suffix.lower() in (".zip", ".gz", ".tgz", ".7z", ".rar", ".tar"):
            raise CourseError(f"{source} is no zip that can be read: download it again, or unpack it and name the folder.")
        alone = (source.name,), "", functools.partial(opened, source.resolve()), source.stat().st_size
        return list(copied([alone], to.name, to))
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CourseError(f"{source} cannot be read: {error}.") from error


# (path, why it is left out, what opens it, its size)
Found = tuple[tuple[str, ...], str, Callable[[], contextlib.AbstractContextManager[IO[bytes]]], int]


def of_zip(archive: zipfile.ZipFile) -> Iterator[Found]:
    """The files of a zip."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise CourseError(f"{archive.filename} holds more than {MAX_ENTRIES:,} files.")
    for info in infos:
        name, problem = name_of(info), ""
        kind = stat.S_IFMT(info.external_attr >> 16)
        if name.endswith("/"):
            continue
        if kind and not stat.S_ISREG(kind):
            problem = "It is a link or a device."
        elif info.flag_bits & 1:
            problem = "It is encrypted."
        yield tuple(name.split("/")), problem, functools.partial(archive.open, info), info.file_size


def name_of(info: zipfile.ZipInfo) -> str:
    """The path of an entry: some programs separate with backslashes, and some do not say that their names are UTF-8."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name if "/" in name else name.replace("\\", "/")


def of_folder(folder: pathlib.Path) -> Iterator[Found]:
    """The files below a folder."""
    waiting, count = [folder], 0
    while waiting:
        here = waiting.pop(0)
        for path in sorted(here.iterdir()):
            count += 1
            if count > MAX_ENTRIES:
                raise CourseError(f"{folder} holds more than {MAX_ENTRIES:,} files.")
            kind, parts = path.lstat(), path.relative_to(folder).parts
            if stat.S_ISDIR(kind.st_mode) and len(parts) <= MAX_DEPTH:
                waiting.append(path)
                continue
            problem = "" if stat.S_ISREG(kind.st_mode) else "It is a link or a device."
            yield parts, problem, functools.partial(opened, path), kind.st_size


def copied(found: Iterable[Found], archive: str, to: pathlib.Path) -> Iterator[Entry]:
    """Writes what can be written below a folder of ours; an entry for each file."""
    left, seen = MAX_ALL, set[tuple[str, ...]]()
    for parts, problem, open_, size in found:
        problem = problem or misplaced(parts) or ("It is there twice." if parts in seen else "")
        if not problem and size > min(MAX_FILE, left):
            problem = f"It is larger than {min(MAX_FILE, left) >> 20} MB."
        seen.add(parts)
        entry = Entry(archive, parts, None, problem)
        if not problem and not entry.litter:
            path = to.joinpath(*parts)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with open_() as source, path.open("xb") as file:
                    left -= limited(source, file, size)
                entry = dataclasses.replace(entry, path=path)
            except FileExistsError:
                entry = dataclasses.replace(entry, problem="Something else has this name.")
            except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                if path.is_file():
                    path.unlink()
                entry = dataclasses.replace(entry, problem="It is damaged, or packed in a way that cannot be read here.")
        yield entry


def limited(source: IO[bytes], file: IO[bytes], size: int) -> int:
    """Copies no more than `size` bytes. → how many there were; ValueError where there are more"""
    count = 0
    while part := source.read(1 << 20):
        count += len(part)
        if count > size:
            raise ValueError("it is larger than it says")
        file.write(part)
    return count


def misplaced(parts: Sequence[str]) -> str:
    """Why nothing is written under that name, in a sentence; "" where it can be."""
    if any(part in ("", ".", "..") or DRIVE.match(part) for part in parts):
        return "Its name leads out of its archive."
    if len(parts) > MAX_DEPTH:
        return "It lies too deep in folders."
    if not "".join(parts).isprintable():
        return "Its name cannot be printed."
    if any(len(part.encode()) > MAX_NAME for part in parts):
        return "Its name is too long."
    return ""


# --- whose and when --------------------------------------------------------------------------------------------------

CANVAS = re.compile(
    r"(?P<name>[^_].*?)(?:_(?P<late>LATE))?_(?P<id>\d+)_(?:(?P<rank>\d+)_(?P<file>.+)|(?P<text>text|link)\.html)"
)
ANONYMOUS = re.compile(r"(?:LATE_)?anon_(?P<id>\w+?)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext)(?:_(?P<file>.*))?")
BRIGHTSPACE = re.compile(
    r"(?P<id>\d+)-\d+ ?- (?P<name>.+?) ?- "
    r"(?P<when>[^-]*\b\d{4}\b[^-]*?|(?:\d{4}-\d\d-\d\d|\d\d?-\d\d?-\d{4})\b[^-]*?)(?: ?- (?P<file>.+))?"
)
BLACKBOARD = re.compile(r"(?P<name>.+?)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)")


@dataclasses.dataclass(frozen=True)
class Named:
    """What the name of a file says: the part of its path that the system made, and what it says there."""

    at: int
    match: re.Match[str]


def file_of(entry: Entry, named: Named) -> str:
    """The path that the student gave a file: what the system left of its name, and what lies below."""
    own = named.match.groupdict().get("file") or ""
    return "/".join(filter(None, [own, *entry.parts[named.at + 1 :]]))


def canvas(entry: Entry, named: Named, reading: Reading) -> Upload:
    """`lastfirst_LATE_1234_56789_file.ipynb`: the id of the user, and of the file, which is higher for a later one."""
    m = named.match
    file = f"{m['text']}.html" if m["text"] else file_of(entry, named)
    who = ((Column.LMS_ID, m["id"]),)
    late, rank = bool(m["late"]), int((m["rank"] or "0")[:18])
    return Upload(entry, System.CANVAS, who, m["id"], m["name"], m[0], m["name"], "", file, late=late, rank=rank)


def moodle(entry: Entry, named: Named, reading: Reading) -> Upload:
    """`First Last_123_assignsubmission_file_/file.ipynb`, or without a folder for each; the number is that of the worksheet."""
    m = named.match
    who = ((Column.LMS_ID, m["id"]), (Column.NAME, m["name"]))
    file = file_of(entry, named) or entry.parts[-1]
    begins = f"{m['name']}_{m['id']}"
    return Upload(entry, System.MOODLE, who, from_name(m["name"]), m["name"], m[0], begins, m["id"], file)


def brightspace(entry: Entry, named: Named, reading: Reading) -> Upload:
    """`123-456 - First Last - Oct 5, 2026 1130 AM/file.ipynb`; the numbers are in no sheet."""
    m = named.match
    file = file_of(entry, named) or entry.parts[-1]
    who = ((Column.NAME, m["name"]), (Column.LMS_ID, m["id"]))
    time, begins = reading.read(m["when"]), m[0].split(" ")[0]
    unread = "" if time else m["when"]
    return Upload(
        entry, System.BRIGHTSPACE, who, from_name(m["name"]), m["name"], m[0], begins, m[0], file, time=time, unread=unread
    )


def blackboard(entry: Entry, named: Named, reading: Reading) -> Upload:
    """`Homework 3_username_attempt_2026-10-05-11-30-12_file.ipynb`; either name may have underscores in it."""
    m = named.match
    words = m["name"].split("_")
    logins = ["_".join(words[at:]) for at in range(1, len(words))] or words
    when = datetime.datetime.min
    with contextlib.suppress(ValueError):
        when = datetime.datetime.strptime(m["when"], "%Y-%m-%d-%H-%M-%S")
    time = None if when == datetime.datetime.min else reading.placed(when)
    who = tuple((Column.LOGIN, login) for login in logins)
    file, unread = file_of(entry, named) or entry.parts[-1], "" if time else m["when"]
    return Upload(entry, System.BLACKBOARD, who, "", "", m[0], m["name"], m["when"], file, time=time, unread=unread)


# Where a file fits the names of two systems, the first counts.
READERS: Mapping[System, tuple[re.Pattern[str], Callable[[Entry, Named, Reading], Upload]]] = {
    System.MOODLE: (MOODLE, moodle),
    System.BRIGHTSPACE: (BRIGHTSPACE, brightspace),
    System.BLACKBOARD: (BLACKBOARD, blackboard),
    System.CANVAS: (CANVAS, canvas),
}


def read(entries: Sequence[Entry], reading: Reading, assignment_id: str = "", told: System | None = None) -> Download:
    """Whose each file of one archive is.

    Args:
        assignment_id: a folder of this name around everything, or in a student's, says nothing of who it is.
        told: whose system made it, where a person has said so; `System.PLAIN` for folders and files named by students' ids.

    Raises:
        CourseError: a date can be read in two ways, or nothing in it is named as that system does.
    """
    archive = entries[0].archive if entries else ""
    others = [(entry, entry.problem) for entry in entries if entry.problem or entry.litter]
    good = [entry for entry in entries if not entry.problem and not entry.litter]
    if told in (None, System.GRADESCOPE) and (of_gradescope := gradescope(archive, good, others, reading)):
        return of_gradescope
    system, found = counted(good) if told is None else (told, fitting(told, good))
    if not found and told not in (None, System.PLAIN):
        raise CourseError(f"{archive}: nothing in it is named as {str(told).capitalize()} does. Say another --system.")
    if not found:
        return in_folders(archive, good, others, assignment_id)
    if system is System.BRIGHTSPACE:
        reading = reading.settled(named.match["when"] for named in found.values())
    uploads = []
    for entry in good:
        if entry not in found:
            hidden = system is System.CANVAS and any(ANONYMOUS.fullmatch(part) for part in entry.parts)
            others.append((entry, "" if entry.parts[-1] in ADDED[system] else HIDDEN if hidden else NOBODY))
        elif system is System.BLACKBOARD and not found[entry].match["file"]:
            others.append((entry, ""))  # what it says itself of an attempt
        else:
            upload = READERS[system][1](entry, found[entry], reading)
            if wrong := misplaced(upload.file.split("/")):  # the system's part of `ada_1_2_..` hid it
                others.append((entry, wrong))
            else:
                uploads.append(upload)
    return Download(archive, system, with_ids(uploads) if system is System.BLACKBOARD else uploads, others)


def with_ids(uploads: Sequence[Upload]) -> list[Upload]:
    """Blackboard's, with only those readings of a login that leave out no more than words with which all names begin.

    These are the words of the assignment's name, and no login has a space. Who is not known gets the one that is left as id.
    """
    names = [upload.who[0][1].split("_") for upload in uploads]  # of what may be the login, the longest stands first
    shared = 0
    while all(len(name) > shared + 1 for name in names) and len({name[shared] for name in names}) == 1:
        shared += 1
    made = []
    for upload in uploads:
        who = tuple(each for each in upload.who[: shared + 1] if " " not in each[1])
        made.append(dataclasses.replace(upload, who=who, own=who[0][1] if len(who) == 1 else ""))
    return made


def counted(entries: Sequence[Entry]) -> tuple[System, dict[Entry, Named]]:
    """The system that has made the names at one depth, and what they say; nothing where no system has.

    Students' own files lie below their places, however many they are: so the names of a folder count together, and in most
    folders of a depth most of them must fit.
    """
    for at in range(MAX_DEPTH):
        above = [entry for entry in entries if len(entry.parts) <= at]
        inside = folders(at, entries)
        if any(NOTEBOOK_ENDING.search(entry.parts[-1]) for entry in above):
            break
        votes = {system: sum(is_made_by(system, names) for names in inside) for system in READERS}
        system = max(READERS, key=lambda system: votes[system])
        if votes[system] >= max(len(above), 1) and 2 * votes[system] > len(inside):
            return system, at_depth(at, system, entries)
    return System.PLAIN, {}


def fitting(system: System, entries: Sequence[Entry]) -> dict[Entry, Named]:
    """What names say that a system has made; nothing where it has made those of no depth.

    They are the outermost that there are in most folders of a depth: what one student's file is called counts for nothing.
    """
    for at in range(MAX_DEPTH) if system in READERS else ():
        inside = folders(at, entries)
        if 2 * sum(any(map(READERS[system][0].fullmatch, names)) for names in inside) > len(inside):
            return at_depth(at, system, entries)
    return {}


def folders(at: int, entries: Sequence[Entry]) -> list[set[str]]:
    """The names in each folder at a depth."""
    inside = collections.defaultdict[tuple[str, ...], set[str]](set)
    for entry in entries:
        if len(entry.parts) > at:
            inside[entry.parts[:at]].add(unicodedata.normalize("NFC", entry.parts[at]))
    return list(inside.values())


def at_depth(at: int, system: System, entries: Sequence[Entry]) -> dict[Entry, Named]:
    """What the parts of paths at a depth say that fit the names of a system."""
    parts = ((entry, unicodedata.normalize("NFC", entry.parts[at])) for entry in entries if len(entry.parts) > at)
    return {entry: Named(at, match) for entry, part in parts if (match := READERS[system][0].fullmatch(part))}


def is_made_by(system: System, names: Collection[str]) -> bool:
    """Whether a system has made most names of a folder."""
    pattern, own = READERS[system][0], set(names) - ADDED[system]
    return 2 * sum(pattern.fullmatch(name) is not None for name in own) >= len(own) > 0


NOBODY = "Its name does not say whose it is."
HIDDEN = "Canvas was told to hide whose it is."
ADDED = collections.defaultdict[System, set[str]](set, {System.BRIGHTSPACE: {"index.html"}})  # by the system itself


def gradescope(
    archive: str, entries: Sequence[Entry], others: Sequence[tuple[Entry, str]], reading: Reading
) -> Download | None:
    """`submission_123/file.ipynb`, and beside these folders a file that says whose each is; None where it is not so."""
    places = sorted((entry for entry in entries if entry.parts[-1] == METADATA), key=lambda entry: len(entry.parts))
    if not places or places[0].path is None:
        return None
    metadata, path, above = places[0], places[0].path, places[0].parts[:-1]
    if above and not (len(above) == 1 and EXPORT.fullmatch(above[0])):  # what lies deeper may be a student's
        return None
    try:
        listed = yaml.load(path.read_bytes()[:MAX_METADATA], Loader=Untagged)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise CourseError(f"{archive}: {METADATA} cannot be read: {printable(str(error)[:200])}") from error
    uploads, left, files = [], [*others, (metadata, "")], [entry for entry in entries if entry is not metadata]
    for entry in files:
        below = entry.parts[len(above) :] if entry.parts[: len(above)] == above else ()
        about = listed.get(below[0]) if isinstance(listed, dict) and len(below) > 1 else None
        submitters = said(about, "submitters")
        submitters = [of for of in submitters if isinstance(of, dict)] if isinstance(submitters, list) else []
        if not submitters:
            left.append((entry, NOBODY))
        for of in submitters:
            name, number, email = (printable(str(said(of, key) or "")) for key in ("name", "sid", "email"))
            kinds = (Column.NUMBER, number), (Column.EMAIL, email), (Column.LOGIN, number), (Column.NAME, name)
            who, file = tuple((kind, value) for kind, value in kinds if value), "/".join(below[1:])
            stated = said(about, "created_at")
            time = read_time(stated, reading)
            unread, place = printable(str(stated)) if stated and time is None else "", below[0]
            own = number or email
            uploads.append(
                Upload(entry, System.GRADESCOPE, who, own, name, place, place, place, file, time=time, unread=unread)
            )
    return Download(archive, System.GRADESCOPE, uploads, left) if uploads else None


def read_time(stated: Any, reading: Reading) -> datetime.datetime | None:
    """A time as YAML reads it: as one, where it has a zone or none, or as text."""
    if isinstance(stated, datetime.datetime):
        return stated if stated.tzinfo else stated.replace(tzinfo=datetime.UTC)
    return reading.read(str(stated or ""))


class Untagged(yaml.SafeLoader):
    """Reads what Ruby tagged as what it is without its tag."""


def _untagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


Untagged.add_multi_constructor("", _untagged)


def said(about: Any, key: str) -> Any:
    """What stands there under Ruby's `:key`, or `key`."""
    return (about.get(f":{key}") or about.get(key)) if isinstance(about, dict) else None


def in_folders(archive: str, entries: Sequence[Entry], others: list[tuple[Entry, str]], assignment_id: str) -> Download:
    """`STUDENT/…/file.ipynb`, or `STUDENT.ipynb`; a folder around all of them is passed over."""
    skip = 0
    while (
        entries and all(len(entry.parts) > skip + 1 for entry in entries) and len({e.parts[: skip + 1] for e in entries}) == 1
    ):
        around = entries[0].parts[skip]
        several = len({entry.parts[skip + 1] for entry in entries}) > 1
        if not (around in (assignment_id, pathlib.PurePath(archive).stem, "submitted") or (several and is_full(entries, skip))):
            break
        skip += 1
    uploads = []
    for entry in entries:
        below = entry.parts[skip:]
        student = unicodedata.normalize("NFC", below[0] if len(below) > 1 else NOTEBOOK_ENDING.sub("", below[0]))
        if len(below) == 1 and student == below[0]:
            others.append((entry, NOBODY))
            continue
        rest = below[1:] or below
        if len(rest) > 1 and rest[0] == assignment_id:
            rest = rest[1:]
        who = tuple(
            (kind, student) for kind in ("student", Column.LOGIN, Column.NUMBER, Column.EMAIL, Column.LMS_ID, Column.NAME)
        )
        uploads.append(Upload(entry, System.PLAIN, who, student, "", below[0], below[0], student, "/".join(rest)))
    return Download(archive, System.PLAIN, uploads, others)


def is_full(entries: Sequence[Entry], skip: int) -> bool:
    """Whether what lies in a folder is a class: folders, or notebooks of several, and not a student's own files."""
    names = {entry.parts[skip + 1] for entry in entries}
    files = {entry.parts[skip + 1] for entry in entries if len(entry.parts) == skip + 2}
    return len(names - files) > 1 or (not names - files and all(NOTEBOOK_ENDING.search(name) for name in files))


def from_name(name: str) -> str:
    """An id made of a name, where there is nothing else that stays the same from one assignment to the next."""
    return "-".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", name).lower()))
