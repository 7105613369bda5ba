"""What a sandbox guarantees, asked from inside: the same probes for every backend, for the tests and for `autograder doctor`.

A probe is code that runs where a student's code runs and tries what it should not be able to do. It leaves True in `result`
when it could not.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import Any

from autograder.errors import SubmissionError
from autograder.sandbox.outside.backends import Backend
from autograder.sandbox.outside.handle import Worker
from autograder.sandbox.outside.limits import MIB, Limits
from autograder.sandbox.outside.room import INSIDE, PACKAGE

PROBES = INSIDE / "probe.py"
LIMITS = Limits(cpu_seconds=20, processes=48, open_files=128, file_bytes=16 * MIB, disk_bytes=32 * MIB)


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """One thing that a worker must not be able to do.

    Attributes:
        name: for tables.
        promise: the guarantee in a sentence.
        probe: source; `{canary}`, `{package}`, `{pid}`, `{port}` are filled in (see `Scene`).
    """

    name: str
    promise: str
    probe: str


GUARANTEES = (
    Guarantee(
        "other files",
        "Files of the grader's user, such as gradebook, course and other submissions, cannot be read.",
        """
        try:
            result = b"canary" not in open({canary!r}, "rb").read()
        except OSError:
            result = True
        """,
    ),
    Guarantee(
        "hidden checks",
        "The package with the hidden checks cannot be read or imported.",
        """
        import os, sys
        sys.path.insert(0, os.path.dirname({package!r}))
        try:
            import autograder.errors
            result = False
        except (ImportError, OSError):
            result = True
        sys.path.pop(0)
        """,
    ),
    Guarantee(
        "writing",
        "Nothing can be written outside the worker's own folders.",
        """
        import os, tempfile
        places = ["/", "/etc", "/usr", "/var", "/var/tmp", "/dev", os.path.dirname({canary!r}), {prefix!r}]
        result = True
        for place in places:
            path = os.path.join(place, "autograder-probe-%d" % os.getpid())
            try:
                open(path, "w").close()
                os.unlink(path)
                result = False
            except OSError:
                pass
        """,
    ),
    Guarantee(
        "shared /tmp",
        "The machine's /tmp is not shared: no files are left there, and no other program's are seen.",
        """
        import os
        result = not os.path.exists({in_tmp!r})
        """,
    ),
    Guarantee(
        "network",
        "No socket reaches another machine, or a service of this one.",
        """
        import socket
        result = True
        try:
            socket.create_connection(("127.0.0.1", {port}), timeout=2).close()
            result = False
        except OSError:
            pass
        result = result and [name for _, name in socket.if_nameindex()] == ["lo"]
        """,
    ),
    Guarantee(
        "processes seen",
        "Processes of the machine are not visible.",
        """
        import os
        result = not os.path.exists("/proc/{pid}") or os.readlink("/proc/self") == "{pid}"
        result = result and len([n for n in os.listdir("/proc") if n.isdigit()]) < 10
        """,
    ),
    Guarantee(
        "processes signalled",
        "The grader and its other processes cannot be stopped or traced.",
        """
        import os
        try:
            os.kill({pid}, 0)
            result = not os.path.exists("/proc/{pid}/status") or b"{marker}" not in open("/proc/{pid}/cmdline", "rb").read()
        except OSError:
            result = True
        """,
    ),
    Guarantee(
        "privileges",
        "Not root, no capabilities, and no program that it starts gains any.",
        """
        import os
        lines = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
        result = os.getuid() != 0 and int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 0
        result = result and lines["NoNewPrivs"].strip() == "1"
        """,
    ),
    Guarantee(
        "environment",
        "The grader's environment is neither passed on nor readable.",
        """
        import os
        result = "AUTOGRADER_PROBE" not in os.environ
        try:
            result = result and not open("/proc/{pid}/environ", "rb").read()
        except OSError:
            pass
        """,
    ),
    Guarantee(
        "descriptors",
        "No open file of the grader is passed on.",
        """
        import os
        links = []
        for number in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink("/proc/self/fd/" + number))
            except OSError:
                pass
        result = not any({canary!r} in link for link in links)
        """,
    ),
    Guarantee(
        "memory",
        "Memory is limited.",
        """
        try:
            b = bytearray(6 * 2**30)
            result = False
        except MemoryError:
            result = True
        """,
    ),
    Guarantee(
        "process count",
        "The number of processes is limited.",
        """
        import os, signal
        children = []
        try:
            while len(children) < 150:
                children.append(os.posix_spawn("/bin/sleep", ["sleep", "20"], {}))
            result = False
        except BlockingIOError:
            result = True
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        """,
    ),
    Guarantee(
        "file size",
        "A single file is limited.",
        """
        import os, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = os.path.join(os.environ["HOME"], "large")
        try:
            with open(path, "wb") as file:
                file.write(bytes(20 * 2**20))
            result = False
        except OSError:
            result = True
        os.unlink(path)
        """,
    ),
    Guarantee(
        "disk",
        "What is written altogether is limited.",
        """
        import os
        paths, result = [os.path.join(os.environ["HOME"], "part%d" % n) for n in range(6)], False
        try:
            for path in paths:
                with open(path, "wb") as file:
                    file.write(bytes(8 * 2**20))
        except OSError:
            result = True
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)
        """,
    ),
    Guarantee(
        "open files",
        "The number of open files is limited.",
        """
        files = []
        try:
            while len(files) < 1000:
                files.append(open("/dev/null"))
            result = False
        except OSError:
            result = True
        for file in files:
            file.close()
        """,
    ),
    Guarantee(
        "CPU time",
        "CPU time is limited, beyond the limits on waiting.",
        """
        import resource
        result = resource.getrlimit(resource.RLIMIT_CPU)[1] <= 60
        """,
    ),
)
# Asked from outside, of a worker that has started a process in a session of its own.
ENDS = Guarantee("end", "When a submission is done, every process that it started ends, and its files are gone.", "")
LINGER = """
import os, time
left = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
    os.waitpid(pid, 0)
open(os.path.join(os.environ["HOME"], "left"), "w").close()
result = True
"""
GONE = {"", "Z", "X"}  # see `state`


@dataclasses.dataclass(frozen=True)
class Result:
    """Whether a guarantee holds."""

    guarantee: Guarantee
    holds: bool
    seen: str = ""


def examine(start: Backend) -> list[Result]:
    """Asks a backend for every guarantee.

    Returns:
        list of `Result`; a probe that hung or killed its worker counts as one that does not hold.

    Raises:
        SandboxError: no worker can be had.
    """
    results = []
    with scene() as filled:
        worker = None
        for guarantee in GUARANTEES:
            worker = worker or start(PROBES, LIMITS)
            try:
                reply, _ = worker.channel.call({"code": fill(guarantee.probe, filled)}, {}, 30, guarantee.name)
                results.append(Result(guarantee, reply.get("result") is True, str(reply.get("raised", ""))))
            except SubmissionError as error:
                results.append(Result(guarantee, False, str(error)))
                worker.kill()
                worker = None
    return [*results, ends(worker or start(PROBES, LIMITS))]


def fill(probe: str, values: Mapping[str, Any]) -> str:
    code = textwrap.dedent(probe)
    for name, value in values.items():
        code = code.replace("{" + name + "!r}", repr(value)).replace("{" + name + "}", str(value))
    return code


@contextlib.contextmanager
def scene() -> Iterator[dict[str, Any]]:
    """What the probes try to reach: a private file, held open; a file in /tmp; a service on the loopback; this process."""
    os.environ["AUTOGRADER_PROBE"] = "1"
    with (
        tempfile.TemporaryDirectory(prefix="probe-", dir="/var/tmp") as folder,
        tempfile.NamedTemporaryFile(prefix="probe-", dir="/tmp") as in_tmp,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        canary = pathlib.Path(folder) / "gradebook.db"
        canary.write_bytes(b"canary")
        canary.chmod(0o600)
        try:
            with canary.open("rb"):
                yield {
                    "canary": str(canary),
                    "in_tmp": in_tmp.name,
                    "package": str(PACKAGE),
                    "pid": os.getpid(),
                    "marker": pathlib.Path(sys.executable).name,
                    "port": server.getsockname()[1],
                    "prefix": sys.prefix,
                }
        finally:
            del os.environ["AUTOGRADER_PROBE"]


def ends(worker: Worker) -> Result:
    """Whether nothing is left of a worker after `kill`."""
    before = files()
    try:
        worker.channel.call({"code": LINGER}, {}, 30, "the end")
        inside = descendants(worker.pid)
    except SubmissionError as error:
        return Result(ENDS, False, str(error))
    finally:
        worker.kill()
    # A killed process gives its memory back before it is gone; but it sleeps no more, so nobody waits for one that does.
    deadline = time.monotonic() + 5
    while not {state(pid) for pid in inside} <= {*GONE, "S"} and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in inside if state(pid) not in GONE]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    new = files() - before
    return Result(ENDS, not left and not new, f"left: {sorted(left)} {sorted(new)}" if left or new else "")


def files() -> set[str]:
    return {str(path) for path in pathlib.Path("/tmp").glob("autograder-*/*/left")}


def state(pid: int) -> str:
    """The kernel's letter for what a process does; "" where there is none. One that has ended may still be a "Z"ombie."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return ""


def descendants(pid: int) -> set[int]:
    """The processes in the pid namespace of `pid`, or, where it has none of its own, those with its command line.

    That names the worker's folder, and its forks keep it; other workers, of a class that is being marked, have theirs.
    """
    worker, found = pathlib.Path(f"/proc/{pid}"), set()
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            same = (path / "ns" / "pid").readlink() == (worker / "ns" / "pid").readlink()
            outer = (worker / "ns" / "pid").readlink() == pathlib.Path("/proc/self/ns/pid").readlink()
            if same and (not outer or (path / "cmdline").read_bytes() == (worker / "cmdline").read_bytes()):
                found.add(int(path.name))
    return found
