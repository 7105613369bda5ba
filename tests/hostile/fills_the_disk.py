"""A right submission with an own cell that writes up to 2 GB beside the notebook, then tidies up. The disk of the
machine is not touched; the cell deals with its own error, so the mark is full."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

FILL = """\
import pathlib

written = []
try:
    for number in range(32):
        written.append(pathlib.Path(f"checkpoint_{number}.bin"))
        written[-1].write_bytes(b"1" * 64 * 2**20)
except OSError as error:
    print("stopped after", len(written), "files:", error)
finally:
    for path in written:
        path.unlink(missing_ok=True)
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(FILL))
    return nb
