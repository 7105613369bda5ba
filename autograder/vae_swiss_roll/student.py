"""The hidden checks' only door to a submission: calls go out, plain tensors come back."""

import dataclasses
import functools

import torch

from autograder.errors import BadReply, NotCallable, Raised, SubmissionError
from autograder.rubric import NotEarned, Record
from autograder.vae_swiss_roll import probes
from autograder.vae_swiss_roll.policies import POLICIES

CASES = 8  # of different arguments in one call, for the same reason as:
CHUNK = 32  # repeated draws in one call, so that a slow answer does not meet the time limit of a call


@dataclasses.dataclass
class Returned:
    """What one call returned, as data.

    Attributes:
        type: "tensor", or the class name of something else.
        length: of a tuple or list, else None.
        shape, dtype, device: of a tensor, else None.
        tensors: by name: "value", "grad_mu", "grad_logvar", "tail", where they came back.
        changed: those of "mu" and "logvar" that the call changed in place.
        seed_kept: False when the call seeded torch's generator anew.
        fixed_device: True when the call failed without a GPU and worked with every "cuda" read as "cpu".
    """

    type: str
    length: int | None
    shape: tuple | None
    dtype: str | None
    device: str | None
    tensors: dict
    changed: frozenset = frozenset()
    seed_kept: bool = True
    fixed_device: bool = False
    backward: bool = False

    @property
    def is_tensor(self):
        return self.type == "tensor"

    def values(self):
        """The tensor's numbers; BadReply when it came without them (sparse, fake, on no real device)."""
        if "value" not in self.tensors:
            raise BadReply("a tensor without numbers")
        return self.tensors["value"]


class Student:
    """One submission, as the checks see it.

    Args:
        call: `call(header, tensors)` → (reply, tensors), raising a SubmissionError; see `calls.py` for the headers.
        cuda: whether the worker has a GPU. Without one, `other_device` is the pretend one.
        policies: name → whether the arguable thing is accepted, for those of `policies.py` that differ from their default.
        seed: added to the seed of every call. Marks use 0; other values show that they do not depend on it.

    Attributes:
        record: `Record` of the check that runs: each call and what it returned, for a complaint.
        meets_scale: whether the criterion `scale` is met; None before anybody asked.
    """

    def __init__(self, call, cuda=False, policies=None, seed=0):
        self._call, self._seed = call, seed
        self.other_device = "cuda" if cuda else "pretend"
        self.policies = {policy.name: policy.default for policy in POLICIES} | dict(policies or {})
        self.changed_globals = set()
        self.record = Record()
        self.meets_scale = None

    @property
    def notes(self):
        """Sentences about what the submission changed globally; it was put back for each call and costs nothing by itself."""
        if not self.changed_globals:
            return ()
        what = " and ".join(GLOBALS[name] for name in sorted(self.changed_globals))
        return (f"The notebook changes {what}, for everything that runs after it; the checks put it back for each call.",)

    # --- reparameterize ---

    def reparameterize(self, mu, logvar, seed, *, repeat=1, device="cpu", weights=None, training=True, same_instance=False):
        """One call (or `repeat` calls) on a fresh instance with the generators seeded first. → Returned

        With mu and logvar of shape (cases, batch, latent) it is called for one case after the other, each on a fresh instance.
        With `same_instance` it is the instance of the call before, if the worker still has one.
        """
        header = {"op": "reparameterize", "seed": seed, "latent_dim": mu.shape[-1], "repeat": repeat, "device": device}
        header |= {"training": training, "same_instance": same_instance}
        tensors = {"mu": mu, "logvar": logvar}
        if weights is not None:
            tensors["weights"] = weights
        return self._ask(header, tensors)

    def zs(self, cases, seed):
        """The values of calls with several (mu, logvar) and the same noise, float64, (n, *mu.shape)."""
        parts = []
        for mu, logvar in stacked(cases):
            parts.append(self.value(self.reparameterize(mu, logvar, seed), mu.shape).reshape(mu.shape))
        return torch.cat(parts)

    def z(self, mu, logvar, seed):
        """The value of one call, float64, in the shape of mu; NotEarned where there is no such value."""
        return self.value(self.reparameterize(mu, logvar, seed), mu.shape)

    def draws(self, mu, logvar, seed, n, *, training=True):
        """The values of n calls of one instance, float64, (n, *mu.shape); n is a multiple of 32."""
        parts = []
        for start in range(0, n, CHUNK):
            how = {"repeat": CHUNK, "training": training, "same_instance": start > 0}
            parts.append(self.value(self.reparameterize(mu, logvar, seed + start, **how), (CHUNK, *mu.shape)))
        return torch.cat(parts)

    @functools.cached_property
    def follows_seed(self):
        """Whether two calls with the same seed give the same z (False: it draws from a generator of its own)."""
        mu, logvar = torch.zeros(128, 2), torch.ones(128, 2)
        return torch.equal(self.z(mu, logvar, seed=11), self.z(mu, logvar, seed=11))

    # --- compute_vae_loss ---

    def loss(self, x, recon_x, mu, logvar, beta, *, gradients=False, device="cpu", seed=5, repeat=1):
        """One call (or `repeat` calls) of compute_vae_loss; a stand-in model answers (recon_x, mu, logvar). → Returned

        With mu and logvar of shape (cases, batch, latent) it is called for one case after the other.
        """
        header = {"op": "loss", "seed": seed, "beta": beta, "gradients": gradients, "repeat": repeat, "device": device}
        returned = self._ask(header, {"x": x, "recon_x": recon_x, "mu": mu, "logvar": logvar})
        if not returned.is_tensor or returned.shape != ():
            raise NotEarned(
                f"`compute_vae_loss` returned {describe(returned)}, and training needs one number: return the scalar tensor "
                "`recon + beta * kl`, with every average taken."
            )
        return returned

    def loss_value(self, *args, **kwargs):
        """The loss as a Python float; NotEarned when it is not finite."""
        return float(self.finite(self.loss(*args, **kwargs)))

    def loss_values(self, x, recon_x, cases, beta):
        """The losses for several (mu, logvar), as Python floats; NotEarned when one is not finite."""
        found = []
        for mu, logvar in stacked(cases):
            found += self.finite(self.loss(x, recon_x, mu, logvar, beta)).reshape(-1).tolist()
        return found

    def losses(self, *args, n, **kwargs):
        """n losses from n different states of the generators, float64, (n,)."""
        parts = [self.finite(self.loss(*args, **kwargs, seed=5 + start, repeat=CHUNK)) for start in range(0, n, CHUNK)]
        return torch.cat(parts)

    @staticmethod
    def finite(returned):
        value = returned.values().double()
        if not bool(torch.isfinite(value).all()):
            raise NotEarned(
                "The loss is not a finite number (NaN or infinity) for ordinary values of `mu` and `logvar`; "
                "look for a logarithm of something that can be negative, or a division by zero."
            )
        return value

    @functools.cached_property
    def random_loss(self):
        """Whether the loss depends on the state of the generators: a KL that is estimated from samples."""
        (x, recon_x), (mu, logvar) = probes.points(seed=45, batch=5), probes.latents(seed=45, shape=(5, 3))
        return self.loss_value(x, recon_x, mu, logvar, 1.0, seed=5) != self.loss_value(x, recon_x, mu, logvar, 1.0, seed=6)

    # --- the wire ---

    def value(self, returned, shape):
        """The numbers of a z, float64, in `shape`; NotEarned when they are not there."""
        if not returned.is_tensor:
            raise NotEarned(no_tensor(returned))
        value = returned.values().double()
        if value.numel() != torch.Size(shape).numel():
            raise NotEarned(
                f"`reparameterize` returned {describe(returned)} where `mu` has the shape {tuple(shape[-2:])}; "
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

    def _ask(self, header, tensors):
        header = {**header, "seed": header["seed"] + self._seed}
        asked = self.record.call(header, tensors)
        try:
            asked.returned = self._answer(header, tensors)
        except SubmissionError as error:
            asked.error = error
            raise
        return asked.returned

    def _answer(self, header, tensors):
        # safetensors refuses tensors that share memory, as mu and logvar do when a check passes the same one twice
        reply, returned = self._call(header, {name: tensor.clone() for name, tensor in tensors.items()})
        changed = reply.get("globals", [])
        if isinstance(changed, list):
            self.changed_globals |= {name for name in changed if name in GLOBALS}
        if "raised" in reply:
            raise raised(reply["raised"])
        cases = len(tensors["mu"]) if tensors["mu"].dim() == 3 else 1
        return read(reply, returned, header["repeat"] * cases)


def stacked(cases):
    """(mu, logvar), both (up to CASES, batch, latent), for a list of (mu, logvar)."""
    for start in range(0, len(cases), CASES):
        yield (torch.stack(parts) for parts in zip(*cases[start : start + CASES], strict=True))


GLOBALS = {
    "default_dtype": "torch's default dtype",
    "grad_mode": "whether torch records gradients",
    "threads": "the number of torch's threads",
    "default_device": "torch's default device",
}


def raised(found):
    """The SubmissionError for the worker's description of an exception."""
    if not isinstance(found, dict):
        raise BadReply("an exception without a description")

    def text(name, size):
        value = found.get(name)
        return value[:size] if isinstance(value, str) else ""

    kind, message = text("kind", 60), text("text", 2000)
    if kind == "NameError" and message in ("name 'VAE' is not defined", "name 'compute_vae_loss' is not defined"):
        return NotCallable(message.split("'")[1])
    return Raised(
        kind=kind if found.get("ours") is True else "",
        text=message,
        line=text("line", 300) or None,
        device=found.get("device") is True,
    )


def read(reply, tensors, repeat):
    """A `Returned` from a reply, or BadReply: everything is checked, since the student's process wrote it."""
    found = reply.get("returned")
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise BadReply("a reply without a description of what was returned")
    if found["type"] != "tensor":
        length = found.get("length")
        length = length if isinstance(length, int) else None
        return Returned(found["type"][:60], length, None, None, None, {})
    shape, dtype, device = found.get("shape"), found.get("dtype"), found.get("device")
    if (
        not (isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape))
        or not isinstance(dtype, str)
        or not isinstance(device, str)
    ):
        raise BadReply("a tensor without shape, dtype and device")
    shape = tuple(shape)
    changed = reply.get("changed", [])
    if not isinstance(changed, list):
        raise BadReply("no list of what was changed")
    if "value" in tensors:
        expected = shape if repeat == 1 else (repeat, *shape)
        value = tensors["value"]
        if tuple(value.shape) != expected or not (value.is_floating_point() or value.dtype in INTEGERS):
            raise BadReply("a tensor that is not what its description says")
    return Returned(
        "tensor",
        None,
        shape,
        dtype[:20],
        device[:10],
        tensors,
        changed=frozenset(name for name in ("mu", "logvar") if name in changed),
        seed_kept=reply.get("seed_kept") is not False,
        fixed_device="pretended" in reply,
        backward=reply.get("backward") is True,
    )


INTEGERS = {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool}


def describe(returned):
    """What was returned, in words; only words of ours and of torch."""
    if returned.is_tensor:
        return f"a tensor of shape {returned.shape}"
    if returned.type == "NoneType":
        return "nothing (`None`)"
    if returned.length is not None:
        return f"a {'tuple' if returned.type == 'tuple' else 'list'} of {returned.length}"
    known = {"float": "a plain Python number", "int": "a plain Python number", "ndarray": "a numpy array"}
    known |= {name: f"a distribution object (`{name}`)" for name in ("Normal", "Independent", "MultivariateNormal")}
    return known.get(returned.type, "something that is not a tensor")


def no_tensor(returned):
    """The sentence for a `reparameterize` that returned something else than a tensor."""
    hint = {
        "NoneType": "end the method with `return z`",
        "tuple": "return z alone",
        "list": "return z alone",
        "Normal": "draw a sample from it, in a way that lets gradients through",
    }.get(returned.type, "return the tensor z")
    return f"`reparameterize` returned {describe(returned)}, and the decoder needs one tensor: {hint}."
