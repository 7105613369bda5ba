"""Marks into a sheet of a learning management system: which column, which cells, and who is in one and not in the other.

    the gradebook's marks ─┐
    the system's own sheet ┴─► `fill`: the sheet with some cells filled, and a row for everybody in either

What nobody has marked yet leaves its cell as it was. Nothing else of the sheet is touched: not another column, not a row that
is no student's.
"""

import dataclasses
import enum
import pathlib
import re
from collections.abc import Mapping, Sequence

from autograder.errors import CourseError
from autograder.lms.downloads import shown
from autograder.lms.people import Roster
from autograder.lms.sheets import Column, Sheet, System, plain

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
DECIMAL_COMMA = re.compile(r"\d+,\d+")


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the gradebook has of a student.

    Attributes:
        score: points, the penalty taken off; None where somebody has yet to mark something.
        why: what is to be said where there is no score.
        comment: a sentence on the score.
        email: as the course knows it.
        lms_ids: as the course knows them.
    """

    score: float | None
    why: str = ""
    comment: str = ""
    email: str = ""
    lms_ids: Mapping[str, str] = dataclasses.field(default_factory=dict)


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
        return not any(row.state in (State.NOT_FILLED, State.NOT_IN_SHEET) for row in self.rows)


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
        id_column: the name of the column with nbgrader's ids; None finds it as `Roster.of` does.

    Raises:
        CourseError: the column is not there, or there are several; it lists them. Or there is nobody to match.
    """
    at = numbered(sheet, column) if column else found(sheet, names)
    whose = matched(sheet, marks, id_column)
    comments = only(sheet, COMMENTS) if sheet.system is System.MOODLE else None
    comma = decimal_comma(sheet, at)
    texts: dict[tuple[int, int], str] = {}
    rows = []
    for row in sheet.students:
        student = whose.get(row)
        if student is None:
            rows.append(Row(who(sheet, row), name(sheet, row), State.NOT_IN_COURSE))
            continue
        mark, before = marks[student], sheet.cell(row, at)
        line = Row(student, name(sheet, row), State.UNMARKED, before, before, mark.why)
        if mark.score is not None:
            after = number(mark.score, comma)
            if wrong := locked(sheet, row, at):
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
    inside = set(whose.values())
    for student, mark in sorted(marks.items()):
        if student not in inside and mark.score is not None:
            rows.append(Row(student, "", State.NOT_IN_SHEET, after=number(mark.score, comma)))
    return Filled(sheet.filled(texts), shown(sheet.names[at]), rows, warnings(sheet, at, maximum))


def commented(sheet: Sheet, row: int, column: int | None, comment: str) -> dict[tuple[int, int], str]:
    """The cell for a comment, where there is one and no person has written into it."""
    if column is None or column >= len(sheet.rows[row]) or not comment:
        return {}
    there = sheet.cell(row, column)
    text = comment.encode(sheet.encoding, "replace").decode(sheet.encoding)
    return {(row, column): text} if text != there and (not there or OURS.match(there)) else {}


def matched(sheet: Sheet, marks: Mapping[str, Mark], id_column: str | None) -> dict[int, str]:
    """The number of a row → whose of the course it is.

    By nbgrader's id in the column that holds it; for whom that does not find, by an id or address that only they have.
    """
    try:
        roster = Roster.of(sheet, id_column, marks)
    except CourseError:
        if id_column is not None:
            raise
        roster = Roster([])
    whose = {row: student for student, row in roster.rows.items() if student in marks}
    left = [row for row in sheet.students if row not in whose]
    there = set(whose.values())
    for student, mark in marks.items():
        if student in there:
            continue
        keys = [(Column.LOGIN, student), (Column.NUMBER, student), (Column.EMAIL, student), (Column.EMAIL, mark.email)]
        keys += [(Column(kind), value) for kind, value in mark.lms_ids.items() if kind in set(Column)]
        for column, value in keys:
            rows = [row for row in left if value and sheet.cell(row, column).casefold() == value.casefold()]
            if len(rows) == 1:
                whose[rows[0]] = student
                left.remove(rows[0])
                break
    return whose


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
        there = [at for at in gradable(sheet) if plain(base(sheet, at)) == plain(name)]
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
        [at for at in every if plain(column) in (plain(sheet.names[at]), plain(base(sheet, at)))],
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
    """Whether the sheet writes 12,5."""
    places = [at, *([most] if (most := only(sheet, MAXIMUM)) is not None else [])]
    return any(DECIMAL_COMMA.fullmatch(sheet.cell(row, place)) for row in sheet.students for place in places)


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
    return shown(sheet.cell(row, Column.NAME) or whole)


def who(sheet: Sheet, row: int) -> str:
    """What the sheet calls somebody whom the course does not know."""
    columns = (Column.LOGIN, Column.NUMBER, Column.EMAIL, Column.LMS_ID)
    return shown(next((value for column in columns if (value := sheet.cell(row, column))), ""))


def filled_beside(path: pathlib.Path) -> pathlib.Path:
    """Where a filled sheet is written, where nobody names a place: beside the one that it is made of."""
    return path.with_name(f"{path.stem}.filled{path.suffix}")
