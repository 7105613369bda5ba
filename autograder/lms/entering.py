"""Marks into a sheet of a learning management system: which column, which cells, and who is in one and not in the other.

    the gradebook's marks ─┐
    the system's own sheet ┴─► `fill`: the sheet with some cells filled, and a row for everybody in either

What nobody has marked yet leaves its cell as it was. Nothing else of the sheet is touched: not another column, not a row that
is no student's.
"""

import collections
import dataclasses
import enum
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence

from autograder.errors import CourseError
from autograder.lms.people import folded, id_column_named, letters
from autograder.lms.sheets import Column, Sheet, System, plain
from autograder.nbgrader.submitted import printable

# What stands behind an assignment's name in the header of its column.
BEHIND = {
    System.CANVAS: re.compile(r"\s*\(\d+\)$"),
    System.BRIGHTSPACE: re.compile(r"\s+Points Grade\b.*|\s*<Numeric\b.*", re.DOTALL),
    System.BLACKBOARD: re.compile(r"\s*\[Total Pts:.*|\s*\|\s*\d+$", re.DOTALL),
}
# Moodle's worksheet is of one assignment, and in the user's language.
GRADE = ("grade", "bewertung", "note", "calificación", "valutazione", "nota", "cijfer")
COMMENTS = ("feedbackcomments", "feedbackalskommentar", "feedbackparcommentaires", "comentariosderetroalimentación")
LOCKED = ("gradecanbechanged", "bewertungkannveranlastwerden", "bewertungkanngeändertwerden", "lanotepeutêtremodifiée")
MAXIMUM = ("maximumgrade", "bestebewertung", "notemaximale", "calificaciónmáxima")
OURS = re.compile(r"[\d.,]+ of [\d.,]+ points\b")  # how a comment of ours begins
POSSIBLE = re.compile(r"(?:Total Pts:|MaxPoints:)\s*([\d.,]+)")
DECIMAL = re.compile(r"\d+([.,])\d+")


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the gradebook has of a student.

    Attributes:
        score: points, the penalty taken off; None where somebody has yet to mark something.
        why: what is to be said where there is no score.
        comment: a sentence on the score.
        name, email: as the course knows them, or "".
        known_as: login and number of the institution, as far as the course knows them.
        ids: system → its own id of the student; that of another system may be somebody else's.
    """

    score: float | None
    why: str = ""
    comment: str = ""
    name: str = ""
    email: str = ""
    known_as: Mapping[Column, str] = dataclasses.field(default_factory=dict)
    ids: Mapping[System, str] = dataclasses.field(default_factory=dict)


class State(enum.StrEnum):
    """What became of somebody in the sheet or in the course."""

    FILLED = "filled"
    SAME = "there already"
    UNMARKED = "left as it was"
    NOT_IN_SHEET = "not in the sheet"
    NOT_IN_COURSE = "not in the course"
    NOT_FILLED = "cannot be filled"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        student: nbgrader's id; of whom the course does not know, the sheet's.
        name: as the sheet has it, else "".
        state: `State`.
        before, after: what stands in the cell.
        note: a few words, or "".
    """

    student: str
    name: str
    state: State
    before: str = ""
    after: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Filled:
    """A sheet with marks in it.

    Attributes:
        data: the file's bytes.
        column: the header of the column that was filled.
        rows: everybody in the sheet or in the course, in the sheet's order.
        warnings: what a person should know, in sentences.
    """

    data: bytes
    column: str
    rows: Sequence[Row]
    warnings: Sequence[str]

    @property
    def complete(self) -> bool:
        """Whether everybody of the course who has a mark has it in the sheet."""
        return not any(row.state == State.NOT_FILLED or (row.state == State.NOT_IN_SHEET and row.after) for row in self.rows)


def fill(
    sheet: Sheet,
    marks: Mapping[str, Mark],
    names: Sequence[str],
    maximum: float,
    column: str | None = None,
    id_column: str | None = None,
) -> Filled:
    """Fills the column of an assignment.

    Args:
        marks: nbgrader's id → `Mark`, of all students of the course.
        names: of the assignment, the surest first, by which its column is found.
        maximum: points that it can have.
        column: the name of the column; None finds it by `names`.
        id_column: the name of the column with nbgrader's ids; None finds it.

    Raises:
        CourseError: the column is not there, or there are several; it lists them. Or the sheet is of another assignment.
    """
    at = numbered(sheet, column) if column else found(sheet, names)
    whose = matched(sheet, marks, id_column)
    comments = only(sheet, COMMENTS) if sheet.system is System.MOODLE else None
    comma = decimal_comma(sheet, at)
    texts: dict[tuple[int, int], str] = {}
    rows = []
    for row in sheet.students:
        match = whose.get(row)
        if match is None:
            rows.append(Row(who(sheet, row), name(sheet, row), State.NOT_IN_COURSE))
            continue
        mark, before = marks[match.student], sheet.cell(row, at)
        line = Row(match.student, name(sheet, row), State.UNMARKED, before, before, mark.why)
        if mark.score is not None:
            after = number(mark.score, comma)
            if wrong := match.against or locked(sheet, row, at):
                line = dataclasses.replace(line, state=State.NOT_FILLED, note=wrong)
            else:
                same = before == after or as_number(before) == mark.score
                line = dataclasses.replace(
                    line, state=State.SAME if same else State.FILLED, after=before if same else after, note=""
                )
                if not same:
                    texts[row, at] = after
                texts |= commented(sheet, row, comments, mark.comment)
        rows.append(line)
    inside = {match.student for match in whose.values()}
    for student, mark in sorted(marks.items()):
        if student not in inside:
            after = "" if mark.score is None else number(mark.score, comma)
            rows.append(Row(student, "", State.NOT_IN_SHEET, after=after, note=mark.why))
    return Filled(sheet.filled(texts), printable(sheet.names[at]), rows, warnings(sheet, at, maximum))


def commented(sheet: Sheet, row: int, column: int | None, comment: str) -> dict[tuple[int, int], str]:
    """The cell for a comment, where there is one and no person has written into it."""
    if column is None or column >= len(sheet.rows[row]) or not comment:
        return {}
    there = sheet.cell(row, column)
    text = comment.encode(sheet.encoding, "replace").decode(sheet.encoding)
    return {(row, column): text} if text != there and (not there or OURS.match(there)) else {}


@dataclasses.dataclass(frozen=True)
class Match:
    """Whose of the course a row of a sheet is, and what speaks against it, in a few words, or ""."""

    student: str
    against: str = ""


def matched(sheet: Sheet, marks: Mapping[str, Mark], id_column: str | None) -> dict[int, Match]:
    """The number of a row → whose of the course it is.

    By nbgrader's id in the column that holds it; for whom that does not find, by an id or address that only they have. What a
    person names is believed; otherwise a row to which something leads that speaks against it is nobody's to fill.

    Raises:
        CourseError: there is no such column, it cannot hold ids, or the sheet is that of another assignment.
    """
    by: dict[tuple[Column | int, str], list[int]] = collections.defaultdict(list)
    column = id_column_of(sheet, marks, id_column)
    for at in {*Column, column}:
        for row in sheet.students:
            if value := sheet.cell(row, at):
                by[at, folded(value)].append(row)
    leads: dict[str, list[int]] = {}
    for student, mark in marks.items():
        keys: list[tuple[Column | int, str]] = [(column, student), (Column.EMAIL, mark.email), *mark.known_as.items()]
        keys += [(Column.EMAIL, student), (Column.LMS_ID, mark.ids.get(sheet.system, ""))]
        there = [by[at, folded(value)] for at, value in keys if value]
        leads[student] = list(dict.fromkeys(rows[0] for rows in there if len(rows) == 1))
    firsts = collections.Counter(rows[0] for rows in leads.values() if rows)
    whose = {}
    for student, rows in leads.items():
        if rows and firsts[rows[0]] == 1:
            sure = id_column is not None and folded(sheet.cell(rows[0], column)) == folded(student)
            whose[rows[0]] = Match(student, "" if sure else against(sheet, rows, marks[student]))
        elif rows:
            whose[rows[0]] = Match(student, "several of the course could be meant")
    of_another(sheet, {row: marks[match.student] for row, match in whose.items()})
    return whose


def id_column_of(sheet: Sheet, marks: Mapping[str, Mark], named: str | None) -> Column | int:
    """The column that holds nbgrader's ids: the one that was named, or else that which has most of them.

    A system's own ids are numbers that mean something else elsewhere, so they are never found so.
    """
    if named is not None:
        return id_column_named(sheet, named)
    known = {folded(student) for student in marks}
    return max(
        (Column.LOGIN, Column.NUMBER, Column.EMAIL),
        key=lambda column: sum(folded(sheet.cell(row, column)) in known for row in sheet.students),
    )


def against(sheet: Sheet, rows: Sequence[int], mark: Mark) -> str:
    """What speaks against the first of some rows, in a few words, or "".

    Args:
        rows: all to which something leads that the course knows of a student.
    """
    first, *others = rows
    if others:
        return f"line {others[0] + 1} of the sheet has something of theirs, too"
    there, known = sheet.cell(first, Column.LMS_ID), mark.ids.get(sheet.system)
    if there and known and folded(there) != folded(known):
        return f"{sheet.system} knew them by {known} until now"
    same_address = mark.email and folded(sheet.cell(first, Column.EMAIL)) == folded(mark.email)
    if not same_address and not akin(name(sheet, first), mark.name):
        return f"the course knows them as {mark.name}"
    return ""


def akin(one: str, other: str) -> bool:
    """Whether two names may be one person's: they share a part, or one of them is not known."""
    parts = [{letters(part) for part in re.split(r"[\s,.]+", plainly(name))} - {""} for name in (one, other)]
    if not all(parts) or parts[0] & parts[1]:
        return True
    # 王小明 has no space between its parts.
    whole = ["".join(sorted(each)) for each in parts]
    return any(not part.isascii() and part in whole[1 - at] for at in (0, 1) for part in parts[at])


def plainly(name: str) -> str:
    """A name without the marks on its letters."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if unicodedata.category(letter) != "Mn")


def of_another(sheet: Sheet, whose: Mapping[int, Mark]) -> None:
    """CourseError where Moodle's numbers, which are others in each assignment, are none of those that were collected."""
    pairs = [(sheet.cell(row, Column.LMS_ID), mark.ids.get(System.MOODLE)) for row, mark in whose.items()]
    known = [(there, ours) for there, ours in pairs if there and ours]
    if sheet.system is System.MOODLE and known and all(there != ours for there, ours in known):
        raise CourseError(
            f"{sheet.path} is the worksheet of another assignment: none of its participant numbers is that of what was "
            "collected. Download the grading worksheet of this one."
        )


def gradable(sheet: Sheet) -> list[int]:
    """The numbers of the columns that may hold marks."""
    others = [at for at, header in enumerate(sheet.names) if header and at not in sheet.columns.values()]
    return [at for at in others if base(sheet, at) != sheet.names[at]] or others


def base(sheet: Sheet, at: int) -> str:
    """The assignment's name in a header."""
    header = sheet.names[at]
    return BEHIND[sheet.system].sub("", header) if sheet.system in BEHIND else header


def found(sheet: Sheet, names: Sequence[str]) -> int:
    """The column of the assignment.

    Raises:
        CourseError: there is none, or there are several.
    """
    if sheet.system is System.MOODLE and (at := only(sheet, GRADE)) is not None:
        return at
    for name in names:
        same = [at for at in gradable(sheet) if base(sheet, at) == name]
        there = same or [at for at in gradable(sheet) if alike(base(sheet, at)) == alike(name)]
        if len(there) == 1:
            return there[0]
        if there:
            listed = ", ".join(repr(sheet.names[at]) for at in there)
            raise CourseError(f"{sheet.path} has several columns for {name}: {listed}. Name one with --column.")
    listed = ", ".join(repr(base(sheet, at)) for at in gradable(sheet)) or "none at all"
    raise CourseError(f"{sheet.path} has no column for {names[0]}. Name one with --column: {listed}.")


def numbered(sheet: Sheet, column: str) -> int:
    """The column of that name, as the sheet has it or without what the system puts behind it."""
    every = range(len(sheet.names))
    for there in (
        [at for at in every if sheet.names[at] == column],
        [at for at in every if base(sheet, at) == column],
        [at for at in every if alike(column) in (alike(sheet.names[at]), alike(base(sheet, at)))],
    ):
        if len(there) == 1:
            if there[0] in sheet.columns.values():
                raise CourseError(f"{sheet.path}: the column {column!r} says who a student is; marks go into another one.")
            return there[0]
        if there:
            listed = ", ".join(repr(sheet.names[at]) for at in there)
            raise CourseError(f"{sheet.path} has several columns {column!r}: {listed}. Give the whole name of one.")
    listed = ", ".join(repr(base(sheet, at)) for at in gradable(sheet))
    raise CourseError(f"{sheet.path} has no column {column!r}. Columns: {listed}.")


def alike(name: str) -> str:
    """A name as it is compared: `HW-3` is hw3; but 1-1 is not 11, as what separates two numbers counts."""
    text = re.sub(r"(?<=\d)[\W_]+(?=\d)", "\0", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"[^\w\0]|_", "", text)


def only(sheet: Sheet, headers: Sequence[str]) -> int | None:
    """The only column with one of these names; None where there is none or several."""
    there = [at for at, header in enumerate(sheet.names) if plain(header) in headers]
    return there[0] if len(there) == 1 else None


def locked(sheet: Sheet, row: int, at: int) -> str:
    """Why a mark cannot be put into a row, or ""."""
    if at >= len(sheet.rows[row]):
        return "the row is too short"
    changeable = only(sheet, LOCKED) if sheet.system is System.MOODLE else None
    if changeable is not None and plain(sheet.cell(row, changeable)) in ("no", "nein", "non"):
        return "Moodle says that the grade cannot be changed"
    return ""


def warnings(sheet: Sheet, at: int, maximum: float) -> list[str]:
    """What does not fit between sheet and assignment."""
    possible = points_possible(sheet, at)
    if possible is None or possible == maximum:
        return []
    return [f"The sheet has {possible:g} as the most that can be reached, the assignment {maximum:g}: marks are not converted."]


def points_possible(sheet: Sheet, at: int) -> float | None:
    """The most points that the sheet allows; None where it does not say."""
    if match := POSSIBLE.search(sheet.names[at]):
        return as_number(match[1])
    if sheet.system is System.CANVAS:
        below = range(sheet.header + 1, min(sheet.header + 4, len(sheet.rows)))
        row = next((row for row in below if sheet.cell(row, 0).lower() == "points possible"), None)
        return as_number(sheet.cell(row, at)) if row is not None else None
    most = only(sheet, MAXIMUM) if sheet.system is System.MOODLE else None
    values = {as_number(sheet.cell(row, most)) for row in sheet.students} if most is not None else set()
    return values.pop() if len(values) == 1 else None


def decimal_comma(sheet: Sheet, at: int) -> bool:
    """Whether the sheet writes 12,5: in its own column or beside it, else in other columns of marks, and nowhere 12.5."""
    most = only(sheet, MAXIMUM)
    for places in ([at] if most is None else [at, most], gradable(sheet)):
        cells = [sheet.cell(row, place) for row in range(sheet.header + 1, len(sheet.rows)) for place in places]
        marks = {match[1] for cell in cells if (match := DECIMAL.fullmatch(cell))}
        if marks:
            return marks == {","}
    return False


def number(value: float, comma: bool) -> str:
    """A mark, to two digits as systems keep them."""
    text = f"{round(value, 2):.2f}".rstrip("0").rstrip(".")
    return text.replace(".", ",") if comma else text


def as_number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def name(sheet: Sheet, row: int) -> str:
    """A student's, as the sheet has it."""
    whole = f"{sheet.cell(row, Column.FIRST)} {sheet.cell(row, Column.LAST)}".strip()
    return printable(sheet.cell(row, Column.NAME) or whole)


def who(sheet: Sheet, row: int) -> str:
    """What the sheet calls somebody whom the course does not know."""
    columns = (Column.LOGIN, Column.NUMBER, Column.EMAIL, Column.LMS_ID)
    return printable(next((value for column in columns if (value := sheet.cell(row, column))), ""))


def filled_beside(path: pathlib.Path) -> pathlib.Path:
    """Where a filled sheet is written, where nobody names a place: beside the one that it is made of.

    One that was filled before is filled anew in its place.
    """
    return path.with_name(f"{path.stem.removesuffix('.filled')}.filled{path.suffix}")
