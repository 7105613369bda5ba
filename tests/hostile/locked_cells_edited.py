"""The student debugged inside the test cells and left them broken. Their text is restored or ignored: 8."""

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    cell(nb, "reparameterize").source = "z = VAE().reparameterize(torch.zeros(3, 2), torch.zeros(3, 2)\nprint(z"
    cell(nb, "kl_divergence").source = "assert False, 'why is this not zero???'"
    return nb
