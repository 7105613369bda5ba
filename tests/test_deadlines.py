"""Deadlines: the file of a course, what being late costs, and what a changed deadline takes back."""

import csv
import datetime
import json
import re
import shutil

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course.fill import fill
from autograder.course.folder import Course, quiet
from autograder.errors import CourseError
from autograder.nbgrader import late
from autograder.nbgrader.deadlines import Deadlines, Policy
from autograder.vae_swiss_roll.samples import RIGHT
from tests import commands, lms
from tests.conftest import ROOT
from tests.test_cli import run
from tests.test_nbgrader import nbgrader

NAME = "vae_swiss_roll"
DAY = 86400
FILE = """\
timezone = "Europe/Berlin"  # ours
per_day = "10 %"
[hw3]
due = 2026-10-05 23:59:00
grace = "15 minutes"
cap = "50 %"

[hw3.extensions]
ada = 2026-10-12
"0042" = 2026-10-08T12:00:00-04:00
[hw4]
per_day = 1.5
once = "5 % of the score"
"""


def read(tmp_path, text):
    (tmp_path / "deadlines.toml").write_text(text, encoding="utf-8")
    return Deadlines.read(tmp_path)


def policy(tmp_path, text):
    return read(tmp_path, text).find("hw3").policy


def test_dates_are_utc_and_a_day_alone_ends_at_its_end(tmp_path):
    own = read(tmp_path, FILE).find("hw3")
    assert own.due == datetime.datetime(2026, 10, 5, 21, 59)
    assert own.in_zone(own.due) == "2026-10-05 23:59 Europe/Berlin"
    assert own.extensions == {
        "ada": datetime.datetime(2026, 10, 12, 21, 59, 59),
        "0042": datetime.datetime(2026, 10, 8, 16, 0),
    }


def test_what_stands_at_the_top_is_meant_for_every_assignment(tmp_path):
    found = read(tmp_path, FILE)
    assert [found.find(name).policy.penalty(DAY, 10, 20) for name in ("hw3", "hw4", "hw5")] == [2, 2, 2]
    assert found.find("hw5").due is None
    assert Deadlines.read(tmp_path / "elsewhere").find("hw3").policy is None


@pytest.mark.parametrize(
    ("text", "late", "score", "off"),
    [
        ('per_day = "10 %"', 1, 10, 2),  # a day that has begun
        ('per_day = "10 %"', DAY, 10, 2),
        ('per_day = "10 %"', DAY + 1, 10, 4),
        ('per_day = "10 %"', 0, 10, 0),
        ('per_day = "10 %"', 30 * DAY, 10, 10),  # never below 0
        ('per_day = "10 % of the score"', 2 * DAY, 10, 2),
        ("per_day = 1.5", 2 * DAY, 10, 3),
        ('once = "100 %"', 1, 10, 10),
        ('once = 1\nper_day = "5%"', 2 * DAY, 10, 3),
        ('per_day = "10 %"\ncap = "30 %"', 9 * DAY, 10, 6),
        ('per_day = "10 %"\ncap = 1', 9 * DAY, 10, 1),
        ('per_day = 1\ngrace = "15 minutes"', 900, 10, 0),
        ('per_day = 1\ngrace = "15 minutes"', 901, 10, 1),
        ('per_day = 1\ngrace = "1 day"', DAY + 1, 10, 2),  # who is later is late from the deadline on
        ("per_day = 1", DAY, 0, 0),
        ("per_day = 0", DAY, 10, 0),
    ],
)
def test_a_policy_takes_what_it_says(tmp_path, text, late, score, off):
    assert policy(tmp_path, text).penalty(late, score, maximum=20) == off


def test_points_are_shared_by_the_notebooks_of_an_assignment(tmp_path):
    own = policy(tmp_path, "per_day = 3\ncap = 5")
    assert own.penalty(2 * DAY, 10, 10, share=1 / 2) == 2.5
    assert Policy().penalty(DAY, 10, 20) == 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[hw3\n", 1, "Expected ']'"),
        ("\nper_day = 10 %\n", 2, "a text in quotation marks"),
        ("[hw3]\ndue = 2026-10-05 23:59:00\n", 2, "Nobody knows in which time zone 2026-10-05 23:59:00 is meant"),
        ('timezone = "Berlin"\n[hw3]\n', 1, "'Berlin' is no time zone"),
        ('timezone = "../etc/passwd"\n[hw3]\n', 1, "is no time zone"),
        ("timezone = 3\n[hw3]\n", 1, "is no time zone"),
        ('[hw3]\ndue = "next week"\n', 2, "'next week' is no date and time"),
        ("[hw3]\ndue = 12\n", 2, "is no date and time"),
        ("[hw3]\n\ndeu = 12\n", 3, "`deu` is not known. Known: cap, due"),
        ("per_dya = 1\n", 1, "`per_dya` is not known here"),
        ('[hw3]\nper_day = "110 %"\n', 2, "'110 %' is neither points"),
        ("[hw3]\nper_day = -1\n", 2, "-1 is neither points"),
        ("[hw3]\nper_day = nan\n", 2, "nan is neither points"),
        ("[hw3]\nper_day = true\n", 2, "True is neither points"),
        ('[hw3]\ngrace = "soon"\n', 2, "'soon' is no time span"),
        ("[hw3]\nextensions = 3\n", 2, "`extensions` is a table"),
        ("[hw3.extensions]\nada = 2026-10-05 23:59:00Z\n", 2, "ada has longer than a date that is not there"),
        ('[hw3]\ndue = 2026-10-05 23:59:00Z\n[hw3.extensions]\n"a@b.c" = 2026-10-04 23:59:00Z\n', 4, "a@b.c would have less"),
        ('["hw 3"]\ndue = 0001-01-01 00:00:00+12:00\n', 2, "no date that a course has"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path, text, line, words):
    with pytest.raises(CourseError) as raised:
        read(tmp_path, text)
    assert f"deadlines.toml, line {line}: " in str(raised.value)
    assert words in str(raised.value)


@pytest.mark.parametrize("student", ["ada", "0042", "ada@example.org", 'a"b', "Zoë O'Neil", "a.b"])
def test_what_is_set_by_command_stands_in_the_file_and_the_rest_stays(tmp_path, student):
    found = read(tmp_path, FILE)
    set_ = found.changed("hw3", {"cap": "3", "due": "2026-10-06"}, {student: "2026-10-20 12:00+02:00"})
    own = set_.find("hw3")
    assert own.extensions[student] == datetime.datetime(2026, 10, 20, 10, 0)
    assert own.due == datetime.datetime(2026, 10, 6, 21, 59, 59)
    assert own.policy.penalty(9 * DAY, 10, 20) == 3
    kept = {line for line in FILE.splitlines() if not line.startswith(("due", "cap", "ada", '"0042"'))}
    assert kept <= set(set_.text.splitlines())
    back = set_.changed("hw3", {"cap": "none"}, {student: "none"})
    assert student not in back.find("hw3").extensions
    assert back.find("hw3").policy.cap is None


def test_a_time_zone_comes_before_the_tables_of_a_file_without_one(tmp_path):
    found = read(tmp_path, "# mine\n[hw3]\ndue = 2026-10-05 12:00:00Z\n")
    set_ = found.changed("hw4", {"due": "2026-10-05"}, {}, "Europe/Berlin")
    assert set_.text.startswith('timezone = "Europe/Berlin"')
    assert "# mine" in set_.text
    assert set_.find("hw3").due.hour == 12
    with pytest.raises(CourseError, match="no time zone"):
        found.changed("hw3", {}, {}, "Mars")


# --- in the gradebook ------------------------------------------------------------------------------------------------

POLICY = f"""\
timezone = "UTC"
per_day = "10 %"

[{NAME}]
due = 2026-10-05 12:00:00
"""


@pytest.fixture(scope="module")
def evening(tmp_path_factory, release, assignment):
    """A class of two before anything is marked: ann is late by two and a half days, ben is not."""
    root = tmp_path_factory.mktemp("evening")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    shutil.copytree(ROOT / "source", root / "source")
    (root / "deadlines.toml").write_text(POLICY, encoding="utf-8")
    Course(root).generate_assignment(assignment)
    for student, time in (("ann", "2026-10-08 00:00:00 UTC"), ("ben", "2026-10-05 12:00:00 UTC")):
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(nbformat.writes(fill(release, RIGHT)).encode())
        path.with_name("timestamp.txt").write_text(time)
    done = run("grade", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def course(evening, tmp_path):
    """A copy of that class after marking by machine, to be changed."""
    return shutil.copytree(evening, tmp_path / "course")


def test_a_deadline_is_in_the_gradebook_before_anybody_hands_in(new_course, assignment):
    course = new_course()
    course.generate_assignment(assignment)
    done = run(
        *("deadline", "--due", "2026-10-05 14:00+02:00", "--student", "zed", "--until", "2026-10-06 14:00Z", "--unknown"),
        cwd=course.root,
    )
    assert done.returncode == 0, done.stderr
    assert "vae_swiss_roll: due 2026-10-05 12:00 UTC." in done.stdout
    assert "zed has until 2026-10-06 14:00 UTC. (the course has no student of that name)" in done.stdout
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        assert gradebook.find_assignment(NAME).duedate == datetime.datetime(2026, 10, 5, 12, 0)


@pytest.fixture(scope="module")
def set_up(evening, tmp_path_factory):
    """A course whose deadline and extension are set."""
    root = shutil.copytree(evening, tmp_path_factory.mktemp("set_up") / "course")
    (root / "deadlines.toml").write_text(POLICY + f"[{NAME}.extensions]\nann = 2026-10-07 12:00:00\n")
    return root


@pytest.mark.sandboxed
def test_an_extension_is_not_lost_to_a_slip_in_a_name(set_up, tmp_path):
    root = shutil.copytree(set_up, tmp_path / "course")
    before = (root / "deadlines.toml").read_text()
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        gradebook.update_or_create_student("ann", first_name="Antonia", last_name="Zoë")

    def longer(student, *more):
        done = run("deadline", "--student", student, "--until", "2026-10-08 12:00", *more, cwd=root)
        return done.returncode, " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())

    for typed, alike in (("amn", " Near it: ann (Antonia Zoë)."), ("Antonai", " Near it: ann (Antonia Zoë)."), ("nobody", "")):
        code, said = longer(typed)
        assert code == 2
        assert f"--student: the course has no student '{typed}'.{alike} If they are yet to come, add --unknown." in said
    assert (root / "deadlines.toml").read_text() == before
    assert longer("zed", "--unknown")[0] == 0
    assert longer("zed")[0] == 0  # the file knows them
    assert longer("ben")[0] == 0


@pytest.mark.sandboxed
@pytest.mark.parametrize(
    ("options", "blamed", "words"),
    [
        (["--due", "nonsense"], "--due", "'nonsense' is no date and time"),
        (["--per-day", "120 %"], "--per-day", "'120 %' is neither points"),
        (["--due", "2026-10-06", "--grace", "soon"], "--grace", "'soon' is no time span"),
        (["--timezone", "Mars"], "--timezone", "'Mars' is no time zone"),
        (["--student", "ann", "--until", "2026-10-01"], "--until", "ann would have less time than the others"),
        (["--due", "2026-10-20"], "--due", "ann would have less time than the others"),  # a line that nobody typed
    ],
)
def test_a_wrong_option_is_blamed_by_its_name_and_the_file_stays(set_up, options, blamed, words):
    before = (set_up / "deadlines.toml").read_bytes()
    done = run("deadline", *options, cwd=set_up)
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert done.returncode == 2
    assert f"Invalid value for {blamed}: {words}" in said
    assert "deadlines.toml, line" not in said
    assert (set_up / "deadlines.toml").read_bytes() == before


def penalties(root):
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        return {one.student_id: one.late_submission_penalty for one in gradebook.assignment_submissions(NAME)}


def by_person(root, student, **points):
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        for cell, given in points.items():
            grade = gradebook.find_grade(cell, NAME, NAME, student)
            grade.manual_score, grade.needs_manual_grade = given, False
        gradebook.db.commit()


def results(root):
    return {path.name: path.stat().st_mtime_ns for path in root.rglob("*.json.gz")}


def test_the_file_of_an_editor_on_windows_is_read_and_keeps_its_line_ends(tmp_path):
    path = tmp_path / "deadlines.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    found = Deadlines.read(tmp_path)
    assert found.find("hw3").due == datetime.datetime(2026, 10, 5, 21, 59)
    found.changed("hw3", {"cap": "3", "once": "1"}, {"bob": "2026-10-20"}).write()
    text = path.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") > FILE.count("\n")
    assert Deadlines.read(tmp_path).find("hw3").policy.cap.value == 3
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["deadlines.toml"]


def test_a_file_that_cannot_be_read_or_written_is_told_in_a_sentence(tmp_path):
    found = read(tmp_path, FILE)
    (tmp_path / "deadlines.toml").unlink()
    (tmp_path / "deadlines.toml").mkdir()
    with pytest.raises(CourseError, match=r"deadlines.toml cannot be read: Is a directory\."):
        Deadlines.read(tmp_path)
    with pytest.raises(CourseError, match=r"deadlines.toml cannot be written: Is a directory\."):
        found.write()
    assert [each.name for each in tmp_path.iterdir()] == ["deadlines.toml"]


@pytest.fixture
def one_late(tmp_path):
    """A course of an assignment that is none of ours, in which ada has 10 of 10 points, two days after 5 October at noon."""
    place = Course(lms.course(tmp_path / "course", "c.LateSubmissionPlugin.penalty_method = 'none'\n"))
    with quiet(), Gradebook(place.coursedir.db_url, place.coursedir.course_id) as gradebook:
        gradebook.add_student("ada")
        gradebook.add_assignment("hw3", duedate="2026-11-11 00:00:00")
        gradebook.add_notebook("hw3", "hw3")
        gradebook.add_grade_cell("test", "hw3", "hw3", max_score=10, cell_type="code")
        gradebook.add_submission("hw3", "ada", timestamp="2026-10-07 12:00:00")
        gradebook.find_grade("test", "hw3", "hw3", "ada").auto_score = 10
        gradebook.db.commit()
    return place


def settled(place, text):
    """(penalty, date of the assignment, extension) of ada, when the file says this; None: when it is not there."""
    path = place.root / "deadlines.toml"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    with quiet(), Gradebook(place.coursedir.db_url, place.coursedir.course_id) as gradebook:
        late.settle(gradebook, "hw3", place.coursedir)
        ada = gradebook.find_submission("hw3", "ada")
        return ada.late_submission_penalty, str(ada.assignment.duedate), ada.extension


DUE = "[hw3]\ndue = 2026-10-05 12:00:00Z\n"
BEFORE = (0, "2026-11-11 00:00:00", None)


@pytest.mark.parametrize("then", [None, "", "[hw3]\n"])
def test_what_is_taken_out_of_the_file_is_taken_out_of_the_gradebook(one_late, then):
    assert settled(one_late, then) == BEFORE
    assert settled(one_late, DUE + "per_day = 1\n") == (2, "2026-10-05 12:00:00", None)
    assert settled(one_late, DUE) == (0, "2026-10-05 12:00:00", None)
    longer = DUE + "per_day = 1\n[hw3.extensions]\nada = 2026-10-06 12:00:00Z\n"
    assert settled(one_late, longer) == (1, "2026-10-05 12:00:00", datetime.timedelta(days=1))
    assert settled(one_late, DUE.replace("05", "06") + "per_day = 1\n") == (1, "2026-10-06 12:00:00", None)
    assert settled(one_late, then) == BEFORE


def test_without_a_policy_of_the_file_nbgraders_own_counts_again(one_late):
    one_late.coursedir.config.LateSubmissionPlugin.penalty_method = "zero"
    assert settled(one_late, DUE + "per_day = 1\n")[0] == 2
    assert settled(one_late, DUE)[0] == 10


def test_what_the_file_has_never_said_stays(one_late):
    with Gradebook(one_late.coursedir.db_url, one_late.coursedir.course_id) as gradebook:
        gradebook.find_submission_notebook("hw3", "hw3", "ada").late_submission_penalty = 4
        gradebook.find_submission("hw3", "ada").extension = datetime.timedelta(days=1)
        gradebook.db.commit()
    for text in (None, 'timezone = "UTC"\n'):
        assert settled(one_late, text) == (4, "2026-11-11 00:00:00", datetime.timedelta(days=1))


@pytest.mark.sandboxed
def test_a_changed_deadline_takes_the_penalty_back_and_nobody_is_marked_again(course):
    assert penalties(course) == {"ann": 4.5, "ben": 0}
    marked = results(course)
    done = run("deadline", "--due", "2026-10-08 00:00", cwd=course)
    assert "ann was in time: 4.5 points are given back." in done.stdout, done.stderr
    assert penalties(course) == {"ann": 0, "ben": 0}
    (course / "deadlines.toml").write_text(POLICY, encoding="utf-8")  # by hand, and any command sees it
    run("grade", cwd=course)
    assert penalties(course) == {"ann": 4.5, "ben": 0}
    (course / "deadlines.toml").write_text(POLICY + 'cap = "20 %"\n', encoding="utf-8")
    nbgrader(course, "export")
    assert penalties(course) == {"ann": 3, "ben": 0}
    run("deadline", "--student", "ann", "--until", "2026-10-07 12:00", cwd=course)
    assert penalties(course) == {"ann": 1.5, "ben": 0}
    assert results(course) == marked


@pytest.mark.sandboxed
def test_nbgraders_own_command_makes_the_same_penalty(course):
    (course / "gradebook.db").unlink()
    shutil.rmtree(course / "autograded")
    nbgrader(course, "generate_assignment", NAME)
    nbgrader(course, "autograde", NAME)
    assert penalties(course) == {"ann": 4.5, "ben": 0}


@pytest.mark.sandboxed
def test_a_penalty_follows_what_a_person_marks_and_the_page_says_what_it_took(course):
    (course / "deadlines.toml").write_text(POLICY.replace("10 %", "50 % of the score"), encoding="utf-8")
    by_person(course, "ann", kl_divergence=1)
    run("feedback", cwd=course)
    assert penalties(course) == {"ann": 6, "ben": 0}
    pages = {student: (course / f"feedback/{student}/{NAME}/{NAME}.html").read_text() for student in ("ann", "ben")}
    assert "<strong>−6</strong> for handing in 2 days 12 hours after the deadline, 2026-10-05 12:00 UTC" in pages["ann"]
    assert "after the deadline" not in pages["ben"]
    nbgrader(course, "export")
    rows = {row["student_id"]: row for row in csv.DictReader((course / "grades.csv").open(encoding="utf-8"))}
    assert (rows["ann"]["late_submission_penalty"], rows["ann"]["score_so_far"]) == ("6.0", "0.0")


@pytest.mark.sandboxed
def test_page_and_report_tell_times_in_the_courses_zone(course):
    (course / "deadlines.toml").write_text(POLICY.replace('"UTC"', '"Asia/Tokyo"'), encoding="utf-8")
    run("feedback", cwd=course)
    page = (course / f"feedback/ann/{NAME}/{NAME}.html").read_text()
    assert "</strong>, handed in 2026-10-08 09:00 Asia/Tokyo, 2 days 21 hours after the deadline" in page
    assert "2 days 21 hours after the deadline, 2026-10-05 12:00 Asia/Tokyo</li>" in page
    run("report", cwd=course)
    as_of = r"; as of (\d{4}-\d\d-\d\d \d\d:\d\d) Asia/Tokyo\. For those who teach"
    made = re.search(as_of, (course / f"reports/{NAME}/report.html").read_text())
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=9)
    assert abs(now.replace(tzinfo=None) - datetime.datetime.fromisoformat(made[1])) < datetime.timedelta(hours=1)
    (course / "deadlines.toml").write_text("")
    run("feedback", cwd=course)
    assert "</strong>, handed in 2026-10-08 00:00 UTC" in (course / f"feedback/ann/{NAME}/{NAME}.html").read_text()


@pytest.mark.sandboxed
def test_of_whom_nothing_is_known_but_late_no_time_is_told_and_the_least_is_taken(course):
    """Canvas marks a file LATE, and does not say by how much."""
    (course / f"submitted/ann/{NAME}/timestamp.txt").unlink()
    record = course / f"downloaded/{NAME}/collected.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"students": {"ann": {"system": "canvas", "late": True, "time": None}}}))
    run("feedback", cwd=course)
    assert penalties(course) == {"ann": 1.5, "ben": 0}
    page = (course / f"feedback/ann/{NAME}/{NAME}.html").read_text()
    assert "</strong>, handed in after the deadline</p>" in page
    assert (
        "<strong>−1.5</strong> for handing in after the deadline, 2026-10-05 12:00 UTC; "
        "nothing says by how much, so it is the least that being late costs</li>"
    ) in page
    done = run("deadline", cwd=course)
    assert re.search(r"ann +│ not known: the least is counted +│ +1\.5", done.stdout)
    run("export", cwd=course)
    rows = {row["student_id"]: row for row in csv.DictReader((course / "grades.csv").open(encoding="utf-8"))}
    assert (rows["ann"]["timestamp"], rows["ann"]["hours_late"]) == ("", "late")
    assert (rows["ben"]["timestamp"], rows["ben"]["hours_late"]) == ("2026-10-05 12:00:00", "0.0")


@pytest.mark.sandboxed
def test_what_could_not_be_marked_has_its_time_all_the_same(course):
    folder = course / f"submitted/zed/{NAME}"
    folder.mkdir(parents=True)
    (folder / "essay.pdf").write_bytes(b"%PDF-1.7")
    (folder / "timestamp.txt").write_text("2026-10-06 12:00:00 UTC")
    run("grade", cwd=course)
    run("export", cwd=course)
    rows = {row["student_id"]: row for row in csv.DictReader((course / "grades.csv").open(encoding="utf-8"))}
    assert [rows["zed"][name] for name in ("status", "timestamp", "hours_late")] == [
        "ungradable",
        "2026-10-06 12:00:00",
        "24.0",
    ]


@pytest.mark.sandboxed
def test_a_broken_file_ends_the_run_with_one_sentence(course):
    (course / "deadlines.toml").write_text("[vae_swiss_roll]\ndue = soon\n")
    done = run("grade", cwd=course)
    assert done.returncode == 2
    theirs = [commands.run("nbgrader", *command, cwd=course) for command in (["autograde", NAME, "--force"], ["export"])]
    assert [done.returncode for done in theirs] == [2, 2]
    for said in (done.stderr, *(done.stdout + done.stderr for done in theirs)):
        assert "deadlines.toml, line 2: Invalid value" in " ".join(said.split())
        assert "Traceback" not in said
