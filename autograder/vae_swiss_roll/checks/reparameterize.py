"""`reparameterize`, 5 points: z = mu + eps * exp(logvar / 2), eps ~ N(0, I).

Read from top to bottom, this is the rubric. All but `tensor` are judged on (128, 2) float32 CPU inputs (float64 for the
gradients), in training mode, on a fresh instance each. With the generators seeded before a call, the same seed means the
same noise, so that most criteria need no statistics; only a submission that draws from a generator of its own is judged
by averages.
"""

import math
from collections.abc import Callable

import torch

from autograder.criteria import NotEarned, criterion
from autograder.errors import SubmissionError
from autograder.grading import pytorch
from autograder.grading.pytorch import Mistake, describe, values
from autograder.sandbox.inside.messages import Reply
from autograder.vae_swiss_roll import misconceptions, noise, probes
from autograder.vae_swiss_roll.student import Student, no_tensor

CELL = "reparameterize"
TRICK = "The reparameterization trick"
SHAPES = [(128, 2), (1, 2), (37, 2), (16, 3), (9, 5)]  # (batch, latent)
ZERO, ONE = torch.zeros(128, 2), torch.ones(128, 2)
CALLS = 256  # on which noise is judged
Judge = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], bool]
DRAWS = 1024  # calls in the statistical versions


@criterion(
    CELL,
    points=1,
    title="a proper tensor",
    asks="z is one tensor like `mu`: the same shape whatever the batch size and the number of latent dimensions, the same "
    "dtype and device, finite; `mu` and `logvar` are what they were afterwards.",
    section="Task 1",
)
def test_tensor(student: Student) -> None:
    """Five shapes, float64, and a GPU, a real one where there is one and a pretend one where not."""
    for shape in SHAPES:
        like_mu(student, *probes.latents(seed=1, shape=shape))
    like_mu(student, *probes.latents(seed=1, dtype=torch.float64))
    mu, logvar = probes.latents(seed=1, shape=(37, 2))

    def ask(device: str) -> Reply:
        return student.reparameterize(mu, logvar, seed=3, device=device)

    returned = pytorch.on_the_other_device(student, ask, like="mu")
    if returned is not None:
        judge_like_mu(returned, mu)


def like_mu(student: Student, mu: torch.Tensor, logvar: torch.Tensor) -> None:
    returned = student.reparameterize(mu, logvar, seed=3)
    pytorch.no_fixed_device(returned, "reparameterize", like="mu")
    judge_like_mu(returned, mu)


def judge_like_mu(returned: Reply, mu: torch.Tensor) -> None:
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
    if not bool(torch.isfinite(values(returned)).all()):
        raise NotEarned("z holds NaN or infinite values for ordinary `mu` and `logvar`; `logvar` is often negative.")
    pytorch.inputs_unchanged(returned, "reparameterize")


@criterion(
    CELL,
    points=0.5,
    title="centred on mu",
    asks="z is centred on `mu`: when `mu` moves and the noise stays the same, z moves by just as much.",
    section=TRICK,
)
def test_centre(student: Student) -> None:
    """Same seed and logvar: z(mu) − z(0) = mu. Where calls cannot be seeded: `noise.moved_by`, false alarm 8.5e-13."""
    mu, logvar = probes.latents(seed=2)
    if student.follows_seed:
        moved = student.z(mu, logvar, seed=4) - student.z(ZERO, logvar, seed=4)
        met = pytorch.close(moved, mu, atol=2e-4)
    else:
        draws, at_zero = (student.draws(at, logvar, seed=4, n=DRAWS) for at in (mu, ZERO))
        moved, met = draws.mean(dim=0) - at_zero.mean(dim=0), noise.moved_by(draws, at_zero, mu)
    for row, column in [(0, 0), (1, 1), (2, 0)]:
        student.record.see(f"Where `mu` moves from 0 to {float(mu[row, column]):+.3f}, z moves by {moved[row, column]:+.3f}.")
    if not met:
        raise NotEarned(
            "z is not centred on `mu`: when `mu` moves and the noise stays the same, z should move by just as much."
        )


@criterion(
    CELL,
    points=1,
    title="scaled by the standard deviation",
    asks="Where `mu` is 0 and the noise stays the same, z grows with `logvar` as the standard deviation does that `logvar` "
    "stands for, over the whole range that networks produce.",
    section=TRICK,
)
def test_scale(student: Student) -> None:
    """mu = 0, same seed: z(logvar) = exp((logvar − 1)/2) · z(logvar = 1), to 1e-3, and z(logvar = 1) varies.

    logvar runs from −6 to 3. Where calls cannot be seeded: `noise.spread_follows`, false alarm 2.2e-11.
    """
    student.meets_scale = False
    seen = scale(student)
    if seen is not None:
        raise seen
    student.meets_scale = True


def meets_scale(student: Student) -> bool:
    """Whether the criterion is met, for `noise`, which depends on it."""
    if student.meets_scale is None:
        try:
            student.meets_scale = scale(student) is None
        except (NotEarned, SubmissionError):
            student.meets_scale = False
    return student.meets_scale


def scale(student: Student) -> NotEarned | None:
    """None when the criterion is met, else the NotEarned that says why."""
    logvar = probes.wide_logvar(seed=5)
    scaled = student.z(ZERO, logvar, seed=6)
    at_one = student.z(ZERO, ONE, seed=6)
    if noise.constant(at_one) and pytorch.close(at_one, student.z(ZERO, ONE, seed=7)):
        return NotEarned("z is the same on every call, so no standard deviation can be seen: the noise is missing.", "no_noise")
    judge: Judge = noise.proportional
    numbers = scaled, at_one
    if not student.follows_seed:
        judge, numbers = noise.spread_follows, (student.draws(ZERO, logvar, 6, DRAWS), student.draws(ZERO, ONE, 6, DRAWS))
    widths = [part.std(dim=0) if part.dim() == 3 else part for part in numbers]
    for place in logvar.flatten().argsort()[::51]:
        ratio = float(widths[0].flatten()[place] / widths[1].flatten()[place])
        at = float(logvar.flatten()[place])
        student.record.see(f"Where `logvar` is {at:+.2f}, the noise in z is {ratio:.4g} times what it is where `logvar` is 1.")

    def agrees(factor: misconceptions.Formula) -> bool:
        return judge(*numbers, factor(logvar.double()), factor(ONE.double()))

    if agrees(lambda logvar: (logvar / 2).exp()):
        return None
    return misconceptions.not_earned(
        misconceptions.SCALE,
        agrees,
        "The spread of z does not follow `logvar` as a standard deviation does: between two values of `logvar`, compare how "
        "much wider your noise gets with how much wider it should get.",
    )


@criterion(
    CELL,
    points=1,
    title="standard normal noise",
    asks="The noise comes from a standard normal distribution: centred, normal, of unit spread, a number of its own for each "
    "entry of z, drawn anew on every call; no generator is seeded on the way.",
    section=TRICK,
)
def test_noise(student: Student) -> None:
    """At mu = 0, logvar = 1, over 256 calls of one instance, N = 65,536 values; all statistics are in `noise.py`.

    A right answer fails with probability below 1e-10: nine statistics with 1e-11 each (mean; sums over columns, rows and
    calls; the numbers beyond 2, 3 and 3.5; spread from call to call; unit spread), two moments with 3.6e-12 each, pairs with
    8e-13: 9.8e-11.

    Power: the nearest known mistakes are a normal cut off at ±3 (no value beyond 3.5 where 30 are expected: found unless a
    right answer's Poisson count were 0, 6e-14), Student t noise with 10 degrees of freedom (fourth moment 4.0, allowed 3.14),
    noise reused for part of a batch (correlation 1, allowed 0.5) and a spread of 0.97 (11 standard errors). Not told from a
    normal: a sum of twelve uniforms (fourth moment 2.9).
    """
    drawn = student.draws(ZERO, ONE, seed=100, n=CALLS)
    first, second = (student.reparameterize(ZERO, ONE, seed=seed, tail=True) for seed in (21, 22))
    pytorch.generators_left_alone(first, second, "reparameterize")
    rms = float((drawn**2).mean().sqrt())
    if rms == 0:
        raise NotEarned("There is no noise in z at all: every call gives the same result.", "no_noise")
    noise.standard(drawn / rms, student.record.see, repeatable=student.follows_seed)
    if meets_scale(student):
        noise.unit(rms / math.exp(0.5), drawn.numel(), repeatable=student.follows_seed)
    if not student.policies["mean_in_eval_mode"] and noise.constant(student.draws(ZERO, ONE, 100, n=64, training=False)):
        raise NotEarned("In evaluation mode (`model.eval()`) z has no noise: it is a sample there, too.", "mean_in_eval_mode")


@criterion(
    CELL,
    points=0.5,
    title="gradient to mu",
    asks="Training can reach `mu` through z: the gradient that autograd finds is not zero, and is how much z itself changes.",
    section=TRICK,
)
def test_gradient_mu(student: Student) -> None:
    """Autograd equals the finite difference of the student's own function (same seed, float64), and is not zero."""
    gradient(student, "mu")


@criterion(
    CELL,
    points=1,
    title="gradient to logvar",
    asks="Training can reach `logvar` through z: the gradient that autograd finds is not zero, and is how much z itself "
    "changes.",
    section=TRICK,
)
def test_gradient_logvar(student: Student) -> None:
    """The same, to logvar. Where calls cannot be seeded, the right z's own derivatives: 1 and (z − mu)/2."""
    gradient(student, "logvar")


def gradient(student: Student, name: str) -> None:
    pytorch.in_either_precision(lambda dtype: gradient_in(student, name, dtype))


def gradient_in(student: Student, name: str, dtype: torch.dtype) -> None:
    inputs = dict(zip(("mu", "logvar"), probes.latents(seed=8, dtype=dtype), strict=True))
    weights = pytorch.signs(seed=9, shape=(128, 2), dtype=dtype)
    returned = student.reparameterize(**inputs, seed=10, gradients=True, weights=weights)
    value = student.value(returned, weights.shape)
    found = returned.tensors.get(f"gradient.{name}")
    if found is None or not bool((found != 0).any()):
        student.record.see(f"Autograd finds {'no way' if found is None else 'a gradient of zeros'} from z to `{name}`.")
        raise NotEarned(
            f"No gradient flows from z back to `{name}`: training could not tell the encoder anything through it. "
            "Some functions draw a sample without recording how it depends on its parameters; `detach`, `no_grad` and "
            "`.item()` cut the way, too.",
            Mistake.NO_GRADIENT,
        )
    if student.follows_seed:
        pytorch.equals_finite_difference(
            lambda places: (weights * student.zs([[*({**inputs, name: at}).values()] for at in places], seed=10)).sum(
                dim=(1, 2)
            ),
            inputs[name],
            found,
            returned.dtype,
            name,
            student.record.see,
        )
        return
    # Two calls draw different noise, so no difference can be taken: the right z has these derivatives.
    expected = weights if name == "mu" else weights * (value - inputs["mu"]) / 2
    if not pytorch.close(found.double(), expected, rtol=1e-4, atol=1e-6):
        raise NotEarned(pytorch.wrong_gradient(name))
