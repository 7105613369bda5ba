"""A cell ends with an object whose `repr` never returns. The cell is interrupted like any other, and the rest is run: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

CODE = """class Endless:
    def __repr__(self):
        while True:
            pass


Endless()
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
