"""The sample class: the demonstration, and an evening with it, from the marks to pages that go out and marks that move."""

import csv
import json
import pathlib
import re
import shutil

import pytest
from nbgrader.api import Gradebook

from autograder.course.folder import Course, quiet
from tests.test_browser import NAME, browser, give, page_of, serving, visit  # noqa: F401
from tests.test_cli import run
from tools.lab import CHROMIUM

pytestmark = pytest.mark.sandboxed


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """(the folder of `autograder demo`, what it printed); not to be changed"""
    root = tmp_path_factory.mktemp("demonstration") / "demo"
    done = run("demo", "--output", root)
    assert done.returncode == 0, done.stderr
    return root, done


EXPECTED = {
    "ada": (5, 3), "ben": (5, 3), "chloe": (4, 3), "dan": (3.5, 3), "eva": (5, 2), "finn": (4, 2), "gina": (0, 0),
    "hugo": (4, 3), "iris": (5, 0), "jack": (None, None), "kim": (5, 3), "liam": (0, 0), "wim": (4, 1), "zoe": (5, 3),
}  # fmt: skip


def test_the_demonstration_marks_its_class_and_every_file_it_names_is_there(demonstration):
    root, done = demonstration
    for student, scores in EXPECTED.items():
        row = next(line for line in done.stdout.splitlines() if f"│ {student} " in line)
        for score, of in zip(scores, (5, 3), strict=True):
            assert (f"{score:g} of {of}" if score is not None else "—") in row
    paths = [
        line.split()[-1]
        for line in done.stdout.splitlines()
        if str(root) in line and "Mark the" not in line and "person" not in line
    ]
    assert len(paths) == 5
    assert all(pathlib.Path(path).exists() for path in paths)
    assert len(list((root / "feedback").rglob("*.html"))) == 30
    assert not list(root.rglob("PWNED*"))


# --- an evening -------------------------------------------------------------------------------------------------------

BY_HAND = {
    "ada": {"reflection_trick": 2, "reflection_dynamics": 1.5, "reflection_beta": 2.5},
    "sven": {"reflection_trick": 1},
}
ACCEPTED = 'c.GradeOutside.policies = {"kl_summed_over_batch": True}\n'
# Of the demonstration's class: marks that move and marks that stay, full marks, none, and what could not be marked.
FEW = {"ada", "boris", "eva", "finn", "gina", "jack", "sven"}


def only_these(root, students, to):
    """A copy of a course in which nobody else is."""
    others = {path.name for path in (root / "submitted").iterdir()} - students
    shutil.copytree(root, to, ignore=shutil.ignore_patterns(*others))
    with quiet(), Gradebook(f"sqlite:///{to}/gradebook.db") as gradebook:
        for student in others:
            gradebook.remove_student(student)
    return to


def said(html):
    """The text of HTML."""
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def shown_everywhere(root):
    """student → points so far, the same in gradebook, list of grades, report's table and page, or None where there are none.

    What nobody has marked is empty or said in words, and nowhere 0.
    """
    for command in ("feedback", "report"):
        assert run(command, cwd=root).returncode == 0, command
    Course(root).export(root / "grades.csv")
    with (root / "grades.csv").open() as file:
        grades = {row["student_id"]: row for row in csv.DictReader(file)}
    reported = {}
    with (root / "reports" / NAME / "report.csv").open() as file:
        for row in csv.DictReader(file):
            reported.setdefault(row["student"], []).append(row)
    found = {}
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        for submission in gradebook.assignment_submissions(NAME):
            student = submission.student_id
            cells = {grade.cell.name: grade for notebook in submission.notebooks for grade in notebook.grades}
            page = (root / "feedback" / student / NAME / f"{NAME}.html").read_text()
            total = said(re.search(r'class="total"[^>]*>(.*?)</p>', page, re.DOTALL)[1])
            waiting = {name for name, grade in cells.items() if grade.needs_manual_grade}
            points = [float(row["points"]) for row in reported[student] if row["points"]]
            assert waiting == set(grades[student]["not_yet_marked"].split()), student
            assert waiting >= {row["cell"] for row in reported[student] if row["state"] == "not yet marked"}, student
            assert all(grades[student][name] == "" for name in waiting), student
            assert said(page).count("not yet marked (of") >= len(waiting), student
            found[student] = float(grades[student]["score_so_far"]) if grades[student]["score_so_far"] else None
            if found[student] is None:
                assert total == "Not yet marked"
                assert points == []
                continue
            assert found[student] == submission.score == sum(points), student
            assert total == f"{found[student]:g} of 15 points" + (" so far" if waiting else "")
            assert grades[student]["score"] == ("" if waiting else str(found[student])), student
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need Debian's chromium: `make browser` installs it")
def test_sums_agree_everywhere_after_people_marked_and_marks_moved(demonstration, tmp_path, visit):  # noqa: F811
    root = only_these(demonstration[0], FEW, tmp_path / "course")
    course = Course(root)
    before = shown_everywhere(root)
    assert set(before) == FEW
    assert [student for student, points in before.items() if points is None] == ["jack"]
    with serving(root, tmp_path / "home") as formgrader:
        for student, points in BY_HAND.items():
            give(visit(page_of(formgrader, course, student)).page, points)
    assert "2 pages written, 5 were up to date" in run("feedback", cwd=root).stdout
    marked = shown_everywhere(root)
    assert marked == {**before, "ada": before["ada"] + 6, "sven": before["sven"] + 1}

    with (root / "nbgrader_config.py").open("a") as file:
        file.write(ACCEPTED)
    done = run("regrade", "--json", cwd=root)
    assert done.returncode == 3, done.stderr
    moves = {row["student"]: (row["before"], row["after"]) for row in map(json.loads, done.stdout.splitlines()) if row["moves"]}
    assert {"boris", "finn", "sven"} == set(moves)
    assert shown_everywhere(root) == marked  # nothing was recorded
    assert run("regrade", "--apply", "--reason", "Accepted.", cwd=root).returncode == 3
    moved = shown_everywhere(root)
    assert moved == {**marked, **{student: marked[student] + after - was for student, (was, after) in moves.items()}}
    given = {
        student: {id: own.cells[id].by_person for id in BY_HAND[student]}
        for student, own in course.marks(course.find(None)).items()
        if student in BY_HAND
    }
    assert given == BY_HAND
