"""`compute_vae_loss` closes every descriptor, the grader's door among them. It can no longer answer: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os
    os.closerange(3, 200)
    raise RuntimeError("closed")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
