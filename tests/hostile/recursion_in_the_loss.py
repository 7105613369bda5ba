"""`compute_vae_loss` recurses through C code with the recursion limit raised, which overflows the stack and kills the
interpreter. The points of `reparameterize` are kept: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import sys
    sys.setrecursionlimit(200_000)

    class Mirror:
        def __repr__(self):
            return repr([self])

    return torch.tensor(float(len(repr(Mirror()))))
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
