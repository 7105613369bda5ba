"""`reparameterize` waits for ten minutes for a thread that never answers; the loss is right. The KL checks use a stand-in
model, so its 3 points are kept."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 3.0, "max_score": 3.0}

SAMPLE = """
def reparameterize(self, mu, logvar):
    import queue
    answers = queue.Queue()
    return mu + torch.exp(0.5 * logvar) * answers.get(timeout=600)
"""


def apply(nb):
    return fill(nb, reparameterize=SAMPLE)
