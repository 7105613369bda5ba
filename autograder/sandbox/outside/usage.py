"""What a worker uses, seen from outside. `RLIMIT_AS` binds each process by itself, and a worker may have many."""

import contextlib
import functools
import os
import pathlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

SECONDS = 0.25  # between two looks; what can be filled in that time is well below the memory of a machine that marks


class Watch:
    """Ends a worker whose processes together hold more than they may.

    Args:
        inside: → the worker's processes.
        end: called when they hold too much.
        limit: bytes; None for no limit.
    """

    def __init__(self, inside: Callable[[], Iterable[int]], end: Callable[[], object], limit: int | None) -> None:
        self._inside, self._end, self._limit = inside, end, limit
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="memory of a worker")
        if limit is not None:
            self._thread.start()

    def stop(self) -> None:
        """Ends the watch, before the worker's pid can be somebody else's."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(SECONDS):
            if self._limit is not None and held(list(self._inside()), self._limit) > self._limit:
                self._end()
                return


def held(inside: Sequence[int], limit: int) -> int:
    """Bytes that processes hold together, files left out; exact where they might exceed `limit`, and the kernel tells.

    What is in a memfd counts, mapped or not. System V's shared memory counts while a process has it attached.
    """
    kept = in_memfds(inside)
    rough = kept + sum(resident(process) for process in inside)
    # After a fork pages are shared, and the rough sum counts them once for each process. To ask exactly takes longer.
    return rough if rough <= limit else kept + sum(proportional(process) for process in inside)


def resident(pid: int) -> int:
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return 0
    return kilobytes(text, "RssAnon:", "RssShmem:")


def proportional(pid: int) -> int:
    """As `resident`, each page divided among those who share it."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return resident(pid)
    return kilobytes(text, "Pss_Anon:", "Pss_Shmem:")


def kilobytes(text: str, *names: str) -> int:
    """The sum of lines "NAME 12 kB", in bytes. A process's name, in the first line, may hold any line break but this one."""
    return sum(int(line.split()[1]) * 1024 for line in text.split("\n") if line.startswith(names))


def in_memfds(inside: Iterable[int]) -> int:
    """Bytes in files that live in memory and have no name, each once."""
    found = {}
    for pid in inside:
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if str(pathlib.Path(descriptor.path).readlink()).startswith("/memfd:"):
                        about = pathlib.Path(descriptor.path).stat()
                        found[about.st_dev, about.st_ino] = about.st_blocks * 512
    return sum(found.values())


def members(pid: int) -> Iterator[int]:
    """The processes in the pid namespace of `pid`, by their numbers outside; none when it has ended."""
    try:
        namespace = pathlib.Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:
        return
    wrapped = pid > pid_max() // 2
    for entry in os.scandir("/proc"):
        # Processes inside are younger than the first one; where numbers have started anew, all are looked at.
        if entry.name.isdigit() and (int(entry.name) >= pid or wrapped):
            try:
                if pathlib.Path(f"/proc/{entry.name}/ns/pid").readlink() == namespace:
                    yield int(entry.name)
            except OSError:
                continue


def of_user(uid: int) -> Iterator[int]:
    """The processes of a user. To whom their folders in /proc belong does not tell: a process may hide from others."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"\nUid:\t{uid}\t".encode() in pathlib.Path(f"/proc/{entry.name}/status").read_bytes():
                    yield int(entry.name)


@functools.cache
def pid_max() -> int:
    return int(pathlib.Path("/proc/sys/kernel/pid_max").read_text())


class Delay:
    """`delay()` → seconds that the main thread of a process has waited for a processor; 0 where the kernel does not tell."""

    def __init__(self, pid: int) -> None:
        self._file = None
        with contextlib.suppress(OSError):
            self._file = open(f"/proc/{pid}/schedstat", "rb", buffering=0)  # noqa: PTH123, SIM115 (asked for every call)
            weakref.finalize(self, self._file.close)

    def __call__(self) -> float:
        try:
            return int(os.pread(self._file.fileno(), 100, 0).split()[1]) / 1e9 if self._file else 0.0
        except (OSError, ValueError, IndexError):
            return 0.0
