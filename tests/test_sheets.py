"""Sheets of learning management systems: read, understood, and written back as they were."""

import codecs
import contextlib
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.errors import CourseError
from autograder.lms.people import Roster, unsafe
from autograder.lms.sheets import Column, Sheet, System
from tests.lms import CLASS, SHEETS, canvas_sheet, moodle_sheet, written

PATH = pathlib.Path("sheet.csv")
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=200)


def sheet(data):
    return Sheet.of(data, PATH)


def table(text, **how):
    return sheet(written([line.split("|") for line in text.splitlines()], **how))


@pytest.mark.parametrize("system", SHEETS)
def test_a_sheet_of_each_system_is_known_and_its_students_are_the_class(system):
    read = sheet(SHEETS[system]())
    assert read.system == system
    roster = Roster.of(read)
    by_id = {person.student: person for person in roster.people}
    wanted = {s.email if system == "moodle" else s.login: s for s in CLASS}
    assert list(by_id) == list(wanted)
    for student, person in by_id.items():
        of = wanted[student]
        if system != "moodle":  # "First Last" does not say where the first name ends
            assert (person.first_name, person.last_name) == (of.first, of.last)
        assert person.name == f"{of.first} {of.last}"
        assert person.email == ("" if system in ("canvas", "blackboard") else of.email)


@pytest.mark.parametrize("system", SHEETS)
def test_a_sheet_that_nobody_fills_is_written_back_byte_for_byte(system):
    data = SHEETS[system]()
    assert sheet(data).filled({}) == data


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@QUICK
@given(
    st.lists(st.lists(TEXT, min_size=1, max_size=5), max_size=5),
    st.sampled_from(
        [(b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")]
    ),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.data(),
)
def test_filling_a_cell_changes_nothing_but_that_cell(rows, encoded, separator, end, last, data):
    bom, encoding = encoded
    lines = [separator.join(row) for row in [["Username", "Email", "Mark"], *rows]]
    raw = bom + (end.join(lines) + (end if last else "")).encode(encoding)
    read = sheet(raw)
    assert read.filled({}) == raw
    at = data.draw(st.integers(0, len(read.rows) - 1))
    column = data.draw(st.integers(0, len(read.rows[at]) - 1))
    text = data.draw(TEXT)
    field = read.rows[at][column]
    before = "".join(f.raw + f.end for row in read.rows[:at] for f in row) + "".join(
        f.raw + f.end for f in read.rows[at][:column]
    )
    after = raw[len(bom) :].decode(encoding)[len(before) + len(field.raw) :]
    filled = read.filled({(at, column): text})
    assert filled == bom + (before + field.filled(text, read.separator).raw + after).encode(encoding)


@QUICK
@given(st.binary(max_size=300))
def test_whatever_is_no_sheet_is_refused_in_a_sentence_or_read(data):
    with contextlib.suppress(CourseError):
        read = sheet(data)
        assert read.filled({}) == data
        Roster.of(read)


@QUICK
@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=6), st.sampled_from(list(SHEETS)))
def test_rows_that_no_system_writes_break_nothing(rows, system):
    header = sheet(SHEETS[system]()).names
    with contextlib.suppress(CourseError):
        people = Roster.of(sheet(written([header, *rows]))).people
        assert not [person.student for person in people if unsafe(person.student)]


def test_rows_of_canvas_for_points_and_its_test_student_are_no_students():
    read = sheet(canvas_sheet())
    assert len(read.rows) == len(CLASS) + 4
    assert [read.cell(row, Column.LOGIN) for row in read.students] == [student.login for student in CLASS]


def test_moodle_in_another_language_is_known_by_what_stands_in_its_first_column():
    text = moodle_sheet().decode("utf-8-sig").replace("Participant ", "Teilnehmer/in")
    text = text.replace("Identifier,Full name,Email address", "ID,Vollständiger Name,E-Mail-Adresse")
    read = sheet(text.encode())
    assert read.system is System.MOODLE
    assert [read.cell(row, Column.LMS_ID) for row in read.students] == [str(student.lms_id) for student in CLASS]
    assert Roster.of(read).people[0].name == "Ada Lovelace"


def in_japanese(who="参加者 "):
    """Moodle's worksheet in a language of which no header is known."""
    text = moodle_sheet().decode("utf-8-sig").replace("Participant ", who)
    _, _, rest = text.partition("\n")
    header = "識別子,氏名,メールアドレス,状態,評点,最大評点,変更可能,最終更新 (提出),最終更新 (評点),コメント"
    return f"{header}\n{rest}"


def test_moodles_worksheet_is_known_where_no_header_is():
    read = sheet(in_japanese().encode())
    assert read.system is System.MOODLE
    people = Roster.of(read).people
    assert [(one.student, one.lms_ids[Column.LMS_ID]) for one in people] == [(s.email, str(s.lms_id)) for s in CLASS]
    assert people[0].name == "Ada Lovelace"
    rows = [line.split(",") for line in in_japanese().splitlines()]
    hidden = written([[row[0], "未提出", *row[3:]] for row in rows])  # names and addresses are hidden
    assert [one.name for one in Roster.of(sheet(hidden)).people] == [""] * len(CLASS)


def test_a_sheet_whose_headers_nobody_knows_is_told_with_them_and_an_option_settles_it():
    text = "Kennung|Rufname|Punkte\nada|Ada|1\nbob|Bob|2"
    with pytest.raises(CourseError, match=r"It begins with: Kennung, Rufname, Punkte\. Name the column .* with --id-column"):
        table(text)
    data = written([line.split("|") for line in text.splitlines()])
    read = Sheet.of(data, PATH, ["kennung"])
    assert [person.student for person in Roster.of(read, "kennung").people] == ["ada", "bob"]


def test_separators_line_ends_and_encodings_are_found():
    for separator in ",;\t":
        for encoding in ("utf-8", "cp1252"):
            read = table("Username|First name|Last name\nzoe|Zoë|Müller\n", separator=separator, encoding=encoding, end="\r\n")
            assert (read.separator, read.encoding) == (separator, encoding)
            assert Roster.of(read).people[0].name == "Zoë Müller"
    assert table("sep=;\nName|Login\nAda|ada", separator=";").header == 1


def test_an_id_keeps_its_zeros_and_what_a_spreadsheet_wrote_around_it_is_taken_off():
    data = b'Name,Student ID\nAda,="00123"\nBob,"=""00124"""\n'
    assert [person.student for person in Roster.of(sheet(data)).people] == ["00123", "00124"]
    assert sheet(data).filled({}) == data


def test_the_id_is_the_login_unless_it_is_missing_double_or_unsafe_for_somebody():
    def ids(text, **kwargs):
        return [person.student for person in Roster.of(table(text), **kwargs).people]

    assert ids("Username|Student ID|Email\nada|01|a@b.cd\nbob|02|b@b.cd") == ["ada", "bob"]
    assert ids("Username|Student ID|Email\nada|01|a@b.cd\n|02|b@b.cd") == ["01", "02"]
    assert ids("Username|Student ID|Email\nada|01|a@b.cd\nADA|02|b@b.cd") == ["01", "02"]
    assert ids("Username|Student ID|Email\n../x|01|a@b.cd\nbob|0/2|b@b.cd") == ["a@b.cd", "b@b.cd"]
    assert ids("Username|Student ID\nada|01\nbob|02", id_column="student id") == ["01", "02"]
    assert ids("Username|Student ID\nada|01\nbob|02", known={"01"}) == ["01", "02"]
    assert ids("Username|Group\nada|x1\nbob|x2", id_column="Group") == ["x1", "x2"]


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("Name|Email\nAda|\n", None, r"Email: row 2 has none. Name one with --id-column: Name, Email"),
        ("Login|Name\nada|Ada\nada|Bob", "login", r"login cannot be the students' id: rows 2 and 3 have the same, 'ada'"),
        ("Login|Name\n.ada|Ada", "Login", r"row 2 has '.ada', which has '.' in it, which cannot be in the name of a folder"),
        ("Login|Name\nnul|Ada", "Login", r"row 2 has 'nul', which is the name of a device on Windows"),
        ("Login|Name\nada|Ada", "NetID", r"the column 'NetID' is not there. Columns: Login, Name"),
    ],
)
def test_a_column_that_cannot_be_the_id_is_named_with_its_row(text, column, sentence):
    with pytest.raises(CourseError, match=sentence):
        Roster.of(table(text), column)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "holds no table"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text|holds no table"),
        (b"PK\x03\x04xlsx", "is a workbook of Excel"),
        (b"just a line\n", "holds no table with a row that names its columns"),
        (codecs.BOM_UTF8 + b"\xff\xff", "is damaged: it says that it is in utf-8"),
    ],
)
def test_what_is_no_sheet_is_refused_in_a_sentence(data, sentence):
    with pytest.raises(CourseError, match=sentence):
        sheet(data)


def test_a_letter_that_the_encoding_of_a_sheet_has_not_is_named():
    read = table("Login|Comment|Zoë\nada||", encoding="cp1252")
    with pytest.raises(CourseError, match="is in cp1252, which has no '王'"):
        read.filled({(1, 1): "王"})


def test_people_are_found_by_any_of_their_names_however_their_letters_are_composed():
    roster = Roster.of(sheet(SHEETS["canvas"]()))
    assert [person.student for person in roster.known_as(Column.NAME, "núñezjosé")] == ["jose"]
    assert [person.student for person in roster.known_as(Column.NAME, "Pat O'Neil")] == ["pat.oneil@uni.example"]
    assert [person.student for person in roster.known_as(Column.NAME, "alex smith")] == ["asmith1", "asmith2"]
    assert [person.student for person in roster.known_as(Column.LOGIN, "ADA")] == ["ada"]
    assert not roster.known_as(Column.LMS_ID, "1")


def test_two_columns_of_one_name_are_taken_only_where_they_say_the_same():
    text = "Login,Email,Grade,E-Mail\nada,ada@uni.example,,{}\n"
    assert Sheet.of(text.format("ada@uni.example").encode(), PATH).students == [1]
    with pytest.raises(CourseError, match="has 2 columns 'Email', which differ: rename or remove one"):
        Sheet.of(text.format("bob@uni.example").encode(), PATH)
