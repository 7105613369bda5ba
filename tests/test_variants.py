"""Right answers by recombination: no check may reject one, and the run that says so can tell when one is."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder import cli
from autograder.course import selftest
from autograder.errors import CourseError
from autograder.vae_swiss_roll.samples import ANSWERS, loss, sampler
from autograder.vae_swiss_roll.variants import variants
from tests.commands import PATIENCE

pytestmark = pytest.mark.sandboxed

COMMAND = [str(Path(sys.executable).parent / "autograder"), "selftest", "--recombined", "--workers", "2"]
RIGHT = selftest.Entry("right", "kl_divergence", "right", 3.0, {}, "", ANSWERS["kl_divergence"][1])
WRONG = selftest.Entry(
    "half missing", "kl_divergence", "right", 3.0, {}, "", loss("(mu**2 + logvar.exp() - logvar - 1).mean()")
)
TWO = ("randn_like+half-exp+sum+whole", "einsum+by-batch+")


@pytest.fixture(scope="module")
def outcomes(assignment, release):
    """All variants, and a wrong one among them."""
    entries = [WRONG, *selftest.recombined(assignment)]
    return selftest.fast(assignment, release, ANSWERS, entries, lambda *progress: None)


def test_there_are_200_variants_and_each_is_another_function_under_a_name_of_its_own():
    made = variants()
    assert len({name for name, _, _ in made}) == len({code for _, _, code in made}) == len(made) >= 200
    assert made == variants()
    functions = {"reparameterize": "reparameterize", "kl_divergence": "compute_vae_loss"}
    assert [name for name, target, code in made if ast.parse(code).body[0].name != functions[target]] == []
    counts = [sum(target == task for _, target, _ in made) for task in functions]
    assert min(counts) >= 90


def test_no_variant_is_rejected(outcomes):
    assert [entry for entry in selftest.rejections(outcomes[1:]) if entry["rejected"]] == []
    assert all(o.points == o.max_points > 0 for o in outcomes[1:])


def test_outcomes_of_several_processes_come_in_the_order_of_the_entries(outcomes):
    assert [o.entry.name for o in outcomes] == ["half missing", *(name for name, _, _ in variants())]
    assert (outcomes[0].points, set(outcomes[0].lost), outcomes[0].as_expected) == (2.0, {"value"}, False)


def test_a_rejected_variant_is_reported_with_its_seeds(assignment, release):
    told = []
    found = selftest.fast(
        assignment, release, ANSWERS, [WRONG, RIGHT], lambda *progress: told.append(progress), workers=1, seeds=(0, 1000)
    )
    wrong, right = selftest.rejections(found)
    assert right == {"name": "right", "target": "kl_divergence", "seeds": 2, "rejected": []}
    assert (wrong["name"], wrong["seeds"]) == ("half missing", 2)
    points = [(one["seed"], one["points"], one["max_points"], set(one["lost"])) for one in wrong["rejected"]]
    assert points == [(0, 2.0, 3.0, {"value"}), (1000, 2.0, 3.0, {"value"})]
    assert [progress[:2] for progress in told] == [(1, 2), (2, 2)]
    assert all("s left" in what for _, _, what in told)


def test_each_seed_reaches_the_calls(assignment, release):
    """The answer is right unless its call is seeded as the second seed would have it."""
    code = sampler(
        "lucky = torch.initial_seed() < 1000\nreturn mu + torch.exp(logvar / (2 if lucky else 1)) * torch.randn_like(mu)"
    )
    entry = selftest.Entry("by seed", "reparameterize", "right", 5.0, {}, "", code)
    found = selftest.fast(assignment, release, ANSWERS, [entry], lambda *progress: None, 1, seeds=(0, 1000))
    assert [(o.seed, o.points) for o in found] == [(0, 5.0), (1000, 4.0)]


def test_the_grader_s_own_failure_in_a_process_ends_the_run(assignment):
    with pytest.raises(CourseError, match="broken"):
        selftest.judged(assignment, Broken, [RIGHT, WRONG, RIGHT], lambda *progress: None, 2)


class Broken:
    """A judge that fails by itself."""

    def __call__(self, entry):
        raise CourseError("the course is broken")

    def close(self):
        pass


def test_the_command_prints_one_object_per_variant():
    names = [name for name, _, _ in variants() if name.startswith(TWO)]
    done = CliRunner().invoke(cli.app, ["selftest", "--recombined", *names, "--seeds", "2", "--json", "--workers", "1"])
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"name": names[0], "target": "reparameterize", "seeds": 2, "rejected": []},
        {"name": names[1], "target": "kl_divergence", "seeds": 2, "rejected": []},
    ]


def test_the_command_says_which_variant_was_rejected_and_fails(monkeypatch):
    monkeypatch.setattr(selftest, "recombined", lambda assignment: [RIGHT, WRONG])
    done = CliRunner().invoke(cli.app, ["selftest", "--recombined", "--seeds", "2", "--workers", "1"])
    assert done.exit_code == 1
    assert "half missing, seed 1000:\n    value: " in done.stdout
    assert "the factor ½ in front is missing" in done.stdout
    assert "2 right answers × 2 seeds" in done.stdout
    assert ": 2 rejected." in done.stdout


def test_an_unknown_name_is_refused():
    done = CliRunner().invoke(cli.app, ["selftest", "--recombined", "canonical", "randn_like"])
    assert done.exit_code == 2
    assert "canonical, randn_like" in " ".join(done.stderr.split())


def test_seeds_are_refused_where_whole_notebooks_are_graded():
    done = CliRunner().invoke(cli.app, ["selftest", "canonical", "--seeds", "2"])
    assert done.exit_code == 2
    assert "--fast or --recombined" in " ".join(done.stderr.split())


def test_ctrl_c_ends_all_processes():
    # Where the tests run in the background of a script, Ctrl-C is ignored, and would be by whatever they start.
    command = ["env", "--default-signal=INT", *COMMAND]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        while running.poll() is None and not [pid for pid in below(running.pid) if name(pid) == "bwrap"]:
            time.sleep(0.2)
        family = below(running.pid)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    assert running.returncode not in (0, 2)
    assert b"Traceback" not in said
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and (left := [pid for pid in family if Path(f"/proc/{pid}").exists()]):
        time.sleep(0.2)
    assert left == []


def name(pid):
    """Of a process that may have ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def below(pid):
    """The processes that come from this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found
