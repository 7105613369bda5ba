"""The cell with the solved class was turned into Markdown by a slip of the keyboard. The answer is there, and the cell is put
back to what it was: 8."""

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    slipped = cell(nb, "vae_model")
    slipped.cell_type = "markdown"
    for name in ("outputs", "execution_count"):
        slipped.pop(name, None)
    return nb
