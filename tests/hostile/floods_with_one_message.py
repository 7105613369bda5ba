"""A cell prints 100 MB at once. The connection refuses such a message, the grader's memory stays small, the answer is
right: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

CODE = """print("x" * 100_000_000)
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
