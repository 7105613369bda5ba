"""A thousand cells and ten megabytes of comment before the tasks. They are run, and the answer is right: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    at = nb.cells.index(cell(nb, "vae_model"))
    long = new_code_cell("n = 1\n" + ("# " + 9_997 * "-" + "\n") * 1000)
    nb.cells[at:at] = [*(new_code_cell(f"n = {n}") for n in range(1000)), long]
    return nb
