"""Both test cells were copied and pasted while trying things out, so each grade_id is there twice. The answers are
right: 8, and the class goes on being marked."""

import copy

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    for test in ("reparameterize", "kl_divergence"):
        twin = copy.deepcopy(cell(nb, test))
        twin.id = test.replace("_", "-") + "-copy"
        nb.cells.insert(nb.cells.index(cell(nb, test)) + 1, twin)
    return nb
