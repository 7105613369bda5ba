"""The default sandbox: Linux namespaces, made by bubblewrap.

Processes, from the outside in:

    grader (any user)
      └─ bwrap                 outside; killing it kills everything below (--die-with-parent, pid namespace)
           └─ bwrap, pid 1     inside: own mount, pid, network, ipc, uts and (unprivileged) user namespaces
                └─ worker      the student's kernel: limits set, no capabilities, no_new_privs

That is a cold start. A warm one puts `cat` in the worker's place to hold the namespaces, and a fork of the zygote
(inside/zygote.py) joins them and becomes the worker.

What it sees: /usr and the Python it runs on, read-only; of ours, when it starts cold, the files of room.py; an empty home and
/tmp of limited size, in memory. No network but its own loopback, no /home, no course folder, no project: wherever the
grader's own package lies below a folder that has to be shown, an empty folder covers it.

Started by root, bubblewrap needs no user namespace; but limits on processes do not bind root, so the worker then changes
to a uid of its own that nothing else uses. Started by anybody else, a user namespace gives the same rights.
"""

import contextlib
import functools
import importlib
import json
import os
import pathlib
import shutil
import signal
import site
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence

from autograder import assignment as assignments
from autograder.errors import CourseError, ForkingFails, SandboxError
from autograder.sandbox.outside import room
from autograder.sandbox.outside.gpu import Gpu
from autograder.sandbox.outside.handle import FIRST_UID, Worker, greet, limits_with
from autograder.sandbox.outside.limits import Limits
from autograder.sandbox.outside.processes import end_and_ask, variables
from autograder.sandbox.outside.room import PACKAGE
from autograder.sandbox.outside.usage import Watch, members
from autograder.sandbox.outside.warm import HOME, Zygote

ROOM = "/run/worker"  # inside: what of ours there is
SOCKETS = "/run/jupyter"  # inside: the kernel's ipc sockets, on a small tmpfs
INSTALL = "apt-get install bubblewrap  (Fedora: dnf install bubblewrap)"
ALLOW = (
    "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), "
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04); in a container, start it with "
    "--security-opt seccomp=unconfined --cap-add SYS_ADMIN"
)
LOOK = "run `bwrap --ro-bind / / --unshare-all true` and see what it says"


def find() -> str:
    """The path of `bwrap`; SandboxError with the command that installs it."""
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(
            "bubblewrap is not installed. Install it with `apt-get install bubblewrap` (Debian, Ubuntu) or "
            "`dnf install bubblewrap` (Fedora), then run `autograder doctor`.",
            repair=INSTALL,
        )
    return path


def refused(what: str, said: str) -> SandboxError:
    """The SandboxError for what bubblewrap said when it made no sandbox."""
    known = ("user namespace", "uid map", "operation not permitted")
    return SandboxError(what.format(said), repair=ALLOW if any(words in said.lower() for words in known) else LOOK)


def start(operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> Worker:
    """A `backends.Backend`: a fork of the warm process, or a cold one where forking into a sandbox does not work."""
    try:
        return start_warm(operations, limits, gpu)
    except ForkingFails:
        return start_cold(operations, limits, gpu)


def start_cold(operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> Worker:
    """As `start`: bubblewrap runs a Python of its own, which imports everything anew."""
    ours, theirs = socket.socketpair()
    command = room.command("worker", ROOM, theirs.fileno(), f"{ROOM}/{room.OPERATIONS}")
    try:
        options = [*arguments(limits, gpu, furnished(operations)), *environment(gpu)]
        process, pid = launch(options, command, [theirs.fileno()])
    finally:
        theirs.close()
    return enter(process, pid, ours, limits, gpu)


def start_warm(operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> Worker:
    """As `start`: bubblewrap makes the sandbox, and a fork of the zygote joins it."""
    find()  # where it is missing, no warm process is started for nothing
    zygote = Zygote.of(operations, gpu)
    # The sandbox is complete once its command answers; before that, its mounts are not all there.
    # `cat` ends with the grader, whose pipe it reads: a bwrap that is only just starting does not notice its parent's end.
    process, pid = launch(arguments(limits, gpu), ["/bin/cat"], [], pipes=True)
    ours, theirs = socket.socketpair()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"complete?\n")
        process.stdin.flush()
        if process.stdout.readline() != b"complete?\n":
            raise refused("the sandbox was not completed: {}", end_and_ask(process))
        sandbox = os.pidfd_open(pid)
        try:
            zygote.fork(theirs.fileno(), sandbox)
        finally:
            os.close(sandbox)
    except BaseException:
        process.kill()
        process.wait()
        ours.close()
        raise
    finally:
        theirs.close()
    return enter(process, pid, ours, limits, gpu)


def launch(
    options: Sequence[str], command: Sequence[str], descriptors: Sequence[int], pipes: bool = False
) -> "tuple[subprocess.Popen[bytes], int]":
    """(process, pid of the first process inside) of a new sandbox that runs `command`, at will with pipes to and from it."""
    info_read, info_write = os.pipe()
    try:
        process = subprocess.Popen(
            [find(), *options, "--info-fd", str(info_write), "--", *command],
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(*descriptors, info_write),
            env={},
            start_new_session=True,
        )
    finally:
        os.close(info_write)
    with os.fdopen(info_read, "rb") as info:
        text = info.read()
    if not text:
        raise refused("bubblewrap could not make a sandbox: {}. `autograder doctor` says what to do.", end_and_ask(process))
    return process, json.loads(text)["child-pid"]


def enter(process: "subprocess.Popen[bytes]", pid: int, sock: socket.socket, limits: Limits, gpu: Gpu | None) -> Worker:
    """`handle.greet` for a worker in a sandbox of ours.

    Its sockets lie on a tmpfs of the sandbox, so that nothing the student writes reaches a disk of this machine; the grader
    goes through the root folder of the sandbox's first process.
    """
    watch = Watch(lambda: members(pid), lambda: end(process, pid), limits.total_memory_bytes)
    return greet(
        process,
        pid,
        sock,
        limits_with(limits, gpu),
        home=HOME,
        uid=FIRST_UID + pid % 1_000_000 if os.geteuid() == 0 else None,
        inside=f"{SOCKETS}/k",
        outside=f"/proc/{pid}/root{SOCKETS}/k",
        end=lambda: end(process, pid),
        clean_up=watch.stop,
    )


def end(process: "subprocess.Popen[bytes]", pid: int) -> None:
    """Kills the first process of the pid namespace, which takes all others along; the outer bwrap reaps it and ends."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def arguments(limits: Limits, gpu: Gpu | None = None, more: Sequence[str] = ()) -> list[str]:
    """bubblewrap's options: what there is inside."""
    # The scratch folders first: Python, or the whole checkout, may lie below /tmp.
    return [*namespaces(), *system(), *scratch(limits), *python_folders(), *devices(gpu), *cover(), *more, *sealed()]


def namespaces() -> list[str]:
    common = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    common += ["--hostname", "worker", "--die-with-parent", "--new-session"]
    if os.geteuid() == 0:
        # Just enough to change to the unprivileged uid; gone after that.
        return [*common, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*common, "--unshare-user", "--cap-drop", "ALL"]


def system() -> list[str]:
    """The operating system's libraries, read-only, and small private /proc and /dev."""
    result: list[str] = []
    for folder in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"):
        path = pathlib.Path(folder)
        if path.is_symlink():
            result += ["--symlink", str(path.readlink()), folder]
        elif path.is_dir():
            result += ["--ro-bind", folder, folder]
    for file in ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts"):
        result += ["--ro-bind-try", file, file]
    return [*result, "--proc", "/proc", "--dev", "/dev"]


@functools.cache
def python_prefixes() -> list[pathlib.Path]:
    """The folders that this Python lives in: the environment's, the base installation's, and those of an environment whose
    packages a `.pth` file adds to it."""
    folders = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders |= {path for path in sys.path if path.endswith(("/site-packages", "/dist-packages"))} - {site.getusersitepackages()}
    folders |= {str(pathlib.Path(sys.executable).resolve().parent.parent)}
    return [folder for folder in outermost(map(pathlib.Path, folders)) if not folder.is_relative_to("/usr")]


def outermost(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Those that lie in none of the others."""
    kept: list[pathlib.Path] = []
    for folder in sorted(folders):
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return kept


def python_folders() -> list[str]:
    return [part for folder in python_prefixes() for part in bind(folder, folder)]


def bind(source: pathlib.Path | str, target: pathlib.Path | str) -> list[str]:
    """Read-only bind; bubblewrap makes missing parents with mode 0700, which the unprivileged uid could not pass."""
    parents: list[str] = []
    for parent in reversed(pathlib.Path(target).parents):
        if str(parent) != "/":
            parents += ["--perms", "0755", "--dir", str(parent)]
    return [*parents, "--ro-bind", str(source), str(target)]


def devices(gpu: Gpu | None) -> list[str]:
    """The GPU's device nodes and its driver's libraries, where /usr does not hold them."""
    if gpu is None:
        return []
    nodes = [part for node in gpu.nodes for part in ("--dev-bind-try", node, node)]
    return nodes + [part for folder in gpu.libraries for part in bind(folder, folder)]


def cover() -> list[str]:
    """Empty folders over whatever of ours lies below a folder that is shown: the package, a copy of it or of its data among
    the installed packages (an editable install leaves one), the checkout, and every assignment's package and master."""
    shown = [pathlib.Path("/usr"), *python_prefixes()]
    ours = {PACKAGE, *(pathlib.Path(folder) / PACKAGE.name for folder in sys.path if folder)}
    if (PACKAGE.parent / "pyproject.toml").exists():  # a checkout: the master notebook and the course are beside us
        ours = {path for path in ours if path != PACKAGE} | {PACKAGE.parent}
    # First those that are shown: the environment may lie in the checkout.
    seen = [path for path in ours | assignments_folders() if any(path.is_relative_to(folder) for folder in shown)]
    return [
        part
        for path in outermost(path for path in seen if path.is_dir())
        for part in ("--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path))
    ]


@functools.cache
def assignments_folders() -> frozenset[pathlib.Path]:
    """Where the installed assignments have their checks and their masters: their packages' outermost folders, and others."""
    found: set[pathlib.Path] = set()
    for name in assignments.names():
        try:
            assignment = assignments.load(name)
        except CourseError:  # its package is broken, and nobody marks with it
            continue
        found |= {
            assignment.path.parent,
            *map(pathlib.Path, importlib.import_module(assignment.package.split(".")[0]).__path__),
        }
    return frozenset(found)


def furnished(operations: pathlib.Path) -> list[str]:
    """The files of ours that a cold worker starts from."""
    return [part for source, name in room.files(operations) for part in bind(source, f"{ROOM}/{name}")]


def scratch(limits: Limits) -> list[str]:
    """What the worker may write to: in memory, limited. Everything else, / and /dev included, is read-only."""
    result = [part for parent in ("/home", "/run", ROOM) for part in ("--perms", "0755", "--dir", parent)]
    for folder, size in ((HOME, limits.disk_bytes), ("/tmp", limits.disk_bytes), ("/dev/shm", limits.disk_bytes)):
        result += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    result += ["--perms", "1777", "--size", str(1024**2), "--tmpfs", SOCKETS]
    return result


def sealed() -> list[str]:
    return ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def environment(gpu: Gpu | None) -> list[str]:
    return ["--clearenv", *(part for name, value in variables(HOME, "/tmp", gpu).items() for part in ("--setenv", name, value))]
