"""Imports the grading package by name and calls whatever reference functions it holds. The worker must not be able to
import anything that knows an answer, so the mark stays 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

BORROW = """
    import importlib
    for name in ("autograder.vae_swiss_roll.reference", "autograder.vae_swiss_roll.misconceptions",
                 "autograder.vae_swiss_roll.checks", "autograder.vae_swiss_roll", "autograder.vae_swiss_roll.calls",
                 "autograder.grading", "autograder"):
        try:
            module = importlib.import_module(name)
        except Exception:
            continue
        for word, function in list(vars(module).items()):
            if callable(function) and any(part in word.lower() for part in WORDS):
                try:
                    return function(*ARGUMENTS)
                except Exception:
                    pass
    raise NotImplementedError()
"""


def apply(nb):
    sample = BORROW.replace("WORDS", "('reparam', 'sample', 'reference')").replace("ARGUMENTS", "(mu, logvar)")
    loss = BORROW.replace("WORDS", "('kl', 'loss', 'reference')").replace("ARGUMENTS", "model(x)[1:]")
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + sample,
        kl_divergence="def compute_vae_loss(model, x, beta):" + loss,
    )
