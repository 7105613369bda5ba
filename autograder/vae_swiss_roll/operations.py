"""How this assignment's two functions are called, in the worker, beside the student's code.

The engine (`sandbox/inside/pytorch.py`) does the rest. Nothing here knows what a right answer is: the stand-in model returns
what it is told, and judging is done elsewhere. This file is all of the assignment that reaches a worker.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from autograder.sandbox.inside.pytorch import Inputs, Names, Operation

Elementary = Sequence[Callable[[torch.Tensor], torch.Tensor]]


class Reparameterize:
    """`VAE.reparameterize(mu, logvar)` on a fresh instance; mu and logvar (batch, latent).

    Options: latent_dim.
    """

    is_model = True
    gradients_to = ("mu", "logvar")

    def target(self, names: "Names", options: Mapping[str, Any]) -> Any:
        """A model; small, since the layers play no part in what is asked."""
        cls, latent_dim = names["VAE"], options["latent_dim"]
        for arguments in ({"latent_dim": latent_dim, "hidden_dim": 4}, {"latent_dim": latent_dim}, {}):
            try:
                model = cls(**arguments)
                break
            except Exception:
                if not arguments:
                    raise
        return model

    def call(self, target: Any, inputs: "Inputs", options: Mapping[str, Any]) -> Any:
        return target.reparameterize(inputs.hand("mu"), inputs.hand("logvar"))


class Loss:
    """`compute_vae_loss(model, x, beta)` with a stand-in model; x and recon_x (batch, width), mu and logvar (batch, latent).

    Options: beta.
    """

    is_model = False
    gradients_to = ("mu", "logvar", "recon_x")

    def target(self, names: "Names", options: Mapping[str, Any]) -> Any:
        return names["compute_vae_loss"]

    def call(self, target: Any, inputs: "Inputs", options: Mapping[str, Any]) -> Any:
        return target(StandIn(inputs), inputs["x"].clone(), options["beta"])


OPERATIONS: "dict[str, Operation]" = {"reparameterize": Reparameterize(), "loss": Loss()}


class StandIn(nn.Module):
    """A model that answers with chosen numbers, whichever way it is asked.

    Its numbers are parameters, and every answer is a new tensor made from them, as a real network's would be. Asked about some
    of the points, in any order, it answers for those; about other points, with other numbers. It decodes what was encoded last:
    all at once, several times over, or piece by piece.
    """

    LAYERS = frozenset({"encoder", "decoder", "fc_mu", "fc_logvar"})

    def __init__(self, inputs: "Inputs") -> None:
        super().__init__()
        self._inputs, self._last = inputs, Encoded()
        self.x, self.recon_x, self.mu, self.logvar = (inputs[name] for name in ("x", "recon_x", "mu", "logvar"))
        self.latent_dim = self.mu.shape[1]

    def __getattr__(self, name: str) -> Any:
        """A layer is made when it is asked for: few answers do, and making all takes longer than an answer works."""
        if name in self.LAYERS and name not in self._modules:
            setattr(self, name, self.layer(name))
        return super().__getattr__(name)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """All layers, for whoever goes through them."""
        self.make_layers()
        return super().named_children()

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:
        self.make_layers()
        found: Iterator[tuple[str, nn.Module]] = super().named_modules(*args, **kwargs)
        return found

    def make_layers(self) -> None:
        for name in sorted(self.LAYERS):
            getattr(self, name)

    def layer(self, name: str) -> nn.Module:
        if name == "encoder":
            return nn.Identity()
        if name == "decoder":
            return Layer(self.decode, self.mu, self.x)
        latent = name.removeprefix("fc_")
        return Layer(lambda h: self.hand_out(latent, h), self.x, self._inputs[latent])

    def rows(self, x: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        if hasattr(x, "fake_mode"):
            return of * 1
        if x.dim() == 1:
            return self.rows(x.unsqueeze(0), of)[0]
        self._last.rows, self._last.decoded = None, 0
        if x.shape == self.x.shape and torch.equal(x.detach(), self.x):  # as nearly always, and sooner
            return of * 1
        gap, nearest = (x.detach().to(self.x).unsqueeze(1) - self.x).abs().amax(dim=2).min(dim=1)
        self._last.rows = nearest
        return of[nearest] + (gap > 0.01).to(of).unsqueeze(1)

    def hand_out(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self._inputs.watch(name, self.rows(x, self._inputs[name]))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.hand_out("mu", x), self.hand_out("logvar", x)

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        return mu + torch.randn_like(mu)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(self.x)) if self._last.rows is None else self._last.rows
        count, known = len(z), len(rows)
        if hasattr(z, "fake_mode") or z.dim() != 2 or (count > known and count % known):
            return self.recon_x * 1
        rows = rows.repeat(max(count // known, 1))
        if count < known:
            rows = rows.roll(-self._last.decoded)[:count]
            self._last.decoded += count
        return self.recon_x[rows]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mu, logvar = self.encode(x)
        return self.rows(x, self.recon_x), mu, logvar


class Encoded:
    """What the stand-in has encoded last; not attributes of its own, which an nn.Module takes long to set.

    Attributes:
        rows: of its points, (n,); None for all of them.
        decoded: how many of them have been decoded.
    """

    rows: torch.Tensor | None = None
    decoded = 0


class Layer(nn.Module):
    """A layer of the stand-in, with a real one's attributes."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor], given: torch.Tensor, returned: torch.Tensor) -> None:
        super().__init__()
        self.answer, self.in_features, self.out_features = answer, given.shape[1], returned.shape[1]

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.answer(value)


# --- rehearsal -------------------------------------------------------------------------------------------------------


def rehearsal(elementary: Elementary) -> tuple[dict[str, Any], list[tuple[str, dict[str, torch.Tensor], dict[str, Any]]]]:
    """What a notebook could define, and calls of it with the shapes of the checks; see the engine's `rehearse`."""

    class VAE(nn.Module):
        """Stands for a student's model, with the layers of the lesson's."""

        def __init__(self, latent_dim: int, hidden_dim: int) -> None:
            super().__init__()
            self.encoder, self.decoder = self.three_layers(2, hidden_dim), self.three_layers(latent_dim, hidden_dim)
            self.ends = nn.ModuleList(nn.Linear(hidden_dim, n) for n in (latent_dim, latent_dim, 2))

        @staticmethod
        def three_layers(given: int, hidden_dim: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(given, hidden_dim), *(nn.Linear(hidden_dim, hidden_dim) for _ in range(2)))

        def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
            """The sum of what elementary operations make of mu; it means nothing."""
            return sum((operation(mu) for operation in elementary), logvar)

    def compute_vae_loss(model: StandIn, x: torch.Tensor, beta: float) -> torch.Tensor:
        """The same, of all that the model answers and of a single number."""
        answers = [x - answer if answer.shape == x.shape else answer for answer in model(x)]
        values = (*answers, answers[0].mean())
        return torch.stack([operation(value).mean() for value in values for operation in elementary]).sum() * beta

    def tensors(*shape: int) -> dict[str, torch.Tensor]:
        latents, points = torch.ones(shape), torch.ones(shape[0], 2)
        return {"mu": latents, "logvar": latents + 1, "x": points, "recon_x": points + 1}

    calls: list[tuple[str, dict[str, torch.Tensor], dict[str, Any]]] = [
        ("reparameterize", tensors(37, 2), {"latent_dim": 2}),
        ("loss", tensors(5, 3), {"beta": 0.5}),
    ]
    return {"VAE": VAE, "compute_vae_loss": compute_vae_loss}, calls
