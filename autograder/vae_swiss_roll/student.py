"""The hidden checks' only door to a submission: its two functions by name, calls going out, plain tensors coming back."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from autograder.errors import NotEarned
from autograder.grading import pytorch
from autograder.grading.pytorch import CHUNK, describe, how, numbers, stacked, values
from autograder.sandbox.inside.messages import Call, Reply
from autograder.vae_swiss_roll import assignment, probes

LATENTS = ("mu", "logvar")
Case = Sequence[torch.Tensor]  # mu, logvar


class Student(pytorch.Student):
    """One submission, as the checks see it.

    Attributes:
        meets_scale: whether the criterion `scale` is met; None before anybody asked.
    """

    POLICIES = assignment.policies
    DEFINES = assignment.defines

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meets_scale: bool | None = None

    # --- reparameterize ---

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, **how: Any) -> Reply:
        """One call of `reparameterize`, by default on a fresh instance; `how` is as in `messages.Call`."""
        tensors = {"mu": mu, "logvar": logvar}
        return self.ask("reparameterize", tensors, seed=seed, latent_dim=mu.shape[-1], **how)

    def zs(self, cases: Sequence[Case], seed: int) -> torch.Tensor:
        """The values of calls with several (mu, logvar) and the same noise, float64, (n, *mu.shape)."""
        parts = []
        for mu, logvar in stacked(cases):
            reply = self.reparameterize(mu, logvar, seed, each=LATENTS)
            parts.append(self.value(reply, mu.shape).reshape(mu.shape))
        return torch.cat(parts)

    def z(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int) -> torch.Tensor:
        """The value of one call, float64, in the shape of mu; NotEarned where there is no such value."""
        return self.value(self.reparameterize(mu, logvar, seed), mu.shape)

    def draws(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, n: int, *, training: bool = True) -> torch.Tensor:
        """The values of n calls of one instance, float64, (n, *mu.shape); n is a multiple of 32."""
        parts = []
        for start in range(0, n, CHUNK):
            reply = self.reparameterize(mu, logvar, seed + start, repeat=CHUNK, training=training, same_instance=start > 0)
            parts.append(self.value(reply, (CHUNK, *mu.shape)))
        return torch.cat(parts)

    @functools.cached_property
    def follows_seed(self) -> bool:
        """Whether two calls with the same seed give the same z (False: it draws from a generator of its own)."""
        mu, logvar = torch.zeros(128, 2), torch.ones(128, 2)
        return torch.equal(self.z(mu, logvar, seed=11), self.z(mu, logvar, seed=11))

    def value(self, reply: Reply, shape: Sequence[int]) -> torch.Tensor:
        """The numbers of a z, float64, in `shape`; NotEarned when they are not there."""
        if not reply.is_tensor:
            raise NotEarned(no_tensor(reply))
        value, shape = values(reply), tuple(shape)
        if value.numel() != torch.Size(shape).numel():
            raise NotEarned(
                f"`reparameterize` returned {describe(reply)} where `mu` has the shape {shape[-2:]}; "
                "z has one entry for each entry of `mu`."
            )
        if not bool(torch.isfinite(value).all()):
            raise NotEarned(
                "z holds NaN or infinite values for ordinary `mu` and `logvar`; `logvar` is often negative, "
                "so look at what your formula does with a negative number."
            )
        if len(shape) > 1 and value.shape == (*shape[:-2], shape[-1], shape[-2]) != shape:
            value = value.transpose(-1, -2)
        return value.reshape(shape)

    # --- compute_vae_loss ---

    def loss(
        self,
        x: torch.Tensor,
        recon_x: torch.Tensor,
        mu: torch.Tensor,
        logvar: torch.Tensor,
        beta: float,
        *,
        seed: int = 5,
        **how: Any,
    ) -> Reply:
        """One call of `compute_vae_loss`; a stand-in model answers (recon_x, mu, logvar). `how` is as in `messages.Call`."""
        tensors = {"x": x, "recon_x": recon_x, "mu": mu, "logvar": logvar}
        reply = self.ask("loss", tensors, seed=seed, beta=beta, **how)
        if not reply.is_tensor or reply.shape != ():
            raise NotEarned(
                f"`compute_vae_loss` returned {describe(reply)}, and training needs one number: return the scalar tensor "
                "`recon + beta * kl`, with every average taken."
            )
        return reply

    def loss_value(self, *args: Any, **kwargs: Any) -> float:
        """The loss as a Python float; NotEarned when it is not finite."""
        return float(self.finite(self.loss(*args, **kwargs)))

    def loss_values(self, x: torch.Tensor, recon_x: torch.Tensor, cases: Sequence[Case], beta: float) -> list[float]:
        """The losses for several (mu, logvar), as Python floats; NotEarned when one is not finite."""
        found: list[float] = []
        for mu, logvar in stacked(cases):
            found += self.finite(self.loss(x, recon_x, mu, logvar, beta, each=LATENTS)).reshape(-1).tolist()
        return found

    def losses(self, *args: Any, n: int) -> torch.Tensor:
        """n losses from n different states of the generators, float64, (n,)."""
        starts = range(0, n, CHUNK)
        return torch.cat([self.finite(self.loss(*args, seed=5 + start, repeat=CHUNK)) for start in starts])

    @staticmethod
    def finite(reply: Reply) -> torch.Tensor:
        value = values(reply)
        if not bool(torch.isfinite(value).all()):
            raise NotEarned(
                "The loss is not a finite number (NaN or infinity) for ordinary values of `mu` and `logvar`; "
                "look for a logarithm of something that can be negative, or a division by zero."
            )
        return value

    @functools.cached_property
    def random_loss(self) -> bool:
        """Whether the loss depends on the state of the generators: a KL that is estimated from samples."""
        (x, recon_x), (mu, logvar) = probes.points(seed=45, batch=5), probes.latents(seed=45, shape=(5, 3))
        return self.loss_value(x, recon_x, mu, logvar, 1.0, seed=5) != self.loss_value(x, recon_x, mu, logvar, 1.0, seed=6)

    # --- for a complaint ---

    def in_words(self, call: Call, function: str) -> str:
        inputs = ", ".join(f"{name} {numbers(call.tensors[name])}" for name in LATENTS)
        if call.operation == "loss":
            same = torch.equal(call.tensors["x"], call.tensors["recon_x"])
            recon = "that reconstructs x perfectly" if same else "that reconstructs x imperfectly"
            beta = call.options["beta"]
            text = f"{function}(model, x, beta={beta:g}) with a model {recon} and encodes it as {inputs}"
        else:
            mode = "" if call.training else " in evaluation mode"
            text = f"{function}(mu, logvar){mode} with {inputs}"
        return text + how(call)


def moved(inputs: Mapping[str, torch.Tensor], name: str, places: Sequence[torch.Tensor]) -> list[Case]:
    """(mu, logvar) for each of the places, where the one of that name is."""
    return [tuple({**inputs, name: at}.values()) for at in places]


def no_tensor(reply: Reply) -> str:
    """The sentence for a `reparameterize` that returned something else than a tensor."""
    hint = {
        "NoneType": "end the method with `return z`",
        "tuple": "return z alone",
        "list": "return z alone",
        "Normal": "draw a sample from it, in a way that lets gradients through",
    }.get(reply.type, "return the tensor z")
    return f"`reparameterize` returned {describe(reply)}, and the decoder needs one tensor: {hint}."
