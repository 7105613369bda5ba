"""The inputs of the hidden calls, from fixed seeds: every submission meets the same numbers, on every run.

`LOGVAR` and `MU` are the range in which an answer has to be right, for both tasks and for the rubric. A network that trains at
a small β reaches a `logvar` of −6. Below −7 a standard deviation is under 0.03: what a sampler makes of it hardly shows, so the
noise's spread is judged from there; the KL goes on pulling, so it is judged over the whole range.
"""

import functools

import torch

from autograder.grading.pytorch import generator

BATCH, LATENT = 128, 2
MAIN = (BATCH, LATENT)
LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0


@functools.cache  # the same for every submission, and nobody changes them
def latents(
    seed: int,
    shape: tuple[int, int] = MAIN,
    dtype: torch.dtype = torch.float32,
    logvar_from: float = LOGVAR[0],
) -> tuple[torch.Tensor, torch.Tensor]:
    """mu and logvar of `shape`, one in each of as many equal parts of the range as there are entries, in random order.

    Both keep 0.1 away from 0, where a kink (of an `abs`, a `relu`) would make a finite difference meaningless.
    """
    g, count = generator(seed), shape[0] * shape[1]

    def spread(low: float, high: float) -> torch.Tensor:
        parts = torch.arange(count, dtype=torch.float64) + torch.rand(count, generator=g, dtype=torch.float64)
        found = low + (high - 0.2 - low) * parts[torch.randperm(count, generator=g)].reshape(shape) / count
        return torch.where(found > -0.1, found + 0.2, found).to(dtype)

    return spread(-MU, MU), spread(logvar_from, LOGVAR[1])


@functools.cache
def points(seed: int, batch: int, width: int = 2, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """x and recon_x ≠ x, both (batch, width)."""
    g = generator(seed)
    x = torch.randn((batch, width), generator=g, dtype=torch.float64)
    recon_x = x + 0.7 * torch.randn((batch, width), generator=g, dtype=torch.float64)
    return x.to(dtype), recon_x.to(dtype)
