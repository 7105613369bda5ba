"""`autograder collect`: from what learning management systems hand out to the course's folders."""

import contextlib
import dataclasses
import datetime
import io
import json
import os
import re
import shlex
import shutil
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory

from autograder.course.folder import Course, quiet
from autograder.errors import CourseError
from autograder.lms import collect, downloads, returning
from autograder.lms.collect import Options
from autograder.lms.plan import State
from autograder.lms.sheets import System
from autograder.lms.times import Reading
from autograder.nbgrader import late, zip_collect
from autograder.nbgrader.submitted import printable
from tests import commands, lms
from tests.lms import CLASS, NOTEBOOK, SHEETS, ZIPS, HandedIn, a_class, notebook, packed

DUE = datetime.datetime(2026, 10, 7, 12)


@pytest.fixture(scope="session")
def empty_course(tmp_path_factory):
    """A course with a gradebook that knows when hw3 is due, to be copied."""
    root = lms.course(tmp_path_factory.mktemp("lms") / "course", "c.CollectDownloads.timezone = 'UTC'\n")
    with quiet(), Gradebook(f"sqlite:///{root}/gradebook.db", "vae") as gradebook:
        gradebook.add_assignment("hw3", duedate=DUE.isoformat())
    return root


@pytest.fixture
def course(empty_course, tmp_path):
    shutil.copytree(empty_course, tmp_path / "course")
    return Course(tmp_path / "course")


@pytest.fixture
def collected(course, tmp_path):
    """`collected({name: bytes}, …)` → rows of the table, of a zip with these files."""

    def do(files, *, name="submissions.zip", roster=None, day_first=None, zone="UTC", **options):
        options["reading"] = Reading.in_zone(zone, day_first)
        if roster is not None:
            (tmp_path / "roster.csv").write_bytes(roster)
            options["roster"] = tmp_path / "roster.csv"
        source = tmp_path / name
        source.write_bytes(files if isinstance(files, bytes) else packed(files))
        with quiet():
            return collect.collect(course.coursedir, "hw3", [source], Options(**options))

    return do


def submitted(course):
    """student/path → bytes of all that is in `submitted/`."""
    root = course.root / "submitted"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name.replace("/hw3/", "/"): data for name, data in files.items()}


def notes(rows):
    return {row.student or row.file: row.note for row in rows if row.note}


def states(rows):
    return {row.student or row.file: row.state for row in rows}


def ids(system):
    """login → nbgrader's id, in the sheet of a system: Moodle's has no login."""
    return {s.login: s.email if system == "moodle" else s.login for s in CLASS}


# --- five systems ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ZIPS)
def test_a_class_is_collected_from_each_system(system, empty_course, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(empty_course, root)
    packed(ZIPS[system](a_class()), tmp_path / "from the LMS.zip")
    (tmp_path / "sheet.csv").write_bytes(SHEETS[system]())
    # Brightspace says nothing but names, and two are called the same.
    by_hand = ["--who", "4108-=asmith1", "--who", "4109-=asmith2"] if system == "brightspace" else []
    done = commands.run(
        "autograder", "collect", "../from the LMS.zip", "hw3", "--roster", "../sheet.csv", *by_hand, "--json", cwd=root
    )
    assert done.returncode == 1, done.stderr  # three handed in something else
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    id_of = ids(system)
    assert {row["student"] for row in rows if row["for_a_person"]} == {id_of[name] for name in ("wang", "mlk", "olga")}
    assert [row["student"] for row in rows if row["state"] == "nothing came in"] == [id_of["noor"]]
    said = {row["student"]: row["note"] for row in rows if row["for_a_person"]}
    assert said == {
        id_of["wang"]: "There is no notebook.",
        id_of["mlk"]: "hw2.ipynb: It is a notebook of hw2.",
        id_of["olga"]: "A feedback page was handed in, and no notebook.",
    }

    assert {row["student"]: row["what"] for row in rows if row["what"]} == {
        id_of["wang"]: "no notebook",
        id_of["mlk"]: "wrong notebook",
        id_of["olga"]: "no notebook",
    }

    there = submitted(Course(root))
    wanted = {
        f"{id_of[s.login]}/{NOTEBOOK}": notebook(s.login) for s in CLASS if s.login not in ("noor", "wang", "olga", "ada")
    }
    wanted[f"{id_of['mlk']}/{NOTEBOOK}"] = notebook("mlk", ("other", "another"))
    wanted |= {f"{id_of['ada']}/{NOTEBOOK}": notebook("ada again"), f"{id_of['ada']}/helper.py": b"y = 2\n"}
    wanted |= {f"{id_of['wang']}/essay.pdf": b"%PDF-1.7", f"{id_of['olga']}/hw3.html": there[f"{id_of['olga']}/hw3.html"]}
    times = {name.split("/")[0]: data.decode() for name, data in there.items() if name.endswith("/timestamp.txt")}
    assert {name: data for name, data in there.items() if not name.endswith("/timestamp.txt")} == wanted
    if system in ("brightspace", "blackboard", "gradescope"):
        seconds = "00" if system == "brightspace" else "12"
        assert times == {id_of[s.login]: f"2026-10-05 11:30:{seconds}" for s in CLASS if s.login != "noor"} | {
            "ada": "2026-10-06 09:00:00",
            "zoe": "2026-10-09 21:05:00",
        }
    else:  # Canvas says only that it was late, and Moodle's zip nothing
        assert times == {}

    record = json.loads((root / "downloaded/hw3/collected.json").read_text(encoding="utf-8"))
    of_zoe = record["students"][id_of["zoe"]]
    assert (of_zoe["system"], of_zoe["archive"], of_zoe["late"]) == (system, "from the LMS.zip", system == "canvas")
    names = zipfile.ZipFile(tmp_path / "from the LMS.zip").namelist()
    for of in record["students"].values():
        assert "/".join(filter(None, [of["folder"], of["file"]])) in names
    with Gradebook(f"sqlite:///{root}/gradebook.db", "vae") as gradebook:
        known = {student.id: student for student in gradebook.students}
    assert set(known) == set(id_of.values())
    zoe = known[id_of["zoe"]]
    assert (zoe.first_name, zoe.last_name) == ("Zoë", "Müller")
    assert zoe.email == (None if system in ("canvas", "blackboard") else "zoe@uni.example")
    assert zoe.lms_user_id == ("4104" if system == "canvas" else None)


@pytest.mark.parametrize("system", ["canvas", "brightspace"])
def test_nbgraders_own_command_collects_the_same(system, empty_course, tmp_path):
    trees = []
    (tmp_path / "sheet.csv").write_bytes(SHEETS[system]())
    for command in ("autograder", "nbgrader"):
        root = tmp_path / command
        shutil.copytree(empty_course, root)
        with (root / "nbgrader_config.py").open("a") as config:
            config.write("c.CollectDownloads.roster = '../sheet.csv'\n")
        (root / "downloaded/hw3/archive").mkdir(parents=True)
        packed(ZIPS[system](a_class()), root / "downloaded/hw3/archive/submissions.zip")
        done = commands.run(command, "collect" if command == "autograder" else "zip_collect", "hw3", cwd=root)
        assert done.returncode == (1 if command == "autograder" else 0), done.stderr
        trees.append(submitted(Course(root)))
    assert trees[0] == trees[1]
    again = commands.run("autograder", "collect", "hw3", "--json", cwd=root)
    assert {json.loads(line)["state"] for line in again.stdout.splitlines()} >= {"collected before", "nothing came in"}
    assert "collected" not in {json.loads(line)["state"] for line in again.stdout.splitlines()}


def test_what_nbgraders_own_command_has_not_copied_is_not_in_the_record(course):
    """It stops at a student whose folder is not empty; what it would have copied is in no feedback zip."""
    (course.root / "submitted/ada/hw3").mkdir(parents=True)
    (course.root / "submitted/ada/hw3/hw3.ipynb").write_bytes(b"by hand")
    (course.root / "downloaded/hw3/archive").mkdir(parents=True)
    packed({"ada/hw3.ipynb": notebook("a"), "bob/hw3.ipynb": notebook("b")}, course.root / "downloaded/hw3/archive/x.zip")
    assert commands.run("nbgrader", "zip_collect", "hw3", cwd=course.root).returncode != 0
    assert "ada" not in returning.collected(course.coursedir, "hw3")
    assert commands.run("nbgrader", "zip_collect", "hw3", "--force", cwd=course.root).returncode == 0
    assert set(returning.collected(course.coursedir, "hw3")) == {"ada", "bob"}


def test_moodles_files_without_folders_are_read_too(collected, course):
    rows = collected(lms.moodle_files(a_class(), folders=False), roster=SHEETS["moodle"]())
    assert submitted(course)[f"zoe@uni.example/{NOTEBOOK}"] == notebook("zoe")
    assert submitted(course)["ada@uni.example/helper.py"] == b"y = 2\n"
    assert len([row for row in rows if row.state is State.COLLECTED]) == 11


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("canvas", {"4101", "4108", "4109", "4111"}),
        ("moodle", {"ada-lovelace", "lee-van-der-berg", "小明-王"}),
        ("blackboard", {"ada", "asmith1", "asmith2", "00123", "pat.oneil@uni.example"}),
        ("gradescope", {"ada", "asmith1", "asmith2", "00123", "pat.oneil@uni.example"}),
    ],
)
def test_without_a_sheet_the_id_is_what_the_system_says(system, expected, collected):
    rows = collected(ZIPS[system](a_class()))
    assert expected <= {row.student for row in rows}
    if system == "moodle":
        assert "Several are called Alex Smith: Alex Smith_4108, Alex Smith_4109. Give the sheet" in " ".join(
            row.note for row in rows
        )


def test_plain_folders_and_files_are_collected_by_their_names(collected, course, tmp_path):
    collected(
        {"hw3/ada/hw3.ipynb": notebook("a"), "hw3/bob/hw3/hw3.ipynb": notebook("b"), "hw3/eve/hw3 (1).ipynb": notebook("e")}
    )
    assert submitted(course) == {"ada/hw3.ipynb": notebook("a"), "bob/hw3.ipynb": notebook("b"), "eve/hw3.ipynb": notebook("e")}
    folder = tmp_path / "by mail"
    folder.mkdir()
    for name in ("mia", "tom"):
        (folder / f"{name}.ipynb").write_bytes(notebook(name))
    collect.collect(course.coursedir, "hw3", [folder], Options())
    assert {"mia/hw3.ipynb", "tom/hw3.ipynb", "ada/hw3.ipynb"} <= set(submitted(course))


def test_a_person_settles_where_something_was_downloaded_and_it_is_remembered(collected, course):
    """`ws26_12_34_ada` is a student's id here, and how Canvas would call the file `ada`."""
    files = {f"ws26_12_{n}_{name}/hw3.ipynb": notebook(name) for n, name in enumerate(("ada", "bob"))}
    collected(files)
    assert set(submitted(course)) == {"12/hw3.ipynb"}  # both are user 12 of Canvas
    collected(files, system=System.PLAIN)
    wanted = {"ws26_12_0_ada/hw3.ipynb": notebook("ada"), "ws26_12_1_bob/hw3.ipynb": notebook("bob")}
    assert submitted(course) == wanted  # and what was taken for somebody else's is taken back
    rows = collected(files)
    assert submitted(course) == wanted
    assert {row.state for row in rows} == {State.UNCHANGED}
    done = commands.run("nbgrader", "zip_collect", "hw3", "--force", cwd=course.root)
    assert done.returncode == 0, done.stderr
    assert submitted(course) == wanted


@pytest.mark.parametrize("system", ZIPS)
def test_a_system_that_is_named_reads_what_it_reads_by_itself(system, collected, course):
    """Also where most names are somebody else's: 40 files lie beside the hand-ins."""
    files = ZIPS[system]([HandedIn(s, {NOTEBOOK: notebook(s.login)}) for s in CLASS[:3]])
    odd = files if system == "gradescope" else files | {f"notes {n}.txt": b"x" for n in range(40)}
    collected(odd, roster=SHEETS[system](), system=System(system))
    assert {name.split("/")[0] for name in submitted(course)} == {ids(system)[s.login] for s in CLASS[:3]}


@pytest.mark.parametrize("system", ZIPS)
def test_a_system_that_it_cannot_be_is_refused(system, collected, course):
    with pytest.raises(CourseError, match=f"submissions.zip: nothing in it is named as {system.capitalize()} does"):
        collected({"ada/hw3.ipynb": notebook()}, system=System(system))
    assert not submitted(course)
    assert not (course.root / "downloaded/hw3/collected.json").exists()


def test_what_a_student_called_a_file_is_nobodys_name_though_a_system_is_named(collected, course):
    files = {f"{s}/hw3.ipynb": notebook(s) for s in ("ada", "bob", "eve")} | {"tom/ada_LATE_101_1_hw3.ipynb": notebook("tom")}
    with pytest.raises(CourseError, match="nothing in it is named as Canvas does"):
        collected(files, system=System.CANVAS)
    assert not submitted(course)


def test_a_system_is_one_of_those_that_there_are(course, tmp_path):
    packed({"ada_1_2_hw3.ipynb": notebook()}, tmp_path / "x.zip")
    done = commands.run("autograder", "collect", "../x.zip", "hw3", "--system", "ilias", cwd=course.root)
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert done.returncode == 2
    assert "--system is one of canvas, moodle, brightspace, blackboard, gradescope, folders" in said
    done = commands.run("autograder", "collect", "../x.zip", "hw3", "--system", "folders", cwd=course.root)
    assert done.returncode == 0, done.stderr
    assert submitted(course) == {"ada_1_2_hw3/hw3.ipynb": notebook()}


# --- what counts, and when it came -----------------------------------------------------------------------------------


def brightspace(*times, name="Ada Lovelace"):
    """A zip in which somebody handed in at each of these times."""
    return {f"1-2 - {name} - {time}/hw3.ipynb": notebook(time) for time in times}


def test_the_commands_of_the_page_collect_a_class(empty_course, tmp_path):
    root = tmp_path / "course"
    shutil.copytree(empty_course, root)
    packed(ZIPS["canvas"](a_class()), root / "submissions.zip")
    (root / "gradebook.csv").write_bytes(SHEETS["canvas"]())
    page = (lms.ROOT / "docs/lms.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for line in "".join(blocks).splitlines() if line.startswith("autograder collect")]
    assert len(lines) == 3
    for line in lines:
        done = commands.run(*shlex.split(line), cwd=root)
        assert done.returncode == 1, done.stderr  # three handed in something else
    assert set(re.findall(r"^\| .*`(c\.CollectDownloads\.\w+) = ", page, re.MULTILINE)) == {
        f"c.CollectDownloads.{name}" for name in zip_collect.CollectDownloads.class_own_traits(config=True)
    }


def test_the_newest_counts_and_is_not_what_stands_last(collected, course):
    rows = collected(brightspace("Oct 5, 2026 1130 AM", "Oct 5, 2026 1200 AM", "Sep 30, 2026 1159 PM"))
    assert submitted(course)["ada-lovelace/hw3.ipynb"] == notebook("Oct 5, 2026 1130 AM")
    assert sorted(row.state for row in rows) == [State.COLLECTED, State.EARLIER, State.EARLIER]


def test_a_date_that_can_be_read_in_two_ways_stops_with_both_and_an_option_settles_it(collected, course):
    files = brightspace("04-05-2026 1130", "05-04-2026 1130")
    sentence = r"“04-05-2026 1130” can be read in two ways, as 4 May and as 5 April: say --day-first or --month-first\."
    with pytest.raises(CourseError, match=sentence):
        collected(files)
    assert not (course.root / "submitted").exists()
    collected(files, day_first=True)
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-05-04 11:30:00"
    collected(files, day_first=False)
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-05-04 11:30:00"
    assert submitted(course)["ada-lovelace/hw3.ipynb"] == notebook("05-04-2026 1130")


def test_a_date_that_can_be_read_in_one_way_tells_how_the_others_of_its_download_are_read(collected, course):
    collected(brightspace("04-05-2026 1130") | brightspace("25-04-2026 1130", name="Bob"))
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-05-04 11:30:00"


def test_times_are_of_the_time_zone_that_is_named(collected, course):
    collected(brightspace("Oct 5, 2026 1130 AM"), zone="America/New_York")
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-10-05 15:30:00"
    with pytest.raises(CourseError, match="There is no time zone 'Mars'"):
        collected(brightspace("Oct 5, 2026 1130 AM"), zone="Mars")


def test_moodles_worksheet_says_when_something_was_handed_in(collected, course):
    files = lms.moodle_files([HandedIn(CLASS[0], {NOTEBOOK: notebook()})])
    collected(files, roster=lms.moodle_sheet(when="Monday, 5 October 2026, 11:30 AM"), zone="Europe/Berlin")
    assert submitted(course)["ada@uni.example/timestamp.txt"] == b"2026-10-05 09:30:00"
    rows = collected(files, roster=lms.moodle_sheet(when="Montag, 5. Oktober 2026, 11:30"))
    (row,) = [row for row in rows if row.state is State.LEFT_OUT]
    assert row.note == "12 times in it cannot be read; who has none in the download counts as in time."


def test_the_sheet_of_before_holds_until_another_is_given(collected, course):
    files = lms.moodle_files([HandedIn(CLASS[0], {NOTEBOOK: notebook()})])
    collected(files, roster=lms.moodle_sheet(when="Monday, 5 October 2026, 11:30 AM"))
    before = submitted(course)
    assert before["ada@uni.example/timestamp.txt"] == b"2026-10-05 11:30:00"
    rows = collected(files)
    assert submitted(course) == before
    assert {row.state for row in rows if row.student == "ada@uni.example"} == {State.UNCHANGED}


def test_times_are_of_the_zone_of_the_courses_deadlines(collected, course):
    (course.root / "deadlines.toml").write_text('timezone = "Europe/Berlin"\n')
    collected(brightspace("Oct 5, 2026 1130 AM"), zone="")
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-10-05 09:30:00"
    collected(brightspace("Oct 5, 2026 1130 AM"), zone="America/New_York")
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-10-05 15:30:00"


def test_a_worksheet_in_another_language_says_that_nobody_counts_as_late(collected):
    files = lms.moodle_files([HandedIn(CLASS[0], {NOTEBOOK: notebook()})])
    sheet = lms.moodle_sheet().replace(b"Last modified (submission)", "Zuletzt geändert (Abgabe)".encode())
    (row,) = [row for row in collected(files, roster=sheet) if row.state is State.LEFT_OUT]
    assert "nobody counts as late" in row.note


def test_of_two_files_that_canvas_numbered_the_later_counts(collected, course):
    files = {f"lovelaceada_4101_900{n}_hw3{again}.ipynb": notebook(again) for n, again in ((1, ""), (3, "-2"), (2, "-1"))}
    rows = collected(files, roster=SHEETS["canvas"]())
    assert submitted(course)["ada/hw3.ipynb"] == notebook("-2")
    assert notes(rows) == {"ada": "Earlier, left aside: hw3-1.ipynb, hw3.ipynb."}


def test_the_table_says_beside_each_hand_in_that_is_no_notebook_what_it_is(course, tmp_path):
    master = notebook(source="### BEGIN HIDDEN TESTS")
    packed({"ada/hw3.ipynb": notebook(), "bob/essay.pdf": b"%PDF-1.7", "eve/hw3.ipynb": master}, tmp_path / "x.zip")
    done = commands.run("autograder", "collect", "../x.zip", "hw3", cwd=course.root)
    rows = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines() if "│" in line]
    assert rows == ["ada hw3.ipynb collected", "bob essay.pdf collected: no notebook", "eve hw3.ipynb collected: marked copy"]
    assert "1 collected; 1 collected: marked copy; 1 collected: no notebook. 2 for a person" in " ".join(done.stdout.split())


def test_two_that_cannot_be_ordered_are_both_left_and_said(collected, course):
    twice = {f"1-{n} - Ada Lovelace - Oct 5, 2026 1130 AM/hw3.ipynb": notebook(str(n)) for n in (1, 2)}
    rows = collected(twice, roster=SHEETS["brightspace"]())
    assert notes(rows)["ada"] == "Nothing says which of these is the last: take the others out of the archive."
    assert "ada/hw3.ipynb" not in submitted(course)
    rows = collected(
        {"1_ada_attempt_2026-10-05-11-30-12_a.ipynb": notebook("a"), "1_ada_attempt_2026-10-05-11-30-12_b.ipynb": notebook("b")}
    )
    assert notes(rows)["ada"] == "a.ipynb, b.ipynb: nothing says which of them is the last."


def test_a_later_download_counts_where_nothing_else_says_what_is_later(collected, course):
    ada = CLASS[0]
    collected(lms.moodle_files([HandedIn(ada, {NOTEBOOK: notebook("first")})]), roster=SHEETS["moodle"]())
    rows = collected(lms.moodle_files([HandedIn(ada, {NOTEBOOK: notebook("second")})]), roster=SHEETS["moodle"]())
    assert [row.state for row in rows if row.student == "ada@uni.example"] == [State.EARLIER, State.REPLACED]
    assert submitted(course)[f"ada@uni.example/{NOTEBOOK}"] == notebook("second")
    assert {path.name for path in (course.root / "downloaded/hw3/archive").iterdir()} == {
        "submissions.zip",
        "submissions-2.zip",
    }
    assert (course.root / "downloaded/hw3/replaced/ada@uni.example/1" / NOTEBOOK).read_bytes() == notebook("first")
    rows = collected(lms.moodle_files([HandedIn(ada, {NOTEBOOK: notebook("second")})]), roster=SHEETS["moodle"]())
    assert [row.state for row in rows if row.student == "ada@uni.example"] == [State.EARLIER, State.UNCHANGED]


def test_what_could_not_be_collected_is_not_kept(collected, course):
    """Else it would be in the way for ever, or count as the last where it is the first."""
    first, second = (lms.moodle_files([HandedIn(CLASS[0], {NOTEBOOK: notebook(text)})]) for text in ("first", "second"))
    for data, roster in ((b"PK\x03\x04 broken", SHEETS["moodle"]()), (packed(first), b"foo;bar\n1;2\n")):
        with pytest.raises(CourseError):
            collected(data, roster=roster)
        assert not list((course.root / "downloaded").rglob("*.*"))
    collected(first, roster=SHEETS["moodle"]())
    collected(second, name="again.zip", roster=SHEETS["moodle"]())
    assert submitted(course)[f"ada@uni.example/{NOTEBOOK}"] == notebook("second")


def test_of_downloads_given_together_the_one_with_the_newest_file_counts(course, tmp_path):
    """A browser calls the second `submissions (1).zip`, which stands before the first."""
    (tmp_path / "sheet.csv").write_bytes(SHEETS["moodle"]())
    options = Options(tmp_path / "sheet.csv", reading=Reading.in_zone("UTC"))
    for minute, name in ((0, "submissions.zip"), (30, "submissions (1).zip"), (30, "a.zip")):
        files = lms.moodle_files([HandedIn(CLASS[0], {NOTEBOOK: notebook(name)})])
        lms.packed(files, tmp_path / name, when=(2026, 10, 5, 11, minute, 0))
    rows = collect.collect(course.coursedir, "hw3", sorted(tmp_path.glob("submissions*.zip")), options)
    assert submitted(course)[f"ada@uni.example/{NOTEBOOK}"] == notebook("submissions (1).zip")
    shutil.rmtree(course.root / "downloaded")
    rows = collect.collect(course.coursedir, "hw3", sorted(tmp_path.glob("*.zip")), options)
    assert "Nothing says which of these is the last" in notes(rows)["ada@uni.example"]


def test_a_notebook_alone_that_comes_again_is_still_its_students(course, tmp_path):
    for number in ("1", "2"):
        path = tmp_path / number / "ada.ipynb"
        path.parent.mkdir()
        path.write_bytes(notebook(number))
        collect.collect(course.coursedir, "hw3", [path], Options())
    rows = collect.collect(course.coursedir, "hw3", [], Options())
    assert {row.student for row in rows} == {"ada"}
    assert submitted(course) == {"ada/hw3.ipynb": notebook("2")}


def test_who_goes_back_to_an_earlier_answer_hands_in_that_one(collected, course):
    days = [
        HandedIn(CLASS[0], {NOTEBOOK: notebook(text)}, datetime.datetime(2026, 10, day, 9))
        for day, text in enumerate("aaba", 1)
    ]
    collected(lms.brightspace_files(days), roster=SHEETS["brightspace"]())
    assert submitted(course)["ada/timestamp.txt"] == b"2026-10-04 09:00:00"
    assert submitted(course)[f"ada/{NOTEBOOK}"] == notebook("a")
    shutil.rmtree(course.root / "submitted")
    shutil.rmtree(course.root / "downloaded")
    collected(lms.brightspace_files(days[:2]), roster=SHEETS["brightspace"]())
    assert submitted(course)["ada/timestamp.txt"] == b"2026-10-01 09:00:00"


def test_a_sheet_is_no_download(course, tmp_path):
    (tmp_path / "worksheet.csv").write_bytes(SHEETS["moodle"]())
    with pytest.raises(CourseError, match="is a sheet, and nobody's hand-in: give it with --roster"):
        collect.collect(course.coursedir, "hw3", [tmp_path / "worksheet.csv"], Options())
    assert not (course.root / "downloaded/hw3/archive").exists()


def test_a_folder_that_holds_the_course_is_no_download(course, tmp_path):
    for source in (course.root, tmp_path, course.root / "downloaded"):
        (course.root / "downloaded").mkdir(exist_ok=True)
        with pytest.raises(CourseError, match="holds the course itself: name the archive"):
            collect.collect(course.coursedir, "hw3", [source], Options())
    assert not list((course.root / "downloaded").iterdir())


def test_canvas_counts_uploads_so_an_older_download_does_not_win(collected, course):
    files = {"lovelaceada_4101_9002_hw3-1.ipynb": notebook("second")}
    collected(files, roster=SHEETS["canvas"]())
    rows = collected({"lovelaceada_4101_9001_hw3.ipynb": notebook("first")}, roster=SHEETS["canvas"]())
    assert [row.state for row in rows if row.student == "ada"] == [State.EARLIER, State.UNCHANGED]
    assert submitted(course)["ada/hw3.ipynb"] == notebook("second")


def test_late_by_canvas_is_one_second_after_the_students_own_deadline_and_grace(collected, course):
    """Whenever that is: an earlier one later does not make them days late."""
    text = "[hw3]\ndue = 2026-10-05 10:00:00Z\ngrace = '15 minutes'\nper_day = 1\n[hw3.extensions]\n4102 = 2026-10-12 10:00Z\n"
    text = text.replace("10:00Z", "10:00:00Z")
    (course.root / "deadlines.toml").write_text(text)
    collected({f"x_LATE_{id}_1_hw3.ipynb": notebook() for id in (4101, 4102, 4103)})
    assert not [name for name in submitted(course) if name.endswith("timestamp.txt")]
    (course.root / "submitted/4103/hw3/timestamp.txt").write_text("2026-10-09 10:00:00 UTC")  # the instructor knows better

    def times():
        with Gradebook(course.coursedir.db_url, "vae") as gradebook:
            late.settle(gradebook, "hw3", course.coursedir)
            return {one.student_id: one.timestamp and str(one.timestamp) for one in gradebook.assignment_submissions("hw3")}

    with Gradebook(course.coursedir.db_url, "vae") as gradebook:
        gradebook.update_or_create_assignment("hw3")
        gradebook.add_notebook("hw3", "hw3")
        for id in (4101, 4102, 4103):
            gradebook.update_or_create_submission("hw3", str(id))
    assert times() == {"4101": "2026-10-05 10:15:01", "4102": "2026-10-12 10:15:01", "4103": None}
    (course.root / "deadlines.toml").write_text(text.replace("10-05", "10-01"))
    assert times() == {"4101": "2026-10-01 10:15:01", "4102": "2026-10-12 10:15:01", "4103": None}
    collected({f"x_{id}_2_hw3-1.ipynb": notebook("in time") for id in (4101, 4102)}, name="again.zip")
    assert times() == {"4101": None, "4102": None, "4103": None}


def test_late_by_canvas_and_no_due_date_counts_as_in_time_and_waits_for_a_person(collected, course):
    with Gradebook(course.coursedir.db_url, "vae") as gradebook:
        gradebook.update_or_create_assignment("hw3", duedate=None)
    (row,) = [row for row in collected({"x_LATE_4101_1_hw3.ipynb": notebook()}) if row.late]
    assert row.for_a_person
    assert row.note == "Late, and neither is it known by how much nor when it was due: it counts as in time."


def test_what_did_not_come_by_the_command_is_left_alone(collected, course):
    there = course.root / "submitted/4101/hw3/hw3.ipynb"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"by hand")
    files = {"lovelaceada_4101_9002_hw3.ipynb": notebook("by canvas")}
    (row,) = collected(files)
    assert (row.state, row.for_a_person) == (State.NOT_COLLECTED, True)
    assert row.note == "Other files are in the student's folder, which did not come this way: move them away."
    assert there.read_bytes() == b"by hand"
    there.unlink()
    assert [row.state for row in collected(files)] == [State.COLLECTED]
    (there.parent / "timestamp.txt").write_text("2026-10-05 10:00:00 UTC")  # the instructor's own word
    assert [row.state for row in collected(files)] == [State.NOT_COLLECTED]


def test_a_dry_run_says_the_same_and_changes_nothing(collected, course):
    def everything():
        return {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}

    before = everything()
    dry = collected(ZIPS["canvas"](a_class()), roster=SHEETS["canvas"](), dry=True)
    assert everything() == before
    assert dry == collected(ZIPS["canvas"](a_class()), roster=SHEETS["canvas"]())


def test_a_notebook_handed_in_beside_others_counts_and_goes_by_the_assignments_name(collected, course):
    rows = collected(
        {"ada/my work.ipynb": notebook("a"), "ada/hw2.ipynb": notebook("b", ("other", "another")), "ada/sub/data.csv": b"1\n"}
    )
    assert submitted(course) == {
        "ada/hw3.ipynb": notebook("a"),
        "ada/hw2.ipynb": notebook("b", ("other", "another")),
        "ada/sub/data.csv": b"1\n",
    }
    assert notes(rows) == {"ada": "hw2.ipynb: It is a notebook of hw2."}


BROKEN = "hw3.ipynb: It is no notebook that can be read: the upload broke off, or it is something else."
MASTER = "It is a marked copy or the master, not the notebook that students were given."
ZIPPED = "An archive was handed in, which is not opened: unpack it, and put the notebook there."


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"hw3.ipynb": notebook(cells=("x", "y"))}, "hw3.ipynb: It is a notebook of no assignment of this course."),
        ({"hw3.ipynb": notebook()[:-40]}, BROKEN),
        ({"hw3.ipynb": b"[" * 100_000}, BROKEN),
        ({"hw3.ipynb": notebook(source="### BEGIN HIDDEN TESTS\nassert x")}, MASTER),
        ({"work.zip": packed({"hw3.ipynb": notebook()})}, ZIPPED),
        ({"hw3.html": b"<title>Feedback for ada: hw3</title>"}, "A feedback page was handed in, and no notebook."),
        ({"hw3.py": b"x = 1"}, "There is no notebook."),
    ],
)
def test_what_is_not_the_notebook_is_put_there_and_said(files, sentence, collected, course):
    rows = collected({f"ada/{name}": data for name, data in files.items()} | {"bob/hw3.ipynb": notebook()})
    assert notes(rows) == {"ada": sentence}
    assert [row.for_a_person for row in rows] == [True, False]
    assert [data for name, data in submitted(course).items() if name.startswith("ada/")] == list(files.values())


def test_a_worksheet_of_another_assignment_is_noticed(collected):
    """Moodle numbers the same student differently in each assignment."""
    shifted = [dataclasses.replace(s, lms_id=CLASS[at - 1].lms_id) for at, s in enumerate(CLASS)]
    rows = collected(ZIPS["moodle"](a_class()), roster=lms.moodle_sheet(shifted))
    assert not [row for row in rows if row.state is State.COLLECTED and "Smith" not in row.name]
    assert "its name another's: give the worksheet of this assignment." in notes(rows)[next(iter(ZIPS["moodle"](a_class())))]


def test_who_is_not_in_the_sheet_is_not_collected_and_who_is_known_by_hand_is(collected, course):
    files = {"lovelaceada_4101_1_hw3.ipynb": notebook(), "evilmallory_666_2_hw3.ipynb": notebook("m")}
    rows = collected(files, roster=SHEETS["canvas"]())
    assert notes(rows)["evilmallory_666_2_hw3.ipynb"] == "Nobody in the sheet has this name or number."
    collected(files, roster=SHEETS["canvas"](), who={"evilmallory": "noor"})
    rows = collected(files, roster=SHEETS["canvas"]())  # said once, it is known
    assert submitted(course)["noor/hw3.ipynb"] == notebook("m")
    rows = collected(files, roster=SHEETS["canvas"](), who={"evilmallory": "nobody"})
    assert (
        notes(rows)["evilmallory_666_2_hw3.ipynb"]
        == "--who names 'nobody', who is not in the course. Near it: noor (Noor Ali)."
    )


def test_what_is_said_by_hand_and_fits_nothing_is_told_and_not_remembered(collected, course):
    files = {"lovelaceada_4101_1_hw3.ipynb": notebook(), "evilmallory_666_2_hw3.ipynb": notebook("m")}
    said = {"evilmalory": "noor", "evilmallory": "noor", "zzz": "none"}
    rows = collected(files, roster=SHEETS["canvas"](), who=said)
    about = [(row.file, row.note) for row in rows if row.for_a_person]
    assert about == [
        (
            "--who evilmalory",
            "The name of nothing that came in begins so; it is not remembered. Near it: evilmallory.",
        ),
        ("--who zzz", "The name of nothing that came in begins so; it is not remembered."),
    ]
    record = json.loads((course.root / "downloaded/hw3/collected.json").read_text(encoding="utf-8"))
    assert record["who"] == {"evilmallory": "noor"}
    assert submitted(course)["noor/hw3.ipynb"] == notebook("m")


def alike(*logins, days=(1, 2)):
    """Brightspace's zip of those students, each on another day."""
    students = {s.login: s for s in CLASS}
    handed_in = [
        HandedIn(students[login], {NOTEBOOK: notebook(login)}, datetime.datetime(2026, 10, day, 9))
        for login, day in zip(logins, days, strict=False)
    ]
    return lms.brightspace_files(handed_in)


def test_two_of_one_name_are_never_taken_for_one(collected, course):
    files = alike("asmith1", "asmith2")
    for _ in range(2):  # the first run enrols nobody whom the second would find
        rows = collected(files)
        said = "Several are called Alex Smith: 4108-2557369, 4109-2557369. Give the sheet of the course with --roster."
        assert [row.note for row in rows if row.for_a_person] == [said, said]
    one = lms.brightspace_sheet([s for s in CLASS if s.login != "asmith2"])
    said = said.replace("Give the sheet of the course with --roster.", "Say whose each is: ")
    said += "--who 4108-2557369=STUDENT --who 4109-2557369=STUDENT"
    assert {row.note for row in collected(files, roster=one) if row.name == "Alex Smith" and row.note} == {said}
    assert not submitted(course)
    collected(files, roster=one, who={"4108-2557369": "asmith1"})
    assert submitted(course)["asmith1/hw3.ipynb"] == notebook("asmith1")
    assert "asmith2" not in " ".join(submitted(course))


def test_what_is_said_by_hand_is_of_the_systems_part_of_a_name_and_can_be_taken_back(collected, course):
    files = {f"Homework/{name}": data for name, data in alike("asmith1", "ada").items()}
    files["Homework/4104-2557369 - Zoë Müller - Oct 9, 2026 1130 AM/4108-2557369 - x/hw3.ipynb"] = notebook("forged")
    roster = SHEETS["brightspace"]()
    rows = collected(files, roster=roster, who={"Homework": "asmith1", "410": "asmith1"})
    assert "Say whose it is: --who 4108-2557369=STUDENT" in " ".join(row.note for row in rows)
    assert submitted(course)["zoe/hw3.ipynb"] == notebook("forged")
    assert submitted(course)["ada/hw3.ipynb"] == notebook("ada")
    collected(files, roster=roster, who={"4108-2557369": "noor"})
    assert submitted(course)["noor/hw3.ipynb"] == notebook("asmith1")
    rows = collected(files, roster=roster, who={"4108-": "none"})
    assert not [name for name in submitted(course) if name.startswith("noor/")]
    (row,) = [row for row in rows if row.state is State.TAKEN_BACK]
    assert (row.student, row.for_a_person) == ("noor", True)
    assert (course.root / "downloaded/hw3/replaced/noor/1/hw3.ipynb").read_bytes() == notebook("asmith1")
    rows = collected(alike("asmith1", "asmith2"), roster=roster, who={"410": "noor", "41": "noor"})
    assert "noor" not in {row.student for row in rows if row.state is State.COLLECTED}


def test_another_sheet_takes_nothing_back(collected, course):
    files = {"lovelaceada_4101_1_hw3.ipynb": notebook()}
    collected(files, roster=SHEETS["canvas"]())
    rows = collected(files, roster=lms.canvas_sheet(CLASS[1:]))
    assert notes(rows)["ada"] == "What was collected before may not be theirs, and stays."
    assert submitted(course) == {"ada/hw3.ipynb": notebook()}
    assert [row.state for row in collected(files, roster=SHEETS["canvas"]()) if row.student == "ada"] == [State.UNCHANGED]


def test_one_word_by_hand_is_not_for_two_students(collected, course):
    rows = collected(alike("asmith1", "asmith2"), roster=SHEETS["brightspace"](), who={"4108": "asmith1", "4109": "asmith1"})
    assert states(rows)["asmith1"] == State.COLLECTED  # said of each
    shutil.rmtree(course.root / "downloaded")
    files = lms.moodle_files([HandedIn(s, {NOTEBOOK: notebook(s.login)}) for s in CLASS if s.last == "Smith"])
    rows = collected(files, roster=SHEETS["moodle"](), who={"Alex": "ada@uni.example"})
    said = "--who 'Alex' fits several: Alex Smith_4108, Alex Smith_4109. Say of each whose it is."
    assert [row.note for row in rows if row.note] == [said, said]


def test_moodles_number_is_not_believed_against_the_name(collected, course):
    roster = SHEETS["moodle"]()
    right = ["Group A-Ada Lovelace_4101", "Lovelace Ada_4101", "Participant_4101", "Team-X-Jean-Luc Dupont-Moretti_4103"]
    for number, name in enumerate(["Newbie Person_4101", "Group A-Bob_4101", *right]):
        rows = collected({f"{name}_assignsubmission_file/hw3.ipynb": notebook(str(number))}, roster=roster)
        wrong = [row.note for row in rows if row.file.startswith(name)]
        assert any("and its name another's" in note for note in wrong) == (name not in right), name


def test_moodles_groups_make_nobody_new(collected, course):
    collected({"Ada Lovelace_4101_assignsubmission_file/hw3.ipynb": notebook()})
    name = "Group A-Ada Lovelace_5101_assignsubmission_file/hw3.ipynb"
    rows = collected({name: notebook("2")})
    said = "It may be of ada-lovelace, with a group's name in front: give the worksheet of this assignment, or say it: "
    assert [row.note for row in rows if row.file == name] == [said + "--who 'Group A-Ada Lovelace_5101=STUDENT'"]
    collected({name: notebook("2")}, who={"Group A-Ada Lovelace_5101": "ada-lovelace"})
    assert submitted(course)["ada-lovelace/hw3.ipynb"] == notebook("2")


def test_where_nobody_is_known_moodles_groups_are_no_first_names(collected, course):
    names = ["Group A-Ada Lovelace_1", "Group A-Zoë Müller_2", "Jean-Luc Dupont_3", "Jean-Paul Martin_4"]
    rows = collected({f"{name}_assignsubmission_file/hw3.ipynb": notebook(name) for name in names})
    assert {row.student for row in rows if row.state is State.COLLECTED} == {"jean-luc-dupont", "jean-paul-martin"}
    said = "Its name begins as a group's may: give the worksheet of this assignment with --roster."
    assert [row.note for row in rows if row.for_a_person] == [said, said]


def test_a_time_that_begins_with_the_year_is_read_in_one_way(collected, course):
    collected(brightspace("2026-10-05 1130"), day_first=True)
    assert submitted(course)["ada-lovelace/timestamp.txt"] == b"2026-10-05 11:30:00"


@pytest.mark.parametrize("text", ["5 octobre 2026 1130", "5. Okt. 2026 1130", "Oct 45, 2026 1130 AM"])
def test_a_time_that_cannot_be_read_waits_for_a_person(text, collected):
    (row,) = collected(brightspace(text))
    assert (row.state, row.for_a_person) == (State.COLLECTED, True)
    assert row.note == f"“{text}” is no time that can be read: it counts as in time."


def test_an_id_written_otherwise_in_a_later_sheet_is_the_same_student(collected, course):
    collected({"lovelaceada_4101_1_hw3.ipynb": notebook()}, roster=SHEETS["canvas"]())
    changed = [dataclasses.replace(s, login="Ada" if s.login == "ada" else s.login) for s in CLASS]
    collected({"lovelaceada_4101_2_hw3.ipynb": notebook("2")}, roster=lms.canvas_sheet(changed))
    assert submitted(course) == {"ada/hw3.ipynb": notebook("2")}
    changed = [dataclasses.replace(s, login=s.login.lstrip("0")) for s in CLASS]
    sentence = "has '123', and the course '00123': a spreadsheet program leaves out zeros. Export the sheet again"
    with pytest.raises(CourseError, match=sentence):
        collected({"lovelaceada_4101_2_hw3.ipynb": notebook("2")}, roster=lms.canvas_sheet(changed))
    (course.root / "downloaded/hw3" / collect.ROSTER).unlink()
    export = lms.gradescope_files([HandedIn(dataclasses.replace(CLASS[10], login="123", first="L."), {NOTEBOOK: notebook()})])
    rows = collected(export)
    assert "123 is not in the course, and 00123 is" in " ".join(row.note for row in rows)
    assert set(submitted(course)) == {"ada/hw3.ipynb"}


def test_a_login_that_can_be_read_in_several_ways_is_asked_for(collected, course):
    when = "attempt_2026-10-05-11-30-12_hw3.ipynb"
    rows = collected({f"hw_team_{name}_{when}": notebook(name) for name in ("ann", "bob")})
    assert {row.note for row in rows} == {
        f"The login may be team_{name} or {name}: give the sheet of the course with --roster." for name in ("ann", "bob")
    }
    rows = collected({f"Homework 3_john_smith_{when}": notebook()}, name="2.zip")
    assert "The login may be john_smith or smith: give the sheet of the course with --roster." in [row.note for row in rows]
    assert not submitted(course)


# --- what students can do to it --------------------------------------------------------------------------------------


def test_nobody_hands_in_in_anothers_place(collected, course):
    """Only the system's own part of a name says whose it is."""
    good, bad = notebook("ada"), notebook("mallory")
    archives = [
        {
            "hw_ada_attempt_2026-10-05-11-30-12_hw3.ipynb": good,
            "hw_mallory_attempt_2026-10-05-11-30-12_ada_attempt_2026-10-09-11-30-12_hw3.ipynb": bad,
        },
        {
            "1-2 - Ada - Oct 5, 2026 1130 AM/hw3.ipynb": good,
            "1-3 - Mallory - Oct 5, 2026 1130 AM/1-2 - Ada - Oct 9, 2026 1130 AM/hw3.ipynb": bad,
            "1-3 - Mallory - Oct 5, 2026 1130 AM/Ada_1_assignsubmission_file_/hw3.ipynb": bad,
        },
        {
            "ada/hw3.ipynb": good,
            "mallory/submission_metadata.yml": b"ada: {':submitters': [{':sid': bob}]}",
            "bob/hw3.ipynb": good,
        },
        {"ada/hw3.ipynb": good, "mallory/ada_1_2_hw3.ipynb": bad, "bob/hw3.ipynb": good, "zoe/hw3.ipynb": good},
    ]
    for files in archives:
        collected(files)
        assert submitted(course)["ada/hw3.ipynb"] == good
        assert bad not in [data for name, data in submitted(course).items() if not name.startswith("mallory/")]
        shutil.rmtree(course.root / "submitted")
        shutil.rmtree(course.root / "downloaded")


def test_a_name_of_the_system_counts_only_where_the_system_puts_it(collected, course):
    files = brightspace("Oct 5, 2026 1130 AM") | {"odd/1-2 - Ada Lovelace - Oct 9, 2026 1130 AM/hw3.ipynb": notebook("m")}
    rows = collected(files)
    assert submitted(course)["ada-lovelace/hw3.ipynb"] == notebook("Oct 5, 2026 1130 AM")
    assert [row.note for row in rows if row.state is State.LEFT_OUT] == ["Its name does not say whose it is."]


def test_a_time_that_a_student_wrote_is_not_believed(collected, course):
    rows = collected(
        {"ada/hw3.ipynb": notebook(), "ada/timestamp.txt": b"2020-01-01 00:00:00 UTC", "bob/hw3.ipynb": notebook()}
    )
    assert set(submitted(course)) == {"ada/hw3.ipynb", "bob/hw3.ipynb"}
    assert notes(rows) == {"ada": "The timestamp.txt that was handed in is left out: nbgrader would believe it."}


@pytest.mark.parametrize("metadata", [True, False])
def test_many_files_of_one_student_do_not_decide_whose_download_it_is(metadata, collected, course):
    files = lms.gradescope_files([HandedIn(s, {NOTEBOOK: notebook(s.login)}) for s in CLASS[:3]])
    files |= {f"assignment_88_export/submission_7001/digit_{n}_2_a.png": b"x" for n in range(40)}
    if not metadata:
        del files["assignment_88_export/submission_metadata.yml"]
    collected(files)
    there = {name.split("/")[0] for name in submitted(course)}
    assert there == ({s.login for s in CLASS[:3]} if metadata else {f"submission_{7000 + n}" for n in range(3)})


@pytest.mark.parametrize("name", ["..", ".", "/x", "a/../../b", "_."])
def test_a_name_that_leads_elsewhere_behind_the_systems_part_is_left_out(name, collected, course):
    rows = collected({f"lovelaceada_4101_9000_{name}": b"x", "oneilpat_4102_9001_hw3.ipynb": notebook()})
    assert [row.student for row in rows if row.state is State.COLLECTED][-1] == "4102"
    assert submitted(course)["4102/hw3.ipynb"] == notebook()


def test_a_file_and_a_folder_of_one_name_get_two(collected, course):
    for n, names in enumerate((["9000_a", "9001_a/b"], ["9000_a/b", "9001_a"])):
        collected({f"lovelaceada_410{n}_{name}": b"x" for name in names})
        assert {name.split("/", 1)[1] for name in submitted(course) if name.startswith(f"410{n}")} <= {
            "a",
            "a/b",
            "a (2)/b",
            "a (2)",
        }


def test_a_folder_that_cannot_be_written_stops_nobody_else(collected, course):
    (course.root / "submitted").mkdir()
    (course.root / "submitted/4101").write_text("a file where a folder belongs")
    rows = collected({"lovelaceada_4101_1_hw3.ipynb": notebook(), "oneilpat_4102_2_hw3.ipynb": notebook()})
    assert states(rows) == {"4101": State.NOT_COLLECTED, "4102": State.COLLECTED}
    assert notes(rows)["4101"].startswith("It could not be put into the student's folder: ")


def test_letters_that_steer_a_terminal_are_not_in_the_table(collected, course):
    files = lms.gradescope_files([HandedIn(dataclasses.replace(CLASS[0], first="\x9b2JAda"), {NOTEBOOK: notebook()})])
    (row,) = [row for row in collected(files) if row.student]
    assert row.name == "\N{REPLACEMENT CHARACTER}2JAda Lovelace"
    sheet = lms.canvas_sheet([dataclasses.replace(CLASS[0], last="Love\x1blace")])
    rows = collected({"x_4101_1_hw3.ipynb": notebook()}, roster=sheet)
    assert all(row.name.isprintable() for row in rows)
    (course.root / "sheet.csv").write_bytes(b"Login,Na\x1b[2Jme\nada,1\n")
    (course.root / "x.zip").write_bytes(packed({"x_4101_1_hw3.ipynb": notebook()}))
    done = commands.run("autograder", "collect", "x.zip", "hw3", "--roster", "sheet.csv", "--id-column", "x", cwd=course.root)
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr


def test_a_file_or_folder_that_has_the_notebooks_name_gets_another(collected, course):
    files = {"mine.ipynb": notebook(), "hw3.ipynb/data.csv": b"1", "timestamp.txt/x": b"2", "sub/a": b"3", "sub/b": b"4"}
    collected({f"ada/{name}": data for name, data in files.items()} | {"bob/hw3.ipynb": notebook()})
    names = ["hw3 (2).ipynb/data.csv", "hw3.ipynb", "sub/a", "sub/b", "timestamp (2).txt/x"]
    assert sorted(name.removeprefix("ada/") for name in submitted(course) if name.startswith("ada/")) == names


def link(name, kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info


HOSTILE = {
    "bob/../../../../evil.ipynb": "Its name leads out of its archive.",
    "/etc/evil.ipynb": "Its name leads out of its archive.",
    "C:/evil.ipynb": "Its name leads out of its archive.",
    "..\\..\\evil.ipynb": "Its name leads out of its archive.",
    "bob//evil.ipynb": "Its name leads out of its archive.",
    "bob/" + "x" * 300 + ".ipynb": "Its name is too long.",
    "/".join(["d"] * 30) + "/evil.ipynb": "It lies too deep in folders.",
    "bob/\x1b[2Jevil.ipynb": "Its name cannot be printed.",
}


def test_what_would_be_written_elsewhere_is_left_out_and_said(collected, course, tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("ada/hw3.ipynb", notebook())
        archive.writestr("bob/hw3.ipynb", notebook())
        archive.writestr(link("ada/passwd"), "/etc/passwd")
        archive.writestr(link("ada/fifo", stat.S_IFIFO), "")
        archive.writestr("__MACOSX/ada/._hw3.ipynb", b"x")
        for name in HOSTILE:
            archive.writestr(name, b"evil")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("ada/hw3.ipynb", b"another")
    before = sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(course.root))
    rows = collected(data.getvalue())
    after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(course.root)} - {tmp_path / "submissions.zip"}
    assert sorted(after) == before
    said = {row.file.removeprefix("submissions.zip: "): row.note for row in rows if row.state is State.LEFT_OUT}
    shown = {printable(name.replace("\\", "/")): why for name, why in HOSTILE.items()}
    assert said == shown | {
        "ada/passwd": "It is a link or a device.",
        "ada/fifo": "It is a link or a device.",
        "ada/hw3.ipynb": "It is there twice.",
    }
    assert [row.file for row in rows if row.state is State.ADDED] == ["submissions.zip: __MACOSX/ada/._hw3.ipynb"]
    assert submitted(course) == {"ada/hw3.ipynb": notebook(), "bob/hw3.ipynb": notebook()}
    assert not [path for path in course.root.rglob("*") if path.is_symlink()]


def test_a_folder_with_links_is_collected_without_them(collected, course, tmp_path):
    (tmp_path / "class/ada").mkdir(parents=True)
    (tmp_path / "class/ada/hw3.ipynb").write_bytes(notebook())
    (tmp_path / "class/ada/secret.txt").symlink_to("/etc/passwd")
    (tmp_path / "class/root").symlink_to("/")
    os.mkfifo(tmp_path / "class/ada/fifo")
    rows = collect.collect(course.coursedir, "hw3", [tmp_path / "class"], Options())
    assert {row.note for row in rows if row.state is State.LEFT_OUT} == {"It is a link or a device."}
    assert set(submitted(course)) == {"ada/hw3.ipynb"}


def test_a_file_that_grows_or_is_too_large_is_left_out(collected, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_FILE", 1 << 20)
    data = bytearray(packed({"ada/hw3.ipynb": notebook(), "ada/zeros": bytes(3 << 20), "bob/zeros": bytes(3 << 20)}))
    rows = collected(bytes(data))
    assert notes(rows)["submissions.zip: ada/zeros"] == "It is larger than 1 MB."
    for at in range(len(data) - 4):  # the directory says that it is small
        if data[at : at + 4] == b"PK\x01\x02":
            data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    rows = collected(bytes(data))
    assert notes(rows)["submissions-2.zip: bob/zeros"] == "It is damaged, or packed in a way that cannot be read here."


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (
            "x.zip",
            b"PK\x03\x04 broken",
            "x.zip is no zip that can be read: download it again, or unpack it and name the folder.",
        ),
        ("x.tar.gz", b"\x1f\x8b", "is no zip that can be read"),
    ],
)
def test_an_archive_that_cannot_be_read_is_refused_in_a_sentence(name, data, sentence, collected):
    with pytest.raises(CourseError, match=sentence):
        collected(data, name=name)


PARTS = st.sampled_from(
    [
        *("ada", "..", ".", "", "hw3.ipynb", "hw3", "__MACOSX", "timestamp.txt", "collected.json", "submission_metadata.yml"),
        *("lovelaceada_LATE_4101_9001_hw3.ipynb", "Ada Lovelace_4101_assignsubmission_file_", "index.html", "con", "a\\b", "~"),
        *(
            "1-2 - Ada Lovelace - Oct 5, 2026 1130 AM",
            "1-2 - Ada - 99/99/2026 9999",
            "x_ada_attempt_2026-99-05-11-30-12_hw3.ipynb",
        ),
        *(
            "submission_7",
            "submitted",
            "C:",
            "x" * 250,
            "é" * 120,
            "\u202eipynb.hw3",
            "a\nb",
            "é",
            "小明 王_1_assignsubmission_file",
        ),
        *(
            "_1_2_x",
            "x_ada_attempt_2026-10-05-11-30-12.txt",
            "anon_x_1_hw3.ipynb",
            "1-2 - " + "- " * 50 + "- 2026",
            "{0}",
            "[a]",
            "%",
        ),
    ]
) | st.text(max_size=8)
CONTENT = st.sampled_from(
    [
        notebook(),
        notebook("2"),
        b"",
        b"{}",
        b"submission_7: {':submitters': [{':sid': 7, ':name': ada}], ':created_at': x}",
        b"a: &a [*a]",
    ]
) | st.binary(max_size=20)

# Names of one system with something odd behind its own part.
STARTS = (
    *("lovelaceada_4101_9000_", "lovelaceada_LATE_4101_9001_", "Ada Lovelace_4101_assignsubmission_file_"),
    *("x_ada_attempt_2026-10-05-11-30-12_", "1-2 - Ada - Oct 5, 2026 1130 AM/", "submission_7/", "ada/"),
)
ENDINGS = st.sampled_from([*("..", ".", "a", "a/b", "../x", "a/..", "/", "timestamp.txt", "hw3.ipynb", "hw3.ipynb/x")]) | PARTS
FILES = st.dictionaries(st.lists(PARTS, min_size=1, max_size=4).map("/".join), CONTENT, min_size=1, max_size=8) | st.lists(
    st.sampled_from(STARTS), min_size=1, max_size=2
).flatmap(
    lambda starts: st.dictionaries(st.tuples(st.sampled_from(starts), ENDINGS).map("".join), CONTENT, min_size=1, max_size=8)
)

QUICK = [Phase.explicit, Phase.reuse, Phase.generate]  # a case is small enough as it is found


@pytest.fixture(scope="module")
def odd(empty_course, tmp_path_factory):
    """A folder with a course three folders deeper."""
    top = tmp_path_factory.mktemp("odd")
    shutil.copytree(empty_course, top / "a/b/course")
    return top


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60, phases=QUICK)
@given(
    FILES,
    st.sampled_from([None, *SHEETS]),
    st.floats(0, 1),
    st.binary(max_size=3),
)
def test_no_zip_ends_in_a_traceback_or_writes_outside_the_course(odd, files, sheet, at, noise):
    root, zipped, roster = odd / "a/b/course", odd / "x.zip", odd / "x.csv"
    for folder in ("submitted", "downloaded"):
        shutil.rmtree(root / folder, ignore_errors=True)
    raw = bytearray(packed({name.encode("utf-8", "replace").decode() or "x": content for name, content in files.items()}))
    raw[int(at * len(raw)) : int(at * len(raw)) + len(noise)] = noise
    zipped.write_bytes(raw)
    roster.write_bytes(SHEETS[sheet or "canvas"]())
    rows = []
    with contextlib.suppress(CourseError):
        options = Options(roster if sheet else None, reading=Reading.in_zone("UTC"))
        rows = collect.collect(CourseDirectory(root=str(root)), "hw3", [zipped], options)
    assert {path for path in odd.rglob("*") if not path.is_relative_to(root)} == {odd / "a", odd / "a/b", zipped, roster}
    own = {"source", "submitted", "downloaded", "gradebook.db", "nbgrader_config.py"}
    assert {path.name for path in root.iterdir()} <= own
    assert not [path for path in root.rglob("*") if path.is_symlink()]
    assert json.dumps([row.to_json() for row in rows])
    students = {row.student for row in rows if row.state is State.COLLECTED}
    assert {path.name for path in (root / "submitted").glob("*")} == students
