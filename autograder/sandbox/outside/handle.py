"""The grader's handle on a running worker, whichever backend started it."""

import dataclasses
import functools
import secrets
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from autograder.errors import SandboxError, TimedOut, WorkerDied
from autograder.sandbox.inside import frames
from autograder.sandbox.inside.messages import Header, Tensors
from autograder.sandbox.outside.channel import Channel, Clock
from autograder.sandbox.outside.gpu import Gpu
from autograder.sandbox.outside.limits import Limits
from autograder.sandbox.outside.processes import end_and_ask, ended
from autograder.sandbox.outside.usage import Delay, members

PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
FIRST_UID = 200_000  # a range that neither people nor packages use


@dataclasses.dataclass
class Worker:
    """A running kernel.

    Attributes:
        process: the outermost process.
        pid: the first process inside.
        channel: the door for calls.
        connection: Jupyter's connection info, with paths that the grader can reach.
        end: kills every process inside; may be called twice.
        clean_up: called once the processes have ended.
    """

    process: "subprocess.Popen[bytes]"
    pid: int
    channel: Channel
    connection: dict[str, Any]
    end: Callable[[], object]
    clean_up: Callable[[], object]

    @functools.cached_property
    def kernel_pid(self) -> int:
        """The kernel itself, by its number outside. It is the last that joined: nothing runs inside before it."""
        return max(members(self.pid), default=self.pid) if self.pid != self.process.pid else self.pid

    @functools.cached_property
    def _delay(self) -> Delay:
        return Delay(self.kernel_pid)

    def clock(self, seconds: float) -> Clock:
        """One that does not count the time in which the kernel waits for a processor."""
        return Clock(seconds, self._delay)

    def call(self, header: Header, tensors: Tensors, seconds: float, what: str) -> tuple[Header, Tensors]:
        """`Channel.call`, not counting the time in which the kernel waits for a processor: the load is not its fault."""
        return self.channel.call(header, tensors, seconds, what, delay=self._delay)

    def alive(self) -> bool:
        """Whether the kernel is still there: its process runs, and the other end of the channel is open."""
        return self.process.poll() is None and not self.channel.closed()

    def kill(self) -> None:
        """Ends everything inside, at once. Safe to call twice."""
        # Before the channel is closed, at which a kernel ends by itself, and the outermost process before what it holds.
        self.end()
        self.channel.close()
        if not ended(self.process, 5):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        self.clean_up()


def limits_with(limits: Limits, gpu: Gpu | None) -> Limits:
    """The limits that can hold: CUDA reserves address space far beyond what it uses."""
    return limits if gpu is None else dataclasses.replace(limits, memory_bytes=None)


def greet(
    process: "subprocess.Popen[bytes]",
    pid: int,
    sock: socket.socket,
    limits: Limits,
    *,
    home: str,
    uid: int | None,
    inside: str,
    outside: str,
    end: Callable[[], object],
    clean_up: Callable[[], object] = lambda: None,
) -> Worker:
    """Configures a worker through its channel and waits until its kernel answers. → Worker

    Args:
        process, pid: as in `Worker`.
        sock: the grader's end of the channel.
        limits: `Limits`.
        home: the worker's folder, as it sees it.
        uid: what the worker changes to, or None.
        inside, outside: path prefix of the kernel's ipc sockets, as the worker and as the grader sees it.
        end, clean_up: as in `Worker`.
    """
    key = secrets.token_hex(16)
    connection: dict[str, Any] = {
        "transport": "ipc",
        "ip": outside,
        "key": key.encode(),
        "signature_scheme": "hmac-sha256",
        **{f"{name}_port": port for name, port in PORTS.items()},
    }
    worker = Worker(process, pid, Channel(sock), connection, end, clean_up)
    try:
        worker.channel.send(
            {
                "limits": dataclasses.asdict(limits),
                "uid": uid,
                "home": home,
                "kernel": {"ip": inside, "ports": PORTS, "key": key},
            }
        )
        header, _ = worker.channel.receive(limits.start_seconds, "the start of the kernel")
        if header != {"ready": True}:
            raise SandboxError(f"the worker did not start: {header.get('failed', header)}")
    except (WorkerDied, TimedOut, frames.FrameError) as error:
        said = end_and_ask(process)
        worker.kill()
        raise SandboxError(f"the worker did not start ({error}). It said: {said}") from error
    except BaseException:
        worker.kill()
        raise
    return worker
