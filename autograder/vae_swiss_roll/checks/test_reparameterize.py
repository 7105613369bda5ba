"""`reparameterize`, 5 points: z = mu + eps * exp(logvar / 2), eps ~ N(0, I).

Read from top to bottom, this is the rubric. All but `tensor` are judged on (128, 2) float32 CPU inputs (float64 for the
gradients), in training mode, on a fresh instance each. With the generators seeded before a call, the same seed means the
same noise, so that most criteria need no statistics; only a submission that draws from a generator of its own is judged
by averages.
"""

import math

import torch

from autograder.rubric import NotEarned, criterion
from autograder.vae_swiss_roll import judging, misconceptions, probes
from autograder.vae_swiss_roll.student import describe, no_tensor

CELL = "reparameterize"
ZERO, ONE = torch.zeros(128, 2), torch.ones(128, 2)
DRAWS = 1024  # calls in the statistical versions


@criterion(CELL, points=1, title="a proper tensor")
def test_tensor(student):
    """One tensor like `mu`: shape, dtype, device, finite; `mu` and `logvar` unchanged afterwards."""
    for shape in [(128, 2), (1, 2), (37, 2), (16, 3), (9, 5)]:
        like_mu(student, *probes.latents(seed=1, shape=shape))
    like_mu(student, *probes.latents(seed=1, dtype=torch.float64))
    judging.on_the_other_device(student, student.reparameterize, *probes.latents(seed=1, shape=(37, 2)), seed=3)


def like_mu(student, mu, logvar):
    returned = student.reparameterize(mu, logvar, seed=3)
    judging.no_fixed_device(returned, "reparameterize")
    if not returned.is_tensor:
        raise NotEarned(no_tensor(returned))
    if returned.shape != tuple(mu.shape):
        raise NotEarned(
            f"For `mu` of shape {tuple(mu.shape)}, z came back as {describe(returned)}; z has the shape of `mu`, whatever "
            "the batch size and the number of latent dimensions."
        )
    dtype = str(mu.dtype).removeprefix("torch.")
    if returned.dtype != dtype:
        raise NotEarned(
            f"For `mu` in {dtype}, z came back as {returned.dtype}, and the decoder's layers would refuse it: "
            "draw the noise with the dtype of `mu`."
        )
    if not bool(torch.isfinite(returned.values()).all()):
        raise NotEarned("z holds NaN or infinite values for ordinary `mu` and `logvar`; `logvar` is often negative.")
    judging.inputs_unchanged(returned, "reparameterize")


@criterion(CELL, points=0.5, title="centred on mu")
def test_centre(student):
    """Same seed and logvar: z(mu) − z(0) = mu."""
    mu, logvar = probes.latents(seed=2)
    if student.follows_seed:
        moved = student.z(mu, logvar, seed=4) - student.z(ZERO, logvar, seed=4)
        centred = judging.close(moved, mu, atol=2e-4)
    else:
        centred = centred_on_average(student.draws(mu, logvar, seed=4, n=DRAWS), mu)
    if not centred:
        raise NotEarned(
            "z is not centred on `mu`: when `mu` moves and the noise stays the same, z should move by just as much."
        )


def centred_on_average(draws, mu):
    """Whether the mean of each of the 256 elements is `mu`, by its own standard error.

    Each |t| stays below 8 with probability 1 − 4e-15 (t with 1,023 degrees of freedom), all 256 with 1 − 1e-12. An offset
    of a quarter of the noise's standard deviation is 8 standard errors.
    """
    error = draws.std(dim=0) / math.sqrt(len(draws))
    return bool(((draws.mean(dim=0) - mu.double()).abs() <= 8 * error + 2e-4).all())


@criterion(CELL, points=1, title="scaled by the standard deviation")
def test_scale(student):
    """mu = 0, same seed: z(logvar) = exp((logvar − 1)/2) · z(logvar = 1), and z(logvar = 1) varies."""
    seen = scale(student)
    if seen is not None:
        raise seen


def scale(student):
    """None when the criterion is met, else the NotEarned that says why; `noise` asks too."""
    logvar = probes.wide_logvar(seed=5)
    scaled = student.z(ZERO, logvar, seed=6)
    at_one = student.z(ZERO, ONE, seed=6)
    if judging.constant(at_one) and judging.close(at_one, student.z(ZERO, ONE, seed=7)):
        return NotEarned("z is the same on every call, so no standard deviation can be seen: the noise is missing.", "no_noise")
    judge, numbers = judging.proportional, (scaled, at_one)
    if not student.follows_seed:
        judge, numbers = spread_on_average, (student.draws(ZERO, logvar, 6, DRAWS), student.draws(ZERO, ONE, 6, DRAWS))

    def agrees(factor):
        return judge(*numbers, factor(logvar.double()), factor(ONE.double()))

    if agrees(lambda logvar: (logvar / 2).exp()):
        return None
    return NotEarned(
        *misconceptions.name_it(
            misconceptions.SCALE,
            agrees,
            "The spread of z does not follow `logvar` as a standard deviation does: between two values of `logvar`, compare "
            "how much wider your noise gets with how much wider it should get.",
        )
    )


def spread_on_average(draws, ones, factor, factor_at_one):
    """Whether the standard deviation of each element grows as |factor| does.

    The logarithm of the ratio of two sample standard deviations of 1,024 normal draws has standard deviation
    1/√1024 = 0.031. Each of 256 stays within 7.5 of them with probability 1 − 6e-14; their mean (0.002) and their slope
    over logvar (0.0007) within 7. A spread wrong by 1.5 % is found.
    """
    expected = (factor / factor_at_one).abs().log()
    residual = draws.std(dim=0).log() - ones.std(dim=0).log() - expected
    if not bool(torch.isfinite(residual).all()):
        return False
    n, sd = residual.numel(), 1 / math.sqrt(len(draws))
    centred = expected - expected.mean()
    slope_sd = sd / max(float(centred.norm()), 1.0)
    slope = float((residual * centred).sum() / max(float((centred**2).sum()), 1.0))
    return (
        bool((residual.abs() < 7.5 * sd).all())
        and abs(float(residual.mean())) < 7 * sd / math.sqrt(n)
        and abs(slope) < 7 * slope_sd
    )


@criterion(CELL, points=1, title="standard normal noise")
def test_noise(student):
    """At mu = 0, logvar = 1: normal, zero mean, independent over rows and columns, fresh, the generators left alone.

    256 calls give N = 65,536 values. Every statistic below is normal with a known spread when the noise is right, and is
    allowed 6.5 standard deviations (8e-11 each); there are eleven, so a right answer fails with probability below 1e-9.
    """
    noise = student.draws(ZERO, ONE, seed=100, n=256)
    judging.generators_left_alone(student)
    rms = float((noise**2).mean().sqrt())
    if rms == 0:
        raise NotEarned("There is no noise in z at all: every call gives the same result.", "no_noise")
    judging.standard_normal(noise / rms)
    if scale(student) is None:
        judging.unit_spread(rms / math.exp(0.5), count=noise.numel())


@criterion(CELL, points=0.5, title="gradient to mu")
def test_gradient_mu(student):
    """Autograd equals the finite difference of the student's own function, and is not zero."""
    gradient(student, "mu")


@criterion(CELL, points=1, title="gradient to logvar")
def test_gradient_logvar(student):
    """The same, to logvar."""
    gradient(student, "logvar")


def gradient(student, name):
    judging.in_either_precision(lambda dtype: gradient_in(student, name, dtype))


def gradient_in(student, name, dtype):
    inputs = dict(zip(("mu", "logvar"), probes.latents(seed=8, dtype=dtype), strict=True))
    weights = probes.signs(seed=9, shape=(128, 2), dtype=dtype)
    returned = student.reparameterize(**inputs, seed=10, weights=weights)
    value = student.value(returned, weights.shape)
    found = returned.tensors.get(f"grad_{name}")
    if found is None or not bool((found != 0).any()):
        raise NotEarned(
            f"No gradient flows from z back to `{name}`: training could not tell the encoder anything through it. "
            "Some functions draw a sample without recording how it depends on its parameters; `detach`, `no_grad` and "
            "`.item()` cut the way, too.",
            "no_gradient",
        )
    if student.follows_seed:
        judging.equals_finite_difference(
            lambda at: (weights * student.z(**{**inputs, name: at}, seed=10)).sum(),
            inputs[name],
            found,
            single=returned.dtype != "float64",
            name=name,
        )
        return
    # Two calls draw different noise, so no difference can be taken: the right z has these derivatives.
    expected = weights if name == "mu" else weights * (value - inputs["mu"]) / 2
    if not judging.close(found.double(), expected, rtol=1e-4, atol=1e-6):
        raise NotEarned(judging.WRONG_GRADIENT.format(name=name))
