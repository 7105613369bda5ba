"""Edits the notebook's own metadata: the stub counts as an automatically graded cell, the tests are worth 100 points.
What a cell is worth is the grader's knowledge, not the notebook's: 0, out of 8 as for everybody."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}


def apply(nb):
    for solution in ("vae_model", "vae_loss"):
        cell(nb, solution).metadata["nbgrader"].update(grade=True, points=100, locked=False)
    for test in ("reparameterize", "kl_divergence"):
        cell(nb, test).metadata["nbgrader"].update(points=100, locked=False, solution=True, checksum="0" * 32)
        cell(nb, test).metadata["nbgrader"]["score"] = 100
    nb.metadata["nbgrader"] = {"score": 208, "max_score": 208}
    return nb
