"""The catalogue of right and wrong answers against the checks: what was caught, what was not, and what was named."""

import dataclasses

import nbformat
import yaml

from autograder.course.fill import cell, fill
from autograder.errors import BadReply, TimedOut, WorkerDied
from autograder.grading.judge import judge
from autograder.grading.notebook import visible
from autograder.grading.session import Kernel
from autograder.grading.submission import display_only, grade
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
    """

    entry: Entry
    points: float
    max_points: float
    lost: dict
    messages: dict

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
        }


def catalogue(assignment):
    """The assignment's entries, in the file's order."""
    return [Entry(**entry) for entry in yaml.safe_load((assignment.folder / "catalogue.yaml").read_text())]


def full(assignment, release, answers, entries, progress):
    """Each entry as a notebook through the whole grader. → list of Outcome

    Args:
        release: the student notebook.
        answers: grade_id of a solution cell → a right answer to it, by target: {target: (grade_id, source)}.
        progress: `progress(done, total, what)`.
    """
    outcomes = []
    for number, entry in enumerate(entries):
        progress(number, len(entries), entry.name)
        raw = nbformat.writes(submission(release, answers, entry)).encode()
        checks = grade(raw, assignment).verdict.checks
        outcomes.append(outcome(entry, [check for check in checks if check.cell == entry.target]))
    progress(len(entries), len(entries), "done")
    return outcomes


def fast(assignment, release, answers, entries, progress):
    """As `full`, with one worker for all entries, which redefines the solution cells for each."""
    outcomes, bench = [], Bench(assignment, release)
    try:
        for number, entry in enumerate(entries):
            progress(number, len(entries), entry.name)
            nb = submission(release, answers, entry)
            bench.define(nb)
            checks = judge(assignment, assignment.student(bench.call), entry.code, cells=[entry.target])
            outcomes.append(outcome(entry, checks))
    finally:
        bench.close()
    progress(len(entries), len(entries), "done")
    return outcomes


def submission(release, answers, entry):
    """The release with the entry's function in its place, and the other tasks answered right."""
    return fill(release, dict({**answers, entry.target: (answers[entry.target][0], entry.code)}.values()))


def outcome(entry, checks):
    lost = [check for check in checks if check.points < check.max_points]
    return Outcome(
        entry,
        sum(check.points for check in checks),
        sum(check.max_points for check in checks),
        {check.id.split(".")[1]: check.misconception for check in lost},
        {check.id.split(".")[1]: check.message for check in lost},
    )


class Bench:
    """A worker that has run the lesson's set-up once, and takes one pair of solution cells after the other."""

    def __init__(self, assignment, release):
        self._assignment, shown = assignment, display_only(assignment.master)
        last = release.cells.index(cell(release, assignment.test_cells[-1]))
        code = [c for c in release.cells[:last] if c.cell_type == "code" and shown.get(c.id) != c.source]
        self._setup = [visible(c.source) for c in code if "nbgrader" not in c.metadata]
        self._solutions = [c.metadata.nbgrader.grade_id for c in code if c.metadata.get("nbgrader", {}).get("solution")]
        self._limits, self._kernel, self._sources = Limits(), None, []

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
