"""`autograder init`: from an empty folder to a marked class with the wheel and no clone; and in a course that is there."""

import csv
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from autograder.course import init
from autograder.course.fill import cell, fill
from autograder.errors import CourseError
from autograder.nbgrader import configuration
from autograder.vae_swiss_roll.samples import RIGHT, sampler
from tests import commands
from tests.conftest import ROOT, with_the_wheel_alone

THEIRS = """\
config = get_config()
config.CourseDirectory.course_id = "theirs"
config.ClearSolutions.text_stub = "TODO\"
"""


# --- the installed wheel ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`installed(program, *arguments, cwd=...)` runs a program in an environment that has our wheel and no clone of ours."""
    python, env = with_the_wheel_alone(tmp_path_factory.mktemp("installed"))

    def run(program, *arguments, cwd, status=0):
        command = {"autograder": [python.parent / "autograder"]}.get(program, [python, "-m", program])
        done = subprocess.run([*command, *arguments], cwd=cwd, env=env, text=True, input="", capture_output=True, timeout=600)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    return run


# Whatever of ours a student's code can find below the folders that Python knows, by name.
SEARCH = """
import os, sys
found = [
    os.path.join(at, name)
    for top in {sys.prefix, *sys.path, "/tmp", "/home"}
    for at, _, names in os.walk(top) for name in names
    if "/autograder/" in f"{at}/" or "/my-course/" in f"{at}/" or name.startswith(("hw3.", "vae_swiss_roll."))
]
print("FOUND", found)
"""


@pytest.mark.sandboxed
def test_an_empty_folder_becomes_a_marked_class_with_the_wheel_alone(installed, tmp_path):
    said = installed("autograder", "init", "my-course", "--as", "hw3", cwd=tmp_path)
    course = tmp_path / "my-course"
    for path in ("nbgrader_config.py", "source/hw3/hw3.ipynb", "release/hw3/hw3.ipynb", "gradebook.db", "submitted"):
        assert f"made  my-course/{path}" in said
        assert (course / path).exists()
    assert "autograder grade hw3" in said
    assert course.stat().st_mode & 0o077 == 0

    release = nbformat.read(course / "release/hw3/hw3.ipynb", as_version=4)
    curious = fill(release, {**RIGHT, "vae_model": sampler("return mu + logvar.exp() * torch.randn_like(mu)")})
    curious.cells.insert(curious.cells.index(cell(curious, "vae_model")), new_code_cell(SEARCH))
    for student, nb in {"ada": fill(release, RIGHT), "curious": curious, "gina": release}.items():
        path = course / "submitted" / student / "hw3/hw3.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(nb, path)
    installed("autograder", "grade", "hw3", cwd=course)
    installed("autograder", "feedback", "hw3", cwd=course)
    installed("nbgrader", "export", cwd=course)

    rows = {row["student_id"]: row for row in csv.DictReader((course / "grades.csv").read_text(encoding="utf-8").splitlines())}
    assert {student: float(row["score_so_far"]) for student, row in rows.items()} == {"ada": 8, "curious": 7, "gina": 0}
    assert len(list((course / "feedback").rglob("*.html"))) == 3
    (printed,) = [
        output.text
        for one in nbformat.read(course / "autograded/curious/hw3/hw3.ipynb", as_version=4).cells
        if one.cell_type == "code"
        for output in one.outputs
        if output.get("text", "").startswith("FOUND")
    ]
    assert printed == "FOUND []\n"

    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.GradeOutside.points = {")
    said = installed("nbgrader", "autograde", "hw3", "--force", cwd=course, status=2)
    assert "A setting is wrong; nothing was done." in said


# --- a course that is there ------------------------------------------------------------------------------------------


def stock(*arguments, cwd):
    """Runs nbgrader's own command, which looks for alembic on the PATH."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    return commands.run("nbgrader", *arguments, cwd=cwd, env={**os.environ, "PATH": path})


def run(*arguments, cwd, status=0):
    done = commands.run("autograder", *arguments, cwd=cwd, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == status, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def files(root):
    """path → bytes of everything in a course, but for nbgrader's log."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "gradebook.db"}


@pytest.fixture(scope="module")
def of_theirs(tmp_path_factory):
    """A course with an assignment that is none of ours, released with stock nbgrader."""
    root = tmp_path_factory.mktemp("theirs")
    (root / "nbgrader_config.py").write_text(THEIRS)
    task = new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION")
    task.metadata["nbgrader"] = {
        "grade": False, "grade_id": "task", "locked": False, "schema_version": 3, "solution": True, "task": False,
    }  # fmt: skip
    nb = nbformat.v4.new_notebook(cells=[task])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (root / "source/hw1").mkdir(parents=True)
    nbformat.write(nb, root / "source/hw1/hw1.ipynb")
    done = stock("generate_assignment", "hw1", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def theirs(of_theirs, tmp_path):
    return pathlib.Path(shutil.copytree(of_theirs, tmp_path / "theirs"))


def test_a_course_that_is_there_is_shown_the_lines_and_stays_as_it_is(theirs):
    before = files(theirs)
    said = run("init", ".", "--as", "hw3", cwd=theirs, status=1)
    assert "nothing was made" in said
    assert " ".join(init.LINES.split()) in said
    assert "--add-lines" in said
    assert files(theirs) == before


@pytest.mark.parametrize("end", ["\n", "\r\n", ""], ids=["line ends", "of Windows", "none at the end"])
def test_the_lines_come_to_the_end_and_nothing_else_of_the_course_changes(theirs, end):
    config = theirs / "nbgrader_config.py"
    config.write_bytes((THEIRS.rstrip().replace("\n", end or "\n") + end).encode())
    before = files(theirs)
    said = run("init", ".", "--as", "hw3", "--add-lines", cwd=theirs)
    assert "made nbgrader_config.py" in said
    now = files(theirs)
    assert {path: now[path] for path in before if path != config} == {p: raw for p, raw in before.items() if p != config}
    assert now[config].startswith(before[config].rstrip())
    assert now[config].count(b"\r\n") in (0, now[config].count(b"\n"))
    read = configuration.read(theirs)
    assert (read.CourseDirectory.course_id, read.ClearSolutions.text_stub) == ("theirs", "TODO")
    assert cell(nbformat.read(theirs / "release/hw3/hw3.ipynb", as_version=4), "reflection_trick").source == "TODO"


def test_releases_of_other_assignments_keep_their_stubs_and_are_not_overwritten(theirs):
    run("init", ".", "--as", "hw3", "--add-lines", cwd=theirs)
    released = theirs / "release/hw1/hw1.ipynb"
    before = released.read_bytes()
    assert b"YOUR CODE HERE" in before
    released.write_bytes(before + b" ")
    again = stock("generate_assignment", "hw1", cwd=theirs)
    assert "Skipping existing assignment" in again.stderr
    assert released.read_bytes() == before + b" "
    done = stock("generate_assignment", "hw1", "--force", cwd=theirs)
    assert done.returncode == 0, done.stderr
    (theirs_now,), (theirs_then,) = nbformat.read(released, 4).cells, nbformat.reads(before.decode(), 4).cells
    assert theirs_now.source == theirs_then.source


def test_what_is_there_is_kept_and_what_is_missing_made_anew(theirs):
    run("init", ".", "--as", "hw3", "--add-lines", cwd=theirs)
    for path in ("source/hw3/hw3.ipynb", "release/hw3/hw3.ipynb"):
        nb = nbformat.read(theirs / path, as_version=4)
        nb.cells[0].source += f"\n\nThis course's own words, in the {path.split('/')[0]}."
        nbformat.write(nb, theirs / path)
    before = files(theirs)
    said = run("init", ".", "--as", "hw3", cwd=theirs)
    assert "made" not in said.split("Next:")[0]
    assert said.count("was there") == 4
    assert files(theirs) == before
    (theirs / "release/hw3/hw3.ipynb").unlink()
    said = run("init", ".", "--as", "hw3", cwd=theirs)
    assert "made release/hw3/hw3.ipynb" in said
    assert "This course's own words, in the source." in (theirs / "release/hw3/hw3.ipynb").read_text(encoding="utf-8")


def test_a_name_that_another_assignment_has_is_refused_before_anything_is_written(theirs):
    before = files(theirs)
    for name, sentence in (
        ("hw1", "This course has another assignment called hw1: name this one otherwise with --as."),
        ("a/b", "'a/b' is no name for an assignment"),
        ("..", "'..' is no name for an assignment"),
    ):
        assert sentence in run("init", ".", "--as", name, "--add-lines", cwd=theirs, status=2).replace("│ ", "").replace(
            " │", ""
        )
    shutil.rmtree(theirs / "source/hw1")  # the gradebook has it still
    assert "another assignment called hw1" in run("init", ".", "--as", "hw1", "--add-lines", cwd=theirs, status=2)
    assert files(theirs).items() < before.items()


def test_a_name_with_a_space_is_quoted_in_the_commands_that_come_next(theirs):
    assert "autograder grade 'hw 3'" in run("init", ".", "--as", "hw 3", "--add-lines", cwd=theirs)


def test_the_commands_that_come_next_are_those_of_an_evening(theirs):
    """In their order, with the sheet of the course where it is needed."""
    done = commands.run("autograder", "init", ".", "--as", "hw3", "--add-lines", cwd=theirs)
    shown = [line.split("  ")[0].split() for line in map(str.strip, done.stdout.split("Next:")[1].splitlines()) if line]
    page = (ROOT / "docs/evening.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    evening = [line.split() for line in blocks.splitlines() if not line.startswith("autograder init")]
    assert [command[:2] for command in shown[1:]] == [command[:2] for command in evening[1:]]
    for option in ("--roster", "--into", "--due", "--timezone"):
        assert [option in command for command in shown] == [option in command for command in evening]


def test_a_configuration_that_does_not_take_our_lines_is_put_back(tmp_path, assignment):
    path = tmp_path / "nbgrader_config.py"
    path.write_text("c = get_config()\nget_config = None\n")
    before = path.read_bytes()
    with pytest.raises(
        CourseError, match=r"does not take our lines at its end \(.*line 6: TypeError.*put them into it by hand"
    ):
        init.begin(init.look(tmp_path, assignment, "hw3"))
    assert files(tmp_path) == {path: before}


def test_lists_that_a_course_sets_itself_are_named(theirs):
    with (theirs / "nbgrader_config.py").open("a") as config:
        config.write('config.Autograde.autograde_preprocessors = ["nbgrader.preprocessors.Execute"]\n')
    said = run("init", ".", "--as", "hw3", "--add-lines", cwd=theirs)
    assert "The configuration sets c.Autograde.autograde_preprocessors itself: put our parts into it by hand" in said


def test_a_master_inside_its_package_is_copied_without_the_hidden_checks(tmp_path, assignment):
    package = tmp_path / "package"
    (package / "checks").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "checks/secret.py").touch()
    shutil.copy(assignment.path, package / "master.ipynb")
    init.copy_source(dataclasses.replace(assignment, path=package / "master.ipynb"), tmp_path / "source/hw3/hw3.ipynb")
    assert [path.name for path in files(tmp_path / "source")] == ["hw3.ipynb"]


def test_beside_a_master_that_is_made_anew_nothing_is_overwritten(tmp_path, assignment):
    for folder in ("ours", "source/hw3"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "data.csv").write_text(folder)
    (tmp_path / "ours/more.csv").touch()
    shutil.copy(assignment.path, tmp_path / "ours/master.ipynb")
    init.copy_source(dataclasses.replace(assignment, path=tmp_path / "ours/master.ipynb"), tmp_path / "source/hw3/hw3.ipynb")
    assert {path.name for path in files(tmp_path / "source")} == {"data.csv", "hw3.ipynb", "more.csv"}
    assert (tmp_path / "source/hw3/data.csv").read_text() == "source/hw3"
