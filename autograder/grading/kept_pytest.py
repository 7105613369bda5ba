"""pytest, kept for one submission after the other.

Starting pytest and collecting the hidden checks takes as long as judging a submission. pytest offers no way to start it, hand
it work and end it later: `pytest.main` returns when everything is over, and takes down what its items need. But it lets a
plug-in be the loop that runs the items (`pytest_runtestloop`, as a worker of pytest-xdist is). So:

    thread "pytest"     pytest.main ─► collects the checks ─► pytest_runtestloop: says that it waits, and waits until `close`
    the caller          `Checks.run`: pytest_runtest_protocol(item), pytest's own, for each item, as its loop would

The thread does nothing while it waits, so the two never run pytest at the same time. What pytest holds (and what is captured
of stdout and stderr) belongs to the process: one submission at a time.

pytest runs with nothing of its own: no configuration, no conftest, no plug-in of another package, and without those of its
own plug-ins that would print, write files, or take most of the time.
"""

import contextlib
import dataclasses
import io
import itertools
import os
import pathlib
import threading
import typing
from collections.abc import Iterator, Mapping, Sequence

import pytest

from autograder.assignment import Assignment
from autograder.criteria import Criterion
from autograder.errors import ChecksError

QUIET = ["cacheprovider", "doctest", "faulthandler", "junitxml", "legacypath", "logging", "monkeypatch", "pastebin", "recwarn"]
QUIET += ["setuponly", "setupplan", "stepwise", "terminal", "threadexception", "tmpdir", "unittest", "unraisableexception"]
QUIET += ["assertion", "capture", "debugging", "skipping", "subtests", "warnings"]


class Reporter(typing.Protocol):
    """Who is told what became of the checks, for one submission."""

    broken: tuple[str, BaseException] | None  # the check that ended the run, and why

    def begin(self, item: pytest.Item) -> object:
        """A check begins. → its fixture `student`"""

    def report(self, item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
        """One phase of a check has ended."""


class Checks:
    """The hidden checks in some files, collected once.

    Args:
        files: each with the checks of a test cell.

    Attributes:
        items: pytest's, one for each check.

    Raises:
        ChecksError: pytest could not collect them.
    """

    KEPT = 4
    _kept: typing.ClassVar[dict[tuple[pathlib.Path, ...], "Checks"]] = {}

    @classmethod
    def of(cls, files: Sequence[pathlib.Path]) -> "Checks":
        """Those in the files, which pytest reads once."""
        key = tuple(files)
        if key not in cls._kept:
            cls._kept[key] = cls(files)
        for old in list(cls._kept)[: -cls.KEPT]:
            cls._kept[old].close()
        return cls._kept[key]

    def __init__(self, files: Sequence[pathlib.Path]) -> None:
        self.items: tuple[pytest.Item, ...] = ()
        self._reporter: Reporter | None = None
        self._status: int | pytest.ExitCode | None = None
        self._waits, self._closed = threading.Event(), threading.Event()
        with quiet() as said:
            self._thread = threading.Thread(target=self._hold, args=(files,), name="pytest", daemon=True)
            self._thread.start()
            self._waits.wait()
        if not self.items:
            self.close()
            raise ChecksError(
                f"pytest could not run the hidden checks (it ended with {self._status}): {said.getvalue()[-2000:]}"
            )

    def _hold(self, files: Sequence[pathlib.Path]) -> None:
        options = ["--disable-plugin-autoload", "--import-mode=importlib", "--noconftest", "-c", os.devnull]
        # pytest names modules by their path below rootdir and keeps them: two assignments' checks must not share a name.
        options += ["--rootdir", files[0].anchor, *(part for name in QUIET for part in ("-p", f"no:{name}"))]
        try:
            self._status = pytest.main([*options, *map(str, files)], plugins=[self])
        finally:
            self._waits.set()

    def close(self) -> None:
        """Lets pytest end."""
        before = pathlib.Path.cwd()
        self._closed.set()
        self._thread.join()
        os.chdir(before)  # pytest leaves the process in the folder where it was started
        for key in [key for key, checks in self._kept.items() if checks is self]:
            del self._kept[key]

    def run(self, reporter: Reporter) -> None:
        """Runs them for one submission, until one is `broken`."""
        self._reporter = reporter
        try:
            with quiet():
                for item, following in itertools.zip_longest(self.items, self.items[1:]):
                    if reporter.broken is None:
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except BaseException:  # pytest may be in the middle of a check
            self.close()
            raise

    # --- what pytest calls ---

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "criterion(criterion): the criterion of the rubric that a check judges")

    @pytest.fixture
    def student(self, request: pytest.FixtureRequest) -> object:
        """The submission, as the checks see it."""
        assert self._reporter is not None
        return self._reporter.begin(request.node)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:  # while it collected; its own loop says what and ends
            return None
        self.items = tuple(session.items)
        self._waits.set()
        self._closed.wait()
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: "pytest.CallInfo[None]"
    ) -> typing.Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        assert self._reporter is not None
        self._reporter.report(item, call)
        return report


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keeps what is written to stdout and stderr."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


def criterion_of(item: pytest.Item) -> Criterion:
    """The Criterion that a check judges; ChecksError where it declares none."""
    marker = item.get_closest_marker("criterion")
    if marker is None:
        raise ChecksError(f"the check {item.name} has no @criterion")
    item.repr_failure = str  # type: ignore[method-assign, assignment]  # nobody reads pytest's long text
    criterion: Criterion = marker.args[0]
    return criterion


def criteria(
    assignment: Assignment, points: Mapping[str, float] | None = None, cells: Sequence[str] | None = None
) -> list[Criterion]:
    """The criteria of an assignment in the rubric's order, those of `cells` or all, with a course's points.

    A course sets the points of single criteria, or gives the test cell other points in its master notebook: its criteria then
    keep their shares.
    """
    declared = [criterion_of(item) for item in Checks.of(assignment.checks(cells)).items]
    own = {} if assignment.edited is None else shares(declared, assignment)
    return [dataclasses.replace(c, points=float((points or {}).get(c.id, own.get(c.id, c.points)))) for c in declared]


def shares(declared: Sequence[Criterion], assignment: Assignment) -> dict[str, float]:
    """What each criterion is worth under the points that a course's master gives to its test cell."""
    worth = {cell: sum(c.points for c in declared if c.cell == cell) for cell in {c.cell for c in declared}}
    return {c.id: c.points * assignment.graded_cells[c.cell]["points"] / worth[c.cell] for c in declared}
