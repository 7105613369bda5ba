"""`reparameterize` ends the interpreter at once with `os._exit(0)`; the loss is right. A dead kernel is a failed check,
not a lost submission: the 3 KL points are kept."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 3.0, "max_score": 3.0}

SAMPLE = """
def reparameterize(self, mu, logvar):
    import os
    print("all checks passed", flush=True)
    os._exit(0)
"""


def apply(nb):
    return fill(nb, reparameterize=SAMPLE)
