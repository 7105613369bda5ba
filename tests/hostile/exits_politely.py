"""Ends its functions with the exceptions that test runners treat kindly: `SystemExit(0)`, a pytest skip, an expected
failure. No answer was given: 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

SAMPLE = """
def reparameterize(self, mu, logvar):
    import unittest
    try:
        import pytest
    except ImportError:
        raise unittest.SkipTest("not on this machine")
    pytest.skip("not on this machine", allow_module_level=True)
"""

LOSS = """
def compute_vae_loss(model, x, beta):
    import sys
    sys.exit(0)
"""


def apply(nb):
    return fill(nb, reparameterize=SAMPLE, kl_divergence=LOSS)
