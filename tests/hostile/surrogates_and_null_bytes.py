"""Sources with lone surrogates and null bytes, as a broken editor writes them, in cells beside the answer. No encoder of ours
may trip over them: 8."""

import copy
import json

from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    nb = copy.deepcopy(nb)
    at = nb.cells.index(cell(nb, "vae_model"))
    nb.cells[at:at] = [new_code_cell("x = 1  # MARK"), new_markdown_cell("MARK")]
    cell(nb, "reflection_trick").source = "MARK"
    return json.dumps(nb).replace("MARK", "\\ud800 \\u0000 \\udfff")
