"""The class has a name of the student's own, and `VAE` is an alias for it. The name that the tests use works: 8."""

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    model = cell(nb, "vae_model")
    assert "class VAE(" in model.source
    model.source = model.source.replace("class VAE(", "class SwissRollVAE(") + "\n\nVAE = SwissRollVAE\n"
    return nb
