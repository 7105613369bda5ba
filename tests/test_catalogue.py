"""The checks as a classifier: the whole catalogue, by one warm worker."""

import itertools
import json
import re

import pytest
import torch

from autograder.course import selftest
from autograder.vae_swiss_roll import misconceptions, probes
from autograder.vae_swiss_roll.reference import CONVENTIONS, kl_terms
from autograder.vae_swiss_roll.samples import ANSWERS
from tests import commands

pytestmark = pytest.mark.sandboxed

SHAPES = [(5, 3), (48, 3), (7, 4)]  # those of the check on the whole loss


@pytest.fixture(scope="module")
def outcomes(assignment, release):
    return selftest.fast(assignment, release, ANSWERS, selftest.catalogue(assignment), lambda *progress: None)


def test_every_entry_gets_exactly_its_points_and_its_diagnosis(outcomes):
    assert len(outcomes) >= 500
    assert [(o.entry.name, o.points, o.lost) for o in outcomes if not o.as_expected] == []


def test_no_right_answer_is_rejected_and_no_wrong_one_accepted(outcomes):
    counts = selftest.confusion(outcomes)
    assert counts["right", "less"] == counts["wrong", "full"] == 0
    assert counts["right", "full"] >= 140
    assert counts["wrong", "less"] >= 350


SAME = "For the same reason as “"
GENERIC = ("does not follow `logvar`", "is not the closed form", "Run the cell's visible checks", "is not the derivative of")


def test_most_mistakes_are_named_or_have_a_sentence_of_their_kind(outcomes):
    wrong = [o for o in outcomes if o.entry.answer == "wrong"]
    named = [o for o in wrong if any(o.lost.values())]
    of_their_kind = [o for o in wrong if not any(word in m for m in o.messages.values() for word in GENERIC)]
    assert len({o.entry.name for o in [*named, *of_their_kind]}) >= 0.85 * len({o.entry.name for o in wrong})
    assert len(named) >= 280
    for o in wrong:
        assert set(o.messages) == set(o.lost)
        assert all(len(message) > 40 or SAME in message for message in o.messages.values()), o.entry.name
        assert len([message for message in o.messages.values() if SAME not in message]) >= 1


SOLUTION = re.compile(r"torch\.exp|\.exp\(|randn|rsample|0\.5 ?\*|logvar ?/ ?2|/ ?2\)|sqrt\(|\*\*|HIDDEN|reference|seed=")


def test_no_sentence_holds_the_solution(outcomes):
    own = {message for o in outcomes for message in o.messages.values() if " at `" not in message}
    assert len(own) > 50
    assert [message for message in own if SOLUTION.search(message)] == []
    for table in (misconceptions.SCALE, misconceptions.KL):
        assert [m.name for m in table if SOLUTION.search(m.sentence)] == []


def test_no_two_misconceptions_claim_the_same_numbers():
    # Off centre, as where they are compared: around 0 an average of mu is 0.
    drawn = [probes.latents(seed=seed, shape=shape) for seed, shape in enumerate(SHAPES, start=51)]
    inputs = [(mu.double() + 0.7, logvar.double() - 0.4) for mu, logvar in drawn]
    formulas = {m.name: m.formula for m in misconceptions.KL} | {"right": kl_terms}
    values = {name: torch.tensor([kls(formula(*case)) for case in inputs]).T for name, formula in formulas.items()}
    for (a, left), (b, right) in itertools.combinations(values.items(), 2):
        same = [torch.allclose(x, y, rtol=1e-3) for x, y in itertools.product(left, right)]
        assert not any(same), (a, b)
    wide = torch.linspace(probes.SPREAD_FROM, probes.LOGVAR[1], 256, dtype=torch.float64).reshape(probes.MAIN)
    factors = {m.name: m.formula(wide) for m in misconceptions.SCALE} | {"right": (wide / 2).exp()}
    for (a, left), (b, right) in itertools.combinations(factors.items(), 2):
        assert not ((left - right).abs() <= 1e-4 * right.abs()).all(), (a, b)


def kls(result):
    """The KLs that a formula stands for: itself, or its terms under each accepted average."""
    return [float(result)] if result.dim() == 0 else [float(average(result)) for average in CONVENTIONS.values()]


def test_two_misconceptions_that_fit_are_both_told():
    both = misconceptions.told(misconceptions.KL[:2])
    assert both.misconception == "half_missing/sign_flipped"
    assert all(m.sentence in both.sentence for m in misconceptions.KL[:2])
    assert misconceptions.matching(misconceptions.KL, lambda formula: False) == []


def test_every_sentence_points_to_a_section_of_the_notebook(outcomes, release):
    text = "\n".join(cell.source for cell in release.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    for message in {message for o in outcomes for message in o.messages.values() if SAME not in message}:
        section = re.search(r"See “([^“”]+)” in the notebook\.$", message)[1]
        assert any(heading.startswith(section) for heading in headings), section


def test_the_command_runs_entries_through_notebooks_and_fails_when_one_differs():
    done = commands.run("autograder", "selftest", "--json", "canonical", "var-as-std")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [(o["name"], o["target"], o["points"]) for o in found] == [
        ("canonical", "reparameterize", 5.0),
        ("var-as-std", "reparameterize", 4.0),
        ("canonical", "kl_divergence", 3.0),
    ]
    assert all(o["as_expected"] for o in found)
    assert commands.run("autograder", "selftest", "no-such-entry").returncode == 2


def test_an_outcome_that_differs_from_the_catalogue_is_noticed(outcomes):
    some = next(o for o in outcomes if o.entry.answer == "wrong")
    right = selftest.Outcome(some.entry, some.max_points, some.max_points, {}, {})
    assert not right.as_expected
    assert selftest.confusion([right])["wrong", "full"] == 1
