"""Hostile, broken and unlucky submissions in one class with honest ones: each gets its score, and nobody else notices."""

import concurrent.futures
import functools
import gc
import json
import multiprocessing
import os
import pathlib
import pickle
import random
import resource
import tempfile
import time

import nbformat
import pytest

from autograder import assignment as assignments
from autograder.course.selftest import catalogue, submission
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.sandbox.outside.limits import Limits
from autograder.vae_swiss_roll.samples import ANSWERS
from tests.conftest import ORDINARY_USER, ROOT, with_python_open_to_all
from tests.hostile import submissions

pytestmark = pytest.mark.sandboxed

# Shorter than the defaults, so that what never ends is soon told.
LIMITS = Limits(cell_seconds=8, call_seconds=3, submission_seconds=60, disk_bytes=32 * 1024**2)
HONEST = 20


def mark(raw):
    """(verdict as JSON without its duration, everything a person would read); runs in another process, too."""
    graded = grade(raw, assignments.load("vae_swiss_roll"), Settings(limits=LIMITS))
    verdict = graded.verdict.to_json("notebook.ipynb")
    del verdict["seconds"]
    page = "" if graded.outputs is None else json.dumps(graded.outputs)
    return json.dumps(verdict), page


@pytest.fixture(scope="module")
def hostile(release):
    return submissions(release)


@pytest.fixture(scope="module")
def honest(release, assignment):
    """The raw submissions of some of the catalogue, right and wrong."""
    entries = random.Random(1).sample(catalogue(assignment), HONEST)
    return [nbformat.writes(submission(release, ANSWERS, entry)).encode() for entry in entries]


@pytest.fixture(scope="module")
def alone(honest):
    """What the honest ones get when nobody attacks."""
    return [mark(raw)[0] for raw in honest]


def traces():
    """What an attack could leave on this machine: files, mounts, processes."""
    places = [pathlib.Path("/tmp"), pathlib.Path("/var/tmp"), pathlib.Path.home(), pathlib.Path.cwd(), pathlib.Path("/dev/shm")]
    files = {str(path) for place in places for path in place.glob("PWNED*")}
    mounts = set(pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
    return files, mounts, workers()


def workers():
    """The processes of workers: those under their uids, and those in another pid namespace that are ours."""
    own, found = pathlib.Path("/proc/self/ns/pid").readlink(), set()
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns" / "pid").readlink() != own and path.joinpath("stat").read_text().rpartition(")")[2].split()[
                0
            ] != "Z":
                found.add(path.name)
        except OSError:
            continue
    return found


def in_parallel(raws):
    """What `mark` finds for each, three at a time."""
    with concurrent.futures.ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        return dict(zip(raws, pool.map(mark, raws), strict=True))


def as_an_ordinary_user(raws):
    """The same, for a user with no rights."""
    if os.geteuid() != 0:
        pytest.skip("this is an ordinary user already")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        path.chmod(0o777)
        (path / "raws").write_bytes(pickle.dumps(raws))
        code = f"""
            import pickle, sys
            sys.path.insert(0, {str(ROOT)!r})
            from tests import test_hostile
            found = test_hostile.in_parallel(pickle.load(open("{path}/raws", "rb")))
            open("{path}/found", "wb").write(pickle.dumps(found))
        """
        done = with_python_open_to_all(code, ORDINARY_USER, {"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr[-3000:]
        return pickle.loads((path / "found").read_bytes())


WAYS = {
    "serial": lambda raws: {raw: mark(raw) for raw in raws},
    "parallel": in_parallel,
    "as an ordinary user": as_an_ordinary_user,
}


@pytest.fixture(scope="module", params=WAYS)
def class_(request, hostile, honest):
    """(submission → (verdict, page), traces before and after, growth of this process in MiB) of a class, in random order."""
    raws = [entry.raw for entry in hostile] + honest
    order = random.Random(request.param).sample(raws, len(raws))
    before = traces()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = WAYS[request.param](order)
    gc.collect()
    after = traces()
    for _ in range(100):  # another grader on this machine has workers too, but not the same ones for long
        if after[2] <= before[2]:
            break
        time.sleep(1)
        after[2].intersection_update(workers())
    return found, before, after, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024


def test_every_hostile_submission_gets_the_score_that_its_honest_content_deserves(class_, hostile):
    found = class_[0]
    wrong = []
    for entry in hostile:
        verdict = json.loads(found[entry.raw][0])
        got = verdict["status"], verdict.get("score", 0.0)
        if not entry.as_expected(*got):
            wrong.append((entry.name, got, (entry.status, entry.min_score, entry.max_score)))
    assert wrong == []


def test_the_honest_ones_get_what_they_get_alone(class_, honest, alone):
    assert [class_[0][raw][0] for raw in honest] == alone


def test_nothing_is_left_behind_and_memory_does_not_grow(class_):
    _, before, after, growth = class_
    for left, was_there in zip(after, before, strict=True):
        assert left <= was_there
    assert growth < 400


def test_no_page_carries_a_hidden_input_or_anything_that_a_browser_would_run(class_, hostile):
    for entry in hostile:
        verdict, page = class_[0][entry.raw]
        told = "".join(check["message"] for check in json.loads(verdict).get("checks", []))
        assert "LEAK" not in told, entry.name
        if page:
            kinds = {kind for output in outputs(page) for kind in output.get("data", {})}
            assert kinds <= {"text/plain", "image/png", "image/jpeg"}, entry.name


def outputs(page):
    return [output for cell in json.loads(page).values() for output in cell]


def test_the_catalogue_has_every_kind(hostile):
    count = functools.reduce(lambda found, entry: {**found, entry.kind: found.get(entry.kind, 0) + 1}, hostile, {})
    assert len(hostile) >= 50
    assert min(count[kind] for kind in ("cheat", "harm", "damage")) >= 8
    assert all(len(entry.why) > 40 for entry in hostile)
