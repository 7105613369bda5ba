"""Runs the hidden checks: pytest, in the grader's process, with a small plugin that collects what they say."""

import contextlib
import io
import os

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
    plugin = Collector(student, source, points or {}, assignment.words if evidence else None)
    run(assignment, cells, plugin)
    return tuple(plugin.results.get(id) or plugin.not_run(id) for id in plugin.expected)


def run(assignment, cells, plugin, *more):
    """pytest on the checks of `cells`, with nothing of its own configuration, plugins or output."""
    files = [str(path) for path in assignment.checks(cells)]
    options = [*more, "--disable-plugin-autoload", "--import-mode=importlib", "--noconftest"]
    # pytest names modules by their path below rootdir and keeps them: two assignments' checks must not share a name.
    options += [
        "-c",
        os.devnull,
        "--rootdir",
        assignment.folder.anchor,
        *(part for name in QUIET for part in ("-p", f"no:{name}")),
    ]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main([*options, *files], plugins=[plugin])
    if plugin.broken is not None:
        if isinstance(plugin.broken[1], GraderError):
            raise plugin.broken[1]
        raise ChecksError(f"the check {plugin.broken[0]} broke by itself: {plugin.broken[1]!r}") from plugin.broken[1]
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not plugin.expected:
        raise ChecksError(f"pytest could not run the hidden checks (exit code {int(status)}): {said.getvalue()[-2000:]}")


class Collector:
    """The pytest plugin: hands out `student`, and turns outcomes into results."""

    def __init__(self, student, source, points, words):
        self._student, self._source, self._points, self._words = student, source, points, words
        self.expected, self.sections, self.results, self.broken = {}, {}, {}, None

    @pytest.fixture
    def student(self):
        """The submission, as the checks see it."""
        self._student.record = Record()
        return self._student

    def pytest_configure(self, config):
        config.addinivalue_line("markers", "criterion(cell, points, title, asks, section): a criterion of the rubric")

    def pytest_collection_finish(self, session):
        for item in session.items:
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

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        error = call.excinfo.value if call.excinfo else None
        id = item.stash.get(ID, item.name)
        if call.when == "call" and isinstance(error, NotEarned):
            self.results[id] = self._lost(id, error.sentence, error.misconception, error.device, error.section)
        elif call.when == "call" and isinstance(error, SubmissionError):
            self.results[id] = self._lost(id, *explain(error, self._source))
        elif error is not None:
            self.broken = self.broken or (id, error)
            item.session.shouldstop = "a check broke by itself"
        elif call.when == "call":
            expected = self.expected[id]
            points = expected["max_points"]
            self.results[id] = CheckResult(**expected, outcome=PASSED, points=points, evidence=self._evidence())
        return report

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
