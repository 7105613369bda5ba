"""What the tests share: the assignment, a fresh release, and submissions made from it."""

import pathlib
import shutil

import nbformat
import pytest

from autograder import assignment as assignments
from autograder.course.fill import fill
from autograder.course.folder import Course
from autograder.grading.submission import grade
from autograder.vae_swiss_roll.samples import RIGHT

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="session")
def assignment():
    return assignments.load("vae_swiss_roll")


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
    return nbformat.read(new_course().generate_assignment(assignment.name), as_version=4)


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
