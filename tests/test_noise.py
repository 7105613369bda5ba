"""The statistics on noise: right noise passes as often as promised, and the nearest wrong noise does not."""

import math

import pytest
import torch

from autograder.criteria import NotEarned
from autograder.vae_swiss_roll import noise

SHAPE = (256, 128, 2)  # calls, rows, columns, as in the check


def right(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def judged(e):
    """None, or the misconception that the noise was rejected for."""
    rms = float((e**2).mean().sqrt())
    try:
        noise.standard(e / rms)
        noise.unit(rms, e.numel())
    except NotEarned as found:
        return found.misconception
    return None


def test_right_noise_passes_with_every_seed():
    assert [seed for seed in range(60) if judged(right(seed)) is not None] == []


def test_each_probability_is_what_it_says():
    """Over many samples of right noise a probability is uniform: as often below 0.1 as it says."""
    means, chi, beyond = [], [], []
    for seed in range(2000):
        e = right(seed, (1000,))
        means.append(noise.normal(float(e.mean()) * math.sqrt(1000)))
        chi.append(noise.chi_squared(float((e**2).sum()), 1000))
        beyond.append(noise.poisson(int((e.abs() > 1.5).sum()), 1000 * 0.133614))
    for found, slack in ((means, 0.03), (chi, 0.03)):
        for level in (0.01, 0.1, 0.5):
            assert abs(sum(p < level for p in found) / len(found) - level) < slack
    # A binomial count is closer to its mean than a Poisson one: the promise is kept with room to spare.
    assert sum(p < 0.1 for p in beyond) / len(beyond) < 0.1


def test_far_tails_are_as_small_as_the_promise_needs():
    """At the threshold the exact tails are used, not a normal approximation, which is wrong by an order of magnitude there."""
    assert noise.normal(6.8) == pytest.approx(1.05e-11, rel=0.02)
    assert noise.normal(6.9) < noise.ALPHA < noise.normal(6.7)
    assert noise.chi_squared(512 + 7 * 32, 512) > 10 * noise.normal(7)
    assert noise.poisson(177 + 93, 177) > noise.normal(93 / math.sqrt(177))


def test_moments_of_right_noise_spread_as_stated():
    """The fourth moment's spread and skewness, from which the false alarms of `moments` are computed."""
    n, fourth = 4096, []
    for seed in range(4000):
        e = right(seed, (n,))
        fourth.append(noise.kurtosis((e - e.mean()) / e.std(correction=0)))
    fourth = torch.tensor(fourth)
    standard = (fourth - 3) / math.sqrt(24 / n)
    assert float(standard.std()) == pytest.approx(1, abs=0.05)
    assert float((standard**3).mean()) == pytest.approx(math.sqrt(216 / n), abs=0.15)


NEAREST = {
    "cut off at 3": ("noise_cut_off", lambda e: e.clamp(-3, 3)),
    "drawn again beyond 3": ("noise_cut_off", lambda e: torch.where(e.abs() > 3, e / 2, e)),
    "Student t with 10 degrees of freedom": (
        "noise_with_heavy_tails",
        lambda e: e / (right(12345, (10, *e.shape)) ** 2).mean(dim=0).sqrt(),
    ),
    "5 % off centre": ("noise_not_centred", lambda e: e + 0.05),
    "spread of 0.97": ("noise_not_unit", lambda e: 0.97 * e),
    "one pair of rows alike": ("noise_shared_over_batch", lambda e: with_(e, (slice(None), 5), e[:, 9])),
    "one entry used for another": ("numbers_used_twice", lambda e: with_(e, (slice(None), 5, 0), e[:, 9, 1])),
    "a magnitude used twice": ("numbers_used_twice", lambda e: with_(e, (slice(None), 5, 0), magnitude(e))),
    "second half is the first": ("noise_shared_over_batch", lambda e: torch.cat([e[:, :64], e[:, :64]], dim=1)),
    "two neighbouring rows tied": ("noise_shared_over_batch", lambda e: 0.8 * e + 0.6 * e.roll(1, dims=1)),
    "adds up to zero": ("noise_standardised", lambda e: e - e.mean(dim=1, keepdim=True)),
    "set to unit spread": ("noise_standardised", lambda e: e / e.std(dim=1, keepdim=True)),
    "the first row never changes": ("noise_not_fresh", lambda e: with_(e, (slice(None), slice(0, 8)), e[:1, :8])),
    "eight batches in turn": ("noise_not_fresh", lambda e: e[:8].repeat(32, 1, 1)),
}


def with_(e, where, value):
    e = e.clone()
    e[where] = value
    return e


def magnitude(e):
    """An entry of the other column, with a sign of its own."""
    return e[:, 9, 1].abs() * right(3, e.shape[:1]).sign()


@pytest.mark.parametrize("name", NEAREST)
def test_the_nearest_wrong_noise_is_found_with_every_seed_and_named(name):
    expected, spoil = NEAREST[name]
    assert {judged(spoil(right(seed))) for seed in range(10)} == {expected}


def test_the_statistical_versions_pass_right_draws_and_find_the_nearest_wrong_ones():
    logvar = torch.linspace(-6, 3, 256, dtype=torch.float64).reshape(128, 2)
    mu = torch.linspace(-3, 3, 256, dtype=torch.float64).reshape(128, 2)

    def follows(seed, factor):
        draws = right(seed, (1024, 128, 2)) * factor(logvar)
        ones = right(seed + 1000, (1024, 128, 2)) * factor(torch.ones(()))
        return noise.spread_follows(draws, ones, (logvar / 2).exp(), torch.tensor(0.5).exp())

    for seed in range(10):
        std = (logvar / 2).exp()
        at_zero, draws = (std * right(seed + more, (1024, 128, 2)) for more in (500, 0))
        assert noise.moved_by(mu + draws, at_zero, mu)
        assert noise.moved_by(mu + draws + 0.5 * std, at_zero + 0.5 * std, mu)
        assert not noise.moved_by(0.8 * mu + draws, at_zero, mu)
        assert not noise.moved_by(mu + draws + 0.5 * std, at_zero, mu)
        assert follows(seed, lambda v: (v / 2).exp())
        assert not follows(seed, lambda v: (0.49 * v).exp())
        assert not follows(seed, lambda v: 1.02 * (v / 2).exp() if v.dim() else (v / 2).exp())
