"""`compute_vae_loss` starts up to 300 processes that sleep for 20 s each. They stay inside the sandbox, die with it and
slow nobody else down; the KL earns nothing, and exhausting its own sandbox may cost the student more."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os, time
    bombed = hasattr(compute_vae_loss, "bombed")
    compute_vae_loss.bombed = True
    for _ in range(0 if bombed else 300):
        try:
            if os.fork() == 0:
                time.sleep(20)
                os._exit(0)
        except OSError:
            break
    raise RuntimeError("too many workers")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
