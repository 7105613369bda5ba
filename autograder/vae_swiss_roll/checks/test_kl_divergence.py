"""`compute_vae_loss`, 3 points: recon + beta * KL(N(mu, exp(logvar)) || N(0, I)).

A stand-in model answers with chosen (recon_x, mu, logvar). Latent width 3 and data width 2, and batch sizes that equal
neither: with latent width 2, a missing ½ under the mean equals a sum over dimensions.
"""

import torch

from autograder.rubric import NotEarned, criterion
from autograder.vae_swiss_roll import judging, misconceptions, probes
from autograder.vae_swiss_roll.reference import CONVENTIONS, kl_terms, reconstruction

CELL = "kl_divergence"
SHAPES = [(5, 3), (48, 3), (7, 4)]  # (batch, latent)
BETAS = [0.5, 2.0]


@criterion(CELL, points=1, title="zero at the prior alone")
def test_prior(student):
    """recon_x = x, beta = 1: zero at the prior, positive elsewhere."""
    x, _ = probes.points(seed=41, batch=5)
    zero = torch.zeros(5, 3)

    def kl(mu, logvar):
        return student.loss_value(x, x, mu, logvar, beta=1.0)

    at_prior = kl(zero, zero)
    if abs(at_prior) > 1e-6:
        raise NotEarned(
            f"Where every posterior is the prior itself (`mu` and `logvar` 0), your KL is {at_prior:.3g}: "
            "the divergence of a distribution from itself is 0."
        )
    places = [(row, column) for row in (0, 4) for column in range(3)]
    for row, column in places:
        for step in (0.3, -0.3):
            moved = zero.clone()
            moved[row, column] = step
            for name, value in (("mu", kl(moved, zero)), ("logvar", kl(zero, moved))):
                if not value > 1e-6:
                    raise NotEarned(
                        f"Your KL is not positive when one entry of `{name}` moves away from 0: a KL divergence grows in "
                        "every direction away from the prior."
                    )
    for seed in (42, 43, 44):
        if not kl(*probes.latents(seed, shape=(5, 3))) > 1e-6:
            raise NotEarned("Your KL is not positive away from the prior: a KL divergence is never negative.")


@criterion(CELL, points=1, title="the whole loss")
def test_value(student):
    """recon_x ≠ x: the loss equals recon + beta · KL under one accepted convention throughout."""
    cases = []
    for seed, (batch, latent) in enumerate(SHAPES, start=51):
        x, recon_x = probes.points(seed, batch)
        mu, logvar = probes.latents(seed, shape=(batch, latent))
        losses = {}
        for beta in (0.0, *BETAS):
            returned = student.loss(x, recon_x, mu, logvar, beta)
            judging.no_fixed_device(returned, "compute_vae_loss")
            losses[beta] = student.loss_value(x, recon_x, mu, logvar, beta)
        cases.append((mu, logvar, float(reconstruction(x, recon_x)), losses))
    if not agree_on_average(cases, kl_terms):
        raise NotEarned(*explain(cases))
    x, recon_x = probes.points(seed=55, batch=5)
    mu, logvar = probes.latents(seed=55, shape=(5, 3))
    judging.on_the_other_device(
        student, lambda mu, logvar, **where: student.loss(x, recon_x, mu, logvar, 0.5, **where), mu, logvar
    )


def near(a, b):
    return abs(a - b) <= judging.RTOL * abs(b) + 1e-6


def agree(cases, kl, total=lambda recon, beta, kl: recon + beta * kl):
    """Whether every loss of every case is `total(recon, beta, kl(mu, logvar))`."""
    return all(
        near(loss, total(recon, beta, float(kl(mu.double(), logvar.double()))))
        for mu, logvar, recon, losses in cases
        for beta, loss in losses.items()
    )


def agree_on_average(cases, formula, **total):
    """As `agree`, for a formula that gives the KL of each latent variable: under one accepted average throughout."""
    if formula(*(part.double() for part in cases[0][:2])).dim() == 0:
        return agree(cases, formula, **total)
    return any(agree(cases, lambda m, v, a=average: a(formula(m, v)), **total) for average in CONVENTIONS.values())


def explain(cases):
    """(sentence, misconception) for losses under no accepted convention."""
    for name, total, sentence in [
        ("beta_ignored", lambda r, b, k: r + k, "β changes nothing: multiply the KL by `beta`."),
        (
            "beta_on_the_reconstruction",
            lambda r, b, k: b * r + k,
            "`beta` multiplies the reconstruction error: it weighs the KL.",
        ),
        ("beta_on_both", lambda r, b, k: b * (r + k), "`beta` multiplies the whole loss: it weighs the KL alone."),
        ("beta_squared", lambda r, b, k: r + b * b * k, "`beta` enters twice: multiply by it once."),
    ]:
        if agree_on_average(cases, kl_terms, total=total):
            return sentence, name
    if all(near(loss, recon) for _, _, recon, losses in cases for loss in losses.values()):
        return (
            "Your KL is 0 wherever `mu` and `logvar` are, so the loss is the reconstruction error alone.",
            "kl_always_zero",
        )
    if all(losses[0.5] == losses[2.0] for *_, losses in cases):
        return "The loss is the same for every `beta`: the argument is not used, or is overwritten.", "beta_ignored"
    if not all(near(losses[0.0], recon) for _, _, recon, losses in cases):
        return (
            "With `beta` = 0 the loss is not the reconstruction error that the notebook defines, the mean of "
            "(recon_x − x)² over all elements: leave that part as it is.",
            "reconstruction_changed",
        )
    linear = all(near(losses[2.0] - losses[0.0], 4 * (losses[0.5] - losses[0.0])) for *_, losses in cases)
    if not linear:
        return (
            "The loss does not grow in proportion to `beta`: it is recon plus `beta` times the KL.",
            "not_linear_in_beta",
        )
    return misconceptions.name_it(
        misconceptions.KL,
        lambda formula: agree_on_average(cases, formula),
        "Your KL is not the closed form, neither averaged over all elements nor summed over dimensions and averaged over the "
        "batch: work one point with one latent variable out by hand and compare it with the last line of the derivation.",
    )


@criterion(CELL, points=1, title="gradient of the KL")
def test_gradient(student):
    """recon_x = x, beta = 1: autograd equals the student's own finite difference, and is not zero; inputs unchanged."""
    judging.in_either_precision(lambda dtype: gradient(student, dtype))


def gradient(student, dtype):
    x, _ = probes.points(seed=61, batch=5, dtype=dtype)
    inputs = dict(zip(("mu", "logvar"), probes.latents(seed=61, shape=(5, 3), dtype=dtype), strict=True))
    returned = student.loss(x, x, **inputs, beta=1.0, gradients=True)
    judging.inputs_unchanged(returned, "compute_vae_loss")
    for name, at in inputs.items():
        found = returned.tensors.get(f"grad_{name}")
        if found is None or not bool((found != 0).any()):
            raise NotEarned(
                f"No gradient flows from the KL back to `{name}`, so training cannot reduce it: compute it with torch "
                "functions on the tensors themselves (no `.item()`, `.detach()`, numpy or `float`).",
                "no_gradient",
            )
        judging.equals_finite_difference(
            lambda value, name=name: student.loss_value(x, x, **{**inputs, name: value}, beta=1.0),
            at,
            found,
            single=returned.dtype != "float64",
            name=name,
        )
