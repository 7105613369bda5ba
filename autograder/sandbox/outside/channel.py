"""The grader's end of the door for calls."""

import socket
import time
from collections.abc import Callable

from autograder.errors import BadReply, TimedOut, WorkerDied
from autograder.sandbox.inside import frames
from autograder.sandbox.inside.messages import Header, Tensors

PATIENCE = 4
Delay = Callable[[], float]


class Clock:
    """How long to wait: `seconds`, and longer while the other side waits for a processor itself."""

    def __init__(self, seconds: float, delay: Delay | None) -> None:
        self._seconds, self._delay = seconds, delay or (lambda: 0.0)
        self._started, self._before = time.monotonic(), self._delay()

    def left(self) -> float:
        """Seconds to wait before asking again; 0 or less when the time is over."""
        waited = time.monotonic() - self._started
        if waited < self._seconds:
            return self._seconds - waited
        return min(self._seconds + self._delay() - self._before, PATIENCE * self._seconds) - waited


class Channel:
    """Frames over a stream socket, with a deadline on every read and write.

    Whatever goes wrong is the other side's doing (`TimedOut`, `WorkerDied`, `BadReply`); after any of them the stream is
    out of step, and the worker has to be replaced.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._count = 0

    def close(self) -> None:
        self._socket.close()

    def closed(self) -> bool:
        """Whether the other side has gone; a warm worker can end while its sandbox stands."""
        return self._peek() == b""

    def unasked(self) -> bool:
        """Whether something came that nobody asked for, or the other side has gone: the next reply would be out of step."""
        return self._peek() is not None

    def _peek(self) -> bytes | None:
        """The next byte, b"" at the end, None when there is none yet."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self, header: Header, tensors: Tensors | None = None, seconds: float = 10) -> None:
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(frames.encode(header, tensors))
        except TimeoutError as error:
            raise TimedOut("taking a call", seconds) from error
        except OSError as error:
            raise WorkerDied("taking a call") from error

    def receive(self, seconds: float, what: str, delay: Delay | None = None) -> tuple[Header, Tensors]:
        """The next (header, tensors); `what` names the wait for the messages.

        `delay` tells the seconds that the other side has waited for a processor so far. They do not count, up to `PATIENCE`
        times the limit altogether: on a loaded machine a slow answer must not lose its points.
        """
        clock = Clock(seconds, delay)

        def read(n: int) -> bytes:
            data = bytearray()
            while len(data) < n:
                left = clock.left()
                if left <= 0:
                    raise TimedOut(what, seconds)
                self._socket.settimeout(left)
                try:
                    piece = self._socket.recv(min(n - len(data), 1 << 20))
                except TimeoutError:
                    continue
                except OSError as error:
                    raise WorkerDied(what) from error
                if not piece:
                    raise WorkerDied(what)
                data += piece
            return bytes(data)

        return frames.receive(read)

    def call(
        self, header: Header, tensors: Tensors, seconds: float, what: str, delay: Delay | None = None
    ) -> tuple[Header, Tensors]:
        """Sends a call and waits for its reply; a reply to anything else is a `BadReply`. Limits are those of `receive`."""
        self._count += 1
        self.send({**header, "id": self._count}, tensors)
        try:
            reply, returned = self.receive(seconds, what, delay)
        except frames.FrameError as error:
            raise BadReply(f"the reply to {what} could not be read: {error}") from error
        if reply.get("id") != self._count:
            raise BadReply(f"something else than the reply to {what} came back")
        return reply, returned
