"""nbgrader's metadata hold lists, numbers and objects where names and points belong, outputs and tags are no lists. What cannot
be understood is put back from the master: 8."""

import copy
import json

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    nb = copy.deepcopy(nb)
    cell(nb, "kl_divergence").metadata["nbgrader"]["points"] = {"a": [1e999]}
    cell(nb, "reparameterize").metadata["tags"] = "skip-execution"
    cell(nb, "reparameterize")["outputs"] = {"0": "5.0"}
    cell(nb, "reflection_beta").metadata["nbgrader"]["grade_id"] = ["reflection_beta"]
    cell(nb, "reflection_trick").metadata["nbgrader"] = "yes"
    nb.cells.append({"cell_type": "code", "source": 5, "metadata": [], "outputs": None})
    nb.cells.append(["no", "cell"])
    nb.metadata = {"kernelspec": {"name": 7}, "deep": json.loads("[" * 200 + "]" * 200)}
    return json.dumps(nb)
