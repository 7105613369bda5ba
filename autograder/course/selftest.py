"""The catalogue of right and wrong answers against the checks: what was caught, what was not, and what was named.

Entries are shared out among processes:

    this process ─► one process per core: a judge, pytest ─► its sandboxes
"""

import atexit
import contextlib
import dataclasses
import functools
import importlib
import itertools
import multiprocessing
import pickle
import signal
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import nbformat
import yaml

from autograder.course import executors
from autograder.course.fill import cell, fill
from autograder.errors import BadReply, GraderError, TimedOut, WorkerDied
from autograder.grading.judge import judge
from autograder.grading.session import Kernel
from autograder.grading.submission import grade, to_run
from autograder.sandbox import backends
from autograder.sandbox.limits import Limits


@dataclasses.dataclass(frozen=True)
class Entry:
    """One answer of the catalogue; the fields are described at the top of `catalogue.yaml`."""

    name: str
    target: str
    answer: str
    points: float
    lost: dict
    why: str
    code: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the grader made of an entry.

    Attributes:
        points, max_points: of the target's cell.
        lost: criterion → misconception named.
        messages: criterion → sentence.
        seed: what was added to the seed of every call.
    """

    entry: Entry
    points: float
    max_points: float
    lost: dict
    messages: dict
    seed: int = 0

    @property
    def as_expected(self):
        return (self.points, self.lost) == (self.entry.points, self.entry.lost)

    def to_json(self):
        """The object that `autograder selftest --json` prints."""
        return {
            "name": self.entry.name,
            "target": self.entry.target,
            "answer": self.entry.answer,
            "points": self.points,
            "max_points": self.max_points,
            "expected_points": self.entry.points,
            "lost": self.lost,
            "expected_lost": self.entry.lost,
            "messages": self.messages,
            "as_expected": self.as_expected,
            "seed": self.seed,
        }


def catalogue(assignment):
    """The assignment's entries, in the file's order."""
    return [Entry(**entry) for entry in yaml.safe_load((assignment.folder / "catalogue.yaml").read_text())]


def recombined(assignment):
    """The assignment's right answers by recombination, as entries that deserve full points."""
    made = importlib.import_module(f"autograder.{assignment.name}.variants").variants()
    points = {target: float(assignment.graded_cells[target]["points"]) for target in assignment.test_cells}
    return [Entry(name, target, "right", points[target], {}, "", code) for name, target, code in made]


def full(assignment, release, answers, entries, progress, workers=None):
    """Each entry as a notebook through the whole grader. → list of Outcome

    Args:
        release: the student notebook.
        answers: grade_id of a solution cell → a right answer to it, by target: {target: (grade_id, source)}.
        progress: `progress(done, total, what)`.
        workers: number of processes; one per core by default. With one, all happens in this process.
    """
    assignment = dataclasses.replace(assignment)  # without the master that it has read: a megabyte for each process
    return judged(functools.partial(Notebooks, assignment, release, answers), entries, progress, workers)


def fast(assignment, release, answers, entries, progress, workers=None, seeds=(0,)):
    """As `full`, with one sandbox for all entries of a process, which redefines the solution cells for each.

    Args:
        seeds: each entry is judged with each of them, added to the seed of every call: one Outcome for each.
    """
    assignment = dataclasses.replace(assignment)
    return judged(functools.partial(Bench, assignment, release, answers, seeds), entries, progress, workers)


# --- sharing out the entries -----------------------------------------------------------------------------------------


def judged(make, entries, progress, workers):
    """What `judge = make()` finds for each entry, in one list; each process makes its own."""
    workers, started, found = min(workers or len(executors.own_cores()), len(entries)), time.monotonic(), {}
    results = here(make, entries) if workers == 1 else elsewhere(make, entries, workers)
    with contextlib.closing(results):
        for number, outcomes in results:
            found[number] = outcomes
            left = (time.monotonic() - started) / len(found) * (len(entries) - len(found))
            progress(len(found), len(entries), f"{entries[number].name}, {left:.0f} s left")
    return [outcome for number in range(len(entries)) for outcome in found[number]]


def here(make, entries):
    """Yields (number, outcomes) for each entry."""
    with contextlib.closing(make()) as judge:
        for number, entry in enumerate(entries):
            yield number, judge(entry)


def elsewhere(make, entries, workers):
    """As `here`, in the order in which processes finish them. What a process raises stops the others, too."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    # What a pipe does not hold at once (64 KiB) would make each process wait until the one before has imported torch.
    packed = zlib.compress(pickle.dumps(make))
    pool = ProcessPoolExecutor(workers, context, start_process, (packed, stop))
    try:
        # Ctrl-C reaches the whole group; this process ends the others, which inherit that they ignore it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        numbers = {pool.submit(judge_in_process, entry): number for number, entry in enumerate(entries)}
        signal.signal(signal.SIGINT, before)
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BrokenProcessPool as error:
        raise GraderError("A process of the self-test ended by itself; run it with fewer workers.") from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_process = {}


def start_process(packed, stop):
    executors.start_process()
    judge = pickle.loads(zlib.decompress(packed))()
    atexit.register(judge.close)
    _process.update(judge=judge, stop=stop)


def judge_in_process(entry):
    # Some entries are on their way already when the pool is shut down.
    return [] if _process["stop"].is_set() else _process["judge"](entry)


# --- judging an entry ------------------------------------------------------------------------------------------------


def submission(release, answers, entry):
    """The release with the entry's function in its place, and the other tasks answered right."""
    return fill(release, dict({**answers, entry.target: (answers[entry.target][0], entry.code)}.values()))


def outcome(entry, checks, seed=0):
    lost = [check for check in checks if check.points < check.max_points]
    return Outcome(
        entry,
        sum(check.points for check in checks),
        sum(check.max_points for check in checks),
        {check.id.split(".")[1]: check.misconception for check in lost},
        {check.id.split(".")[1]: check.message for check in lost},
        seed,
    )


class Notebooks:
    """Judges entries as notebooks, each in a sandbox of its own."""

    def __init__(self, assignment, release, answers):
        self._assignment, self._release, self._answers = assignment, release, answers

    def __call__(self, entry):
        raw = nbformat.writes(submission(self._release, self._answers, entry)).encode()
        checks = grade(raw, self._assignment).verdict.checks
        return [outcome(entry, [check for check in checks if check.cell == entry.target])]

    def close(self):
        pass


class Bench:
    """Judges entries in one sandbox that has run the lesson's set-up, and takes one pair of solution cells after the other."""

    def __init__(self, assignment, release, answers, seeds):
        self._assignment, self._release, self._answers, self._seeds = assignment, release, answers, seeds
        code = [c for c in to_run(release, assignment)[0] if c.cell_type == "code"]
        self._setup = [c.source for c in code if "nbgrader" not in c.metadata]
        self._solutions = [c.metadata.nbgrader.grade_id for c in code if c.metadata.get("nbgrader", {}).get("solution")]
        # The CPU time of one submission would end a worker that takes hundreds.
        self._limits, self._kernel, self._sources = Limits(cpu_seconds=100_000), None, []

    def __call__(self, entry):
        self.define(submission(self._release, self._answers, entry))
        return [outcome(entry, self._judge(entry, seed), seed) for seed in self._seeds]

    def _judge(self, entry, seed):
        student = self._assignment.student(self.call, seed=seed)
        return judge(self._assignment, student, entry.code, cells=[entry.target])

    def define(self, nb):
        """Runs the solution cells of `nb`."""
        self._sources = [cell(nb, grade_id).source for grade_id in self._solutions]
        if self._kernel is not None:
            self._run(self._sources)

    def call(self, header, tensors):
        if self._kernel is None:
            self._kernel = Kernel(backends.get("bubblewrap"), self._assignment.calls, self._limits)
            self._run([*self._setup, *self._sources])
        try:
            return self._kernel.call(header, tensors, self._limits.call_seconds, self._assignment.functions[header["op"]])
        except (TimedOut, WorkerDied, BadReply):
            self.close()
            raise

    def _run(self, sources):
        for source in sources:
            self._kernel.execute(source, self._limits.cell_seconds)

    def close(self):
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


def confusion(outcomes):
    """{("right" | "wrong", "full" | "less"): count}."""
    counts = {(answer, got): 0 for answer in ("right", "wrong") for got in ("full", "less")}
    for found in outcomes:
        counts[found.entry.answer, "full" if found.points == found.max_points else "less"] += 1
    return counts


def rejections(outcomes):
    """One object per right answer, for `--json`: with how many seeds it was judged, and how it was rejected, if it was."""
    found = []
    for (name, target), group in itertools.groupby(outcomes, key=lambda o: (o.entry.name, o.entry.target)):
        group = list(group)
        rejected = [
            {"seed": o.seed, "points": o.points, "max_points": o.max_points, "lost": o.lost, "messages": o.messages}
            for o in group
            if not o.as_expected
        ]
        found.append({"name": name, "target": target, "seeds": len(group), "rejected": rejected})
    return found
