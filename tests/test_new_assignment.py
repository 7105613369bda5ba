"""`docs/new-assignment.md`, followed to the letter in an empty folder, with our wheel alone installed: its files are written,
its commands run."""

import ast
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import nbformat
import pytest
import yaml
from nbgrader.api import Gradebook

from autograder.course.release import MARKS
from tests.conftest import with_the_wheel_alone

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs/new-assignment.md").read_text(encoding="utf-8")
# (file, language, text) of each block; the file is named in the line before, if the block is one.
BLOCKS = re.findall(r"(?:^`([\w./]+)`:\n\n)?^```([^\n]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FILES = {file: text for file, _, text in BLOCKS if file}
COMMANDS = [line for file, language, text in BLOCKS if language == "bash" for line in text.splitlines()]
# Run beside those of the page: where our package is; an assignment that is not there; and the hidden region as it runs without
# our configuration.
WHERE = "python -c 'import autograder; print(autograder.__file__)'"
ABSENT = "autograder check -a nosuch some.ipynb"
IN_THE_KERNEL = """python -c '
from autograder.quick import start_quickly
start_quickly()
import nbformat
names = {}
for cell in nbformat.read("source/softplus/softplus.ipynb", as_version=4).cells:
    if cell.cell_type == "code":
        exec(cell.source, names)
'"""


class Followed(NamedTuple):
    folder: pathlib.Path
    done: dict  # command → CompletedProcess

    def printed(self, start):
        """What the command that starts so printed."""
        (done,) = (done for command, done in self.done.items() if command in COMMANDS and command.startswith(start))
        return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder, installed = tmp_path_factory.mktemp("my-assignment"), tmp_path_factory.mktemp("installed")
    python, env = with_the_wheel_alone(installed)
    for file, text in FILES.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    env |= {"COLUMNS": "100", "PATH": os.pathsep.join([str(python.parent), env["PATH"]])}
    # No network; and this pip, as the environment has none.
    pip = f"{sys.executable} -m pip --python {python} install --no-index --no-deps --no-build-isolation"

    def follow(commands):
        done = {}
        for command in commands:
            script = ["bash", "-euc", re.sub(r"^pip install", pip, command)]
            done[command] = subprocess.run(script, cwd=folder, env=env, text=True, input="", capture_output=True, timeout=600)
        return done

    first = COMMANDS.index("python make_master.py") + 1
    need_no_class = [command for command in COMMANDS if re.match("autograder (selftest|rubric)", command)]
    done = follow(COMMANDS[:first])
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(follow, [*need_no_class, WHERE, ABSENT, IN_THE_KERNEL])
        done |= follow(command for command in COMMANDS[first:] if command not in need_no_class)
    return Followed(folder, done | beside.result())


# --- what the page says ----------------------------------------------------------------------------------------------


def test_every_block_of_the_page_is_a_file_or_run_or_shown():
    for file, language, _ in BLOCKS:
        assert bool(file) == (language in ("python", "toml", "yaml")), (file, language)
        assert file or language in ("bash", "text")
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert len(COMMANDS) == len(set(COMMANDS)) >= 8


def test_the_number_of_lines_on_the_page_is_right_and_below_150():
    (told,) = re.findall(r"(\d+) lines without the notebook", PAGE)
    taken = sum(len(text.splitlines()) for file, text in FILES.items() if file != "make_master.py")
    assert int(told) == taken < 150


def test_no_file_of_the_page_knows_our_own_assignment():
    assert not [file for file, text in FILES.items() if "vae" in text.lower()]


def test_what_the_page_says_of_files_is_so():
    (tree,) = (text for _, _, text in BLOCKS if "pyproject.toml  " in text)
    named = re.findall(r"^ *(\S+\.\w+)", tree, re.MULTILINE)
    made = [*(file.removeprefix("softplus_assignment/") for file in FILES if file != "make_master.py")]
    assert sorted(named) == sorted([*made, "source/softplus/softplus.ipynb"])
    for path in re.findall(r"`(autograder/[\w./]+)`", PAGE):
        assert (ROOT / path).exists(), path


def test_what_reaches_the_worker_imports_nothing_but_torch_at_most():
    tree = ast.walk(ast.parse(FILES["softplus_assignment/operations.py"]))
    assert {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names} <= {"torch"}
    assert "from " not in FILES["softplus_assignment/operations.py"]


# --- what its commands do --------------------------------------------------------------------------------------------


@pytest.mark.sandboxed
def test_our_package_is_the_installed_one(followed):
    assert not pathlib.Path(followed.done[WHERE].stdout.strip()).is_relative_to(ROOT)
    assert "/site-packages/autograder/" in followed.done[WHERE].stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.sandboxed
def test_every_command_of_the_page_succeeds(followed, command):
    done = followed.done[command]
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.sandboxed
def test_the_page_shows_what_its_commands_print(followed):
    """Line by line, in their order, the rules of tables left out."""
    last, shown = None, 0
    for _, language, text in BLOCKS:
        if language == "bash":
            last = text.splitlines()[-1]
        elif language == "text" and last is not None:
            printed, shown = iter(lines(followed.done[last].stdout)), shown + 1
            missing = [line for line in lines(text) if line not in printed]
            assert not missing, f"{last} does not print this, or not here: {missing}"
    assert shown == 5


def lines(text):
    """The lines that say something, with single spaces."""
    found = (" ".join(line.replace("┃", "│").split()) for line in text.splitlines())
    return [line for line in found if re.search(r"\w", line)]


@pytest.mark.sandboxed
def test_the_release_is_clean_and_has_no_hidden_region(followed):
    assert "no solution, hidden check" in followed.printed("autograder release")
    path = followed.folder / "release/softplus/softplus.ipynb"
    text = path.read_text(encoding="utf-8")
    assert not [mark for mark in (*MARKS, "logaddexp", "score(") if mark in text]
    solution, tests = (cell for cell in nbformat.read(path, as_version=4).cells if "nbgrader" in cell.metadata)
    assert "Write your answer here" in solution.source
    assert "You see this check" in tests.source


@pytest.mark.sandboxed
def test_check_gives_2_of_2_to_the_right_answer_and_sentences_to_others(followed):
    tables = re.split(r"^build/demo/submitted/", followed.printed("autograder check"), flags=re.MULTILINE)[1:]
    found = {table.split("/")[0]: " ".join(re.sub("[│┃]", " ", table).split()) for table in tables}
    assert [re.findall(r"total (\S+ of \S+)", table) for table in found.values()] == [["2 of 2"], ["0 of 2"], ["0 of 2"]]
    assert "✗" not in found["ada"]
    assert "✗ value 0 of 1 y is infinite or NaN where x is far from 0: exp overflows" in found["ben"]
    assert "✗ gradient 0 of 1 For the same reason as “value”." in found["ben"]
    assert "✗ value 0 of 1 The task is still to do" in found["cleo"]
    assert "✗ gradient 0 of 1 For the same reason as “value”." in found["cleo"]


@pytest.mark.sandboxed
def test_grade_marks_the_class_into_the_gradebook_of_the_course(followed):
    with Gradebook(f"sqlite:///{followed.folder}/gradebook.db") as gradebook:
        found = {
            submission.student_id: (submission.score, submission.max_score, submission.needs_manual_grade)
            for submission in gradebook.assignment_submissions("softplus")
        }
    assert found == {"ada": (2, 2, False), "ben": (0, 2, False), "cleo": (0, 2, False)}


@pytest.mark.sandboxed
def test_the_selftest_finds_every_answer_of_the_catalogue_as_expected(followed):
    printed = followed.printed("autograder selftest")
    assert "None differs from the catalogue." in printed
    entries = yaml.safe_load(FILES["softplus_assignment/catalogue.yaml"])
    wrong = [entry for entry in entries if entry["answer"] == "wrong"]
    assert f"{len(entries)} entries" in printed
    assert f"of {len(wrong)} wrong answers" in printed
    assert len(entries) - len(wrong) >= 3
    for criterion in ("value", "gradient"):  # so each of the two checks is there for something
        assert any(list(entry["lost"]) == [criterion] for entry in wrong)


@pytest.mark.sandboxed
def test_the_rubric_shows_both_criteria(followed):
    printed = followed.printed("autograder rubric")
    assert "## `softplus`, 2 points" in printed
    assert re.findall(r"^\| (\w+) \| (\d) \|", printed, re.MULTILINE) == [("value", "1"), ("gradient", "1")]


@pytest.mark.sandboxed
def test_an_assignment_that_is_not_there_is_told_with_those_that_are(followed):
    done = followed.done[ABSENT]
    words = " ".join(re.sub("│", " ", done.stderr).split())
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"no assignment 'nosuch'\. Known: .*\bsoftplus, .*\bvae_swiss_roll\b", words)


@pytest.mark.sandboxed
def test_the_hidden_region_runs_the_same_checks_in_a_kernel(followed):
    done = followed.done[IN_THE_KERNEL]
    assert done.returncode == 0, done.stderr
    assert "Your marks for `softplus`: 2 of 2" in done.stdout
