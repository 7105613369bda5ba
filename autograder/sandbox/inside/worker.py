"""What runs inside the sandbox: the student's Jupyter kernel, and a door for calls beside it.

    grader ── descriptor 3, a UNIX socket ──►  this process   calls in, data out (frames.py)
    grader ── Jupyter, over ipc sockets ────►  this process   cells in, outputs out

The order matters:

1. read the configuration, the first frame on descriptor 3, while no student code has run;
2. give up what is left of privilege: limits, then the uid (when started as root), for good;
3. import the libraries and the assignment's operations;
4. start an ipykernel and say "ready";
5. from then on the event loop of the main thread serves both doors, one message at a time: a call is answered between
   cells, never during one.

The student's code shares this process and can break all of it. That is expected: the worst outcome is a reply that the
grader cannot read. Nothing here knows an answer, and nothing that this process says is a verdict.

Imports stand where they are needed: torch must not start threads before the limits are in force.
"""

import asyncio
import gc
import importlib
import os
import pathlib
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from .moments import Moments

if TYPE_CHECKING:
    from ipykernel.kernelapp import IPKernelApp

    from .messages import Header, Tensors
    from .pytorch import Answer

CHANNEL = 3


def main(operations: str) -> None:
    """A cold worker.

    Args:
        operations: path of the assignment's operations.
    """
    channel = socket.socket(fileno=CHANNEL)
    # Threads of the numeric libraries are counted against the process limit, so their number is set before they start.
    config = read_config(channel)
    confine(config)
    gc.disable()  # nothing of the libraries is ever garbage; looking for it takes as long as a fifth of the imports
    from . import pytorch

    door = Door(channel, pytorch.answer_of(operations))
    pytorch.without_compiler()
    app = application()
    gc.freeze()
    gc.enable()
    start_kernel(config, door, app)


def read_config(channel: socket.socket) -> dict[str, Any]:
    """The first frame, a JSON object; read with the standard library alone, before the limits are in force."""
    import json
    import struct

    def read(n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = channel.recv(n - len(data))
            if not piece:
                raise SystemExit("the grader closed the channel")
            data += piece
        return data

    head, body = struct.unpack(">IQ", read(12))
    config: dict[str, Any] = json.loads(read(head))
    read(body)
    return config


def confine(config: dict[str, Any]) -> None:
    """Limits, then the uid. After this the process has no privilege that it could use to undo either."""
    limits = config["limits"]
    # Soft below hard: SIGXCPU comes first and says why.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"] + 5))
    for name, value in [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
    ]:
        if value is not None:
            resource.setrlimit(name, (value, value))
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])  # from 0 to another uid: all capabilities go
    seal()
    os.umask(0o077)
    os.chdir(config["home"])


PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def seal() -> None:
    """No program that this process runs gains privileges, and it ends when the grader does."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone has it
    if prctl is not None:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Door:
    """Answers the calls that arrive on the channel; the kernel's event loop says when one is there."""

    def __init__(self, channel: socket.socket, answer: "Answer") -> None:
        from . import frames

        self.channel, self.frames, self.answer = channel, frames, answer
        self.moments = Moments()

    def read(self, n: int) -> bytes:
        data = bytearray()
        while len(data) < n:
            piece = self.channel.recv(min(n - len(data), 1 << 20))
            if not piece:
                os._exit(0)  # the grader is gone
            data += piece
        return bytes(data)

    def send(self, header: "Header", tensors: "Tensors | None" = None) -> None:
        self.channel.sendall(self.frames.encode(header, tensors))

    def serve(self, namespace: dict[str, Any]) -> None:
        """One message: read, do what it asks, reply.

        The notebook may have left Python in any state: whatever is raised, a reply goes out.
        """
        parts, id = self.frames.receive_parts(self.read), None
        try:
            reset()
            self.answer.prepare()
            header, tensors = self.frames.decode(*parts)
            id = header.pop("id", None)
            reply, returned = self.respond(header, tensors, namespace)
            frame = self.frames.encode({**reply, "id": id}, returned)
        except BaseException as error:  # what the student's function returned may not fit into a frame
            frame = self.frames.encode({"id": id, "unsendable": type(error).__name__})
        self.channel.sendall(frame)

    def respond(self, header: "Header", tensors: "Tensors", namespace: dict[str, Any]) -> "tuple[Header, Tensors]":
        if "keep" in header:
            self.moments.keep(header["keep"], namespace, header["names"])
            return {}, {}
        if "file" in header:
            put_beside(header["file"], tensors["data"].numpy().tobytes())
            return {}, {}
        if "go" in header:
            self.moments.go(header["go"], namespace)
            return {}, {}
        self.moments.go(header.get("at", ""), namespace)
        return self.answer(header, tensors, namespace)


def put_beside(name: str, data: bytes) -> None:
    """A file that was handed in with the notebook, in its folder, for reading."""
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)


# Bound early: student code may replace what names stand for.
_settrace, _setprofile, _set_recursion, _get_recursion = (
    sys.settrace,
    sys.setprofile,
    sys.setrecursionlimit,
    sys.getrecursionlimit,
)
_alarm, RECURSION = signal.alarm, sys.getrecursionlimit()


def reset() -> None:
    """Puts back what a notebook may have done to the interpreter, and be right all the same."""
    _settrace(None)
    _setprofile(None)
    _alarm(0)
    if _get_recursion() < RECURSION:
        _set_recursion(RECURSION)


def application() -> "IPKernelApp":
    """Jupyter's kernel application, for a life in the sandbox; its kernel is made when it is initialized, or prepared."""
    # Nobody steps through a submission, and a kernel without a debugger starts faster.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    from ipykernel import zmqshell
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp
    from traitlets import Type
    from traitlets.config import Config

    from .pytorch import Silence

    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]

    class ZMQInteractiveShell(zmqshell.ZMQInteractiveShell):  # libraries ask for it by this name
        """IPython's shell. The kernel has each cell translated to Python twice, most of the time that a short cell takes."""

        translated: tuple[str | None, str] = (None, "")

        async def run_code(self, code_obj: Any, result: Any = None, *, async_: bool = False) -> bool:
            """IPython's. A statement that fails does not end its cell: those after it run, each of them once."""
            failed: bool = await super().run_code(code_obj, result, async_=async_)
            if sys.stdout is None or sys.stderr is None:  # the kernel flushes them
                sys.stdout, sys.stderr = sys.stdout or Silence(), sys.stderr or Silence()
            error = getattr(result, "error_in_exec", None)
            return failed and (error is None or isinstance(error, (KeyboardInterrupt, SystemExit)))

        def transform_cell(self, raw_cell: str) -> str:
            if self.translated[0] != raw_cell:
                self.translated = raw_cell, super().transform_cell(raw_cell)
            return self.translated[1]

    class Kernel(IPythonKernel):
        """IPython's kernel, which also watches the channel. One that was made before a fork gets its sockets after it."""

        door: Door
        shell_class = Type(ZMQInteractiveShell)

        @classmethod
        def instance(cls, **traits: Any) -> "Kernel":
            kernel: Kernel = super().instance(**traits)
            if kernel.session is not traits.get("session"):
                for name, value in traits.items():  # no namespace is given, and the shell has one
                    setattr(kernel, name, value) if value is not None else None
                for part in (kernel.shell.displayhook, kernel.shell.display_pub):
                    part.session, part.pub_socket = kernel.session, kernel.iopub_socket
            return kernel

        def start(self) -> None:
            super().start()
            asyncio.get_event_loop().add_reader(self.door.channel, self.door.serve, self.shell.user_ns)
            self.door.send({"ready": True})

    class App(IPKernelApp):
        """IPython's kernel application, without a command line, configuration files, reports of crashes and heartbeat."""

        prepared = False

        def nothing(self, *arguments: Any) -> None:
            pass

        parse_command_line = init_config_files = load_config_file = init_crash_handler = init_heartbeat = nothing

        def prepare(self) -> None:
            """All that needs neither sockets nor threads, and so can be done before a fork."""
            self.kernel = Kernel.instance(config=self.config)
            self.init_shell()
            self.init_path()
            self.init_extensions()
            self.init_code()
            if "matplotlib.pyplot" in sys.modules:  # imported when there was no shell to draw into
                self.shell.enable_matplotlib("inline")
            self.prepared = True

        def init_path(self) -> None:
            """The notebook's folder comes last: a file in it hides no library."""
            if not self.prepared:
                super().init_path()
                sys.path[:] = [*(place for place in sys.path if place), ""]

        def init_extensions(self) -> None:
            if not self.prepared:
                super().init_extensions()

        def init_code(self) -> None:
            if not self.prepared:
                super().init_code()

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    return App.instance(config=settings, kernel_class=Kernel)


def start_kernel(config: dict[str, Any], door: Door, app: "IPKernelApp") -> None:
    """Runs the kernel until the sandbox is killed."""
    try:
        app.kernel_class.door, kernel = door, config["kernel"]
        app.session.key = kernel["key"].encode()
        app.transport, app.ip, app.connection_file = "ipc", kernel["ip"], kernel["ip"] + ".json"
        for name, port in kernel["ports"].items():
            setattr(app, f"{name}_port", port)
        app.initialize()
    except Exception as error:
        door.send({"failed": f"{type(error).__name__}: {error}"[:2000]})
        raise
    app.start()
