"""The grader's handle on warm processes (zygote.py). Importing it takes none of what marking takes."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import typing
import weakref

from autograder.errors import ForkingFails, SandboxError
from autograder.sandbox.outside import room
from autograder.sandbox.outside.gpu import Gpu
from autograder.sandbox.outside.processes import end_and_ask, variables

HOME = "/home/student"
NAMESPACES = ["mnt", "pid", "net", "ipc", "uts"]  # and "user", for everybody but root
START_SECONDS = 120


class Zygote:
    """A warm process: one per grader process and assignment, and another one with a GPU.

    Args:
        control: the grader's end of its control socket.
        gpu: the `Gpu` that its forks may use, or None.
        process: the process, where this one started it.
    """

    _living: typing.ClassVar[dict[tuple[int, str, tuple[str, ...] | None], "Zygote"]] = {}

    def __init__(
        self, control: socket.socket, gpu: Gpu | None = None, process: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        self._control, self.process, self._ready = control, process, False
        self._lock = threading.Lock()
        self._variables = variables(HOME, "/tmp", gpu)
        weakref.finalize(self, control.close)

    @classmethod
    def of(cls, operations: pathlib.Path, gpu: Gpu | None) -> "Zygote":
        """This process's own; started when there is none that lives."""
        key = (os.getpid(), str(operations), None if gpu is None else gpu.libraries)
        if key not in cls._living or not cls._living[key].alive():
            cls._living[key] = cls.start(operations, gpu)
        return cls._living[key]

    @classmethod
    def adopt(cls, operations: pathlib.Path, control: socket.socket) -> None:
        """Makes the twin behind a control socket this process's own."""
        cls._living[os.getpid(), str(operations), None] = cls(control)

    @classmethod
    def start(cls, operations: pathlib.Path, gpu: Gpu | None = None) -> "Zygote":
        """A new warm process, by exec: nothing of this one is in its memory. Nobody waits here until it is ready."""
        control, theirs = pair()
        folder = tempfile.mkdtemp(prefix="autograder-")
        try:
            process = subprocess.Popen(
                room.command("zygote", str(room.SANDBOX), theirs.fileno(), str(operations)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                # Outside the sandbox yet: what the libraries write at import goes to a folder of its own.
                env={
                    **variables(HOME, "/tmp", gpu),
                    **dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR"), folder),
                },
                start_new_session=True,
            )
        finally:
            theirs.close()
        zygote = cls(control, gpu, process)
        weakref.finalize(zygote, shutil.rmtree, folder, ignore_errors=True)
        return zygote

    def twin(self, core: int | None = None) -> socket.socket:
        """The control socket of another warm process, a fork of this one: one for each slot, and one import for all.

        Args:
            core: the core that it is to keep to, with all its forks; None for any.
        """
        ours, theirs = pair()
        with theirs, contextlib.suppress(OSError):  # whoever uses it will see that it has ended
            socket.send_fds(self._control, [json.dumps({"serve": core}).encode()], [theirs.fileno()])
        return ours

    def alive(self) -> bool:
        self._control.settimeout(0)
        try:
            return self._control.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def fork(self, channel: int, sandbox: int) -> None:
        """Makes a worker in the sandbox of pidfd `sandbox`, with `channel` as its door.

        Raises:
            ForkingFails: it could not.
            SandboxError: the warm process itself did not start.
        """
        request = {"environment": self._variables, "namespaces": NAMESPACES if os.geteuid() == 0 else [*NAMESPACES, "user"]}
        with self._lock:
            self._control.settimeout(START_SECONDS)
            if not self._ready and self._receive() != b"ready":
                if self.process is None:
                    raise ForkingFails("the warm process did not start")
                raise SandboxError(f"the warm process did not start: {end_and_ask(self.process)}")
            self._ready = True
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [json.dumps(request).encode()], [channel, sandbox])
            reply = self._receive()
        if reply != b'{"failed": 0}':
            raise ForkingFails(f"the warm process could not enter the sandbox: {reply!r}")

    def _receive(self) -> bytes:
        try:
            return self._control.recv(64 * 1024)
        except OSError:
            return b""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a control socket; a message is one packet."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
