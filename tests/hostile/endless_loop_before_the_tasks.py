"""A cell above the tasks loops without end and swallows every interrupt, so no later cell can run: 0, soon, and the next
submission is marked as if nothing had happened. (The loop ends by itself after ten minutes.)"""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "max_score": 0.0}

LOOP = """\
import time

end = time.monotonic() + 600
while time.monotonic() < end:
    try:
        while time.monotonic() < end:
            pass
    except BaseException:
        print("still here")
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(LOOP))
    return nb
