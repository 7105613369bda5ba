"""Both answers are right and noisy: warnings, log lines and a progress bar on stderr in every call. Text on stderr is
no mistake: 8."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

SAMPLE = """
def reparameterize(self, mu, logvar):
    import logging, sys, warnings
    warnings.warn("lazy loading is deprecated", FutureWarning)
    logging.getLogger().warning("mu %s", tuple(mu.shape))
    print("sampling", file=sys.stderr)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
"""

LOSS = """
def compute_vae_loss(model, x, beta):
    import os
    os.write(2, b"[W allocator] not enough memory for the fast path\\n")
    recon_x, mu, logvar = model(x)
    for _ in tqdm(range(3), desc="loss"):
        kl_loss = 0.5 * torch.mean(mu ** 2 + logvar.exp() - logvar - 1)
    return torch.mean((recon_x - x) ** 2) + beta * kl_loss
"""


def apply(nb):
    return fill(nb, reparameterize=SAMPLE, kl_divergence=LOSS)
