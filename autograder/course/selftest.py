"""The catalogue of right and wrong answers against the checks: what was caught, what was not, and what was named.

Entries are shared out among processes:

    this process ─► one process per core: a judge, pytest ─► its sandboxes, by a twin of this one's warm process
"""

import atexit
import contextlib
import dataclasses
import enum
import functools
import itertools
import pathlib
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import Any, Protocol, TypeVar

import nbformat
import yaml
from nbformat import NotebookNode

from autograder.assignment import Assignment
from autograder.course import executors
from autograder.course.fill import cell, fill
from autograder.errors import BadReply, CourseError, GraderError, TimedOut, WorkerDied
from autograder.grading.cells import to_run
from autograder.grading.judge import judge
from autograder.grading.pytorch import reply_to
from autograder.grading.session import Kernel
from autograder.grading.submission import grade
from autograder.grading.verdict import CheckResult
from autograder.sandbox.inside.messages import Call, Reply
from autograder.sandbox.outside import backends
from autograder.sandbox.outside.limits import Limits
from autograder.sandbox.outside.warm import Zygote

# Where PyYAML was built with libyaml, a tenth of the time.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Progress = Callable[[int, int, str], None]
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One answer of the catalogue; the first fields are described at the top of `catalogue.yaml`.

    Attributes:
        kind: of slip, where one made it.
        names: the misconceptions that are in it, under all their names.
    """

    name: str
    target: str
    answer: str
    points: float
    lost: dict[str, str | None]
    why: str
    code: str
    kind: str = ""
    names: frozenset[str] = frozenset()


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
    lost: dict[str, str | None]
    messages: dict[str, str]
    seed: int = 0

    @property
    def as_expected(self) -> bool:
        return (self.points, self.lost) == (self.entry.points, self.entry.lost)

    def to_json(self) -> dict[str, Any]:
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


class Naming(enum.StrEnum):
    """How the mistakes of a wrong answer were named."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class OfSlip(Outcome):
    """The outcome of a slip: `entry.lost` are the criteria that it breaks, by the assignment's `truth`."""

    @property
    def unjust(self) -> list[str]:
        """The criteria that it lost and does not break."""
        return sorted(self.lost.keys() - self.entry.lost.keys())

    @property
    def missed(self) -> list[str]:
        """The criteria that it breaks and did not lose."""
        return sorted(self.entry.lost.keys() - self.lost.keys())

    @property
    def accepted(self) -> bool:
        """Whether it is wrong and got full points."""
        return bool(self.entry.lost) and not self.lost

    @property
    def naming(self) -> Naming:
        """RIGHT where something is named and nothing wrongly: of several names joined by "/" one has to be right."""
        given = [name for name in self.lost.values() if name]
        right = all(any(self.entry.names >= parts(either) for either in name.split("/")) for name in given)
        return (Naming.RIGHT if right else Naming.WRONG) if given else Naming.NONE

    @property
    def as_expected(self) -> bool:
        return not self.unjust and not self.missed and (not self.lost or self.naming != Naming.WRONG)

    def to_json(self) -> dict[str, Any]:
        found = {"kind": self.entry.kind, "names": sorted(self.entry.names), "broken": sorted(self.entry.lost)}
        return {
            **{name: value for name, value in super().to_json().items() if not name.startswith("expected")},
            **found,
            "naming": str(self.naming),
        }


def parts(name: str) -> frozenset[str]:
    """The misconceptions in a name that tells of several at once."""
    return frozenset(name.split("+"))


class Judge(Protocol[Found]):
    """Judges entries, one after the other."""

    def __call__(self, entry: Entry) -> list[Found]: ...

    def close(self) -> None: ...


Answers = Mapping[str, tuple[str, str]]  # target → (grade_id of the cell that answers it, a right answer)


def catalogue(assignment: Assignment) -> list[Entry]:
    """The assignment's entries, in the file's order."""
    try:
        text = (assignment.folder / "catalogue.yaml").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CourseError(f"{assignment.name} has no catalogue of answers: {error.filename} is not there.") from error
    return [Entry(**entry) for entry in yaml.load(text, Loader=SAFE_LOADER)]


def recombined(assignment: Assignment) -> list[Entry]:
    """The assignment's right answers by recombination, as entries that deserve full points."""
    points = {target: float(assignment.graded_cells[target]["points"]) for target in assignment.test_cells}
    made = assignment.variants.variants()
    return [Entry(name, target, "right", points[target], {}, "", code) for name, target, code in made]


def slipped(assignment: Assignment, every: int = 1) -> list[Entry]:
    """The assignment's wrong answers by typical slips, or every n-th of them; what they break is found out by `slips`."""
    made = assignment.slips.slips()[::every]
    return [Entry(s.name, s.target, "wrong", 0.0, {}, "", s.code, s.kind, s.names) for s in made]


def full(
    assignment: Assignment,
    release: NotebookNode,
    answers: Answers,
    entries: Sequence[Entry],
    progress: Progress,
    workers: int | None = None,
) -> list[Outcome]:
    """Each entry as a notebook through the whole grader.

    Args:
        release: the student notebook.
        workers: number of processes; one per core by default. With one, all happens in this process.
    """
    assignment = dataclasses.replace(assignment)  # without the master that it has read: a megabyte for each process
    return judged(assignment, functools.partial(Notebooks, assignment, release, answers), entries, progress, workers)


def fast(
    assignment: Assignment,
    release: NotebookNode,
    answers: Answers,
    entries: Sequence[Entry],
    progress: Progress,
    workers: int | None = None,
    seeds: Sequence[int] = (0,),
) -> list[Outcome]:
    """As `full`, with one sandbox for all entries of a process, which redefines the solution cells for each.

    Args:
        seeds: each entry is judged with each of them, added to the seed of every call: one Outcome for each.
    """
    assignment = dataclasses.replace(assignment)
    return judged(assignment, functools.partial(Bench, assignment, release, answers, seeds), entries, progress, workers)


def slips(
    assignment: Assignment,
    release: NotebookNode,
    answers: Answers,
    entries: Sequence[Entry],
    progress: Progress,
    workers: int | None = None,
) -> list[OfSlip]:
    """As `fast`, for `slipped` entries: each against the criteria that it breaks. Those that are borderline are left out."""
    assignment = dataclasses.replace(assignment)
    return judged(assignment, functools.partial(Trial, assignment, release, answers), entries, progress, workers)


# --- sharing out the entries -----------------------------------------------------------------------------------------


def judged(
    assignment: Assignment,
    make: Callable[[], Judge[Found]],
    entries: Sequence[Entry],
    progress: Progress,
    workers: int | None,
) -> list[Found]:
    """What `judge = make()` finds for each entry, in one list; each process makes its own."""
    workers, started = min(workers or len(executors.own_cores()), len(entries)), time.monotonic()
    found: dict[int, list[Found]] = {}
    results = here(make, entries) if workers == 1 else elsewhere(assignment, make, entries, workers)
    with contextlib.closing(results):
        for number, outcomes in results:
            found[number] = outcomes
            left = (time.monotonic() - started) / len(found) * (len(entries) - len(found))
            progress(len(found), len(entries), f"{entries[number].name}, {left:.0f} s left")
    return [outcome for number in range(len(entries)) for outcome in found[number]]


Numbered = Generator[tuple[int, list[Found]], None, None]


def here(make: Callable[[], Judge[Found]], entries: Sequence[Entry]) -> Numbered[Found]:
    """Yields (number, outcomes) for each entry."""
    with contextlib.closing(make()) as judge:
        for number, entry in enumerate(entries):
            yield number, judge(entry)


def elsewhere(
    assignment: Assignment, make: Callable[[], Judge[Found]], entries: Sequence[Entry], workers: int
) -> Numbered[Found]:
    """As `here`, in the order in which processes finish them. What a process raises stops the others, too."""
    context, operations = executors.context(assignment), assignment.operations
    stop, warm = context.Event(), Zygote.of(operations, None).twin()
    pool = ProcessPoolExecutor(workers, context, start_process, (make, stop, operations, warm))
    try:
        numbers = {pool.submit(judge_in_process, entry): number for number, entry in enumerate(entries)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BrokenProcessPool as error:
        raise GraderError("A process of the self-test ended by itself; run it with fewer workers.") from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        warm.close()


_process: dict[str, Any] = {}


def start_process(make: Callable[[], Judge[Any]], stop: Event, operations: pathlib.Path, warm: socket.socket) -> None:
    executors.start_process(operations, Zygote(warm).twin())
    judge = make()
    atexit.register(judge.close)
    _process.update(judge=judge, stop=stop)


def judge_in_process(entry: Entry) -> list[Any]:
    # Some entries are on their way already when the pool is shut down.
    found: list[Any] = [] if _process["stop"].is_set() else _process["judge"](entry)
    return found


# --- judging an entry ------------------------------------------------------------------------------------------------


def submission(release: NotebookNode, answers: Answers, entry: Entry) -> NotebookNode:
    """The release with the entry's function in its place, and the other tasks answered right."""
    return fill(release, dict({**answers, entry.target: (answers[entry.target][0], entry.code)}.values()))


def outcome(entry: Entry, checks: Sequence[CheckResult], seed: int = 0) -> Outcome:
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

    def __init__(self, assignment: Assignment, release: NotebookNode, answers: Answers) -> None:
        self._assignment, self._release, self._answers = assignment, release, answers

    def __call__(self, entry: Entry) -> list[Outcome]:
        raw = nbformat.writes(submission(self._release, self._answers, entry)).encode()
        checks = grade(raw, self._assignment).verdict.checks
        return [outcome(entry, [check for check in checks if check.cell == entry.target])]

    def close(self) -> None:
        pass


class Bench:
    """Judges entries in one sandbox that has run the lesson's set-up, and takes one pair of solution cells after the other."""

    def __init__(self, assignment: Assignment, release: NotebookNode, answers: Answers, seeds: Sequence[int]) -> None:
        self._assignment, self._release, self._answers, self._seeds = assignment, release, answers, seeds
        code = [c for c in to_run(release, assignment)[0] if c.cell_type == "code"]
        self._setup = [c.source for c in code if "nbgrader" not in c.metadata]
        self._solutions = [c.metadata.nbgrader.grade_id for c in code if c.metadata.get("nbgrader", {}).get("solution")]
        # The CPU time of one submission would end a worker that takes hundreds.
        self._limits = Limits(cpu_seconds=100_000)
        self._kernel: Kernel | None = None
        self._sources: list[str] = []

    def __call__(self, entry: Entry) -> list[Outcome]:
        self.define(submission(self._release, self._answers, entry))
        return [outcome(entry, self._judge(entry, seed), seed) for seed in self._seeds]

    def _judge(self, entry: Entry, seed: int) -> tuple[CheckResult, ...]:
        student = self._assignment.student(self.call, seed=seed)
        return judge(self._assignment, student, entry.code, cells=[entry.target])

    def define(self, nb: NotebookNode) -> None:
        """Runs the solution cells of `nb`."""
        self._sources = [cell(nb, grade_id).source for grade_id in self._solutions]
        if self._kernel is not None:
            self._run(self._kernel, self._sources)

    def call(self, call: Call) -> Reply:
        """Reaches the answers that were defined last: a `grading.pytorch.Caller`."""
        if self._kernel is None:
            self._kernel = Kernel(backends.get("bubblewrap"), self._assignment.operations, self._limits)
            self._run(self._kernel, [*self._setup, *self._sources])
        name = self._assignment.functions[call.operation]
        try:
            header, tensors = self._kernel.call(*call.write(), self._limits.call_seconds, name)
        except (TimedOut, WorkerDied, BadReply):
            self.close()
            raise
        return reply_to(call, header, tensors)

    def _run(self, kernel: Kernel, sources: Sequence[str]) -> None:
        for source in sources:
            kernel.execute(source, self._limits.cell_seconds)

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


class Trial:
    """Judges slips: what each breaks by the assignment's `truth`, in this process, and what it lost."""

    def __init__(self, assignment: Assignment, release: NotebookNode, answers: Answers) -> None:
        self._bench, self._truth = Bench(assignment, release, answers, (0,)), assignment.truth

    def __call__(self, entry: Entry) -> list[OfSlip]:
        broken = self._truth.broken(entry.target, entry.code)
        if broken is None:
            return []
        entry = dataclasses.replace(entry, answer="wrong" if broken else "right", lost=dict.fromkeys(sorted(broken)))
        return [OfSlip(**{**vars(found), "entry": entry}) for found in self._bench(entry)]

    def close(self) -> None:
        self._bench.close()


def by_kind(outcomes: Sequence[OfSlip]) -> dict[str, dict[str, int]]:
    """kind of slip → what is counted of it → how many; the last row, "all", of all kinds.

    Counted are answers that are wrong, or right after all; wrong ones that were accepted; answers that lost a criterion that
    they do not break (unjust), or kept one that they break (missed); wrong ones whose names were right, wrong or none, and
    those for which there is no name.
    """
    rows: dict[str, dict[str, int]] = {}
    for kind, group in [*grouped(outcomes).items(), ("all", list(outcomes))]:
        wrong = [found for found in group if found.entry.lost]
        nameable = [found for found in wrong if found.entry.names or found.naming == Naming.WRONG]
        rows[kind] = {
            "wrong": len(wrong),
            "right": len(group) - len(wrong),
            "accepted": sum(found.accepted for found in wrong),
            "unjust": sum(bool(found.unjust) for found in group),
            "missed": sum(bool(found.missed) for found in group),
            "named": sum(found.naming == Naming.RIGHT for found in nameable),
            "misnamed": sum(found.naming == Naming.WRONG for found in nameable),
            "unnamed": sum(found.naming == Naming.NONE for found in nameable),
            "nameless": len(wrong) - len(nameable),
        }
    return rows


def grouped(outcomes: Sequence[OfSlip]) -> dict[str, list[OfSlip]]:
    groups: dict[str, list[OfSlip]] = {}
    for found in outcomes:
        groups.setdefault(found.entry.kind, []).append(found)
    return groups


def confusion(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], int]:
    """{("right" | "wrong", "full" | "less"): count}."""
    counts = {(answer, got): 0 for answer in ("right", "wrong") for got in ("full", "less")}
    for found in outcomes:
        counts[found.entry.answer, "full" if found.points == found.max_points else "less"] += 1
    return counts


def rejections(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One object per right answer, for `--json`: with how many seeds it was judged, and how it was rejected, if it was."""
    found = []
    for (name, target), judged_so in itertools.groupby(outcomes, key=lambda o: (o.entry.name, o.entry.target)):
        group = list(judged_so)
        rejected = [
            {"seed": o.seed, "points": o.points, "max_points": o.max_points, "lost": o.lost, "messages": o.messages}
            for o in group
            if not o.as_expected
        ]
        found.append({"name": name, "target": target, "seeds": len(group), "rejected": rejected})
    return found
