"""The questions that several checks ask: tolerances, statistics, devices, finite differences. All tolerances are here."""

import math

import torch

from autograder.errors import Raised, SubmissionError
from autograder.rubric import NotEarned
from autograder.vae_swiss_roll import probes

RTOL = 1e-4  # several wrong formulas lie within 1 to 8 % of the right one; float32 sums within 1e-5
SIGMAS = 6.5  # two-sided tail of a normal: 8e-11
WRONG_GRADIENT = (
    "The gradient to `{name}` is not the derivative of what your function returns: a part of the computation is hidden "
    "from autograd (a `detach`, a `no_grad`, `.item()`, or a change made in place)."
)


def close(a, b, rtol=RTOL, atol=0.0):
    """Whether a and b agree element by element, in float64."""
    return torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol)


def constant(values):
    return bool((values == values.flatten()[0]).all())


def proportional(a, b, factor_a, factor_b):
    """Whether a / factor_a = b / factor_b element by element, for two z of the same noise (sums of float32)."""
    rms = float((b**2).mean().sqrt())
    left, right = a * factor_b, b * factor_a
    slack = RTOL * right.abs() + 1e-5 * rms * factor_a.abs() + 1e-12
    return bool(torch.isfinite(right).all()) and bool(((left - right).abs() <= slack).all())


def inputs_unchanged(returned, function):
    for name in sorted(returned.changed):
        raise NotEarned(
            f"`{function}` changed `{name}` while it worked, and whoever uses `{name}` next gets the wrong numbers: "
            "operations whose names end in `_`, and `+=`, work in place.",
            "changed_in_place",
        )


def generators_left_alone(student):
    """NotEarned when a call seeds a global generator: then every training step would see the same numbers."""
    mu = torch.zeros(128, 2)
    first, second = (student.reparameterize(mu, mu + 1, seed=seed) for seed in (21, 22))
    tails = [returned.tensors.get("tail") for returned in (first, second)]
    same = [tail is not None for tail in tails] == [True, True] and tails[0].shape == tails[1].shape == (4,)
    if not (first.seed_kept and second.seed_kept) or (same and bool((tails[0] == tails[1]).any())):
        raise NotEarned(
            "`reparameterize` seeds a random generator, so that every call starts from the same numbers (and so does "
            "everything random after it, the training data included): seed once, at the top of the notebook.",
            "reseeds_the_generator",
        )


def standard_normal(e):
    """Judges draws e, (calls, rows, columns), already divided by their root mean square; NotEarned says what is off.

    For N values of normal noise: mean ~ N(0, 1/N); third moment ~ N(0, 6/N); fourth moment ~ N(3, 24/N), where a uniform
    has 1.8, ±1 has 1 and a normal cut at ±2 has 2.4; the number beyond ±3 ~ Binomial(N, 0.0027). For independence, sums of
    k squares of normal sums are chi-squared with k degrees, by Wilson and Hilferty's cube root.
    """
    if constant(e):
        raise NotEarned("There is no noise in z at all: every entry of every call is the same number.", "no_noise")
    calls, rows, columns = e.shape
    n = e.numel()
    mean = float(e.mean())
    s = (e - mean) / math.sqrt(float((e**2).mean()) - mean**2)
    if repeats(e):
        raise NotEarned(
            "The noise is the same on every call: draw it anew each time, from a generator that goes on.",
            "noise_not_fresh",
        )
    if bool((e == e[:, :1, :1]).all()):
        raise NotEarned(
            "One number is drawn and used for the whole batch: each entry of z needs a number of its own.",
            "one_number_for_all",
        )
    if columns > 1 and not chi_squared(float((s.sum(dim=2) ** 2).sum()) / columns, calls * rows):
        raise NotEarned(
            "The noise of the latent dimensions is not independent: each entry of z needs a number of its own.",
            "noise_shared_over_dimensions",
        )
    rows_sum = float((s.sum(dim=1) ** 2).sum()) / rows
    if not chi_squared(rows_sum, calls * columns):
        if rows_sum > calls * columns:
            raise NotEarned(
                "The noise is the same, or nearly so, for every row of the batch: each point needs numbers of its own.",
                "noise_shared_over_batch",
            )
        raise NotEarned(
            "The noise of a batch adds up to zero: ε is drawn, not standardised or balanced afterwards.",
            "noise_standardised",
        )
    if not chi_squared(float((s.mean(dim=0) ** 2).sum() * calls), rows * columns):
        raise NotEarned("Part of the noise is the same on every call: draw all of it anew each time.", "noise_not_fresh")
    fourth = float((s**4).mean())
    if abs(fourth - 3) > SIGMAS * math.sqrt(24 / n) or abs(float((s**3).mean())) > SIGMAS * math.sqrt(6 / n):
        name, sentence = next(
            (named for kurtosis, named in KURTOSIS.items() if abs(fourth - kurtosis) < 0.03),
            ("noise_cut_off", "The noise is not normal: its tails are cut off.")
            if fourth < 3
            else ("noise_with_heavy_tails", "The noise is not normal: its tails are too heavy."),
        )
        raise NotEarned(sentence, name)
    if abs(mean) * math.sqrt(n) > SIGMAS:
        raise NotEarned(
            f"The noise is not centred: its mean is {mean:+.2f} of its own size, not 0. ε comes from a standard normal "
            "distribution.",
            "noise_not_centred",
        )
    beyond, expected = int((s.abs() > 3).sum()), n * 0.0026998
    if abs(beyond - expected) > SIGMAS * math.sqrt(expected):
        raise NotEarned(
            "The noise is not normal: values beyond three standard deviations are cut off or too frequent.",
            "noise_cut_off",
        )
    spread = ((s**2).sum(dim=1) - rows) / math.sqrt(2 * rows)
    if not 0.25 < float((spread**2).mean()) < 4:
        raise NotEarned(
            "The noise of a batch is rescaled to a fixed spread: ε is drawn, not standardised.", "noise_standardised"
        )
    squares = (s**2 - 1) / math.sqrt(2)
    if columns > 1 and abs(float((squares[..., 0] * squares[..., 1]).mean())) * math.sqrt(calls * rows) > 10:
        raise NotEarned(
            "The noise of the latent dimensions is not independent: each entry of z needs a number of its own.",
            "noise_shared_over_dimensions",
        )
    if float((squares.mean(dim=1) ** 2).mean()) * rows > 4:
        raise NotEarned(
            "The noise is the same, or nearly so, for every row of the batch: each point needs numbers of its own.",
            "noise_shared_over_batch",
        )


# Fourth moment of standardised noise → what it is.
KURTOSIS = {
    1.8: ("uniform_noise", "The noise is uniform, not normal: look at which random function you call."),
    1.0: ("sign_noise", "The noise takes two values only, plus and minus: ε comes from a normal distribution."),
}


def repeats(e):
    """Whether two neighbouring calls gave the same numbers."""
    return len(e) > 1 and bool((e[1:] == e[:-1]).flatten(1).all(dim=1).any())


def chi_squared(value, k):
    """Whether `value` is within 6.5 standard deviations for a chi-squared variable with k degrees of freedom."""
    deviation = ((value / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))
    return abs(deviation) <= SIGMAS


def unit_spread(spread, count):
    """NotEarned unless the noise has standard deviation 1; `spread`² · count is chi-squared with `count` degrees."""
    if not chi_squared(spread**2 * count, count):
        raise NotEarned(
            f"The noise has the standard deviation {spread:.3g} and should have 1: nothing but the standard deviation that "
            "`logvar` asks for may stretch or shrink it.",
            "noise_not_unit",
        )


def in_either_precision(judge):
    """`judge(dtype)` in float64, and in float32 where that fails: float64 serves the finite difference alone, and a right
    answer may hold constants that meet float32 inputs only."""
    try:
        judge(torch.float64)
    except (NotEarned, Raised):
        judge(torch.float32)


def equals_finite_difference(function, at, found, single, name):
    """NotEarned unless <found, d> equals the central difference of `function` at `at` along random ±1 directions d.

    `function` maps a tensor like `at` to a number. With `single`, what it returns went through float32: the step is larger
    then. The error of the difference is h²/6 of the third derivative plus the rounding over h; both are below 1e-4 here.
    """
    step, rtol = (1e-2, 1e-2) if single else (1e-5, 1e-3)
    for seed in (31, 32, 33):
        d = probes.signs(seed, at.shape, dtype=at.dtype)
        difference = float(function(at + step * d) - function(at - step * d)) / (2 * step)
        along = float((found.double() * d).sum())
        slack = rtol * max(abs(difference), float((found.double() * d).norm())) + 1e-9
        if not math.isfinite(difference) or not abs(difference - along) <= slack:
            raise NotEarned(WRONG_GRADIENT.format(name=name), "part_of_the_gradient_missing")


# --- devices ---------------------------------------------------------------------------------------------------------


def no_fixed_device(returned, function):
    if returned.fixed_device:
        raise NotEarned(
            f'`{function}` names the device "cuda" and fails on a machine without a GPU: make new tensors on the device '
            "of `mu`.",
            "fixed_device",
            device="cpu",
        )


def on_the_other_device(student, function, mu, logvar, **arguments):
    """`function` with CUDA tensors, real ones where the worker has a GPU and pretend ones where not.

    On pretend tensors only a device mismatch, or a result that is not on the GPU, is evidence: they have no numbers, so
    code that looks at numbers (`.item()`, a check of its arguments) fails there and is right.
    """
    pretended = student.other_device == "pretend"
    try:
        returned = function(mu, logvar, device=student.other_device, **arguments)
    except Raised as error:
        if error.device and (error.kind == "FakeTensorDeviceMismatchError" or not pretended):
            raise NotEarned(
                "On a GPU this fails: a tensor is made on the CPU and meets `mu`, which is on the GPU. Make new tensors like "
                "`mu`, or on its device.",
                "tensor_on_the_cpu",
                device="cuda",
            ) from None
        if pretended:
            return None
        raise
    except SubmissionError:
        if pretended:
            return None
        raise
    if returned.is_tensor and returned.device != "cuda":
        raise NotEarned(
            "On a GPU the result comes back on the CPU: a `.cpu()` or a fixed device takes it off the device of `mu`.",
            "result_on_the_cpu",
            device="cuda",
        )
    return returned
