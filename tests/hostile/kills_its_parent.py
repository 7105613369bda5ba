"""`compute_vae_loss` sends SIGTERM to its parent process. The grader is out of reach: it goes on, and only the KL
points are lost."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os, signal
    try:
        if os.getppid() > 1:
            os.kill(os.getppid(), signal.SIGTERM)
    except OSError:
        pass
    raise RuntimeError("killed the parent")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
