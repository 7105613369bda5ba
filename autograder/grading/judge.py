"""Runs the hidden checks: pytest, in the grader's process, with a small plugin that collects what they say."""

import contextlib
import io
import itertools
import os
import threading
import typing

import pytest

from autograder.errors import ChecksError, GraderError, SubmissionError
from autograder.grading.explain import explain
from autograder.grading.verdict import FAILED, NOT_RUN, PASSED, CheckResult, Evidence
from autograder.rubric import NotEarned, Record

# pytest's own plugins that would print, write or slow things down.
QUIET = ["cacheprovider", "doctest", "faulthandler", "junitxml", "legacypath", "logging", "monkeypatch", "pastebin", "recwarn"]
QUIET += ["setuponly", "setupplan", "stepwise", "terminal", "threadexception", "tmpdir", "unittest", "unraisableexception"]
QUIET += ["assertion", "capture", "debugging", "skipping", "subtests", "warnings"]


def judge(assignment, student, source, cells=None, points=None, evidence=False):
    """The results of the checks of `cells` (all of the assignment's by default), one per expected criterion.

    Args:
        student: the fixture of that name.
        source: the submission's code, whose words may be quoted back to the student.
        points: overrides of points, {"cell.criterion": points}.
        evidence: whether the results say what was called and what was seen.

    Raises:
        ChecksError: the checks could not be run, or one broke by itself.
    """
    collector = Collector(student, source, points or {}, assignment.words if evidence else None)
    checks = Checks.of(assignment.checks(cells))
    try:
        checks.run(collector)
    except BaseException:  # pytest may be in the middle of a check
        checks.close()
        raise
    return tuple(collector.results.get(id) or collector.not_run(id) for id in collector.expected)


class Checks:
    """The hidden checks in some files, collected by a pytest that is kept for one submission after the other.

    Starting pytest takes as long as judging a submission. So a thread starts it, and it waits inside its loop, as a worker of
    pytest-xdist does; the checks run in the thread that asks for them. One at a time: what pytest holds is the process's.

    Attributes:
        items: pytest's, one for each check.
    """

    KEPT = 4
    _kept: typing.ClassVar = {}

    @classmethod
    def of(cls, files):
        """Those in the files, which pytest reads once."""
        key = tuple(files)
        if key not in cls._kept:
            cls._kept[key] = cls(files)
        for old in list(cls._kept)[: -cls.KEPT]:
            cls._kept[old].close()
        return cls._kept[key]

    def __init__(self, files):
        self.items, self._collector, self._status = (), None, None
        self._waits, self._closed = threading.Event(), threading.Event()
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            threading.Thread(target=self._hold, args=(files,), name="pytest", daemon=True).start()
            self._waits.wait()
        if not self.items:
            self.close()
            raise ChecksError(
                f"pytest could not run the hidden checks (it ended with {self._status}): {said.getvalue()[-2000:]}"
            )

    def _hold(self, files):
        """pytest on the files, with nothing of its own configuration, plugins or output."""
        options = ["--disable-plugin-autoload", "--import-mode=importlib", "--noconftest", "-c", os.devnull]
        # pytest names modules by their path below rootdir and keeps them: two assignments' checks must not share a name.
        options += ["--rootdir", files[0].anchor, *(part for name in QUIET for part in ("-p", f"no:{name}"))]
        try:
            self._status = pytest.main([*options, *map(str, files)], plugins=[self])
        finally:
            self._waits.set()

    def close(self):
        """Lets pytest end."""
        self._closed.set()
        for key in [key for key, checks in self._kept.items() if checks is self]:
            del self._kept[key]

    def run(self, collector):
        """Runs them for one submission.

        Raises:
            ChecksError: one broke by itself.
            GraderError: one met trouble of the grader's.
        """
        self._collector = collector
        collector.expect(self.items)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for item, following in itertools.zip_longest(self.items, self.items[1:]):
                if collector.broken is None:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if collector.broken is not None:
            name, error = collector.broken
            if isinstance(error, GraderError):
                raise error
            raise ChecksError(f"the check {name} broke by itself: {error!r}") from error

    # --- what pytest calls ---

    def pytest_configure(self, config):
        config.addinivalue_line("markers", "criterion(cell, points, title, asks, section): a criterion of the rubric")

    @pytest.fixture
    def student(self):
        """The submission, as the checks see it."""
        return self._collector.student()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if session.testsfailed:  # while it collected; its own loop says what and ends
            return None
        self.items = tuple(session.items)
        self._waits.set()
        self._closed.wait()
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        self._collector.report(item, call)
        return report


class Collector:
    """Turns outcomes into results."""

    def __init__(self, student, source, points, words):
        self._student, self._source, self._points, self._words = student, source, points, words
        self.expected, self.sections, self.results, self.broken = {}, {}, {}, None

    def student(self):
        self._student.record = Record()
        return self._student

    def expect(self, items):
        """Learns what criteria there are."""
        for item in items:
            marker = item.get_closest_marker("criterion")
            if marker is None:
                self.broken = item.name, ChecksError("it has no criterion marker")
                continue
            id = f"{marker.kwargs['cell']}.{item.originalname.removeprefix('test_')}"
            self.expected[id] = {
                "id": id,
                "cell": marker.kwargs["cell"],
                "title": marker.kwargs["title"],
                "max_points": float(self._points.get(id, marker.kwargs["points"])),
                "asks": marker.kwargs["asks"],
            }
            self.sections[id] = marker.kwargs["section"]
            item.stash[ID] = id
            item.repr_failure = str  # nobody reads pytest's long text

    def report(self, item, call):
        """Takes the outcome of one phase of a check."""
        error = call.excinfo.value if call.excinfo else None
        id = item.stash.get(ID, item.name)
        if call.when == "call" and isinstance(error, NotEarned):
            self.results[id] = self._lost(id, error.sentence, error.misconception, error.device, error.section)
        elif call.when == "call" and isinstance(error, SubmissionError):
            self.results[id] = self._lost(id, *explain(error, self._source))
        elif error is not None:
            self.broken = self.broken or (id, error)
        elif call.when == "call":
            expected = self.expected[id]
            points = expected["max_points"]
            self.results[id] = CheckResult(**expected, outcome=PASSED, points=points, evidence=self._evidence())

    def _lost(self, id, sentence, misconception=None, device=None, section=None):
        return CheckResult(
            **self.expected[id],
            outcome=FAILED,
            points=0.0,
            message=f"{sentence} See “{section or self.sections[id]}” in the notebook.",
            misconception=misconception,
            device=device,
            evidence=self._evidence(),
        )

    def _evidence(self):
        """What the check that has just ended recorded, in words; None where nobody asks."""
        if self._words is None:
            return None
        record = self._student.record
        return Evidence(tuple(self._words(call, self._source) for call in record.calls), tuple(record.evidence))

    def not_run(self, id):
        sentence = "This check was not run, so it earns nothing; ask your instructor to have it marked again."
        return CheckResult(**self.expected[id], outcome=NOT_RUN, points=0.0, message=sentence)


ID = pytest.StashKey[str]()
