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
from tests.conftest import QUICKLY, ROOT

pytestmark = pytest.mark.sandboxed

SANITIZING = ROOT / "tests" / "nbval.cfg"
COMPARED = "data-facts"  # a cell whose output is compared with the stored one


@pytest.fixture(scope="module")
def ran(assignment, release, tmp_path_factory):
    """{notebook: {number of the code cell: whether nbval passed it}}, and all that nbval said.

    nbval fails a cell that raises, and a tagged cell whose output is not the stored one. It gets the release up to its first
    test cell, and the master with a tagged cell twice more at its end, once with another stored output.
    """
    folder = tmp_path_factory.mktemp("notebooks")
    master, cut = copy.deepcopy(assignment.master), copy.deepcopy(release)
    for more in ("", "one line more\n"):
        again = copy.deepcopy(next(c for c in master.cells if c.id == COMPARED))
        again.id, again.outputs[0].text = f"again{len(more)}", again.outputs[0].text + more
        master.cells.append(again)
    cut.cells = cut.cells[: cut.cells.index(cell(cut, "reparameterize"))]
    options = ["--nbval-lax", "--nbval-sanitize-with", SANITIZING, "--nbval-cell-timeout=900", "-q", "-rpf"]
    options += ["-p", "no:cacheprovider", "-c", "/dev/null"]
    for name, notebook in (("master.ipynb", master), ("release.ipynb", cut)):
        nbformat.write(notebook, folder / name)
        options.append(name)
    code = QUICKLY + "import sys, pytest\nsys.exit(pytest.main())"
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=folder, capture_output=True, text=True)
    passed = {"master": {}, "release": {}}
    for word, name, number in re.findall(r"^(PASSED|FAILED) (?:\S*/)?(\w+)\.ipynb::Cell (\d+)", done.stdout, re.MULTILINE):
        passed[name][int(number)] = word == "PASSED"
    return passed, done.stdout


def test_the_master_runs_and_its_deterministic_outputs_are_those_stored(assignment, ran):
    passed, said = ran
    cells = [c for c in assignment.master.cells if c.cell_type == "code"]
    compared = {c.id for c in cells if "nbval-check-output" in c.metadata.get("tags", [])}
    assert {COMPARED, "reparameterize", "kl-divergence"} <= compared
    assert [passed["master"].get(number) for number in range(len(cells))] == [True] * len(cells), said[-4000:]


def test_nbval_notices_when_an_output_is_not_the_stored_one(assignment, ran):
    passed, said = ran
    same = sum(c.cell_type == "code" for c in assignment.master.cells)
    assert (passed["master"].get(same), passed["master"].get(same + 1)) == (True, False), said[-4000:]
    assert "Cell outputs differ" in said
    assert "one line more" in said


def test_the_release_runs_up_to_its_first_test_cell(release, ran):
    passed, said = ran
    before = [c for c in release.cells[: release.cells.index(cell(release, "reparameterize"))] if c.cell_type == "code"]
    assert passed["release"] == dict.fromkeys(range(len(before)), True), said[-4000:]


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
