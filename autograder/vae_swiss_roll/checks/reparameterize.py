"""`reparameterize`, 5 points: z = mu + eps * exp(logvar / 2), eps ~ N(0, I).

Read from top to bottom, this is the rubric. With the generators seeded before a call, the same seed means the same noise, so
that most criteria need no statistics; only a submission that draws from a generator of its own is judged by averages. Inputs
are float32 on the CPU (float64 for the gradients), (128, 2) and, where the calls work there, at other widths and batch sizes:
what fails there alone costs `tensor`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import torch

from autograder.criteria import NotEarned, criterion
from autograder.errors import Raised, SubmissionError
from autograder.grading import pytorch
from autograder.grading.pytorch import Mistake, values
from autograder.sandbox.inside.messages import Reply
from autograder.vae_swiss_roll import misconceptions, noise, probes
from autograder.vae_swiss_roll.diagnosis import sampler as diagnosis
from autograder.vae_swiss_roll.student import OTHERS, SEED, SameNoise, Shape, Student, at, no_tensor, not_finite, wrong_shape

CELL = "reparameterize"
TRICK = "The reparameterization trick"
ZERO, ONE = torch.zeros(128, 2), torch.ones(128, 2)
LOGVAR_ONE = torch.ones((), dtype=torch.float64)
CALLS = 256  # on which noise is judged
DRAWS = 1024  # calls in the statistical versions
# Where noise and gradients are judged besides. In a batch of one there must be dimensions enough for statistics.
ELSEWHERE: list[Shape] = [(16, 3), (9, 5), (1, 8)]
FEWER_CALLS = 64


@criterion(
    CELL,
    points=1,
    title="a proper tensor",
    asks="z is one tensor like `mu`: the same shape whatever the batch size and the number of latent dimensions, the same "
    "dtype and device, finite; `mu` and `logvar` are what they were afterwards.",
    section="Task 1",
)
def test_tensor(student: Student) -> None:
    """Five shapes, float64, a GPU, and the CPU beside a GPU: real ones where there is one, pretended ones where not."""
    for shape in (probes.MAIN, *OTHERS):
        try:
            found = student.same_noise(shape)
        except Raised as error:
            if shape != probes.MAIN:
                error.where = at(shape)
            raise
        judge_like_mu(found.reply, found.mu)
    mu, logvar = probes.latents(seed=1, dtype=torch.float64)
    judge_like_mu(student.reparameterize(mu, logvar, seed=3), mu)
    mu, logvar = probes.latents(seed=1, shape=(37, 2))

    def ask(device: str) -> Reply:
        return student.reparameterize(mu, logvar, seed=3, device=device)

    returned = pytorch.on_the_other_device(student, ask, like="mu")
    if returned is not None:
        judge_like_mu(returned, mu)
    pytorch.beside_a_gpu(student, ask, "reparameterize", like="mu")


def judge_like_mu(returned: Reply, mu: torch.Tensor) -> None:
    pytorch.no_fixed_device(returned, "reparameterize", like="mu")
    if not returned.is_tensor:
        raise NotEarned(*no_tensor(returned))
    if returned.shape != tuple(mu.shape):
        raise wrong_shape(returned, mu.shape)
    dtype = str(mu.dtype).removeprefix("torch.")
    if returned.dtype != dtype:
        raise NotEarned(
            f"For `mu` in {dtype}, z came back as {returned.dtype}, and the decoder's layers would refuse it: "
            "draw the noise with the dtype of `mu`.",
            "wrong_dtype",
        )
    if not bool(torch.isfinite(values(returned)).all()):
        raise not_finite(mu.shape)
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
    student.meets_centre = False
    centre(student)
    student.meets_centre = True


def meets_centre(student: Student) -> bool:
    """Whether the criterion is met, for the gradients, which depend on it."""
    if student.meets_centre is None:
        try:
            centre(student)
            student.meets_centre = True
        except (NotEarned, SubmissionError):
            student.meets_centre = False
    return student.meets_centre


def centre(student: Student) -> None:
    if not student.follows_seed:
        mu, logvar = probes.latents(seed=2)
        draws, at_zero = (student.draws(at, logvar, seed=4, n=DRAWS) for at in (mu, ZERO))
        if not noise.moved_by(draws, at_zero, mu):
            raise NotEarned(diagnosis.NOT_CENTRED)
        return
    for found in student.everywhere():
        moved = found.z - found.at_zero
        if found.where == "":
            for row, column in [(0, 0), (1, 1), (2, 0)]:
                by = float(found.mu[row, column])
                student.record.see(f"Where `mu` moves from 0 to {by:+.3f}, z moves by {moved[row, column]:+.3f}.")
        if not pytorch.close(moved, found.mu, atol=2e-4):
            raise diagnosis.not_centred(found)


@criterion(
    CELL,
    points=1,
    title="scaled by the standard deviation",
    asks="Where `mu` is 0 and the noise stays the same, z grows with `logvar` as the standard deviation does that `logvar` "
    f"stands for, for `logvar` from {probes.SPREAD_FROM:g} to {probes.LOGVAR[1]:g}. What is off by no more than "
    f"{noise.SPREAD_RTOL:.1%} of σ and {noise.SPREAD_ATOL:g} counts as right (an answer may guard a root). Without any noise "
    "there is nothing that could be scaled.",
    section=TRICK,
)
def test_scale(student: Student) -> None:
    """mu = 0, same seed: z(logvar) = exp((logvar − 1)/2) · z(logvar = 1), within the stated bound, and z(logvar = 1) varies.

    Where calls cannot be seeded: `noise.spread_follows`, false alarm 2.2e-11.
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
    usual = student.same_noise(probes.MAIN).checked(student)
    if student.without_noise:
        return NotEarned(
            "Where `mu` is 0 and `logvar` 1, z is the same on every call, so no standard deviation can be seen: the noise is "
            "missing.",
            "no_noise",
        )
    if not student.follows_seed:
        numbers = student.draws(ZERO, usual.logvar, 6, DRAWS), student.draws(ZERO, ONE, 6, DRAWS)

        def follows(factor: misconceptions.Formula) -> bool:
            return noise.spread_follows(*numbers, factor(usual.logvar.double()), factor(LOGVAR_ONE))

        show_scale(student, usual, ratio := numbers[0].std(dim=0) / numbers[1].std(dim=0))
        return judge_scale(student, usual, follows, ratio)
    show_scale(student, usual, usual.at_zero / usual.at_one)
    for found in student.everywhere():
        seen = scale_at(student, found)
        if seen is not None and (alone := noise_alone(student, found)) is not None:
            without_offset = scale_at(student, alone)
            # The difference of two draws is less exact: what is told without it is told.
            seen = without_offset and (seen if seen.misconception else without_offset)
        if seen is not None:
            return seen
    return None


def noise_alone(student: Student, found: SameNoise) -> SameNoise | None:
    """The same, less what z holds besides noise, which another seed leaves as it is; None where that changes nothing."""
    batch, latent = found.mu.shape
    other = student.same_noise((batch, latent), seed=5, second_call=found.second_call).checked(student)
    if torch.equal(other.at_one, found.at_one):
        return None
    return dataclasses.replace(found, at_one=found.at_one - other.at_one, at_zero=found.at_zero - other.at_zero)


def scale_at(student: Student, found: SameNoise) -> NotEarned | None:
    def agrees(factor: misconceptions.Formula, atol: float = 0.0) -> bool:
        factors = factor(found.logvar.double()), factor(LOGVAR_ONE)
        return noise.proportional(found.at_zero, found.at_one, *factors, atol)

    return judge_scale(student, found, agrees, found.at_zero / found.at_one)


def judge_scale(student: Student, found: SameNoise, agrees: Callable[..., bool], ratio: torch.Tensor) -> NotEarned | None:
    def right(logvar: torch.Tensor) -> torch.Tensor:
        return (logvar / 2).exp()

    if agrees(right) or (student.follows_seed and agrees(right, noise.SPREAD_ATOL)):
        return None
    return diagnosis.wrong_scale(agrees, found, ratio)


def show_scale(student: Student, found: SameNoise, ratio: torch.Tensor) -> None:
    for place in found.logvar.flatten().argsort()[::51]:
        at, times = float(found.logvar.flatten()[place]), float(ratio.flatten()[place])
        student.record.see(f"Where `logvar` is {at:+.2f}, the noise in z is {times:.4g} times what it is where `logvar` is 1.")


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

    A right answer fails with probability below 7e-10. At (128, 2): fifteen statistics with 1e-11 each (mean; sums over columns,
    rows and calls; the numbers beyond 2, 3 and 3.5; sizes and centres of entries, rows and columns; spread from call to call;
    unit spread), two moments with 3.6e-12 each, pairs with 8e-13: 1.6e-10. At three others: thirteen each, 3.9e-10. In
    evaluation mode nothing is judged by statistics where z is `mu`, or what it is in training; else thirteen more, 1.3e-10.

    Power: the nearest known mistakes are a normal cut off at ±3 (no value beyond 3.5 where 30 are expected: found unless a
    right answer's Poisson count were 0, 6e-14), Student t noise with 10 degrees of freedom (fourth moment 4.0, allowed 3.14),
    noise reused for part of a batch (correlation 1, allowed 0.5) and a spread of 0.97 (11 standard errors). Not told from a
    normal: a sum of twelve uniforms (fourth moment 2.9).
    """
    replies = student.draw(ZERO, ONE, seed=100, n=CALLS, tail=True)
    pytorch.generators_left_alone(replies[0], replies[1], "reparameterize")
    drawn = student.drawn(replies, ZERO)
    rms = float((drawn**2).mean().sqrt())
    if rms == 0:
        raise NotEarned("There is no noise in z at all: every call gives the same result.", "no_noise")
    noise.standard(drawn / rms, student.record.see, repeatable=student.follows_seed, alike=meets_scale(student))
    if meets_scale(student):
        noise.unit(rms / math.exp(0.5), drawn.numel(), repeatable=student.follows_seed)
    for shape in ELSEWHERE:
        try:
            drawn = student.draws(torch.zeros(shape), torch.ones(shape), seed=100, n=FEWER_CALLS)
        except (SubmissionError, NotEarned):
            continue
        judge_elsewhere(drawn, at(shape), meets_scale(student))
    for shape in OTHERS:
        try:
            at_one = student.same_noise(shape).checked(student).at_one
        except (SubmissionError, NotEarned):
            continue
        if not bool(at_one.any()):
            raise NotEarned(f"{at(shape)}there is no noise in z.", "no_noise")
    in_evaluation(student)


def judge_elsewhere(drawn: torch.Tensor, where: str, scaled: bool) -> None:
    """NotEarned unless the noise of a few calls is standard normal; of unit spread where the criterion `scale` is met."""
    rms = float((drawn**2).mean().sqrt())
    try:
        noise.elsewhere(drawn / (rms or 1.0), alike=scaled)
        if scaled:
            noise.unit(rms / math.exp(0.5), drawn.numel(), repeatable=False)
    except NotEarned as found:
        raise NotEarned(where + found.sentence, found.misconception) from None


EVALUATION = "In evaluation mode (`model.eval()`): "


def in_evaluation(student: Student) -> None:
    """NotEarned unless z is a sample in evaluation mode, too, or, where the course accepts that, `mu`."""
    try:
        trained = student.same_noise(probes.MAIN).checked(student)
    except (SubmissionError, NotEarned):
        return  # other criteria say so
    mu = trained.mu
    try:
        z = student.z(mu, trained.logvar, SEED, training=False)
    except Raised as error:
        error.where = EVALUATION
        raise
    except NotEarned as found:
        raise NotEarned(EVALUATION + found.sentence, found.misconception) from None
    if pytorch.close(z, mu, atol=1e-6):
        if not student.policies["mean_in_eval_mode"]:
            raise NotEarned(EVALUATION + "z has no noise, and it is a sample there, too.", "mean_in_eval_mode")
        return
    if torch.equal(z, trained.z):
        return
    around = mu if student.follows_seed else ZERO  # where z is centred may be another criterion's business
    drawn = student.draws(around, ONE, seed=200, n=FEWER_CALLS, training=False) - around.double()
    try:
        judge_elsewhere(drawn, EVALUATION, meets_scale(student))
    except NotEarned as found:
        sentence = (
            found.sentence
            if found.sentence.startswith(EVALUATION)
            else EVALUATION + "z is not what it is in training. " + found.sentence
        )
        raise NotEarned(sentence, "eval_mode_differs") from None


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
    for shape in (probes.MAIN, *ELSEWHERE):
        try:
            pytorch.in_either_precision(functools.partial(gradient_in, student, name, shape))
        except SubmissionError:
            if shape == probes.MAIN:
                raise
        except NotEarned as found:
            if shape == probes.MAIN:
                raise
            if found.misconception in (Mistake.NO_GRADIENT, Mistake.GRADIENT_IN_PART):
                raise NotEarned(at(shape) + found.sentence, found.misconception) from None


def gradient_in(student: Student, name: str, shape: Shape, dtype: torch.dtype) -> None:
    inputs, weights, returned = student.gradients(shape, dtype)
    value = student.value(returned, weights.shape)
    found = returned.tensors.get(f"gradient.{name}")
    if shape == probes.MAIN and reaches(found):
        *_, again = student.gradients(shape, dtype, second_call=True)
        if not reaches(again.tensors.get(f"gradient.{name}")):
            raise NotEarned(
                f"The first call of a model lets gradients through to `{name}`, the second does not: something is kept from "
                "one call to the next.",
                Mistake.NO_GRADIENT,
            )

    if shape in ELSEWHERE[1:] and reaches_all(found):
        return  # one call in place of a difference, for what is cut off in a dimension or for one point alone

    def at_places(places: list[torch.Tensor]) -> torch.Tensor:
        cases = [[*({**inputs, name: at}).values()] for at in places]
        return (weights * student.zs(cases, seed=10)).sum(dim=(1, 2))

    if found is None or not reaches(found):
        student.record.see(f"Autograd finds {'no way' if found is None else 'a gradient of zeros'} from z to `{name}`.")
        if student.follows_seed and pytorch.plays_no_part(at_places, inputs[name]):
            unused = "mu_not_used" if name == "mu" else "no_noise" if student.without_noise else "no_scale"
            raise NotEarned(f"z does not depend on `{name}` at all, so no gradient can flow back to it: use it.", unused)
        raise NotEarned(
            f"No gradient flows from z back to `{name}`: training could not tell the encoder anything through it. "
            "Some functions draw a sample without recording how it depends on its parameters; `detach`, `no_grad` and "
            "`.item()` cut the way, too.",
            Mistake.NO_GRADIENT,
        )
    if student.follows_seed:
        pytorch.equals_finite_difference(at_places, inputs[name], found, returned.dtype, name, student.record.see)
        return
    # Two calls draw different noise, so no difference can be taken: the right z has these derivatives, within what `scale` lets
    # pass, and of another z nothing is known.
    if not (meets_centre(student) and meets_scale(student)):
        return
    noise_there, std = value - inputs["mu"].double(), (inputs["logvar"].double() / 2).exp()
    expected = weights if name == "mu" else weights * noise_there / 2
    slack = 1e-6 + (0 if name == "mu" else noise_there.abs() * (2 * noise.SPREAD_RTOL + noise.SPREAD_ATOL / std))
    judged = inputs["logvar"] >= probes.SPREAD_FROM
    if not bool(((found.double() - expected).abs() <= slack)[judged].all()):
        raise NotEarned(pytorch.wrong_gradient(name))


def reaches(gradient: torch.Tensor | None) -> bool:
    """Whether autograd found a gradient, other than zeros."""
    return gradient is not None and bool((gradient != 0).any())


def reaches_all(gradient: torch.Tensor | None) -> bool:
    """Whether autograd found a gradient, other than zeros, in each dimension."""
    return gradient is not None and bool((gradient != 0).any(dim=0).all())
