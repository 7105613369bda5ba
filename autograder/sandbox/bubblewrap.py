"""The default sandbox: Linux namespaces, made by bubblewrap.

Processes, from the outside in:

    grader (any user)
      └─ bwrap                 outside; killing it kills everything below (--die-with-parent, pid namespace)
           └─ bwrap, pid 1     inside: own mount, pid, network, ipc, uts and (unprivileged) user namespaces
                └─ worker.py   the student's kernel: limits set, no capabilities, no_new_privs

What it sees: /usr and the Python it runs on, read-only; three of our files (worker.py, frames.py, calls.py); an empty
home and /tmp of limited size, in memory. No network but its own loopback, no /home, no course folder, no project:
wherever the grader's own package lies below a folder that has to be shown, an empty folder covers it.

Started by root, bubblewrap needs no user namespace; but limits on processes do not bind root, so the worker then changes
to a uid of its own that nothing else uses. Started by anybody else, a user namespace gives the same rights.
"""

import dataclasses
import functools
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig

from autograder.errors import SandboxError, TimedOut, WorkerDied
from autograder.sandbox import frames
from autograder.sandbox.channel import Channel
from autograder.sandbox.limits import Limits

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parent
ROOM = "/run/worker"  # inside: our three files
HOME = "/home/student"
SOCKETS = "/run/jupyter"  # inside: the kernel's ipc sockets, on a small tmpfs
PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
FIRST_UID = 200_000  # a range that neither people nor packages use


@dataclasses.dataclass
class Worker:
    """A running kernel inside its sandbox.

    Attributes:
        process: the outer bwrap.
        channel: the door for calls.
        connection: Jupyter's connection info, with paths that the grader can reach.
    """

    process: subprocess.Popen
    channel: Channel
    connection: dict

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """Ends everything inside, at once. Safe to call twice."""
        self.channel.close()
        if self.alive():
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


def find():
    """The path of `bwrap`; SandboxError with the command that installs it."""
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(
            "bubblewrap is not installed. Install it with `apt-get install bubblewrap` (Debian, Ubuntu) or "
            "`dnf install bubblewrap` (Fedora), then run `autograder doctor`."
        )
    return path


def start(calls, limits=None):
    """Starts a worker.

    Args:
        calls: path of the assignment's `calls.py`.
        limits: `Limits`.

    Returns:
        A `Worker` whose kernel answers.

    Raises:
        SandboxError: no worker can be had on this machine.
    """
    limits = limits or Limits()
    ours, theirs = socket.socketpair()
    info_read, info_write = os.pipe()
    command = [find(), *arguments(calls, limits), "--info-fd", str(info_write)]
    # The worker finds its channel at descriptor 3, whatever number it has here.
    python = [sys.executable, "-I", "-c", f"import os; os.dup2({theirs.fileno()}, 3); {LAUNCH}"]
    try:
        process = subprocess.Popen(
            [*command, "--", *python],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(), info_write),
            env={},
            start_new_session=True,
        )
    finally:
        theirs.close()
        os.close(info_write)
    channel = Channel(ours)
    worker = Worker(process, channel, {})
    try:
        with open(info_read, "rb") as info:
            pid = read_pid(info, process)
        key = secrets.token_hex(16)
        channel.send(
            {
                "limits": dataclasses.asdict(limits),
                "uid": FIRST_UID + pid % 1_000_000 if os.geteuid() == 0 else None,
                "home": HOME,
                "kernel": {"ip": f"{SOCKETS}/k", "ports": PORTS, "key": key},
            }
        )
        header, _ = channel.receive(limits.start_seconds, "the start of the kernel")
        if header != {"ready": True}:
            raise SandboxError(f"the worker said {header!r} where it should have said that it is ready")
    except (WorkerDied, TimedOut, frames.FrameError) as error:
        process.kill()
        said = process.stderr.read(4000).decode(errors="replace").strip()
        worker.kill()
        raise SandboxError(f"the worker did not start ({error}). bubblewrap said: {said or 'nothing'}") from error
    except BaseException:
        worker.kill()
        raise
    # The sockets lie on a tmpfs of the sandbox, so that nothing the student writes reaches a disk of this machine; the
    # grader goes through the pid-1 process's root folder.
    worker.connection = {
        "transport": "ipc",
        "ip": f"/proc/{pid}/root{SOCKETS}/k",
        "key": key.encode(),
        "signature_scheme": "hmac-sha256",
        **{f"{name}_port": port for name, port in PORTS.items()},
    }
    return worker


# `python -I worker.py` would lose the descriptor's number; dup2 first, then become the script.
LAUNCH = f"import runpy, sys; sys.argv = ['{ROOM}/worker.py']; runpy.run_path('{ROOM}/worker.py', run_name='__main__')"


def read_pid(info, process):
    """The pid of the sandbox's first process, from bubblewrap's --info-fd."""
    text = info.read()
    if not text:
        said = process.stderr.read(4000).decode(errors="replace").strip()
        raise SandboxError(
            f"bubblewrap could not make a sandbox: {said or 'it said nothing'}. `autograder doctor` says what to do."
        )
    return json.loads(text)["child-pid"]


def arguments(calls, limits):
    """bubblewrap's arguments, up to the command."""
    return [*namespaces(), *system(), *python_folders(), *cover(), *room(calls), *scratch(limits), *environment()]


def namespaces():
    common = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    common += ["--hostname", "worker", "--die-with-parent", "--new-session"]
    if os.geteuid() == 0:
        # Just enough to change to the unprivileged uid; gone after that.
        return [*common, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*common, "--unshare-user", "--cap-drop", "ALL"]


def system():
    """The operating system's libraries, read-only, and small private /proc and /dev."""
    result = []
    for folder in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"):
        path = pathlib.Path(folder)
        if path.is_symlink():
            result += ["--symlink", os.readlink(path), folder]
        elif path.is_dir():
            result += ["--ro-bind", folder, folder]
    for file in ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts"):
        result += ["--ro-bind-try", file, file]
    return [*result, "--proc", "/proc", "--dev", "/dev"]


@functools.cache
def python_prefixes():
    """The folders that this Python lives in: the environment's and the base installation's."""
    folders = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders |= {str(pathlib.Path(sys.executable).resolve().parent.parent)}
    kept = []
    for folder in sorted(map(pathlib.Path, folders)):
        if not any(folder.is_relative_to(other) for other in [*kept, pathlib.Path("/usr")]):
            kept.append(folder)
    return kept


def python_folders():
    return [part for folder in python_prefixes() for part in bind(folder, folder)]


def bind(source, target):
    """Read-only bind; bubblewrap makes missing parents with mode 0700, which the unprivileged uid could not pass."""
    parents = []
    for parent in reversed(pathlib.Path(target).parents):
        if str(parent) != "/":
            parents += ["--perms", "0755", "--dir", str(parent)]
    return [*parents, "--ro-bind", str(source), str(target)]


def cover():
    """Empty folders over whatever of ours lies below a folder that is shown."""
    shown = [pathlib.Path("/usr"), *python_prefixes()]
    ours = [PACKAGE, *PACKAGE.parent.glob("autograder*.dist-info")]
    if (PACKAGE.parent / "pyproject.toml").exists():  # a checkout: the master notebook and the course are beside us
        ours = [PACKAGE.parent]
    return [
        part
        for path in ours
        if any(path.is_relative_to(folder) for folder in shown)
        for part in ("--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path))
    ]


def room(calls):
    result = ["--perms", "0755", "--dir", "/run", "--perms", "0755", "--dir", ROOM]
    for source, name in ((HERE / "worker.py", "worker.py"), (HERE / "frames.py", "frames.py"), (calls, "calls.py")):
        result += ["--ro-bind", str(source), f"{ROOM}/{name}"]
    return result


def scratch(limits):
    """What the worker may write to: in memory, limited. Everything else, / and /dev included, is read-only."""
    result = ["--perms", "0755", "--dir", "/home"]
    for folder, size in ((HOME, limits.disk_bytes), ("/tmp", limits.disk_bytes), ("/dev/shm", limits.disk_bytes)):
        result += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    result += ["--perms", "1777", "--size", str(1024**2), "--tmpfs", SOCKETS]
    return [*result, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def environment():
    variables = {
        "HOME": HOME,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "IPYTHONDIR": "/tmp/ipython",
        "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return ["--clearenv", *(part for name, value in variables.items() for part in ("--setenv", name, value))]
