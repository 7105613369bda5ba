"""What real courses do: assignments by other names, masters that were edited, and whatever lies in `submitted/`.

Each test is about a kind of trouble that instructors reported in public about a system that does this job.
"""

import json
import pathlib
import shutil

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course.fill import cell, fill
from autograder.course.folder import Course
from autograder.course.release import make
from autograder.errors import CourseError, UnknownAssignment
from autograder.nbgrader import RELEASE, configuration, recognition
from autograder.vae_swiss_roll.samples import RIGHT, sampler
from tests.conftest import ROOT
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


def test_the_gradebook_tells_what_is_ours_where_source_and_release_are_gone(tmp_path):
    root = new_course(tmp_path, "hw3", "roll")
    nbgrader(root, "generate_assignment", "hw3")
    spy = root / "PWNED"
    put(
        root / "submitted/ann/hw3/roll.ipynb",
        answers(released(root, "hw3", "roll"), vae_model=SPY.format(path=str(spy)) + VARIANCE),
    )
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
    def without_a_test_cell(nb):
        nb.cells = [c for c in nb.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "kl_divergence"]

    root = new_course(tmp_path, "hw3", "roll")
    nbgrader(root, "generate_assignment", "hw3")
    spy = root / "PWNED"
    put(
        root / "submitted/ann/hw3/roll.ipynb",
        answers(released(root, "hw3", "roll"), vae_model=SPY.format(path=str(spy)) + VARIANCE),
    )
    source = root / "source/hw3/roll.ipynb"
    nb = nbformat.read(source, as_version=4)
    without_a_test_cell(nb)
    nbformat.write(nb, source)
    said = nbgrader(root, "autograde", "hw3", status=2)
    assert "The cell `kl_divergence` is missing" in said
    source.write_text(source.read_text()[:5000])
    assert "cannot be read as a notebook" in nbgrader(root, "autograde", "hw3", status=2)
    # Of an assignment whose package is not installed.
    for c in nb.cells:
        if data := c.metadata.get("nbgrader"):
            data["grade_id"] = f"another_{data['grade_id']}"
    nbformat.write(nb, source)
    assert "install its package" in nbgrader(root, "autograde", "hw3", status=2)
    assert not spy.exists()
    assert not (root / "autograded").exists()


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
    assert rows(root, "hw3")["ann"]["why"] == (None, True)
    marked = nbformat.read(root / "autograded/ann/hw3/roll.ipynb", as_version=4)
    assert "office hours" in cell(marked, "reparameterize").source
    assert "because." in marked.cells[marked.cells.index(cell(marked, "why")) - 1].source
    # The same from `check` in the course folder, and from nbgrader.
    assert json.loads(run("check", "--json", root / "submitted/ann/hw3/roll.ipynb", cwd=root).stdout)["score"] == 11
    assert "10 points" in run("rubric", cwd=root).stdout
    by_grade = rows(root, "hw3")
    nbgrader(root, "autograde", "hw3", "--force")
    assert rows(root, "hw3") == by_grade


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
