"""`compute_vae_loss`, 3 points: recon + beta * KL(N(mu, exp(logvar)) || N(0, I)).

A stand-in model answers with chosen (recon_x, mu, logvar), at (128, 2) and, where the calls work there, at other latent widths
and batch sizes: what fails there alone costs `value`. Latent widths other than the data's: with latent width 2, a missing ½
under the mean equals a sum over dimensions.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import torch

from autograder.criteria import NotEarned, criterion
from autograder.errors import Raised, SubmissionError
from autograder.grading import pytorch
from autograder.grading.pytorch import Mistake, stacked, values
from autograder.sandbox.inside.messages import Reply
from autograder.vae_swiss_roll import probes
from autograder.vae_swiss_roll.diagnosis import loss as diagnosis
from autograder.vae_swiss_roll.reference import ATOL, RTOL, Average, accepted, kl_terms, reconstruction
from autograder.vae_swiss_roll.student import LATENTS, Case, Shape, Student, Varies, at, moved

CELL = "kl_divergence"
DERIVATION = "The KL divergence, step by step"
OTHERS: list[Shape] = [(5, 3), (48, 3), (7, 4), (9, 1), (1, 4)]  # (batch, latent), beside `probes.MAIN`
BETAS, BETA = (0.0, 0.5), 1.0  # at the usual width and batch size, and at others
LARGE_BETA = 2.0  # which an answer may refuse
MOST = 32  # cases in one call
STEP = 0.3  # away from the prior
# Where a KL estimated from samples is accepted, its mean over so many calls is judged, to so many standard errors (two-sided
# 1e-11). Away from the prior its smallest mean, at logvar = 1, is 9 standard errors above 0.
ESTIMATES, ERRORS = 1024, 6.8
ESTIMATED_STEP = 1.0

Measured = tuple[float, float]  # a loss, and what it may be off by because it is an estimate
Losses = Mapping[float, Measured]  # beta → loss


@criterion(
    CELL,
    points=1,
    title="zero at the prior alone",
    asks="The KL divergence is 0 where the posterior is the prior itself (`mu` and `logvar` 0), and positive everywhere else; "
    "0 and positive beside the size that your KL has elsewhere.",
    section=DERIVATION,
)
def test_prior(student: Student) -> None:
    """recon_x = x, beta = 1: zero at the prior, positive at ±0.3 in single entries and at random places; in float64."""
    if estimated(student):
        prior(student, probes.MAIN, torch.float32)
        return
    try:
        pytorch.in_either_precision(lambda dtype: prior(student, probes.MAIN, dtype))
        elsewhere(student, prior, OTHERS[1], OTHERS[4])
    except NotEarned as found:
        unnamed = found.misconception is None and student.varies == Varies.NOT
        if not unnamed and found.misconception != NOT_FINITE:
            raise
        cause = explained(student)
        if cause.misconception in (None, NOT_FINITE, "not_an_average"):  # what is said where nothing else is known
            raise
        # `value` fails for the same reason, and points here.
        seen_and_why = f"{found.sentence} {cause.sentence}"
        raise NotEarned(seen_and_why, cause.misconception, section=cause.section) from None


def explained(student: Student) -> NotEarned:
    """What is wrong with the whole loss, told from its numbers once."""
    if student.at not in student.explained:
        student.explained[student.at] = diagnosis.explain(student, accepted(student.policies))
    return student.explained[student.at]


NOT_FINITE = "not_finite"
# At other widths; `value` says so.
BESIDE_THE_POINT = ("wrong_shape", "one_number_per_point", NOT_FINITE)


def elsewhere(student: Student, judge: Callable[[Student, Shape, torch.dtype], None], *shapes: Shape) -> None:
    """NotEarned where `judge` gives it at other widths and batch sizes; what fails there costs the criterion `value` alone."""
    for shape in shapes:
        try:
            pytorch.in_either_precision(functools.partial(judge, student, shape))
        except SubmissionError:
            continue
        except NotEarned as found:
            if found.misconception in BESIDE_THE_POINT:
                continue
            missing = found.misconception == diagnosis.NO_KL[1]  # not everywhere, so it has another name
            name = None if missing else found.misconception
            raise NotEarned(at(shape) + found.sentence, name, section=found.section) from None


def prior(student: Student, shape: Shape, dtype: torch.dtype) -> None:
    batch, latent = shape
    x, _ = probes.points(seed=41, batch=batch, dtype=dtype)
    zero = torch.zeros(shape, dtype=dtype)
    step = ESTIMATED_STEP if estimated(student) else STEP
    away = [probes.latents(seed, shape, dtype) for seed in (42, 43, 44)]
    places = sorted({(row, column) for row in (0, batch - 1) for column in (0, latent - 1)})
    places = places if shape == probes.MAIN else [places[0], places[-1]]
    moves = []
    for row, column in places:
        for by in (step, -step):
            moved = zero.clone()
            moved[row, column] = by
            moves += [("mu", by, (row, column), (moved, zero)), ("logvar", by, (row, column), (zero, moved))]
    # What is averaged before it is squared, over the dimensions or over the batch, is 0.
    places_of = torch.arange(batch * latent).reshape(shape)
    for number, count in ((places_of, batch * latent), (places_of // latent, batch)):
        if count % 2 == 0:
            balanced = (number % 2 * 2 - 1).to(dtype)
            away += [(step * balanced, zero), (zero, step * balanced)]
    error = 0.0
    at_prior, *found = measure_each(student, x, [(zero, zero), *away, *(case for *_, case in moves)])
    if estimated(student):
        at_prior, error = measure(student, x, x, zero, zero, 1.0)
    # A part of the loss that is there without any beta is another criterion's business; one that is there with any is the KL.
    base = measure(student, x, x, zero, zero, 0.0)[0] if abs(at_prior) > error else 0.0
    if base and measure_each(student, x, away[:1], 0.0)[0] == found[0]:
        base = 0.0
    if all(value == at_prior for value in found):
        raise NotEarned(*diagnosis.NO_KL)
    size = max(abs(value - base) for value in found[:3])
    tiny = (1e-12 if dtype == torch.float64 else 1e-6) * size  # what rounding leaves of 0
    at_prior -= base
    student.record.see(f"At the prior your KL is {at_prior:.4g}; at a random place away from it, {found[0] - base:.4g}.")
    truly = max(float(kl_terms(*case).mean()) for case in away[:3])
    if abs(at_prior) > ATOL * size / truly + error:
        raise NotEarned(
            f"Where every posterior is the prior itself (`mu` and `logvar` 0), your KL is {at_prior:.3g}: "
            "the divergence of a distribution from itself is 0."
        )
    for (name, by, (row, column), _), value in zip(moves, found[len(away) :], strict=True):
        value -= base
        if (row, column) == places[0] or not value > tiny:
            student.record.see(f"With {by:+g} in one entry of `{name}`, row {row + 1}, it is {value:.4g}.")
        if not value > tiny:
            raise NotEarned(
                f"Your KL is not positive when one entry of `{name}` moves away from 0: a KL divergence grows in "
                "every direction away from the prior."
            )
    if not all(value - base > tiny for value in found[: len(away)]):
        raise NotEarned("Your KL is not positive away from the prior: a KL divergence is never negative.")


def estimated(student: Student) -> bool:
    """Whether the KL is to be judged by its mean: an estimate from samples, where the course accepts one."""
    return student.policies["monte_carlo_kl"] and student.random_loss


def measure(
    student: Student, x: torch.Tensor, recon_x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor, beta: float
) -> Measured:
    """The loss, and what it may be off by."""
    if not estimated(student):
        return student.loss_value(x, recon_x, mu, logvar, beta), 0.0
    losses = student.losses(x, recon_x, mu, logvar, beta, n=ESTIMATES)
    return float(losses.mean()), ERRORS * float(losses.std()) / math.sqrt(len(losses))


def measure_each(student: Student, x: torch.Tensor, cases: Sequence[Case], beta: float = 1.0) -> list[float]:
    """The losses at recon_x = x for several (mu, logvar)."""
    if not estimated(student):
        return student.loss_values(x, x, cases, beta, most=MOST)
    return [measure(student, x, x, mu, logvar, beta)[0] for mu, logvar in cases]


@criterion(
    CELL,
    points=1,
    title="the whole loss",
    asks="The loss is one number, the reconstruction error plus `beta` times the closed-form KL, for several values of `beta`, "
    f"batch sizes and numbers of latent dimensions, for `logvar` from {probes.LOGVAR[0]:g} to {probes.LOGVAR[1]:g} and `mu` "
    f"up to ±{probes.MU:g}, averaged in the same accepted way each time, on the CPU and on a GPU. A KL that is off by no more "
    f"than {RTOL:.1%} and {ATOL:g} for each latent variable counts as right (an answer may guard a logarithm).",
    section=DERIVATION,
)
def test_value(student: Student) -> None:
    """recon_x ≠ x: the loss equals recon + beta · KL under one accepted convention throughout; on a GPU as well."""
    cases = ask(student, 50, probes.MAIN)
    failed: list[NotEarned | SubmissionError] = []
    for seed, shape in enumerate(OTHERS, start=51):
        try:
            cases += ask(student, seed, shape)
        except Raised as error:
            error.where = at(shape)
            failed.append(error)
        except NotEarned as error:
            failed.append(NotEarned(at(shape) + error.sentence, error.misconception, error.device))
    averages = accepted(student.policies)
    right = any(agree(cases, average) for average in averages.values())
    if not right and student.varies == Varies.WITH_EACH_CALL:
        raise NotEarned(
            "Your loss changes with every call although its arguments stay the same: something is counted or kept from one "
            "call to the next. The weight of the KL is `beta`, and whoever trains changes it.",
            "state_between_calls",
            section="4. The loss",
        )
    if not right:
        if student.random_loss and not estimated(student):
            raise NotEarned(
                "Two calls with the same arguments give different losses: your KL is estimated from random samples (or uses "
                "some other random number), and the task is its closed form, which needs none.",
                "estimated_from_samples",
            )
        pytorch.inputs_unchanged(student.loss(*probes.points(51, probes.BATCH), *probes.latents(51), 1.0), "compute_vae_loss")
        cause = explained(student)
        raise failed[0] if failed and cause.misconception is None else cause
    if failed:
        raise failed[0]
    (x, recon_x), (mu, logvar) = probes.points(seed=52, batch=5), probes.latents(seed=52, shape=(5, 3))

    def there(device: str) -> Reply:
        return student.loss(x, recon_x, mu, logvar, 0.5, device=device)

    reply = pytorch.on_the_other_device(student, there, like="mu")
    if reply is not None and not estimated(student):
        on_the_gpu, here = float(student.finite(reply)), student.loss_value(x, recon_x, mu, logvar, 0.5)
        if abs(on_the_gpu - here) > pytorch.RTOL["cuda"] * abs(here):
            raise NotEarned("On a GPU the loss is another number than on the CPU.", device="cuda")
    pytorch.beside_a_gpu(student, there, "compute_vae_loss", like="mu")


Seen = tuple[torch.Tensor, torch.Tensor, float, Losses]  # mu, logvar, reconstruction error, losses


def ask(student: Student, seed: int, shape: Shape) -> list[Seen]:
    """The losses at one width and batch size, over the whole range and near the prior, where what is small elsewhere shows.

    With every beta at the usual ones; one above 1 may be refused.
    """
    x, recon_x = probes.points(seed, shape[0])
    mu, logvar = probes.latents(seed, shape)
    cases: list[Case] = [(mu, logvar), (mu / 8, logvar / 8)]
    betas = BETAS if shape == probes.MAIN else (BETA,)
    losses: list[dict[float, Measured]] = [{}, {}]
    for beta in betas:
        try:
            both = measure_both(student, x, recon_x, cases, beta)
        except NotEarned as found:
            if beta != 0 or found.misconception != NOT_FINITE:
                raise
            measure_both(student, x, recon_x, cases, BETA)  # what is not finite with any beta is told as that
            raise NotEarned(
                "With `beta` = 0 the loss is not a finite number: `beta` is a factor, nothing is divided by it.",
                "not_linear_in_beta",
                section="4. The loss",
            ) from None
        for number, measured in enumerate(both):
            losses[number][beta] = measured
    if shape == probes.MAIN:
        with contextlib.suppress(SubmissionError):
            for number, measured in enumerate(measure_both(student, x, recon_x, cases, LARGE_BETA)):
                losses[number][LARGE_BETA] = measured
    recon = float(reconstruction(x, recon_x))
    told = ", ".join(f"{loss:.6g} at β = {beta:g}" for beta, (loss, _) in losses[0].items())
    student.record.see(f"{at(shape)}loss {told}; the reconstruction error is {recon:.6g}.")
    return [(*case, recon, found) for case, found in zip(cases, losses, strict=True)]  # type: ignore[misc]


def measure_both(
    student: Student, x: torch.Tensor, recon_x: torch.Tensor, cases: Sequence[Case], beta: float
) -> list[Measured]:
    if estimated(student):
        return [measure(student, x, recon_x, mu, logvar, beta) for mu, logvar in cases]
    ((mus, logvars),) = stacked(cases)
    reply = student.loss(x, recon_x, mus, logvars, beta, each=LATENTS)
    pytorch.no_fixed_device(reply, "compute_vae_loss", like="mu")
    return [(loss, 0.0) for loss in student.finite(reply).reshape(-1).tolist()]


def agree(cases: Sequence[Seen], average: Average) -> bool:
    """Whether every loss of every case is recon + beta · KL, the KL within the stated bound for each latent variable."""
    for mu, logvar, recon, losses in cases:
        terms = kl_terms(mu, logvar)
        kl, slack = float(average(terms)), float(average(RTOL * terms + ATOL))
        for beta, (loss, error) in losses.items():
            if abs(loss - recon - beta * kl) > beta * slack + pytorch.RTOL["cpu"] * recon + 1e-6 + error:
                return False
    return True


@criterion(
    CELL,
    points=1,
    title="gradient of the KL",
    asks="Training can reduce the KL: its gradients to `mu` and to `logvar` are not zero, and are how much the KL itself "
    "changes. The gradient of the reconstruction error is not cut off either; `mu` and `logvar` are what they were afterwards.",
    section=DERIVATION,
)
def test_gradient(student: Student) -> None:
    """recon_x = x, beta = 1: autograd equals the student's own finite difference, and is not zero; inputs unchanged."""
    pytorch.in_either_precision(lambda dtype: gradient(student, probes.MAIN, dtype))
    elsewhere(student, gradient, OTHERS[2], OTHERS[4])


def gradient(student: Student, shape: Shape, dtype: torch.dtype) -> None:
    x, recon_x = probes.points(seed=61, batch=shape[0], dtype=dtype)
    mu, logvar = probes.latents(seed=61, shape=shape, dtype=dtype)
    inputs = {"mu": mu, "logvar": logvar}
    returned = student.loss(x, x, mu, logvar, 1.0, gradients=True)
    pytorch.inputs_unchanged(returned, "compute_vae_loss")
    if "mu" in returned.backward:
        raise NotEarned(
            "`compute_vae_loss` runs `backward` itself, and the training loop does so again: return the loss, no more.",
            Mistake.BACKWARD_INSIDE,
        )
    if shape == probes.MAIN:
        reconstruction_reached(student, x, recon_x, mu, logvar, returned)
    for name, place in inputs.items():
        found = returned.tensors.get(f"gradient.{name}")
        at_places = functools.partial(kl_at, student, x, inputs, name)
        if found is None or not bool((found != 0).any()):
            if shape == probes.MAIN:
                raise without_gradient(student, x, inputs, name, found)
            found = torch.zeros_like(place)  # where the KL does not change, none is right
        try:
            pytorch.equals_finite_difference(at_places, place, found, returned.dtype, name, student.record.see)
        except NotEarned:
            # What is counted between calls is the business of `value`; a difference of two calls shows it.
            if student.varies != Varies.WITH_EACH_CALL or not pytorch.in_proportion(found, right_gradient(name, mu, logvar)):
                raise


def reconstruction_reached(
    student: Student, x: torch.Tensor, recon_x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor, perfect: Reply
) -> None:
    """NotEarned when no gradient flows back to recon_x."""
    whole = student.loss(x, recon_x, mu, logvar, 1.0, gradients=True)
    reached = whole.tensors.get("gradient.recon_x")
    if float(values(whole)) != float(values(perfect)) and (reached is None or not bool((reached != 0).any())):
        raise NotEarned(
            "No gradient flows from the reconstruction error back to `recon_x`: the decoder learns nothing from it. Leave that "
            "part of the loss as it is.",
            Mistake.NO_GRADIENT,
            section="The reconstruction error",
        )


def without_gradient(
    student: Student, x: torch.Tensor, inputs: Mapping[str, torch.Tensor], name: str, found: torch.Tensor | None
) -> NotEarned:
    """For a KL whose gradient to that input is none, or zeros: it is cut off, or the input plays no part."""
    student.record.see(f"Autograd finds {'no way' if found is None else 'a gradient of zeros'} from the loss to `{name}`.")
    unused = [other for other in inputs if plays_no_part(student, x, inputs, other)]
    if len(unused) == len(inputs):
        return NotEarned(*diagnosis.NO_KL)
    if name in unused:
        said = f"Your KL does not depend on `{name}` at all, so no gradient can flow back to it: use it."
        return NotEarned(said, f"{name}_missing")
    return NotEarned(
        f"No gradient flows from the KL back to `{name}`, so training cannot reduce it: compute it with torch "
        "functions on the tensors themselves (no `.item()`, `.detach()`, numpy or `float`).",
        Mistake.NO_GRADIENT,
    )


def plays_no_part(student: Student, x: torch.Tensor, inputs: Mapping[str, torch.Tensor], name: str) -> bool:
    """Whether the KL is the same wherever that input is, also near the prior, where a KL that is capped changes."""
    if student.varies != Varies.NOT:
        return False
    near = {other: torch.zeros_like(at) for other, at in inputs.items()}
    return all(
        pytorch.plays_no_part(functools.partial(kl_at, student, x, around, name), inputs[name]) for around in (inputs, near)
    )


def right_gradient(name: str, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Of the sum of the closed form to mu or logvar."""
    return mu if name == "mu" else (logvar.exp() - 1) / 2


def kl_at(
    student: Student, x: torch.Tensor, inputs: Mapping[str, torch.Tensor], name: str, places: Sequence[torch.Tensor]
) -> list[float]:
    """The loss at recon_x = x and beta = 1 with the input of that name in each of the places."""
    return student.loss_values(x, x, moved(inputs, name, places), beta=1.0)
