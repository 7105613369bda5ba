"""One set of probes for every sandbox: what holds, what does not, and that `doctor` says so."""

import os
import pathlib
import tempfile
import textwrap

import pytest

from autograder.errors import SandboxError, WorkerDied
from autograder.sandbox.outside import backends, bubblewrap, conformance, plain
from autograder.sandbox.outside.limits import MIB, Limits
from tests.commands import PATIENCE
from tests.conftest import with_python_open_to_all
from tests.test_cli import run as autograder

pytestmark = pytest.mark.sandboxed

# What each backend is known not to guarantee. Everything else must hold.
MISSING = {
    "bubblewrap": set(),
    "uid": {"hidden checks", "shared /tmp", "network", "processes seen", "disk", "writing"},  # /var/tmp is open to all
    "none": {
        "other files",
        "hidden checks",
        "writing",
        "shared /tmp",
        "network",
        "processes seen",
        "processes signalled",
        "privileges",
        "environment",
        "process count",
        "disk",
        "end",
    },
}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("start", [bubblewrap.start_warm, bubblewrap.start_cold], ids=["warm", "cold"])
def test_bubblewrap_guarantees_everything(start):
    assert {r.guarantee.name: r.seen for r in conformance.examine(start) if not r.holds} == {}


def test_without_a_sandbox_the_probes_notice():
    """The same probes, where nothing protects: a probe that held here would be worth nothing elsewhere."""
    missing = {result.guarantee.name for result in conformance.examine(plain.start_none) if not result.holds}
    expected = MISSING["none"] - (set() if os.geteuid() == 0 else {"writing", "privileges"})
    assert expected <= missing
    assert missing <= MISSING["none"]


def test_a_probe_that_kills_its_worker_is_one_that_does_not_hold(monkeypatch):
    monkeypatch.setattr(conformance, "GUARANTEES", [])
    monkeypatch.setattr(conformance, "LINGER", "import os\nos._exit(1)")
    (end,) = conformance.examine(bubblewrap.start_warm)
    assert (end.guarantee, end.holds) == (conformance.ENDS, False)


@pytest.mark.parametrize("start", [bubblewrap.start_cold, plain.start_none], ids=["bubblewrap, cold", "none"])
def test_looking_for_what_is_left_ends_no_worker_of_others(monkeypatch, start):
    """A class may be marked by the same user meanwhile."""
    monkeypatch.setattr(conformance, "GUARANTEES", [])
    others = start(conformance.PROBES, Limits())
    try:
        (end,) = conformance.examine(plain.start_none)
        assert not end.holds
        assert others.channel.call({"code": "result = 5"}, {}, PATIENCE, "the other")[0]["result"] == 5
    finally:
        others.kill()


@AS_ROOT
def test_another_uid_guarantees_what_it_can():
    """In a mount namespace of its own, where the folders above the interpreter are open to other users."""
    code = """
        from autograder.sandbox.outside import conformance, plain
        print("missing:", sorted(r.guarantee.name for r in conformance.examine(plain.start_uid) if not r.holds))
    """
    done = with_python_open_to_all(code)
    assert done.stdout == f"missing: {sorted(MISSING['uid'])}\n", done.stdout + done.stderr


@AS_ROOT
def test_another_uid_marks_as_the_sandbox_does(submission):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "good.ipynb").write_bytes(submission())
        code = f"""
            from autograder import assignment
            from autograder.grading.settings import Settings
            from autograder.grading.submission import grade
            raw = open({folder!r} + "/good.ipynb", "rb").read()
            verdict = grade(raw, assignment.load("vae_swiss_roll"), Settings(sandbox="uid")).verdict
            print(verdict.score, [note for note in verdict.notes if "user id" in note] != [])
        """
        done = with_python_open_to_all(code)
    assert done.stdout == "8.0 True\n", done.stdout + done.stderr


@AS_ROOT
def test_another_uids_processes_are_ended_when_together_they_hold_too_much():
    """Each takes less than one may; and one that hides who owns it counts, too."""
    code = """
        from autograder.errors import WorkerDied
        from autograder.sandbox.outside import conformance, plain
        from autograder.sandbox.outside.limits import Limits, MIB
        HOG = '''
        import ctypes, os, time
        for _ in range({count}):
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
                held = bytearray(100 * 2**20)
                held[::4096] = b"1" * len(held[::4096])
                time.sleep(60)
                os._exit(0)
        time.sleep({seconds})
        result = True
        '''
        worker = plain.start_uid(conformance.PROBES, Limits(total_memory_bytes=600 * MIB))
        try:
            for count, seconds in ((2, 1), (4, 20)):  # six in the end
                asked = {"code": conformance.fill(HOG, {"count": count, "seconds": seconds})}
                print(count, worker.channel.call(asked, {}, 600, "the hog")[0]["result"])
        except WorkerDied:
            print(count, "ended")
        worker.kill()
    """
    done = with_python_open_to_all(code)
    assert done.stdout == "2 True\n4 ended\n", done.stdout + done.stderr


HOARDS = {
    "files without a name, never mapped": """
        import os, time
        kept = [os.memfd_create(f"{n}") for n in range(count)]
        for each in kept:
            os.write(each, bytes(20 * 2**20))
    """,
    "maps that processes share": """
        import mmap, os, time
        for _ in range(5):
            if os.fork() == 0:
                held = mmap.mmap(-1, count * 4 * 2**20)
                held[:] = b"1" * len(held)
                time.sleep(60)
                os._exit(0)
    """,
}


@pytest.mark.parametrize("hoard", HOARDS)
def test_what_is_no_processs_private_memory_counts_too(hoard):
    def holds(count):
        worker = bubblewrap.start_warm(conformance.PROBES, Limits(total_memory_bytes=800 * MIB))
        try:
            code = f"count = {count}\n{textwrap.dedent(HOARDS[hoard])}\ntime.sleep({1 if count < 9 else 20})\nresult = True"
            return worker.channel.call({"code": code}, {}, PATIENCE, "the hoard")[0]["result"]
        finally:
            worker.kill()

    assert holds(5)
    with pytest.raises(WorkerDied):
        holds(50)


def test_another_uid_is_refused_to_an_ordinary_user_and_where_python_is_closed(monkeypatch):
    monkeypatch.setattr(plain.os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="only root"):
        plain.start_uid(conformance.PROBES, conformance.LIMITS)


def test_none_marks_with_a_warning_in_every_output(submission, tmp_path):
    (tmp_path / "good.ipynb").write_bytes(submission())
    for arguments in ((), ("--json",)):
        done = autograder("check", "--sandbox", "none", *arguments, tmp_path / "good.ipynb")
        assert done.returncode == 0, done.stderr
        assert "WITHOUT a sandbox" in " ".join(done.stdout.split())


def test_no_backend_is_chosen_unless_it_is_named():
    with pytest.raises(SandboxError, match="Known: bubblewrap, uid, none"):
        backends.get("docker")
