"""Who is in a course, by nbgrader's id and by the names under which a learning management system knows them.

nbgrader names folders, addresses and rows by a student's id, so it must stay the same from one assignment to the next, be the
same for all sheets of a course, and be a name that any file system takes. Of the columns of a sheet, the first of these is
taken that is there, is filled and different for everybody, and holds such names: what they log in with, the institution's
number, the e-mail address, the system's own id. Where the course has students already, the one that names most of them goes
first. An id is kept as text, so leading zeros stay.
"""

import collections
import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence

from autograder.errors import CourseError
from autograder.lms.sheets import Column, Sheet, System, plain
from autograder.nbgrader.submitted import printable

ORDER = (Column.LOGIN, Column.NUMBER, Column.EMAIL, Column.LMS_ID)
MAX_ID = 100  # letters; nbgrader puts more around them, and a name may have 255 bytes
# What a file system, an address, a pattern for files or nbgrader's own names of files take for something else.
UNSAFE = re.compile(r'[\s/\\:*?"<>|\[\]{}#%&;$`]|^[.\-~]|\.$')
SUFFIX = re.compile(r"jr\.?|sr\.?|i{2,3}|iv|ph\.? ?d\.?|m\.?d\.?", re.IGNORECASE)
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Person:
    """A student.

    Attributes:
        student: nbgrader's id.
        lms_ids: what else they are known by: `Column.LOGIN`, `.NUMBER` and `.LMS_ID`, as far as the sheet has them.
    """

    student: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_ids: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """First and last name, as far as they are known."""
        return f"{self.first_name} {self.last_name}".strip()


class Roster:
    """The students of a course.

    Args:
        people: in the order in which they are shown.
        rows: nbgrader's id → the number of the row in the sheet that they are from.
        system: whose `Column.LMS_ID` they have.
    """

    def __init__(self, people: Sequence[Person], rows: Mapping[str, int] | None = None, system: System = System.PLAIN) -> None:
        self.people, self.system = tuple(people), system
        self.rows = dict(rows or {})
        self._by: dict[tuple[str, str], list[Person]] = collections.defaultdict(list)
        for person in self.people:
            for kind, value in [*person.lms_ids.items(), (Column.EMAIL, person.email), ("student", person.student)]:
                if value:
                    self._by[kind, folded(value)].append(person)
            for name in {letters(person.name), letters(f"{person.last_name} {person.first_name}")} - {""}:
                self._by[Column.NAME, name].append(person)

    @classmethod
    def of(cls, sheet: Sheet, id_column: str | None = None, known: Collection[str] = ()) -> "Roster":
        """The students of a sheet.

        Args:
            id_column: the name of the column that holds nbgrader's id; None takes the first that can be it, as said above.
            known: the ids of the students that the course has already.

        Raises:
            CourseError: no column can be it, or the one that was named cannot.
        """
        column = chosen(sheet, known) if id_column is None else id_column_named(sheet, id_column)
        same = {folded(student): student for student in known}  # a spreadsheet program may have changed `ada` into `Ada`
        ids = [normal(sheet.cell(row, column)) for row in sheet.students]
        people = [
            person(sheet, row, same.get(folded(student), student)) for row, student in zip(sheet.students, ids, strict=True)
        ]
        return cls(people, {each.student: row for each, row in zip(people, sheet.students, strict=True)}, sheet.system)

    def known_as(self, kind: str, value: str) -> list[Person]:
        """Who has that login, number, e-mail address, id, or name: nobody, somebody, or several of the same name."""
        return list(self._by.get((kind, letters(value) if kind == Column.NAME else folded(value)), ()))

    def __iter__(self) -> Iterator[Person]:
        return iter(self.people)


def person(sheet: Sheet, row: int, student: str) -> Person:
    """The student in a row of a sheet."""
    first, last = printable(sheet.cell(row, Column.FIRST)), printable(sheet.cell(row, Column.LAST))
    if not first and not last:
        first, last = halves(printable(sheet.cell(row, Column.NAME)))
    ids = {str(column): value for column in (Column.LOGIN, Column.NUMBER, Column.LMS_ID) if (value := sheet.cell(row, column))}
    return Person(student, first, last, printable(sheet.cell(row, Column.EMAIL)), ids)


def halves(name: str) -> tuple[str, str]:
    """(first name, last name) of "Last, First" or "First Last"; of a name with several parts, the last is the last name."""
    last, comma, first = name.rpartition(",")
    if comma and not SUFFIX.fullmatch(first.strip()):
        return first.strip(), last.strip()
    words = last.split() or name.split()  # "Martin King, Jr." has a comma, too
    return " ".join(words[:-1]), " ".join(words[-1:]) + (f", {first.strip()}" if comma else "")


def chosen(sheet: Sheet, known: Collection[str]) -> Column:
    """The column that holds the students' id, where nobody has named it."""
    there = [column for column in ORDER if column in sheet.columns]
    why = {column: unfit(sheet, column) for column in there}
    fit = [column for column in there if not why[column]]
    if not fit:
        reasons = " ".join(f"{sheet.names[sheet.columns[column]]}: {wrong}" for column, wrong in why.items())
        raise CourseError(
            f"{sheet.path} has no column that can be the students' id. {reasons} Name one with --id-column: "
            f"{', '.join(filter(None, sheet.names))}."
        )
    # The first of those that name most.
    there_already = {folded(student) for student in known}
    return max(fit, key=lambda column: sum(folded(sheet.cell(row, column)) in there_already for row in sheet.students))


def id_column_named(sheet: Sheet, name: str) -> Column | int:
    """The column of that name; CourseError where there is none, or where it cannot hold the students' ids."""
    found = [at for at, header in enumerate(sheet.names) if plain(header) == plain(name)]
    if len(found) != 1:
        there = "is not there" if not found else f"is there {len(found)} times"
        raise CourseError(f"{sheet.path}: the column {name!r} {there}. Columns: {', '.join(filter(None, sheet.names))}.")
    column = next((column for column, at in sheet.columns.items() if at == found[0] and column in ORDER), found[0])
    if wrong := unfit(sheet, column):
        raise CourseError(f"{sheet.path}: {name} cannot be the students' id: {wrong}")
    return column


def unfit(sheet: Sheet, column: Column | int) -> str:
    """Why a column cannot be the students' id, in a sentence; "" where it can."""
    seen: dict[str, int] = {}
    for row in sheet.students:
        value = normal(sheet.cell(row, column))
        line = row + 1
        if not value:
            return f"row {line} has none."
        if wrong := unsafe(value):
            return f"row {line} has {value!r}, which {wrong}."
        if folded(value) in seen:
            return f"rows {seen[folded(value)]} and {line} have the same, {value!r}."
        seen[folded(value)] = line
    return ""


def near(typed: str, known: Mapping[str, str], most: int = 5) -> list[str]:
    """Those whose id or name is most like what somebody typed: their id, with their name behind it.

    Args:
        known: id → name, or "".
    """
    whose = collections.defaultdict[str, list[str]](list)
    for student, name in known.items():
        for each in {folded(part) for part in (student, name, *name.split())} - {""}:
            whose[each].append(student)
    found = [student for each in difflib.get_close_matches(folded(typed), whose, most) for student in whose[each]]
    return [f"{student} ({known[student]})" if known[student] else student for student in dict.fromkeys(found)][:most]


def unsafe(student: str) -> str:
    """Why nbgrader cannot name a student so, as the end of a sentence; "" where it can."""
    if not student or not student.isprintable():
        return "cannot be printed"
    if len(student) > MAX_ID or len(student.encode("utf-8", "replace")) > 2 * MAX_ID:
        return "is too long"
    if match := UNSAFE.search(student):
        return f"has {match[0]!r} in it, which cannot be in the name of a folder that nbgrader makes"
    if DEVICES.fullmatch(student):
        return "is the name of a device on Windows"
    return ""


def normal(student: str) -> str:
    """An id with its letters composed in the one way that all sheets of a course share."""
    return unicodedata.normalize("NFC", student)


def same_but_for_zeros(student: str, other: str) -> bool:
    """Whether an id is another without the zeros in front, which a spreadsheet program takes for a number and leaves out."""
    return student != other and student.isdecimal() and other.isdecimal() and student.lstrip("0") == other.lstrip("0")


def folded(text: str) -> str:
    """A name by which somebody is looked for: a letter's case, and how it is composed, make no difference."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()


def letters(name: str) -> str:
    """The letters and digits of a name, as systems keep them in the names of files: no spaces, no punctuation."""
    text = unicodedata.normalize("NFKC", name).casefold()
    kept = (letter for letter in text if unicodedata.category(letter)[0] in "LMN")
    return unicodedata.normalize("NFC", "".join(kept))
