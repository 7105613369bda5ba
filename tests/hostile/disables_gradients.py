"""A cell switches gradients off for everything that follows, training included. It is put back for each call, told, and
costs nothing by itself: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

CODE = """import torch

torch.set_grad_enabled(False)
torch.set_num_threads(7)
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
