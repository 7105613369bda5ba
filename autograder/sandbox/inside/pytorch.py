"""Calls a student's PyTorch function, in the worker, beside the student's code, and describes what came out, as data.

An assignment says which functions there are: a module of its own, `operations.py`, holds `OPERATIONS`, name → `Operation`. All
that any of them needs is here: seeds, silence, repeated calls and several cases, gradients, what was changed in place, torch's
global switches, devices. A call (messages.py) may run

    on "cpu"      where code that asks for a GPU fails, and is run once more with every other device read as "cpu": a fixed
                  device is one mistake and must not hide the others
    on "cuda"     where the worker has a GPU
    on "pretend"  on fake CUDA tensors, which have a device and a shape but no numbers, in a world in which torch says that
                  there is a GPU: a tensor that was left on the CPU is found without one
    "pretend beside"
                  in that world on fake tensors of the CPU: code that goes to the GPU because there is one is found

Student code shares this process and may replace any attribute of a module after this one was imported.
"""

import contextlib
import functools
import importlib.util
import linecache
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
from torch.overrides import TorchFunctionMode

from .messages import CPU, CUDA, PRETEND, PRETEND_BESIDE, TRY_GPU, Call, Failure, Header, Reply, Tensors

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
_grad, _stack, _equal = torch.autograd.grad, torch.stack, torch.equal
_isinstance, _type, _str, _len, _list, _range, _sorted, _zip = isinstance, type, str, len, list, range, sorted, zip
_Exception = Exception
_quiet_warnings, _simplefilter = warnings.catch_warnings, warnings.simplefilter
_warnings = warnings
_inference = torch.inference_mode(False)
_getline, _search = linecache.getline, re.search
THREADS, GPU = torch.get_num_threads(), torch.cuda.is_available()

Namespace = dict[str, Any]


class Answer(Protocol):
    """What answers the messages of the channel."""

    def prepare(self) -> None:
        """Called before a message is decoded: tensors are made of it."""

    def __call__(self, header: Header, tensors: Tensors, namespace: Namespace, /) -> tuple[Header, Tensors]:
        """(header, tensors) of the reply."""


_kept: list[Any] = []  # what the last call was made on


class Operation(Protocol):
    """One function of the student's, as an assignment's `operations.py` declares it.

    Attributes:
        is_model: whether `target` is an nn.Module, which the engine sets to training or evaluation mode and moves to devices.
        gradients_to: the inputs to which gradients are asked for; they are leaves of the graph.
    """

    @property
    def is_model(self) -> bool: ...

    @property
    def gradients_to(self) -> Sequence[str]: ...

    def target(self, names: "Names", options: Mapping[str, Any]) -> Any:
        """What is called: `names["f"]`, or an instance of `names["Model"]`. Made before anything is seeded."""

    def call(self, target: Any, inputs: "Inputs", options: Mapping[str, Any]) -> Any:
        """Calls it once. → whatever the student's function returned"""


class NotDefined(NameError):
    """The notebook defines no such function or class."""


class Names:
    """What the notebook defines: `names["f"]`, or NotDefined."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def __getitem__(self, name: str) -> Any:
        try:
            return self._namespace[name]
        except KeyError:
            raise NotDefined(f"name {name!r} is not defined") from None


class Inputs:
    """The inputs of one call, on its device: `inputs[name]`, a leaf of the graph where gradients are asked for.

    A function that changes what it is given must neither change the leaf nor go unnoticed, so it is handed copies.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self._handed: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def hand(self, name: str) -> torch.Tensor:
        """The input as it comes out of a layer: no leaf, with a way back to one. Changes in place are noticed."""
        tensor = self._tensors[name] * 1
        self._handed.append((name, tensor, self._tensors[name]))
        return tensor

    def watch(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor`, made from the input of that name and to be handed out; changes in place are noticed."""
        self._handed.append((name, tensor, _detach(tensor).clone()))
        return tensor

    def changed(self) -> frozenset[str]:
        """The names of those that are not what they were, bit by bit."""
        with _without_overrides():
            return frozenset(name for name, now, before in self._handed if not _equal(_detach(now), _detach(before)))


def answer_of(path: str) -> Answer:
    """What answers calls with the operations in a file; or the file's own `ANSWER`, if it has one (probe.py)."""
    spec = importlib.util.spec_from_file_location("operations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "ANSWER"):
        return module.ANSWER  # type: ignore[no-any-return]
    rehearse(module)
    return Answers(module.OPERATIONS)


def without_compiler() -> None:
    """Reads `torch.compile` as the plain function: its first call takes longer than a whole submission may."""
    torch.compile = uncompiled


def uncompiled(model: Any = None, **options: Any) -> Any:
    """In place of `torch.compile`, as a function and as a decorator."""
    return model if model is not None else _same


def _same(function: Any) -> Any:
    return function


class Answers:
    """Answers calls of an assignment's operations.

    Args:
        operations: the assignment's, by name.
    """

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations
        self._switches: set[str] = set()  # changed since the last call

    def prepare(self) -> None:
        self._switches |= reset_switches()

    def __call__(self, header: Header, tensors: Tensors, namespace: Namespace, /) -> tuple[Header, Tensors]:
        header, tensors = answer(self._operations, header, tensors, namespace)
        switches, self._switches = _sorted(self._switches), set()
        return header | {"switches": switches}, tensors


def answer(
    operations: Mapping[str, Operation], header: Header, tensors: Tensors, namespace: Namespace
) -> tuple[Header, Tensors]:
    """A reply's (header, tensors) for a call's; whatever the student's code raises becomes part of it."""
    call = Call.read(header, tensors)
    how = try_gpu if call.operation == TRY_GPU else functools.partial(perform, operations[call.operation])
    with silence():
        try:
            reply = how(call, namespace)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: student code may raise anything
            reply = Reply(failure=describe_error(error))
            if call.device == CPU and _isinstance(error, _Exception) and not _isinstance(error, NotDefined):
                reply = on_the_cpu_after_all(how, call, namespace, reply)
    return reply.write()


def try_gpu(call: Call, namespace: Namespace) -> Reply:
    """Whether the GPU works; the first use of it takes seconds."""
    return Reply(**describe(torch.ones(2, device=call.device).sum())[0])


def perform(operation: Operation, call: Call, namespace: Namespace) -> Reply:
    """The reply to a call; to that for each case, one after the other, as one; that of the first that returned no tensor."""
    if not (call.same_instance and _kept):
        _kept.clear()
    if not call.each:
        return perform_one(operation, call, call.tensors, namespace)
    values: list[torch.Tensor] = []
    for case in _zip(*(call.tensors[name] for name in call.each), strict=True):
        if values and not (call.one_instance or call.same_instance):
            _kept.clear()
        tensors = {**call.tensors, **dict(_zip(call.each, case, strict=True))}
        reply = perform_one(operation, call, tensors, namespace)
        if "value" not in reply.tensors:
            return reply
        values.append(reply.tensors["value"])
    return replaced_in(reply, tensors={"value": values[0] if _len(values) == 1 else _stack(values)})


def perform_one(operation: Operation, call: Call, tensors: Mapping[str, torch.Tensor], namespace: Namespace) -> Reply:
    if not _kept:
        _kept.append(operation.target(Names(namespace), call.options))
    target = _kept[0]
    if operation.is_model and getattr(target, "training", None) is not call.training:  # setting it takes as long as a call
        target.train(call.training)
    if call.device in (PRETEND, PRETEND_BESIDE):
        return perform_pretended(operation, call, target, tensors, namespace)
    if operation.is_model and GPU:  # without one there is nowhere else that it could be
        target.to(call.device)
    inputs = Inputs({name: on_device(t, call.device, name in operation.gradients_to) for name, t in tensors.items()})
    seed_everything(call.seed, call.device)
    values: list[torch.Tensor] = []
    seeded: list[bool] = []
    with noting_seeds(seeded):
        for _ in _range(call.repeat):
            result = operation.call(target, inputs, call.options)
            description, value = describe(result)
            if value is None:
                return Reply(**description)
            values.append(value)
    seed_kept = _initial_seed() == call.seed and not seeded
    returned = {"value": values[0] if call.repeat == 1 else _stack(values)}
    if call.tail:
        ends = [_rand(2).tolist(), [random.random(), random.random()], numpy.random.random(2).tolist()]
        returned["tail"] = torch.tensor(ends, dtype=torch.float64)
    leaves = {name: inputs[name] for name in operation.gradients_to}
    if call.gradients:
        returned |= gradients(result, leaves, call.weights)
    return Reply(
        **description,
        tensors=returned,
        changed=inputs.changed(),
        seed_kept=seed_kept,
        backward=frozenset(name for name, leaf in leaves.items() if leaf.grad is not None),
    )


def perform_pretended(
    operation: Operation, call: Call, target: Any, tensors: Mapping[str, torch.Tensor], namespace: Namespace
) -> Reply:
    device = CUDA if call.device == PRETEND else CPU
    with FakeTensorMode(allow_non_fake_inputs=True), AsOnAGpu(), unvalidated(), a_gpu_is_there(namespace):
        if operation.is_model:
            pretend_parameters(target, device)
        inputs = Inputs({name: pretend(tensor, device) for name, tensor in tensors.items()})
        seed_everything(call.seed, call.device)
        return Reply(**describe(operation.call(target, inputs, call.options))[0])


def on_device(tensor: torch.Tensor, device: str, leaf: bool) -> torch.Tensor:
    tensor = tensor.to(device)
    return nn.Parameter(tensor) if leaf else tensor


def replaced_in(reply: Reply, **changes: Any) -> Reply:
    return Reply(**{**vars(reply), **changes})


# --- around a call ---------------------------------------------------------------------------------------------------


# torch's global switches: name → (what it is now, what it is in a fresh Python, what puts it back)
SWITCHES: Mapping[str, tuple[Callable[[], Any], Any, Callable[[Any], Any]]] = {
    "default_device": (_get_device, torch.device("cpu"), lambda _: _set_device(None)),
    "default_dtype": (_get_dtype, torch.float32, _set_dtype),
    "grad_mode": (_get_grad, True, _set_grad),
    "inference_mode": (torch.is_inference_mode_enabled, False, lambda _: _inference.__enter__()),
    "threads": (_get_threads, THREADS, _set_threads),
    "autocast": (
        functools.partial(torch.is_autocast_enabled, "cpu"),
        False,
        functools.partial(torch.set_autocast_enabled, "cpu"),
    ),
    "determinism": (torch.are_deterministic_algorithms_enabled, False, torch.use_deterministic_algorithms),
    "matmul_precision": (torch.get_float32_matmul_precision, "highest", torch.set_float32_matmul_precision),
    "anomaly_mode": (torch.is_anomaly_enabled, False, torch.autograd.set_detect_anomaly),
}


def reset_switches() -> set[str]:
    """Puts torch's global switches back; the names of those that the submission had changed."""
    changed = set()
    for name, (value, normal, restore) in SWITCHES.items():
        try:
            same = value() == normal
        except Exception:  # the default device is not there
            same = False
        if not same:
            restore(normal)
            changed.add(name)
    return changed


class Silence:
    """A stream that takes everything and keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return _len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What the student's functions print during a call, or warn of, is nobody's business and costs nothing."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = Silence()
    try:
        with _quiet_warnings(module=_warnings):
            _simplefilter("ignore")  # a notebook may have made errors of them
            yield
    finally:
        sys.stdout, sys.stderr = before


def seed_everything(seed: int, device: str) -> None:
    """Seeds the generators that answers draw from."""
    _seed_torch(seed)
    if device == CUDA:
        _seed_cuda(seed)
    _seed_numpy(seed % 2**32)
    _seed_python(seed)


@contextlib.contextmanager
def replaced(module: ModuleType, **attributes: Any) -> Iterator[None]:
    """Other attributes of a module, for a while."""
    before = {name: getattr(module, name) for name in attributes}
    for name, value in attributes.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def noting_seeds(seeded: list[bool]) -> contextlib.AbstractContextManager[None]:
    """Adds to `seeded` when CUDA's generators are seeded, which leaves no trace on a machine without them.

    `torch.manual_seed` does so too, but leaves its own trace, unless it is undone by `fork_rng`.
    """

    def note(*arguments: Any) -> None:
        if sys._getframe(1).f_globals.get("__name__") != "torch.random":
            seeded.append(True)

    return replaced(torch.cuda, **dict.fromkeys(("manual_seed", "manual_seed_all", "seed", "seed_all"), note))


def gradients(result: torch.Tensor, leaves: Mapping[str, torch.Tensor], weights: torch.Tensor | None) -> Tensors:
    """The gradients of sum(weights * result) that autograd finds; an input that it does not reach is left out."""
    with _without_overrides():
        if not result.requires_grad:
            return {}
        weights = torch.ones_like(result) if weights is None else weights.to(result.device)
        if result.numel() != weights.numel():
            return {}
        # A result in another shape is another criterion's business.
        result = result.T if result.shape == weights.shape[::-1] else result
        result = result.reshape(weights.shape)
        found = _grad((result * weights).sum(), _list(leaves.values()), allow_unused=True)
    return {f"gradient.{name}": _detach(g).cpu().contiguous() for name, g in _zip(leaves, found, strict=True) if g is not None}


# --- every device read as "cpu" --------------------------------------------------------------------------------------


def on_the_cpu_after_all(how: Callable[[Call, Namespace], Reply], call: Call, namespace: Namespace, first: Reply) -> Reply:
    """The call again with every device read as "cpu"; `first` where that fails, too.

    Whether a device was the matter is decided so, not by an exception's words, of which each kind of machine has its own. An
    answer that fails now and then works the second time in any world, which a third call shows.
    """
    try:
        with AllIsCpu(), legacy_types():
            reply = replaced_in(how(call, namespace), fixed_device=True)
    except BaseException:
        return first
    try:
        how(call, namespace)
    except BaseException:
        return reply
    return first


def legacy_types() -> contextlib.AbstractContextManager[None]:
    """`torch.cuda.FloatTensor` and its like are types, which no mode sees."""
    names = ("FloatTensor", "DoubleTensor", "HalfTensor")
    return replaced(torch.cuda, **{name: getattr(torch, name) for name in names})


ELSEWHERE = frozenset({"cuda", "hpu", "mps", "mtia", "vulkan", "xla", "xpu"})
SPEAKS_OF_DEVICES = r"cuda|same device|different devices|nvidia|accelerator|\b(?:hpu|mps|mtia|vulkan|xla|xpu)\b"


class AllIsCpu(TorchFunctionMode):
    """Reads "cuda", and the names of other devices, as "cpu" in every torch call."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in MOVES:
            return args[0]
        kwargs = {name: self.read(value) for name, value in (kwargs or {}).items()}
        if _type(kwargs.get("device")) is int:
            kwargs["device"] = "cpu"
        if function is torch.Tensor.to and _len(args) > 1 and _type(args[1]) is int:
            args = (args[0], "cpu", *args[2:])
        return function(*map(self.read, args), **kwargs)

    @staticmethod
    def read(value: Any) -> Any:
        if _isinstance(value, torch.device) and value.type in ELSEWHERE:
            return torch.device("cpu")
        if _isinstance(value, str) and value.split(":")[0] in ELSEWHERE:
            return "cpu"
        return value


MOVES = frozenset(getattr(torch.Tensor, name) for name in ELSEWHERE if hasattr(torch.Tensor, name))


# --- pretended CUDA --------------------------------------------------------------------------------------------------


def pretend(tensor: torch.Tensor, device: str = CUDA) -> torch.Tensor:
    """A fake tensor like `tensor`. It never requires a gradient: on CUDA that would abort the process without a GPU."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


@contextlib.contextmanager
def a_gpu_is_there(namespace: Namespace) -> Iterator[None]:
    """A world in which the notebook finds a GPU, and what it has computed from that (`device`) names it, too."""
    truly, count = torch.cuda.is_available, torch.cuda.device_count

    def is_available() -> bool:
        # torch asks, too, and would use what is not there.
        return not sys._getframe(1).f_globals.get("__name__", "").startswith("torch") or truly()

    def device_count() -> int:
        return 1 if is_available() else count()

    cells = "\n".join(_str(cell) for cell in namespace.get("In", ()))
    names = {
        name: CUDA if _isinstance(value, _str) else torch.device(CUDA)
        for name, value in _list(namespace.items())
        if (_isinstance(value, torch.device) and value.type == CPU) or (_type(value) is _str and value == CPU)
        if _search(rf"^\s*{name}\s*=.*\b(is_available|accelerator)\b", cells, re.MULTILINE)
    }
    before = {name: namespace[name] for name in names}
    legacy = {
        f"{name}Tensor": functools.partial(made_on_the_gpu, dtype)
        for name, dtype in (("Float", torch.float32), ("Double", torch.float64), ("Half", torch.float16))
    }
    with replaced(torch.cuda, is_available=is_available, device_count=device_count, **legacy):
        namespace.update(names)
        try:
            yield
        finally:
            namespace.update(before)


def made_on_the_gpu(dtype: torch.dtype, *size: Any) -> torch.Tensor:
    """As `torch.cuda.FloatTensor(*size)`, which is a type and fails without a GPU."""
    return torch.empty(*size, dtype=dtype, device=GPU_0)


def pretend_parameters(model: nn.Module, device: str) -> None:
    """Replaces the model's parameters and buffers by fake tensors."""
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, value in [(name, value) for name, value in store.items() if value is not None]:
                del store[name]
                object.__setattr__(module, name, pretend(value, device))


@contextlib.contextmanager
def unvalidated() -> Iterator[None]:
    """Distributions look at numbers to validate their arguments, which would end the pretended call before a mismatch."""
    distribution = torch.distributions.Distribution
    before = distribution._validate_args
    distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        distribution.set_default_validate_args(before)


def mismatch(what: Any) -> FakeTensorDeviceMismatchError:
    """As torch raises it, where fake tensors would let something of the CPU pass."""
    return FakeTensorDeviceMismatchError(what, torch.device("cuda"), torch.device("cpu"))


class AsOnAGpu(TorchFunctionMode):
    """What fake tensors let pass on a GPU, or refuse without one: generators of the CPU, numpy, moves."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.numpy, torch.Tensor.__array__) and args[0].device.type == CUDA:
            raise mismatch("numpy")
        if function is torch.Tensor.cuda:
            function, args, kwargs = torch.Tensor.to, (args[0], GPU_0), {}
        if function is torch.Tensor.type and _len(args) > 1 and _str(args[1]).startswith("torch.cuda."):
            function, args = torch.Tensor.to, (args[0], GPU_0)
        args, kwargs = _list(map(self.read, args)), {name: self.read(value) for name, value in (kwargs or {}).items()}
        result = function(*args, **kwargs)
        generator: Any = kwargs.get("generator")
        if (
            _isinstance(generator, torch.Generator)
            and _isinstance(result, _Tensor)
            and (generator.device.type != result.device.type)
        ):
            raise mismatch("generator")
        return result

    @staticmethod
    def read(value: Any) -> Any:
        """With the number that torch would otherwise look up on the GPU."""
        named = (_type(value) is _str and value == CUDA) or (_isinstance(value, torch.device) and value.type == CUDA)
        return GPU_0 if named else value


GPU_0 = torch.device(CUDA, 0)


# --- rehearsal -------------------------------------------------------------------------------------------------------

# Elementary operations on one tensor, which mean nothing, for rehearsals.
ELEMENTARY: Sequence[Callable[[torch.Tensor], torch.Tensor]] = [
    torch.exp, torch.sqrt, torch.square, torch.abs, torch.neg, torch.randn_like, torch.zeros_like, torch.ones_like,
    lambda t: 0.5 * t, lambda t: -0.5 * t, lambda t: t / 2, lambda t: 2 * t, lambda t: t**2, lambda t: t**0.5,
    lambda t: 1 + t, lambda t: 1 - t, lambda t: t - 1, lambda t: t + t, lambda t: t - t, lambda t: t * t, lambda t: t / t,
    lambda t: torch.randn(t.shape, device=t.device), lambda t: torch.randn(t.shape, device=t.device, dtype=t.dtype),
    lambda t: torch.normal(0.0, 1.0, t.shape, device=t.device), lambda t: torch.empty_like(t).normal_(),
    torch.sum, torch.mean, lambda t: t.sum(dim=-1, keepdim=True), lambda t: t.mean(dim=-1, keepdim=True),
]  # fmt: skip


def rehearse(module: ModuleType) -> None:
    """What the first calls import and set up (half of torch, for fake tensors) is done once, before student code.

    What torch finds out about an operation on fake tensors is kept, for each shape of theirs. So an assignment may have a
    `rehearsal(elementary)` → (what a notebook could define, [(operation, tensors, options)]), with the shapes of its checks.
    """
    if GPU:  # nothing is pretended then, and fake tensors would initialise CUDA before a fork
        return
    namespace, calls = module.rehearsal(ELEMENTARY) if hasattr(module, "rehearsal") else ({}, [])
    if not calls:
        with FakeTensorMode(allow_non_fake_inputs=True), AsOnAGpu(), unvalidated():
            for operation in ELEMENTARY:
                operation(pretend(torch.ones(5, 3)))
    for device in (CPU, PRETEND, PRETEND_BESIDE):
        for name, tensors, options in calls:
            call = Call(name, tensors, device=device, gradients=True, options=options)
            answer(module.OPERATIONS, *call.write(), namespace)
    _kept.clear()
    # Each seed would be kept, with a stack trace, for a device that is not there: 3 ms for every torch.manual_seed.
    for absent in (torch.cuda, torch.xpu, getattr(torch, "mtia", None)):
        if absent is not None:
            setattr(absent, "manual_seed_all", lambda seed: None)  # noqa: B010 (of modules that have it)


# --- descriptions ----------------------------------------------------------------------------------------------------


def describe(value: Any) -> tuple[dict[str, Any], torch.Tensor | None]:
    """({"type", "shape", ...} as in `Reply`, plain CPU tensor or None) of whatever a function returned."""
    if not _isinstance(value, _Tensor):
        description: dict[str, Any] = {"type": _str(_type(value).__name__)[:60]}
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


def describe_error(error: BaseException) -> Failure:
    """What is known of an exception: its class, its text (cut), the student's line, and whether a device is the matter."""
    line, trace = None, error.__traceback__
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
    if kind is NotDefined:
        return Failure("NameError", ours=True, text=text)
    return Failure(
        _str(kind.__name__)[:60],
        ours=kind.__module__ in ("builtins", "torch") or kind.__module__.startswith("torch."),
        text=text,
        line=line[:300] if line else "",
        device=_search(SPEAKS_OF_DEVICES, text.lower()) is not None,
    )
