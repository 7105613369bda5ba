"""Where the submissions of a class are marked: processes of this machine, or a Dask cluster.

driver ── bytes of a submission ──► a grader's process ── sandbox, checks ──► bytes of a result ──► driver

"""

import concurrent.futures
import contextlib
import functools
import gc
import multiprocessing
import os
import pathlib
import queue
import shutil
import signal
import socket
import threading
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from autograder.assignment import Assignment
from autograder.errors import CourseError, GraderError, Killed
from autograder.quick import start_quickly
from autograder.sandbox.outside.warm import Zygote

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext  # Windows has none

    from autograder.grading.settings import Settings

ATTEMPTS = 2
DO_NOT_START = "The processes that mark do not start; what they say stands above. `autograder doctor` looks for the reason."
Marking = concurrent.futures.Future[tuple[str, bytes]]  # (fingerprint of the marking code, packed result)


class Executor(Protocol):
    """Where submissions are marked.

    Attributes:
        slots: how many submissions are handed to it at most.
    """

    @property
    def slots(self) -> int: ...

    def submit(self, raw: bytes, files: dict[str, bytes], assignment: Assignment, settings: "Settings") -> Marking:
        """Marks a submission: a notebook's bytes, and the files beside it.

        The future raises `Killed` when the process that marked it ended twice; the other submissions notice nothing.
        """


def mark(raw: bytes, files: dict[str, bytes], name: str, edited: str | None, settings: "Settings") -> tuple[str, bytes]:
    """(fingerprint, packed result) of one submission; what every executor runs.

    Args:
        name: the assignment's.
        edited: its master notebook as the course has it, or None for its own.
    """
    from autograder import assignment as assignments
    from autograder.grading import results
    from autograder.grading.submission import grade

    assignment = assignments.as_edited(name, edited)
    with LOCK:  # pytest and what it captures belong to the whole process
        return results.fingerprint(name, edited), results.pack(grade(raw, assignment, settings, files=files))


LOCK = threading.Lock()


class Processes:
    """Processes of this machine. Each has a pool of its own, so that the end of one is known to be one submission's.

    Where they use all cores, each keeps to one, with all that it starts: a submission and its grader talk to each other too
    quickly for the scheduler to spread them well (a twentieth of the time), and one that starts much slows down no other.

    They start with the first submission: where all results are kept from before, none is needed.

    Args:
        assignment: the `Assignment` that is marked.
        workers: number of processes; one per core by default.
        at_once: whether they start before that, while the caller does something else.
    """

    def __init__(self, assignment: Assignment, workers: int | None = None, at_once: bool = False) -> None:
        self._workers = workers or len(own_cores())
        self.slots = 2 * self._workers  # none waits until the driver has recorded another one's result
        self._context = context(assignment)
        self._operations = assignment.operations
        self._zygote: Zygote | None = None
        self._threads = concurrent.futures.ThreadPoolExecutor(self._workers)
        self._free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        self._started: dict[ProcessPoolExecutor, tuple[concurrent.futures.Future[int], int | None]] = {}
        self._at_once, self._running, self._closing = at_once, False, False

    def __enter__(self) -> "Processes":
        if self._at_once:
            self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        # Nobody waits for what is under way, which may take minutes, nor for processes that are done to put things away.
        self._closing = True
        for pid, _ in self._started.values():
            with contextlib.suppress(ProcessLookupError, BrokenProcessPool):
                os.kill(pid.result(), signal.SIGKILL)
        self._threads.shutdown(cancel_futures=True)
        for pool in self._started:
            pool.shutdown(cancel_futures=True)  # and waits: a pool that is still closing when Python ends prints a traceback

    def _start(self) -> None:
        """Starts them, and does not wait until they are ready."""
        self._running = True
        if shutil.which("bwrap"):
            self._zygote = Zygote.of(self._operations, None)
        for core in cores(self._workers):
            self._free.put(self._pool(core))

    def _pool(self, core: int | None) -> ProcessPoolExecutor:
        # The process has its own copy of the socket once it is started; a twin ends when the last one is closed.
        with self._zygote.twin(core) if self._zygote else contextlib.nullcontext() as twin:
            pool = ProcessPoolExecutor(1, self._context, start_process, (self._operations, twin, core))
            try:
                self._started[pool] = pool.submit(os.getpid), core
            except (EOFError, OSError) as error:
                raise GraderError(DO_NOT_START) from error
        return pool

    def submit(self, raw: bytes, files: dict[str, bytes], assignment: Assignment, settings: "Settings") -> Marking:
        if not self._running:
            self._start()
        return self._threads.submit(self._mark, raw, files, assignment.name, assignment.edited, settings)

    def _mark(self, *task: Any) -> tuple[str, bytes]:
        pool = self._free.get()
        try:
            for _ in range(ATTEMPTS):
                self._wait_until_started(pool)
                try:
                    return pool.submit(mark, *task).result()
                except BrokenProcessPool:
                    if self._closing:
                        raise
                    pool = self._pool(self._started.pop(pool)[1])
            raise Killed("Marking this submission ended the grader's own process twice.")
        finally:
            self._free.put(pool)

    def _wait_until_started(self, pool: ProcessPoolExecutor) -> None:
        try:
            self._started[pool][0].result()
        except BrokenProcessPool as error:
            if self._closing:
                raise
            raise GraderError(DO_NOT_START) from error


def context(assignment: Assignment, program: str = "__main__") -> "ForkServerContext":
    """Of processes that judge: what they need is imported once, by the server from which they are forked.

    Args:
        program: the module whose functions they run besides.
    """
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["autograder.course.preloaded", program, f"{assignment.package}.student"])
    return made


def own_cores() -> list[int]:
    """Those that this process may use, which a batch system or a container may make fewer than there are."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cores(workers: int) -> list[int] | list[None]:
    """The core that each of the workers keeps to, or None for each."""
    own = own_cores()
    return own if workers == len(own) > 1 and hasattr(os, "sched_setaffinity") else [None] * workers


def start_process(operations: pathlib.Path | None = None, twin: socket.socket | None = None, core: int | None = None) -> None:
    """In a new process of this machine, with a warm process of its own at the other end of `twin`, a control socket."""
    start_quickly()
    import torch  # noqa: F401  where that does not work, the process does not start, and the driver can say so

    if core is not None:
        os.sched_setaffinity(0, {core})
    gc.freeze()  # what was imported is not looked at again
    if twin is not None and operations is not None:
        Zygote.adopt(operations, twin)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the driver's to answer; sandboxes do not inherit this
    threading.Thread(target=end_with_the_driver, daemon=True).start()


def end_with_the_driver() -> None:
    """A process of a pool would wait for work for ever when the one that made it was killed."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


class Cluster:
    """The workers of a Dask cluster, which need this package and bubblewrap, and neither files nor database of the course.

    Args:
        address: of the scheduler, "tcp://…".
        timeout: seconds to wait for it.
    """

    def __init__(self, address: str, timeout: float = 20) -> None:
        try:
            import distributed
        except ImportError as error:
            raise CourseError(
                "--scheduler needs Dask, which is not installed: `pip install 'vae-swiss-roll-autograder[cluster]'`."
            ) from error
        self._distributed = distributed
        try:
            self._client = distributed.Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CourseError(
                f"No Dask scheduler answers at {address}: {error}. Start one with `dask scheduler`, and workers with "
                "`dask worker ADDRESS --nthreads 1`."
            ) from error
        self._futures: dict[Marking, Any] = {}

    def __enter__(self) -> "Cluster":
        # A task is tried again when its worker dies; by default so often that one submission could end four workers.
        self._client.run_on_scheduler(allow_failures, ATTEMPTS - 1)
        return self

    def __exit__(self, *exc: object) -> None:
        for future in list(self._futures.values()):
            with contextlib.suppress(Exception):
                future.cancel()
        self._client.close()

    @property
    def slots(self) -> int:
        """Two for each thread of the workers, so that none waits for the driver; workers may come and go."""
        threads: dict[str, int] = self._client.nthreads()
        return 2 * max(1, sum(threads.values()))

    def submit(self, raw: bytes, files: dict[str, bytes], assignment: Assignment, settings: "Settings") -> Marking:
        promise: Marking = concurrent.futures.Future()
        future = self._client.submit(mark, raw, files, assignment.name, assignment.edited, settings, pure=False)
        self._futures[promise] = future
        future.add_done_callback(functools.partial(self._keep, promise))
        return promise

    def _keep(self, promise: Marking, future: Any) -> None:
        self._futures.pop(promise, None)
        try:
            promise.set_result(future.result())
        except self._distributed.KilledWorker:
            promise.set_exception(Killed("Marking this submission ended the process of two workers of the cluster."))
        except BaseException as error:
            promise.set_exception(error)


def allow_failures(number: int, dask_scheduler: Any) -> None:
    """Runs in the scheduler."""
    dask_scheduler.allowed_failures = number
