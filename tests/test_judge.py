"""How the hidden checks are run: what counts as earned, and whose failure it is when something breaks."""

import pathlib
import shutil
import types

import pytest
import torch

from autograder.errors import ChecksError, TimedOut
from autograder.grading import feedback
from autograder.grading.judge import Collector, judge
from autograder.grading.verdict import Outcome, Status, Verdict
from tests.conftest import in_folder

CHECK = """
import pytest
from autograder.criteria import NotEarned, criterion
from autograder.errors import TimedOut

@criterion("one", points=2, title="first", asks="To be first.", section="Here")
def test_first(student):
    {first}

@criterion("one", points=1, title="second", asks="To be second.", section="There")
def test_second(student):
    pass
"""


@pytest.fixture
def run(assignment, tmp_path):
    """`run(body)` → results of two checks, the first with that body."""

    def judged(body, points=None):
        (tmp_path / "checks").mkdir(exist_ok=True)
        (tmp_path / "checks" / "one.py").write_text(CHECK.format(first=body))
        return judge(in_folder(assignment, tmp_path), student=types.SimpleNamespace(), source="", cells=["one"], points=points)

    return judged


def test_a_check_that_returns_has_earned_its_points(run):
    first, second = run("pass")
    assert (first.id, first.outcome, first.points, first.max_points, first.message) == ("one.first", Outcome.PASSED, 2, 2, "")
    assert second.points == 1


def test_a_check_that_raises_not_earned_costs_its_points_alone(run):
    first, second = run("raise NotEarned('look here', 'known', 'cuda')")
    assert (first.outcome, first.points, first.message) == (Outcome.FAILED, 0, "look here See “Here” in the notebook.")
    assert (first.misconception, first.device) == ("known", "cuda")
    assert second.outcome == Outcome.PASSED


def test_a_check_can_point_to_another_section(run):
    first, _ = run("raise NotEarned('look here', section='Elsewhere')")
    assert first.message == "look here See “Elsewhere” in the notebook."


def test_trouble_in_a_call_costs_the_criterion_that_asked(run):
    first, _ = run("raise TimedOut('reparameterize', 5)")
    assert (first.outcome, first.points) == (Outcome.FAILED, 0)
    assert "did not return within 5 seconds" in first.message


@pytest.mark.parametrize(
    "body", ["assert False", "1 / 0", "raise KeyError('x')", "pytest.skip()", "pytest.xfail()", "raise SystemExit"]
)
def test_anything_else_that_escapes_a_check_is_the_graders_failure(run, body):
    with pytest.raises(ChecksError):
        run(body)


@pytest.mark.parametrize(
    ("body", "same"),
    [
        ("raise NotEarned('seen so', 'known')", True),
        ("raise NotEarned('another sentence')", True),
        ("raise NotEarned('another sentence', 'other')", False),
        ("raise NotEarned('a sentence alone')", False),
    ],
)
def test_one_cause_is_told_once_and_the_other_criterion_points_to_it(assignment, tmp_path, body, same):
    other = "raise NotEarned('another sentence', 'known')" if "known" in body else "raise NotEarned('another sentence')"
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "one.py").write_text(CHECK.format(first=body).replace("    pass\n", f"    {other}\n"))
    first, second = judge(in_folder(assignment, tmp_path), student=types.SimpleNamespace(), source="", cells=["one"])
    assert (first.cause, first.points, second.points) == ("", 0, 0)
    assert second.cause == ("one.first" if same else "")
    assert (second.message == "For the same reason as “first”.") == same


def test_a_file_of_checks_that_cannot_be_imported_is_the_graders_failure(run):
    with pytest.raises(ChecksError, match="could not run"):
        run("pass\n}")


def test_a_check_that_was_not_reported_earns_nothing_and_says_so(run, monkeypatch):
    class Forgetful(Collector):
        def report(self, item, call):
            if item.name != "test_first":
                super().report(item, call)

    monkeypatch.setattr("autograder.grading.judge.Collector", Forgetful)
    first, second = run("pass")
    assert (first.outcome, first.points, second.points) == (Outcome.NOT_RUN, 0, 1)
    assert "not run" in first.message


def test_points_can_be_set_without_touching_a_check(run):
    first, _ = run("pass", points={"one.first": 0.5})
    assert (first.points, first.max_points) == (0.5, 0.5)


def test_the_rubric_is_that_of_the_contract(assignment):
    class Nobody:
        """A submission on which every call fails."""

        def __getattr__(self, name):
            raise TimedOut("reparameterize", 1)

    results = judge(assignment, Nobody(), "")
    assert {result.id: result.max_points for result in results} == {
        "reparameterize.tensor": 1,
        "reparameterize.centre": 0.5,
        "reparameterize.scale": 1,
        "reparameterize.noise": 1,
        "reparameterize.gradient_mu": 0.5,
        "reparameterize.gradient_logvar": 1,
        "kl_divergence.prior": 1,
        "kl_divergence.value": 1,
        "kl_divergence.gradient": 1,
    }
    assert sum(result.points for result in results) == 0
    for cell, data in assignment.graded_cells.items():
        if cell in assignment.test_cells:
            assert sum(result.max_points for result in results if result.cell == cell) == data["points"]


def test_the_score_is_one_plain_float_for_nbgrader(run):
    verdict = Verdict(Status.GRADED, run("raise NotEarned('look here')"))
    text, score = feedback.outputs(verdict, "one")
    assert (score.output_type, score.data) == ("execute_result", {"text/plain": "1.0"})
    assert text.text == feedback.text(verdict, "one")
    assert "✗ first (0 of 2): look here" in text.text


def test_running_the_checks_leaves_the_graders_process_as_it_was(run):
    def process():
        return torch.get_default_dtype(), torch.get_num_threads(), pathlib.Path.cwd(), shutil.which("python3")

    torch.set_num_threads(2)
    before = process()
    run("assert __import__('torch').get_num_threads() == 1")
    found = process()
    torch.set_num_threads(1)
    assert found == before
