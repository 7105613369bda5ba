"""The hidden checks' only door to a submission: its two functions by name, calls going out, plain tensors coming back."""

import dataclasses
import enum
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from autograder.criteria import Asked
from autograder.errors import NotEarned, SubmissionError
from autograder.grading import pytorch
from autograder.grading.pytorch import CASES, CHUNK, close, describe, how, numbers, signs, stacked, values
from autograder.sandbox.inside.messages import Call, Reply
from autograder.vae_swiss_roll import assignment, probes
from autograder.vae_swiss_roll.noise import constant

LATENTS = ("mu", "logvar")
Case = Sequence[torch.Tensor]  # mu, logvar
Shape = tuple[int, int]  # batch, latent
OTHERS: list[Shape] = [(1, 2), (37, 2), (16, 3), (9, 5), (11, 1)]  # beside `probes.MAIN`
Gradients = tuple[Mapping[str, torch.Tensor], torch.Tensor, Reply]  # inputs, weights, reply
NOTHING = torch.empty(0)
SEED = 4  # of the calls with the same noise


class Student(pytorch.Student):
    """One submission, as the checks see it.

    Attributes:
        meets_scale, meets_centre: whether these criteria are met; None before anybody asked.
        explained: moment as of which definitions count → what is wrong with the loss, once somebody asked.
    """

    POLICIES = assignment.policies
    DEFINES = assignment.defines

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meets_scale: bool | None = None
        self.meets_centre: bool | None = None
        self.explained: dict[str, NotEarned] = {}
        self._same_noise: dict[tuple[str, Shape, int, bool], SameNoise | Asked] = {}
        self._gradients: dict[tuple[str, Shape, torch.dtype, bool], Gradients] = {}
        self._loss_in_brackets = False

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._loss_in_brackets:
            return super().notes
        return (*super().notes, "`compute_vae_loss` returns a tensor with one element; it is read as that number.")

    # --- reparameterize ---

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, **how: Any) -> Reply:
        """One call of `reparameterize`, by default on a fresh instance; `how` is as in `messages.Call`."""
        tensors = {"mu": mu, "logvar": logvar}
        return self.ask("reparameterize", tensors, seed=seed, latent_dim=mu.shape[-1], **how)

    def zs(self, cases: Sequence[Case], seed: int) -> torch.Tensor:
        """The values of calls with several (mu, logvar) and the same noise, float64, (n, *mu.shape)."""
        parts = []
        for mu, logvar in stacked(cases):
            shared = tuple(mu.shape[1:]) == probes.MAIN and self.keeps_nothing
            reply = self.reparameterize(mu, logvar, seed, each=LATENTS, one_instance=shared)
            parts.append(self.value(reply, mu.shape).reshape(mu.shape))
        return torch.cat(parts)

    def z(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, **how: Any) -> torch.Tensor:
        """The value of one call, float64, in the shape of mu; NotEarned where there is no such value."""
        return self.value(self.reparameterize(mu, logvar, seed, **how), mu.shape)

    def draw(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, n: int, **how: Any) -> list[Reply]:
        """n calls of one instance, 32 in each reply, 64 of small batches; n is a multiple of that."""
        most = chunk(mu)
        return [
            self.reparameterize(mu, logvar, seed + start, repeat=most, same_instance=start > 0, **how)
            for start in range(0, n, most)
        ]

    def drawn(self, replies: Sequence[Reply], mu: torch.Tensor) -> torch.Tensor:
        """The values of calls that were made with `draw`, float64, (n, *mu.shape)."""
        return torch.cat([self.value(reply, (chunk(mu), *mu.shape)) for reply in replies])

    def draws(self, mu: torch.Tensor, logvar: torch.Tensor, seed: int, n: int, **how: Any) -> torch.Tensor:
        """The values of n calls of one instance, float64, (n, *mu.shape); n is as for `draw`."""
        return self.drawn(self.draw(mu, logvar, seed, n, **how), mu)

    def gradients(self, shape: Shape, dtype: torch.dtype, second_call: bool = False) -> "Gradients":
        """(inputs, weights, reply) of a call with gradients of sum(weights · z): the same one for both criteria.

        Args:
            second_call: whether it is made on the instance that was called last.
        """
        key = self.at, shape, dtype, second_call
        if key not in self._gradients:
            mu, logvar = probes.latents(seed=8, shape=shape, dtype=dtype)
            weights = signs(seed=9, shape=shape, dtype=dtype)
            how = {"gradients": True, "weights": weights, "same_instance": second_call}
            reply = self.reparameterize(mu, logvar, seed=10, **how)
            self._gradients[key] = {"mu": mu, "logvar": logvar}, weights, reply
        return self._gradients[key]

    def same_noise(self, shape: Shape, seed: int = SEED, second_call: bool = False) -> "SameNoise":
        """Calls at one width and batch size that differ in mu and logvar alone.

        Args:
            second_call: whether they are made on an instance that was called before; a fresh one for each otherwise.

        Raises:
            SubmissionError: one of them did not return.
        """
        key = self.at, shape, seed, second_call
        found = self._same_noise.get(key)
        if found is None:
            try:
                found = SameNoise.ask(self, *key[1:])
            except SubmissionError:
                self._same_noise[key] = self.record.calls[-1]
                raise
            self._same_noise[key] = found
        asked = found if isinstance(found, Asked) else found.asked
        if not any(asked is one for one in self.record.calls):  # once in each criterion's evidence
            self.record.calls.append(asked)
        if isinstance(found, Asked):
            assert found.error is not None
            raise found.error
        return found

    def everywhere(self) -> Iterator["SameNoise"]:
        """`same_noise` with the usual width and batch size, and with those others at which the calls work.

        What works at the usual ones alone costs the criterion `tensor`, and no other.

        Raises:
            SubmissionError, NotEarned: there are no such values with the usual ones.
        """
        yield self.same_noise(probes.MAIN).checked(self)
        try:
            again = self.same_noise(probes.MAIN, second_call=True)
            # An instance may hold a generator that goes on from call to call.
            if again.reply.is_tensor and torch.equal(*values(again.reply).nan_to_num()[2:]):
                yield again.checked(self)
        except (SubmissionError, NotEarned):
            pass  # the criterion `noise` is judged on many calls of one instance
        for shape in OTHERS:
            try:
                yield self.same_noise(shape).checked(self)
            except (SubmissionError, NotEarned):
                continue

    @functools.cached_property
    def keeps_nothing(self) -> bool:
        """Whether a model that was called before gives what a fresh one gives, at the usual width and batch size.

        Then calls there may share one, which is quicker.
        """
        try:
            first, again = (self.same_noise(probes.MAIN, second_call=called).reply for called in (False, True))
        except SubmissionError:
            return False
        return first.is_tensor and again.is_tensor and torch.equal(values(first).nan_to_num(), values(again).nan_to_num())

    @functools.cached_property
    def follows_seed(self) -> bool:
        """Whether two calls with the same seed give the same z (False: it draws from a generator of its own)."""
        reply = self.same_noise(probes.MAIN).reply
        if not reply.is_tensor:
            raise NotEarned(*no_tensor(reply))
        return torch.equal(*values(reply).nan_to_num()[2:])

    @functools.cached_property
    def without_noise(self) -> bool:
        """Whether z is one number, whatever the entry and the seed, where mu is 0 and logvar 1."""
        at_one = self.same_noise(probes.MAIN).checked(self).at_one
        if not constant(at_one):
            return False
        return close(at_one, self.z(torch.zeros(probes.MAIN), torch.ones(probes.MAIN), seed=7))

    def value(self, reply: Reply, shape: Sequence[int]) -> torch.Tensor:
        """The numbers of a z, float64, in `shape`; NotEarned when they are not there."""
        if not reply.is_tensor:
            raise NotEarned(*no_tensor(reply))
        value, shape = values(reply), tuple(shape)
        if value.numel() != torch.Size(shape).numel():
            raise wrong_shape(reply, shape[-2:])
        if not bool(torch.isfinite(value).all()):
            raise not_finite(shape)
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
        if not reply.is_tensor or torch.Size(reply.shape or ()).numel() != 1:
            raise no_number(reply, len(x))
        self._loss_in_brackets |= reply.shape != ()
        return reply

    def loss_value(self, *args: Any, **kwargs: Any) -> float:
        """The loss as a Python float; NotEarned when it is not finite."""
        return float(self.finite(self.loss(*args, **kwargs)))

    def loss_values(
        self, x: torch.Tensor, recon_x: torch.Tensor, cases: Sequence[Case], beta: float, most: int = CASES
    ) -> list[float]:
        """The losses for several (mu, logvar), as Python floats; NotEarned when one is not finite."""
        found: list[float] = []
        for mu, logvar in stacked(cases, most):
            found += self.finite(self.loss(x, recon_x, mu, logvar, beta, each=LATENTS)).reshape(-1).tolist()
        return found

    def losses(self, *args: Any, n: int) -> torch.Tensor:
        """n losses from n different states of the generators, float64, (n,)."""
        starts = range(0, n, CHUNK)
        return torch.cat([self.finite(self.loss(*args, seed=5 + start, repeat=CHUNK)).reshape(-1) for start in starts])

    @staticmethod
    def finite(reply: Reply) -> torch.Tensor:
        value = values(reply)
        if not bool(torch.isfinite(value).all()):
            raise NotEarned(
                "The loss is not a finite number (NaN or infinity) for ordinary values of `mu` and `logvar`; "
                "look for a logarithm of something that can be negative, or a division by zero.",
                "not_finite",
            )
        return value

    @functools.cached_property
    def varies(self) -> "Varies":
        """On what the loss depends besides its arguments."""
        (x, recon_x), (mu, logvar) = probes.points(seed=45, batch=probes.BATCH), probes.latents(seed=45)
        first, again, other = (self.loss_value(x, recon_x, mu, logvar, 1.0, seed=seed) for seed in (5, 5, 6))
        if first == again:
            return Varies.NOT if first == other else Varies.BY_CHANCE
        steps = self.losses(x, recon_x, mu, logvar, 1.0, n=CHUNK).diff()
        # Of 32 numbers drawn by chance all are in order once in 32!/2.
        steady = bool((steps >= 0).all()) or bool((steps <= 0).all())
        return Varies.WITH_EACH_CALL if steady else Varies.BY_CHANCE

    @property
    def random_loss(self) -> bool:
        """Whether the loss depends on the state of the generators: a KL that is estimated from samples."""
        return self.varies == Varies.BY_CHANCE

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


def chunk(mu: torch.Tensor) -> int:
    """How many draws one call may make."""
    return CHUNK if len(mu) == probes.BATCH else 2 * CHUNK


def moved(inputs: Mapping[str, torch.Tensor], name: str, places: Sequence[torch.Tensor]) -> list[Case]:
    """(mu, logvar) for each of the places, where the one of that name is."""
    return [tuple({**inputs, name: at}.values()) for at in places]


class Varies(enum.Enum):
    """On what a loss depends besides its arguments."""

    NOT = "nothing"
    BY_CHANCE = "random numbers"
    WITH_EACH_CALL = "how often it was called"


@dataclasses.dataclass(frozen=True)
class SameNoise:
    """z at one width and batch size with the same seed, float64, shape (batch, latent) each.

    Attributes:
        asked: the call and the reply; the form is the last case's.
        second_call: whether the instance was called before.
        where: under which circumstances, for a sentence; "" where they are the usual ones.
        mu, logvar: (batch, latent).
        at_one: where mu is 0 and logvar 1.
        at_zero: where mu is 0, for logvar.
        z: for mu and logvar.
    """

    asked: Asked
    second_call: bool
    where: str
    mu: torch.Tensor
    logvar: torch.Tensor
    at_one: torch.Tensor = NOTHING
    at_zero: torch.Tensor = NOTHING
    z: torch.Tensor = NOTHING

    @classmethod
    def ask(cls, student: Student, shape: Shape, seed: int, second_call: bool) -> "SameNoise":
        mu, logvar = probes.latents(seed=2, shape=shape, logvar_from=probes.SPREAD_FROM)
        zero, one = torch.zeros(shape), torch.ones(shape)
        cases: list[Case] = [(zero, one), (zero, logvar), (mu, logvar)]
        if shape == probes.MAIN:
            cases.append((mu, logvar))  # once more: `follows_seed`
        ((mus, logvars),) = stacked(cases)
        if second_call:
            student.reparameterize(mu, logvar, seed=seed + 1)
        student.reparameterize(mus, logvars, seed=seed, each=LATENTS, same_instance=second_call)
        where = "From the second call of a model on: " if second_call else "" if shape == probes.MAIN else at(shape)
        return cls(student.record.calls[-1], second_call, where, mu, logvar)

    @property
    def reply(self) -> Reply:
        assert self.asked.reply is not None
        return self.asked.reply

    def checked(self, student: Student) -> "SameNoise":
        """With the numbers; NotEarned where they are not there."""
        z = student.value(self.reply, (self.asked.call.cases, *self.mu.shape))
        return dataclasses.replace(self, at_one=z[0], at_zero=z[1], z=z[2])


def at(shape: Sequence[int]) -> str:
    """ "With 16 points and 3 latent dimensions: " """
    batch, latent = shape
    return f"With {batch} point{'s' * (batch > 1)} and {latent} latent dimension{'s' * (latent > 1)}: "


def not_finite(shape: Sequence[int]) -> NotEarned:
    """For a z that holds NaN or infinite values, where mu has that shape."""
    if tuple(shape[-2:]) == probes.MAIN:
        where, hint = "", "`logvar` is often negative, so look at what your formula does with a negative number"
    else:
        where, hint = at(shape[-2:]), "look for a division, or a spread, that needs more points than there are"
    return NotEarned(f"{where}z holds NaN or infinite values for ordinary `mu` and `logvar`: {hint}.", "not_finite")


def no_tensor(reply: Reply) -> tuple[str, str]:
    """The sentence for a `reparameterize` that returned something else than a tensor, and its name."""
    hint, name = {
        "NoneType": ("end the method with `return z`", "returns_nothing"),
        "tuple": ("return z alone", "returns_tuple"),
        "list": ("return z alone", "returns_tuple"),
        "Normal": ("draw a sample from it, in a way that lets gradients through", "returns_a_distribution"),
    }.get(reply.type, ("return the tensor z", "no_tensor"))
    return f"`reparameterize` returned {describe(reply)}, and the decoder needs one tensor: {hint}.", name


def wrong_shape(reply: Reply, shape: Sequence[int]) -> NotEarned:
    """For a z that has not the shape of mu."""
    found, name = reply.shape or (), "wrong_shape"
    if len(found) == 2 and found[0] == shape[0]:
        name = "wrong_width"
    return NotEarned(
        f"For `mu` of shape {tuple(shape)}, z came back as {describe(reply)}; z has one entry for each entry of `mu`, whatever "
        "the batch size and the number of latent dimensions.",
        name,
        section="Task 1",
    )


def no_number(reply: Reply, batch: int) -> NotEarned:
    """For a loss that is not one number."""
    name, hint = "no_tensor", "return the scalar tensor `recon + beta * kl`"
    if reply.is_tensor:
        name, hint = "wrong_shape", "take the average over everything that is left"
        if (reply.shape or ())[:1] == (batch,):
            name = "one_number_per_point"
            hint = "what you return still has a number for each point, and their average is missing"
    elif reply.type == "NoneType":
        name, hint = "returns_nothing", "end the function with `return recon + beta * kl`"
    elif reply.type in ("tuple", "list"):
        name, hint = "returns_tuple", "return `recon + beta * kl` alone"
    elif reply.type in ("float", "int"):
        name, hint = "plain_number", "leave out `.item()` or `float`, which cut the loss off from autograd"
    return NotEarned(f"`compute_vae_loss` returned {describe(reply)}, and training needs a tensor of one number: {hint}.", name)
