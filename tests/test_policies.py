"""What a course may settle for itself: each policy both ways, through the whole grader, and where the settings come from."""

import pathlib
import shutil

import pytest

from autograder.course import rubric, selftest
from autograder.errors import SettingError
from autograder.grading.kept_pytest import criteria
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.nbgrader import configuration
from autograder.sandbox.outside.limits import Limits
from autograder.vae_swiss_roll.policies import POLICIES
from autograder.vae_swiss_roll.samples import ANSWERS, loss, sampler
from tests.conftest import ROOT

pytestmark = pytest.mark.sandboxed

MONTE_CARLO = loss(
    "(0.5 * (mu + torch.exp(0.5 * logvar) * (eps := torch.randn_like(mu))) ** 2 - 0.5 * logvar - 0.5 * eps**2).mean()"
)
EVAL = sampler("return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu")
# policy → (which cell, an answer that it decides about, points where accepted, points where not)
CASES = {
    "mean_in_eval_mode": ("vae_model", EVAL, 8, 7),
    "monte_carlo_kl": ("vae_loss", MONTE_CARLO, 8, 6),
    "kl_summed_over_batch": ("vae_loss", loss("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())"), 8, 7),
    "kl_divided_by_data_elements": (
        "vae_loss",
        loss("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.numel()"),
        8,
        7,
    ),
}


def settings_of(folder, assignment=None, **instead):
    """The settings that the configuration in a folder makes."""
    return configuration.settings(configuration.read(folder), assignment, **instead)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_policy_decides_about_its_answer_and_no_other(policy, submission, assignment):
    cell, answer, accepted, refused = CASES[policy.name]
    raw = submission(**{cell: answer})
    for value, score in ((True, accepted), (False, refused), (None, accepted if policy.default else refused)):
        policies = {} if value is None else {policy.name: value}
        verdict = grade(raw, assignment, Settings(policies=policies)).verdict
        assert verdict.score == score, (value, [check.message for check in verdict.checks if check.message])


@pytest.mark.parametrize("value", [True, False])
def test_no_policy_touches_the_usual_answer(value, submission, assignment):
    settings = Settings(policies={policy.name: value for policy in POLICIES})
    assert grade(submission(), assignment, settings).verdict.score == 8


def test_a_sum_over_the_batch_of_means_over_the_dimensions_is_not_what_is_accepted(submission, assignment):
    raw = submission(vae_loss=loss("-0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).sum()"))
    verdict = grade(raw, assignment, Settings(policies={"kl_summed_over_batch": True})).verdict
    assert verdict.score == 7
    (said,) = [check.message for check in verdict.checks if check.message]
    assert "the wrong way round" in said


def test_an_accepted_estimate_must_still_be_right(submission, assignment):
    wrong = MONTE_CARLO.replace("0.5 * (mu", "1.0 * (mu")
    verdict = grade(submission(vae_loss=wrong), assignment, Settings(policies={"monte_carlo_kl": True})).verdict
    assert {check.id.split(".")[1] for check in verdict.checks if not check.points} == {"prior", "value"}


def test_the_catalogue_holds_an_entry_for_each_policy(assignment):
    names = {entry.name for entry in selftest.catalogue(assignment)}
    assert {"x-numel-coincidence", "sum-all", "monte-carlo"} <= names
    assert set(CASES) == {policy.name for policy in POLICIES}


def test_settings_come_from_the_courses_configuration(tmp_path, submission, assignment, monkeypatch):
    assert settings_of(tmp_path) == Settings()
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    assert settings_of(tmp_path) == Settings()
    with (tmp_path / "nbgrader_config.py").open("a") as config:
        config.write(
            'c.GradeOutside.policies = {"kl_summed_over_batch": True}\n'
            'c.GradeOutside.limits = {"cell_seconds": 7}\n'
            'c.GradeOutside.points = {"reparameterize.scale": 1.5, "reparameterize.noise": 0.5}\n'
        )
    settings = settings_of(tmp_path, assignment, sandbox="uid")
    assert settings == Settings(
        "uid",
        Limits(cell_seconds=7),
        {"reparameterize.scale": 1.5, "reparameterize.noise": 0.5},
        {"kl_summed_over_batch": True},
    )
    (tmp_path / "nbgrader_config.py").write_text("c.GradeOutside.limits = {")
    with pytest.raises(SettingError, match=r"nbgrader_config.py, line 1: .*never closed: `c.GradeOutside.limits = {`"):
        settings_of(tmp_path)
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n\nc.GradeOutside.limits = seven\n")
    with pytest.raises(SettingError, match=r"nbgrader_config.py, line 3: NameError: name 'seven' is not defined"):
        settings_of(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(SettingError, match=rf"{tmp_path}/nbgrader_config.py, line 3: NameError"):
        settings_of(pathlib.Path(tmp_path.name))
    (tmp_path / "nbgrader_config.py").write_text("import sys\nsys.exit(1)\n")
    with pytest.raises(SettingError, match=r"nbgrader_config.py, line 2: SystemExit: 1"):
        settings_of(tmp_path)
    (tmp_path / "nbgrader_config.py").write_text("import ast\nlimits = ast.literal_eval('{')\n")
    with pytest.raises(SettingError, match=rf"{tmp_path}/nbgrader_config.py, line 2: SyntaxError: '{{' was never closed"):
        settings_of(tmp_path)
    (tmp_path / "nbgrader_config.py").unlink()
    (tmp_path / "nbgrader_config.py").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingError, match=rf"{tmp_path}/nbgrader_config.py"):
        settings_of(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            'c.GradeOutside.polices = {"monte_carlo_kl": True}',
            "sets c.GradeOutside.polices, which does not exist. Known: device",
        ),
        ("c.GradeOutside.device = 3", "nbgrader_config.py: The 'device' trait of a GradeOutside instance"),
        ('c.GradeOutside.timeout = "x"', "nbgrader_config.py: The 'timeout' trait of a GradeOutside instance"),
        ('c.GradeOutside.device = "tpu"', "c.GradeOutside.device names 'tpu', which does not exist. Known: auto, cpu, cuda."),
        ('c.GradeOutside.sandbox = "docker"', "c.GradeOutside.sandbox names 'docker', .*Known: bubblewrap, uid, none"),
        ('c.GradeOutside.execute = "some"', "c.GradeOutside.execute names 'some', .*Known: needed, all"),
        (
            'c.GradeOutside.limits = {"cell_seconds": "7"}',
            r"c.GradeOutside.limits\['cell_seconds'\] is '7'; it must be a number",
        ),
        (
            'c.GradeOutside.limits = {"memory_bytes": 2e9}',
            r"c.GradeOutside.limits\['memory_bytes'\] is 2000000000.0; it must be a whole number above 0",
        ),
        (
            'c.GradeOutside.limits = {"start_seconds": float("inf")}',
            r"c.GradeOutside.limits\['start_seconds'\] is inf; it must be a number above 0",
        ),
        (
            'c.GradeOutside.policies = {"monte_carlo_kl": 1}',
            r"c.GradeOutside.policies\['monte_carlo_kl'\] is 1; it must be True or",
        ),
        (
            'c.GradeOutside.points = {"reparameterize.scale": "1"}',
            r"c.GradeOutside.points\['reparameterize.scale'\] is '1'; it",
        ),
        ('c.GradeOutside.points = {"reparameterize.scale": 2}', "criteria of reparameterize are worth 6 points together"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(line, sentence, tmp_path, assignment):
    (tmp_path / "nbgrader_config.py").write_text(f"c = get_config()\n{line}\n")
    with pytest.raises(SettingError, match=sentence):
        settings_of(tmp_path, assignment)


@pytest.mark.parametrize(
    ("what", "value"), [("policies", {"no_such_policy": True}), ("points", {"reparameterize.no_such_criterion": 1})]
)
def test_a_setting_of_something_that_does_not_exist_is_told_with_the_names_that_do(what, value, submission, assignment):
    with pytest.raises(SettingError, match=r"Known: .*(kl_summed_over_batch|reparameterize.scale)"):
        grade(submission(), assignment, Settings(**{what: value}))


def test_a_limit_that_does_not_exist_is_told(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text('c = get_config()\nc.GradeOutside.limits = {"seconds": 3}\n')
    with pytest.raises(SettingError, match="cell_seconds"):
        settings_of(tmp_path)


def test_the_committed_rubric_page_is_what_the_checks_say(assignment):
    assert (ROOT / "docs" / "rubric.md").read_text() == rubric.page(assignment, Settings()), "run: make rubric"


def test_the_rubric_page_follows_the_settings(assignment):
    page = rubric.page(
        assignment,
        Settings(
            points={"reparameterize.scale": 1.5, "reparameterize.noise": 0.5},
            policies={"monte_carlo_kl": True},
        ),
    )
    assert "| scaled by the standard deviation | 1.5 |" in page
    assert "| standard normal noise | 0.5 |" in page
    assert next(line for line in page.splitlines() if line.startswith("| `monte_carlo_kl`")).split(" | ")[-2] == "accepted"
    with pytest.raises(SettingError, match="Known"):
        rubric.page(assignment, Settings(policies={"typo": True}))


def test_the_rubric_page_holds_every_criterion_and_no_solution(assignment):
    found = criteria(assignment)
    page = rubric.page(assignment, Settings())
    assert sum(criterion.points for criterion in found) == 8
    assert all(criterion.title in page and criterion.asks in page for criterion in found)
    for part in ("torch.", "exp(", "randn", "sqrt", "0.5 *", "½", "seed="):
        assert part not in page
    assert {criterion.cell for criterion in found} == set(ANSWERS)
