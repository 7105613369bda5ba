"""What a student sees of a mistake before handing in: the numbers of the self-checks beside those that are due."""

import dataclasses

import pytest

from tools.invisible import WAYS, Student, entries, table

# Wrong answers that the checks with ticks let pass, one of each kind, by what shows them.
WRONG = {
    "reparameterize": """
        var-as-std std-plus-a-hundredth logvar-cut-at-two one-std-per-point uniform-eps truncated-eps heavy-tails averaged-eps
        noise-off-centre shared-across-batch same-noise-in-both-columns standardised-noise first-dimension-only
        noise-with-a-memory coin-flips torch-seed uniform-noise-in-evaluation half-detached hard-coded-width cpu-noise
        mean-shrunk""",
    "kl_divergence": """
        missing-half mu-abs logstd-formula reverse-kl-api logvar-clamped average-then-formula first-row squared-kl
        beta-squared weighted-dimensions encodes-the-reconstruction variance-detached constant-on-the-cpu""",
}
RIGHT = {
    "reparameterize": "canonical minus-eps rsample box-muller numpy-noise-moved train-only-sampling",
    "kl_divergence": "canonical sum1-mean mvn loop-over-points",
}

pytestmark = pytest.mark.sandboxed  # half a minute of computing


@pytest.fixture(scope="module")
def student(release):
    return Student(release)


def of_the_catalogue(answer, names):
    """(entry) of each of these names."""
    there = {(entry.target, entry.name): entry for entry in entries(answer)}
    return [there[target, name] for target, text in names.items() for name in text.split()]


@pytest.mark.parametrize("entry", of_the_catalogue("wrong", WRONG), ids=lambda entry: entry.name)
def test_the_numbers_of_a_wrong_answer_disagree_by_more_than_the_uncertainty(entry, student):
    assert student.look(entry).way == WAYS[2]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("entry", of_the_catalogue("right", RIGHT), ids=lambda entry: entry.name)
def test_the_numbers_of_a_right_answer_agree_whatever_the_seed(entry, seed, student):
    seen = student.look(entry, seed)
    assert not seen.way, seen.said


def test_an_untouched_task_and_an_exception_are_seen_too(student):
    for body, way in (("raise NotImplementedError('Task 1 is still to do')", WAYS[1]), ("return mu[:1]", WAYS[1])):
        entry = of_the_catalogue("wrong", {"reparameterize": "var-as-std"})[0]
        code = f"def reparameterize(self, mu, logvar):\n    {body}\n"
        assert student.look(dataclasses.replace(entry, code=code)).way == way


def test_the_table_counts_by_task_and_way(student):
    wrong = of_the_catalogue("wrong", {"reparameterize": "var-as-std", "kl_divergence": "missing-half"})
    assert "| both | 2 | 0 | 0 | 2 |   0 (0%) |" in table([student.look(entry) for entry in wrong])
