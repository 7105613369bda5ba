"""Workers without namespaces, for machines that refuse them.

    uid     another user id for each worker, limits, no privileges: what is possible in a container without extra rights
            (Gradescope, plain Docker). Needs root. File permissions are what keeps the worker from other files, and
            nothing keeps it from the network: take the machine off it.
    none    the grader's own user, with limits only. For a file that you have read, or your own.

`autograder doctor` shows what each of them guarantees on this machine.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from autograder.errors import SandboxError
from autograder.sandbox.outside import room
from autograder.sandbox.outside.bubblewrap import python_prefixes
from autograder.sandbox.outside.gpu import Gpu
from autograder.sandbox.outside.handle import FIRST_UID, Worker, greet, limits_with
from autograder.sandbox.outside.limits import Limits
from autograder.sandbox.outside.processes import variables
from autograder.sandbox.outside.usage import Watch, of_user

_numbers = itertools.count()
# Ends every process of a user, itself included: nothing that forks faster than one looks can escape.
SWEEP = "import os, sys; uid = int(sys.argv[1]); os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid); "
SWEEP += "os.kill(-1, 9)"


def start_uid(operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> Worker:
    """A `backends.Backend`: a worker under a uid of its own; SandboxError when the grader is not root."""
    if not hasattr(os, "setresuid") or os.geteuid() != 0:
        raise SandboxError(
            "The sandbox `uid` runs each submission under another user id, and only root may do that: run the grader as root "
            "(in a container, usually), or use the sandbox `bubblewrap`."
        )
    closed = [path for path in python_and_its_parents() if path.stat().st_mode & 0o005 != 0o005]
    if closed:
        raise SandboxError(
            f"Another user id cannot reach the Python at {sys.executable}: {closed[0]} is closed to other users. Open it with "
            f"`chmod o+rx {closed[0]}`, or install Python and this package elsewhere."
        )
    return start(operations, limits, FIRST_UID + 1_000_000 + os.getpid() % 10_000 * 100 + next(_numbers) % 100, gpu)


def python_and_its_parents() -> list[pathlib.Path]:
    """The folders that a worker needs to run this Python, from the root down."""
    return sorted({parent for prefix in python_prefixes() for parent in (prefix, *prefix.parents)})


def start_none(operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> Worker:
    """A `backends.Backend`: a worker as the grader's own user."""
    return start(operations, limits, None, gpu)


def start(operations: pathlib.Path, limits: Limits, uid: int | None, gpu: Gpu | None) -> Worker:
    """A cold Python that becomes the worker in a folder of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="autograder-", dir="/tmp"))  # socket paths end at 107 bytes
    own, home, scratch = (folder / name for name in ("room", "home", "tmp"))
    for path in (own, home, scratch):
        path.mkdir()
    for source, name in room.files(operations):
        (own / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, own / name)
    if uid is not None:
        folder.chmod(0o711)
        for path in (own, *own.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for path in (home, scratch):
            os.chown(path, uid, uid)
            path.chmod(0o700)
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            room.command("worker", str(own), theirs.fileno(), str(own / room.OPERATIONS)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env=variables(str(home), str(scratch), gpu),
            cwd=folder,
            start_new_session=True,
        )
    finally:
        theirs.close()
    # Without a user of its own, nothing tells its processes from the grader's.
    watch = Watch(lambda: of_user(uid) if uid else (), lambda: end(process, uid), limits.total_memory_bytes if uid else None)

    def clean_up() -> None:
        watch.stop()
        shutil.rmtree(folder, ignore_errors=True)

    return greet(
        process,
        process.pid,
        ours,
        limits_with(limits, gpu),
        home=str(home),
        uid=uid,
        inside=f"{home}/k",
        outside=f"{home}/k",
        end=lambda: end(process, uid),
        clean_up=clean_up,
    )


def end(process: "subprocess.Popen[bytes]", uid: int | None) -> None:
    """Kills the worker and what it started: every process of its uid, or, without one, of its process group."""
    if uid is not None:
        subprocess.run([sys.executable, "-I", "-S", "-c", SWEEP, str(uid)], check=False)
    elif process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
