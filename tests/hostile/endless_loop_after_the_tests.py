"""A right submission whose own cell, after the last test, never ends (ten minutes). Nothing there is graded, so it
deserves full marks without the wait."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

LOOP = """\
import time

end = time.monotonic() + 600
while time.monotonic() < end:
    losses = [compute_vae_loss(VAE(), generate_swiss_roll(128), beta) for beta in (0.001, 0.01, 0.1)]
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "kl_divergence")) + 1, new_code_cell(LOOP))
    return nb
