"""Both test cells were deleted. The answers are there and right, and the checks are the grader's own: 8."""

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    for test in ("reparameterize", "kl_divergence"):
        nb.cells.remove(cell(nb, test))
    return nb
