"""From a learning management system and back, by commands: collected, marked, marks in its own sheet, feedback packed."""

import csv
import datetime
import io
import re
import shutil
import zipfile

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course.fill import fill
from autograder.lms.sheets import Sheet
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler
from tests.conftest import ROOT
from tests.lms import CLASS, NOTEBOOK, SHEETS, ZIPS, HandedIn, packed
from tests.test_cli import run
from tests.test_nbgrader import nbgrader

pytestmark = pytest.mark.sandboxed

NAME = "hw3"
DEADLINES = 'timezone = "UTC"\nper_day = 1\n\n[hw3]\ndue = 2026-10-05 12:00:00\n'
LATE = datetime.datetime(2026, 10, 6, 13, 0)  # two days begun
VARIANCE = sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")
TO_FILL = {"canvas": 5, "moodle": 4, "brightspace": 5, "blackboard": 6, "gradescope": 5}


def submissions(release):
    """What the class of twelve hands in: one twice, one late, one no notebook, one half of it, and one nothing."""
    right = nbformat.writes(fill(release, {**RIGHT, **WRITTEN})).encode()
    wrong = nbformat.writes(fill(release, {**RIGHT, **WRITTEN, "vae_model": VARIANCE})).encode()
    by = {s.login: s for s in CLASS}
    found = [HandedIn(by["ada"], {NOTEBOOK: wrong}, datetime.datetime(2026, 10, 5, 9, 0))]
    for login in ("ada", "pat.oneil@uni.example", "jdm", "jose", "wang", "asmith1", "00123"):
        found.append(HandedIn(by[login], {NOTEBOOK: right}))
    found.append(HandedIn(by["asmith2"], {NOTEBOOK: wrong}))
    found.append(HandedIn(by["zoe"], {NOTEBOOK: right}, LATE, late=True))
    found.append(HandedIn(by["olga"], {NOTEBOOK: right[:4000]}))
    found.append(HandedIn(by["noor"], {"essay.pdf": b"%PDF-1.7"}))
    return found


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A course with hw3 released; and the kept results of what is handed in, so that each is run once for all systems."""
    root = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    master = ROOT / "source/vae_swiss_roll/vae_swiss_roll.ipynb"
    (root / "source/hw3").mkdir(parents=True)
    shutil.copy(master, root / "source/hw3" / NOTEBOOK)
    (root / "deadlines.toml").write_text(DEADLINES)
    for command in ("release", "deadline"):
        done = run(command, NAME, cwd=root)
        assert done.returncode == 0, done.stderr
    return root


def mark_answers(root, points, but):
    """A person gives points to each written answer, but of whom is named."""
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        for submission in gradebook.assignment_submissions(NAME):
            for grade in submission.notebooks[0].grades if submission.student_id not in but else ():
                if grade.cell.name.startswith("reflection"):
                    grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.db.commit()


def table(data, like):
    text = data[len(like.bom) :].decode(like.encoding)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=like.separator))


# What the sheets hold at the end: 8 by machine, 7 for the variance, and three answers with 1 each.
MARKS = {
    "ada": "11", "pat.oneil@uni.example": "11", "jdm": "11", "zoe": "11", "jose": "11", "wang": "", "mlk": "", "asmith1": "11",
    "asmith2": "10", "olga": "", "00123": "11", "noor": "",
}  # fmt: skip


def shown_in_the_docs(system):
    """The column of a system in the table of docs/returning.md."""
    page = (ROOT / "docs/returning.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| .+`.+ \|$", page, re.MULTILINE)]
    class_ = [row for row in rows if len(row) == 7]
    at = 2 + ["canvas", "moodle", "brightspace", "blackboard", "gradescope"].index(system)
    return [row[at] for row in class_]


def nothing_changes_the_second_time(root, data, path):
    """Nor by nbgrader's own command.

    Args:
        data: the filled sheet.
        path: of the zip.
    """
    again = run("export", NAME, "--into", "sheet.filled.csv", cwd=root)
    assert again.returncode == 0
    assert (root / "sheet.filled.csv").read_bytes() == data
    assert not (root / "sheet.filled.filled.csv").exists()
    into = ["--exporter", "autograder.nbgrader.export.IntoSheet", "--IntoSheet.sheet=sheet.csv"]
    nbgrader(root, "export", *into, "--to", "theirs.csv")
    assert (root / "theirs.csv").read_bytes() == data
    first = path.read_bytes()
    run("return", NAME, cwd=root)
    assert path.read_bytes() == first
    run("return", NAME, "--marked", cwd=root)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 8


# That a system tells: it is two. Canvas says LATE and no time, Moodle's download neither.
DAYS_LATE = {"canvas": 1, "moodle": 0, "brightspace": 2, "blackboard": 2, "gradescope": 2}

# Brightspace names by nothing but first and last name, and two have the same.
WHO = {"brightspace": ["--who", "4108-2557369 - Alex Smith=asmith1", "--who", "4109-2557369 - Alex Smith=asmith2"]}


@pytest.mark.parametrize("system", SHEETS)
def test_a_class_comes_from_a_system_and_goes_back_to_it(released, release, system, tmp_path_factory, tmp_path):
    root = shutil.copytree(released, tmp_path / "course")
    kept = tmp_path_factory.getbasetemp() / "kept"
    if kept.is_dir():
        shutil.copytree(kept, root / ".autograder", dirs_exist_ok=True)
    raw = SHEETS[system]()
    (root / "sheet.csv").write_bytes(raw)
    packed(ZIPS[system](submissions(release)), root / "submissions.zip")
    collect = ["collect", "submissions.zip", NAME, "--roster", "sheet.csv", "--timezone", "UTC"]
    done = run(*collect, *WHO.get(system, []), cwd=root)
    assert done.returncode == 1, done.stdout + done.stderr  # noor's file needs a person
    ids = {s.login: s.email if system == "moodle" else s.login for s in CLASS}
    came = {path.name for path in (root / "submitted").iterdir()}
    assert came == set(ids.values()) - {ids["mlk"]}
    done = run("grade", NAME, cwd=root)
    assert done.returncode == 1, done.stdout + done.stderr  # olga's broke off
    shutil.copytree(root / ".autograder", kept, dirs_exist_ok=True)
    mark_answers(root, 1, but={ids["wang"]})

    done = run("export", NAME, "--into", "sheet.csv", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "sheet.csv").read_bytes() == raw
    like, data = Sheet.read(root / "sheet.csv"), (root / "sheet.filled.csv").read_bytes()
    before, after = table(raw, like), table(data, like)
    filled = {s.login: after[row][TO_FILL[system]] for s, row in zip(CLASS, like.students, strict=True)}
    assert filled == {**MARKS, "zoe": f"{11 - DAYS_LATE[system]}"}
    assert shown_in_the_docs(system) == list(filled.values())
    touched = {TO_FILL[system], *([9] if system == "moodle" else [])}
    assert [[c for at, c in enumerate(row) if at not in touched] for row in before] == [
        [c for at, c in enumerate(row) if at not in touched] for row in after
    ]
    if system == "moodle":
        assert after[1][9].startswith("11 of 15 points. Task 1")

    done = run("return", NAME, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 answers wait for a person" in " ".join(done.stdout.split())
    (path,) = (root / "returned" / NAME).iterdir()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert len(names) == len(came) == 11
        for name in names:
            assert archive.read(name).startswith(b"<!DOCTYPE html>")
    handed_in = set(ZIPS[system](submissions(release)))
    if system == "canvas":
        assert path.name == "canvas.zip"
        numbers = {re.match(r".+?_\d+_\d+_", name)[0] for name in handed_in}
        assert set(names) == {f"{each}feedback-hw3.html" for each in numbers}
    elif system in ("moodle", "brightspace"):
        assert path.name == f"{system}.zip"
        assert {name.replace("hw3.html", "") for name in names} < {
            name.removesuffix(file) for name in handed_in for file in (NOTEBOOK, "essay.pdf")
        }
    else:
        assert path.name == "students.zip"
        assert {name.split("/")[0] for name in names} == came
    if system == "canvas":
        nothing_changes_the_second_time(root, data, path)
