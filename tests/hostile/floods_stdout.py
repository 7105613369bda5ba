"""A right submission with an own cell that prints 100 MB. The output is cut, the notebook of record and the feedback
stay small, and no point is lost."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

FLOOD = """\
line = "swiss roll " * 90 + "\\n"
for step in range(100):
    print(step, line * 1000)
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(FLOOD))
    return nb
