"""What real courses do: assignments by other names, masters that were edited, and whatever lies in `submitted/`.

Each test is about a kind of trouble that instructors reported in public about a system that does this job.
"""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import alembic.command
import alembic.config
import nbformat
import pytest
import sqlalchemy
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.dbutil import ALEMBIC_DIR
from traitlets.config import Config

from autograder.course.fill import cell, fill
from autograder.course.folder import Course, known_failure, no_alembic
from autograder.course.release import make
from autograder.errors import CourseError, GradebookLocked, UnknownAssignment
from autograder.nbgrader import RELEASE, configuration, recognition, submitted
from autograder.vae_swiss_roll.samples import RIGHT, sampler
from tests.conftest import ORDINARY_USER, ROOT, with_python_open_to_all
from tests.test_cli import run
from tests.test_nbgrader import nbgrader

pytestmark = pytest.mark.sandboxed

OURS = "vae_swiss_roll"
VARIANCE = sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")
SPY = """
import contextlib, pathlib
with contextlib.suppress(OSError):  # the folder is not there in the sandbox
    pathlib.Path({path!r}).write_text('x')
"""


def new_course(root, name, notebook, master=None):
    """A course folder with our master under that name; `master(nb)` edits it."""
    shutil.copy(ROOT / "nbgrader_config.py", root)
    nb = nbformat.read(ROOT / "source" / OURS / f"{OURS}.ipynb", as_version=4)
    if master is not None:
        master(nb)
    path = root / "source" / name / f"{notebook}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nb, path)
    return root


def released(root, name, notebook):
    return nbformat.read(root / "notebooks" / name / f"{notebook}.ipynb", as_version=4)


def put(path, raw):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def answers(release, **others):
    return nbformat.writes(fill(release, {**RIGHT, **others})).encode()


def rows(root, name):
    """student → {cell: (automatic points, whether it waits for a person)}"""
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        return {
            submission.student_id: {
                grade.cell.name: (grade.auto_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(name)
        }


# --- any name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "notebook"), [("hw3", "vae_swiss_roll"), ("vae_swiss_roll", "Week 3"), ("Übung 3", "ps-3")])
def test_an_assignment_of_ours_is_marked_outside_under_any_name(name, notebook, tmp_path):
    root = new_course(tmp_path, name, notebook)
    assert run("release", name, cwd=root).returncode == 0
    spy = root / "PWNED"
    evil = {"vae_model": SPY.format(path=str(spy)) + VARIANCE}
    raw = answers(released(root, name, notebook), **evil)
    put(root / "submitted" / "ann" / name / f"{notebook}.ipynb", raw)
    # Without what shows whose it is.
    bare = nbformat.reads(raw.decode(), as_version=4)
    for c in bare.cells:
        c.metadata.pop("nbgrader", None)
    put(root / "submitted" / "ben" / name / f"{notebook}.ipynb", nbformat.writes(bare).encode())
    done = run("grade", name, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    by_grade = rows(root, name)
    assert {student: row["reparameterize"][0] for student, row in by_grade.items()} == {"ann": 4, "ben": 4}
    if name == "hw3":
        (root / "gradebook.db").unlink()
        for folder in ("autograded", ".autograder"):
            shutil.rmtree(root / folder)
        nbgrader(root, "generate_assignment", name)
        nbgrader(root, "autograde", name)
        assert rows(root, name) == by_grade
        nbgrader(root, "generate_feedback", name)
        page = (root / "feedback" / "ann" / name / f"{notebook}.html").read_text()
        assert "scaled by the variance" in page
        assert "autograder.stock" not in page
    assert not spy.exists()


def attacked(tmp_path):
    """(a course with a submission that writes a file where it can, that file)"""
    root = new_course(tmp_path, "hw3", "roll")
    nbgrader(root, "generate_assignment", "hw3")
    spy = root / "PWNED"
    evil = SPY.format(path=str(spy)) + VARIANCE
    put(root / "submitted/ann/hw3/roll.ipynb", answers(released(root, "hw3", "roll"), vae_model=evil))
    return root, spy


def test_the_gradebook_tells_what_is_ours_where_source_and_release_are_gone(tmp_path):
    root, spy = attacked(tmp_path)
    shutil.rmtree(root / "source")
    shutil.rmtree(root / "notebooks")
    nbgrader(root, "autograde", "hw3")
    assert rows(root, "hw3")["ann"]["reparameterize"] == (4, False)
    assert not spy.exists()


def test_the_only_assignment_of_a_course_needs_no_name_and_of_several_one_is_asked_for(tmp_path):
    coursedir = configuration.CourseDirectory(new_course(tmp_path, "hw3", "roll"), Config())
    found = recognition.in_course(coursedir)
    assert (found.name, found.assignment_id, found.notebook_id) == (OURS, "hw3", "roll")
    shutil.copytree(tmp_path / "source" / "hw3", tmp_path / "source" / "hw4")
    with pytest.raises(UnknownAssignment, match="name one of hw3, hw4"):
        recognition.in_course(coursedir)
    with pytest.raises(UnknownAssignment, match=r"There is no assignment 'hw5'\. Known: hw3, hw4\."):
        recognition.in_course(coursedir, "hw5")


def test_folders_are_found_where_nbgrader_finds_them(tmp_path):
    for own in ({}, {"directory_structure": "{assignment_id}/{nbgrader_step}/{student_id}", "source_directory": "masters"}):
        config = Config({"CourseDirectory": own})
        theirs = CourseDirectory(config=config, root=str(tmp_path))
        ours = configuration.CourseDirectory(tmp_path, config)
        assert ours.format_path(ours.source_directory, ".", "hw3") == str(
            pathlib.Path(theirs.format_path(theirs.source_directory, ".", "hw3"))
        )
        assert (ours.db_url, ours.release_directory) == (theirs.db_url, theirs.release_directory)


def test_what_is_ours_and_cannot_be_marked_is_never_executed(tmp_path):
    root, spy = attacked(tmp_path)
    source = root / "source/hw3/roll.ipynb"
    nb = nbformat.read(source, as_version=4)
    nb.cells.remove(cell(nb, "kl_divergence"))
    nbformat.write(nb, source)
    put(root / "autograded/marked-before/hw3/roll.ipynb", nbformat.writes(nb).encode())
    for command, nothing in (
        ("autograde", "nobody was marked"),
        ("generate_feedback", "no page was written"),
        ("generate_assignment", "nothing was released"),
    ):
        said = nbgrader(root, command, "hw3", status=2)
        assert f"This cannot be done; {nothing}. " in said
        assert "The cell `kl_divergence` is missing" in said
        assert "Traceback" not in said
    source.write_text(source.read_text()[:5000])
    assert "cannot be read as a notebook" in nbgrader(root, "autograde", "hw3", status=2)
    # Of an assignment whose package is not installed.
    for c in nb.cells:
        if data := c.metadata.get("nbgrader"):
            data["grade_id"] = f"another_{data['grade_id']}"
    nbformat.write(nb, source)
    assert "install its package" in nbgrader(root, "autograde", "hw3", status=2)
    assert not spy.exists()
    assert [path.name for path in (root / "autograded").iterdir()] == ["marked-before"]


# --- the course's own master -----------------------------------------------------------------------------------------


def question(grade_id):
    """A written answer of the instructor's own."""
    new = nbformat.v4.new_markdown_cell("### BEGIN SOLUTION\n**Model answer:** because.\n### END SOLUTION")
    new.metadata["nbgrader"] = {
        "grade": True, "grade_id": grade_id, "locked": False, "points": 2, "schema_version": 3, "solution": True, "task": False,
    }  # fmt: skip
    return new


def edit(nb):
    cell(nb, "reparameterize").metadata.nbgrader["points"] = 10
    cell(nb, "kl_divergence").metadata.nbgrader["points"] = 3.1  # a third of it is no binary fraction
    cell(nb, "reparameterize").source = "# Ask at the office hours on Monday.\n" + cell(nb, "reparameterize").source
    nb.cells.append(nbformat.v4.new_markdown_cell("## And now\n\nWhy?"))
    nb.cells.append(question("why"))


def test_the_masters_that_a_course_edits_counts_for_students_marks_and_markers(tmp_path):
    root = new_course(tmp_path, "hw3", "roll", edit)
    done = run("release", "hw3", cwd=root)
    assert done.returncode == 0, done.stderr
    release = released(root, "hw3", "roll")
    put(root / "submitted/ann/hw3/roll.ipynb", answers(release, vae_model=VARIANCE, why="Because I say so."))
    done = run("grade", "hw3", "--json", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["cells"]["reparameterize"] == {"score": 8.0, "max_score": 10.0}
    assert verdict["notes"] == []  # nobody is told that they changed what the instructor changed
    assert rows(root, "hw3")["ann"]["reparameterize"] == (8, False)
    assert rows(root, "hw3")["ann"]["kl_divergence"] == (3.1, False)
    assert rows(root, "hw3")["ann"]["why"] == (None, True)
    marked = nbformat.read(root / "autograded/ann/hw3/roll.ipynb", as_version=4)
    assert "office hours" in cell(marked, "reparameterize").source
    assert "because." in marked.cells[marked.cells.index(cell(marked, "why")) - 1].source
    # The same from `check` in the course folder, and from nbgrader.
    assert json.loads(run("check", "--json", root / "submitted/ann/hw3/roll.ipynb", cwd=root).stdout)["score"] == pytest.approx(
        11.1
    )
    assert "10 points" in run("rubric", cwd=root).stdout
    by_grade = rows(root, "hw3")
    nbgrader(root, "autograde", "hw3", "--force")
    assert rows(root, "hw3") == by_grade
    # Edited once more, and not released again.
    source = root / "source/hw3/roll.ipynb"
    nb = nbformat.read(source, as_version=4)
    cell(nb, "why").metadata.nbgrader["points"] = 3
    nbformat.write(nb, source)
    done = run("grade", "hw3", cwd=root)
    assert done.returncode == 2
    assert "why: the master notebook was edited after its release" in " ".join(done.stderr.split())
    assert "edited after its release" in nbgrader(root, "autograde", "hw3", "--force", status=2)
    assert rows(root, "hw3") == by_grade


def test_a_second_notebook_of_the_assignment_is_marked_as_ever(tmp_path):
    root = new_course(tmp_path, "hw3", "roll")
    test = nbformat.v4.new_code_cell("assert answer == 42")
    test.metadata["nbgrader"] = {**question("t").metadata["nbgrader"], "locked": True, "solution": False}
    theory = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("answer = 42"), test])
    theory.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    put(root / "source/hw3/theory.ipynb", nbformat.writes(theory).encode())
    run("release", "hw3", cwd=root)
    put(root / "submitted/ann/hw3/roll.ipynb", answers(released(root, "hw3", "roll")))
    put(root / "submitted/ann/hw3/theory.ipynb", (root / "notebooks/hw3/theory.ipynb").read_bytes())
    put(root / "submitted/ben/hw3/theory.ipynb", (root / "notebooks/hw3/theory.ipynb").read_bytes())
    run("grade", "hw3", cwd=root)
    by_grade = rows(root, "hw3")
    assert (by_grade["ann"]["t"], by_grade["ann"]["reparameterize"]) == ((2, False), (5, False))
    assert (by_grade["ben"]["t"], by_grade["ben"]["reparameterize"]) == ((2, False), (None, True))
    nbgrader(root, "autograde", "hw3", "--force")
    assert rows(root, "hw3") == by_grade


def test_an_old_master_whose_cells_have_no_ids_is_known_too(tmp_path):
    root = new_course(tmp_path, "hw3", "roll")
    path = root / "source/hw3/roll.ipynb"
    nb = json.loads(path.read_text())
    nb["nbformat_minor"] = 4
    for c in nb["cells"]:
        del c["id"]
    path.write_text(json.dumps(nb))
    course = Course(root)
    found = course.find("hw3")
    assert (found.name, found.test_cells) == (OURS, ["reparameterize", "kl_divergence"])
    assert make(course, found)[1] == []


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda nb: nb.cells.remove(cell(nb, "reparameterize")), "The cell `reparameterize` is missing"),
        (lambda nb: cell(nb, "vae_loss").metadata.nbgrader.update(solution=False, locked=True), "must be to be answered"),
        (lambda nb: cell(nb, "vae_loss").update(source="pass"), "`vae_loss` must define compute_vae_loss"),
        (
            lambda nb: cell(nb, "kl_divergence").update(cell_type="markdown"),
            "The cell `kl_divergence` is markdown, and must be code.",
        ),
    ],
)
def test_release_says_what_of_a_master_must_not_be_changed(spoil, sentence, tmp_path):
    root = new_course(tmp_path, "hw3", "roll", spoil)
    done = run("release", "hw3", cwd=root)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sentence in nbgrader(root, "generate_assignment", "hw3", status=2)
    assert not (root / "notebooks").exists()


def test_a_course_may_name_its_own_helpers_as_it_likes(tmp_path):
    def rename(nb):
        for c in nb.cells:
            c.source = c.source.replace("numbers_to_compare", "what_to_compare").replace("claims_of_task_1", "claims_1")

    root = new_course(tmp_path, "hw3", "roll", rename)
    course = Course(root)
    assert "claims_1" in make(course, course.find("hw3"))[0].read_text()


def test_release_asks_for_the_sections_that_feedback_points_to_and_for_checks_of_what_is_marked(tmp_path):
    def rename(nb):
        for c in nb.cells:
            c.source = c.source.replace("### Task 1 (5 points)", "### Exercise A")

    root = new_course(tmp_path, "hw3", "roll", rename)
    course = Course(root)
    with pytest.raises(CourseError, match="the sections “Task 1”, which the notebook lacks"):
        make(course, course.find("hw3"))
    nb = nbformat.read(root / "source/hw3/roll.ipynb", as_version=4)
    own = nbformat.v4.new_code_cell("assert True")
    own.metadata["nbgrader"] = {**question("own_test").metadata["nbgrader"], "locked": True, "solution": False}
    nb.cells.append(own)
    nbformat.write(nb, root / "source/hw3/roll.ipynb")
    with pytest.raises(CourseError, match="`own_test` is to be marked by machine, and there is no hidden check for it"):
        course.find("hw3")


def test_releases_of_other_assignments_are_stock_nbgraders(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    for name, language, kernel in (("r", "R", "ir"), ("python", "python", "python3")):
        code = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nx <- 1\n### END SOLUTION")
        code.metadata["nbgrader"] = {**question("task").metadata["nbgrader"], "grade": False}
        nb = nbformat.v4.new_notebook(cells=[code])
        nb.metadata["kernelspec"] = {"name": kernel, "display_name": language, "language": language}
        put(tmp_path / "source" / name / f"{name}.ipynb", nbformat.writes(nb).encode())
        nbgrader(tmp_path, "generate_assignment", name)
        released_here = released(tmp_path, name, name)
        assert "YOUR CODE HERE" in released_here.cells[0].source
    path = tmp_path / "notebooks/r/r.ipynb"
    path.write_text("kept")
    assert "Skipping existing" in nbgrader(tmp_path, "generate_assignment", "r")
    assert path.read_text() == "kept"


def test_the_steps_of_a_release_are_nbgraders_but_for_the_stubs():
    ours = [name.rpartition(".")[2] for name in RELEASE["GenerateAssignment"]["preprocessors"]]
    assert ours == [step.__name__ for step in GenerateAssignment().preprocessors]


# --- everything under submitted/ -------------------------------------------------------------------------------------


@pytest.fixture
def hw3(tmp_path, assignment):
    """(nbgrader's course directory, our assignment as that course calls it)"""
    coursedir = CourseDirectory(root=str(tmp_path), config=Config())
    return coursedir, dataclasses.replace(assignment, assignment_id="hw3", notebook_id="roll")


@pytest.fixture
def found(tmp_path, hw3):
    """`found(make)` → what `look` finds after `make(folder of the student bob)`; the assignment is called hw3."""
    shutil.copytree(ROOT / "source" / OURS, tmp_path / "source" / "hw3")
    (tmp_path / "source" / "hw1").mkdir()

    def look(make):
        bob = tmp_path / "submitted" / "bob"
        bob.mkdir(parents=True)
        make(bob)
        return submitted.look(*hw3)

    return look


NOTEBOOK = (ROOT / "notebooks" / OURS / f"{OURS}.ipynb").read_bytes()
OTHER = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Another course's.")])).encode()


def beside(path, raw=NOTEBOOK, older=True):
    """A second file next to one that is there already, changed before or after it."""
    put(path, raw)
    os.utime(path, (1, 1) if older else None)


TAKEN = {
    "as it should be": (lambda bob: put(bob / "hw3/roll.ipynb", NOTEBOOK), "hw3/roll.ipynb", ""),
    "numbered": (lambda bob: put(bob / "hw3/roll-1.ipynb", NOTEBOOK), "hw3/roll-1.ipynb", "roll-1.ipynb counts"),
    "one folder too deep": (lambda bob: put(bob / "hw3/hw3/roll.ipynb", NOTEBOOK), "hw3/hw3/roll.ipynb", "counts"),
    "one too high": (lambda bob: put(bob / "roll.ipynb", NOTEBOOK), "roll.ipynb", "../roll.ipynb counts"),
    "folder's case": (lambda bob: put(bob / "HW3/roll.ipynb", NOTEBOOK), "HW3/roll.ipynb", "counts"),
    "text": (lambda bob: put(bob / "hw3/roll.ipynb.txt", NOTEBOOK), "hw3/roll.ipynb.txt", "counts"),
    "a folder of that name": (
        lambda bob: put(bob / "hw3/roll.ipynb/roll.ipynb", NOTEBOOK), "hw3/roll.ipynb/roll.ipynb", "counts",
    ),
    "one that is ours": (
        lambda bob: (put(bob / "hw3/a.ipynb", OTHER), put(bob / "hw3/b.ipynb", NOTEBOOK)), "hw3/b.ipynb", "counts",
    ),
    "an older copy": (
        lambda bob: (put(bob / "hw3/roll.ipynb", NOTEBOOK), beside(bob / "hw3/roll (1).ipynb", NOTEBOOK + b"\n")),
        "hw3/roll.ipynb", "",
    ),
    "a newer copy": (
        lambda bob: (beside(bob / "hw3/roll.ipynb"), beside(bob / "hw3/roll (1).ipynb", NOTEBOOK + b"\n", older=False)),
        "hw3/roll.ipynb", "roll (1).ipynb, beside it, is newer",
    ),
    "an odd time": (
        lambda bob: (put(bob / "hw3/roll.ipynb", NOTEBOOK), put(bob / "hw3/timestamp.txt", b"last Tuesday")),
        "hw3/roll.ipynb", "says “last Tuesday”, which is no date and time",
    ),
    "a time of the student's own": (
        lambda bob: (put(bob / "hw3/x/roll.ipynb", NOTEBOOK), put(bob / "hw3/x/timestamp.txt", b"2020-01-01")),
        "hw3/x/roll.ipynb", "counts",
    ),
    "checkpoints": (
        lambda bob: (
            put(bob / "hw3/roll.ipynb", NOTEBOOK),
            beside(bob / "hw3/.ipynb_checkpoints/roll-checkpoint.ipynb", OTHER, older=False),
        ),
        "hw3/roll.ipynb", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_the_obvious_notebook_is_taken_with_a_note(case, found):
    make, path, note = TAKEN[case]
    (handed_in,) = found(make)
    assert str(handed_in.path).endswith(f"bob/{path}")
    assert (note in handed_in.note) if note else not handed_in.note
    assert handed_in.read().startswith(NOTEBOOK)
    assert handed_in.timestamp is None


NOT_TAKEN = {
    "two": (lambda bob: (put(bob / "hw3/a.ipynb", NOTEBOOK), put(bob / "hw3/b.ipynb", NOTEBOOK)), "None of a.ipynb, b.ipynb"),
    "none": (lambda bob: put(bob / "hw3/roll.html", b"<p>"), "There is no notebook, but roll.html: ask the student"),
    "empty": (lambda bob: (bob / "hw3").mkdir(), "The folder is empty"),
    "a time alone": (lambda bob: put(bob / "hw3/timestamp.txt", b"2026-10-05 11:30:00"), "The folder is empty"),
    "a name in another encoding": (
        lambda bob: put(bob / "hw3" / os.fsdecode(b"L\xf6sung.pdf"), b""), "There is no notebook, but L\ufffdsung.pdf",
    ),
    "folders too deep in each other": (lambda bob: (bob / "hw3" / ("a/" * 30)).mkdir(parents=True), "or folders in folders"),
    "a broken link": (
        lambda bob: ((bob / "hw3").mkdir(), (bob / "hw3/roll.ipynb").symlink_to("/nowhere")), "is a link, and links are not",
    ),
    "a link to elsewhere": (
        lambda bob: ((bob / "hw3").mkdir(), (bob / "hw3/roll.ipynb").symlink_to(ROOT / "notebooks")), "is a link",
    ),
    "a pipe": (lambda bob: ((bob / "hw3").mkdir(), os.mkfifo(bob / "hw3/roll.ipynb")), "no notebook, but roll.ipynb"),
    "thousands": (
        lambda bob: [put(bob / f"hw3/{n}.txt", b"") for n in range(submitted.MAX_ENTRIES + 1)], "more than 2000 files",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_where_nothing_can_be_taken_it_is_said_what_to_do(case, found):
    make, sentence = NOT_TAKEN[case]
    (handed_in,) = found(make)
    assert (handed_in.path, handed_in.is_students) == (None, True)
    assert sentence in handed_in.problem


def test_a_stray_file_is_named_and_whoever_handed_in_another_assignment_is_not(found, tmp_path):
    put(tmp_path / "submitted" / "kim.ipynb", NOTEBOOK)
    (stray,) = found(lambda bob: put(bob / "hw1" / "roll.ipynb", OTHER))
    assert (stray.student, stray.is_students) == ("kim.ipynb", False)
    assert "Put each student's notebook at submitted/STUDENT/hw3/roll.ipynb" in stray.problem


@pytest.mark.parametrize("empty", [False, True])
def test_a_notebook_among_those_of_another_assignment_is_named_with_its_student(empty, found, hw3, tmp_path):
    def make(bob):
        put(bob / "hw1" / "part 2" / "mine.ipynb", NOTEBOOK)
        if empty:
            (bob / "hw3").mkdir()

    (handed_in,) = found(make)
    assert (handed_in.student, handed_in.path) == ("bob", None)
    assert handed_in.problem == (
        "hw1/part 2/mine.ipynb in bob's folder is a notebook of hw3, and lies with another assignment: "
        "if it is meant, put it at bob/hw3/roll.ipynb."
    )
    # Where the other assignment has the same cells, it is that one's.
    put(tmp_path / "source" / "hw1" / "twin.ipynb", NOTEBOOK)
    assert [other.problem[:19] for other in submitted.look(*hw3)] == (["The folder is empty"] if empty else [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(found):
    (handed_in,) = found(lambda bob: put(bob / "hw3/roll.ipynb", NOTEBOOK).chmod(0))
    assert "roll.ipynb cannot be read: Permission denied" in handed_in.problem


def test_links_and_whatever_is_too_large_are_not_put_beside_the_code(found, hw3, tmp_path, monkeypatch):
    secret = put(tmp_path / "secret.txt", b"secret")

    def make(bob):
        put(bob / "hw3/roll.ipynb", NOTEBOOK)
        put(bob / "hw3/helpers.py", b"x = 1")
        put(bob / "hw3/large.csv", b"1" * 1000)
        (bob / "hw3/link.txt").symlink_to(secret)
        (bob / "hw3/folder").symlink_to(tmp_path)

    (handed_in,) = found(make)
    monkeypatch.setattr(submitted, "MAX_FILE_BYTES", 500)
    assert submitted.files_beside(*hw3, handed_in.path) == {"helpers.py": b"x = 1"}
    staged = submitted.stage(*hw3, handed_in)
    assert [path.name for path in staged] == ["roll.ipynb"]
    assert {path.name for path in staged[0].parent.rglob("*")} == {"roll.ipynb", "helpers.py", "large.csv"}


def test_names_that_say_what_a_database_would_stop_nobody(found, hw3):
    def make(bob):
        put(bob / "hw3/x.ipynb", NOTEBOOK)
        put(bob / "hw3/roll.ipynb/database is locked/a.txt", b"")
        put(bob / "hw3" / ("long" * 60) / "b.txt", b"")
        put(bob / "hw3" / "x\nOSError: [Errno 28] No space left on device", b"")

    (handed_in,) = found(make)
    (staged,) = submitted.stage(*hw3, handed_in)
    assert staged.read_bytes() == NOTEBOOK
    for said in ("NotADirectoryError: [Errno 20] Not a directory: 'roll.ipynb/database is locked'", "x autograder.errors.Y: z"):
        assert known_failure(said) is None


def test_the_courses_own_files_are_there_but_for_those_that_it_keeps(found, hw3, tmp_path):
    for name in ("data.csv", "private/answers.csv", "edit.py"):
        put(tmp_path / "source" / "hw3" / name, b"ours")
    (handed_in,) = found(lambda bob: [put(bob / "hw3" / name, NOTEBOOK) for name in ("roll.ipynb", "data.csv", "edit.py")])
    coursedir, ours = hw3
    coursedir.config.Autograde.exclude_overwriting = {"hw3": ["edit.py"]}
    coursedir.ignore = [*coursedir.ignore, "private*"]
    assert submitted.files_beside(coursedir, ours, handed_in.path) == {"data.csv": b"ours", "edit.py": NOTEBOOK}


# --- a class ---------------------------------------------------------------------------------------------------------

ODD = [
    "[x]",
    "a*",
    "b?",
    "numbered",
    "deep",
    "older",
    "link",
    "stray",
    "empty",
    "time",
    "folder",
    "colab",
    "beside",
    "twice",
    "cuda",
]


def hand_in(root, student, raw, odd=None):
    """Puts a submission where a student who does that odd thing would."""
    folder = root / "submitted" / student / "hw3"
    if odd == "numbered":
        put(folder / "roll-1.ipynb", raw)
    elif odd == "deep":
        put(folder / "hw3" / "roll.ipynb", raw)
    elif odd == "link":
        folder.mkdir(parents=True)
        (folder / "roll.ipynb").symlink_to("/nowhere")
    elif odd == "stray":
        put(folder.parent.with_suffix(".ipynb"), raw)
    elif odd == "empty":
        folder.mkdir(parents=True)
    elif odd == "folder":
        put(folder / "roll.ipynb" / "roll.ipynb", raw)
    else:
        put(folder / "roll.ipynb", raw)
    if odd == "older":
        beside(folder / "roll.ipynb", raw)
        put(folder / "roll (1).ipynb", raw + b"\n")
    if odd == "time":
        put(folder / "timestamp.txt", b"on the train")
    if odd == "beside":
        put(folder / "helpers.py", b"import torch\ndef std(logvar):\n    return torch.exp(0.5 * logvar)\n")


def content(release, odd):
    """What such a student hands in: (bytes, points)."""
    if odd == "colab":
        nb = fill(release, RIGHT)
        own = cell(nb, "vae_model")
        own.source = f"from google.colab import drive\n{own.source}"
        return nbformat.writes(nb).encode(), 8
    if odd == "beside":
        nb = fill(release, {**RIGHT, "vae_model": sampler("return mu + std(logvar) * torch.randn_like(mu)")})
        cell(nb, "vae_model").source = "from helpers import std\n" + cell(nb, "vae_model").source
        return nbformat.writes(nb).encode(), 8
    if odd == "twice":
        nb = fill(release, RIGHT)
        nb.cells.append(nbformat.v4.new_code_cell("class VAE: pass"))
        nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")), nbformat.v4.new_code_cell("class VAE(nn.Module): pass"))
        return nbformat.writes(nb).encode(), 8
    if odd == "cuda":
        nb = fill(release, RIGHT)
        nb.cells[2].source += "\ntorch.set_default_device('cuda')"
        return nbformat.writes(nb).encode(), 8
    return answers(release, vae_model=VARIANCE), 7


@pytest.fixture(scope="module")
def odd_class(tmp_path_factory):
    """A course called hw3 with 6 honest students and 15 with one oddity each. → (root, student → points or None)"""
    root = new_course(tmp_path_factory.mktemp("odd"), "hw3", "roll")
    assert run("release", "hw3", cwd=root).returncode == 0
    release, expected = released(root, "hw3", "roll"), {}
    honest = [(answers(release), 8), (answers(release, vae_model=VARIANCE), 7), (nbformat.writes(release).encode(), 0)]
    for number in range(6):
        raw, expected[f"s{number:02}"] = honest[number % 3]
        hand_in(root, f"s{number:02}", raw)
    for number, odd in enumerate(ODD):
        student = odd if len(odd) <= 3 else f"t{number:02}"
        raw, points = content(release, odd)
        hand_in(root, student, raw, odd)
        if odd != "stray":
            expected[student] = None if odd in ("link", "empty") else points
    return root, expected


def machine_points(root):
    """student → points by machine, None where a person has to look."""
    points = {}
    for student, row in rows(root, "hw3").items():
        found = [row[name] for name in ("reparameterize", "kl_divergence")]
        points[student] = None if any(waits for _, waits in found) else sum(score for score, _ in found)
    return points


def test_everybody_in_a_class_with_every_oddity_is_accounted_for_both_ways(odd_class, tmp_path):
    root, expected = odd_class
    shutil.copytree(root, tmp_path, dirs_exist_ok=True, symlinks=True)
    done = run("grade", "hw3", cwd=root)
    assert done.returncode == 1, done.stderr
    assert machine_points(root) == expected
    assert "21 submissions" in done.stdout
    for words in ("roll-1.ipynb counts", "roll (1).ipynb, beside it, is newer", "says “on the train”", "is a link",
                  "This is a file where the students' folders are"):  # fmt: skip
        assert words in done.stdout
    said = nbgrader(tmp_path, "autograde", "hw3")
    assert machine_points(tmp_path) == expected
    assert rows(tmp_path, "hw3") == rows(root, "hw3")
    assert "roll-1.ipynb counts" in said
    nbgrader(root, "generate_feedback", "hw3")
    assert {path.parent.parent.name for path in root.glob("feedback/*/hw3/roll.html")} == expected.keys()
    assert not list((root / "feedback").rglob("helpers.py"))
    beside = f"submitted/t{ODD.index('beside'):02}/hw3/roll.ipynb"
    assert json.loads(run("check", "--json", beside, cwd=root).stdout)["score"] == 8


# --- time ------------------------------------------------------------------------------------------------------------


def lateness(root):
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        submission = gradebook.find_submission("hw3", "ann")
        return submission.total_seconds_late, submission.late_submission_penalty


def test_a_deadline_that_moves_and_a_newer_timestamp_are_seen(tmp_path):
    root = new_course(tmp_path, "hw3", "roll")
    with (root / "nbgrader_config.py").open("a") as config:
        config.write("c.LateSubmissionPlugin.penalty_method = 'zero'\n")
    run("release", "hw3", cwd=root)
    put(root / "submitted/ann/hw3/roll.ipynb", answers(released(root, "hw3", "roll")))
    put(root / "submitted/ann/hw3/timestamp.txt", b"2026-01-02 12:00:00 UTC")

    def due(date):
        with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
            gradebook.update_or_create_assignment("hw3", duedate=date)

    due("2026-01-01 12:00:00 UTC")
    run("grade", "hw3", cwd=root)
    assert lateness(root) == (24 * 3600, 8)
    marked = {path: path.stat().st_mtime_ns for path in root.rglob("*.json.gz")}
    due("2026-01-03 12:00:00 UTC")
    done = run("grade", "hw3", cwd=root)
    assert "1 of them known from before" in " ".join(done.stdout.split())
    assert lateness(root) == (0, 0)
    put(root / "submitted/ann/hw3/timestamp.txt", b"2026-01-03 13:00:00 UTC")
    run("grade", "hw3", cwd=root)
    assert lateness(root) == (3600, 8)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.json.gz")} == marked
    shown = (root / "autograded/ann/hw3/roll.ipynb").stat().st_mtime_ns
    # Where nothing is to be marked, nothing of what marks is started, nor imported.
    spy = tmp_path / "torch was imported"
    (tmp_path / "torch.py").write_text(f"open({str(spy)!r}, 'w')")
    command = [pathlib.Path(sys.executable).parent / "autograder", "grade", "hw3"]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert (done.returncode, spy.exists()) == (0, False), done.stderr
    assert (root / "autograded/ann/hw3/roll.ipynb").stat().st_mtime_ns == shown


# --- the grader's own failures ---------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """A course with two students, released."""
    root = new_course(tmp_path, "hw3", "roll")
    with (root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.CourseDirectory.db_url = 'sqlite:///{root}/gradebook.db?timeout=0.2'\n")
    run("release", "hw3", cwd=root)
    for student in ("ann", "ben"):
        put(root / f"submitted/{student}/hw3/roll.ipynb", answers(released(root, "hw3", "roll")))
    return root


def test_a_new_gradebook_has_the_version_that_alembic_gives_it(tmp_path, monkeypatch):
    """Without a program of that name: `nbgrader db upgrade` goes on from there."""
    asked = alembic.config.Config(stdout=io.StringIO())
    asked.set_main_option("script_location", ALEMBIC_DIR)
    alembic.command.heads(asked)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(api, "get_alembic_version", lambda: pytest.fail("nbgrader starts the program"))
    with no_alembic(), Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        found = gradebook.db.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    assert asked.stdout.getvalue() == f"{found} (head)\n"


def test_a_locked_gradebook_stops_the_run_and_the_same_command_goes_on(two):
    locked = sqlite3.connect(two / "gradebook.db")
    locked.execute("BEGIN EXCLUSIVE")
    done = run("grade", "hw3", cwd=two)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "Another program (formgrader, another run) is writing to the gradebook" in said
    assert "Traceback" not in said
    locked.rollback()
    locked.close()
    assert run("grade", "hw3", cwd=two).returncode == 0
    assert len(rows(two, "hw3")) == 2


def test_an_old_gradebook_is_told_with_its_repair(two):
    with sqlite3.connect(two / "gradebook.db") as gradebook:
        gradebook.execute("ALTER TABLE submitted_assignment DROP COLUMN extension")
    done = run("grade", "hw3", cwd=two)
    assert done.returncode == 2
    assert "run `nbgrader db upgrade`" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a small disk")
def test_a_full_disk_is_told_and_what_was_recorded_stays(two):
    command = pathlib.Path(sys.executable).parent / "autograder"
    script = (
        f"mkdir -p autograded && mount -t tmpfs -o size=60k tmpfs autograded && {command} grade hw3 --workers 1; code=$?; "
        "ls autograded > recorded; exit $code"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=two, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert "The disk is full: make room. Then give the same command again" in said
    assert "Traceback" not in said


def test_what_went_wrong_is_told_in_one_sentence():
    for said, words in (
        ("sqlalchemy.exc.OperationalError: (psycopg.OperationalError) server closed the connection", "does not answer"),
        ("sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such column: x", "nbgrader db upgrade"),
        ("OSError: [Errno 28] No space left on device: 'x'", "The disk is full"),
        ("sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database", "The gradebook is damaged"),
    ):
        assert words in str(known_failure(f"a\n{said}\nb"))
    locked = "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked"
    assert isinstance(known_failure(locked), GradebookLocked)
    assert known_failure("something else") is None


@pytest.mark.parametrize(
    ("encoding", "words", "shown"),
    [("ascii", ["check", "Übung.ipynb"], b"0 of 8"), ("latin-1", ["rubric"], b"no more than 0.1% of ? and 0.0002")],
    ids=["table in ascii", "text in latin-1"],
)
def test_output_that_a_terminal_cannot_show_ends_nothing(encoding, words, shown, tmp_path):
    put(tmp_path / "Übung.ipynb", NOTEBOOK)
    command = pathlib.Path(sys.executable).parent / "autograder"
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([command, *words], cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


# --- as an ordinary user ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_nothing_runs_outside_as_an_ordinary_user_either():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "course"
        root.mkdir()
        shutil.copy(ROOT / "nbgrader_config.py", root)
        spy = SPY.format(path=str(root / "PWNED"))
        for name, notebook in (("hw3", OURS), (OURS, "Week 3"), ("Übung 3", "ps-3")):
            put(root / "source" / name / f"{notebook}.ipynb", (ROOT / "source" / OURS / f"{OURS}.ipynb").read_bytes())
            nb = fill(nbformat.reads(NOTEBOOK.decode(), as_version=4), {**RIGHT, "vae_model": spy + VARIANCE})
            for c in nb.cells:
                c.metadata.pop("nbgrader", None)
            put(root / "submitted" / "ann" / name / f"{notebook}.ipynb", nbformat.writes(nb).encode())
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
        code = f"""
            import os, pathlib, sys
            os.chdir({str(root)!r})
            os.environ["HOME"] = {folder!r}
            import autograder.course.release
            import autograder.nbgrader.autograde
            import autograder.vae_swiss_roll.student
            from autograder import assignment, cli
            from autograder.sandbox.outside.warm import Zygote
            from nbgrader.apps import nbgraderapp
            operations = assignment.load({OURS!r}).operations
            warm = Zygote.start(operations)  # one for all commands; each forks its sandbox from it
            for name in ("hw3", {OURS!r}, "Übung 3"):
                for main, *words in ((cli.main, "autograder", "release"), (nbgraderapp.main, "nbgrader", "autograde")):
                    sys.argv = [*words, name]
                    child = os.fork()
                    if child == 0:
                        try:
                            Zygote.adopt(operations, warm.twin())
                            main()
                        except SystemExit as error:
                            os._exit(error.code or 0)
                        os._exit(0)
                    assert os.waitpid(child, 0)[1] == 0, (words, name)
            print(sorted(str(path) for path in pathlib.Path("autograded").glob("*/*/*.ipynb")), pathlib.Path("PWNED").exists())
        """
        done = with_python_open_to_all(code, ORDINARY_USER, {"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.splitlines()[-1].count(".ipynb") == 3
        assert done.stdout.strip().endswith("False")
        for name in ("hw3", OURS, "Übung 3"):
            assert rows(root, name)["ann"]["reparameterize"] == (4, False)
