"""What stands around the code: README and docs, Makefile, environments, continuous integration."""

import csv
import dataclasses
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from autograder import assignment as assignments
from autograder.course import init
from autograder.grading.settings import Settings
from autograder.nbgrader import configuration
from autograder.nbgrader.configuration import Traits
from autograder.sandbox.outside.limits import GIB, MIB, Limits
from autograder.vae_swiss_roll import samples
from autograder.vae_swiss_roll.policies import POLICIES
from tests import commands
from tests.conftest import QUICKLY
from tests.lms import canvas_sheet
from tests.test_notebooks import SANITIZING
from tools.pictures import OF_THE_LESSON

ROOT = pathlib.Path(__file__).parent.parent
BIN = pathlib.Path(sys.executable).parent
# In the order of their story: install, make a release, mark a class; then the rest in the same course.
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/marking.md",
        "docs/deadlines.md",
        "docs/returning.md",
        "docs/after-marking.md",
        "docs/settings.md",
        "docs/policies.md",
        "docs/gradescope.md",
        "docs/rubric.md",
        "docs/clusters.md",
        "docs/lesson.md",
        "docs/maintainers.md",
    )
}
OWN_TEST = {"docs/new-assignment.md", "docs/lms.md", "docs/evening.md", "docs/jupyterhub.md"}
README, SETTINGS, POLICIES_PAGE = PAGES["README.md"], PAGES["docs/settings.md"], PAGES["docs/policies.md"]
RELEASE = "notebooks/vae_swiss_roll/vae_swiss_roll.ipynb"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
# Where a package has another name on conda-forge.
CONDA_NAMES = {"torch": "pytorch", "jupyter-client": "jupyter_client"}

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="marking needs bubblewrap")


def run(*command, cwd=ROOT, **variables):
    """Runs a command as a user would from the environment, and not as a child of the `make` that runs these tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST"))}
    env["PATH"] = os.pathsep.join([str(BIN), env["PATH"]])
    return subprocess.run(
        command,
        cwd=cwd,
        env={**env, **variables},
        text=True,
        encoding="utf-8",
        input="",
        capture_output=True,
        timeout=1800,
    )


def text_files():
    """The files that belong to the repository, as (path, text)."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            yield name, (ROOT / name).read_text(encoding="utf-8", errors="replace")


def every_page():
    """name → text of each page that people read on GitHub."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}


# --- the commands of the README and of docs/ --------------------------------------------------------------------------


def commands_of(page):
    """The lines of all bash blocks of a page, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def commands_of_the_pages():
    return [command for page in PAGES.values() for command in commands_of(page)]


def is_a_target(target):
    tried = run("make", "--dry-run", target)
    assert tried.returncode == 0, tried.stderr


def are_packages_we_depend_on(arguments):
    if arguments == ".":  # test_init.py has a wheel of it
        return
    if editable := re.fullmatch(r"--editable (?:\.|'\.\[(\w+)\]')", arguments):
        assert editable[1] is None or editable[1] in PROJECT["optional-dependencies"]
        return
    known = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert set(arguments.split()) <= known


def is_installed(program):
    assert (BIN / program).exists()


def is_a_file(path):
    assert (ROOT / path).is_file()


def judges_some_entries(command):
    """Each of the two tasks; `test_catalogue.py` judges them all."""
    made = commands.run(command, "selftest", "--fast", "missing-mu", "uniform-eps")
    assert made.returncode == 0, made.stdout + made.stderr


def names_the_notebook_and_the_rules(options):
    """`test_notebooks.py` runs it so."""
    rules, notebook = options.removeprefix("--nbval-sanitize-with ").split()
    assert ROOT / rules == SANITIZING
    is_a_file(notebook)


def is_the_environment(name):
    assert name == ENVIRONMENT["name"]


def is_taken(picture):
    """`test_jupyterlab.py` has the screens of such a lesson taken."""
    assert picture in OF_THE_LESSON


def has_these_options(command):
    """That the program's help names each; `test_grade.py` marks on a cluster."""
    program, subcommand = command.split()[:2]
    shown = run(program, subcommand, "--help", COLUMNS="200")
    assert shown.returncode == 0, shown.stderr
    for option in re.findall(r" (--[\w-]+)", command):
        assert re.search(rf"{option}(?![\w-])", shown.stdout), f"{program} {subcommand} has no {option}"


# What cannot run inside the tests (the network, a server, the tests themselves), and what is asked instead. Every other
# command of the pages is run, so a new one either works or needs a line here.
NOT_RUN = {
    r"make (\w+)": is_a_target,
    r"(\.ci/run)": is_a_file,
    r"pytest --nbval-lax (.+)": names_the_notebook_and_the_rules,
    r"pip install (.+)": are_packages_we_depend_on,
    r"(jupyter) lab": is_installed,
    r"(autograder) selftest --fast": judges_some_entries,
    r"python -m tools.pictures (\w+)": is_taken,
    r"(?:srun --ntasks \d+ )?(dask (?:scheduler|worker)\b.*)": has_these_options,
    r"(autograder grade .*--scheduler tcp://HOST:\d+)": has_these_options,
    r"conda env create --file (\S+)": is_a_file,
    r"conda activate (\S+)": is_the_environment,
}


def rule(command):
    """(what is asked instead of running `command`, its argument), or None for a command that is run."""
    matches = [(asks, match[1]) for pattern, asks in NOT_RUN.items() if (match := re.fullmatch(pattern, command))]
    return matches[0] if matches else None


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.sandboxed] if "selftest" in command else [])
        for command in dict.fromkeys(commands_of_the_pages())
        if rule(command)
    ],
)
def test_what_the_pages_only_name_is_there(command):
    asks, argument = rule(command)
    asks(argument)


def run_story(lines, folder):
    """Runs them one after the other, from a shell; a program's command that has run so once starts from what tests share."""
    said, known = "", set()
    for line in lines:
        words = shlex.split(line)
        if words[0] == "cd":
            folder /= words[1]
            continue
        shared = tuple(words[:2]) in known
        done = commands.run(*words, cwd=folder) if shared else run("bash", "-euo", "pipefail", "-c", line, cwd=folder)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        said += done.stdout
        known.add(tuple(words[:2]))
    return said


def settings_on_their_page():
    """[(setting, its example)]"""
    return re.findall(r"^\| `(c\.GradeOutside\.\w+)` \|.*\| `(.+)` \|$", SETTINGS, re.MULTILINE)


@pytest.mark.sandboxed
@needs_sandbox
def test_all_other_commands_of_the_pages_run_in_order_and_mark_a_class(tmp_path):
    """Half a minute on two cores: a course from `autograder doctor` on, with one submission, and in the end all settings.

    What needs no course runs beside it, in a folder that has the settings, too.
    """
    checkout, course, alone = (tmp_path / name for name in ("checkout", "my-course", "alone"))
    checkout.mkdir()
    config = init.CONFIGURATION.format(course_id="my-course")
    settings = settings_on_their_page()
    assert len(settings) == 8
    lines = "".join(f"{name} = {example}\n" for name, example in settings)
    _, wrong_scale = samples.students(nbformat.read(ROOT / RELEASE, as_version=4))["chloe"]
    for folder, text in ((course, config), (alone, config + lines)):
        submitted = folder / "submitted/ada/vae_swiss_roll/vae_swiss_roll.ipynb"
        submitted.parent.mkdir(parents=True)
        submitted.write_bytes(wrong_scale)
        (folder / "nbgrader_config.py").write_text(text, encoding="utf-8")
    (course / "gradebook.csv").write_bytes(canvas_sheet().replace(b"hw3", b"vae_swiss_roll").replace(b"Essay", b"Homework 3"))

    course_work, beside = [], []
    for page in PAGES.values():
        if page is SETTINGS:
            course_work.append(f"cp {shlex.quote(str(alone / 'nbgrader_config.py'))} .")
        for command in commands_of(page):
            if not rule(command):
                (beside if re.match("autograder (doctor|check)", command) else course_work).append(command)
    assert beside
    commands.server()
    with ThreadPoolExecutor() as pool:  # neither waits for the other
        stories = [pool.submit(run_story, course_work, checkout), pool.submit(run_story, beside, alone)]
    _, said = [story.result() for story in stories]
    # The settings page's own example, in place of 1.
    assert "reparameterize: scaled by the standard deviation, 0 of 1.5\n" in said
    (row,) = csv.DictReader((course / "grades.csv").read_text(encoding="utf-8").splitlines())
    assert (row["student_id"], float(row["score"])) == ("ada", 7.0)  # 8, less what the scale of the noise is worth
    assert (course / "feedback/ada/vae_swiss_roll/vae_swiss_roll.html").exists()
    assert "| scaled by the standard deviation | 1.5 |" in (course / "rubric.md").read_text(encoding="utf-8")


def test_the_pages_name_only_targets_of_the_makefile():
    texts = {**every_page(), "environment.yml": (ROOT / "environment.yml").read_text(encoding="utf-8")}
    named = {name: set(re.findall(r"`make (\w+)", text)) for name, text in texts.items()}
    assert {"demo", "test", "check"} <= named["README.md"]
    for target in set().union(*named.values()):
        is_a_target(target)


def test_the_class_in_the_readme_is_the_sample_class():
    stories = {name: story for name, (story, _) in samples.students(nbformat.read(ROOT / RELEASE, as_version=4)).items()}
    shown = re.findall(r"^│ (\w+) +│ (.+?) +│", README, re.MULTILINE)[1:]
    assert len(shown) >= 5
    assert set(shown) <= set(stories.items())


# --- what else the README and docs/ say -------------------------------------------------------------------------------


def test_every_page_of_docs_is_part_of_the_story_or_has_its_own_test():
    assert {name for name in every_page() if name.startswith("docs/")} - OWN_TEST == set(PAGES) - {"README.md"}


def test_every_block_of_a_page_is_bash_or_is_no_command():
    """So that no command escapes the tests above in a block of another name."""
    for name, page in PAGES.items():
        fences = re.findall(r"^ *```(.*)$", page, re.MULTILINE)
        assert set(fences[::2]) <= {"bash", "text", "python"}, name
        assert set(fences[1::2]) <= {""}, name


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_of_a_page_leads_somewhere():
    pages, broken, seen = every_page(), [], 0
    for name, page in pages.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", page):
            if "://" in link:
                continue
            file, _, anchor = link.partition("#")
            target = (ROOT / name).parent / file if file else ROOT / name
            seen += 1
            if not target.is_file() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                broken.append(f"{name}: {link}")
    assert not broken
    assert seen > 15


def test_every_file_that_a_page_names_is_there():
    folders = "autograder|benchmarks|docs|notebooks|source|tests|tools"
    named = {
        (name, path)
        for name, page in every_page().items()
        if name not in ("docs/new-assignment.md", "docs/evening.md")  # which name files of a course
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", page)
    }
    assert len(named) > 15
    assert not [(name, path) for name, path in named if not (ROOT / path).exists()]


def test_the_readme_shows_a_feedback_page_and_says_what_is_on_it():
    (words,) = re.findall(r"!\[([^\]]+)\]\(docs/feedback\.png\)", README)
    assert "feedback page" in words
    assert len(words.split()) >= 10
    picture = (ROOT / "docs/feedback.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert 700 <= int.from_bytes(picture[16:20], "big") <= 1200  # pixels across: readable where a README is 900 wide
    assert len(picture) < 200_000


def test_the_settings_page_has_every_setting():
    names = [name.removeprefix("c.GradeOutside.") for name, _ in settings_on_their_page()]
    assert sorted(names) == sorted(Traits.class_own_traits(config=True))


def rows(page):
    """The cells of the rows of a table whose first column is code."""
    return [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.+$", page, re.MULTILINE)]


def test_the_page_of_policies_has_each_with_its_default_and_cost_and_lines_that_can_be_set(tmp_path):
    shown = [(name, default, otherwise.replace("`", "")) for name, default, _, otherwise in rows(POLICIES_PAGE)]
    assert shown == [(p.name, str(p.default), p.otherwise.replace("`", "")) for p in POLICIES]
    assert set(re.findall(r"`(\w+_\w+)`", POLICIES_PAGE)) == {p.name for p in POLICIES}
    (lines,) = re.findall(r"^```python\n(.*?)^```", POLICIES_PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / configuration.CONFIG).write_text(f"c = get_config()\n{lines}", encoding="utf-8")
    set_ = configuration.settings(configuration.read(tmp_path), assignments.load("vae_swiss_roll")).policies
    assert set_ == {"mean_in_eval_mode": False, "kl_summed_over_batch": True}


def test_the_settings_page_has_every_limit_and_its_default():
    units = {"MiB": MIB, "GiB": GIB}
    shown = {}
    for name, default, _ in rows(SETTINGS.partition("## Limits\n")[2]):
        number, _, unit = default.replace(",", "").partition(" ")
        shown[name] = int(number) * units.get(unit, 1)
    assert shown == dataclasses.asdict(Limits())


def test_the_lines_of_the_settings_page_put_marking_into_any_course(tmp_path):
    (lines,) = re.findall(r"^```python\n(.*?)^```", SETTINGS, re.DOTALL | re.MULTILINE)
    theirs = 'c = get_config()\nc.CourseDirectory.release_directory = "handed_out"\nc.ClearSolutions.text_stub = "TODO"\n'
    (tmp_path / configuration.CONFIG).write_text(theirs + lines, encoding="utf-8")
    course, ours = configuration.read(tmp_path), configuration.read(ROOT)
    assert course.CourseDirectory == {"release_directory": "handed_out"}
    assert course.ClearSolutions.text_stub == "TODO"
    for section in ("Autograde", "GenerateAssignment", "GenerateFeedback", "HTMLExporter"):
        assert course[section] == ours[section] != {}
    assert configuration.settings(course) == Settings()


# --- the Makefile and what runs it -----------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile and what its stamp depends on."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake(folder, name, script):
    """A program of that name in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_make_test_lints_and_runs_pytest_on_every_file_once():
    planned = run("make", "--dry-run", "test").stdout
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        assert command in planned
    together, alone = re.findall(r"-m pytest (.+)", planned)
    left_out = re.findall(r"--ignore (\S+)", together)
    assert left_out == re.findall(r"\S+\.py", alone)
    assert not re.search(r" -[km] |--deselect|\.py", together.partition("--ignore")[0])
    assert [(ROOT / name).is_file() for name in left_out] == [True]


def test_make_check_lints_and_leaves_the_sandboxed_tests_out():
    planned = run("make", "--dry-run", "check").stdout
    for command in ("ruff check .", "mypy", '-m "not sandboxed"'):
        assert command in planned


def test_make_installs_again_only_when_the_requirements_changed(checkout):
    assert "pip install" in run("make", "--dry-run", "demo", cwd=checkout).stdout
    (checkout / ".venv").mkdir()
    (checkout / ".venv/ready").touch()
    assert "pip install" not in run("make", "--dry-run", "demo", cwd=checkout).stdout
    os.utime(checkout / ".venv/ready", (0, 0))
    assert "pip install" in run("make", "--dry-run", "demo", cwd=checkout).stdout


def test_make_installs_torch_from_the_index_that_was_named(checkout):
    planned = run("make", "--dry-run", "demo", "TORCH_INDEX=https://index.invalid/cpu", cwd=checkout).stdout
    assert planned.index('--index-url "https://index.invalid/cpu" torch') < planned.index("--editable")


def test_make_names_a_python_that_is_too_old(checkout):
    fake(checkout, "python", 'test "$1" = --version && echo Python 3.9.1; exit 1')
    made = run("make", "demo", "PYTHON=./python", cwd=checkout)
    assert made.returncode != 0
    assert "Python 3.11 or newer is needed; ./python is: Python 3.9.1" in made.stdout
    assert "make demo PYTHON=python3.12" in made.stdout


def test_make_says_how_to_install_bubblewrap_where_it_may_not(checkout):
    fake(checkout / "bin", "id", "echo 1000")
    made = run(shutil.which("make"), "sandbox", cwd=checkout, PATH=str(checkout / "bin"))
    assert made.returncode == 0
    assert "sudo apt-get install bubblewrap" in made.stdout


def test_make_fetches_package_lists_before_it_gives_up_on_bubblewrap(checkout):
    """As in a fresh container: root, and no package lists."""
    programs = checkout / "bin"
    fake(programs, "id", "echo 0")
    fake(programs, "apt-get", 'echo "$1" >>log; case "$1" in update) echo >lists;; *) test -e lists;; esac')
    made = run(shutil.which("make"), "sandbox", cwd=checkout, PATH=str(programs))
    assert made.returncode == 0
    assert made.stdout == "Installing bubblewrap with apt-get\n"
    assert (checkout / "log").read_text().split() == ["install", "update", "install"]


@pytest.mark.parametrize(("target", "package"), [("browser", "chromium"), ("database", "postgresql")])
def test_make_test_wants_programs_and_does_without_where_it_may_not_install_them(checkout, target, package):
    assert package in run("make", "--dry-run", "test").stdout
    assert package not in run("make", "--dry-run", "demo").stdout
    fake(checkout / "bin", "id", "echo 1000")
    made = run(shutil.which("make"), target, cwd=checkout, PATH=str(checkout / "bin"))
    assert made.returncode == 0
    assert f"sudo apt-get install {package}" in made.stdout


def test_ci_runs_make_test_unattended_and_passes_its_failure_on(tmp_path):
    assert os.access(ROOT / ".ci/run", os.X_OK)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text("test:\n\t@echo CI is $$CI; cat; exit 3\n", encoding="utf-8")
    # Called by make, this test inherits what makes an inner make talk about its folder.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run([tmp_path / ".ci/run"], cwd="/", text=True, input="typed", capture_output=True, env=clean)
    assert done.returncode != 0
    assert done.stdout == "CI is true\n"


def test_the_workflow_calls_ci_run_on_linux():
    (job,) = [job for job in WORKFLOW["jobs"].values() if job["runs-on"] == "ubuntu-latest"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert "3.11" in job["strategy"]["matrix"]["python"]


def test_the_workflow_runs_the_release_on_the_students_systems_without_our_package():
    (job,) = [job for job in WORKFLOW["jobs"].values() if "os" in job["strategy"]["matrix"]]
    assert set(job["strategy"]["matrix"]["os"]) == {"macos-latest", "windows-latest"}
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [
        "python -m pip install torch numpy matplotlib tqdm nbclient ipykernel",
        f"python tools/run_release.py {RELEASE}",
    ]


# --- the scripts in tools/ -------------------------------------------------------------------------------------------


def test_the_release_runs_up_to_its_first_task_and_says_so():
    done = run(sys.executable, "tools/run_release.py", RELEASE)
    assert done.returncode == 0, done.stderr
    assert "ran up to reparameterize and said: Task 1 is still to do" in done.stdout


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1", "ran to its end"),
        ("raise Exception('Task 1 is still to do')", "failed first at a cell without nbgrader metadata"),
    ],
    ids=["runs to its end", "fails early"],
)
def test_a_release_that_does_not_fail_first_at_its_first_task_is_refused(tmp_path, source, sentence):
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), tmp_path / "other.ipynb")
    main = runpy.run_path(str(ROOT / "tools/run_release.py"))["main"]
    with pytest.raises(SystemExit, match=sentence):
        main(tmp_path / "other.ipynb")


def test_make_lesson_keeps_outputs_and_drops_what_differs_on_every_run(tmp_path):
    cells = [
        new_code_cell("from tqdm import tqdm\nprint('a')\nfor _ in tqdm(range(2)): pass\nprint('b')"),
        new_code_cell("import sys\nprint('trouble', file=sys.stderr)"),
        new_code_cell("for _ in tqdm(range(2), file=sys.stdout, leave=False): pass\nprint('c')"),
    ]
    path = tmp_path / "lesson.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path)
    runpy.run_path(str(ROOT / "tools/run_lesson.py"))["main"](path)
    lesson = nbformat.read(path, as_version=4)
    outputs = [[(output["name"], output["text"]) for output in cell.outputs] for cell in lesson.cells]
    assert outputs == [[("stdout", "a\nb\n")], [("stderr", "trouble\n")], [("stdout", "c\n")]]
    assert lesson.metadata == {"language_info": {"name": "python"}}
    assert not any("execution" in cell.metadata for cell in lesson.cells)


# --- environments ----------------------------------------------------------------------------------------------------


def requirements():
    """name → range of each dependency in pyproject.toml, those of the tests included."""
    listed = [
        *PROJECT["dependencies"],
        *(part for extra in PROJECT["optional-dependencies"].values() for part in extra),
    ]
    return dict(re.fullmatch(r"([\w.-]+)(?:\[\w+\])?(.*)", requirement).groups() for requirement in listed)


def test_ranges_in_pyproject_are_open():
    for name, versions in requirements().items():
        assert re.fullmatch(r">=[\d.]+", versions), f"{name}{versions}"


def test_constraints_pin_torch():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if line.startswith("torch==")]
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+", line) for line in pins)
    assert {line.split("==")[0] for line in pins} <= set(requirements())


def test_the_conda_environment_is_that_of_pyproject():
    expected = [re.sub(r"^[\w-]+", lambda name: CONDA_NAMES.get(name[0], name[0]), line) for line in PROJECT["dependencies"]]
    expected += [f"python{PROJECT['requires-python']}", "pip"]
    packages = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    assert sorted(packages) == sorted(expected)
    assert [line for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)] == [{"pip": ["-e ."]}]


def test_the_changelog_knows_the_version():
    assert f"\n## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- all files -------------------------------------------------------------------------------------------------------

HOSTS = ["pypi.org", "pythonhosted.org", "download.pytorch.org", "npmjs.org", "deb.debian.org", "anaconda.org"]
# The sandbox's own /home/student is nobody's home.
PATHS = r"/home/(?!student\b)\w+|/Users/\w+|C:\\+Users|/tmp/(?:ipykernel|pip)"


def test_no_file_names_a_package_registry():
    found = [(name, host) for name, text in text_files() for host in HOSTS if host in text and name != "tests/test_project.py"]
    assert not found


def test_no_file_names_a_path_of_somebodys_machine():
    for name, text in text_files():
        if name != "tests/test_project.py":
            assert str(ROOT) not in text, f"{name} names this checkout's own path"
            assert not (match := re.search(PATHS, text)), f"{name}: {match[0]}"


@pytest.mark.sandboxed
@needs_sandbox
def test_the_benchmarks_of_marking_still_run(tmp_path):
    """An evening of one student, and the floor of a right answer: some of the catalogue's abort the interpreter."""
    code = f"""
        import pathlib, sys
        import nbformat
        from autograder.course.fill import fill
        from autograder.vae_swiss_roll.samples import RIGHT
        sys.path.insert(0, "benchmarks")
        import evening, grading
        parts = {{part: evening.OURS[part] for part in ("mark", "feedback", "feedback again")}}
        parts["mark"] = [*parts["mark"], "--workers", "1"]
        costs = evening.evening(grading.Maker(pathlib.Path({str(tmp_path)!r})), 1, parts)
        right = nbformat.writes(fill(nbformat.read({RELEASE!r}, as_version=4), RIGHT)).encode()
        print(grading.report([costs["mark"], grading.floor([right])], []))
        print(evening.report(1, {{"mark": costs["mark"]}}, {{1: costs, 2: costs}}))
    """
    done = run(sys.executable, "-c", QUICKLY + textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^\| mark \| 1 \| [\d.]+ \| [\d.]+ \| [\d,]+ \| [\d,]+ \| [\d,]+ \| 1\.0 \| [\d.]+ \|$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^\| floor \| 1 \|", done.stdout, re.MULTILINE)
    assert re.search(r"^\| \| stock: s \|", done.stdout, re.MULTILINE)
    assert re.search(r"^\| \| stock, scaled from 1: s \|", done.stdout, re.MULTILINE)
    assert re.search(r"^\| mark \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d+ \|$", done.stdout, re.MULTILINE)
    assert re.search(r"^\| feedback \|  \|  \| [\d.]+ \| [\d.]+ \| [\d.]+ \|  \|$", done.stdout, re.MULTILINE)
