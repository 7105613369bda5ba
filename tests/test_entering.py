"""Marks into the sheets of learning management systems, which change in nothing but the cells of one assignment."""

import csv
import io
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.errors import CourseError
from autograder.lms.entering import Mark, State, fill, filled_beside
from autograder.lms.sheets import Column, Sheet, System
from tests.lms import CLASS, SHEETS, written

PATH = pathlib.Path("sheet.csv")
SYSTEMS = ("canvas", "moodle", "brightspace", "blackboard", "gradescope")
COLUMN = {
    "canvas": "hw3 (777)",
    "moodle": "Grade",
    "brightspace": "hw3 Points Grade <Numeric MaxPoints:15 Weight:10 Category:Homework>",
    "blackboard": "hw3 [Total Pts: 15 Score] |31459",
    "gradescope": "hw3",
}
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)


def sheet(data):
    return Sheet.of(data, PATH)


def filled(data, marks, **how):
    how = {"names": ["hw3", "A title"], "maximum": 15, **how}
    return fill(sheet(data), marks, **how)


def table(data, read):
    """The cells of a file, by another reader than ours."""
    text = data[len(read.bom) :].decode(read.encoding)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=read.separator))


def marks_of(points, **others):
    """Marks of the class, in its order; None where nothing is to be filled."""
    marks = {s.login: Mark(score, email=s.email) for s, score in zip(CLASS, points, strict=False)}
    return {**marks, **others}


@pytest.mark.parametrize("system", SYSTEMS)
def test_marks_go_into_the_assignments_column_and_nothing_else_changes(system):
    data = SHEETS[system]()
    points = [15, 12.5, 0, None, 7.25, 3, 9, 10, 11, 14.333, 6]  # of all but noor
    done = filled(data, marks_of(points))
    read = sheet(data)
    before, after = table(data, read), table(done.data, read)
    at = read.names.index(COLUMN[system])
    assert done.column == COLUMN[system]
    shown = ["15", "12.5", "0", "", "7.25", "3", "9", "10", "11", "14.33", "6", ""]
    assert [after[row][at] for row in read.students] == shown
    for row in after:
        row[at] = ""
    for row in before:
        row[at] = ""
    assert after == before
    assert [row.state for row in done.rows].count(State.FILLED) == 10
    assert done.rows[3].state == State.UNMARKED
    assert done.rows[11].state == State.NOT_IN_COURSE
    assert done.complete
    assert not done.warnings


@QUICK
@given(st.sampled_from(SYSTEMS), st.lists(st.none() | st.floats(0, 100, width=16), min_size=12, max_size=12))
def test_taking_the_marks_out_again_gives_the_file_that_was_there(system, points):
    """Each cell that was filled is put back as it stood, and every byte is as before."""
    data = SHEETS[system]()
    done = filled(data, marks_of(points))
    again = sheet(done.data)
    read = sheet(data)
    column = read.names.index(COLUMN[system])
    assert len(again.rows) == len(read.rows)
    texts = []
    for row, (new, old) in enumerate(zip(again.rows, read.rows, strict=True)):
        assert len(new) == len(old)
        for at, (now, then) in enumerate(zip(new, old, strict=True)):
            own = at == column and row in read.students
            assert now.end == then.end
            assert own or now.raw == then.raw
            texts.append(then.raw if own else now.raw)
            texts.append(now.end)
    assert read.bom + "".join(texts).encode(read.encoding) == data


def test_filling_twice_changes_nothing_the_second_time():
    for system in SYSTEMS:
        once = filled(SHEETS[system](), marks_of([15] * 12)).data
        twice = filled(once, marks_of([15] * 12))
        assert twice.data == once
        assert {row.state for row in twice.rows} == {State.SAME}


def test_a_mark_that_is_another_says_what_was_there():
    once = filled(SHEETS["canvas"](), marks_of([15] * 12)).data
    row = filled(once, marks_of([None, 4.5])).rows
    assert (row[0].state, row[0].before, row[0].after) == (State.UNMARKED, "15", "15")  # never emptied
    assert (row[1].state, row[1].before, row[1].after) == (State.FILLED, "15", "4.5")


def test_who_is_in_the_course_and_not_in_the_sheet_is_told():
    done = filled(SHEETS["canvas"](), marks_of([1], zed=Mark(3.0), late=Mark(None, "waits")))
    told = [(row.student, row.after, row.note) for row in done.rows if row.state == State.NOT_IN_SHEET]
    assert [one for one in told if one[0] in ("late", "zed")] == [("late", "", "waits"), ("zed", "3", "")]
    assert not done.complete
    assert filled(SHEETS["canvas"](), {"late": Mark(None)}).complete  # no mark of theirs is missing there


def test_a_student_is_found_by_what_the_course_knows_besides_the_id():
    """The course names by number, or by an id of its own; the sheet has both under other columns."""
    by_number = {s.number: Mark(5.0) for s in CLASS}
    for system in ("canvas", "brightspace", "blackboard"):
        assert [row.state for row in filled(SHEETS[system](), by_number).rows] == [State.FILLED] * 12
    by_address = {f"s{n}": Mark(5.0, email=s.email.upper()) for n, s in enumerate(CLASS)}
    assert [row.state for row in filled(SHEETS["moodle"](), by_address).rows] == [State.FILLED] * 12
    for system in ("canvas", "moodle"):
        by_id = {f"s{n}": Mark(5.0, ids={System(system): str(s.lms_id)}) for n, s in enumerate(CLASS)}
        assert [row.state for row in filled(SHEETS[system](), by_id).rows] == [State.FILLED] * 12


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.filled.csv"])
def test_a_filled_sheet_has_one_name_however_often_it_is_filled(name):
    assert filled_beside(pathlib.Path("marks", name)) == pathlib.Path("marks/sheet.filled.csv")


def test_a_number_of_another_system_is_nobody():
    by_id = {f"s{n}": Mark(5.0, ids={System.CANVAS: str(s.lms_id)}) for n, s in enumerate(CLASS)}
    assert {row.state for row in filled(SHEETS["moodle"](), by_id).rows} == {State.NOT_IN_COURSE, State.NOT_IN_SHEET}
    by_number = {str(s.lms_id): Mark(5.0) for s in CLASS}  # of the institution, and by chance Canvas's of somebody
    assert {row.state for row in filled(SHEETS["canvas"](), by_number).rows} == {State.NOT_IN_COURSE, State.NOT_IN_SHEET}


def canvas(*rows):
    """A sheet of Canvas's: name, Canvas's id, institution's number, login."""
    rows = [[name, id_, number, login, "1", ""] for name, id_, number, login in rows]
    return written([["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "hw3 (1)"], *rows])


ADA, BOB = ("Lovelace, Ada", "4101", "", "ada"), ("Ng, Bob", "4102", "4101", "bob")


@pytest.mark.parametrize(
    ("rows", "marks", "states"),
    [
        ([ADA, BOB], {"4101": Mark(3.0)}, ["not in the course", "filled"]),  # the number of one is Canvas's id of the other
        ([ADA], {"ada": Mark(3.0, name="Ada King")}, ["filled"]),
        ([ADA], {"ada": Mark(3.0, name="Grace Hopper")}, ["cannot be filled"]),
        ([("王, 小明", "1", "", "wang")], {"wang": Mark(3.0, name="王小明")}, ["filled"]),
        ([("Müller, Zoë", "1", "", "zoe")], {"zoe": Mark(3.0, name="Zoe Muller")}, ["filled"]),
        ([ADA], {"ada": Mark(3.0, ids={System.CANVAS: "4109"})}, ["cannot be filled"]),
        ([ADA, BOB], {"ada": Mark(3.0, known_as={Column.NUMBER: "4101"})}, ["cannot be filled", "not in the course"]),
        ([ADA], {"ada": Mark(3.0), "x": Mark(4.0, known_as={Column.LOGIN: "ada"})}, ["cannot be filled", "not in the sheet"]),
    ],
)
def test_a_row_is_left_alone_where_something_speaks_against_it(rows, marks, states):
    data = canvas(*rows)
    done = filled(data, marks)
    assert [str(row.state) for row in done.rows] == states
    assert done.complete == ("filled" in states)
    assert "filled" in states or done.data == data


def test_a_column_of_ids_that_a_person_names_is_believed():
    marks = {"ada": Mark(3.0, name="Grace Hopper")}
    done = filled(canvas(ADA), marks, id_column="SIS Login ID")
    assert [row.state for row in done.rows] == [State.FILLED]


def test_the_same_address_under_another_name_is_the_same_student():
    data = SHEETS["moodle"]()
    marks = {"olga": Mark(3.0, name="Olga Ivanova", email="olga@uni.example")}
    assert [row.student for row in filled(data, marks).rows if row.state == State.FILLED] == ["olga"]


def test_the_worksheet_of_another_assignment_is_refused():
    """Moodle's numbers are others in each assignment, the addresses are the same."""
    marks = {s.email: Mark(5.0, email=s.email, ids={System.MOODLE: str(s.lms_id + 5000)}) for s in CLASS}
    with pytest.raises(CourseError, match="is the worksheet of another assignment"):
        filled(SHEETS["moodle"](), marks)
    marks["ada@uni.example"] = Mark(5.0, email="ada@uni.example", ids={System.MOODLE: "4101"})
    states = [row.state for row in filled(SHEETS["moodle"](), marks).rows]
    assert states == [State.FILLED, *[State.NOT_FILLED] * 11]


def test_the_same_name_twice_is_nobody():
    rows = [["Username", "Email", "hw3"], ["a", "x@y.z", ""], ["b", "x@y.z", ""]]
    done = filled(written(rows), {"c": Mark(3.0, email="x@y.z")})
    assert [row.state for row in done.rows] == [State.NOT_IN_COURSE, State.NOT_IN_COURSE, State.NOT_IN_SHEET]


@pytest.mark.parametrize(
    ("header", "how", "words"),
    [
        (["hw3 (1)", "hw3 (2)"], {}, "several columns for hw3: 'hw3 (1)', 'hw3 (2)'. Name one with --column"),
        (["Homework (1)", "Essay (2)"], {}, "has no column for hw3. Name one with --column: 'Homework', 'Essay'"),
        (["Homework (1)"], {"column": "Essay"}, "has no column 'Essay'. Columns: 'Homework'"),
        (["hw3 (1)"], {"column": "SIS Login ID"}, "says who a student is"),
        (["hw (1)", "hw (2)"], {"column": "hw"}, "several columns 'hw': 'hw (1)', 'hw (2)'. Give the whole name"),
    ],
)
def test_a_column_that_is_not_clear_is_asked_for(header, how, words):
    rows = [["Student", "ID", "SIS Login ID", "Section", *header], ["Lovelace, Ada", "4101", "ada", "1", *["" for _ in header]]]
    with pytest.raises(CourseError) as raised:
        filled(written(rows), {"ada": Mark(3.0)}, **how)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "header", "fits"),
    [
        ("hw1-1", "HW 11", False),
        ("hw1-1", "HW 1.1", True),
        ("hw11", "HW 1_1", False),
        ("vae_swiss_roll", "VAE Swiss Roll", True),
        ("hw3", "HW-3", True),
        ("hw-3", "HW 3", True),
        ("a1", "A-1", True),
    ],
)
def test_a_column_is_found_by_a_name_in_which_the_numbers_are_the_same(name, header, fits):
    data = written([["Username", "Email", header], ["ada", "", "3"]])
    for how in ({"names": [name]}, {"column": name}):
        if fits:
            assert filled(data, {"ada": Mark(5.0)}, **how).column == header
            continue
        with pytest.raises(CourseError, match="has no column"):
            filled(data, {"ada": Mark(5.0)}, **how)


def test_the_column_of_exactly_that_name_goes_before_one_like_it():
    data = written([["Username", "Email", "HW 3", "hw3"], ["ada", "", "", ""]])
    assert filled(data, {"ada": Mark(5.0)}).column == "hw3"


@pytest.mark.parametrize(("column", "at"), [("hw (2)", 5), ("HW-4", 6), ("hw4", 6)])
def test_a_column_may_be_named_with_what_the_system_puts_behind_it_or_without(column, at):
    header = ["Student", "ID", "SIS Login ID", "Section", "hw (1)", "hw (2)", "hw4 (3)"]
    rows = [header, ["Lovelace, Ada", "4101", "ada", "1", "", "", ""]]
    done = filled(written(rows), {"ada": Mark(3.0)}, column=column)
    assert table(done.data, sheet(done.data))[1][at] == "3"


def test_the_title_is_a_name_of_the_assignment_too():
    rows = [["Username", "Email", "A Title!"], ["ada", "", ""]]
    assert filled(written(rows), {"ada": Mark(3.0)}).column == "A Title!"


def test_another_maximum_is_told_and_nothing_is_converted():
    for system in ("canvas", "moodle", "brightspace", "blackboard"):
        done = filled(SHEETS[system](), marks_of([15] * 12), maximum=20)
        assert done.warnings == [
            "The sheet has 15 as the most that can be reached, the assignment 20: marks are not converted."
        ]


# --- Moodle ----------------------------------------------------------------------------------------------------------


def moodle(grade="", maximum="15.00", can="Yes", comment="", header="Grade", separator=","):
    names = ["Identifier", "Full name", "Email address", "Status", header, "Maximum Grade", "Grade can be changed"]
    rows = [[*names, "Last modified (grade)", "Feedback comments"]]
    rows += [["Participant 12", "Ada L", "ada", "Submitted", grade, maximum, can, "-", comment]]
    return written(rows, separator=separator)


def in_moodle(data, mark):
    done = filled(data, {"ada": mark})
    return table(done.data, sheet(data))[1], done


def test_moodle_gets_a_comment_where_no_person_has_written_one():
    mark = Mark(12.0, comment="12 of 15 points. Task 1: 5 of 5.")
    assert in_moodle(moodle(), mark)[0][-1] == mark.comment
    assert in_moodle(moodle(comment="3 of 15 points. Task 1: 0 of 5."), mark)[0][-1] == mark.comment
    assert in_moodle(moodle(comment="Well done, Ada"), mark)[0][-1] == "Well done, Ada"
    assert in_moodle(moodle(), Mark(None, comment=mark.comment))[0][-1] == ""


def test_moodle_writes_a_comma_where_the_sheet_does():
    assert in_moodle(moodle(maximum="15,00", separator=";"), Mark(12.5))[0][4] == "12,5"
    row, done = in_moodle(moodle(grade="12,50", maximum="15,00"), Mark(12.5))
    assert row[4] == "12,50"
    assert done.rows[0].state == State.SAME


@pytest.mark.parametrize(("beside", "own"), [("7,5", "10,5"), ("7.5", "10.5"), ("7,5 7.5", "10.5"), ("7", "10.5")])
def test_a_comma_in_another_column_of_marks_is_how_the_sheet_writes(beside, own):
    rows = [["ada", "a@x.y", "", *beside.split()], ["bob", "b@x.y", "", "", ""]]
    data = written([["Username", "Email", "hw3", "hw1", "hw2"][: len(rows[0])], *rows], separator=";")
    assert table(filled(data, {"ada": Mark(10.5)}).data, sheet(data))[1][2] == own


def test_moodle_says_whose_grade_cannot_be_changed():
    row, done = in_moodle(moodle(can="No"), Mark(12.5))
    assert row[4] == ""
    assert done.rows[0].state == State.NOT_FILLED
    assert not done.complete


def test_a_row_that_is_too_short_is_told():
    done = filled(b"Username,Email,hw3\nada,x@y.z\nbob,b@y.z,\n", {"ada": Mark(3.0), "bob": Mark(4.0)})
    assert done.data == b"Username,Email,hw3\nada,x@y.z\nbob,b@y.z,4\n"
    assert [row.state for row in done.rows] == [State.NOT_FILLED, State.FILLED]


def test_a_comment_in_letters_that_the_sheet_has_not_stops_nothing():
    data = moodle(comment="").replace(b"Ada L", b"Ad\xe9 L")
    assert in_moodle(data, Mark(1.0, comment="1 of 15 points. 作業: 1 of 5."))[0][-1] == "1 of 15 points. ??: 1 of 5."
