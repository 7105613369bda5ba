"""The stubs are untouched; the answers stand in cells of the student's own, just below, which redefine
`VAE.reparameterize` and `compute_vae_loss`. They are what the notebook runs: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import CORRECT, cell

KIND = "damage"
BASE = "stub"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    method = CORRECT["reparameterize"] + "\nVAE.reparameterize = reparameterize\n"
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")) + 1, new_code_cell(method))
    nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")) + 1, new_code_cell(CORRECT["kl_divergence"]))
    return nb
