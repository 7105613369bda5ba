"""Which criteria an answer breaks, by what it does: a second opinion for `autograder selftest --slips`, and no part of marking.

It shares nothing with the hidden checks: other inputs, widths, batch sizes, seeds and statistics, all in float64 and in this
process, since the code is ours. What each criterion means, exactly:

    tensor            z is a finite tensor like mu at every width and batch size, in float32 and float64, on a CPU and on a
                      GPU; mu and logvar stay as they were
    centre            with the same noise, z moves with mu one to one
    scale             the factor on the noise is σ at every logvar from −7 to 4, where there is noise; a constant factor is the
                      noise's; where no place of (128, 2) has noise there is no scale
    noise             at mu = 0, logvar = 1: standard normal, independent over calls, rows and dimensions, at all widths; of
                      unit spread where `scale` holds (where not, it may be what makes entries and calls differ in size); no
                      generator is seeded; the same in evaluation mode, or mu
    gradient_mu, gradient_logvar
                      autograd's is the derivative of what is returned, and at (128, 2) is not zero
    prior             the KL is 0 at the prior, beside its own size, and positive elsewhere
    value             recon + beta · KL under one accepted average, at all widths, batch sizes and betas, on a CPU and on a GPU
    gradient          as above, to mu, logvar and recon_x; mu and logvar stay as they were; no `backward` inside

A call that raises, or returns another shape or NaN, at some widths or batch sizes costs `tensor` (`value`) alone, and the other
criteria are judged on the calls that work; (128, 2) has to. Each criterion holds for the second call of an instance, too.
"""

import contextlib
import functools
import io
import math
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode

from autograder.errors import BadReply

CRITERIA = {
    "reparameterize": ("tensor", "centre", "scale", "noise", "gradient_mu", "gradient_logvar"),
    "kl_divergence": ("prior", "value", "gradient"),
}
ALWAYS = (128, 2)
# None is square: a transposed result would not show.
SHAPES = [ALWAYS, (1, 2), (65, 2), (40, 1), (6, 3), (1, 3), (33, 4), (5, 7)]  # (batch, latent)
LOW, HIGH, FAR = -8.0, 4.0, 5.0  # logvar, and |mu|
NARROWEST = -7.0  # logvar of the noise of which the scale is judged
RELATIVE, OF_SCALE, OF_KL = 1e-3, 2e-4, 1e-4  # what counts as right: of σ, and of each latent variable's KL
BETAS = (0.0, 0.3, 1.0, 2.5, 4.0)
Case = tuple[torch.Tensor, torch.Tensor]  # mu, logvar


class Borderline(Exception):
    """An answer so near a tolerance that no check need agree."""


def broken(target: str, code: str) -> frozenset[str] | None:
    """The criteria of the task `target` that `code` breaks; None where it is so near a tolerance that no check need agree."""
    # Whatever a code makes of devices is `tensor`'s and `value`'s alone; for the others there is one device.
    on_one = compile(without_devices(code), "answer", "exec")
    before = torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_num_threads()
    torch.set_num_threads(1)
    judge = of_reparameterize if target == "reparameterize" else of_loss
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return frozenset(judge(code, on_one))
    except Borderline:
        return None
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
        torch.set_num_threads(before[3])


def without_devices(code: str) -> str:
    code = (
        CUDA_CALL.sub("", code).replace(", device=mu.get_device()", "").replace("torch.cuda.FloatTensor", "torch.FloatTensor")
    )
    return CUDA.sub('"cpu"', code)


CUDA, CUDA_CALL = re.compile("""(["'])cuda\\1"""), re.compile(r"\.cuda\((\w+\.get_device\(\))?\)")


def defined(code: CodeType, name: str, gpu: bool = False) -> Any:
    """The function of that name, in a namespace such as the notebook's."""
    names = {
        "__name__": "__main__",
        "torch": torch,
        "nn": nn,
        "np": np,
        "math": math,
        "device": torch.device("cuda:0" if gpu else "cpu"),
    }
    exec(code, names)
    return names[name]


def seed(number: int) -> None:
    torch.default_generator.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def inputs(number: int, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Case:
    """mu and logvar over the whole range."""
    g = np.random.default_rng([7, number, *shape])
    mu, logvar = g.uniform(-FAR, FAR, shape), g.uniform(LOW, HIGH, shape)
    return torch.tensor(mu).to(dtype), torch.tensor(logvar).to(dtype)


def directions(number: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.tensor(np.random.default_rng([11, number, *shape]).choice([-1.0, 1.0], tuple(shape)))


# --- reparameterize --------------------------------------------------------------------------------------------------


class Model(nn.Module):
    """What `self` is in a student's `reparameterize`. Its weights are on `device`; fake ones cannot be registered."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.weights = [torch.zeros(1, device=device)]

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        return iter(self.weights)


class Sampler:
    """`reparameterize` on instances of its own.

    Args:
        dtype: of the inputs.
        before: how many calls each instance has seen before the one that counts.
    """

    def __init__(self, code: CodeType, dtype: torch.dtype = torch.float64, before: int = 0) -> None:
        self.code, self.dtype, self.before = code, dtype, before

    def instance(self, training: bool = True) -> Any:
        function = defined(self.code, "reparameterize")
        return type("VAE", (Model,), {"reparameterize": function})().train(training)

    def returned(self, mu: torch.Tensor, logvar: torch.Tensor, number: int, training: bool = True) -> Any:
        """What the call with that seed returns; BadReply where it raises."""
        model = self.instance(training)
        try:
            for earlier in range(self.before):
                seed(1_000_000 + number + earlier)
                model.reparameterize(*(part.to(self.dtype) * 1 for part in inputs(90 + earlier, mu.shape)))
            seed(number)
            return model.reparameterize(mu.to(self.dtype) * 1, logvar.to(self.dtype) * 1)
        except Exception as error:
            raise BadReply(repr(error)) from error

    def z(self, mu: torch.Tensor, logvar: torch.Tensor, number: int, training: bool = True) -> torch.Tensor:
        """float64, in the shape of mu; BadReply where there is no such thing."""
        return as_z(self.returned(mu, logvar, number, training), mu.shape)


def as_z(result: Any, shape: Sequence[int]) -> torch.Tensor:
    if not isinstance(result, torch.Tensor) or result.numel() != math.prod(shape):
        raise BadReply("no numbers")
    result = result.T if result.dim() == 2 and result.shape == tuple(shape)[::-1] != tuple(shape) else result
    values: torch.Tensor = result.reshape(tuple(shape)).double()
    return values


def of_reparameterize(code: str, on_one: CodeType) -> set[str]:
    lost = set() if proper_tensors(on_one) and on_each_device(code, reparameterize_on) else {"tensor"}
    usable = {shape: sampler for shape in SHAPES if (sampler := works(on_one, shape)) is not None}
    if ALWAYS not in usable:
        return set(CRITERIA["reparameterize"])
    scaled = has_noise(usable[ALWAYS], ALWAYS) and all(scale_holds(sampler, shape) for shape, sampler in judged_on(usable))
    holds = {
        "centre": all(moves_with_mu(sampler, shape) for shape, sampler in judged_on(usable)),
        "scale": scaled,
        "noise": all(noise_holds(sampler, shape, scaled) for shape, sampler in usable.items()),
        "gradient_mu": all(gradient_holds(sampler, shape, 0) for shape, sampler in judged_on(usable)),
        "gradient_logvar": all(gradient_holds(sampler, shape, 1) for shape, sampler in judged_on(usable)),
    }
    return lost | {name for name, held in holds.items() if not held}


def judged_on(usable: dict[tuple[int, int], Sampler]) -> Iterator[tuple[tuple[int, int], Sampler]]:
    """(shape, sampler) of first calls, and of second ones of an instance."""
    yield from usable.items()
    first = usable[ALWAYS]
    yield ALWAYS, Sampler(first.code, first.dtype, before=1)


def works(code: CodeType, shape: tuple[int, int]) -> Sampler | None:
    """A sampler whose calls in that shape give numbers, in float64 if it takes that; None where none does."""
    for dtype in (torch.float64, torch.float32):
        sampler = Sampler(code, dtype)
        with contextlib.suppress(BadReply):
            if bool(torch.isfinite(sampler.z(*inputs(1, shape), 1)).all()) or shape == ALWAYS:
                return sampler
    return None


def proper_tensors(code: CodeType) -> bool:
    for shape in SHAPES:
        for dtype in (torch.float32, torch.float64):
            mu, logvar = inputs(2, shape, dtype)
            given = mu * 1, logvar * 1
            seed(3)
            try:
                z = Sampler(code).instance().reparameterize(*given)
            except Exception:
                return False
            if not (isinstance(z, torch.Tensor) and z.shape == shape and z.dtype == dtype and bool(torch.isfinite(z).all())):
                return False
            if not (torch.equal(given[0], mu) and torch.equal(given[1], logvar)):
                return False
    return True


def moves_with_mu(sampler: Sampler, shape: tuple[int, int]) -> bool:
    mu, logvar = inputs(4, shape)
    with contextlib.suppress(BadReply):
        moved = sampler.z(mu, logvar, 5) - sampler.z(torch.zeros_like(mu), logvar, 5)
        return bool(((moved - mu).abs() <= 1e-3 * mu.abs() + 1e-4).all())
    return False


def has_noise(sampler: Sampler, shape: tuple[int, int]) -> bool:
    """Not where all entries of several calls are the same number."""
    zero, one = torch.zeros(shape), torch.ones(shape)
    first, second = sampler.z(zero, one, 6), sampler.z(zero, one, 7)
    return bool((torch.cat([first, second]) != first[0, 0]).any())


def scale_holds(sampler: Sampler, shape: tuple[int, int]) -> bool:
    """The noise's part of z(0, logvar) is proportional to σ, as measured where logvar is 1.

    That part is what two calls differ in; all of z where every call draws the same.
    """
    zero, one, worst = torch.zeros(shape), torch.ones(shape), 0.0
    count = math.prod(shape)
    for turn in range(max(2, 24 // count)):
        order = np.random.default_rng([13, turn, count]).permutation(max(count, 24))[:count]
        logvar = torch.tensor(np.linspace(NARROWEST, HIGH, max(count, 24))[order]).reshape(shape)
        first, second = 20 + 2 * turn, 21 + 2 * turn
        try:
            found, at_one = sampler.z(zero, logvar, first), sampler.z(zero, one, first)
            others = sampler.z(zero, logvar, second), sampler.z(zero, one, second)
        except BadReply:
            return False
        if not torch.equal(at_one, others[1]):
            found, at_one = found - others[0], at_one - others[1]
        sigma, sigma_at_one = (logvar / 2).exp(), math.exp(0.5)
        factor = found[at_one != 0] / at_one[at_one != 0] * sigma_at_one
        off = (factor - sigma[at_one != 0]).abs() / (RELATIVE * sigma[at_one != 0] + OF_SCALE)
        if not bool(torch.isfinite(found).all()) or not bool(torch.isfinite(off).all()):
            return False
        worst = max(worst, float(off.detach().max()) if off.numel() else 0.0)
    if 0.5 < worst < 2:
        raise Borderline
    return worst <= 1


def noise_holds(sampler: Sampler, shape: tuple[int, int], scaled: bool) -> bool:
    zero, one = torch.zeros(shape), torch.ones(shape)
    calls = 128 if shape == ALWAYS else 300
    try:
        model = sampler.instance()
        seed(8)
        given = zero.to(sampler.dtype), one.to(sampler.dtype)
        drawn = [as_z(model.reparameterize(given[0] * 1, given[1] * 1), shape).detach() for _ in range(calls)]
        e = torch.stack(drawn) / math.exp(0.5)
        if not same_in_evaluation(sampler, shape) or seeds_a_generator(sampler, shape):
            return False
    except Exception:
        return False
    return standard_normal(e, unit=scaled)


def same_in_evaluation(sampler: Sampler, shape: tuple[int, int]) -> bool:
    """Whether z in evaluation mode is what it is in training mode, or mu."""
    mu, logvar = inputs(9, shape)
    evaluated = sampler.z(mu, logvar, 10, training=False)
    return torch.allclose(evaluated, sampler.z(mu, logvar, 10), equal_nan=True) or torch.allclose(evaluated, mu, rtol=1e-6)


def seeds_a_generator(sampler: Sampler, shape: tuple[int, int]) -> bool:
    ends = []
    for number in (11, 12):
        sampler.z(*inputs(9, shape), number)
        ends.append((torch.initial_seed() == number, torch.rand(2).tolist(), random.random(), np.random.random()))
    (kept, *first), (also_kept, *second) = ends
    return not (kept and also_kept) or any(a == b for a, b in zip(first, second, strict=True))


def standard_normal(e: torch.Tensor, unit: bool) -> bool:
    """Whether e (calls, rows, columns) is standard normal noise; without `unit`, each entry and call may have its own."""
    calls, n = len(e), e.numel()
    if not bool(torch.isfinite(e).all()):
        return False
    spread = e.std(dim=0)
    if bool((spread < 1e-9).any()) or int((e[1:] == e[:-1]).sum()) > 5:
        return False
    if unit:
        rms = float((e**2).mean().sqrt())
        if abs(rms - 1) > 6.5 / math.sqrt(2 * n):
            if abs(rms - 1) < 0.04:
                raise Borderline
            return False
        spread = torch.full_like(spread, rms)
    s = e / spread
    each = (s**2).mean(dim=0)  # at each place
    # Of the mean of `calls` squares, by Wilson and Hilferty.
    if bool((((each ** (1 / 3) - 1 + 2 / (9 * calls)) / math.sqrt(2 / (9 * calls))).abs() > 6.5).any()) and unit:
        return False
    magnitudes = s.abs().reshape(calls, -1).sort(dim=1).values
    if int((magnitudes[:, 1:] == magnitudes[:, :-1]).sum()) > 10:
        return False
    ordered = s.flatten().sort().values
    gap = (torch.special.ndtr(ordered) - (torch.arange(n) + 0.5) / n).abs().max()
    tails = [(float((s.abs() > limit).sum()), n * math.erfc(limit / math.sqrt(2))) for limit in (2, 3)]
    moments = [float(s.mean()) * math.sqrt(n), float((s**3).mean()) * math.sqrt(n / 15)]
    moments += [(float((s**4).mean()) - 3 * (1 if unit else 1 - 2 / calls)) * math.sqrt(n / 24)]
    if float(gap) * math.sqrt(n) > 3.5 or any(abs(found - mean) > 6.5 * math.sqrt(mean) + 2 for found, mean in tails):
        return False
    if any(abs(moment) > 8 for moment in moments):
        return False
    return independent(s, unit)


def independent(s: torch.Tensor, unit: bool) -> bool:
    calls, rows, columns = s.shape
    for dim, count in ((0, rows * columns), (1, calls * columns), (2, calls * rows)):
        size, k = s.shape[dim], count
        share = float((s.sum(dim=dim) ** 2).mean()) / size
        if size > 1 and not (1 - 6.5 * math.sqrt(2 / k) < share < 1 + 9 * math.sqrt(2 / k) and share > 0.02):
            return False
    squares = (s**2).mean(dim=(1, 2))
    varies = float(squares.var()) * rows * columns / 2
    if not 0.1 < varies < (3 if unit else math.inf):
        return False
    flat = s.reshape(calls, -1)[:, :64]
    for x in (flat, flat.abs()):
        if x.shape[1] > 1 and float(torch.corrcoef(x.T).abs().fill_diagonal_(0).max()) > 0.6:
            return False
    return True


def gradient_holds(sampler: Sampler, shape: tuple[int, int], which: int) -> bool:
    """autograd's gradient of Σ w·z is its derivative, and is not zero."""
    given = inputs(14, shape)
    leaves = [nn.Parameter(part) for part in given]
    weights = directions(15, shape)

    def function(at: torch.Tensor) -> float:
        places = [at if leaf == which else part for leaf, part in enumerate(given)]
        return float((weights * sampler.z(places[0], places[1], number=16).detach()).sum())

    try:
        found = gradient((weights * sampler.z(leaves[0], leaves[1], number=16)).sum(), leaves[which])
        return reaches(found, shape) and is_derivative(found, function, given[which])
    except (BadReply, RuntimeError):
        return False


def gradient(of: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """What autograd finds; zeros where it finds no way."""
    found = torch.autograd.grad(of, to, allow_unused=True)[0] if of.requires_grad else None
    return torch.zeros_like(to) if found is None else found


def reaches(found: torch.Tensor, shape: tuple[int, int]) -> bool:
    """Whether training hears of a variable. Where it plays a part at some widths alone, that is another criterion's matter."""
    return shape != ALWAYS or bool((found != 0).any())


def is_derivative(found: torch.Tensor, function: Callable[[torch.Tensor], float], at: torch.Tensor) -> bool:
    """Along two directions, by central differences; with larger steps where some of the answer is in single precision.

    What rounding hides is let pass: beside a KL of 1e20 no change of the reconstruction error can be seen.
    """

    def agrees(step: float) -> bool:
        for number in (17, 18):
            d = directions(number, at.shape)
            above, below = function(at + step * d), function(at - step * d)
            difference = (above - below) / (2 * step)
            rounding = 4 * torch.finfo(torch.float64).eps * max(abs(above), abs(below)) / step
            slack = 1e-3 * max(float(found.norm()), abs(difference)) + rounding + 1e-9
            if not abs(difference - float((found * d).sum())) <= slack:
                return False
        return True

    return bool(torch.isfinite(found).all()) and (agrees(1e-5) or agrees(1e-2))


# --- devices ---------------------------------------------------------------------------------------------------------


DEVICES = re.compile("same device|different devices|to numpy")


def on_each_device(code: str, call: Callable[[CodeType, str, bool], torch.Tensor]) -> bool:
    """Whether devices do no harm: without a GPU; and with one, on tensors of the CPU and of the GPU, which are fake."""
    try:
        call(compile(code, "answer", "exec"), "cpu", False)
    except Exception:
        with contextlib.suppress(Exception):  # where it fails with one device, too, devices are not the matter
            call(compile(without_devices(code), "answer", "exec"), "cpu", False)
            return False
        return True
    # Without a driver, fake tensors want the number of the device.
    with_gpu = compile(CUDA.sub('"cuda:0"', CUDA_CALL.sub('.to("cuda:0")', code)), "answer", "exec")
    validates = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        with patch("torch.cuda.is_available", lambda: True), patch("torch.Tensor.numpy", to_numpy):
            return all(stays_on(with_gpu, call, device) for device in ("cpu", "cuda"))
    finally:
        torch.distributions.Distribution.set_default_validate_args(validates)


def stays_on(code: CodeType, call: Callable[[CodeType, str, bool], torch.Tensor], device: str) -> bool:
    # A fake graph of gradients ends the process where there is no driver.
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        try:
            return call(code, device, True).device.type == device
        except FakeTensorDeviceMismatchError:
            return False
        except Exception as error:
            # Fake tensors have no numbers: whoever looks at some fails here, and nowhere else.
            return DEVICES.search(str(error)) is None


def to_numpy(tensor: torch.Tensor) -> None:
    """As `Tensor.numpy`, which says the same of all fake tensors."""
    raise TypeError("cannot convert a tensor of the GPU to numpy" if tensor.device.type == "cuda" else "no numbers")


def reparameterize_on(code: CodeType, device: str, gpu: bool) -> torch.Tensor:
    function = defined(code, "reparameterize", gpu)
    model = type("VAE", (Model,), {"reparameterize": function})(device)
    mu, logvar = torch.zeros(37, 2, device=device), torch.zeros(37, 2, device=device)
    result = model.reparameterize(mu, logvar)
    # What has another form is no matter of devices.
    return result if isinstance(result, torch.Tensor) else mu


def loss_on(code: CodeType, device: str, gpu: bool) -> torch.Tensor:
    x, recon_x, mu, logvar = (torch.ones(5, width, device=device) for width in (2, 2, 3, 3))
    result = defined(code, "compute_vae_loss", gpu)(StandIn(recon_x, mu, logvar), x, 0.5)
    return result if isinstance(result, torch.Tensor) else x


# --- compute_vae_loss ------------------------------------------------------------------------------------------------


class StandIn(Model):
    """A model that answers with given numbers."""

    def __init__(self, recon_x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor) -> None:
        super().__init__(mu.device.type)
        self.answers = recon_x, mu, logvar

    def encode(self, x: torch.Tensor) -> Case:
        return self.answers[1] * 1, self.answers[2] * 1

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.answers[0] * 1

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        return mu + torch.exp(logvar / 2) * torch.randn_like(mu)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.decode(x), *self.encode(x)


class Loss:
    """`compute_vae_loss`, defined anew before each call, which sees `before` calls first."""

    def __init__(self, code: CodeType, dtype: torch.dtype = torch.float64, before: int = 0) -> None:
        self.code, self.dtype, self.before = code, dtype, before

    def __call__(
        self, mu: torch.Tensor, logvar: torch.Tensor, beta: float, recon_x: torch.Tensor | None = None, number: int = 1
    ) -> torch.Tensor:
        """The loss as one float64 number, at recon_x = x where none is given; BadReply where there is none."""
        function = defined(self.code, "compute_vae_loss")
        x = points(1, len(mu)).to(self.dtype)
        parts = (x if recon_x is None else recon_x, mu, logvar)
        answers = [part.to(self.dtype) for part in parts]
        answers = [part if part.requires_grad else part.requires_grad_() for part in map(torch.clone, answers)]
        try:
            for _ in range(self.before):
                function(StandIn(*answers), x * 1, beta)
            seed(number)
            loss = function(StandIn(*answers), x * 1, beta)
        except Exception as error:
            raise BadReply(repr(error)) from error
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise BadReply("no numbers")
        return loss.double().reshape(())


def points(number: int, batch: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng([17, number, batch]).normal(size=(batch, 2)))


def of_loss(code: str, on_one: CodeType) -> set[str]:
    usable = {shape: loss for shape in SHAPES if (loss := loss_works(on_one, shape)) is not None}
    if ALWAYS not in usable:
        return set(CRITERIA["kl_divergence"])
    holds = {
        "prior": all(zero_at_the_prior_alone(loss, shape) for shape, loss in usable.items()),
        "value": usable.keys() == set(SHAPES)
        and on_each_device(code, loss_on)
        and not remembers(usable[ALWAYS])
        and any(value_holds(usable, average) for average in AVERAGES),
        "gradient": leaves_inputs(on_one) and all(loss_gradient_holds(loss, shape) for shape, loss in usable.items()),
    }
    return {name for name, held in holds.items() if not held}


def loss_works(code: CodeType, shape: tuple[int, int]) -> Loss | None:
    for dtype in (torch.float64, torch.float32):
        loss = Loss(code, dtype)
        with contextlib.suppress(BadReply):
            if math.isfinite(float(loss(*inputs(1, shape), 0.5, points(2, shape[0])))) or shape == ALWAYS:
                return loss
    return None


def kl_of(loss: Loss, shape: Sequence[int]) -> Callable[..., float]:
    """The KL as a function of mu, logvar and a seed: what the loss grows by from beta = 0 to 1.

    It is the loss itself where that has no value at 0, or where no beta plays a part.
    """

    def at(beta: float, mu: torch.Tensor, logvar: torch.Tensor, number: int = 1) -> float:
        return float(loss(mu, logvar, beta, number=number).detach())

    at_zero = at(0.0, *inputs(20, shape))
    if not math.isfinite(at_zero) or at_zero == at(1.0, *inputs(20, shape)):
        return functools.partial(at, 1.0)
    return lambda *case: at(1.0, *case) - at(0.0, *case)


def zero_at_the_prior_alone(loss: Loss, shape: tuple[int, int]) -> bool:
    zero, places = torch.zeros(shape, dtype=torch.float64), []
    for row in {0, shape[0] // 2, shape[0] - 1}:
        for column in range(shape[1]):
            for by in (0.3, -0.3, 1.5, -3.0):
                moved = zero.clone()
                moved[row, column] = by
                places += [(moved, zero), (zero, moved)]
    # Where an average is 0 and its parts are not.
    for pattern in (torch.linspace(-1, 1, shape[0]).unsqueeze(1), torch.linspace(-1, 1, shape[1])):
        balanced = zero + pattern
        places += [(balanced, zero), (zero, balanced)]
    try:
        kl = kl_of(loss, shape)
        random_places = [kl(*inputs(number, shape), number) for number in range(20, 26)]
        size = sum(map(abs, random_places)) / len(random_places)
        at_prior = abs(kl(zero, zero)) / size if size else 0.0
        found = [*random_places, *(kl(*place) for place in places)]
    except BadReply:
        return False
    if 1e-5 < at_prior < 1e-3:
        raise Borderline
    return at_prior < 1e-4 and all(value > 1e-12 * size for value in found)


def mean(terms: torch.Tensor) -> torch.Tensor:
    return terms.mean()


def sum_mean(terms: torch.Tensor) -> torch.Tensor:
    return terms.sum(dim=1).mean()


AVERAGES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (mean, sum_mean)


def terms_of(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """The KL of each latent variable, from its definition by expectations: ∫ q log q − ∫ q log p."""
    entropy = 0.5 * (math.log(2 * math.pi) + 1 + logvar)
    return 0.5 * (math.log(2 * math.pi) + mu * mu + torch.exp(logvar)) - entropy


def value_holds(usable: dict[tuple[int, int], Loss], average: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    worst = 0.0
    for shape, loss in usable.items():
        x, recon_x = points(1, shape[0]), points(2, shape[0])
        recon = float(((recon_x - x) * (recon_x - x)).sum() / x.numel())
        for mu, logvar in value_cases(shape):
            terms = terms_of(mu, logvar)
            expected, slack = float(average(terms)), float(average(RELATIVE * terms + OF_KL))
            try:
                for given, base in ((None, 0.0), (recon_x, recon)):
                    for beta in BETAS if given is not None else (1.0,):
                        off = abs(float(loss(mu, logvar, beta, given).detach()) - base - beta * expected)
                        worst = max(worst, off / (beta * slack + 1e-5 * base + 1e-7))
                        if not worst <= 2:
                            return False
            except BadReply:
                return False
    if worst > 0.5:
        raise Borderline
    return True


def value_cases(shape: tuple[int, int]) -> Iterator[Case]:
    """Places of all kinds at once; one place everywhere; one entry away from the prior."""
    for number in (30, 31):
        yield inputs(number, shape)
    zero = torch.zeros(shape, dtype=torch.float64)
    if shape == ALWAYS:
        for at in np.linspace(LOW, HIGH, 13):
            yield zero, zero + float(at)
        for at in np.linspace(-FAR, FAR, 7):
            yield zero + float(at), zero - 1
    for row in {0, 1 % shape[0], shape[0] // 2, shape[0] - 1}:
        for column in range(shape[1]):
            moved = zero.clone()
            moved[row, column] = -4.5
            yield moved, zero
            yield zero, moved


def remembers(loss: Loss) -> bool:
    """Whether the same call gives another number later on, or with other random numbers."""
    case, recon_x = inputs(32, ALWAYS), points(2, ALWAYS[0])
    later = [Loss(loss.code, loss.dtype, before)(*case, 1.0, recon_x, number) for before, number in ((0, 1), (1, 1), (3, 2))]
    return any(float(value.detach()) != float(later[0].detach()) for value in later)


def leaves_inputs(code: CodeType) -> bool:
    """Whether mu and logvar are what they were, and `backward` is left to the training loop."""
    parts = points(2, 6), *inputs(33, (6, 3))
    model = StandIn(*(nn.Parameter(part.clone()) for part in parts))
    handed: list[Case] = []  # each time that the model was asked

    def hand_out(x: torch.Tensor) -> Case:
        handed.append((model.answers[1] * 1, model.answers[2] * 1))
        return handed[-1]

    model.encode = hand_out  # type: ignore[method-assign]
    with contextlib.suppress(Exception):
        defined(code, "compute_vae_loss")(model, points(1, 6), 1.0)
    changed = any(not torch.equal(now, part) for case in handed for now, part in zip(case, parts[1:], strict=True))
    return not changed and all(part.grad is None for part in model.answers)


def loss_gradient_holds(loss: Loss, shape: tuple[int, int]) -> bool:
    """As `gradient_holds`: the KL's to mu and logvar, and the whole loss's to recon_x."""
    x, recon_x = points(1, shape[0]), points(2, shape[0])
    for which, given in ((0, (recon_x, *inputs(34, shape))), (1, (x, *inputs(34, shape))), (2, (x, *inputs(34, shape)))):
        leaves = [nn.Parameter(part) for part in given]

        def function(at: torch.Tensor, which: int = which, given: Sequence[torch.Tensor] = given) -> float:
            recon_x, mu, logvar = [at if leaf == which else part for leaf, part in enumerate(given)]
            return float(loss(mu, logvar, 1.0, recon_x).detach())

        try:
            found = gradient(loss(leaves[1], leaves[2], 1.0, leaves[0]), leaves[which])
            if not (which == 0 or reaches(found, shape)) or not is_derivative(found, function, given[which]):
                return False
        except (BadReply, RuntimeError):
            return False
    return True
