"""A clean process that has imported the libraries, to be forked for each submission.

    grader ── control socket ──► zygote      one request per submission, with two descriptors: the worker's channel
      │                            │          and a pidfd of the sandbox that bubblewrap has just made; or with one, a
      │                            │          control socket that a twin of this process, its fork, is to serve
      │                            └─ fork    joins the sandbox's namespaces (setns)
      │                                └─ fork    is inside the pid namespace; gives up all privilege, becomes the kernel
      └─ bwrap … cat               holds the namespaces; killing it kills everything inside

It saves each submission the imports (torch, matplotlib, ipykernel), which are most of a cold start. It never sees student
code, the hidden checks or the course: it is started as a script of its own, imports libraries and the assignment's
`calls.py`, and only its forks, once inside a sandbox, go any further. It ends when the grader closes the control socket.
"""

import array
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys

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


def main(folder, calls):
    sys.path.insert(0, folder)
    import frames
    import worker

    sys.path.remove(folder)
    calls = load("calls", calls)
    import_what_a_kernel_needs()
    kernel = worker.kernel_classes()
    worker.prepare_kernel(kernel[1])
    # A collection in a fork would look at every object of the libraries, and so copy every page of theirs.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, reap)
    control = socket.socket(fileno=CONTROL)
    while control is not None:
        control = serve(control, worker, frames, calls, kernel)


def serve(control, worker, frames, calls, kernel):
    """Forks until the grader closes the control socket. → None, or, in a twin, the socket that it is to serve."""
    # A worker is an orphan as soon as the first fork ends. The sandbox cannot go before it is reaped, which the machine's
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
                return socket.socket(fileno=descriptors[0])
            os.close(descriptors[0])
            continue
        channel, sandbox = descriptors
        first = os.fork()
        if first == 0:
            enter(request, channel, sandbox, control, worker, frames, calls, kernel)
        os.close(channel)
        os.close(sandbox)
        control.send(json.dumps({"failed": os.waitstatus_to_exitcode(status_of(first))}).encode())


statuses = {}  # pid → status of children that the signal handler has reaped


def reap(*signal):
    """Reaps every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        statuses[pid] = status


def status_of(pid):
    """Waits for a child, which the signal handler may reap first. → its wait status"""
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:
        status = statuses[pid]
    statuses.clear()
    return status


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_what_a_kernel_needs():
    """Everything that a kernel or the lesson would import after the fork, at the price of memory that all forks share."""
    for name in NEEDED:
        importlib.import_module(name)
    sys.modules["psutil"].net_if_addrs()


def receive(control):
    """(request, descriptors); (None, []) when the grader is gone."""
    data, ancillary, _, _ = control.recvmsg(64 * 1024, socket.CMSG_SPACE(2 * array.array("i").itemsize))
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)


def enter(request, channel, sandbox, control, worker, frames, calls, kernel):
    """In the first fork: joins the namespaces and forks into the pid namespace. Never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        flags = sum(flag for name, flag in NAMESPACES.items() if name in request["namespaces"])
        if libc.setns(sandbox, flags) != 0:
            os._exit(ctypes.get_errno() or 1)
        if os.fork() != 0:
            os._exit(0)
        become_worker(request, channel, worker, frames, calls, kernel)
    finally:
        os._exit(70)


def become_worker(request, channel, worker, frames, calls, kernel):
    """In the second fork: nothing of the outside is kept but the channel."""
    os.setsid()
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.dup2(channel, worker.CHANNEL)
    os.closerange(worker.CHANNEL + 1, 65536)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["worker"]
    door = socket.socket(fileno=worker.CHANNEL)
    config = worker.read_config(door)
    drop_bounding_set()
    worker.confine(config)
    drop_capabilities()
    worker.start_kernel(config, worker.Door(door, frames, calls), *kernel)


def drop_bounding_set():
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def drop_capabilities():
    """No capabilities, and no way to gain any."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        os._exit(71)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    data = (ctypes.c_uint32 * 6)()
    if libc.capset(header, data) != 0:
        os._exit(72)


if __name__ == "__main__":
    main(*sys.argv[1:])
