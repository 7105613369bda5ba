"""Runs in the worker, beside the student's code: calls their functions and sends back what came out, as data.

`answer` is the whole interface. A header names the operation:

    {"op": "reparameterize", "seed": int, "latent_dim": int, "repeat": int, "device": "cpu" | "cuda" | "pretend",
     "training": bool, "same_instance": bool}
        tensors: mu, logvar (batch, latent); optionally weights (batch, latent)
        returns: value, (repeat, ...) if repeat > 1; tail (3, 2), what each generator gives next; with weights: grad_mu,
            grad_logvar of sum(weights * z)
    {"op": "gpu", "device": "cuda"}
        returns nothing: whether the GPU works at all
    {"op": "loss", "seed": int, "beta": float, "gradients": bool, "repeat": int, "device": ...}
        tensors: x, recon_x (batch, width), mu, logvar (batch, latent)
        returns: value, as above; with gradients: grad_mu, grad_logvar, grad_recon_x

Where mu and logvar are (cases, batch, latent), either is called for one case after the other, each as if it were the only one,
and returns value (cases, ...).

Both replies name under "changed" those of mu and logvar that the function changed in place, and say under "seed_kept" or
"backward" whether it seeded a generator or ran a backward pass.

`pretend` runs the function on fake CUDA tensors, which have a device and a shape but no numbers. Nothing here knows what a
right answer is: the stand-in model below returns what it is told, and judging is done elsewhere.
"""

import contextlib
import functools
import linecache
import random
import sys

import numpy
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
from torch.overrides import TorchFunctionMode

# Bound before any student code runs, which may replace the modules' attributes.
_Tensor, _plain, _detach = torch.Tensor, torch.Tensor.as_subclass, torch.Tensor.detach
_without_overrides = torch._C.DisableTorchFunctionSubclass
# Not torch.manual_seed: without a GPU it queues a stack trace for CUDA each time, 5 ms.
_seed_torch, _seed_numpy, _seed_python = torch.default_generator.manual_seed, numpy.random.seed, random.seed
_seed_cuda = torch.cuda.manual_seed
_initial_seed, _rand = torch.initial_seed, torch.rand
_set_dtype, _get_dtype = torch.set_default_dtype, torch.get_default_dtype
_set_grad, _get_grad = torch.set_grad_enabled, torch.is_grad_enabled
_set_threads, _get_threads = torch.set_num_threads, torch.get_num_threads
_set_device, _get_device = torch.set_default_device, torch.get_default_device
_grad, _stack = torch.autograd.grad, torch.stack
_isinstance, _type, _str, _len, _list, _range = isinstance, type, str, len, list, range
_getline = linecache.getline
THREADS, GPU = torch.get_num_threads(), torch.cuda.is_available()
_kept = []  # the instance of the last call


def answer(header, tensors, namespace):
    """(reply header, reply tensors) for one call; whatever the student's code raises becomes part of the reply."""
    changed = reset_globals()
    operation = {"reparameterize": reparameterize, "loss": loss, "gpu": gpu}[header["op"]]
    if "mu" in tensors and tensors["mu"].dim() == 3:
        operation = functools.partial(each_case, operation)
    with silence():
        try:
            reply, returned = operation(header, tensors, namespace)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: student code may raise anything
            reply, returned = {"raised": describe_error(error)}, {}
            if header["device"] == "cpu" and reply["raised"]["device"]:
                reply, returned = on_the_cpu_after_all(operation, header, tensors, namespace, reply)
    if changed:
        reply["globals"] = changed
    return reply, returned


def reset_globals():
    """Puts torch's global switches back; the names of those that the submission had changed."""
    found = {
        "default_dtype": (_get_dtype(), torch.float32, _set_dtype),
        "grad_mode": (_get_grad(), True, _set_grad),
        "threads": (_get_threads(), THREADS, _set_threads),
        "default_device": (_get_device(), torch.device("cpu"), _set_device),
    }
    changed = []
    for name, (value, normal, restore) in found.items():
        if value != normal:
            restore(normal)
            changed.append(name)
    return changed


class Silence:
    """A stream that takes everything and keeps nothing."""

    encoding = "utf-8"

    def write(self, text):
        return _len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


@contextlib.contextmanager
def silence():
    """What the student's functions print during a call is nobody's business and costs nothing."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = Silence()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def seed_everything(seed, device):
    """Seeds the generators that answers draw from."""
    _seed_torch(seed)
    if device == "cuda":
        _seed_cuda(seed)
    _seed_numpy(seed % 2**32)
    _seed_python(seed)


def on_the_cpu_after_all(operation, header, tensors, namespace, first):
    """The call again with every "cuda" read as "cpu": a fixed device is one mistake and must not hide the others."""
    try:
        with CudaIsCpu(), legacy_types():
            reply, returned = operation(header, tensors, namespace)
    except BaseException:
        return first, {}
    reply["pretended"] = first["raised"]
    return reply, returned


@contextlib.contextmanager
def replaced(module, **attributes):
    """Other attributes of a module, for a while."""
    before = {name: getattr(module, name) for name in attributes}
    for name, value in attributes.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def legacy_types():
    """`torch.cuda.FloatTensor` and its like are types, which no mode sees."""
    names = ("FloatTensor", "DoubleTensor", "HalfTensor")
    return replaced(torch.cuda, **{name: getattr(torch, name) for name in names})


class CudaIsCpu(TorchFunctionMode):
    """Reads "cuda" as "cpu" in every torch call."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cuda:
            return args[0]
        kwargs = {name: self.read(value) for name, value in (kwargs or {}).items()}
        if _type(kwargs.get("device")) is int:
            kwargs["device"] = "cpu"
        if function is torch.Tensor.to and _type(args[1]) is int:
            args = (args[0], "cpu", *args[2:])
        return function(*map(self.read, args), **kwargs)

    @staticmethod
    def read(value):
        if _isinstance(value, torch.device) and value.type == "cuda":
            return torch.device("cpu")
        if _isinstance(value, str) and value.split(":")[0] == "cuda":
            return "cpu"
        return value


# --- the operations --------------------------------------------------------------------------------------------------


def each_case(operation, header, tensors, namespace):
    """The replies to one call after the other, as one; that of the first that is no tensor, if there is one."""
    values = []
    for mu, logvar in zip(tensors["mu"], tensors["logvar"], strict=True):
        reply, returned = operation(header, {**tensors, "mu": mu, "logvar": logvar}, namespace)
        if "value" not in returned:
            return reply, returned
        values.append(returned["value"])
    return reply, {"value": values[0] if _len(values) == 1 else _stack(values)}


def reparameterize(header, tensors, namespace):
    if not (header["same_instance"] and _kept):
        _kept[:] = [new_model(namespace, header["latent_dim"])]
    model = _kept[0]
    model.train(header["training"])
    if header["device"] == "pretend":
        with FakeTensorMode(allow_non_fake_inputs=True), GeneratorsHaveDevices(), unvalidated():
            pretend_parameters(model)
            seed_everything(header["seed"], header["device"])
            return {"returned": describe(model.reparameterize(pretend(tensors["mu"]), pretend(tensors["logvar"])))[0]}, {}
    if GPU:  # without one there is nowhere else that it could be
        model.to(header["device"])
    leaf_mu, leaf_logvar = (tensors[name].to(header["device"]).requires_grad_() for name in ("mu", "logvar"))
    seed_everything(header["seed"], header["device"])
    values = []
    seeded = []
    with noting_seeds(seeded):
        for _ in _range(header["repeat"]):
            mu, logvar = leaf_mu * 1, leaf_logvar * 1  # in training they come out of a layer: no leaves
            z = model.reparameterize(mu, logvar)
            description, value = describe(z)
            if value is None:
                return {"returned": description}, {}
            values.append(value)
    reply = {"returned": description, "seed_kept": _initial_seed() == header["seed"] and not seeded}
    reply["changed"] = changed([("mu", mu, leaf_mu), ("logvar", logvar, leaf_logvar)])
    returned = {"value": values[0] if header["repeat"] == 1 else _stack(values)}
    ends = [_rand(2).tolist(), [random.random(), random.random()], numpy.random.random(2).tolist()]
    returned["tail"] = torch.tensor(ends, dtype=torch.float64)
    if "weights" in tensors:
        returned |= gradients(z, leaf_mu, leaf_logvar, tensors["weights"].to(header["device"]))
    return reply, returned


def loss(header, tensors, namespace):
    function = lookup(namespace, "compute_vae_loss")
    if header["device"] == "pretend":
        with FakeTensorMode(allow_non_fake_inputs=True), GeneratorsHaveDevices(), unvalidated():
            model = StandIn(**{name: pretend(tensors[name]) for name in ("x", "recon_x", "mu", "logvar")})
            seed_everything(header["seed"], header["device"])
            return {"returned": describe(function(model, pretend(tensors["x"]), header["beta"]))[0]}, {}
    here = {name: tensors[name].to(header["device"]) for name in ("x", "recon_x", "mu", "logvar")}
    model = StandIn(here["x"], *(nn.Parameter(here[name]) for name in ("recon_x", "mu", "logvar")))
    seed_everything(header["seed"], header["device"])
    values = []
    for _ in _range(header["repeat"]):
        result = function(model, here["x"].clone(), header["beta"])
        description, value = describe(result)
        if value is None:
            return {"returned": description}, {}
        values.append(value)
    returned = {"value": values[0] if header["repeat"] == 1 else _stack(values)}
    if header["gradients"] and value.dim() == 0:
        returned |= gradients(result, model.mu, model.logvar, torch.ones_like(result), model.recon_x)
    return {"returned": description, "changed": changed(model.handed_out), "backward": model.mu.grad is not None}, returned


def gpu(header, tensors, namespace):
    """Whether the GPU works; the first use of it takes seconds."""
    return {"sum": torch.ones(2, device=header["device"]).sum().item()}, {}


def lookup(namespace, name):
    try:
        return namespace[name]
    except KeyError:
        raise NameError(f"name {name!r} is not defined") from None


def new_model(namespace, latent_dim):
    """A fresh model; small, since the layers play no part in what is asked."""
    cls = lookup(namespace, "VAE")
    for arguments in ({"latent_dim": latent_dim, "hidden_dim": 4}, {"latent_dim": latent_dim}, {}):
        try:
            model = cls(**arguments)
            break
        except Exception:
            if not arguments:
                raise
    return model


class StandIn(nn.Module):
    """A model that answers with chosen numbers, whichever way it is asked.

    Its numbers are parameters, and every answer is a new tensor made from them, as a real network's would be. Asked about some
    of the points, in any order, it answers for those; about other points, with other numbers.
    """

    def __init__(self, x, recon_x, mu, logvar):
        super().__init__()
        self.x, self.recon_x = x, recon_x
        self.mu, self.logvar = mu, logvar
        self.latent_dim = mu.shape[1]
        self.handed_out = []  # (name, tensor, what it was) of each answer
        self.encoder, self.decoder = nn.Identity(), Answer(lambda z: self.recon_x * 1, mu, x)
        self.fc_mu = Answer(lambda h: self.hand_out("mu", h), x, mu)
        self.fc_logvar = Answer(lambda h: self.hand_out("logvar", h), x, logvar)

    def rows(self, x, of):
        if hasattr(x, "fake_mode"):
            return of * 1
        if x.dim() == 1:
            return self.rows(x.unsqueeze(0), of)[0]
        gap, nearest = (x.detach().to(self.x).unsqueeze(1) - self.x).abs().amax(dim=2).min(dim=1)
        return of[nearest] + (gap > 0.01).to(of).unsqueeze(1)

    def hand_out(self, name, x):
        answer = self.rows(x, getattr(self, name))
        self.handed_out.append((name, answer, answer.detach().clone()))
        return answer

    def encode(self, x):
        return self.hand_out("mu", x), self.hand_out("logvar", x)

    def reparameterize(self, mu, logvar):
        return mu + torch.randn_like(mu)

    def decode(self, z):
        return self.recon_x * 1

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.rows(x, self.recon_x), mu, logvar


class Answer(nn.Module):
    """A layer of the stand-in, with a real one's attributes."""

    def __init__(self, answer, given, returned):
        super().__init__()
        self.answer, self.in_features, self.out_features = answer, given.shape[1], returned.shape[1]

    def forward(self, value):
        return self.answer(value)


def gradients(result, mu, logvar, weights, *more):
    """The gradients of sum(weights * result) that autograd finds; an input that it does not reach is left out."""
    with _without_overrides():
        if not result.requires_grad:
            return {}
        # A result in another shape is another criterion's business.
        result = result.T if result.shape == weights.shape[::-1] else result
        result = result.reshape(weights.shape) if result.numel() == weights.numel() else result
        found = _grad((result * weights).sum(), [mu, logvar, *more], allow_unused=True)
    names = ("grad_mu", "grad_logvar", "grad_recon_x")[: 2 + len(more)]
    return {name: _detach(g).cpu().contiguous() for name, g in zip(names, found, strict=True) if g is not None}


def changed(inputs):
    """The names of those (name, tensor, what it was) that are not what they were, bit by bit."""
    with _without_overrides():
        return sorted({name for name, now, before in inputs if not torch.equal(_detach(now), _detach(before))})


# --- pretend CUDA ----------------------------------------------------------------------------------------------------


def pretend(tensor):
    """A fake CUDA tensor like `tensor`. It never requires a gradient: that would abort the process without a GPU."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


def pretend_parameters(model):
    """Replaces the model's parameters and buffers by fake CUDA tensors."""
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name in [name for name, value in store.items() if value is not None]:
                fake = pretend(store.pop(name))
                object.__setattr__(module, name, fake)


def noting_seeds(seeded):
    """Adds to `seeded` when CUDA's generators are seeded, which leaves no trace on a machine without them.

    `torch.manual_seed` does so too, but leaves its own trace, unless it is undone by `fork_rng`.
    """

    def note(*arguments):
        if sys._getframe(1).f_globals.get("__name__") != "torch.random":
            seeded.append(True)

    return replaced(torch.cuda, **dict.fromkeys(("manual_seed", "manual_seed_all", "seed", "seed_all"), note))


@contextlib.contextmanager
def unvalidated():
    """Distributions look at numbers to validate their arguments, which would end the pretended call before a mismatch."""
    distribution = torch.distributions.Distribution
    before = distribution._validate_args
    distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        distribution.set_default_validate_args(before)


class GeneratorsHaveDevices(TorchFunctionMode):
    """On a GPU a generator of the CPU is refused; a fake tensor would take it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.numpy, torch.Tensor.__array__) and args[0].device.type == "cuda":
            raise FakeTensorDeviceMismatchError("numpy", "cuda", "cpu")
        result = function(*args, **(kwargs or {}))
        generator = (kwargs or {}).get("generator")
        if (
            _isinstance(generator, torch.Generator)
            and _isinstance(result, _Tensor)
            and (generator.device.type != result.device.type)
        ):
            raise FakeTensorDeviceMismatchError("generator", "cuda", "cpu")
        return result


class Rehearsal(nn.Module):
    """Stands for a student's model, with the layers of the lesson's."""

    def __init__(self, latent_dim, hidden_dim):
        super().__init__()
        self.encoder, self.decoder = self.three_layers(2, hidden_dim), self.three_layers(latent_dim, hidden_dim)
        self.ends = nn.ModuleList(nn.Linear(hidden_dim, n) for n in (latent_dim, latent_dim, 2))

    @staticmethod
    def three_layers(given, hidden_dim):
        return nn.Sequential(nn.Linear(given, hidden_dim), *(nn.Linear(hidden_dim, hidden_dim) for _ in range(2)))

    def reparameterize(self, mu, logvar):
        """The sum of what elementary operations make of mu; it means nothing."""
        return sum(operation(mu) for operation in ELEMENTARY) + logvar


ELEMENTARY = [
    torch.exp, torch.sqrt, torch.square, torch.abs, torch.neg, torch.randn_like, torch.zeros_like, torch.ones_like,
    lambda t: 0.5 * t, lambda t: -0.5 * t, lambda t: t / 2, lambda t: 2 * t, lambda t: t**2, lambda t: t**0.5,
    lambda t: 1 + t, lambda t: 1 - t, lambda t: t - 1, lambda t: t + t, lambda t: t - t, lambda t: t * t, lambda t: t / t,
    lambda t: torch.randn(t.shape, device=t.device), lambda t: torch.randn(t.shape, device=t.device, dtype=t.dtype),
    lambda t: torch.normal(0.0, 1.0, t.shape, device=t.device), lambda t: torch.empty_like(t).normal_(),
    torch.sum, torch.mean, lambda t: t.sum(dim=-1, keepdim=True), lambda t: t.mean(dim=-1, keepdim=True),
]  # fmt: skip


def rehearsed_loss(model, x, beta):
    """As `Rehearsal.reparameterize`, of all that the model answers and of a single number."""
    answers = [x - answer if answer.shape == x.shape else answer for answer in model(x)]
    return sum(operation(value).mean() for value in (*answers, answers[0].mean()) for operation in ELEMENTARY) * beta


def warm_up():
    """What the first calls import and set up (half of torch, for fake tensors) is done once, before student code.

    What is found out about an operation on fake tensors is kept, for each shape of theirs: those here are the checks'.
    """
    namespace = {"VAE": Rehearsal, "compute_vae_loss": rehearsed_loss}
    common = {"seed": 0, "latent_dim": 2, "repeat": 1, "training": True, "same_instance": False, "beta": 0.5, "gradients": True}
    for device in ("cpu", "pretend"):
        for op, shape in (("reparameterize", (37, 2)), ("loss", (5, 3))):
            latents, points = torch.ones(shape), torch.ones(shape[0], 2)
            tensors = {"mu": latents, "logvar": latents + 1, "weights": latents + 2, "x": points, "recon_x": points + 1}
            answer({**common, "op": op, "device": device}, tensors, namespace)
    _kept.clear()


# --- descriptions ----------------------------------------------------------------------------------------------------


def describe(value):
    """({"type", "shape", ...}, plain CPU tensor or None) of whatever a function returned."""
    if not _isinstance(value, _Tensor):
        description = {"type": _str(_type(value).__name__)[:60]}
        if _isinstance(value, (tuple, _list)):
            description["length"] = _len(value)
        return description, None
    with _without_overrides():
        description = {
            "type": "tensor",
            "shape": _list(_Tensor.size(value)),
            "dtype": _str(value.dtype).removeprefix("torch."),
            "device": value.device.type,
        }
        if value.device.type == "meta" or value.layout != torch.strided or hasattr(value, "fake_mode"):
            return description, None
        plain = _plain(_detach(value), _Tensor).cpu().contiguous().clone()
    return description, plain


def describe_error(error):
    """What is known of an exception: its class, its text (cut), the student's line, and whether a device is the matter."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "ipykernel" in code.co_filename:  # the file name that the kernel gives to cells
            line = _getline(code.co_filename, trace.tb_lineno).strip()
        trace = trace.tb_next
    try:
        text = _str(error)[:2000]
    except BaseException:  # the student's own exception class
        text = ""
    kind = _type(error)
    lowered = text.lower()
    return {
        "kind": _str(kind.__name__)[:60],
        "ours": kind.__module__ in ("builtins", "torch") or kind.__module__.startswith("torch."),
        "text": text,
        "line": line[:300] if line else None,
        "device": any(word in lowered for word in ("cuda", "same device", "different devices", "nvidia", "accelerator")),
    }


if not GPU:  # with one nothing is pretended, and fake tensors would initialise CUDA before a fork
    warm_up()
    # Each seed would be kept, with a stack trace, for a device that is not there: 3 ms for every torch.manual_seed.
    for absent in (torch.cuda, torch.xpu, getattr(torch, "mtia", None)):
        if absent is not None:
            absent.manual_seed_all = lambda seed: None
