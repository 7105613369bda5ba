"""What the tests share: the assignment, a fresh release, and submissions made from it."""

import concurrent.futures
import contextlib
import dataclasses
import gc
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import venv

import hypothesis
import nbformat
import pytest
import torch
from nbgrader import api

from autograder import assignment as assignments
from autograder.course import executors
from autograder.course.fill import fill
from autograder.course.folder import Course, gradebook_version
from autograder.grading.submission import grade
from autograder.sandbox.outside.warm import Zygote
from autograder.vae_swiss_roll.samples import RIGHT

ROOT = pathlib.Path(__file__).parent.parent

# The same cases on every run; `pytest --hypothesis-profile default` looks for others.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

torch.set_num_threads(1)  # there are as many processes as cores

# For gradebooks that tests make with nbgrader alone: see `no_alembic`.
api.get_alembic_version = gradebook_version


@pytest.fixture(scope="session")
def assignment():
    return assignments.load("vae_swiss_roll")


# Begun first, where several files run at a time, so that none is left at the end: those that take half a minute and more, the
# longest first.
LONGEST = [
    *("test_project", "test_grade", "test_jupyterlab", "test_course", "test_browser", "test_mutants", "test_catalogue"),
    *("test_after_marking", "test_repeatability", "test_evening", "test_marks", "test_variants", "test_notebooks"),
    *("test_slips", "test_new_assignment"),
]


def pytest_collection_modifyitems(items):
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish():
    """What was imported is not looked at again, whenever Python looks for garbage."""
    gc.collect()
    gc.freeze()


def in_folder(assignment, folder):
    """The assignment, with its parts in another folder."""
    other = dataclasses.replace(assignment)
    vars(other)["folder"] = folder
    return other


@pytest.fixture(scope="session")
def new_course(tmp_path_factory):
    """`new_course()` → a Course in a folder of its own, with configuration and source, before anything was generated."""

    def make():
        root = tmp_path_factory.mktemp("course")
        shutil.copy(ROOT / "nbgrader_config.py", root)
        shutil.copytree(ROOT / "source", root / "source")
        return Course(root)

    return make


@pytest.fixture(scope="session")
def release(new_course, assignment):
    """The release as nbgrader generates it from the source as it is now."""
    return nbformat.read(new_course().generate_assignment(assignment), as_version=4)


@pytest.fixture(scope="session")
def submission(release):
    """`submission(vae_model=..., vae_loss=...)` → the bytes of a submission; what is not named is answered right."""

    def make(**answers):
        return nbformat.writes(fill(release, {**RIGHT, **answers})).encode()

    return make


@pytest.fixture(scope="session")
def verdict(submission, assignment):
    """`verdict(...)` → the Verdict on such a submission."""
    return lambda **answers: grade(submission(**answers), assignment).verdict


def with_the_wheel_alone(folder):
    """An environment that has our wheel and no clone of ours, made in that folder. → (its Python, the variables to use it)

    Its libraries are those of the environment that runs the tests: nothing is fetched.
    """
    pip, quietly = [sys.executable, "-m", "pip"], ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "wheel", *quietly, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    (folder / f"env/lib/python{sysconfig.get_python_version()}/site-packages/libraries.pth").write_text(
        sysconfig.get_path("purelib")
    )
    subprocess.run([*pip, "--python", python, "install", *quietly, "--no-cache-dir", wheel], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    env["JUPYTER_PATH"] = str(pathlib.Path(sys.prefix) / "share/jupyter")  # nbconvert's templates
    # As for somebody who has not activated the environment: nbgrader's `alembic` is not found.
    env["PATH"] = os.pathsep.join([str(pathlib.Path(shutil.which("bwrap")).parent), "/usr/bin", "/bin"])
    return python, env


@contextlib.contextmanager
def pool(workers):
    """A pool of processes that mark as those of a class do: forked from what was imported once, with warm processes alike."""
    ours = assignments.load("vae_swiss_roll")
    context = executors.context(ours, __name__)
    with (
        Zygote.of(ours.operations, None).twin() as warm,
        concurrent.futures.ProcessPoolExecutor(workers, context, start_process, (ours.operations, warm)) as made,
    ):
        yield made


def start_process(operations, warm):
    executors.start_process(operations, Zygote(warm).twin())


# Becomes a user with no rights and nothing in its environment.
ORDINARY_USER = "setpriv --reuid=12345 --regid=12345 --clear-groups env -i PATH=/usr/bin:/bin HOME=/tmp"


# Before code that a new Python runs: as the commands begin.
QUICKLY = "from autograder.quick import start_quickly\nstart_quickly()\n"


def with_python_open_to_all(code, become="", environment=os.environ):
    """Runs code where /root can be passed by everybody, in a mount namespace; the machine itself stays as it is.

    Args:
        become: a command that runs Python as somebody else.
    """
    prefix = pathlib.Path(sys.base_prefix)
    with tempfile.TemporaryDirectory() as folder:
        script = f"""
            set -e
            mkdir {folder}/base
            mount --bind {prefix} {folder}/base
            case {prefix} in /root/*)
                mount -t tmpfs -o mode=755 tmpfs /root; mkdir -p {prefix}; mount --bind {folder}/base {prefix};;
            esac
            exec {become} {sys.executable} -c "$CODE"
        """
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", textwrap.dedent(script)],
            env={**environment, "CODE": QUICKLY + textwrap.dedent(code)},
            capture_output=True,
            text=True,
            timeout=1800,
            cwd="/tmp",
        )
