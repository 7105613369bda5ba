"""Rewrites pytest's reports so that each failure becomes a pass, should a test runner live in the same process. It does
not, so the untouched answers earn 0."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

PATCH = """

try:
    import _pytest.outcomes, _pytest.python, _pytest.reports, _pytest.runner

    def passed(*args, **kwargs):
        return "passed"

    _pytest.runner.CallInfo.excinfo = None
    _pytest.python.Function.runtest = lambda self: None
    _pytest.runner.check_interactive_exception = lambda *args: False
    _pytest.reports.TestReport.outcome = property(passed, lambda self, value: None)
    _pytest.outcomes.fail = lambda *args, **kwargs: None
except Exception as error:
    print("no test runner here:", error)
"""


def apply(nb):
    cell(nb, "vae_model").source += PATCH
    return nb
