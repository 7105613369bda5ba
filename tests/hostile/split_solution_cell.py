"""The model cell was split in the editor: the class in the first half, an own trial in the second, and both halves carry
the cell's metadata. The class must not be lost: 8."""

import copy

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    first = cell(nb, "vae_model")
    second = copy.deepcopy(first)
    second.id = "second-half"
    second.source = "# a first look at the latent codes\nwith torch.no_grad():\n    print(VAE().encode(torch.zeros(3, 2)))"
    nb.cells.insert(nb.cells.index(first) + 1, second)
    return nb
