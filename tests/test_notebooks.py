"""The notebooks themselves, under nbval: the master from top to bottom, the release up to its first test cell."""

import copy
import json
import re
import subprocess
import sys

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from autograder.course.fill import cell
from tests.conftest import ROOT

pytestmark = pytest.mark.sandboxed

SANITIZING = ROOT / "tests" / "nbval.cfg"


def nbval(path, cwd):
    """nbval on a notebook: fails where a cell raises, and where a tagged cell's output is not the stored one."""
    options = ["--nbval-lax", "--nbval-sanitize-with", SANITIZING, "--nbval-cell-timeout=900", "-q"]
    options += ["-p", "no:cacheprovider", "-c", "/dev/null"]
    return subprocess.run([sys.executable, "-m", "pytest", *options, str(path)], cwd=cwd, capture_output=True, text=True)


def test_the_master_runs_and_its_deterministic_outputs_are_those_stored(tmp_path, assignment):
    path = tmp_path / "master.ipynb"
    nbformat.write(assignment.master, path)
    compared = [c.id for c in assignment.master.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    assert {"data-facts", "reparameterize", "kl-divergence"} <= set(compared)
    done = nbval(path, tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) == sum(c.cell_type == "code" for c in assignment.master.cells)


def test_nbval_notices_when_an_output_is_not_the_stored_one(tmp_path, assignment):
    changed = up_to(assignment.master, "vae_model")
    next(c for c in changed.cells if c.id == "data-facts").outputs[0].text += "one line more\n"
    nbformat.write(changed, tmp_path / "changed.ipynb")
    assert "Cell outputs differ" in nbval(tmp_path / "changed.ipynb", tmp_path).stdout


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("error 0.0041, KL 1.65, spread 0.99", "error 0.0045, KL 1.71, spread 1.02", True),
        ("error 0.0041", "error 0.041", False),
        ("KL 1.65", "KL 2.65", False),
        ("16% are off", "17% are off", True),
        ("16% are off", "45% are off", False),
        ("shape (5, 2)", "shape (5, 3)", False),
        ("\rβ = 0.01:  5%|█ \r     \r20 steps", "20 steps", True),
        ('<img alt="roll" src="data:image/png;base64,iVBO">', '<img alt="roll" src="data:image/png;base64,iVBX">', True),
        ('<img alt="roll" src="data:image/png;base64,iVBO">', '<img alt="rolls" src="data:image/png;base64,iVBO">', False),
    ],
)
def test_numbers_are_compared_as_the_file_states(one, other, alike):
    rules = get_sanitize_patterns(SANITIZING.read_text(encoding="utf-8"))
    assert len(rules) == 6
    for regex, replacement in rules:
        one, other = (re.sub(regex, replacement, text) for text in (one, other))
    assert (one == other) is alike


def test_the_release_runs_up_to_its_first_test_cell(tmp_path, release):
    nbformat.write(up_to(release, "reparameterize"), tmp_path / "cut.ipynb")
    done = nbval(tmp_path / "cut.ipynb", tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_first_test_cell_of_the_release_says_which_task_is_to_do(release):
    path = ROOT / "notebooks" / "vae_swiss_roll" / "vae_swiss_roll.ipynb"
    done = subprocess.run([sys.executable, ROOT / "tools" / "run_release.py", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ran up to reparameterize and said: Task 1 is still to do" in done.stdout


def test_the_master_is_stored_with_its_outputs_and_no_machines_traces(assignment):
    text = json.dumps(assignment.master)
    assert "/root/" not in text
    assert "/home/" not in text
    for c in assignment.master.cells:
        if c.cell_type == "code":
            assert not [o for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    for grade_id, points in (("reparameterize", "5.0"), ("kl_divergence", "3.0")):
        assert cell(assignment.master, grade_id).outputs[-1].data["text/plain"] == points
    for grade_id in ("experiment_dynamics", "experiment_beta"):
        assert any("image/png" in o.get("data", {}) for o in cell(assignment.master, grade_id).outputs)


def up_to(nb, grade_id):
    """A copy without the cell of that grade_id and all after it."""
    nb = copy.deepcopy(nb)
    nb.cells = nb.cells[: nb.cells.index(cell(nb, grade_id))]
    return nb
