"""`compute_vae_loss` sends the head of a frame of 4 GB and then zeros. Sizes are checked before memory is taken: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os, struct
    os.write(3, struct.pack(">IQ", 2**32 - 1, 2**40) + bytes(1_000_000))
    raise RuntimeError("sent")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
