"""`compute_vae_loss`, 3 points: recon + beta * KL(N(mu, exp(logvar)) || N(0, I)).

A stand-in model answers with chosen (recon_x, mu, logvar). Latent width 3 and data width 2, and batch sizes that equal
neither: with latent width 2, a missing ½ under the mean equals a sum over dimensions.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import torch

from autograder.criteria import NotEarned, criterion
from autograder.grading import pytorch
from autograder.grading.pytorch import Mistake, values
from autograder.sandbox.inside.messages import Reply
from autograder.vae_swiss_roll import misconceptions, probes
from autograder.vae_swiss_roll.reference import Average, accepted, kl_terms, reconstruction
from autograder.vae_swiss_roll.student import Case, Student, moved

CELL = "kl_divergence"
DERIVATION = "The KL divergence, step by step"
SHAPES = [(5, 3), (48, 3), (7, 4)]  # (batch, latent)
BETAS = [0.5, 2.0]
STEP = 0.3  # away from the prior
ZERO = 1e-5  # a right answer may guard a logarithm with so much
# Where a KL estimated from samples is accepted, its mean over so many calls is judged, to so many standard errors (two-sided
# 1e-11). Away from the prior its smallest mean, at logvar = 1, is 9 standard errors above 0.
ESTIMATES, ERRORS = 1024, 6.8
ESTIMATED_STEP = 1.0

Measured = tuple[float, float]  # a loss, and what it may be off by because it is an estimate
Losses = Mapping[float, Measured]  # beta → loss
Measurement = tuple[torch.Tensor, torch.Tensor, float, Losses]  # mu, logvar, reconstruction error, losses
Total = Callable[[float, float, float], float]


@criterion(
    CELL,
    points=1,
    title="zero at the prior alone",
    asks="The KL divergence is 0 where the posterior is the prior itself (`mu` and `logvar` 0), and positive everywhere else.",
    section=DERIVATION,
)
def test_prior(student: Student) -> None:
    """recon_x = x, beta = 1: zero at the prior, positive at ±0.3 in single entries and at random places."""
    x, _ = probes.points(seed=41, batch=5)
    zero = torch.zeros(5, 3)
    step = ESTIMATED_STEP if estimated(student) else STEP

    at_prior, error = measure(student, x, x, zero, zero, 1.0)
    base = 0.0
    if abs(at_prior) > ZERO + error:  # a reconstruction error that is not 0 for perfect copies is another criterion's business
        base, _ = measure(student, x, x, zero, zero, 0.0)
        at_prior -= base
    student.record.see(f"At the prior your KL is {at_prior:.4g}.")
    if abs(at_prior) > ZERO + error:
        raise NotEarned(
            f"Where every posterior is the prior itself (`mu` and `logvar` 0), your KL is {at_prior:.3g}: "
            "the divergence of a distribution from itself is 0."
        )
    places = [(row, column) for row in (0, 4) for column in range(3)]
    moves = []
    for row, column in places:
        for by in (step, -step):
            moved = zero.clone()
            moved[row, column] = by
            for name, case in (("mu", (moved, zero)), ("logvar", (zero, moved))):
                moves.append((name, row, column, by, case))
    values = measure_each(student, x, [case for *_, case in moves])
    for (name, row, column, by, _), value in zip(moves, values, strict=True):
        value -= base
        if (row, column) == places[0] or not value > 1e-6:
            student.record.see(f"With {by:+g} in one entry of `{name}`, row {row + 1}, it is {value:.4g}.")
        if not value > 1e-6:
            raise NotEarned(
                f"Your KL is not positive when one entry of `{name}` moves away from 0: a KL divergence grows in "
                "every direction away from the prior."
            )
    for value in measure_each(student, x, [probes.latents(seed, shape=(5, 3)) for seed in (42, 43, 44)]):
        value -= base
        student.record.see(f"At a random place away from the prior it is {value:.4g}.")
        if not value > 1e-6:
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


def measure_each(student: Student, x: torch.Tensor, cases: Sequence[Case]) -> list[float]:
    """The losses at recon_x = x and beta = 1 for several (mu, logvar)."""
    if not estimated(student):
        return student.loss_values(x, x, cases, 1.0)
    return [measure(student, x, x, mu, logvar, 1.0)[0] for mu, logvar in cases]


@criterion(
    CELL,
    points=1,
    title="the whole loss",
    asks="The loss is the reconstruction error plus `beta` times the closed-form KL, for several values of `beta`, batch sizes "
    "and numbers of latent dimensions, averaged in the same accepted way each time, on the CPU and on a GPU.",
    section=DERIVATION,
)
def test_value(student: Student) -> None:
    """recon_x ≠ x: the loss equals recon + beta · KL under one accepted convention throughout, to 1e-4; on a GPU as well."""
    cases = []
    for seed, (batch, latent) in enumerate(SHAPES, start=51):
        x, recon_x = probes.points(seed, batch)
        mu, logvar = probes.latents(seed, shape=(batch, latent))
        returned = student.loss(x, recon_x, mu, logvar, BETAS[0])
        pytorch.no_fixed_device(returned, "compute_vae_loss", like="mu")
        losses = {beta: measure(student, x, recon_x, mu, logvar, beta) for beta in (0.0, BETAS[1])}
        losses[BETAS[0]] = (
            measure(student, x, recon_x, mu, logvar, BETAS[0]) if estimated(student) else (float(student.finite(returned)), 0.0)
        )
        cases.append((mu, logvar, float(reconstruction(x, recon_x)), losses))
        told = ", ".join(f"{loss:.6g} at β = {beta:g}" for beta, (loss, _) in losses.items())
        kl = (losses[BETAS[-1]][0] - losses[0.0][0]) / BETAS[-1]
        student.record.see(f"Batch of {batch}, {latent} latent dimensions: loss {told}; so your KL is {kl:.6g}.")
    averages = accepted(student.policies)
    if not agree_on_average(cases, kl_terms, averages):
        if student.random_loss and not estimated(student):
            raise NotEarned(
                "Two calls with the same arguments give different losses: your KL is estimated from random samples (or uses "
                "some other random number), and the task is its closed form, which needs none.",
                "estimated_from_samples",
            )
        raise explain(cases, averages)
    x, recon_x = probes.points(seed=51, batch=5)
    mu, logvar, _, losses = cases[0]

    def ask(device: str) -> Reply:
        return student.loss(x, recon_x, mu, logvar, 0.5, device=device)

    there = pytorch.on_the_other_device(student, ask, like="mu")
    if there is not None and not estimated(student):
        on_the_gpu, here = float(student.finite(there)), losses[0.5][0]
        if abs(on_the_gpu - here) > pytorch.RTOL["cuda"] * abs(here):
            raise NotEarned("On a GPU the loss is another number than on the CPU.", device="cuda")


def near(measured: Measured, expected: float) -> bool:
    loss, error = measured
    return abs(loss - expected) <= pytorch.RTOL["cpu"] * abs(expected) + 1e-6 + error


def agree(
    cases: Sequence[Measurement],
    kl: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    total: Total = lambda recon, beta, kl: recon + beta * kl,
) -> bool:
    """Whether every loss of every case is `total(recon, beta, kl(mu, logvar))`."""
    return all(
        near(loss, total(recon, beta, float(kl(mu.double(), logvar.double()))))
        for mu, logvar, recon, losses in cases
        for beta, loss in losses.items()
    )


def agree_on_average(
    cases: Sequence[Measurement], formula: misconceptions.Formula, averages: Mapping[str, Average], **total: Total
) -> bool:
    """As `agree`, for a formula that gives the KL of each latent variable: under one accepted average throughout."""
    mu, logvar, *_ = cases[0]
    if formula(mu.double(), logvar.double()).dim() == 0:
        return agree(cases, formula, **total)
    return any(agree(cases, lambda m, v, a=average: a(formula(m, v)), **total) for average in averages.values())  # type: ignore[misc]


def linear(losses: Losses) -> bool:
    """Whether the loss grows in proportion to beta."""
    (at_zero, _), (low, _), (high, _) = (losses[beta] for beta in (0.0, *BETAS))
    off = sum(error for _, error in losses.values())
    return near((high - at_zero, 5 * off), (low - at_zero) * BETAS[1] / BETAS[0])


def explain(cases: Sequence[Measurement], averages: Mapping[str, Average]) -> NotEarned:
    """The NotEarned for losses under no accepted convention."""
    entries: list[tuple[str, Total, str]] = [
        ("beta_ignored", lambda r, b, k: r + k, "β changes nothing: multiply the KL by `beta`."),
        (
            "beta_on_the_reconstruction",
            lambda r, b, k: b * r + k,
            "`beta` multiplies the reconstruction error: it weighs the KL.",
        ),
        (
            "beta_as_a_share",
            lambda r, b, k: (1 - b) * r + b * k,
            "`beta` takes away from the reconstruction error what it gives to the KL: the reconstruction error has the weight "
            "1 whatever `beta` is.",
        ),
        ("beta_added", lambda r, b, k: r + b + k, "`beta` is added to the loss: it is a factor, the weight of the KL."),
        (
            "kl_added_twice",
            lambda r, b, k: r + (1 + b) * k,
            "The KL is in the loss twice, once without `beta`: with `beta` = 0 nothing of it may be left.",
        ),
        ("beta_on_both", lambda r, b, k: b * (r + k), "`beta` multiplies the whole loss: it weighs the KL alone."),
        ("beta_squared", lambda r, b, k: r + b * b * k, "`beta` enters twice: multiply by it once."),
    ]
    for name, total, sentence in entries:
        if agree_on_average(cases, kl_terms, averages, total=total):
            return NotEarned(sentence, name, section="4. The loss")
    if all(near(loss, recon) for _, _, recon, losses in cases for loss in losses.values()):
        return NotEarned(
            "Your KL is 0 wherever `mu` and `logvar` are, so the loss is the reconstruction error alone.", "kl_always_zero"
        )
    if all(losses[0.5] == losses[2.0] for *_, losses in cases):
        return NotEarned(
            "The loss is the same for every `beta`: the argument is not used, or is overwritten.",
            "beta_ignored",
            section="4. The loss",
        )
    if not all(near(losses[0.0], recon) for _, _, recon, losses in cases):
        return NotEarned(
            "With `beta` = 0 the loss is not the reconstruction error that the notebook defines, the mean of "
            "(recon_x − x)² over all elements: leave that part as it is.",
            "reconstruction_changed",
            section="The reconstruction error",
        )
    if not all(linear(losses) for *_, losses in cases):
        return NotEarned(
            "The loss does not grow in proportion to `beta`: it is recon plus `beta` times the KL.",
            "not_linear_in_beta",
            section="4. The loss",
        )
    return misconceptions.not_earned(
        misconceptions.KL,
        lambda formula: agree_on_average(cases, formula, averages),
        "Your KL is not the closed form, neither averaged over all elements nor summed over dimensions and averaged over the "
        "batch: work one point with one latent variable out by hand and compare it with the last line of the derivation.",
    )


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
    pytorch.in_either_precision(lambda dtype: gradient(student, dtype))


def gradient(student: Student, dtype: torch.dtype) -> None:
    x, recon_x = probes.points(seed=61, batch=5, dtype=dtype)
    mu, logvar = probes.latents(seed=61, shape=(5, 3), dtype=dtype)
    inputs = {"mu": mu, "logvar": logvar}
    returned = student.loss(x, x, mu, logvar, 1.0, gradients=True)
    pytorch.inputs_unchanged(returned, "compute_vae_loss")
    if "mu" in returned.backward:
        raise NotEarned(
            "`compute_vae_loss` runs `backward` itself, and the training loop does so again: return the loss, no more.",
            Mistake.BACKWARD_INSIDE,
        )
    whole = student.loss(x, recon_x, mu, logvar, 1.0, gradients=True)
    reached = whole.tensors.get("gradient.recon_x")
    if float(values(whole)) != float(values(returned)) and (reached is None or not bool((reached != 0).any())):
        raise NotEarned(
            "No gradient flows from the reconstruction error back to `recon_x`: the decoder learns nothing from it. Leave that "
            "part of the loss as it is.",
            Mistake.NO_GRADIENT,
            section="The reconstruction error",
        )
    for name, at in inputs.items():
        found = returned.tensors.get(f"gradient.{name}")
        if found is None or not bool((found != 0).any()):
            student.record.see(
                f"Autograd finds {'no way' if found is None else 'a gradient of zeros'} from the loss to `{name}`."
            )
            raise NotEarned(
                f"No gradient flows from the KL back to `{name}`, so training cannot reduce it: compute it with torch "
                "functions on the tensors themselves (no `.item()`, `.detach()`, numpy or `float`).",
                Mistake.NO_GRADIENT,
            )
        pytorch.equals_finite_difference(
            functools.partial(kl_at, student, x, inputs, name),
            at,
            found,
            returned.dtype,
            name,
            student.record.see,
        )


def kl_at(
    student: Student, x: torch.Tensor, inputs: Mapping[str, torch.Tensor], name: str, places: Sequence[torch.Tensor]
) -> list[float]:
    """The loss at recon_x = x and beta = 1 with the input of that name in each of the places."""
    return student.loss_values(x, x, moved(inputs, name, places), beta=1.0)
