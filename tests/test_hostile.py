"""Hostile, broken and unlucky submissions in one class with honest ones: each gets its score, and nobody else notices."""

import contextlib
import ctypes
import functools
import json
import os
import pathlib
import pickle
import random
import resource
import tempfile

import nbformat
import psutil
import pytest

from autograder import assignment as assignments
from autograder.course.selftest import catalogue, submission
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.sandbox.outside.limits import GIB, MIB, Limits
from autograder.vae_swiss_roll.samples import ANSWERS
from tests.conftest import ORDINARY_USER, ROOT, pool, with_python_open_to_all
from tests.hostile import submissions

pytestmark = pytest.mark.sandboxed

# Below the defaults, so that what never ends, or fills memory, is soon told. A submission gets far more time than any takes:
# how long that is, is the machine's affair.
LIMITS = Limits(cell_seconds=5, call_seconds=2, submission_seconds=600, disk_bytes=32 * MIB, total_memory_bytes=3 * GIB)
HONEST = 20
AT_A_TIME = 6  # more than there are cores: most of the hostile ones wait


def mark(raw):
    """(verdict as JSON without its duration, everything a person would read, who marked and its memory in MiB)"""
    graded = grade(raw, assignments.load("vae_swiss_roll"), Settings(limits=LIMITS))
    verdict = graded.verdict.to_json("notebook.ipynb")
    del verdict["seconds"]
    page = "" if graded.outputs is None else json.dumps(graded.outputs)
    return json.dumps(verdict), page, (os.getpid(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


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


def adopt_orphans():
    """Makes this process the parent of whatever its graders leave behind: `workers` then sees it."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


PR_SET_CHILD_SUBREAPER = 36


def workers():
    """The processes below this one that live in another pid namespace: workers and what they started."""
    own, found = pathlib.Path("/proc/self/ns/pid").readlink(), set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            elsewhere = pathlib.Path(f"/proc/{process.pid}/ns/pid").readlink() != own
            if elsewhere and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def in_parallel(raws):
    """What `mark` finds for each, some at a time."""
    with pool(AT_A_TIME) as graders:
        return dict(zip(raws, graders.map(mark, raws), strict=True))


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


WAYS = {"as root or who it is": in_parallel, "as an ordinary user": as_an_ordinary_user}


@pytest.fixture(scope="module", params=WAYS)
def class_(request, hostile, honest):
    """(submission → what `mark` found, traces before and after) of a class, in random order, some at a time."""
    raws = [entry.raw for entry in hostile] + honest
    order = random.Random(request.param).sample(raws, len(raws))
    adopt_orphans()
    before = traces()
    found = WAYS[request.param](order)
    return found, before, traces()


def test_every_hostile_submission_gets_the_score_that_its_honest_content_deserves(class_, hostile):
    found = class_[0]
    wrong = []
    for entry in hostile:
        verdict = json.loads(found[entry.raw][0])
        got = verdict["status"], verdict.get("score", 0.0)
        if not entry.as_expected(*got):
            told = [verdict.get("notes"), *(check["message"] for check in verdict.get("checks", []))]
            wrong.append((entry.name, got, (entry.status, entry.min_score, entry.max_score), told))
    assert wrong == []


def test_the_honest_ones_get_what_they_get_alone(class_, honest, alone):
    assert [class_[0][raw][0] for raw in honest] == alone


def test_nothing_is_left_behind_and_memory_does_not_grow(class_):
    found, before, after = class_
    for left, was_there in zip(after, before, strict=True):
        assert left <= was_there
    of_each = {}
    for pid, memory in (who for _, _, who in found.values()):
        of_each.setdefault(pid, []).append(memory)
    assert len(of_each) == AT_A_TIME
    for memory in of_each.values():
        assert max(memory) - min(memory) < 200


def test_no_page_carries_a_hidden_input_or_anything_that_a_browser_would_run(class_, hostile):
    for entry in hostile:
        verdict, page, _ = class_[0][entry.raw]
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
