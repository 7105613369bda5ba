"""What marking costs: stock nbgrader, otter, ours, and the work itself, side by side in one run.

    python benchmarks/grading.py --sizes 10 100 1000 --output benchmarks/grading.md

Run it on a machine that does nothing else: CPU seconds are those of the whole machine, as sandboxes are nobody's children. The
submissions are right and wrong answers of the catalogue, in an order drawn once; each row gets the first of them.

Rows:
    stock, naive     `nbgrader autograde` without our configuration, on the lesson as it is usually written: the bar redrawn on
                     every step, one plot call per connecting line
    otter, naive     `otter run` on the same notebooks, with a test for each task; needs --otter FOLDER, an environment of its
                     own: `python -m venv FOLDER; FOLDER/bin/pip install torch matplotlib tqdm ipykernel otter-grader`
    stock, ours      as the first, on our lesson
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
from autograder.course.executors import own_cores
from autograder.course.folder import Course
from autograder.grading.cells import to_run
from autograder.grading.judge import judge
from autograder.stock import caller

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


# What an instructor might ask with otter: the shape of z, and the KL of one posterior.
OTTER = {
    "reparameterize": (
        ">>> import torch\n>>> tuple(VAE().reparameterize(torch.zeros(4, 2), torch.zeros(4, 2)).shape)\n(4, 2)",
    ),
    "kl_divergence": (
        ">>> class Model(torch.nn.Module):\n"
        "...     def forward(self, x):\n"
        "...         return x, torch.ones(4, 3), torch.zeros(4, 3)\n"
        ">>> round(float(compute_vae_loss(Model(), torch.zeros(4, 2), 1.0)), 4) in (0.5, 1.5)\nTrue",
    ),
}


@dataclasses.dataclass
class Cost:
    """What a run cost, for `n` submissions: seconds, CPU seconds of the machine, MiB at most of all and of the driver alone.

    `lost` of them got no mark.
    """

    label: str
    n: int
    seconds: float
    cpu: float
    memory: float
    driver: float = float("nan")
    lost: int = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, help="write the table there, too")
    parser.add_argument("--submissions", type=int, default=60, help="for the rows of ours (default: 60)")
    parser.add_argument("--stock", type=int, default=6, help="for the rows of stock nbgrader and otter (default: 6)")
    parser.add_argument(
        "--rounds", type=int, default=2, help="the rows are measured in turn so often, as machines change (default: 2)"
    )
    parser.add_argument("--otter", type=pathlib.Path, help="environment with otter-grader; without it, no row of otter's")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[], help="classes on which `grade` is measured beside, e.g. 10 100 1000"
    )
    options = parser.parse_args()
    workers, n = len(own_cores()), options.submissions
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        maker, nbgrader, grade = Maker(pathlib.Path(folder)), ["nbgrader", "autograde", NAME], ["autograder", "grade"]
        raws = list(maker.raws(n))
        rows = [
            lambda: maker.run("stock, naive", options.stock, nbgrader, stock=True, naive=True),
            lambda: maker.run("stock, ours", options.stock, nbgrader, stock=True),
            lambda: maker.run("nbgrader, ours", n, nbgrader),
            lambda: maker.run("grade 1", n, [*grade, "--workers", "1"]),
            lambda: maker.run(f"grade {workers}", n, grade),
            lambda: maker.run(f"grade {workers}, all", 2 * options.stock, [*grade, "--execute", "all"]),
            lambda: floor(raws),
        ]
        if options.otter:
            rows.insert(1, lambda: maker.otter("otter, naive", options.stock, options.otter / "bin" / "otter"))
        rounds = [[row() for row in rows] for _ in range(options.rounds)]
        costs = [together(round) for round in zip(*rounds, strict=True)]
        sizes = [maker.run(f"grade {workers}", size, grade) for size in options.sizes]
    text = report(costs, sizes)
    print(text)
    if options.output:
        options.output.write_text(text)


def together(costs):
    """The Cost of several runs of one row."""
    total = {name: sum(getattr(cost, name) for cost in costs) for name in ("n", "seconds", "cpu", "lost")}
    peaks = {name: max(getattr(cost, name) for cost in costs) for name in ("memory", "driver")}
    return Cost(costs[0].label, **total, **peaks)


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
            nb.metadata["number"] = number  # the same bytes would not be marked twice
            yield nbformat.writes(made_naive(nb) if naive else nb).encode()

    def course(self, n, stock=False, naive=False):
        """A course in which n students have handed in. → its folder"""
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
        Course(root).generate_assignment(assignments.load(NAME))
        for number, raw in enumerate(self.raws(n, naive)):
            path = root / "submitted" / f"student{number:05}" / NAME / f"{NAME}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_bytes(raw)
        return root

    def run(self, label, n, command, stock=False, naive=False):
        """Marks a new class. → Cost"""
        root = self.course(n, stock, naive)
        print(f"{label}: {n} submissions …", file=sys.stderr)
        cost = measured(label, n, [str(BIN / command[0]), *command[1:]], root)
        count_lost(cost, root, stock)
        shutil.rmtree(root)
        return cost

    def otter(self, label, n, otter):
        """Marks n naive notebooks with one `otter run` each. → Cost"""
        root = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        (root / "tests").mkdir()
        for name, cases in OTTER.items():
            suite = {"cases": [{"code": case, "hidden": False} for case in cases], "scored": True, "type": "doctest"}
            suite |= {"setup": "", "teardown": ""}
            (root / "tests" / f"{name}.py").write_text(
                f"OK_FORMAT = True\ntest = {{'name': {name!r}, 'suites': [{suite!r}]}}\n"
            )
        # What makes the archive is paid once for a class.
        subprocess.run([otter, "generate", "-t", "tests", "-o", "autograder.zip"], cwd=root, check=True, capture_output=True)
        for number, raw in enumerate(self.raws(n, naive=True)):
            (root / f"{number}.ipynb").write_bytes(raw)
        print(f"{label}: {n} submissions …", file=sys.stderr)
        script = f'for n in $(seq 0 {n - 1}); do "{otter}" run -a autograder.zip -o out$n --no-logo $n.ipynb; done'
        environment = {"PATH": os.pathsep.join([str(otter.parent), os.environ["PATH"]])}
        cost = measured(label, n, ["sh", "-c", f"mkdir {' '.join(f'out{k}' for k in range(n))}; {script}"], root, environment)
        cost.lost = n - len(list(root.glob("out*/results.json")))
        if cost.lost == n:
            raise SystemExit(f"{label}: none was marked: {(root / 'said.txt').read_text()[-2000:]}")
        return cost


def count_lost(cost, root, stock=False):
    """Sets how many of the class in a folder got no mark."""
    marked = len(list(root.glob(f"autograded/*/{NAME}/{NAME}.ipynb")))
    if marked != cost.n and not stock:  # stock nbgrader loses a submission whose kernel dies
        raise SystemExit(f"{cost.label}: {marked} of {cost.n} were marked; look into it before you believe a figure")
    cost.lost = cost.n - marked


def made_naive(nb):
    for cell in nb.cells:
        for ours, naive in NAIVE:
            cell.source = cell.source.replace(ours, naive)
    return nb


def busy():
    """CPU seconds that the machine has spent so far."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def measured(label, n, command, cwd, environment=None):
    """Runs a command. → Cost"""
    environment = os.environ | (environment or {"PATH": os.pathsep.join([str(BIN), os.environ["PATH"]])})
    before, started, peak = busy(), time.monotonic(), {"all": 0, "driver": 0}
    with (cwd / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=said, stderr=said)
        threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
        process.wait()
    seconds, cpu = time.monotonic() - started, busy() - before
    print(f"    {seconds / n:.2f} s and {cpu / n:.2f} CPU s each", file=sys.stderr)
    return Cost(label, n, seconds, cpu, peak["all"] / 2**20, peak["driver"] / 2**20)


def watch(pid, peak):
    """Keeps the largest memory of a process, and of it and what it started: shared pages count once, divided among all.

    Asking holds up whoever is asked about, so it is done seldom.
    """
    while psutil.pid_exists(pid):
        held = {}
        with contextlib.suppress(psutil.Error):
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    held[process.pid] = process.memory_full_info().pss
        peak["all"], peak["driver"] = max(peak["all"], sum(held.values())), max(peak["driver"], held.get(pid, 0))
        time.sleep(3)


def floor(raws):
    """The cells and checks in this process, warm. → Cost"""
    import torch

    torch.set_num_threads(1)
    assignment = assignments.load(NAME)
    raws = list(raws)
    os.environ["NBGRADER_EXECUTION"] = "autograde"

    def mark(raw):
        nb, namespace = nbformat.reads(raw.decode(), as_version=4), {"__name__": "__main__"}
        needed, _ = to_run(nb, assignment)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for cell in needed:
                if cell.cell_type == "code":
                    with contextlib.suppress(Exception):
                        exec(compile(cell.source, "<cell>", "exec"), namespace)
        judge(assignment, assignment.student(caller(assignment, namespace)), "")

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
    """The table, in Markdown."""
    stock, work = costs[0], costs[-1]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "nbgrader", "ipykernel"))
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        f"# What marking costs: {datetime.date.today():%Y-%m-%d}",
        "",
        f"{os.cpu_count()} cores, {memory:.0f} GiB, no GPU used; Python {platform.python_version()}, {versions}.",
        "`python benchmarks/grading.py --help` says what the rows are. CPU seconds are those of the whole machine; start-up is",
        "part of each row but the floor's. “Driver” is the process that was started, without what it started.",
        "",
        "| | submissions | s each | CPU s each | an hour | peak MiB | driver MiB | times stock, naive | CPU, times floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for c in [*costs, *sizes]:
        each, cpu = c.seconds / c.n, c.cpu / c.n
        driver, lost = "" if c is work else f"{c.driver:,.0f}", f" ({c.lost} lost)" if c.lost else ""
        lines.append(
            f"| {c.label} | {c.n}{lost} | {each:.3f} | {cpu:.3f} | {3600 / each:,.0f} | {c.memory:,.0f} | {driver} "
            f"| {stock.seconds / stock.n / each:.1f} | {cpu / (work.cpu / work.n):.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
