"""A cell starts threads until it may not start any more, each waiting for ever. Limits hold, the answer is right: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 0.0, "max_score": 8.0}

CODE = """import threading

waiting = threading.Event()
try:
    for _ in range(1000):
        threading.Thread(target=waiting.wait, daemon=True).start()
except RuntimeError:
    waiting.set()
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
