"""Marks into the sheets of learning management systems, which change in nothing but the cells of one assignment."""

import csv
import io
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.errors import CourseError
from autograder.lms.fill import Mark, State, fill
from autograder.lms.sheets import Sheet
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
    done = filled(SHEETS["canvas"](), marks_of([1], zed=Mark(3.0), late=Mark(None)))
    assert [(row.student, row.after) for row in done.rows if row.state == State.NOT_IN_SHEET] == [("zed", "3")]
    assert not done.complete


def test_a_student_is_found_by_what_the_course_knows_besides_the_id():
    """The course names by number, or by an id of its own; the sheet has both under other columns."""
    by_number = {s.number: Mark(5.0) for s in CLASS}
    for system in ("canvas", "brightspace", "blackboard"):
        assert [row.state for row in filled(SHEETS[system](), by_number).rows] == [State.FILLED] * 12
    by_address = {f"s{n}": Mark(5.0, email=s.email.upper()) for n, s in enumerate(CLASS)}
    assert [row.state for row in filled(SHEETS["moodle"](), by_address).rows] == [State.FILLED] * 12
    by_id = {f"s{n}": Mark(5.0, lms_ids={"id": str(s.lms_id)}) for n, s in enumerate(CLASS)}
    for system in ("canvas", "moodle"):
        assert [row.state for row in filled(SHEETS[system](), by_id).rows] == [State.FILLED] * 12


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
