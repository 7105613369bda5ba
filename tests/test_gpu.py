"""Marking on a GPU: who gets it, what a worker sees of it, and, where there is one, that the marks are the same."""

import os
import pathlib
import stat
import threading

import nbformat
import pytest

from autograder.course import selftest
from autograder.errors import SandboxError
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.sandbox.outside import bubblewrap, conformance, gpu
from autograder.sandbox.outside.limits import GIB, Limits
from tests.commands import PATIENCE

pytestmark = pytest.mark.sandboxed

on_a_gpu = pytest.mark.skipif(not gpu.available(), reason="needs a GPU, and a torch that can use it")


@pytest.mark.skipif(bool(gpu.available()), reason="says what happens without a GPU")
def test_without_a_gpu_it_is_pretended_unless_a_course_insists():
    for device in ("auto", "cpu"):
        with gpu.lease(device) as leased:
            assert leased is None
    with pytest.raises(SandboxError, match="torch finds none here"), gpu.lease("cuda"):
        pass


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(SandboxError, match="no device 'tpu' to mark on"), gpu.lease("tpu"):
        pass


@pytest.fixture
def nodes():
    """Two device nodes that stand for GPUs: to the lock and to the sandbox, a device is a device."""
    paths = [pathlib.Path(f"/tmp/autograder-gpu{number}-{os.getpid()}") for number in range(2)]
    try:
        for path in paths:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            path.chmod(0o666)
            path.open("rb").close()
        yield list(map(str, paths))
    except OSError as error:
        pytest.skip(f"device nodes cannot be made here: {error}")
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_one_submission_per_gpu(nodes):
    third = threading.Event()

    def wait():
        with gpu.lease("auto", nodes) as leased:
            order.append(leased.nodes[0])
            third.set()

    order = []
    with gpu.lease("auto", nodes) as first:
        with gpu.lease("auto", nodes) as second:
            assert {first.nodes[0], second.nodes[0]} == set(nodes)
            thread = threading.Thread(target=wait)
            thread.start()
            assert not third.wait(0.5)
        assert third.wait(PATIENCE)
    thread.join()
    assert order == [second.nodes[0]]


@pytest.mark.parametrize("start", [bubblewrap.start_warm, bubblewrap.start_cold], ids=["warm", "cold"])
def test_a_worker_gets_the_nodes_of_its_gpu_and_address_space_for_cuda(nodes, start):
    code = f"""
import mmap
result = []
for node in {nodes!r}:
    try:
        with open(node, "r+b", buffering=0) as file:
            result.append(file.write(b"x"))
    except OSError:
        result.append(None)
try:
    result.append(len(mmap.mmap(-1, {3 * GIB}, flags=mmap.MAP_PRIVATE | 0x4000)))
except OSError:
    result.append(None)
import os
result.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
"""
    limits = Limits(memory_bytes=2 * GIB)
    for leased, expected in (
        (gpu.Gpu((nodes[1],)), [None, 1, 3 * GIB, None]),
        (None, [None, None, None, ""]),
    ):
        worker = start(conformance.PROBES, limits, leased)
        try:
            reply, _ = worker.call({"code": code}, {}, PATIENCE, "the probe")
        finally:
            worker.kill()
        assert reply["result"] == expected, reply


@on_a_gpu
def test_the_gpu_of_this_machine_marks_through_the_sandbox(submission, assignment):
    verdict = grade(submission(), assignment, Settings(device="cuda")).verdict
    assert verdict.score == verdict.max_score


@on_a_gpu
@pytest.mark.parametrize("name", ["cpu-noise", "fixed-cuda", "generator-on-the-cpu", "prior-on-the-cpu", "cpu-noise-moved"])
def test_device_mistakes_cost_the_same_on_a_gpu_and_on_a_pretended_one(release, assignment, name):
    found = [entry for entry in selftest.catalogue(assignment) if entry.name == name]
    assert found
    for entry in found:
        raw = nbformat.writes(selftest.submission(release, assignment.samples.ANSWERS, entry)).encode()
        pretended, real = (grade(raw, assignment, Settings(device=device)).verdict for device in ("cpu", "cuda"))
        assert [check.points for check in real.checks] == [check.points for check in pretended.checks]
