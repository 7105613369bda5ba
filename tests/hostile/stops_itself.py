"""`compute_vae_loss` stops its own process with SIGSTOP, which no interrupt wakes up. The time limit ends it: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os, signal
    os.kill(os.getpid(), signal.SIGSTOP)
    raise RuntimeError("woken up")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
