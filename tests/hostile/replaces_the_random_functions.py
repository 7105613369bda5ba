"""Solves nothing, and makes every random function of torch return zeros, and every comparison true. The grader compares in
its own process: 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

PATCH = """
    import torch
    torch.randn = torch.randn_like = torch.zeros_like = torch.rand = lambda *a, **k: torch.zeros(128, 2)
    torch.allclose = torch.equal = lambda *a, **k: True
    torch.Tensor.__eq__ = lambda self, other: True
    return NotImplemented
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + PATCH,
        kl_divergence="def compute_vae_loss(model, x, beta):" + PATCH,
    )
