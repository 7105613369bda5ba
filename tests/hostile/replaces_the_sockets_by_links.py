"""A cell replaces the kernel's sockets by links to files of the machine. The grader has
connected already and follows none: 8."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

CODE = """import os

for folder in ("/run/jupyter", os.path.expanduser("~")):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith("k"):
            os.unlink(path)
            os.symlink("/etc/passwd", path)
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
