"""Tags the test cells so that a notebook runner skips them, and stores outputs that look like full marks. A check that
did not run earns nothing: 0."""

from nbformat.v4 import new_output

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}


def apply(nb):
    for test, score in (("reparameterize", "5.0"), ("kl_divergence", "3.0")):
        skipped = cell(nb, test)
        skipped.metadata["tags"] = ["skip-execution", "raises-exception", "nbval-skip"]
        skipped.execution_count = 7
        skipped.outputs = [new_output("execute_result", {"text/plain": score}, execution_count=7)]
    return nb
