"""Is this standard normal noise? Statistics, each with the probability that right noise gives a value so far out.

A statistic speaks against the submission when that probability is below `ALPHA`. No check asks for more than 70 of them, so
that a right answer fails a check with a probability below 7e-10, whatever its sampler.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy
import torch

from autograder.errors import NotEarned

ALPHA = 1e-11
SIGMAS = 7.5  # for moments, whose own tails are heavier than a normal's; see `moments`
# A standard deviation within SPREAD_RTOL · σ + SPREAD_ATOL of σ is right: an answer may guard a root or a logarithm.
SPREAD_RTOL, SPREAD_ATOL = 1e-3, 2e-4
CORRELATION = {256: 0.5, 255: 0.5, 64: 0.85}  # calls → the largest of two entries; see `pairs`


def normal(z: float) -> float:
    """Two-sided probability of a standard normal beyond |z|."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_squared(value: float, k: int) -> float:
    """Two-sided probability of a chi-squared variable with k degrees of freedom as far out as `value`."""
    half, at = torch.tensor(k / 2, dtype=torch.float64), torch.tensor(value / 2, dtype=torch.float64)
    return 2 * float(torch.minimum(torch.special.gammainc(half, at), torch.special.gammaincc(half, at)))


def poisson(count: int, rate: float) -> float:
    """Two-sided probability of a Poisson variable as far out as `count`; a binomial one with that mean is further in."""
    at = torch.tensor(float(rate), dtype=torch.float64)
    above = torch.special.gammainc(torch.tensor(float(max(count, 1)), dtype=torch.float64), at) if count else 1.0
    below = torch.special.gammaincc(torch.tensor(float(count + 1), dtype=torch.float64), at)
    return 2 * min(float(above), float(below))


def standard(
    e: torch.Tensor,
    see: Callable[[str], None] = lambda sentence: None,
    repeatable: bool = True,
    alike: bool = True,
) -> None:
    """Judges noise e of shape (calls, rows, columns), already divided by its root mean square; NotEarned says what is off.

    For N right values: the mean is N(0, 1/N); sums over columns, rows and calls, squared and added up, are chi-squared; the
    numbers beyond ±2, ±3 and ±3.5 are binomial. Moments and pairs have their own arithmetic below.

    Args:
        see: takes a sentence of evidence.
        repeatable: whether the next run would see the same numbers; only then do the sentences for the student hold some.
        alike: whether all entries and calls have to be of one size; not where what stretches them is another criterion's
            business.
    """
    if not first_apart(e):
        all_calls(e, see, repeatable, alike)
        return
    later = e[1:]
    try:
        all_calls(later / (float(later.square().mean().sqrt()) or 1.0), see, repeatable, alike)
    except NotEarned as found:
        raise NotEarned(f"From the second call of a model on: {found.sentence}", found.misconception) from None
    raise NotEarned(
        "The noise of a model's first call is another than that of all later ones: draw it in the same way each time.",
        "noise_changes_with_calls",
    )


def all_calls(e: torch.Tensor, see: Callable[[str], None], repeatable: bool, alike: bool) -> None:
    """As `standard`, where no call is known to differ from others."""
    calls, rows, columns = e.shape
    if constant(e):
        raise NotEarned(f"There is no noise in z: in {calls} calls every entry was the same number.", "no_noise")
    if not alike:
        centred(e)
        e = of_own_size(e)
    n = e.numel()
    mean = float(e.mean())
    s = (e - mean) / math.sqrt(float((e**2).mean()) - mean**2)
    sums = {
        "columns": (float((s.sum(dim=2) ** 2).sum()) / columns, calls * rows),
        "rows": (float((s.sum(dim=1) ** 2).sum()) / rows, calls * columns),
        "calls": (float((s.sum(dim=0) ** 2).sum()) / calls, rows * columns),
    }
    see(
        f"{calls} calls gave {n:,} values. Divided by their own size, their mean is {mean:+.4f} (standard normal noise: within "
        f"±{6.8 / math.sqrt(n):.3f}), their fourth moment {kurtosis(s):.3f} (3 ± {SIGMAS * math.sqrt(24 / n):.3f})."
    )
    over = ", ".join(f"{value / k:.3f} over {name}" for name, (value, k) in sums.items())
    see(f"Size of sums of the noise against that of independent noise (1): {over}.")
    if bool((e[1:] == e[:-1]).flatten(1).all(dim=1).any()):
        raise NotEarned(
            "The noise is the same on every call: draw it anew each time, from a generator that goes on.", "noise_not_fresh"
        )
    if bool((e == e[:, :1, :1]).all()):
        raise NotEarned(
            "One number is drawn and used for the whole batch: each entry of z needs a number of its own.",
            "one_number_for_all",
        )
    off = {name: abs(math.log(max(value / k, 1e-30))) for name, (value, k) in sums.items() if chi_squared(value, k) < ALPHA}
    if off and (bool((e[:, 1:] > e[:, :-1]).all()) or bool((e[:, 1:] < e[:, :-1]).all())):
        raise NotEarned(
            "The noise of each call is in order of size: each entry needs a number that does not depend on the others.",
            "noise_in_order",
        )
    if off and in_step(e):
        raise NotEarned(
            "The noise grows or shrinks from call to call: nothing but `logvar` may stretch it.", "noise_changes_with_calls"
        )
    if off:
        raise of_sums(e, sums, off)
    if bool((e == e[:1]).all(dim=0).any()) or (kurtosis(s) > 3.3 and a_fifth_is_equal(s) and not few_values(s)):
        raise NotEarned(*MISSING)
    even(e)
    moments(s)
    if normal(mean * math.sqrt(n)) < ALPHA:
        size = f": its mean is {mean:+.2f} of its own size, not 0" if repeatable else ""
        raise NotEarned(f"The noise is not centred{size}. ε comes from a standard normal distribution.", "noise_not_centred")
    if few_values(s):
        raise NotEarned(*ROUNDED)
    for limit, share in BEYOND.items():
        if poisson(int((s.abs() > limit).sum()), n * share) < ALPHA:
            raise NotEarned(
                f"The noise is not normal: values beyond {limit:g} standard deviations are cut off or too frequent.",
                "noise_cut_off",
            )
    centred_and_normal_everywhere(e)
    pairs(s)
    magnitudes = numpy.sort(e.abs().reshape(calls, -1).numpy(), axis=1)
    if 1 + (numpy.diff(magnitudes, axis=1) > 0).sum(axis=1).max() < 0.75 * rows * columns:  # different ones in one call
        raise NotEarned(*ROUNDED)
    spread = spreads(s)
    if chi_squared(spread, calls) < ALPHA and (alike or spread < calls):
        raise NotEarned(*(RESCALED if spread < calls else SCALE_VARIES))


MISSING = ("Part of z gets no noise: each entry needs a number of its own, on every call.", "noise_missing_in_places")
ROUNDED = (
    "Many entries of z get the same random number, or one of a few: the noise is rounded, or drawn once and used again.",
    "numbers_used_twice",
)
RESCALED = ("The noise of a batch is rescaled to a fixed spread: ε is drawn, not standardised.", "noise_standardised")
SCALE_VARIES = (
    "The spread of the noise changes from call to call: nothing but `logvar` may stretch or shrink it.",
    "noise_scale_varies",
)
BEYOND = {2: 0.0455003, 3: 0.0026998, 3.5: 0.00046526}  # limit → share of a normal's values beyond it
SHARED_OVER_DIMENSIONS = (
    "The noise of the latent dimensions is not independent: each entry of z needs a number of its own.",
    "noise_shared_over_dimensions",
)
SHARED_OVER_BATCH = (
    "The noise is the same, or nearly so, for several rows of the batch: each point needs numbers of its own.",
    "noise_shared_over_batch",
)
BALANCED = (
    "The noise of a batch adds up to zero: ε is drawn, not standardised or balanced afterwards.",
    "noise_standardised",
)
NOT_FRESH = ("Part of the noise is the same on every call: draw all of it anew each time.", "noise_not_fresh")
# (what was summed over, whether the sums are too large) → what that means
SUMS = {
    ("columns", True): SHARED_OVER_DIMENSIONS,
    ("columns", False): SHARED_OVER_DIMENSIONS,
    ("rows", True): SHARED_OVER_BATCH,
    ("rows", False): BALANCED,
    ("calls", False): ("The noise of one call undoes that of another: draw it anew each time.", "noise_not_fresh"),
}


def of_sums(e: torch.Tensor, sums: Mapping[str, tuple[float, int]], off: Mapping[str, float]) -> NotEarned:
    """The NotEarned for noise whose sums are too large or too small.

    Args:
        e: (calls, rows, columns)
        sums: over what → (sum of their squares, what it should be).
        off: how far those are off that are.
    """
    name = max(off, key=lambda name: off[name])  # noise that is shared in one way shows, less, in the other sums as well
    too_large = sums[name][0] > sums[name][1]
    return NotEarned(*(the_same_in_places(e) if name == "calls" and too_large else SUMS[name, too_large]))


def the_same_in_places(e: torch.Tensor) -> tuple[str, str]:
    """(sentence, name) for noise of which some entries have a mean over the calls: a part is not drawn, or is off centre."""
    fixed = (e == e[:1]).all(dim=0)
    if bool(fixed.any()):
        return MISSING if constant(e[:, fixed]) else NOT_FRESH
    t = e.mean(dim=0) / e.std(dim=0) * math.sqrt(len(e))
    offset = offset_of_some(t)
    if offset is None:
        return NOT_FRESH
    part = e[:, t * math.copysign(1, offset) > abs(offset) / 2]
    try:
        moments((part - part.mean()) / part.std())
    except NotEarned as found:
        if found.misconception in {named for _, named in KURTOSIS.values()}:
            return f"In part of z: {found.sentence}", str(found.misconception)
    return OFF_CENTRE


def offset_of_some(t: torch.Tensor) -> float | None:
    """What is added to some of t, standard normal otherwise, where that is likelier than that some spread more widely.

    What is off centre is so by one number; what is kept from an earlier draw is another in each place, of either sign.
    """
    t, most = t.reshape(-1, 1, 1), float(t.abs().max()) + 1
    share = torch.tensor([1 / len(t), 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0], dtype=t.dtype)
    # However large t is: what nearly repeats itself may give millions. Of many that are shifted, one is near their middle.
    offset = t.reshape(-1, 1)
    spread = most ** torch.linspace(0, 1, 8 * math.ceil(math.log2(most)) + 1, dtype=t.dtype).unsqueeze(1)

    def likelihood(of_some: torch.Tensor) -> torch.Tensor:
        return torch.logaddexp((1 - share).log() - t**2 / 2, share.log() + of_some).sum(dim=0)

    shifted, wider = likelihood(-((t - offset) ** 2) / 2), likelihood(-((t / spread) ** 2) / 2 - spread.log())
    if float(shifted.max()) < float(wider.max()) + 3:
        return None
    return float(offset[int(shifted.argmax()) // len(share)])


OFF_CENTRE = (
    "Some entries of z get noise that is not centred: ε comes from a standard normal distribution.",
    "noise_not_centred",
)


def first_apart(e: torch.Tensor) -> bool:
    """Whether the mean of the first call lies far from those of all others: |t| > 9 with 254 degrees of freedom, 6e-17."""
    first, *_ = means = e.mean(dim=(1, 2))
    return float((first - means[1:].mean()).abs()) > max(9 * float(means[1:].std()), 0.05)


def centred(e: torch.Tensor) -> None:
    """NotEarned when the means of calls lie around another number than 0: |t| > 9 with 63 or more degrees of freedom, 6e-13.

    Args:
        e: (calls, rows, columns), of any size.
    """
    of_calls = e.mean(dim=(1, 2))
    if constant(of_calls):  # the same on every call, which has a name of its own
        return
    if float(of_calls.mean().abs()) > 9 * float(of_calls.std()) / math.sqrt(len(e)):
        raise NotEarned("The noise is not centred. ε comes from a standard normal distribution.", "noise_not_centred")


def of_own_size(e: torch.Tensor) -> torch.Tensor:
    """Noise (calls, rows, columns), each entry divided by its own root mean square."""
    size = (e**2).mean(dim=0).sqrt()
    return e / torch.where(size > 0, size, 1.0)


def few_values(s: torch.Tensor) -> bool:
    """Whether there are fewer than a fiftieth as many different values as values, as of whole numbers."""
    some = s.flatten()[:4096].numpy()
    return len(numpy.unique(some)) < len(some) / 50


def in_step(e: torch.Tensor) -> bool:
    """Whether the noise of each call is larger, or of each smaller, than that of the call some before it."""
    sizes = (e**2).mean(dim=(1, 2)).clamp(min=1e-300).log()
    steps = sizes[16:] - sizes[:-16]
    return bool((steps > 0).all()) or bool((steps < 0).all())


def places(e: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """(k, the noise of each, (n, k)) for the entries, rows and columns of a batch.

    Args:
        e: (calls, rows, columns)
    """
    calls, rows, columns = e.shape
    yield calls, e.permute(1, 2, 0).reshape(-1, calls)
    yield calls * columns, e.permute(1, 0, 2).reshape(rows, -1)
    yield calls * rows, e.permute(2, 0, 1).reshape(columns, -1)


def even(e: torch.Tensor) -> None:
    """NotEarned when some entries, rows or columns of a batch have noise of another size than others.

    Each sum of k squares is chi-squared with k degrees; its probability is compared with `ALPHA` divided by their number. Heavy
    tails make sizes differ, too, and have a name of their own; beside them nothing is said here.

    Args:
        e: (calls, rows, columns), divided by its root mean square.
    """
    own = e / (e.square().mean(dim=0) - e.mean(dim=0).square()).sqrt()
    if abs(kurtosis(own) - 3) > 0.3:
        return
    for k, each in places(e):
        sizes = (each**2).sum(dim=1)
        if any(chi_squared(float(edge), k) < ALPHA / len(each) for edge in (sizes.min(), sizes.max())):
            raise NotEarned(
                "Some entries of z get wider noise than others although their `logvar` is the same: nothing but `logvar` may "
                "stretch the noise.",
                "noise_uneven",
            )


def centred_and_normal_everywhere(e: torch.Tensor) -> None:
    """NotEarned when the noise of some entries, rows or columns is off centre, or ends early.

    That a normal stays within ±1.8 (a uniform of unit spread, within √3, always does) in all of 500 or more values has the
    probability 0.9281⁵⁰⁰ = 7e-17; of fewer it is not asked.
    """
    for k, each in places(e):
        if normal(float(each.sum(dim=1).abs().max()) / math.sqrt(k)) < ALPHA / len(each):
            raise NotEarned(*OFF_CENTRE)
        if k >= 500 and bool((each.abs().amax(dim=1) < 1.8).any()):
            raise NotEarned("The noise of some entries of z is not normal: its tails are cut off.", "noise_cut_off")


def elsewhere(e: torch.Tensor, alike: bool = True) -> None:
    """As `standard`, for few calls (64) at another width or batch size: what can be told from so few numbers.

    Args:
        e: (calls, rows, columns), already divided by its root mean square.
        alike: as in `standard`.
    """
    calls, rows, columns = e.shape
    e = e if alike else of_own_size(e)
    if constant(e):
        raise NotEarned("There is no noise in z.", "no_noise")
    if bool((e[1:] == e[:-1]).flatten(1).all(dim=1).any()):
        raise NotEarned("The noise is the same on every call.", "noise_not_fresh")
    if bool((e == e[:1]).all(dim=0).any()):
        raise NotEarned(*MISSING)
    centred(e)
    if rows * columns > 1:
        pairs(e - e.mean())
    sums = {
        "columns": (float((e.sum(dim=2) ** 2).sum()) / columns, calls * rows),
        "rows": (float((e.sum(dim=1) ** 2).sum()) / rows, calls * columns),
        "calls": (float((e.sum(dim=0) ** 2).sum()) / calls, rows * columns),
    }
    off = {name: abs(math.log(max(value / k, 1e-30))) for name, (value, k) in sums.items() if chi_squared(value, k) < ALPHA}
    if off:
        raise of_sums(e, sums, off)
    even(e)
    centred_and_normal_everywhere(e)
    for limit, share in BEYOND.items():
        if poisson(int((e.abs() > limit).sum()), e.numel() * share) < ALPHA:
            raise NotEarned("The noise is not normal: its tails are cut off or too heavy.", "noise_cut_off")


def a_fifth_is_equal(values: torch.Tensor) -> bool:
    """Whether one number makes up more than a fifth of the values."""
    ordered, fifth = numpy.sort(values.flatten().numpy()), values.numel() // 5
    return bool((ordered[fifth:] == ordered[:-fifth]).any())


def constant(values: torch.Tensor) -> bool:
    return bool((values == values.flatten()[0]).all())


def kurtosis(s: torch.Tensor) -> float:
    return float(s.square().square().mean())  # a power of 4 takes ten times as long


def moments(s: torch.Tensor) -> None:
    """NotEarned unless third and fourth moment are those of a normal, 0 and 3.

    Of N normal values they have variances 6/N and 24/N. The fourth moment of 65,536 values has skewness √(216/N) = 0.057,
    which makes 7.5 standard deviations exp(7.5³ · 0.057 / 6) = 57 times as likely as a normal's 6.4e-14: 3.6e-12. They are
    0.144 here: a normal cut off at ±2.5 (2.63) is 19 of its standard deviations away, a Student t with 30 degrees of freedom
    (3.23) is 12 away; a uniform has 1.8 and a sign 1.
    """
    n, fourth = s.numel(), kurtosis(s)
    if abs(fourth - 3) <= SIGMAS * math.sqrt(24 / n) and abs(float((s**3).mean())) <= SIGMAS * math.sqrt(6 / n):
        return
    if few_values(s) and min(abs(fourth - value) for value in KURTOSIS) >= 0.03:
        raise NotEarned(*ROUNDED)
    known = (named for value, named in KURTOSIS.items() if abs(fourth - value) < 0.03)
    raise NotEarned(
        *next(known, SKEWED if abs(float((s**3).mean())) > 0.3 and fourth < 15 else CUT_OFF if fourth < 3 else HEAVY)
    )


CUT_OFF = ("The noise is not normal: its tails are cut off.", "noise_cut_off")
HEAVY = ("The noise is not normal: its tails are too heavy.", "noise_with_heavy_tails")
SKEWED = ("The noise is not normal but skewed: it reaches further to one side than to the other.", "noise_skewed")
# Fourth moment of standardised noise → what it is.
KURTOSIS = {
    1.8: ("The noise is uniform, not normal: look at which random function you call.", "uniform_noise"),
    3.869: ("The noise is never negative: it comes from one side of the normal distribution.", "folded_noise"),
    1.0: ("The noise takes two values only, plus and minus: ε comes from a normal distribution.", "sign_noise"),
}


def spreads(s: torch.Tensor) -> float:
    """How much the spread of a batch varies from call to call: chi-squared with as many degrees as calls.

    The mean of k squares is chi-squared, and its cube root is normal to within 1/k (Wilson and Hilferty 1931). A spread set to
    a fixed value gives 0; one that varies by 10 % from call to call gives six times the degrees.
    """
    k = s[0].numel()
    cube_root = (s**2).mean(dim=(1, 2)) ** (1 / 3)
    return float((((cube_root - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))) ** 2).sum())


def pairs(s: torch.Tensor) -> None:
    """NotEarned when two entries of a batch depend on each other, in value or in magnitude.

    The correlation r of two independent normals over 256 calls has t = r√254/√(1 − r²) with 254 degrees of freedom; |r| > 0.5
    is t > 9.2, probability 1.3e-17, and 8e-13 for the 32,640 pairs taken twice. Magnitudes are turned into normal scores, for
    which the same holds. Numbers used twice have |r| = 1. Over 64 calls |r| > 0.85 is t > 12.7 with 62 degrees of freedom,
    probability 5e-19.
    """
    calls, rows, columns = s.shape
    values = s.reshape(calls, rows * columns).float()  # 0.5 is far from what single precision could blur
    magnitudes = torch.special.ndtri(torch.erf(values.abs() / math.sqrt(2)).clamp(1e-7, 1 - 1e-7))
    for x in (values, magnitudes):
        x = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
        r = (x.T @ x / calls).abs().fill_diagonal_(0)
        if float(r.max()) > CORRELATION[calls]:
            a, b = divmod(int(r.argmax()), rows * columns)
            if a // columns == b // columns:
                raise NotEarned(*SHARED_OVER_DIMENSIONS)
            if a % columns == b % columns:
                raise NotEarned(*SHARED_OVER_BATCH)
            raise NotEarned(
                "Some random numbers are used for two entries of z: each entry needs a number of its own.",
                "numbers_used_twice",
            )


def unit(spread: float, count: int, repeatable: bool = True) -> None:
    """NotEarned unless the noise has standard deviation 1: `spread`² · count is chi-squared with `count` degrees.

    With 65,536 values a standard deviation 2 % off is 7 standard errors away.
    """
    if chi_squared(spread**2 * count, count) < ALPHA:
        size = (
            f"has the standard deviation {spread:.2g} and should have 1" if repeatable else "has not the standard deviation 1"
        )
        raise NotEarned(
            f"The noise {size}: nothing but the standard deviation that `logvar` asks for may stretch or shrink it.",
            "noise_not_unit",
        )


# --- where two calls with one seed differ ----------------------------------------------------------------------------


def moved_by(draws: torch.Tensor, at_zero: torch.Tensor, mu: torch.Tensor) -> bool:
    """Whether the means of 256 elements over 1,024 draws move by `mu` between draws at 0 and at `mu`, by their standard error.

    Each |t| with 1,023 or more degrees of freedom stays below 8 with probability 1 − 3.3e-15, all 256 with 1 − 8.5e-13. An
    error of half the noise's standard deviation, in any element, is 11 standard errors; so is a factor of 0.83 on `mu` at
    |mu| = 3 and standard deviation 1.
    """
    error = ((draws.var(dim=0) + at_zero.var(dim=0)) / len(draws)).sqrt()
    return bool(((draws.mean(dim=0) - at_zero.mean(dim=0) - mu.double()).abs() <= 8 * error + 2e-4).all())


def spread_follows(draws: torch.Tensor, ones: torch.Tensor, factor: torch.Tensor, factor_at_one: torch.Tensor) -> bool:
    """Whether the standard deviation of each element grows as |factor| does.

    The logarithm of the ratio of two sample standard deviations of 1,024 normal draws has standard deviation
    1/√1024 = 0.031. Each of 256 stays within 7.5 of them with probability 1 − 6.4e-14, all with 1 − 1.6e-11; their mean
    (0.002) and their slope over logvar (0.0007) within 7, each with 1 − 2.6e-12. A right answer fails with 2.2e-11. A spread
    that is 1.5 % off everywhere is found, and so is a factor of logvar of 0.495 or 0.505 for ½.
    """
    expected = (factor / factor_at_one).abs().log()
    residual = draws.std(dim=0).log() - ones.std(dim=0).log() - expected
    if not bool(torch.isfinite(residual).all()):
        return False
    n, sd = residual.numel(), 1 / math.sqrt(len(draws))
    about = expected - expected.mean()
    slope_sd = sd / max(float(about.norm()), 1.0)
    slope = float((residual * about).sum() / max(float((about**2).sum()), 1.0))
    return (
        bool((residual.abs() < 7.5 * sd).all())
        and abs(float(residual.mean())) < 7 * sd / math.sqrt(n)
        and abs(slope) < 7 * slope_sd
    )


# --- where two calls with one seed agree -----------------------------------------------------------------------------


def proportional(a: torch.Tensor, b: torch.Tensor, factor_a: torch.Tensor, factor_b: torch.Tensor, atol: float = 0.0) -> bool:
    """Whether a / factor_a = b / factor_b element by element, for two z of the same noise (sums of float32).

    What is compared is a with b · factor_a / factor_b: both sides may be off by `SPREAD_RTOL` each, so twice that is let pass.

    Args:
        atol: what factor_a may be off by besides.
    """
    rms = float((b**2).mean().sqrt())
    expected = b * (factor_a / factor_b)
    slack = (b / factor_b).abs() * (2.2 * SPREAD_RTOL * factor_a.abs() + 1.1 * atol) + 1e-5 * rms * (factor_a / factor_b).abs()
    return bool(torch.isfinite(expected).all()) and bool(((a - expected).abs() <= slack + 1e-12).all())
