"""A clean process that has imported the libraries, to be forked for each submission.

    grader ── control socket ──► zygote      one request per submission, with two descriptors: the worker's channel
      │                            │          and a pidfd of the sandbox that bubblewrap has just made; or with one, a
      │                            │          control socket that a twin of this process, its fork, is to serve
      │                            └─ fork    joins the sandbox's namespaces (setns), gives up all privilege, becomes the
      │                                       kernel; as an ordinary user with a process between, see `enter_as_anybody`
      └─ bwrap … cat               holds the namespaces; killing it kills everything inside

It saves each submission the imports (torch, matplotlib, ipykernel), which are most of a cold start. It never sees student
code, the hidden checks or the course: it is a Python of its own, imports libraries and the assignment's operations, and only
its forks, once inside a sandbox, go any further. It ends when the grader closes the control socket.
"""

import array
import ctypes
import functools
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from . import worker

if TYPE_CHECKING:
    from ipykernel.kernelapp import IPKernelApp

    from .pytorch import Answer

CONTROL = 3
NAMESPACES = {"mnt": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000}
NAMESPACES |= {"pid": 0x20000000, "net": 0x40000000}
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38

NEEDED = [
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics.execution",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.collections",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "numpy.ctypeslib",
    "psutil",
    "tornado.platform.asyncio",
    "torch.distributions",
    "tqdm",
]

libc = ctypes.CDLL(None, use_errno=True)


def main(operations: str) -> None:
    """The warm process.

    Args:
        operations: path of the assignment's operations.
    """
    gc.disable()  # as a cold worker does
    from . import pytorch

    answer = pytorch.answer_of(operations)
    pytorch.without_compiler()
    app = worker.application()
    import_what_a_kernel_needs()
    app.prepare()
    # A collection in a fork would look at every object of the libraries, and so copy every page of theirs.
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, reap)
    control: socket.socket | None = socket.socket(fileno=CONTROL)
    while control is not None:
        control = serve(control, functools.partial(become_worker, answer, app))
    os._exit(0)  # taking the interpreter down by parts takes a quarter of a second


def serve(control: socket.socket, become: Callable[..., NoReturn]) -> socket.socket | None:
    """Forks until the grader closes the control socket. → None, or, in a twin, the socket that it is to serve."""
    # A worker may be an orphan as soon as its parent ends. The sandbox cannot go before it is reaped, which the machine's
    # own init may take its time over, or never do in a container.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    control.send(b"ready")
    while True:
        request, descriptors = receive(control)
        if not request:
            return None
        if "serve" in request:
            if os.fork() == 0:
                control.close()
                if request["serve"] is not None:
                    os.sched_setaffinity(0, {request["serve"]})
                return socket.socket(fileno=descriptors[0])
            os.close(descriptors[0])
            continue
        channel, sandbox = descriptors
        enter = enter_as_root if "user" not in request["namespaces"] else enter_as_anybody
        failed = enter(sandbox, request["namespaces"], functools.partial(become, control, request, channel))
        os.close(channel)
        os.close(sandbox)
        control.send(json.dumps({"failed": failed}).encode())


def enter_as_root(sandbox: int, names: list[str], become: Callable[[], NoReturn]) -> int:
    """Forks into the sandbox. → 0, or the error number.

    A process enters a pid namespace by being born into it, and root may choose for a while where its children are born. That
    saves a second fork, which takes as long as the kernel needs to start.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        if join(sandbox, ["pid"]) != 0:
            return ctypes.get_errno()
        statuses.clear()
        if os.fork() == 0:
            run(lambda: os._exit(71) if join(sandbox, set(names) - {"pid"}) != 0 else become())
        if join(own, ["pid"]) != 0:
            os._exit(72)
        return 0
    finally:
        os.close(own)


def enter_as_anybody(sandbox: int, names: list[str], become: Callable[[], NoReturn]) -> int:
    """As `enter_as_root`: the user namespace gives the right to enter the others, and only a process that ends after it has
    given birth goes into it."""
    first = os.fork()
    if first == 0:
        run(lambda: os._exit(ctypes.get_errno()) if join(sandbox, names) != 0 else os._exit(0) if os.fork() else become())
    return os.waitstatus_to_exitcode(status_of(first))


def join(namespaces: int, names: Iterable[str]) -> int:
    """setns(2): 0, or −1 with errno."""
    return int(libc.setns(namespaces, sum(NAMESPACES[name] for name in names)))


def run(what: Callable[[], Any]) -> NoReturn:
    """In a fork: it never returns to where it came from."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        what()
    finally:
        os._exit(70)


statuses: dict[int, int] = {}  # pid → status of children that the signal handler has reaped


def reap(*signal: Any) -> None:
    """Reaps every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        statuses[pid] = status


def status_of(pid: int) -> int:
    """Waits for a child, which the signal handler may reap first. → its wait status"""
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:
        status = statuses[pid]
    statuses.clear()
    return status


def import_what_a_kernel_needs() -> None:
    """Everything that a kernel or the lesson would import after the fork, at the price of memory that all forks share."""
    for name in NEEDED:
        importlib.import_module(name)
    sys.modules["psutil"].net_if_addrs()


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """(request, descriptors); (None, []) when the grader is gone."""
    data, ancillary, _, _ = control.recvmsg(64 * 1024, socket.CMSG_SPACE(2 * array.array("i").itemsize))
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)


def become_worker(
    answer: "Answer", app: "IPKernelApp", control: socket.socket, request: dict[str, Any], channel: int
) -> NoReturn:
    """In a fork inside the sandbox: nothing of the outside is kept but the channel. Never returns."""
    control.close()
    os.setsid()
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.dup2(channel, worker.CHANNEL)
    os.closerange(worker.CHANNEL + 1, 65536)
    tempfile.tempdir = None  # it was looked for outside
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["worker"]
    door = socket.socket(fileno=worker.CHANNEL)
    config = worker.read_config(door)
    drop_bounding_set()
    worker.confine(config)
    drop_capabilities()
    worker.start_kernel(config, worker.Door(door, answer), app)
    raise SystemExit


def drop_bounding_set() -> None:
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def drop_capabilities() -> None:
    """No capabilities, and no way to gain any."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        os._exit(71)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    data = (ctypes.c_uint32 * 6)()
    if libc.capset(header, data) != 0:
        os._exit(72)
