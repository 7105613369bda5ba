"""What right answers have in common, in float64. The graders' side only; no worker ever sees this file."""

from collections.abc import Callable, Mapping

import torch

# A KL within RTOL · KL + ATOL of the closed form, for each latent variable, is right: an answer may guard a logarithm.
RTOL, ATOL = 1e-3, 1e-4

Average = Callable[[torch.Tensor], torch.Tensor]


def kl_terms(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of each latent variable, in nats, shape as `mu`.

    ½ (mu² + exp(logvar) − logvar − 1): Kingma & Welling 2014 (arXiv:1312.6114), appendix B, with the sign turned.
    """
    mu, logvar = mu.double(), logvar.double()
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


# How a KL may be averaged over (batch, latent) to earn full points; the lesson's own convention first.
CONVENTIONS: dict[str, Average] = {
    "mean over batch and dimensions": lambda terms: terms.mean(),
    "sum over dimensions, mean over the batch": lambda terms: terms.sum(dim=1).mean(),
}
DATA_WIDTH = 2
ARGUABLE: dict[str, Average] = {  # policy → the convention that it accepts
    "kl_summed_over_batch": lambda terms: terms.sum(),
    "kl_divided_by_data_elements": lambda terms: terms.sum() / (DATA_WIDTH * len(terms)),
}


def accepted(policies: Mapping[str, bool]) -> dict[str, Average]:
    """The conventions under these policies (name → whether accepted)."""
    return CONVENTIONS | {name: average for name, average in ARGUABLE.items() if policies[name]}


def reconstruction(x: torch.Tensor, recon_x: torch.Tensor) -> torch.Tensor:
    """Mean squared error over all elements, in float64."""
    return ((recon_x.double() - x.double()) ** 2).mean()
