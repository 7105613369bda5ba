"""Wrong answers by typical slips: what each breaks is computed, and the checks are held against it."""

import ast
import json

import pytest
from typer.testing import CliRunner

from autograder import cli
from autograder.course import selftest
from autograder.vae_swiss_roll import truth
from autograder.vae_swiss_roll.samples import ANSWERS, loss, sampler
from autograder.vae_swiss_roll.slips import slips
from autograder.vae_swiss_roll.variants import UNSEEDED, variants

KL = "-0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())"


def test_there_are_thousands_of_slips_each_another_function_under_a_name_of_its_own():
    made = slips()
    assert 2000 <= len(made) <= 4000
    assert len({slip.name for slip in made}) == len({slip.code for slip in made}) == len(made)
    assert made == slips()
    functions = {"reparameterize": "reparameterize", "kl_divergence": "compute_vae_loss"}
    assert [slip.name for slip in made if ast.parse(slip.code).body[0].name != functions[slip.target]] == []
    assert min(sum(slip.target == target for slip in made) for target in functions) >= 1000
    assert len({slip.kind for slip in made}) >= 20


# --- what an answer breaks -------------------------------------------------------------------------------------------

EPS = "torch.randn_like(mu)"
STD = "torch.exp(0.5 * logvar)"
BROKEN = [
    (f"return mu + {STD} * {EPS}", ""),
    (f"return mu + torch.sqrt(logvar.exp() + 1e-6) * {EPS}", ""),
    (f"return mu + torch.exp(0.5 * logvar.clamp(-10, 10)) * {EPS}", ""),
    (f"return mu + {STD} * {EPS} if self.training else mu", ""),
    (f"return mu + {STD} * torch.randn(mu.shape)", "tensor"),
    (f"return mu + {STD} * torch.randn(mu.shape).cuda()", "tensor"),
    (f'return mu + {STD} * torch.randn(mu.shape).to("cuda" if torch.cuda.is_available() else "cpu")', "tensor"),
    (f"return (mu + {STD} * {EPS}).double()", "tensor"),
    (f"return mu.add_({STD} * {EPS})", "tensor"),
    (f"return (mu + {STD} * {EPS}).squeeze()", "tensor"),
    (f"return mu + {STD} * torch.randn(len(mu), 2).to(mu)", "tensor"),
    (f"return 2 * mu + {STD} * {EPS}", "centre"),
    (f"return mu + logvar.exp() * {EPS}", "scale"),
    (f"return mu + torch.exp(0.5 * logvar.clamp(max=2)) * {EPS}", "scale"),
    (f"return mu + 2 * {STD} * {EPS}", "noise"),
    (f"return mu + {STD} * torch.rand_like(mu)", "noise"),
    (f"return mu + {STD} * {EPS}.clamp(-3, 3)", "noise"),
    (f"return mu + {STD} * torch.randn_like(mu[:1])", "noise"),
    (f"torch.manual_seed(0)\nreturn mu + {STD} * {EPS}", "noise"),
    (f"return mu + {STD} * {EPS} if self.training else {EPS}", "noise"),
    (f"assert self.training\nreturn mu + {STD} * {EPS}", "noise"),
    (f"eps = {EPS}\nreturn mu + {STD} * torch.cat([eps[:, :2], 0 * eps[:, 2:]], dim=1)", "noise"),
    (f'self.std = getattr(self, "std", {STD})\nreturn mu + self.std * {EPS}', "scale gradient_logvar"),
    (f'self.n = getattr(self, "n", 0) + 1\nreturn mu + ({STD} if self.n == 1 else 1) * {EPS}', "scale gradient_logvar"),
    (f"return mu + {STD}", "scale noise"),
    (f"return mu + {EPS}", "scale gradient_logvar"),
    (f"return mu.detach() + {STD} * {EPS}", "gradient_mu"),
    (f"return mu + {STD}.detach() * {EPS}", "gradient_logvar"),
    (f"std = {STD}\nreturn mu + torch.cat([std[:-1], std[-1:].detach()]) * {EPS}", "gradient_logvar"),
    (f"return mu + {STD} * {EPS}, mu, logvar", "tensor centre scale noise gradient_mu gradient_logvar"),
]
ENCODED = "mu, logvar = model.encode(x)\n    recon_x = model(x)[0]"
COUNTED = 'f = compute_vae_loss\n    f.calls = getattr(f, "calls", 0) + 1\n    return'
BROKEN_LOSSES = [
    (loss(KL), ""),
    (loss(KL + ".reshape(1)"), ""),
    (loss("0.5 * (mu**2 + logvar.exp() - torch.log(logvar.exp() + 1e-6) - 1).sum(dim=1).mean()"), ""),
    (loss(f"5e-4 * {KL}"), "value"),
    (loss(KL.replace("logvar", "logvar.clamp(-7, 7)")), "value"),
    (loss("0.5 * (mu**2 + logvar.exp() - logvar - 1).sum()"), "value"),
    (loss("0.5 * (mu**2 + logvar.exp() - logvar - 1)[:, :2].mean()"), "prior value"),
    (loss("0.5 * (mu**2 + logvar.exp() - logvar).mean()"), "prior value"),
    (loss("0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())"), "prior value"),
    (loss(f"{KL}.detach()"), "gradient"),
    (loss("0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)"), "prior value gradient"),
    (loss(KL).replace("beta * kl", "kl"), "value"),
    (loss(KL).replace("kl = ", "kl = model.reparameterize(mu, logvar).mean() * 0 + "), ""),
    (loss(KL).replace("recon + beta", "recon.detach() + beta"), "gradient"),
    (loss(KL).replace("kl =", "kl = 1e20 *"), "value"),
    (loss(KL).replace("recon_x, mu, logvar = model(x)", ENCODED).replace("mu.pow(2)", "mu.pow_(2)"), "gradient"),
    (loss(KL).replace("return", COUNTED).replace("beta * kl", "beta * kl * f.calls"), "value"),
]
CASES = [("reparameterize", sampler(body), broken) for body, broken in BROKEN]
CASES += [("kl_divergence", code, broken) for code, broken in BROKEN_LOSSES]


@pytest.mark.parametrize(("target", "code", "broken"), CASES, ids=[code.splitlines()[-1].strip()[:60] for _, code, _ in CASES])
def test_what_an_answer_does_tells_what_it_breaks(target, code, broken):
    assert truth.broken(target, code) == set(broken.split())


def test_an_answer_near_a_tolerance_is_left_undecided():
    assert truth.broken("reparameterize", sampler(f"return mu + ({STD} + 2.2e-4) * {EPS}")) is None
    assert (
        truth.broken("kl_divergence", loss("0.5 * (mu**2 + logvar.exp() - torch.log(logvar.exp() + 2e-6) - 1).mean()")) is None
    )


def test_right_answers_break_nothing():
    """Some of each kind; a loop over rows, and a generator of its own, are left out."""
    made = [one for one in variants() if not one[0].endswith("+rows") and one[0].split("+")[0] not in UNSEEDED]
    assert [(name, truth.broken(target, code)) for name, target, code in made[::29] if truth.broken(target, code)] == []


# --- what the checks make of them ------------------------------------------------------------------------------------


@pytest.mark.sandboxed
def test_slips_lose_what_they_break_and_nothing_else(assignment, release):
    """One in two hundred; `autograder selftest --slips` judges all of them."""
    entries = selftest.slipped(assignment, every=211)
    outcomes = selftest.slips(assignment, release, ANSWERS, entries, lambda *progress: None)
    assert [(o.entry.name, o.unjust, o.missed) for o in outcomes if o.unjust or o.missed] == []
    counts = selftest.by_kind(outcomes)["all"]
    assert counts["wrong"] >= 15
    assert counts["named"] >= 0.9 * (counts["named"] + counts["misnamed"] + counts["unnamed"])


# What was told of these was false, or nothing.
MENDED = [
    "uniform at the-last-dimension",
    "uniform at the-second-call",
    "no-mu at the-first-row",
    "stds softmax",
    "stds plus-hundredth",
    "averages all-but-last",
    "averages batch-of-one",
    "kls half-on-one and averages data-elements",
    "kls 1/784",
    "models exp-first",
    "models means",
    "losses int",
    "term var cubed",
    "term lv log-plus-tenth",
]


@pytest.mark.sandboxed
def test_slips_that_were_hard_to_tell_are_named_right(assignment, release):
    entries = [entry for entry in selftest.slipped(assignment) if entry.name.startswith(tuple(f"{name} in" for name in MENDED))]
    chosen = list({entry.name.split(" in ")[0]: entry for entry in entries}.values())
    outcomes = selftest.slips(assignment, release, ANSWERS, chosen, lambda *progress: None, workers=1)
    said = {outcome.entry.name.split(" in ")[0]: " ".join(outcome.messages.values()) for outcome in outcomes}
    assert "alone: " not in said["stds plus-hundredth"]  # it is wrong where `logvar` is small or large, wherever that stands
    assert "In point 1 of 128 alone: " in said["no-mu at the-first-row"]
    assert {o.entry.name.split(" in ")[0] for o in outcomes} == set(MENDED)
    assert [(o.entry.name, o.lost) for o in outcomes if o.naming != selftest.Naming.RIGHT] == []


def outcome(broken="", names="", **lost):
    entry = selftest.Entry(
        "a slip", "kl_divergence", "wrong", 0.0, dict.fromkeys(broken.split()), "", "", "sign", set(names.split())
    )
    return selftest.OfSlip(entry, 0.0, 3.0, lost, {})


def test_an_outcome_says_what_was_lost_unjustly_and_what_was_missed():
    found = outcome("prior value", value=None, gradient=None)
    assert (found.unjust, found.missed, found.accepted, found.as_expected) == (["gradient"], ["prior"], False, False)
    assert outcome("value").accepted
    assert outcome().as_expected
    assert not outcome().accepted
    assert outcome("value", value=None).as_expected


def test_a_name_is_right_when_each_part_of_it_is_in_the_slip():
    both = "half_missing summed_over_batch"
    for name in ("half_missing", "summed_over_batch+half_missing", "in_bits/half_missing"):
        assert outcome("value", both, value=name).naming == selftest.Naming.RIGHT, name
    for name in ("in_bits", "half_missing+in_bits", "in_bits/sign_flipped"):
        assert outcome("value", both, value=name).naming == selftest.Naming.WRONG, name
    assert outcome("prior value", both, value="half_missing", prior="in_bits").naming == selftest.Naming.WRONG
    assert outcome("value", both, value=None).naming == selftest.Naming.NONE
    assert not outcome("value", both, value="in_bits").as_expected


def test_outcomes_are_counted_by_kind_of_slip():
    found = [
        outcome("value", "half_missing", value="half_missing"),
        outcome("value", "half_missing", value="in_bits"),
        outcome("value", "half_missing"),
        outcome("value", value=None),
        outcome("", value=None),
    ]
    rows = selftest.by_kind(found)
    assert list(rows) == ["sign", "all"]
    assert rows["sign"] == rows["all"]
    assert list(rows["all"].values()) == [4, 1, 1, 1, 1, 1, 1, 1, 1]


NAMES = ["averages sum in", "losses minus in"]


@pytest.mark.sandboxed
def test_the_command_prints_one_object_per_slip():
    chosen = [next(slip.name for slip in slips() if slip.name.startswith(start)) for start in NAMES]
    done = CliRunner().invoke(cli.app, ["selftest", "--slips", *chosen, "--json", "--workers", "1"])
    assert done.exit_code == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    told = [[one[key] for key in ("name", "kind", "broken", "naming")] for one in (first, second)]
    assert told == [[chosen[0], "reduction", ["value"], "right"], [chosen[1], "operator", ["prior", "value"], "right"]]
    assert set(first["lost"]) == {"value"}


@pytest.mark.sandboxed
def test_the_command_says_what_differs_and_fails(monkeypatch):
    wrong = selftest.Entry("a sum", "kl_divergence", "wrong", 0.0, {}, "", loss(f"2 * {KL}"), "sign", frozenset({"in_bits"}))
    monkeypatch.setattr(selftest, "slipped", lambda assignment, every: [wrong])
    done = CliRunner().invoke(cli.app, ["selftest", "--slips", "--workers", "1"])
    assert done.exit_code == 1
    assert "kl_divergence, a sum: named value as half_missing" in done.stdout
    assert "1 wrong answers, 0 accepted; of 1 with a name, 0.0% named right." in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slips", "--recombined"], "run one after the other"),
        (["--sample", "10"], "--sample needs --slips"),
        (["--slips", "--seeds", "2"], "--fast or --recombined"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    done = CliRunner().invoke(cli.app, ["selftest", *options])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
