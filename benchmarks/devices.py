"""The whole catalogue on this machine's GPU against the pretend one: the marks must be equal.

    python benchmarks/devices.py               prints a table, exit code 1 if a mark differs
    python benchmarks/devices.py --output FILE    writes it as Markdown, too

The answers run in this process, without a sandbox: they are the catalogue's own. Needs CUDA; says so and ends with exit code 2
where there is none.
"""

import argparse
import contextlib
import io
import pathlib
import platform
import sys
import time

import torch

from autograder import assignment as assignments
from autograder.course.selftest import catalogue, submission
from autograder.grading.judge import judge
from autograder.grading.notebook import grade_id_of, visible
from autograder.stock import caller


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, help="Markdown file to write")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA on this machine: nothing to compare.", file=sys.stderr)
        return 2
    assignment = assignments.load("vae_swiss_roll")
    entries = catalogue(assignment)
    marks, seconds = {}, {}
    for device in (False, True):
        started = time.monotonic()
        marks[device] = [mark(assignment, entry, cuda=device) for entry in entries]
        seconds[device] = time.monotonic() - started
    text = report(entries, marks, seconds)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return int(not marks[False] == marks[True] == [expected(entry) for entry in entries])


def expected(entry):
    """(points, criteria lost) that the catalogue states."""
    return entry.points, tuple(sorted(entry.lost))


def mark(assignment, entry, cuda):
    """(points, criteria lost) of one entry, with the device parts on the GPU or on the pretend one."""
    namespace = {"__name__": "__main__"}
    solutions = {cell for cell, _ in assignment.samples.ANSWERS.values()}
    last, _ = assignment.samples.ANSWERS[assignment.test_cells[-1]]
    nb = submission(assignment.master, assignment.samples.ANSWERS, entry)
    for cell in nb.cells:
        if cell.cell_type != "code" or grade_id_of(cell) not in solutions | {None}:
            continue
        if grade_id_of(cell) or "import torch" in cell.source:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(visible(cell.source), f"<{entry.name}>", "exec"), namespace)
        if grade_id_of(cell) == last:
            break
    student = assignment.student(caller(assignment, namespace), cuda=cuda)
    checks = judge(assignment, student, entry.code, cells=[entry.target])
    return sum(check.points for check in checks), tuple(sorted(c.id.split(".")[1] for c in checks if not c.points))


def report(entries, marks, seconds):
    """The comparison, in Markdown."""
    different = [
        f"| {entry.target} | {entry.name} | {entry.points:g} | {on_cpu} | {on_gpu} |"
        for entry, on_cpu, on_gpu in zip(entries, marks[False], marks[True], strict=True)
        if on_cpu != on_gpu or on_gpu != expected(entry)
    ]
    lines = [
        f"# The catalogue on {torch.cuda.get_device_name()}",
        "",
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}: {len(entries)} entries, "
        f"{seconds[False]:.0f} s with pretend CUDA, {seconds[True]:.0f} s with the GPU.",
        "",
        f"{len(different)} entries differ between the two or from the catalogue.",
    ]
    if different:
        lines += ["", "| task | entry | points | pretend CUDA | GPU |", "| --- | --- | --- | --- | --- |", *different]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
