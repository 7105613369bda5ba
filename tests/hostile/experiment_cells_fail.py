"""Own cells above the tasks fail: a division by zero, a name that was never defined, a syntax error. They are not
graded and stop nothing: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    at = nb.cells.index(cell(nb, "vae_model"))
    for code in ("1 / 0", "print(best_model.loss)", "for i in range(3)\n    print i"):
        nb.cells.insert(at, new_code_cell(code))
    return nb
