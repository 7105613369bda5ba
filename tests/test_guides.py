"""`docs/evening.md` and `docs/jupyterhub.md`, followed to the letter: their commands run in order, in an empty folder."""

import os
import re
import shlex
import zipfile

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.course.fill import fill
from autograder.lms.sheets import Sheet
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler
from tests import commands
from tests.conftest import ROOT
from tests.lms import CLASS, HandedIn, moodle_files, moodle_sheet, packed
from tests.test_new_assignment import lines
from tests.test_project import are_packages_we_depend_on

pytestmark = pytest.mark.sandboxed

PAGES = {name: (ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("evening", "jupyterhub")}
BLOCKS = {name: re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) for name, page in PAGES.items()}
# They need the network, a server, or a machine with several users.
NOT_RUN = r"pip install .*|jupyter lab|python3 -m venv ~/grading|chmod go= ~/grading|~/grading/bin/pip install \."


def commands_of(page):
    return [line for language, text in BLOCKS[page] if language == "bash" for line in text.splitlines()]


def follow(page, folder, env=None, after=()):
    """Runs the commands of a page. → {command: what it printed}, the folder in which the last one ran

    Args:
        after: command → what happens once it has run, or in its place where it is not run; called with the folder.
    """
    printed, after = {}, dict(after)
    for command in commands_of(page):
        program, *arguments = shlex.split(command)
        if program == "cd":
            folder = folder / arguments[0]
        elif not re.fullmatch(NOT_RUN, command):
            done = commands.run(program, *arguments, cwd=folder, env={**os.environ, "COLUMNS": "100", **(env or {})})
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed[command] = done.stdout
        after.get(command, lambda folder: None)(folder)
    return printed, folder


def mark_answers(root):
    """What a person does in formgrader: a point for each answer that waits."""
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        for submission in gradebook.assignment_submissions("hw3"):
            for grade in submission.notebooks[0].grades:
                if grade.needs_manual_grade:
                    grade.manual_score, grade.needs_manual_grade = 1, False
        gradebook.db.commit()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_bash_or_shown_and_what_is_not_run_is_known(page):
    assert PAGES[page].count("```") == 2 * len(BLOCKS[page])
    assert {language for language, _ in BLOCKS[page]} <= {"bash", "text", "python"}
    for command in commands_of(page):
        assert command.split()[0] in ("cd", "autograder", "nbgrader") or re.fullmatch(NOT_RUN, command), command
        if installs := re.fullmatch(r"(?:.*/)?pip install (.+)", command):
            are_packages_we_depend_on(installs[1])


def words(line):
    """What a line of a table says, without rules and bars."""
    return re.sub("[│█]", " ", line).split()


def test_an_evening_goes_as_its_page_says(release, tmp_path):
    ada, pat, zoe = (next(s for s in CLASS if s.login.startswith(login)) for login in ("ada", "pat", "zoe"))
    variance = sampler("return mu + logvar.exp() * torch.randn_like(mu)")
    answers = {ada: {**RIGHT, **WRITTEN}, pat: {**RIGHT, **WRITTEN, "vae_model": variance}, zoe: {**RIGHT, **WRITTEN}}
    made = {student: nbformat.writes(fill(release, own)).encode() for student, own in answers.items()}
    packed(moodle_files([HandedIn(s, {"hw3.ipynb": raw}) for s, raw in made.items()]), tmp_path / "submissions.zip")
    (tmp_path / "worksheet.csv").write_bytes(moodle_sheet([ada, pat, zoe]))
    printed, course = follow("evening", tmp_path, after={"jupyter lab": mark_answers})

    shown = [lines(text) for language, text in BLOCKS["evening"] if language == "text"]
    tree, marks = shown
    for line in tree:
        assert (course / line.split()[0]).exists(), line
    rest = iter([words(line) for line in lines(printed["autograder grade hw3"])])
    assert [line for line in marks if words(line) not in rest] == []
    filled = (tmp_path / "worksheet.filled.csv").read_text(encoding="utf-8-sig")
    assert [row.split(",")[4] for row in filled.splitlines()[1:]] == ["11", "10", "11"]
    assert len(Sheet.read(tmp_path / "worksheet.filled.csv").students) == 3
    with zipfile.ZipFile(course / "returned/hw3/moodle.zip") as archive:
        assert len(archive.namelist()) == 3
    assert (course / "reports/hw3/report.html").exists()


def test_a_class_on_a_hub_goes_out_and_comes_back_through_the_exchange(release, tmp_path):
    exchange, home, student = (tmp_path / name for name in ("exchange", "home", "student"))
    for folder in (exchange, home, student):
        folder.mkdir()
    exchange.chmod(0o777)
    (block,) = (text for language, text in BLOCKS["jupyterhub"] if language == "python")
    setting = block.replace("/srv/nbgrader/exchange", str(exchange))
    assert setting != block
    env = {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home)}

    def configure(course):
        with (course / "nbgrader_config.py").open("a") as config:
            config.write(setting)
        (student / "nbgrader_config.py").write_text(f"c = get_config()\n{setting}")

    def as_student(*arguments):
        done = commands.run("nbgrader", *arguments, cwd=student, env={**os.environ, **env})
        assert done.returncode == 0, done.stderr

    def hand_in(course):
        as_student("fetch_assignment", "hw3", "--course", course.name)
        path = student / "hw3/hw3.ipynb"
        nbformat.write(fill(nbformat.read(path, as_version=4), RIGHT), path)
        as_student("submit", "hw3", "--course", course.name)

    _, course = follow("jupyterhub", tmp_path, env, {"cd course101": configure, "nbgrader release_assignment hw3": hand_in})
    as_student("fetch_feedback", "hw3", "--course", course.name)
    (page,) = (student / "hw3/feedback").rglob("*.html")
    assert "8 of 15 points" in " ".join(re.sub("<[^>]+>", " ", page.read_text(encoding="utf-8")).split())
    (handed_in,) = course.glob("submitted/*/hw3/timestamp.txt")
    assert handed_in.read_text()
