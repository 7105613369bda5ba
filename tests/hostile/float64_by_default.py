"""The student set float64 as torch's default type at the top. The answers follow their inputs and are right: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    top = "torch.set_default_dtype(torch.float64)  # finer plots\ntorch.manual_seed(0)"
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(top))
    return nb
