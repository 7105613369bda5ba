"""What marking costs: stock nbgrader, ours, and the work itself, side by side in one run.

    python benchmarks/grading.py --output benchmarks/grading.md

Run it on a machine that does nothing else: CPU seconds are those of the whole machine, as sandboxes are nobody's children.

Rows:
    stock, naive     `nbgrader autograde` without our configuration, on the lesson as it is usually written: the bar redrawn on
                     every step, one plot call per connecting line
    stock, ours      the same on our lesson
    nbgrader, ours   `nbgrader autograde` with our configuration
    grade N          `autograder grade --workers N`; "all" with `--execute all`
    floor            the cells and checks of `grade` in one warm process, without kernel, sandbox or gradebook
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import io
import os
import pathlib
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import nbformat
import psutil

from autograder import assignment as assignments
from autograder.course import selftest
from autograder.course.folder import Course
from autograder.grading.judge import judge
from autograder.grading.submission import to_run
from autograder.stock import load_calls

NAME = "vae_swiss_roll"
ROOT = pathlib.Path(__file__).parent.parent
BIN = pathlib.Path(sys.executable).parent
NAIVE = [
    ("mininterval=0.5", "mininterval=0, miniters=1"),
    ("if step % 50 == 0:", "if True:"),
    (", refresh=False)", ", refresh=True)"),
    (", fused=True)", ")"),
    (
        'right.add_collection(LineCollection(lines.numpy(), colors="0.6", linewidths=0.7, zorder=1))',
        'for line in lines.numpy():\n        right.plot(line[:, 0], line[:, 1], color="0.6", linewidth=0.7, zorder=1)',
    ),
]


@dataclasses.dataclass
class Cost:
    """What a run cost, for `n` submissions: seconds, CPU seconds of the machine, MiB at most."""

    label: str
    n: int
    seconds: float
    cpu: float
    memory: float


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, help="write the table there, too")
    parser.add_argument("--submissions", type=int, default=60, help="for the rows of ours (default: 60)")
    parser.add_argument("--stock", type=int, default=4, help="for the rows of stock nbgrader (default: 4)")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[], help="classes on which `grade` is measured beside, e.g. 10 100 1000"
    )
    options = parser.parse_args()
    workers = os.cpu_count()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        maker = Maker(pathlib.Path(folder))
        costs = [
            maker.run("stock, naive", options.stock, ["nbgrader", "autograde", NAME], stock=True, naive=True),
            maker.run("stock, ours", options.stock, ["nbgrader", "autograde", NAME], stock=True),
            maker.run("nbgrader, ours", options.submissions, ["nbgrader", "autograde", NAME]),
            maker.run("grade 1", options.submissions, ["autograder", "grade", "--workers", "1"]),
            maker.run(f"grade {workers}", options.submissions, ["autograder", "grade"]),
            maker.run(f"grade {workers}, all", options.stock * 3, ["autograder", "grade", "--execute", "all"]),
            floor(maker.raws(options.submissions)),
        ]
        sizes = [maker.run(f"grade {workers}", n, ["autograder", "grade"]) for n in options.sizes]
    text = report(costs, sizes)
    print(text)
    if options.output:
        options.output.write_text(text)


class Maker:
    """Makes course folders and marks them."""

    def __init__(self, folder):
        self._folder, self._assignment = folder, assignments.load(NAME)
        self._entries = selftest.catalogue(self._assignment)
        random.Random(3).shuffle(self._entries)
        self._release = nbformat.read(ROOT / "notebooks" / NAME / f"{NAME}.ipynb", as_version=4)

    def raws(self, n, naive=False):
        """n submissions, right and wrong answers of the catalogue, all cells filled in as far as the tasks go."""
        for number in range(n):
            entry = self._entries[number % len(self._entries)]
            nb = selftest.submission(self._release, self._assignment.samples.ANSWERS, entry)
            yield nbformat.writes(made_naive(nb) if naive else nb).encode()

    def run(self, label, n, command, stock=False, naive=False):
        """Marks a new class. → Cost"""
        root = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        shutil.copytree(ROOT / "source", root / "source")
        if stock:
            config = f"c = get_config()\nc.CourseDirectory.course_id = 'stock'\nc.CourseDirectory.root = {str(root)!r}\n"
            (root / "nbgrader_config.py").write_text(config + "c.CourseDirectory.release_directory = 'notebooks'\n")
        else:
            shutil.copy(ROOT / "nbgrader_config.py", root)
        master = root / "source" / NAME / f"{NAME}.ipynb"
        if naive:
            nbformat.write(made_naive(nbformat.read(master, as_version=4)), master)
        Course(root).generate_assignment(NAME)
        for number, raw in enumerate(self.raws(n, naive)):
            path = root / "submitted" / f"student{number:05}" / NAME / f"{NAME}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_bytes(raw)
        print(f"{label}: {n} submissions …", file=sys.stderr)
        cost = measured(label, n, [str(BIN / command[0]), *command[1:]], root)
        marked = len(list(root.glob(f"autograded/*/{NAME}/{NAME}.ipynb")))
        if marked != n:
            raise SystemExit(f"{label}: {marked} of {n} were marked; look into it before you believe a figure")
        shutil.rmtree(root)
        print(f"    {cost.seconds / n:.2f} s and {cost.cpu / n:.2f} CPU s each", file=sys.stderr)
        return cost


def made_naive(nb):
    for cell in nb.cells:
        for ours, naive in NAIVE:
            cell.source = cell.source.replace(ours, naive)
    return nb


def busy():
    """CPU seconds that the machine has spent so far."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def measured(label, n, command, cwd):
    """Runs a command. → Cost"""
    environment = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]])}
    before, started, peak = busy(), time.monotonic(), [0]
    with (cwd / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=said, stderr=said)
        threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
        process.wait()
    return Cost(label, n, time.monotonic() - started, busy() - before, peak[0] / 2**20)


def watch(pid, peak):
    """Keeps the largest memory of a process and what it started: proportional set sizes, so that shared pages count once."""
    while psutil.pid_exists(pid):
        held = 0
        with contextlib.suppress(psutil.Error):
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    held += process.memory_full_info().pss
        peak[0] = max(peak[0], held)
        time.sleep(1)


def floor(raws):
    """The cells and checks in this process, warm. → Cost"""
    import torch

    torch.set_num_threads(1)
    assignment = assignments.load(NAME)
    calls, raws = load_calls(assignment), list(raws)
    os.environ["NBGRADER_EXECUTION"] = "autograde"

    def mark(raw):
        nb, namespace = nbformat.reads(raw.decode(), as_version=4), {"__name__": "__main__"}
        needed, _ = to_run(nb, assignment)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for cell in needed:
                if cell.cell_type == "code":
                    with contextlib.suppress(Exception):
                        exec(compile(cell.source, "<cell>", "exec"), namespace)
        judge(assignment, assignment.student(lambda header, tensors: calls.answer(header, tensors, namespace)), "")

    raws = [raw for raw in raws if survived(mark, raw)]
    mark(raws[0])
    print(f"floor: {len(raws)} submissions …", file=sys.stderr)
    before, started = time.process_time(), time.monotonic()
    for raw in raws:
        mark(raw)
    seconds, cpu = time.monotonic() - started, time.process_time() - before
    return Cost("floor", len(raws), seconds, cpu, psutil.Process().memory_full_info().pss / 2**20)


def survived(mark, raw):
    """Whether a process that marks this lives on: some answers abort the interpreter, which only a sandbox survives."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with contextlib.suppress(BaseException):
            mark(raw)
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def report(costs, sizes):
    """The tables, in Markdown."""
    stock, work = costs[0], costs[-1]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "nbgrader", "ipykernel"))
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        f"# What marking costs: {datetime.date.today():%Y-%m-%d}",
        "",
        f"{os.cpu_count()} cores, {memory:.0f} GiB, no GPU used; Python {platform.python_version()}, {versions}.",
        "`python benchmarks/grading.py` says what the rows are. CPU seconds are those of the whole machine.",
        "",
        "| | submissions | s each | CPU s each | an hour | peak MiB | times stock, naive | CPU, times floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for c in [*costs, *sizes]:
        each, cpu = c.seconds / c.n, c.cpu / c.n
        lines.append(
            f"| {c.label} | {c.n} | {each:.2f} | {cpu:.2f} | {3600 / each:,.0f} | {c.memory:,.0f} "
            f"| {stock.seconds / stock.n / each:.1f} | {cpu / (work.cpu / work.n):.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
