"""A submission at work: its cells run in a sandboxed kernel, then its functions are called.

When a call or a cell never ends, or ends the interpreter, the worker is thrown away. The next call gets a new one, in which
the same cells are run again, so that one broken function does not cost the points of the other.
"""

import asyncio
import collections
import contextlib
import inspect
import logging
import pathlib
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_notebook

from autograder.assignment import Assignment
from autograder.errors import BadReply, SandboxError, SubmissionError, TimedOut, WorkerDied
from autograder.grading.cells import runnable
from autograder.grading.failing import Failures, lessons_own
from autograder.grading.hidden import visible
from autograder.grading.notebook import Submission, clean_outputs
from autograder.grading.pytorch import reply_to
from autograder.sandbox.inside.messages import CUDA, TRY_GPU, Call, Header, Reply, Tensors
from autograder.sandbox.outside.backends import Backend
from autograder.sandbox.outside.gpu import Gpu
from autograder.sandbox.outside.handle import Worker
from autograder.sandbox.outside.limits import Limits
from autograder.sandbox.outside.provisioner import SandboxProvisioner

STRIKES = 2  # after so many hangs or crashes, a function is not called again
INTERRUPT_SECONDS = 10  # what a cell gets to end after it was interrupted: as long as ipykernel waits for its own output
HEAR_SECONDS = 10  # what a kernel gets to be heard again


class Session:
    """Runs the cells of one submission and calls its functions.

    Args:
        start: the sandbox backend.
        cells: the notebook's cells that are to be run, in order. The outputs of the code cells are replaced.
        limits: `Limits`.
        submission: the whole of it: a person counts its cells, and files were handed in beside them.
        gpu: the `Gpu` that its workers may use, or None.
        moments: name of a moment that is kept → the number of cells that are run before it.

    Attributes:
        notes: sentences about cells that failed, or had to be stopped.
    """

    def __init__(
        self,
        start: Backend,
        assignment: Assignment,
        cells: Sequence[NotebookNode],
        limits: Limits,
        submission: Submission,
        gpu: Gpu | None = None,
        moments: Mapping[str, int] | None = None,
    ) -> None:
        self._start, self._assignment, self._limits, self._gpu = start, assignment, limits, gpu
        self._cells = runnable(cells)
        self._notebook = [cell for cell in submission.nb.cells if cell.cell_type == "code"]
        self._files, self._moments = submission.files, moments or {}
        self._deadline = time.monotonic() + limits.submission_seconds
        self._kernel: Kernel | None = None
        self._replaced = False
        self._ran: set[int] = set()
        self._failures: dict[str, list[SubmissionError]] = collections.defaultdict(list)
        self._instead = lessons_own(self._cells, assignment.master.cells)
        self._failed = Failures(self._instead)
        self.notes: list[str] = []

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()

    def run(self) -> "Kernel":
        """Runs the cells in a new worker, keeping what each prints and draws the first time.

        A cell that never ends, or ends Python, is where the notebook ends: what stands before it is run again. → the kernel
        """
        while True:
            self._seconds(1)
            self._kernel = Kernel(self._start, self._assignment.operations, self._limits, self._gpu)
            for name, data in self._files.items():
                self._kernel.put_beside(name, data, self._seconds(self._limits.call_seconds))
            broken = self._run_cells(self._kernel)
            if broken is None:
                return self._kernel
            self._stop()
            cell, error = broken
            self.notes.append(self._ended(cell, error))
            self._cells = self._cells[: self._cells.index(cell)]

    def _run_cells(self, kernel: "Kernel") -> tuple[NotebookNode, SubmissionError] | None:
        """None, or the (cell, SubmissionError) at which the worker was lost."""
        for number, cell in enumerate(self._cells):
            try:
                for moment in [name for name, before in self._moments.items() if before == number]:
                    kernel.keep(moment, self._assignment.defines, self._seconds(self._limits.call_seconds))
                outputs = kernel.execute(self._instead.get(cell.id, cell.source), self._seconds(self._limits.cell_seconds))
            except SubmissionError as error:
                return cell, error
            if id(cell) not in self._ran:
                self._ran.add(id(cell))
                cell.outputs = outputs
                self.notes += self._failed.of(cell, self._number(cell))
        return None

    def run_more(self, cells: Sequence[NotebookNode]) -> None:
        """Runs further cells, for what they show, when everything is judged; nothing that happens in them is worth points.

        They get the time of a submission once more. The first that never ends, or ends Python, is the last.
        """
        self._deadline = time.monotonic() + self._limits.submission_seconds
        try:
            kernel = self._kernel or self.run()
            kernel.go_on(self._seconds(self._limits.call_seconds))
        except SubmissionError:  # what the marks depend on takes all the time by itself
            return
        for cell in runnable(cells):
            try:
                cell.outputs = kernel.execute(visible(cell.source), self._seconds(self._limits.cell_seconds))
            except SubmissionError as error:
                self.notes.append(self._ended(cell, error))
                return

    def call(self, call: Call) -> Reply:
        """One call of a function.

        Raises:
            SubmissionError: the call hung, died or sent something unreadable.
        """
        name, failures = self._assignment.functions[call.operation], self._failures[call.operation]
        if len(failures) >= STRIKES:
            raise failures[-1]
        try:
            kernel = self._kernel or self.run()
            if self._replace_if_spoilt(kernel):
                kernel = self.run()
            header, tensors = kernel.call(*call.write(), self._seconds(self._limits.call_seconds), name)
        except (TimedOut, WorkerDied, BadReply) as error:
            failures.append(error)
            self._stop()
            raise
        return reply_to(call, header, tensors)

    def _replace_if_spoilt(self, kernel: "Kernel") -> bool:
        """Stops a worker that was spoilt between calls (once): by a cell, or by a thread that an answer left behind.

        The function that is called next may not be the one to blame.
        """
        if self._replaced or not kernel.unasked():
            return False
        self._replaced = True
        self._stop()
        return True

    def _seconds(self, limit: float) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimedOut("the submission", self._limits.submission_seconds)
        return min(limit, left)

    def _stop(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _ended(self, cell: NotebookNode, error: SubmissionError) -> str:
        what = {TimedOut: "did not end in time", WorkerDied: "ended Python itself"}.get(type(error), "broke the kernel")
        return f"Code cell {self._number(cell)} of the notebook {what}; the cells after it were not run."

    def _number(self, cell: NotebookNode) -> int:
        """As a person counts the code cells."""
        return next(number for number, other in enumerate(self._notebook, start=1) if other is cell)


class Kernel:
    """A Jupyter kernel in a sandbox: nbclient executes cells in it, the worker's channel carries calls."""

    def __init__(self, start: Backend, operations: pathlib.Path, limits: Limits, gpu: Gpu | None = None) -> None:
        self._provisioner = SandboxProvisioner(start=lambda: start(operations, limits, gpu))
        manager = Manager(transport="ipc", cache_ports=False)
        manager.message_bytes = limits.message_bytes
        manager.provisioner = self._provisioner
        manager.client_factory = Client
        manager._kernel_spec = KernelSpec(interrupt_mode="message", language="python", display_name="sandbox")
        self._client = CappedClient(new_notebook(), km=manager, budget=limits.output_bytes)
        self._client.start_new_kernel()
        self._client.start_new_kernel_client()
        self._executed = 0
        if gpu is not None:
            self._try_gpu(limits.start_seconds)

    def _try_gpu(self, seconds: float) -> None:
        """One call that uses the GPU, before there is any code of the student's that could be to blame.

        Raises:
            SandboxError: it does not work.
        """
        call = Call(TRY_GPU, {}, device=CUDA)
        try:
            reply = reply_to(call, *self.call(*call.write(), seconds, "the first use of the GPU"))
            said = reply.failure and reply.failure.text
        except SubmissionError as error:
            said = str(error)
        if said is not None:
            self.close()
            raise SandboxError(
                f"The machine has a GPU, and it does not work in the sandbox: {said}. `nvidia-smi` tells "
                'whether it is full or broken; c.GradeOutside.device = "cpu" marks without it.',
                repair='c.GradeOutside.device = "cpu" in nbgrader_config.py',
            )

    def execute(self, source: str, seconds: float) -> list[NotebookNode]:
        """Runs one cell. → its outputs, cleaned.

        Raises:
            TimedOut: it did not end, even when interrupted.
            WorkerDied: the interpreter ended.
            BadReply: what it sent cannot be read.
        """
        cell = self._client.new_cell(source)
        self._client.timeout = max(1, round(seconds))
        self._executed += 1
        try:
            self._client.execute_cell(cell, 0, execution_count=self._executed)
            if not self._client.heard_the_end:
                run_sync(self._client.kc.hear_again)()
        except CellTimeoutError:
            if not self._interrupt():
                raise TimedOut("a cell", seconds) from None
        except DeadKernelError as error:
            raise WorkerDied("a cell") from error
        except Exception as error:  # whatever the student's kernel sent, nbclient and its decoders tripped over it
            raise BadReply("a cell") from error
        return clean_outputs(cell.outputs)

    def call(self, header: Header, tensors: Tensors, seconds: float, name: str) -> tuple[Header, Tensors]:
        return self._worker.call(header, tensors, seconds, name)

    def keep(self, moment: str, names: Sequence[str], seconds: float) -> None:
        """Keeps what the notebook's names stand for now, under the name of that moment."""
        self.call({"keep": moment, "names": list(names)}, {}, seconds, "a cell")

    def put_beside(self, name: str, data: bytes, seconds: float) -> None:
        """Puts a file into the notebook's folder; one whose name is a folder's there already is left out."""
        tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
        self.call({"file": name}, {"data": tensor}, seconds, "a file handed in beside the notebook")

    def go_on(self, seconds: float) -> None:
        """Puts the namespace of the notebook's end back, for cells that are still to be run."""
        self.call({"go": ""}, {}, seconds, "a cell")

    def unasked(self) -> bool:
        """Whether something came that nobody asked for."""
        return self._worker.channel.unasked()

    @property
    def _worker(self) -> Worker:
        worker = self._provisioner.worker
        if worker is None:
            raise WorkerDied("a call")
        return worker

    def close(self) -> None:
        self._provisioner.close()
        run_sync(self._cleanup)()

    async def _cleanup(self) -> None:
        self._client.kc.stop_channels()
        await self._client.km._async_cleanup_resources()

    def _interrupt(self) -> bool:
        """Ctrl-C for the cell; whether the kernel answers again."""

        async def ask() -> bool:
            clock = self._worker.clock(INTERRUPT_SECONDS)
            await self._client.km.interrupt_kernel()
            while (left := clock.left()) > 0:
                with contextlib.suppress(TimeoutError):
                    await self._client.kc.kernel_info(reply=True, timeout=max(left, 0.5))
                    return True
            return False

        answered: bool = run_sync(ask)()
        return answered


class Manager(AsyncKernelManager):
    """jupyter_client's, which sleeps for 0.01 s at each start, for its own tests, while the kernel counts as pending."""

    start_kernel = inspect.unwrap(AsyncKernelManager.start_kernel)


class Client(AsyncKernelClient):
    """jupyter_client's, with a limit on what one message may take of the grader's memory.

    Without the heartbeat, whose thread takes a second to stop (the provisioner knows who is alive), and without the channel on
    which a kernel asks for input.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """As jupyter_client's, without the 0.2 s in which it listens for what nobody sent."""
        for _ in range(round(timeout or 60)):
            request = self.kernel_info()
            with contextlib.suppress(queue.Empty):
                while not answers(await self.get_shell_msg(timeout=1), request):
                    pass
                # What the kernel publishes arrives here too, once this one has been heard to end.
                while True:
                    message = await self.get_iopub_msg(timeout=0.2)
                    if answers(message, request) and message["content"].get("execution_state") == "idle":
                        return
            if not await self.is_alive():
                raise RuntimeError("The kernel ended before it was ready.")
        raise RuntimeError("The kernel did not get ready in time.")

    def start_channels(self, *args: Any, **kwargs: Any) -> None:
        self.context.setsockopt(zmq.MAXMSGSIZE, self.parent.message_bytes)  # of every socket that is made from it
        super().start_channels(*args, **{**kwargs, "hb": False, "stdin": False})

    async def hear_again(self) -> None:
        """Connects anew to what the kernel publishes.

        ZeroMQ does not take up a connection that it dropped for a large message: all cells that follow would show nothing,
        and each would be waited for.
        """
        self.iopub_channel.stop()
        self.iopub_channel.socket = self.connect_iopub()
        with contextlib.suppress(RuntimeError, TimeoutError):  # then it is the kernel that is silent, or never is
            await asyncio.wait_for(self.wait_for_ready(HEAR_SECONDS), HEAR_SECONDS)


def answers(message: dict[str, Any], request: str) -> bool:
    return bool(message["parent_header"].get("msg_id") == request)


class CappedClient(NotebookClient):
    """nbclient, with a limit on what one cell may send.

    Attributes:
        heard_the_end: whether the kernel published that it is done with the cell. nbclient waits for it for four seconds.
    """

    def __init__(self, nb: NotebookNode, km: AsyncKernelManager, budget: int) -> None:
        super().__init__(nb, km=km)
        self.allow_errors = True
        self.record_timing = False
        self.startup_timeout = 60
        self.log = logging.getLogger("autograder.kernel")
        self.log.addHandler(logging.NullHandler())
        self.log.propagate = False
        self._budget, self._left = budget, budget
        self.heard_the_end = False

    def new_cell(self, source: str) -> NotebookNode:
        """The notebook's only cell, new each time."""
        self._left, self.heard_the_end = self._budget, False
        # Not new_code_cell, which validates it first.
        cell = from_dict({"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None})
        self.nb.cells = [cell]
        return cell

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "error", "update_display_data"):
            size = len(str(msg["content"])) if "image/png" not in msg["content"].get("data", {}) else 0
            self._left -= size
            if self._left + size <= 0:
                return None
        self.heard_the_end = self.heard_the_end or msg["content"].get("execution_state") == "idle"
        return super().process_message(msg, cell, cell_index)
