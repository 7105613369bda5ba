"""What grader and worker say to each other about a call: a `Call` goes in, a `Reply` comes out.

Each of them is written and read here alone. A header is JSON, the tensors travel beside it (frames.py). The grader reads what
a student's process wrote: `Reply.read` believes nothing that contradicts itself.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from .frames import FrameError

CPU, CUDA = "cpu", "cuda"
PRETEND, PRETEND_BESIDE = "pretend", "pretend beside"  # tensors on a GPU that is not there; on the CPU, beside one
TRY_GPU = "try the GPU"  # the engine's own operation: whether the GPU works at all

Header = dict[str, Any]
Tensors = dict[str, torch.Tensor]

# Bound early: `Call.read` and the `write` methods run in the worker, where student code may replace what names stand for.
_tuple, _len, _sorted = tuple, len, sorted
_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})  # not float8, which cannot be compared
_INTEGERS = frozenset({torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool})
_DTYPES = frozenset(str(thing).removeprefix("torch.") for thing in vars(torch).values() if isinstance(thing, torch.dtype))
_DEVICES = frozenset({"cpu", "cuda", "meta", "mps", "xpu", "mtia", "xla", "hpu", "privateuseone"})
_MOST = 2**31  # entries of anything


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a student's function, which the engine makes (pytorch.py).

    Attributes:
        operation: name of one of the assignment's operations, or `TRY_GPU`.
        tensors: the inputs by name, CPU tensors that share no memory.
        seed: of every generator, set before the call.
        device: "cpu", "cuda", or, for fake tensors, which have a device and a shape but no numbers, "pretend" (on a GPU) and
            "pretend beside" (on the CPU of a machine with a GPU).
        repeat: how often the function is called, one time after the other, without seeding in between.
        each: inputs that hold one case after the other along their first dimension, equally many: the function is called for
            one case after the other, each as if it were the only one.
        gradients: whether the gradients of sum(weights * result) to the operation's `gradients_to` are asked for.
        weights: like the result; None for ones.
        training: whether a model is in training mode.
        same_instance: whether the instance of the call before is used again, if there is one.
        one_instance: whether all cases of a call share an instance; a fresh one for each otherwise.
        tail: whether the next two numbers of each generator are asked for.
        options: what else the operation wants, JSON values.
        at: the moment as of which the notebook's names count (moments.py); "" for its end.
    """

    operation: str
    tensors: Mapping[str, torch.Tensor]
    seed: int = 0
    device: str = CPU
    repeat: int = 1
    each: tuple[str, ...] = ()
    gradients: bool = False
    weights: torch.Tensor | None = None
    training: bool = True
    same_instance: bool = False
    one_instance: bool = False
    tail: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    at: str = ""

    @property
    def cases(self) -> int:
        """How many cases it is called for."""
        return _len(self.tensors[self.each[0]]) if self.each else 1

    def write(self) -> tuple[Header, Tensors]:
        """(header, tensors) for a frame."""
        header = {name: getattr(self, name) for name in _IN_HEADER}
        tensors = {f"input.{name}": tensor for name, tensor in self.tensors.items()}
        return header, tensors if self.weights is None else {**tensors, "weights": self.weights}

    @classmethod
    def read(cls, header: Header, tensors: Tensors) -> "Call":
        """The Call in a frame, which the grader wrote."""
        inputs = {name.removeprefix("input."): tensor for name, tensor in tensors.items() if name.startswith("input.")}
        fields = {name: header[name] for name in _IN_HEADER}
        return cls(tensors=inputs, weights=tensors.get("weights"), **{**fields, "each": _tuple(fields["each"])})


_IN_HEADER = tuple(f.name for f in dataclasses.fields(Call) if f.name not in ("tensors", "weights"))


@dataclasses.dataclass(frozen=True)
class Failure:
    """An exception that ended a call. Its words may be the student's.

    Attributes:
        kind: the name of its class.
        ours: whether that class is Python's or torch's own.
        text: its message, cut.
        line: the line of the student's source where it was raised, or "".
        device: whether the message speaks of devices.
    """

    kind: str
    ours: bool = False
    text: str = ""
    line: str = ""
    device: bool = False

    def write(self) -> Header:
        return {name: getattr(self, name) for name in _OF_FAILURE}

    @classmethod
    def read(cls, found: object) -> "Failure":
        """The Failure in a header; FrameError where there is none."""
        if not isinstance(found, dict):
            raise FrameError("an exception without a description")

        def text(name: str, size: int) -> str:
            value = found.get(name)
            return value[:size] if isinstance(value, str) else ""

        return cls(
            text("kind", 60),
            found.get("ours") is True,
            text("text", 2000),
            text("line", 300),
            found.get("device") is True,
        )


_OF_FAILURE = tuple(f.name for f in dataclasses.fields(Failure))


@dataclasses.dataclass(frozen=True)
class Reply:
    """What became of a `Call`.

    Attributes:
        type: "tensor", or the class name of something else that was returned; "" where nothing was.
        length: of a tuple or list, else None.
        shape, dtype, device: of a tensor, else None.
        tensors: by name, where they came back: "value" ((repeat, ...) or (cases, ...) where there are several), "gradient.NAME"
            for an input, "tail" (3, 2): the next numbers of torch's, Python's and numpy's generator.
        changed: inputs that the call changed in place.
        seed_kept: False when the call seeded a generator.
        backward: inputs that a backward pass of the call's own reached.
        fixed_device: whether the call failed without a GPU and worked with every device read as "cpu".
        switches: torch's global switches that were found changed, and put back, before the call.
        failure: `Failure`, where an exception ended it.
    """

    type: str = ""
    length: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    device: str | None = None
    tensors: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    seed_kept: bool = True
    backward: frozenset[str] = frozenset()
    fixed_device: bool = False
    switches: frozenset[str] = frozenset()
    failure: Failure | None = None

    @property
    def is_tensor(self) -> bool:
        return self.type == "tensor"

    def write(self) -> tuple[Header, Tensors]:
        """(header, tensors) for a frame."""
        header: Header = {name: getattr(self, name) for name in _AS_THEY_ARE}
        header |= {name: _sorted(getattr(self, name)) for name in _NAMES}
        return header | {"failure": self.failure and self.failure.write()}, {**self.tensors}

    @classmethod
    def read(cls, call: Call, header: Header, tensors: Tensors) -> "Reply":
        """The Reply to `call` in a frame.

        Raises:
            FrameError: it contradicts itself, or says nothing.
        """
        switches = _names(header.get("switches", []), "the switches")
        if header.get("failure") is not None:
            return cls(switches=switches, failure=Failure.read(header["failure"]))
        kind, length = header.get("type"), header.get("length")
        if not isinstance(kind, str):
            raise FrameError("a reply without a description of what was returned")
        if kind != "tensor":
            return cls(kind[:60], length if type(length) is int and 0 <= length < _MOST else None, switches=switches)
        shape, dtype, device = header.get("shape"), header.get("dtype"), header.get("device")
        if (
            not (isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and 0 <= n < _MOST for n in shape))
            or not (isinstance(dtype, str) and dtype in _DTYPES)
            or not (isinstance(device, str) and device in _DEVICES)
        ):
            raise FrameError("a tensor without shape, dtype and device")
        times = call.repeat * call.cases
        if "value" in tensors:
            value = tensors["value"]
            if (
                list(value.shape) != (shape if times == 1 else [times, *shape])
                or str(value.dtype) != f"torch.{dtype}"
                or value.dtype not in _FLOATS | _INTEGERS
            ):
                raise FrameError("a tensor that is not what its description says")
        for name, tensor in call.tensors.items():
            gradient = tensors.get(f"gradient.{name}")
            if gradient is not None and not (gradient.shape == tensor.shape and gradient.dtype in _FLOATS):
                raise FrameError("a gradient that is not like its input")
        if "tail" in tensors and not (tensors["tail"].shape == (3, 2) and tensors["tail"].dtype == torch.float64):
            raise FrameError("a tail that is none")
        return cls(
            kind,
            None,
            tuple(shape),
            dtype,
            device,
            tensors,
            changed=_names(header.get("changed", []), "what was changed") & call.tensors.keys(),
            seed_kept=header.get("seed_kept") is not False,
            backward=_names(header.get("backward", []), "what a backward pass reached") & call.tensors.keys(),
            fixed_device=header.get("fixed_device") is True,
            switches=switches,
        )


_AS_THEY_ARE = ("type", "length", "shape", "dtype", "device", "seed_kept", "fixed_device")
_NAMES = ("changed", "switches", "backward")


def _names(found: object, what: str) -> frozenset[str]:
    if not isinstance(found, list):
        raise FrameError(f"no list of {what}")
    return frozenset(name for name in found if isinstance(name, str))
