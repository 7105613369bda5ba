"""Makes every comparison in torch and numpy succeed and answers with a tensor of the wrong shape. Comparisons are made
in another process, where the patches do not exist: 0."""

from tests.hostile import cell, fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

PATCH = """

import torch.testing

def agree(*args, **kwargs):
    return True

for owner, names in [(torch, "allclose equal isclose is_tensor all any"), (np, "allclose array_equal isclose"),
                     (torch.testing, "assert_close assert_allclose"), (np.testing, "assert_allclose assert_equal"),
                     (torch.Tensor, "allclose equal __eq__ __lt__ __le__ __gt__ __ge__ __bool__")]:
    for name in names.split():
        try:
            setattr(owner, name, agree)
        except (AttributeError, TypeError):
            pass
torch.Tensor.__sub__ = torch.Tensor.__rsub__ = lambda self, other: torch.zeros(())
"""


def apply(nb):
    nb = fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):\n    return torch.zeros(7)\n",
        kl_divergence="def compute_vae_loss(model, x, beta):\n    return torch.zeros(7)\n",
    )
    cell(nb, "vae_loss").source += PATCH
    return nb
