"""The command line, as people call it."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import jupyter_core.paths
import nbformat
import pytest

from autograder import assignment as assignments
from autograder import doctor
from autograder.nbgrader.unread import INSTALLED
from autograder.sandbox.outside import backends, conformance
from autograder.sandbox.outside.bubblewrap import INSTALL
from autograder.vae_swiss_roll.samples import sampler
from tests import commands
from tests.conftest import ROOT

pytestmark = pytest.mark.sandboxed

COMMAND = str(pathlib.Path(sys.executable).parent / "autograder")


def run(*arguments, cwd=None, **variables):
    return commands.run("autograder", *arguments, cwd=cwd, env={**os.environ, "COLUMNS": "160", **variables})


@pytest.fixture(scope="module")
def files(submission, release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed-in")
    contents = {
        "good": submission(),
        "half": submission(vae_model=sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")),
        "untouched": nbformat.writes(release).encode(),
        "cut": submission()[:3000],
    }
    for name, raw in contents.items():
        (folder / f"{name}.ipynb").write_bytes(raw)
    return folder


def test_json_is_one_object_per_notebook_with_the_documented_keys(files):
    done = run("check", "--json", files / "good.ipynb", files / "half.ipynb", files / "untouched.ipynb")
    assert done.returncode == 0, done.stderr
    good, half, untouched = (json.loads(line) for line in done.stdout.splitlines())
    assert (good["status"], good["score"], good["max_score"]) == ("graded", 8.0, 8.0)
    assert good["notebook"] == str(files / "good.ipynb")
    assert good["sandbox"] == "bubblewrap"
    assert half["cells"] == {
        "reparameterize": {"score": 4.0, "max_score": 5.0},
        "kl_divergence": {"score": 3.0, "max_score": 3.0},
    }
    (failed,) = [check for check in half["checks"] if check["outcome"] == "failed"]
    assert set(failed) == {"id", "cell", "outcome", "points", "max_points", "message", "misconception", "device", "cause"}
    assert (failed["id"], failed["misconception"], failed["device"]) == (
        "reparameterize.scale",
        "variance_as_std",
        None,
    )
    assert len(untouched["checks"]) == 9
    assert untouched["score"] == 0


def test_the_table_says_what_was_seen(files):
    done = run("check", files / "half.ipynb")
    assert done.returncode == 0
    assert "4 of 5" in done.stdout
    assert "7 of 8" in done.stdout
    assert "scaled by the variance" in done.stdout


def test_explain_says_for_each_criterion_what_was_asked_called_and_seen(files):
    done = run("check", "--explain", files / "half.ipynb")
    assert done.returncode == 0, done.stderr
    for title in ("a proper tensor", "scaled by the standard deviation", "gradient of the KL"):
        assert f": {title}, " in done.stdout
    words = " ".join(done.stdout.split())
    assert "called reparameterize(mu, logvar) with mu (4×128×2, float32, -4.965 to 4.972), logvar (4×128×2, float32," in words
    assert (
        "Where `logvar` is +3.99, the noise in z is 19.8 times what it is where `logvar` is 1." in words
    )  # e^2.99, not its root
    assert words.count("Where `logvar` is +3.99") == 1
    assert "so Your noise is scaled by the variance" in words
    assert words.count("The criterion is met.") == 8


def test_explain_in_json_holds_the_students_own_numbers(files):
    done = run("check", "--explain", "--json", files / "half.ipynb", files / "untouched.ipynb")
    half, untouched = (json.loads(line) for line in done.stdout.splitlines())
    for check in (*half["checks"], *untouched["checks"]):
        assert check["asks"]
        assert check["called"]
    assert any("the reconstruction error is 0." in sentence for check in half["checks"] for sentence in check["seen"])
    assert all("still to do" in came_back for check in untouched["checks"] for _, came_back in check["called"])


def test_the_settings_of_the_course_folder_count(files, tmp_path):
    (tmp_path / "nbgrader_config.py").write_text(
        'c = get_config()\nc.GradeOutside.points = {"reparameterize.scale": 0.5, "reparameterize.noise": 1.5}\n'
    )
    for arguments, cwd in (((), tmp_path), (("--course", tmp_path), None)):
        done = run("check", "--json", files / "half.ipynb", *arguments, cwd=cwd)
        assert json.loads(done.stdout)["score"] == 7.5, done.stderr
    (tmp_path / "nbgrader_config.py").write_text('c = get_config()\nc.GradeOutside.points = {"reparameterize.scale": 5}\n')
    done = run("check", "--json", files / "half.ipynb", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "9 points together" in done.stderr


def test_exit_code_1_when_something_could_not_be_graded_and_the_others_are(files):
    done = run("check", "--json", files / "cut.ipynb", files / "missing.ipynb", files / "good.ipynb")
    assert done.returncode == 1
    cut, missing, good = (json.loads(line) for line in done.stdout.splitlines())
    assert (cut["status"], missing["status"], good["score"]) == ("ungradable", "ungradable", 8.0)
    assert "upload broke off" in cut["message"]
    assert "No such file" in missing["message"]


def test_exit_code_2_when_the_grader_itself_fails_and_nobody_is_marked(files, tmp_path):
    done = run("check", "--json", files / "good.ipynb", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "The grader failed; nobody was marked." in done.stderr
    assert "apt-get install bubblewrap" in " ".join(done.stderr.split())


def test_an_unknown_sandbox_or_assignment_is_told_with_those_that_exist(files):
    done = run("check", files / "good.ipynb", "--sandbox", "cardboard")
    assert (done.returncode, "Known: bubblewrap" in done.stderr) == (2, True)
    done = run("check", files / "good.ipynb", "--assignment", "gan")
    assert (done.returncode, "vae_swiss_roll" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["grade", "release", "rubric", "demo"])
def test_an_assignment_is_an_argument_or_an_option_and_a_wrong_one_a_usage_error(command):
    for arguments in (["gan"], ["-a", "gan"]):
        done = run(command, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Usage: autograder" in done.stderr
        assert "There is no assignment 'gan'. Known: " in " ".join(done.stderr.split())
    done = run(command, "vae_swiss_roll", "-a", "gan")
    assert done.returncode == 2
    assert "two assignments are named, vae_swiss_roll and gan" in done.stderr


@pytest.mark.parametrize("command", [["grade"], ["release"], ["rubric"], ["check", "a.ipynb"]], ids=lambda words: words[0])
def test_a_broken_configuration_or_a_missing_folder_is_one_sentence_and_exit_code_2(command, tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.GradeOutside.points = {\n")
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.split())
    marking = command[0] in ("grade", "check")
    assert said.startswith("A setting is wrong; nobody was marked." if marking else "A setting is wrong. ")
    assert "nbgrader_config.py, line 2: '{' was never closed: `c.GradeOutside.points = {`" in said
    assert "Traceback" not in said
    (tmp_path / "nbgrader_config.py").write_text('c = get_config()\nc.GradeOutside.polices = {"monte_carlo_kl": True}\n')
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "c.GradeOutside.polices, which does not exist. Known: device" in " ".join(done.stderr.split())
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.source_directory = 3\n")
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.split())
    assert said.startswith("A setting is wrong")
    assert "nbgrader_config.py: The 'source_directory' trait of a CourseDirectory instance" in said
    done = run(*command, "--course", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr


def test_an_error_that_nobody_foresaw_is_the_graders_failure(tmp_path):
    (tmp_path / "file").touch()
    done = run("rubric", "--output", tmp_path / "file" / "rubric.md")
    assert done.returncode == 2
    assert "The grader failed in a way that nobody foresaw" in done.stderr
    assert "Error" in done.stderr


def test_release_outside_a_course_says_where_to_go(tmp_path):
    done = run("release", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("This cannot be done. ")
    assert "no nbgrader_config.py" in " ".join(done.stderr.split())


def test_collect_knows_the_courses_assignments(tmp_path):
    assert run("init", tmp_path / "course").returncode == 0
    (tmp_path / "downloaded.zip").touch()
    for arguments in (["nosuch"], ["-a", "nosuch"]):
        done = run("collect", tmp_path / "downloaded.zip", *arguments, cwd=tmp_path / "course")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Usage: autograder" in done.stderr
        said = " ".join(done.stderr.replace("│", "").split())
        assert "There is no assignment 'nosuch' in this course. Known: vae_swiss_roll." in said


def test_release_without_a_master_notebook_says_where_it_should_be(tmp_path):
    assert run("init", tmp_path / "course").returncode == 0
    (tmp_path / "course/source/vae_swiss_roll/vae_swiss_roll.ipynb").unlink()
    done = run("release", cwd=tmp_path / "course")
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.split())
    assert said.startswith("This cannot be done. ")
    assert said.endswith("is not there, and the release is made from it; `autograder init` puts it there.")
    assert run("init", ".", cwd=tmp_path / "course").returncode == 0
    assert run("release", cwd=tmp_path / "course").returncode == 0


def test_doctor_finds_this_machine_fit_and_prints_what_each_sandbox_guarantees():
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "works, as" in done.stdout
    header, rows = (
        [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in done.stdout.splitlines() if line.count(edge) == 6]
        for edge in "┃│"
    )
    assert header == [["guarantee", "", *backends.NAMES]]
    held = {name: dict(zip(backends.NAMES, cells, strict=True)) for name, _, *cells in rows if name}
    assert list(held) == [guarantee.name for guarantee in (*conformance.GUARANTEES, conformance.ENDS)]
    assert {name for name, of in held.items() if of["bubblewrap"] != "holds"} == set()
    assert (held["network"]["none"], held["open files"]["none"]) == ("no", "holds")


def test_doctor_names_the_repair_where_this_machine_is_not_fit(tmp_path):
    done = run("doctor", PATH=str(tmp_path), COLUMNS="40")
    assert done.returncode == 2
    assert f"bubblewrap: {INSTALL}" in done.stdout.splitlines()  # to be copied, on a line of its own


def test_doctor_sees_a_configuration_that_cannot_be_read_and_open_files():
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = pathlib.Path(place).resolve()
        (folder / "source").mkdir()
        folder.chmod(0o755)
        config = folder / "nbgrader_config.py"
        config.write_text("c = get_config()\nc.GradeOutside.points = {\n")
        done = run("doctor", "--course", folder, COLUMNS="300")
        assert done.returncode == 2
        assert "line 2: '{' was never closed: `c.GradeOutside.points = {`" in done.stdout
        assert f"this course: mend {config} before you start nbgrader" in done.stdout.splitlines()
        assert f"its files: chmod o-rwx {folder}" in done.stdout.splitlines()
        folder.chmod(0o750)
        config.write_text("c = get_config()\n")
        stock, files = doctor.about(folder)
        assert (stock.ok, files.ok, files.repair) == (False, True, "")
        assert "without a sandbox" in stock.found
        shutil.copy(ROOT / "nbgrader_config.py", config)
        assert [finding.ok for finding in doctor.about(folder)] == [True, True]
        shutil.copytree(ROOT / "source", folder / "source", dirs_exist_ok=True)
        with config.open("a") as file:
            file.write('\nc.GradeOutside.policies = {"nosuch": True}\n')
        (wrong, _) = doctor.about(folder)
        assert (wrong.ok, wrong.repair) == (False, f"mend {config} before you start nbgrader")
        assert "c.GradeOutside.policies names 'nosuch'" in wrong.found
        (folder / "source/vae_swiss_roll/vae_swiss_roll.ipynb").write_text("{")
        (wrong, _) = doctor.about(folder)
        assert (wrong.ok, wrong.repair) == (False, f"mend {folder / 'source'} before you start nbgrader")


def test_doctor_says_whether_nbgrader_stops_at_a_configuration_that_it_cannot_read(tmp_path, monkeypatch):
    assert doctor.unreadable().ok
    place = tmp_path / "etc/jupyter/nbgrader_config.json"
    monkeypatch.setattr(jupyter_core.paths, "ENV_CONFIG_PATH", [str(place.parent)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    finding = doctor.unreadable()  # as where a wheel was unpacked by hand
    assert (finding.ok, "pip install --force-reinstall" in finding.repair) == (False, True)
    assert "without a sandbox" in finding.found
    place.parent.mkdir(parents=True)
    place.write_text('{"Exchange": {"root": "/srv"}}')
    finding = doctor.unreadable()
    assert (finding.ok, f"take over into {place}" in finding.repair) == (False, True)
    place.write_text(json.dumps({**json.loads(place.read_text()), **json.loads(INSTALLED.read_text())}))
    assert doctor.unreadable().ok
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    assert (doctor.unreadable().ok, doctor.unreadable().repair) == (False, "unset JUPYTER_NO_CONFIG")


def test_doctor_says_whether_others_can_read_masters_with_solutions():
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = pathlib.Path(place).resolve()
        (folder / "source").mkdir()
        folder.chmod(0o711)  # whoever knows the names inside gets at them
        found = doctor.closed("solutions", "the master notebooks", [folder / "source"])
        assert (found.ok, found.repair) == (False, f"chmod o-rwx {folder / 'source'}")
        subprocess.run(shlex.split(found.repair), check=True)
        assert doctor.closed("solutions", "the master notebooks", [folder / "source"]).ok
    finding = doctor.solutions()
    assert finding.ok == (not doctor.open_to_others(ROOT / "source"))
    assert finding.ok or f"chmod o-rwx {ROOT / 'source'}" == finding.repair


def test_doctor_says_whether_others_can_read_the_masters_of_an_installed_wheel(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = pathlib.Path(place).resolve()
        package = folder / "autograder"
        master = package / "_course/source/vae_swiss_roll/vae_swiss_roll.ipynb"
        master.parent.mkdir(parents=True)
        master.touch()
        folder.chmod(0o755)
        own = dataclasses.replace(assignments.load("vae_swiss_roll"), path=master)
        monkeypatch.setattr(doctor, "PACKAGE", package)
        monkeypatch.setattr(doctor, "installed", lambda: [own])
        assert (doctor.solutions().ok, doctor.solutions().repair) == (False, f"chmod o-rwx {package}")
        package.chmod(0o750)
        assert doctor.solutions().ok


def test_every_command_explains_itself():
    overview = run("--help").stdout
    for command in ("demo", "release", "check", "doctor"):
        assert command in overview
        done = run(command, "--help")
        assert done.returncode == 0
        assert len(done.stdout) > 200


def test_the_demonstration_does_not_remove_a_folder_that_it_did_not_make(tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    done = run("demo", "--output", tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "thesis.tex").exists()
