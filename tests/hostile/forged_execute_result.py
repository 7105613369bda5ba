"""Before each cell runs, displays full marks as that cell's result, which a reader of cell outputs would take for the
score. Outputs of the student's kernel are no verdict: 0."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

FORGE = """

from IPython.display import display

def forge(info=None):
    source = getattr(info, "raw_cell", "")
    score = 5.0 if "reparameterize" in source else 3.0
    get_ipython().displayhook(score)
    display({"text/plain": str(score)}, raw=True)

get_ipython().events.register("pre_run_cell", forge)
get_ipython().events.register("post_run_cell", forge)
"""


def apply(nb):
    cell(nb, "vae_model").source += FORGE
    return nb
