"""nbgrader's own commands, in a fresh clone: the release is there, the gradebook is not."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook
from traitlets.config import Config

from autograder.course.fill import cell, fill
from autograder.nbgrader import autograde, configure
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler
from tests import commands
from tests.conftest import ROOT

pytestmark = pytest.mark.sandboxed

NAME = "vae_swiss_roll"
HARMLESS = ("data.csv", "curve.png")
ACTIVE = ("page.html", "Figure.SVG", "page.xhtml", "feed.rss", "page.htm")
HALF = sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")


def nbgrader(course, *arguments, status=0, **variables):
    """Runs an nbgrader command in the course folder; its output."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    done = commands.run("nbgrader", *arguments, cwd=course, env={**os.environ, "PATH": path, **variables})
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def hand_in(course, student, raw):
    path = course / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)


def grades(course, student):
    """name → (automatic score, needs a person) as the gradebook has it."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        submission = gradebook.find_submission_notebook(NAME, NAME, student)
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in submission.grades}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A marked class in a clone: one good, one half right with figures and answers, one untouched, one broken file."""
    root = tmp_path_factory.mktemp("clone")
    for part in ("source", "notebooks"):
        shutil.copytree(ROOT / part, root / part)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    released = nbformat.read(root / "notebooks" / NAME / f"{NAME}.ipynb", as_version=4)
    assert "Skipping" not in nbgrader(root, "generate_assignment", NAME)
    hand_in(root, "good", nbformat.writes(fill(released, RIGHT)).encode())
    half = fill(released, {**RIGHT, **WRITTEN, "vae_model": HALF})
    figure = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/html": "<script>alert(1)</script>"})
    cell(half, "experiment_beta").outputs = [figure]
    hand_in(root, "half", nbformat.writes(half).encode())
    beside = root / "submitted" / "half" / NAME
    (beside / "more").mkdir()
    for number, name in enumerate(HARMLESS + ACTIVE):
        (beside / "more" / name if number % 2 else beside / name).write_text("<script>alert(1)</script>")
    hand_in(root, "untouched", nbformat.writes(released).encode())
    hand_in(root, "broken", b'{"cells": [{"cell_type"')
    nbgrader(root, "autograde", NAME)
    assert "not recognized" not in nbgrader(root, "generate_feedback", NAME)
    nbgrader(root, "export")
    return root


def test_partial_credit_and_open_answers_are_in_the_gradebook(course):
    assert grades(course, "good") == {
        "reparameterize": (5, False),
        "kl_divergence": (3, False),
        "reflection_trick": (0, False),
        "reflection_dynamics": (0, False),
        "reflection_beta": (0, False),
    }
    half = grades(course, "half")
    assert half["reparameterize"] == (4, False)
    assert all(half[answer] == (None, True) for answer in ("reflection_trick", "reflection_dynamics", "reflection_beta"))
    assert {score for score, _ in grades(course, "untouched").values()} == {0}


def test_what_cannot_be_read_waits_for_a_person_and_stops_nobody(course):
    assert set(grades(course, "broken").values()) == {(None, True)}
    page = (course / "feedback" / "broken" / NAME / f"{NAME}.html").read_text()
    assert "could not be marked" in page


def test_the_exported_grades_are_those_of_the_gradebook(course):
    with (course / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    columns = ("score", "score_so_far", "reparameterize", "reparameterize.scale", "reflection_beta")
    assert {student: tuple(row[column] for column in columns) for student, row in rows.items()} == {
        "good": ("8.0", "8.0", "5.0", "1.0", "0.0"),
        "half": ("", "7.0", "4.0", "0.0", ""),
        "untouched": ("0.0", "0.0", "0.0", "0.0", "0.0"),
        "broken": ("", "", "", "", ""),
    }
    assert rows["half"]["not_yet_marked"] == "reflection_beta reflection_dynamics reflection_trick"


def test_feedback_shows_a_sentence_per_check_and_nothing_hidden(course):
    page = (course / "feedback" / "half" / NAME / f"{NAME}.html").read_text()
    lost = BeautifulSoup(page, "html.parser").select_one(".lost")
    assert "Lost: scaled by the standard deviation 0 of 1" in " ".join(lost.get_text().split())
    assert "Your noise is scaled by the variance" in page
    for secret in ("HIDDEN TESTS", "autograder.stock", "Marking scheme", "Model answer", "alert(1)"):
        assert secret not in page
    assert not list((course / "feedback" / "half").rglob("*.py"))


def test_the_copy_for_the_person_who_marks_shows_scheme_and_figures(course):
    marked = nbformat.read(course / "autograded" / "half" / NAME / f"{NAME}.ipynb", as_version=4)
    for grade_id in WRITTEN:
        answer = cell(marked, grade_id)
        scheme = marked.cells[marked.cells.index(answer) - 1]
        assert "**Marking scheme" in scheme.source
        assert "**Model answer" in scheme.source
        assert answer.source == WRITTEN[grade_id]
    assert cell(marked, "experiment_beta").outputs[0].data == {"image/png": "iVBORw0KGgo="}


def test_formgrader_gets_no_file_beside_a_notebook_that_a_browser_would_run(course):
    copied = {path.name for path in (course / "autograded" / "half").rglob("*") if path.is_file()}
    assert copied == {f"{NAME}.ipynb", *HARMLESS}
    handed_in = {path.name for path in (course / "submitted" / "half").rglob("*") if path.is_file()}
    assert handed_in == {f"{NAME}.ipynb", *HARMLESS, *ACTIVE}


def test_marking_again_changes_nothing(course):
    before = grades(course, "half")
    nbgrader(course, "autograde", NAME, "--student", "half", "--force")
    assert grades(course, "half") == before


def test_a_sandbox_that_is_not_there_ends_the_command_once(course, tmp_path):
    shutil.copytree(course, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / ".autograder")  # what was marked before
    (tmp_path / "bin").mkdir()
    env = {**os.environ, "PATH": str(tmp_path / "bin")}
    done = commands.run("nbgrader", "autograde", NAME, "--force", cwd=tmp_path, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert said.count("and all that follow were not marked") == 1
    assert "bubblewrap" in said
    assert "Traceback" not in said
    # Nobody counts as marked who is not: without --force, the same command marks those who are left.
    nbgrader(tmp_path, "autograde", NAME)
    assert grades(tmp_path, "half") == grades(course, "half")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('c.GradeOutside.device = "tpu"', "c.GradeOutside.device names 'tpu', which does not exist. Known: auto, cpu, cuda."),
        ("c.GradeOutside.pionts = {}", "c.GradeOutside.pionts, which does not exist."),
        ("c.GradeOutsid.points = {}", "sets c.GradeOutsid, which nothing reads: c.GradeOutside is meant."),
        (
            'c.Autograde.autograde_preprocessors = ["nbgrader.preprocessors.SaveAutoGrades"]',
            "c.Autograde.autograde_preprocessors lacks autograder.nbgrader.autograde.GradeOutside",
        ),
        (
            'c.Autograde.autograde_preprocessors.insert(0, "nbgrader.preprocessors.Execute")',
            "c.Autograde.autograde_preprocessors has Execute, which runs students' code without a sandbox",
        ),
        (
            'c.Autograde.sanitize_preprocessors.append("nbconvert.preprocessors.ExecutePreprocessor")',
            "c.Autograde.sanitize_preprocessors has ExecutePreprocessor, which runs",
        ),
        (
            'c.Autograde.autograde_preprocessors.append("nbgrader.preprocessors.SaveGrades")',
            "c.Autograde.autograde_preprocessors names nbgrader.preprocessors.SaveGrades, which cannot be imported",
        ),
    ],
)
def test_a_wrong_setting_is_told_once_before_any_student_is_touched(line, sentence, course, tmp_path):
    shutil.copytree(course, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "nbgrader_config.py").open("a") as config:
        config.write(f"\n{line}\n")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "autograded").rglob("*")}
    said = nbgrader(tmp_path, "autograde", NAME, "--force", status=2)
    assert said.count(sentence) == 1
    assert "A setting is wrong; nobody was marked." in said
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "autograded").rglob("*")} == before
    if "c.GradeOutside" in line:
        for command in ("generate_assignment", "generate_feedback"):
            assert nbgrader(tmp_path, command, NAME, "--force", status=2).count(sentence) == 1


BROKEN = {
    "c.GradeOutside.points = {": "'{' was never closed",
    "c.Exchange.root = folder": "NameError: name 'folder' is not defined",
}


@pytest.mark.parametrize("line", BROKEN)
def test_what_nbgrader_cannot_read_it_does_not_go_on_without(line, course, tmp_path):
    """In the course's folder or from elsewhere: one sentence, with the line, and that is all."""
    root, good, elsewhere, home = (tmp_path / name for name in ("course", "good", "elsewhere", "home"))
    for copy in (root, good):
        shutil.copytree(course, copy)
    elsewhere.mkdir()
    number = len((root / "nbgrader_config.py").read_text().splitlines()) + 1
    with (root / "nbgrader_config.py").open("a") as config:
        config.write(f"{line}\n")
    before = contents(root), contents(good)
    where = f"{root / 'nbgrader_config.py'}, line {number}: {BROKEN[line]}"
    for folder, nothing, *command in (
        (root, "nothing was done", "autograde"),
        (root, "nothing was done", "generate_feedback"),
        (root, "nothing was done", "generate_assignment"),
        (elsewhere, "nothing was done", "autograde", f"--CourseDirectory.root={root}"),
        # Where the other file is read, ours are in force.
        (good, "nobody was marked", "autograde", f"--CourseDirectory.root={root}"),
        (good, "no page was written", "generate_feedback", f"--CourseDirectory.root={root}"),
        (root, "nothing was released", "generate_assignment", f"--CourseDirectory.root={good}"),
    ):
        said = nbgrader(folder, *command, NAME, "--force", status=2)
        assert said.count(f"A setting is wrong; {nothing}. {where}") == 1
        assert "Converting notebook" not in said
    home.mkdir()
    theirs = shutil.copy(root / "nbgrader_config.py", home)  # what a user has for all courses
    said = nbgrader(good, "autograde", NAME, "--force", status=2, JUPYTER_CONFIG_DIR=str(home))
    assert said.count(f"A setting is wrong; nobody was marked. {theirs}, line {number}: {BROKEN[line]}") == 1
    assert (contents(root), contents(good)) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# formgrader's server, started in another folder than the course's, and what it does at each of two clicks.
FORMGRADER = """
import os, pathlib, sys
from nbgrader.apps.api import NbGraderAPI
from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension

name, config, mended = sys.argv[1:]
server = FormgradeExtension()
server.root_dir = os.getcwd()
server.initialize([])
for click in range(2):
    server.coursedir.parent.load_config_file()
    api = NbGraderAPI(server.coursedir, server.authenticator, parent=server.coursedir.parent)
    print(api.autograde(name, "half", force=True).get("log"))
    pathlib.Path(config).write_text(mended)
print(api.generate_feedback(name, "half", force=True).get("log"))
"""


@pytest.mark.parametrize("broken", [True, False])
def test_formgrader_elsewhere_marks_as_the_course_says_or_says_why_not(broken, course, tmp_path):
    root, home = tmp_path / "course", tmp_path / "home"
    shutil.copytree(course, root)
    home.mkdir()
    (home / "nbgrader_config.py").write_text(f"c = get_config()\nc.CourseDirectory.root = {str(root)!r}\n")
    config = root / "nbgrader_config.py"
    text = config.read_text()
    if broken:
        config.write_text(text + "c.GradeOutside.points = {\n")
    before = contents(root) | {config: text.encode()}
    done = subprocess.run(
        [sys.executable, "-c", FORMGRADER, NAME, config, text],
        cwd=home,
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(home)},
        text=True,
        capture_output=True,
        check=True,
    )
    if broken:
        assert done.stdout.count("'{' was never closed") == 1
        assert done.stdout.count(f"{config} could not be read when this program (formgrader: Jupyter) started.") == 2
        assert {path: content for path, content in contents(root).items() if path.name != "gradebook.db"} == {
            path: content for path, content in before.items() if path.name != "gradebook.db"
        }
    else:
        assert "[ERROR]" not in done.stdout
        assert "Feedback for half" in (root / "feedback/half" / NAME / f"{NAME}.html").read_text()
    assert grades(root, "half") == grades(course, "half")


def test_what_the_user_has_for_all_courses_puts_marking_into_them(course, tmp_path):
    root, home = tmp_path / "course", tmp_path / "home"
    shutil.copytree(course, root)
    home.mkdir()
    (root / "nbgrader_config.py").rename(home / "nbgrader_config.py")
    said = nbgrader(root, "autograde", NAME, "--student", "half", "--force", JUPYTER_CONFIG_DIR=str(home))
    assert "Collisions" not in said
    assert grades(root, "half") == grades(course, "half")
    marked = (root / "autograded/half" / NAME / f"{NAME}.ipynb").read_text()
    assert "ran inside the notebook's own kernel" not in marked


def test_without_the_exporter_that_tells_whose_it_is_nothing_of_ours_is_run(course, tmp_path):
    shutil.copytree(course, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "nbgrader_config.py").open("a") as config:
        config.write("\nc.Autograde.exporter_class = 'nbconvert.exporters.NotebookExporter'\n")
    said = nbgrader(tmp_path, "autograde", NAME, "--force", status=2)
    assert said.count("c.Autograde.exporter_class is NotebookExporter, and must be") == 1


def test_pages_of_what_came_through_the_exchange_go_back_through_it(course, tmp_path):
    root, exchange = tmp_path / "clone", tmp_path / "exchange"
    shutil.copytree(course, root)
    exchange.mkdir()
    exchange.chmod(0o777)
    with (root / "nbgrader_config.py").open("a") as config:
        config.write(f"\nc.CourseDirectory.course_id = 'vae'\nc.Exchange.root = {str(exchange)!r}\n")
    for name, text in (("timestamp.txt", "2026-01-02 12:00:00 UTC"), ("submission_secret.txt", "secret")):
        (root / "submitted" / "half" / NAME / name).write_text(text)
    for command in (("autograde", "--force"), ("generate_feedback", "--force"), ("release_feedback",)):
        nbgrader(root, *command, NAME, "--student", "half")
    page = root / "feedback" / "half" / NAME / f"{NAME}.html"
    (released,) = (exchange / "vae" / "feedback").glob("*.html")
    assert released.read_bytes() == page.read_bytes()
    assert {path.name for path in page.parent.rglob("*") if path.is_file()} == {
        page.name,
        "timestamp.txt",
        "submission_secret.txt",
    }


def test_what_a_course_sets_itself_stays_before_and_after_the_one_line():
    for order in ("own, configure", "configure, own"):
        c = Config()
        steps = {"own": lambda c=c: c.ClearSolutions.update(text_stub="Here."), "configure": lambda c=c: configure(c)}
        for step in order.split(", "):
            steps[step]()
        assert c.ClearSolutions.text_stub == "Here."
        assert c.Autograde.autograde_preprocessors[0].endswith("GradeOutside")


def test_a_stock_nbgrader_gives_the_same_marks_and_says_that_it_is_less_secure(tmp_path):
    shutil.copytree(ROOT / "source", tmp_path / "source")
    (tmp_path / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.course_id = "stock"\n')
    nbgrader(tmp_path, "generate_assignment", NAME)
    released = nbformat.read(tmp_path / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    noisy = HALF.replace(
        "    return", "    import os, warnings\n    warnings.warn('a warning')\n    os.write(2, b'a line')\n    return"
    )
    marked = fill(released, {**RIGHT, "vae_model": noisy})
    # What follows the test cells takes stock nbgrader a minute and has no part in the mark.
    keep = marked.cells.index(cell(marked, "kl_divergence"))
    marked.cells = [c for i, c in enumerate(marked.cells) if i <= keep or "nbgrader" in c.metadata]
    hand_in(tmp_path, "half", nbformat.writes(marked).encode())
    hand_in(tmp_path, "untouched", nbformat.writes(nbformat.v4.new_notebook(cells=[
        c for c in released.cells if "nbgrader" in c.metadata or c.id in ("set-up-code", "drawing-helpers-code", "data-code")
    ], metadata=released.metadata)).encode())  # fmt: skip
    nbgrader(tmp_path, "autograde", NAME)
    assert grades(tmp_path, "half")["reparameterize"][0] == 4
    assert grades(tmp_path, "half")["kl_divergence"][0] == 3
    assert grades(tmp_path, "untouched")["reparameterize"][0] == 0
    assert grades(tmp_path, "untouched")["kl_divergence"][0] == 0
    text = json.dumps(nbformat.read(tmp_path / "autograded" / "half" / NAME / f"{NAME}.ipynb", as_version=4))
    assert "ran inside the notebook's own kernel" in text


def test_other_assignments_of_the_course_are_marked_as_stock_nbgrader_does(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    test = nbformat.v4.new_code_cell("assert answer == 42")
    test.metadata["nbgrader"] = {
        "grade": True, "grade_id": "t", "locked": True, "points": 2, "schema_version": 3, "solution": False, "task": False,
    }  # fmt: skip
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("answer = 42"), test])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "source" / "other" / "other.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nb, path)
    (path.parent / "figure.svg").write_text("<svg/>")
    nbgrader(tmp_path, "generate_assignment", "other")
    assert (tmp_path / "notebooks" / "other" / "figure.svg").exists()
    (tmp_path / "submitted" / "ann").mkdir(parents=True)
    shutil.copytree(tmp_path / "notebooks" / "other", tmp_path / "submitted" / "ann" / "other")
    nbgrader(tmp_path, "autograde", "other")
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        assert gradebook.find_submission("other", "ann").score == 2
    # Of a course that has nothing of ours, nbgrader goes on without what it cannot read, as it does where we are not installed.
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = undefined\n")
    said = nbgrader(tmp_path, "autograde", "other", "--force")
    assert "Exception while loading config file" in said
    nbgrader(tmp_path, "generate_feedback", "other")
    assert (tmp_path / "feedback/ann/other/other.html").exists()


def test_a_submission_is_recorded_whole_or_not_at_all(tmp_path):
    def opened():
        return Gradebook(f"sqlite:///{tmp_path}/gradebook.db")

    def known():
        with opened() as gradebook:
            return [student.id for student in gradebook.students]

    def recorded_by_half(gradebook):
        with autograde.one_transaction(gradebook):
            gradebook.add_student("ada")  # which commits
            assert [student.id for student in gradebook.students] == ["ada"]
            raise ZeroDivisionError

    with opened() as gradebook, pytest.raises(ZeroDivisionError):
        recorded_by_half(gradebook)
    assert known() == []
    with opened() as gradebook:
        with autograde.one_transaction(gradebook):
            gradebook.add_student("ada")
            assert known() == []
        assert known() == ["ada"]
        gradebook.add_student("bea")
        assert known() == ["ada", "bea"]
