"""Replaces the code of both test cells with the full score, as if partial credit had been computed. The test cells are
the grader's, whatever the file says: 0."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}


def apply(nb):
    for test, score in (("reparameterize", 5.0), ("kl_divergence", 3.0)):
        edited = cell(nb, test)
        edited.source = f"### BEGIN HIDDEN TESTS\n{score}\n### END HIDDEN TESTS\n{score}"
        edited.metadata["nbgrader"].pop("checksum", None)
        edited.metadata["editable"] = True
    return nb
