"""A sheet as a learning management system exports it, read so that it can be written back byte for byte but for filled cells.

Python's `csv` forgets which fields were quoted, how lines end and whether the last one does; a system may refuse a sheet in
which these changed, and a person who compares two sheets sees only changes that nobody made. So the text of each field is kept
as it stands in the file, and a field that is filled is quoted as it was before.

What the systems write is in docs/lms.md, with its sources.
"""

import codecs
import dataclasses
import enum
import functools
import itertools
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from autograder.errors import CourseError

MAX_BYTES = 64 << 20


class System(enum.StrEnum):
    """Whose sheet or download it is."""

    CANVAS = "canvas"
    MOODLE = "moodle"
    BRIGHTSPACE = "brightspace"
    BLACKBOARD = "blackboard"
    GRADESCOPE = "gradescope"
    PLAIN = "plain"


class Column(enum.StrEnum):
    """What a column says of a student."""

    LOGIN = "login"  # what they log in with
    NUMBER = "number"  # the institution's
    LMS_ID = "id"  # the system's own; it means nothing elsewhere
    EMAIL = "email"
    FIRST = "first name"
    LAST = "last name"
    NAME = "name"  # both, as "First Last" or "Last, First"


# The headers of each system, in lower case and without spaces and punctuation. Moodle translates its own: German, French and
# Spanish are here.
HEADERS = {
    Column.LOGIN: (
        *("sisloginid", "username", "login", "loginid", "userid", "user", "netid", "uid"),
        *("anmeldename", "nomdutilisateur", "nombredeusuario"),
    ),
    Column.NUMBER: (
        *("sisuserid", "orgdefinedid", "studentid", "sid", "idnumber", "studentnumber", "matriculationnumber"),
        *("idnummer", "matrikelnummer", "numérodidentification", "númerodeid"),
    ),
    Column.LMS_ID: ("id", "identifier", "canvasid", "identifiant", "identificador"),
    Column.EMAIL: ("email", "emailaddress", "mail", "emailadresse", "adressedecourriel", "direccióndecorreo"),
    Column.FIRST: ("firstname", "givenname", "forename", "vorname", "prénom", "nombre"),
    Column.LAST: ("lastname", "surname", "familyname", "nachname", "nomdefamille", "apellidos"),
    Column.NAME: ("student", "fullname", "name", "studentname", "vollständigername", "nomcomplet", "nombrecompleto"),
}
# A header that the system writes and nobody else.
SIGNS = {
    System.CANVAS: ({"student", "id", "section"}, {"lastname", "firstname", "id", "section"}),
    System.MOODLE: ({"identifier", "status", "grade"}, {"identifier", "fullname"}),
    System.BRIGHTSPACE: ({"endoflineindicator"}, {"orgdefinedid"}),
    System.BLACKBOARD: (
        {"lastname", "firstname", "username", "studentid"},
        {"lastname", "firstname", "username", "lastaccess"},
        {"lastname", "firstname", "username", "gradingnotes"},
    ),
    System.GRADESCOPE: ({"firstname", "lastname", "sid", "email"}, {"name", "sid", "email"}),
}
# Moodle writes its headers in the user's language, and the student's number after a word in that language.
PARTICIPANT = re.compile(r"[^\W\d][^\d]{2,40}?(\d{1,12})")
SEPARATORS = (",", ";", "\t")
ENCODINGS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclasses.dataclass(frozen=True)
class Field:
    """A field as it stands in the file.

    Attributes:
        raw: its text there, with its quotes.
        end: what follows it: a separator, the end of a line, or "" at the end of the file.
    """

    raw: str
    end: str

    @functools.cached_property
    def value(self) -> str:
        """Its text, without quotes and the spaces around it."""
        return unquoted(self.raw).strip()

    def filled(self, text: str, separator: str) -> "Field":
        """The field with another text: quoted where it was, or where the text needs it."""
        needs = any(character in text for character in (separator, '"', "\n", "\r")) or text != text.strip()
        quoted = '"' + text.replace('"', '""') + '"'
        return Field(quoted if needs or self.raw.startswith('"') else text, self.end)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A sheet of a learning management system.

    Attributes:
        encoding: of its text, without the byte order mark.
        bom: the byte order mark that it begins with, or nothing.
        separator: between two fields.
        rows: all of them, as they stand there; `rows[header]` names the columns.
        columns: what is known of a student → the number of the column. Not all are in every sheet.
        students: the numbers of the rows that are students, in their order; not those of Canvas's points and test student.
    """

    path: pathlib.Path
    system: System
    encoding: str
    bom: bytes
    separator: str
    rows: Sequence[Sequence[Field]]
    header: int
    columns: Mapping[Column, int]
    students: Sequence[int]

    @classmethod
    def read(cls, path: pathlib.Path, said: Collection[str] = ()) -> "Sheet":
        """The sheet in a file.

        Args:
            said: names of columns that a person has given: a row with one of them names the columns.

        Raises:
            CourseError: it cannot be read, or holds no table with a row that names its columns.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise CourseError(f"{path} cannot be read: {error.strerror}.") from error
        return cls.of(data, path, said)

    @classmethod
    def of(cls, data: bytes, path: pathlib.Path, said: Collection[str] = ()) -> "Sheet":
        """The sheet in a file's bytes; as `read`."""
        if len(data) > MAX_BYTES:
            raise CourseError(f"{path} is larger than {MAX_BYTES >> 20} MB, so it is no sheet of a class.")
        if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise CourseError(f"{path} is a workbook of Excel: export it as CSV, or save it as CSV UTF-8.")
        bom, encoding, text = decoded(data, path)
        best: tuple[int, int, str, int, list[list[Field]]] | None = None
        for separator in SEPARATORS:
            rows = list(split(text, separator))
            for number, row in enumerate(rows[:5]):  # Excel's `sep=;` and the like may stand above the header
                known = len(named(row)) + sum(plain(field.value) in map(plain, said) for field in row)
                found = (known, len(row), separator, number, rows)
                if best is None or found[:2] > best[:2]:
                    best = found
        if best is None or (best[:2] < (1, 2) and not is_foreign_worksheet(best[4], best[3])):
            seen = ", ".join([field.value[:40] for field in best[4][best[3]] if field.value][:12]) if best else ""
            raise CourseError(
                f"{path} holds no table with a row that names its columns (a user name, an e-mail address, names). "
                f"{f'It begins with: {seen}. ' if seen else ''}Name the column that holds the students' ids with "
                "--id-column, or give the sheet as the learning management system exports it in English."
            )
        known, _, separator, header, rows = best
        system = whose(rows, header)
        columns = named(rows[header])
        if system is System.MOODLE:
            columns[Column.LMS_ID] = 0
            if not known and are_names(rows[header + 1 :], 1):
                columns[Column.NAME] = 1
        if system is System.PLAIN and not {Column.LOGIN, Column.NUMBER} & columns.keys() and Column.LMS_ID in columns:
            columns[Column.NUMBER] = columns.pop(Column.LMS_ID)
        if Column.EMAIL not in columns and (addresses := with_addresses(rows[header + 1 :])):
            (columns[Column.EMAIL],) = addresses
        sheet = cls(path, system, encoding, bom, separator, rows, header, columns, [])
        sheet = dataclasses.replace(sheet, students=[at for at in range(header + 1, len(rows)) if sheet.is_student(at)])
        sheet.check_names()
        return sheet

    def check_names(self) -> None:
        """CourseError where two columns of one name say different things of who a student is."""
        for at in self.columns.values():
            same = [n for n, name in enumerate(self.names) if name and plain(name) == plain(self.names[at])]
            if any(len({self.cell(row, n) for n in same}) > 1 for row in self.students):
                raise CourseError(
                    f"{self.path} has {len(same)} columns {self.names[at]!r}, which differ: rename or remove one."
                )

    @property
    def names(self) -> list[str]:
        """What the columns are called."""
        return [field.value for field in self.rows[self.header]]

    def cell(self, row: int, column: int | Column) -> str:
        """The text of a cell, without the signs that a system puts before an id; "" where there is no such cell."""
        at = self.columns.get(column) if isinstance(column, Column) else column
        if at is None or at >= len(self.rows[row]):
            return ""
        value = self.rows[row][at].value
        if self.system is System.BRIGHTSPACE and column in (Column.LOGIN, Column.NUMBER):
            value = value.removeprefix("#")
        if self.system is System.MOODLE and column is Column.LMS_ID:
            match = PARTICIPANT.fullmatch(value)
            value = match[1] if match else value
        if match := re.fullmatch(r'="(.*)"', value, re.DOTALL):  # so that a spreadsheet takes it for text
            value = match[1].replace('""', '"')
        return value

    def is_student(self, row: int) -> bool:
        """Whether a row below the header is a student's."""
        if not any(field.value for field in self.rows[row]):
            return False
        if self.system is not System.CANVAS:
            return True
        # The rows for points and for manual posting have no id; the test student has no number, and a hash as login.
        name = self.cell(row, Column.NAME) or f"{self.cell(row, Column.LAST)}, {self.cell(row, Column.FIRST)}"
        login = self.cell(row, Column.LOGIN)
        nobody = not self.cell(row, Column.NUMBER) and re.fullmatch("|[0-9a-f]{40}", login)
        return bool(self.cell(row, Column.LMS_ID)) and not (nobody and name.lower() in ("student, test", "test student"))

    def filled(self, texts: Mapping[tuple[int, int], str]) -> bytes:
        """The file with other texts in some cells, by (row, column); all else is as it was.

        Raises:
            CourseError: a text has a letter that the file's encoding has not.
        """
        rows = [
            [field.filled(texts[at, n], self.separator) if (at, n) in texts else field for n, field in enumerate(row)]
            for at, row in enumerate(self.rows)
        ]
        text = "".join(field.raw + field.end for row in rows for field in row)
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise CourseError(f"{self.path} is in {self.encoding}, which has no {text[error.start]!r}.") from error


def decoded(data: bytes, path: pathlib.Path) -> tuple[bytes, str, str]:
    """(byte order mark, encoding, text) of a file's bytes."""
    for bom, encoding in ENCODINGS:
        if data.startswith(bom):
            try:
                return bom, encoding, data[len(bom) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise CourseError(f"{path} is damaged: it says that it is in {encoding}, and is not.") from error
    guesses = ["utf-8", "cp1252", "latin-1"]
    if len(data) % 2 == 0 and data[:512].count(0) > len(data[:512]) // 4:
        guesses.insert(0, "utf-16-be" if data[0] == 0 else "utf-16-le")
    for encoding in guesses:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return b"", encoding, text
    raise CourseError(f"{path} is no text: give the sheet as the learning management system exports it.")


def split(text: str, separator: str) -> Iterator[list[Field]]:
    """The rows of a table, with everything between and around the fields; joined again they are the text."""
    apart = re.escape(separator)
    # A quote that never ends is text, not the rest of the file.
    field = re.compile(rf'("(?:[^"]++|"")*+"[^{apart}\r\n]*|[^{apart}\r\n]*)({apart}|\r\n|\n|\r|\Z)')
    row: list[Field] = []
    at = 0
    while at < len(text) or (row and row[-1].end == separator):
        match = field.match(text, at)
        assert match is not None  # the second alternative fits anything
        row.append(Field(match[1], match[2]))
        at = match.end()
        if match[2] != separator:
            yield row
            row = []
            if not match[2]:
                return


def unquoted(raw: str) -> str:
    match = re.fullmatch(r'"((?:[^"]++|"")*+)"(.*)', raw, re.DOTALL)
    return match[1].replace('""', '"') + match[2] if match else raw


def plain(name: str) -> str:
    """A header without what differs from one version of a system to the next."""
    return re.sub(r"[\W_]+", "", name.lower())


def named(row: Sequence[Field]) -> dict[Column, int]:
    """What is known of a student → the number of the column, by the names of the columns."""
    names = [plain(field.value) for field in row]
    found = {}
    for column, headers in HEADERS.items():
        at = next((names.index(header) for header in headers if header in names), None)
        if at is not None:
            found[column] = at
    return found


def whose(rows: Sequence[Sequence[Field]], header: int) -> System:
    """The system whose sheet it is."""
    names = {plain(field.value) for field in rows[header]}
    for system, signs in SIGNS.items():
        if any(sign <= names for sign in signs):
            return system
    firsts = [row[0].value for row in itertools.islice(rows, header + 1, None) if any(field.value for field in row)]
    words = {match[0][: match.start(1)] if (match := PARTICIPANT.fullmatch(first)) else None for first in firsts}
    return System.MOODLE if len(firsts) > 1 and len(words) == 1 and None not in words else System.PLAIN


def is_foreign_worksheet(rows: Sequence[Sequence[Field]], header: int) -> bool:
    """Whether it is Moodle's worksheet in a language of which no header is known: the order of its columns is the same."""
    return len(rows[header]) >= 5 and whose(rows, header) is System.MOODLE


def are_names(rows: Sequence[Sequence[Field]], at: int) -> bool:
    """Whether a column may hold people's names: few share one, and it has no numbers and addresses."""
    values = [row[at].value for row in rows if at < len(row) and any(field.value for field in row)]
    return 2 * len(set(values)) > len(values) and not any(re.search(r"[@\d]", value) for value in values)


def with_addresses(rows: Sequence[Sequence[Field]]) -> list[int]:
    """[the number of the only column that holds e-mail addresses and nothing else], or [] where there is none"""
    rows = [row for row in rows if any(field.value for field in row)]
    width = max(map(len, rows), default=0)
    found = []
    for at in range(width):
        values = [row[at].value for row in rows if at < len(row) and row[at].value]
        if values and all(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) for value in values):
            found.append(at)
    return found if len(found) == 1 else []
