"""`compute_vae_loss` spins for ten minutes; `reparameterize` is right. The hang costs the KL points and no others: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import time
    recon_x, mu, logvar = model(x)
    end = time.monotonic() + 600
    while time.monotonic() < end:
        kl_loss = 0.5 * torch.mean(mu ** 2 + logvar.exp() - logvar - 1)
    raise RuntimeError("no convergence")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
