"""How much a submission may use. One place, one default each; `c.GradeOutside.limits` in `nbgrader_config.py` sets them."""

import dataclasses

MIB = 1024**2
GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on one submission.

    Attributes:
        start_seconds: until the kernel answers; longer is the grader's failure.
        cell_seconds: one cell.
        call_seconds: one call of a graded function, without the time in which it waits for a processor.
        submission_seconds: everything together; checks after that earn nothing and say so.
        cpu_seconds: CPU time of each process of the worker.
        memory_bytes: address space of each process. torch alone reserves about 1.5 GiB.
        total_memory_bytes: what all processes of the worker hold together; beyond it, the worker is ended.
        processes: processes and threads of the worker together.
        file_bytes: one file.
        open_files: descriptors of a process.
        disk_bytes: each writable folder; they live in memory.
        output_bytes: stored output of one cell.
        message_bytes: one message from the kernel; with a larger one, the connection is dropped.
    """

    start_seconds: float = 60
    cell_seconds: float = 30
    call_seconds: float = 5
    submission_seconds: float = 180
    cpu_seconds: int = 300
    memory_bytes: int | None = 4 * GIB
    total_memory_bytes: int | None = 6 * GIB
    processes: int = 256
    file_bytes: int = 64 * MIB
    open_files: int = 512
    disk_bytes: int = 256 * MIB
    output_bytes: int = 100_000
    message_bytes: int = 32 * MIB
