"""The statistics on noise: right noise passes as often as promised, and the nearest wrong noise does not."""

import math

import pytest
import torch

from autograder.criteria import NotEarned
from autograder.vae_swiss_roll import noise, probes

SHAPE = (256, 128, 2)  # calls, rows, columns, as in the check
ELSEWHERE = [(64, 1, 2), (64, 1, 8), (64, 16, 3), (64, 9, 5)]  # with few calls, at other widths and batch sizes


def right(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def judged(e):
    """None, or the misconception that the noise was rejected for."""
    rms = float((e**2).mean().sqrt())
    try:
        if len(e) == SHAPE[0]:
            noise.standard(e / rms)
        else:
            noise.elsewhere(e / rms)
        noise.unit(rms, e.numel())
    except NotEarned as found:
        return found.misconception
    return None


@pytest.mark.parametrize("shape", [SHAPE, *ELSEWHERE])
def test_right_noise_passes_with_every_seed(shape):
    assert [seed for seed in range(60) if judged(right(seed, shape)) is not None] == []


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
    "one entry 1.7 times as wide": ("noise_uneven", lambda e: times(e, (slice(None), 5, 0), 1.7)),
    "one entry 0.6 times as wide": ("noise_uneven", lambda e: times(e, (slice(None), 5, 0), 0.6)),
    "one row off centre": ("noise_not_centred", lambda e: with_(e, (slice(None), 5), e[:, 5] + 0.42)),
    "one row uniform": ("noise_cut_off", lambda e: with_(e, (slice(None), 5), uniform(e[:, 5]))),
    "half of the last call's noise comes back": ("noise_not_fresh", lambda e: remembering(e)),
    "last column uniform": ("noise_cut_off", lambda e: with_(e, (..., -1), uniform(e[..., -1]))),
    "last column uniform from 0 to 1": ("uniform_noise", lambda e: with_(e, (..., -1), uniform(e[..., -1]) + 3**0.5)),
    "second half of the rows uniform from 0 to 1": (
        "uniform_noise",
        lambda e: with_(e, (slice(None), slice(64, None)), uniform(e[:, 64:]) + 3**0.5),
    ),
    "uniform from 0 to 1 from the second call on": (
        "uniform_noise",
        lambda e: with_(e, slice(1, None), uniform(e[1:]) + 3**0.5),
    ),
    "the first call off centre": ("noise_changes_with_calls", lambda e: with_(e, slice(0, 1), e[:1] + 2)),
    "eight rows off centre": ("noise_not_centred", lambda e: with_(e, (slice(None), slice(0, 8)), e[:, :8] + 1)),
    "eight rows are a constant": ("noise_missing_in_places", lambda e: with_(e, (slice(None), slice(0, 8)), 1)),
    "one row without noise": ("noise_missing_in_places", lambda e: times(e, (slice(None), 5), 0)),
    "fades by a hundredth from call to call": ("noise_with_heavy_tails", lambda e: e * fading(e, 0.99)),
    "whole numbers": ("numbers_used_twice", lambda e: e.round()),
    "whole numbers from -2 to 2": ("numbers_used_twice", lambda e: (uniform(e) * 5 / 12**0.5).round() / 2**0.5),
}
# (shape, misconception, how right noise of it is spoilt)
NEAREST_ELSEWHERE = {
    "one point, no noise": ((64, 1, 2), "no_noise", lambda e: 0 * e + 1),
    "one point, the same on every call": ((64, 1, 2), "noise_not_fresh", lambda e: e[:1].expand_as(e) + 0),
    "one point, both numbers alike": ((64, 1, 2), "noise_shared_over_dimensions", lambda e: e[..., :1].expand_as(e) + 0),
    "third dimension without noise": ((64, 16, 3), "noise_missing_in_places", lambda e: times(e, (..., 2), 0)),
    "third dimension wider": ((64, 16, 3), "noise_uneven", lambda e: times(e, (..., 2), 1.6)),
    "third dimension narrower": ((64, 16, 3), "noise_uneven", lambda e: times(e, (..., 2), 0.6)),
    "third dimension off centre": ((64, 16, 3), "noise_not_centred", lambda e: with_(e, (..., 2), e[..., 2] + 0.27)),
    "uniform": ((64, 16, 3), "noise_cut_off", lambda e: uniform(e)),
    "third dimension copies the first": (
        (64, 16, 3),
        "noise_shared_over_dimensions",
        lambda e: with_(e, (..., 2), e[..., 0]),
    ),
    "last rows copy the first": ((64, 16, 3), "noise_shared_over_batch", lambda e: with_(e, (slice(None), 15), e[:, 0])),
    "fifth dimension copies the first": (
        (64, 9, 5),
        "noise_shared_over_dimensions",
        lambda e: with_(e, (..., 4), e[..., 0]),
    ),
    "last point uses numbers of the first": (
        (64, 9, 5),
        "numbers_used_twice",
        lambda e: with_(e, (slice(None), 8), e[:, 0].roll(1, dims=1)),
    ),
    "adds up to zero over the batch": ((64, 9, 5), "noise_standardised", lambda e: e - e.mean(dim=1, keepdim=True)),
    "a quarter of the variance is kept": (
        (64, 9, 5),
        "noise_not_fresh",
        lambda e: 0.75**0.5 * e + 0.5 * right(99, e.shape[1:]),
    ),
    "a part of the third dimension is kept": (
        (64, 16, 3),
        "noise_not_fresh",
        lambda e: with_(e, (..., 2), 0.8**0.5 * e[..., 2] + 0.2**0.5 * right(0, (16,))),
    ),
    "cut off at 1.8": ((64, 9, 5), "noise_cut_off", lambda e: e.clamp(-1.8, 1.8)),
    "Student t with 2 degrees of freedom": (
        (64, 9, 5),
        "noise_cut_off",
        lambda e: e / (right(12345, (2, *e.shape)) ** 2).mean(dim=0).sqrt(),
    ),
}


def times(e, where, factor):
    return with_(e, where, factor * e[where])


def uniform(e):
    """Uniform noise of unit spread."""
    return (torch.special.ndtr(e) - 0.5) * 12**0.5


def remembering(e):
    """Each call's noise holds half of that of the call before."""
    e = e.clone()
    for call in range(1, len(e)):
        e[call] = 0.5 * e[call - 1] + 0.75**0.5 * e[call]
    return e


def fading(e, by):
    """by⁰, by¹, ...: (calls, 1, 1)."""
    return by ** torch.arange(len(e), dtype=e.dtype)[:, None, None]


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


@pytest.mark.parametrize("name", NEAREST_ELSEWHERE)
def test_the_nearest_wrong_noise_is_found_and_named_elsewhere(name):
    shape, expected, spoil = NEAREST_ELSEWHERE[name]
    assert {judged_elsewhere(spoil(right(seed, shape))) for seed in range(10)} == {expected}


def judged_elsewhere(e):
    """As `judged`, without the spread."""
    try:
        noise.elsewhere(e / float((e**2).mean().sqrt()))
    except NotEarned as found:
        return found.misconception
    return None


def test_noise_that_grows_or_shrinks_from_call_to_call_is_known_by_its_size():
    for seed in range(10):
        e = right(seed)
        assert noise.in_step(e * fading(e, 0.97))
        assert noise.in_step(e / fading(e, 0.97))
        assert not noise.in_step(e)
        assert not noise.in_step(e * torch.maximum(fading(e, 0.97), fading(e, 0.97).flip(0)))  # first shrinks, then grows


def test_uneven_noise_passes_where_the_scale_is_another_criterions_business():
    for shape, judge in ((SHAPE, noise.standard), *((shape, noise.elsewhere) for shape in ELSEWHERE[2:])):
        wider = times(right(7, shape), (slice(None), 0), 1.3)
        judge(wider / float((wider**2).mean().sqrt()), alike=False)


def test_calls_of_other_sizes_pass_where_the_scale_is_another_criterions_business():
    e = times(right(7), (slice(0, 1)), 1.9)
    noise.standard(e / float((e**2).mean().sqrt()), alike=False)
    assert judged(e) == "noise_scale_varies"


def test_the_statistical_versions_pass_right_draws_and_find_the_nearest_wrong_ones():
    mu, logvar = probes.latents(seed=2, dtype=torch.float64, logvar_from=probes.SPREAD_FROM)

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
