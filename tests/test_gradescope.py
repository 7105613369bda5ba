"""`autograder gradescope`: the archive, and what it does in a folder laid out as theirs, as root and without namespaces."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell

from autograder.assignment import Assignment
from autograder.course import init
from autograder.course.fill import cell, fill
from autograder.course.folder import Course
from autograder.criteria import Criterion
from autograder.errors import CourseError
from autograder.gradescope import VISIBILITIES, archive, mark
from autograder.grading.settings import Settings
from autograder.grading.verdict import CheckResult, Outcome, Status, Verdict
from autograder.sandbox.outside.limits import GIB, Limits
from autograder.vae_swiss_roll.samples import RIGHT, sampler
from tests import commands
from tests.conftest import with_python_open_to_all

SETTINGS = 'c.GradeOutside.points = {"reparameterize.scale": 1.5, "reparameterize.noise": 0.5}\n'


@pytest.fixture(scope="module")
def course(tmp_path_factory, assignment):
    """A course with our assignment as hw3, with points of its own and a file for students."""
    root = tmp_path_factory.mktemp("course")
    init.begin(init.look(root, assignment, "hw3"))
    (root / "source/hw3/data.csv").write_text("1,2\n")
    with (root / "nbgrader_config.py").open("a") as config:
        config.write(SETTINGS)
    return root


@pytest.fixture(scope="module")
def packed(course):
    """The archive, as the command writes it."""
    done = commands.run("autograder", "gradescope", "--visibility", "after_published", cwd=course)
    assert done.returncode == 0, done.stderr
    assert "8 autograder points" in done.stdout
    return course / "gradescope.zip"


# --- the archive -----------------------------------------------------------------------------------------------------


def test_the_archive_has_what_gradescope_asks_for_at_its_root(packed):
    with zipfile.ZipFile(packed) as zipped:
        entries = {entry.filename: entry for entry in zipped.infolist()}
        assert {name for name in entries if "/" not in name} == {
            "setup.sh", "run_autograder", "requirements.txt", "constraints.txt", "marking.json",
        }  # fmt: skip
        for script in ("setup.sh", "run_autograder"):
            assert entries[script].external_attr >> 16 & 0o111
            assert zipped.read(script).startswith(b"#!/usr/bin/env bash\n")
        assert {"course/source/hw3/hw3.ipynb", "course/source/hw3/data.csv"} <= set(entries)
        needed = zipped.read("requirements.txt").decode().split()
        assert all("==" in line and "+" not in line for line in needed)
        assert {"torch", "nbgrader"} <= {line.split("==")[0] for line in needed}
        pins = zipped.read("constraints.txt").decode().lower().replace("_", "-").split()
        assert {line.replace("_", "-") for line in needed} <= set(pins)
        (wheel,) = (name for name in entries if name.endswith(".whl"))
        zipped.extract(wheel, packed.parent)
    with zipfile.ZipFile(packed.parent / wheel) as ours:
        names = ours.namelist()
        assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
        assert {"autograder/gradescope/mark.py", "autograder/vae_swiss_roll/checks/reparameterize.py"} <= set(names)
        record = next(name for name in names if name.endswith("RECORD"))
        assert sorted(line.split(",")[0] for line in ours.read(record).decode().splitlines()) == sorted(names)


def test_the_same_course_makes_the_same_archive_closed_to_others(course, packed, tmp_path):
    place = Course(course)
    (tmp_path / "again.zip").touch(0o644)
    archive.write(tmp_path / "again.zip", place.coursedir, place.find("hw3"), place.settings, "after_published")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in (packed, tmp_path / "again.zip")} == {0o600}


def test_a_process_may_take_less_than_the_container_has_unless_the_course_says_otherwise(packed):
    with zipfile.ZipFile(packed) as zipped:
        limits = json.loads(zipped.read("marking.json"))["settings"]["limits"]
    assert limits["memory_bytes"] < 3e9
    assert limits["total_memory_bytes"] + 500e6 < 3e9  # with the grader
    own = Settings(limits=Limits(memory_bytes=8 * GIB, total_memory_bytes=7 * GIB))
    assert archive.fitted(own).limits == own.limits


def test_torch_comes_from_the_index_that_was_named(course, tmp_path):
    named = commands.run(
        "autograder", "gradescope", "--torch-index", "https://index.invalid/cpu", "--output", tmp_path / "a.zip", cwd=course
    )
    assert named.returncode == 0, named.stderr
    setup = zipfile.ZipFile(tmp_path / "a.zip").read("setup.sh").decode()
    assert 'torch_index="https://index.invalid/cpu"\n' in setup


@pytest.mark.parametrize(
    "option",
    [
        ("--visibility", "never"),
        ("--visibility", "hidden"),
        ("--torch-index", 'x"; rm -rf "$root'),
        ("--torch-index", "https://$(id)"),
    ],
)
def test_an_option_that_cannot_be_is_refused(course, option):
    done = commands.run("autograder", "gradescope", *option, "--output", "/dev/null", cwd=course)
    assert done.returncode == 2
    assert "Usage: autograder" in done.stderr


@pytest.fixture
def of_others(tmp_path, monkeypatch):
    """(the distribution of a package that is none of ours, an assignment in it with its master beside it, its folder)"""
    package = tmp_path / "other_assignment"
    for path in (package / "__init__.py", package / "checks/task.py", package / "__pycache__/x.pyc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    master = tmp_path / "source/other/other.ipynb"
    master.parent.mkdir(parents=True)
    master.write_text("{}")
    info = tmp_path / "other_assignment-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-assignment\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[autograder.assignments]\nother = other_assignment:assignment\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_assignment", raising=False)
    other = Assignment("other", "Another", "other_assignment", master, {}, (), "x")
    return importlib.metadata.PathDistribution(info), other, package


def test_the_package_of_another_assignment_is_packed_with_its_master_where_it_looks_for_it(of_others, tmp_path):
    distribution, other, package = of_others
    name, data = archive.wheel(distribution, [package], other)
    (tmp_path / name).write_bytes(data)
    into = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", tmp_path / "into"]
    subprocess.run([sys.executable, "-m", "pip", "install", *into, tmp_path / name], check=True)
    found = {path.relative_to(tmp_path / "into").as_posix() for path in (tmp_path / "into").rglob("*") if path.is_file()}
    found = {path for path in found if ".dist-info/" not in path and "__pycache__" not in path}
    assert found == {"other_assignment/__init__.py", "other_assignment/checks/task.py", "source/other/other.ipynb"}
    (installed,) = importlib.metadata.distributions(path=[str(tmp_path / "into")])
    assert [entry.name for entry in installed.entry_points] == ["other"]


def test_a_master_that_lies_elsewhere_is_told(of_others, tmp_path_factory):
    distribution, other, package = of_others
    elsewhere = dataclasses.replace(other, path=tmp_path_factory.mktemp("elsewhere") / "other.ipynb")
    with pytest.raises(CourseError, match=r"The master notebook .*elsewhere.* lies outside of"):
        archive.wheel(distribution, [package], elsewhere)


def test_a_requirement_counts_only_where_its_marker_holds(of_others):
    distribution, _, package = of_others
    about = package.parent / "other_assignment-0.1.dist-info/METADATA"
    needs = (
        "numpy>=1",
        'tomli; python_version < "3"',
        'pytest; extra == "test"',
        'torch; python_version > "3"',
        "Other.Assignment",
    )
    about.write_text(about.read_text() + "".join(f"Requires-Dist: {line}\n" for line in needs))
    assert archive.requirements([distribution], ["csv"]) == {"numpy", "torch"}


def test_what_is_needed_and_not_installed_is_named():
    with pytest.raises(CourseError, match=r"^no-such-package is needed .* `pip install no-such-package`"):
        archive.pinned(["numpy", "no-such-package"])


# --- marking there ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(packed):
    """`marked({name: bytes, or where a link leads})` → (exit code, what was printed, results.json or None)."""
    if os.geteuid() != 0:
        pytest.skip("Gradescope marks as root")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gradescope-", dir="/tmp"))
    folder.chmod(0o755)
    source, submission, results = (folder / name for name in ("source", "submission", "results"))
    for path in (submission, results):
        path.mkdir()
    subprocess.run(["unzip", "-q", packed, "-d", source], check=True)
    shutil.copy(source / "run_autograder", folder)
    (folder / "submission_metadata.json").write_text('{"previous_submissions": ["what others were told"]}')
    # The libraries are those of the environment that runs the tests: nothing is fetched.
    packages = folder / f"env/lib/python{sysconfig.get_python_version()}/site-packages"
    packages.mkdir(parents=True)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))} | {"PIP_NO_INDEX": "1"}
    built = subprocess.run([source / "setup.sh"], env=env, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr

    def run(handed_in):
        shutil.rmtree(submission)
        submission.mkdir()
        for name, what in handed_in.items():
            (submission / name).parent.mkdir(parents=True, exist_ok=True)
            (submission / name).write_bytes(what) if isinstance(what, bytes) else (submission / name).symlink_to(what)
        code = f"import subprocess, sys; sys.exit(subprocess.run([{str(folder / 'run_autograder')!r}]).returncode)"
        done = with_python_open_to_all(code, environment={"PATH": "/usr/bin:/bin"})
        path = results / "results.json"
        return done.returncode, done.stdout, json.loads(path.read_text()) if path.exists() else None

    run.folder = folder
    yield run
    shutil.rmtree(folder)


def test_what_takes_a_second_to_import_and_is_not_needed_is_not_imported(tmp_path):
    """As by the command line; Gradescope starts Python for each submission."""
    start = [sys.executable, "-X", "importtime", "-m", "autograder.gradescope", tmp_path / "nothing"]
    done = subprocess.run(start, capture_output=True, text=True)
    assert done.returncode == 2
    assert "jsonschema._format" in done.stderr
    assert "rfc3987_syntax.syntax_helpers" not in done.stderr


# Tries all that a student could want of the folder, and notes what succeeds.
ATTACK = """
import glob, json, os, pathlib, subprocess, sys
root, notes = pathlib.Path(ROOT), pathlib.Path(NOTES)
got = []
def attempt(what, action):
    try:
        action()
        got.append(what)
    except Exception:
        pass
site = root / "env/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
for path in (root / "source/marking.json", root / "source/course/source/hw3/hw3.ipynb", root / "submission_metadata.json",
             root / "submission/data.csv", site / "autograder/__init__.py", site / "autograder/_course", site / "autograder",
             site / "source/vae_swiss_roll/vae_swiss_roll.ipynb", site / "autograder/vae_swiss_roll/checks/reparameterize.py"):
    attempt(f"read {path}", lambda path=path: path.read_bytes() if path.suffix else os.listdir(path))
for path in (root / "source", root / "results", root / "submission"):
    attempt(f"list {path}", lambda path=path: os.listdir(path))
for path in (root / "results/results.json", root / "results/other", root / "run_autograder", root / "own", site / "own.pth"):
    attempt(f"write {path}", lambda path=path: path.write_text('{"score": 8}'))
attempt("rename", lambda: (root / "results").rename(root / "before"))
attempt("open up", lambda: (root / "results").chmod(0o777))
for pid in os.listdir("/proc"):
    if pid.isdigit() and os.stat(f"/proc/{pid}").st_uid == 0:
        for name in ("environ", "mem", "maps"):
            attempt(f"read /proc/{pid}/{name}", lambda pid=pid, name=name: open(f"/proc/{pid}/{name}", "rb").read(1)[0])
        attempt(f"end {pid}", lambda pid=pid: os.kill(int(pid), 0))
later = "import pathlib, time; time.sleep(1)\\nwhile True:\\n pathlib.Path(%r).write_text('{}'); time.sleep(0.2)"
left = subprocess.Popen([sys.executable, "-c", later % str(root / "results/results.json")], start_new_session=True)
notes.write_text(json.dumps({"got": got, "uid": os.getuid(), "left": left.pid}))
"""


def has_ended(pid):
    """Whether a process that was killed ends, on a machine that may be busy; nobody need have asked how it ended."""
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.time() - process.create_time() > 600:
                return False
            time.sleep(0.1)
    except psutil.NoSuchProcess:
        pass
    return True


@pytest.mark.sandboxed
def test_a_hostile_submission_gets_its_points_and_nothing_else(marked, release):
    folder = marked.folder
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        pathlib.Path(shared).chmod(0o777)
        notes = pathlib.Path(shared) / "notes.json"
        attack = ATTACK.replace("ROOT", repr(str(folder))).replace("NOTES", repr(str(notes)))
        nb = fill(release, {**RIGHT, "vae_model": sampler("return mu + logvar.exp() * torch.randn_like(mu)")})
        nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(attack))
        code, said, found = marked({"homework (1).ipynb": nbformat.writes(nb).encode(), "data.csv": b"3,4\n"})
        assert (code, said) == (0, "")
        noted = json.loads(notes.read_text())
    assert noted["got"] == []
    assert noted["uid"] > 200_000
    assert has_ended(noted["left"])
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["results.json"]
    for path in ("source", "results", "submission"):
        assert (folder / path).stat().st_mode & 0o077 == 0

    assert found["score"] == 6.5 == sum(test["score"] for test in found["tests"])
    assert sum(test["max_score"] for test in found["tests"]) == 8
    (lost,) = [test for test in found["tests"] if test["status"] == "failed"]
    assert (lost["name"], lost["number"], lost["score"], lost["max_score"]) == (
        "Task 1: scaled by the standard deviation", "1.3", 0, 1.5,
    )  # fmt: skip
    assert lost["output"].startswith("Your noise is scaled by the variance")
    assert {test["visibility"] for test in found["tests"]} == {"after_published"} <= set(VISIBILITIES)
    assert found["stdout_visibility"] == "hidden"
    assert not re.search(r"6\.5|of 8", found["output"])  # shown at once, whatever the visibility
    lines = found["output"].splitlines()
    at = lines.index("Not yet marked; a person does that:")
    assert [line.rpartition(" (")[2] for line in lines[at + 1 : at + 4]] == ["2 points)", "2 points)", "3 points)"]
    assert all(line.startswith("- Question ") for line in lines[at + 1 : at + 4])
    assert "homework (1).ipynb counts, the only notebook there" in found["output"]
    assert "user id" not in found["output"]
    formats = {found[name] for name in found if name.endswith("_format")}
    assert formats == {"text"}


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_who_may_not_see_the_criteria_yet_sees_no_points(assignment, visibility):
    lost, got = (Criterion(f"reparameterize.{name}", "reparameterize", 2.5, name, "", "") for name in ("lost", "got"))
    checks = (CheckResult(lost, Outcome.FAILED, 0, "Look again."), CheckResult(got, Outcome.PASSED, 2.5))
    found = mark.as_results(Verdict(Status.GRADED, checks, notes=("A cell was put back.",)), assignment, visibility)
    assert ("2.5 of 8 points by machine." in found["output"]) == (visibility == "visible")
    assert {test["visibility"] for test in found["tests"]} == {visibility}
    about = {name: value for name, value in found.items() if name not in ("score", "tests")}
    assert visibility == "visible" or "2.5" not in json.dumps(about)
    assert found["output"].endswith("A cell was put back.")


@pytest.mark.parametrize(
    ("handed_in", "sentence"),
    [
        ({}, "The folder is empty"),
        ({"hw3.ipynb": "{"}, "it is not a notebook"),
        ({"notes.txt": "see you"}, "Hand in your hw3.ipynb"),
        ({"a.ipynb": "{}", "b.ipynb": "{}"}, "None of a.ipynb, b.ipynb is called hw3.ipynb"),
    ],
    ids=["nothing", "no notebook", "another file", "two"],
)
def test_what_cannot_be_marked_is_told_to_the_student_and_is_no_mark(packed, tmp_path, handed_in, sentence):
    with zipfile.ZipFile(packed) as zipped:
        zipped.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    for name, text in handed_in.items():
        (tmp_path / "submission" / name).write_text(text)
    is_no_mark(mark.mark(tmp_path), sentence)


def is_no_mark(found, sentence):
    (test,) = found["tests"]
    assert (found["score"], test["score"], test["status"], test["visibility"]) == (0, 0, "failed", "visible")
    assert sentence in found["output"]
    assert "0 points are no mark" in found["output"]
    assert "hand in again" in found["output"]


@pytest.mark.sandboxed
def test_a_link_to_the_master_is_not_followed(marked):
    code, _, found = marked({"hw3.ipynb": str(marked.folder / "source/course/source/hw3/hw3.ipynb")})
    assert code == 0
    is_no_mark(found, "is a link, and links are not followed")


@pytest.mark.sandboxed
def test_where_the_grader_fails_there_is_no_score_and_the_instructor_is_told(marked, submission):
    (marked.folder / "results/results.json").write_text("{}")  # what is there from before goes, too
    path = marked.folder / "source/marking.json"
    kept = path.read_text()
    try:
        for spoilt, sentence in (
            (
                kept.replace("reparameterize.scale", "reparameterize.skale"),
                "names 'reparameterize.skale', which does not exist",
            ),
            (kept[:100], "in a way that nobody foresaw"),
        ):
            path.write_text(spoilt)
            code, said, found = marked({"hw3.ipynb": submission()})
            assert (code, found) == (2, None), said
            assert sentence in said
            assert "nothing was marked, and there is no score" in said
            assert "let Gradescope regrade" in said
    finally:
        path.write_text(kept)
