"""The inputs of the hidden calls, from fixed seeds: every submission meets the same numbers, on every run.

`logvar` spreads over [−4, 2], as in a network that trains, and keeps away from 0, where a kink (of an `abs`, a `relu`)
would make the finite difference meaningless.
"""

import torch

from autograder.grading.pytorch import generator

BATCH, LATENT = 128, 2


def latents(
    seed: int, shape: tuple[int, ...] = (BATCH, LATENT), dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """mu with |mu| ≤ 3 and logvar in [−4, −0.1] ∪ [0.1, 2], of `shape`."""
    g = generator(seed)
    mu = torch.rand(shape, generator=g, dtype=torch.float64) * 6 - 3
    logvar = torch.rand(shape, generator=g, dtype=torch.float64) * 5.8 - 4
    logvar = torch.where(logvar > -0.1, logvar + 0.2, logvar)
    return mu.to(dtype), logvar.to(dtype)


def wide_logvar(seed: int, shape: tuple[int, int] = (BATCH, LATENT)) -> torch.Tensor:
    """logvar over [−6, 3], the range that networks produce, in random order."""
    count = shape[0] * shape[1]
    order = torch.randperm(count, generator=generator(seed))
    return torch.linspace(-6, 3, count)[order].reshape(shape)


def points(seed: int, batch: int, width: int = 2, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """x and recon_x ≠ x, both (batch, width)."""
    g = generator(seed)
    x = torch.randn((batch, width), generator=g, dtype=torch.float64)
    recon_x = x + 0.7 * torch.randn((batch, width), generator=g, dtype=torch.float64)
    return x.to(dtype), recon_x.to(dtype)
