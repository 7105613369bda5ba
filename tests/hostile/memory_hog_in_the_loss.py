"""`compute_vae_loss` fills memory, 128 MB at a time and 8 GB at most. The limit stops it, the machine and the other
submissions do not notice, and the points of `reparameterize` are kept: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    hoard = []
    try:
        for _ in range(64):
            hoard.append(torch.ones(32 * 1024 * 1024))
    finally:
        hoard.clear()
    raise MemoryError("the pairwise distances do not fit")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
