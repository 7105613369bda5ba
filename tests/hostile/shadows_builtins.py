"""The student uses the names of builtins and of common modules for data. Inside the notebook that is harmless, and
whatever calls the functions must not depend on those names: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

NAMES = """\
list = [1, 2, 3]
dict = {"beta": 0.01}
type, id, input = "swiss roll", 7, [0.5, -0.5]
json = os = sys = socket = io = None
mu = logvar = model = x = z = None
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(NAMES))
    return nb
