"""A right submission whose own cell leaves threads behind that outlive the notebook (ten minutes). They must not delay
the end of the grading, and cost no point."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

THREADS = """\
import threading, time

def watch(seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)

for number in range(8):
    threading.Thread(target=watch, name=f"watch-{number}", daemon=False).start()
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(THREADS))
    return nb
