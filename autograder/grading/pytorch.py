"""The hidden checks' door to a student's PyTorch function, and the questions that checks of any such function ask.

    check ─► Student ─► Call ─► the worker ─► Reply ─► plain tensors ─► check

An assignment derives its `Student`, which knows its functions by name. What its checks have in common with those of other
assignments is here: describing what came back, finite differences, changed inputs, generators, devices.
"""

import builtins
import contextlib
import enum
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

import torch

from autograder.assignment import Policy
from autograder.criteria import NotEarned, Record
from autograder.errors import BadReply, NotCallable, Raised, SubmissionError
from autograder.sandbox.inside.frames import FrameError
from autograder.sandbox.inside.messages import CPU, CUDA, PRETEND, PRETEND_BESIDE, Call, Failure, Header, Reply, Tensors

# Relative tolerance of values, by device. Several wrong formulas lie within 1 to 8 % of the right one, and sums in float32
# within 1e-5; a GPU may take products with 10 bits (TF32), and what it computes has been judged on the CPU before.
RTOL = {CPU: 1e-4, CUDA: 2e-3}
# Step and relative tolerance of finite differences, by dtype.
DIFFERENCE = {"float64": (1e-5, 1e-3), "float32": (1e-2, 1e-2)}
CASES = 8  # of different arguments in one call, for the same reason as:
CHUNK = 32  # repeated draws in one call, so that a slow answer does not meet the time limit of a call


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """With one of torch's threads: several wait for one another longer than they work, and take other processes' cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Mistake(enum.StrEnum):
    """Mistakes that any function of tensors can make, by their names in verdicts."""

    NOT_DONE = "not_done"
    CHANGED_IN_PLACE = "changed_in_place"
    RESEEDS = "reseeds_the_generator"
    NO_GRADIENT = "no_gradient"
    GRADIENT_IN_PART = "part_of_the_gradient_missing"
    BACKWARD_INSIDE = "backward_inside"
    FIXED_DEVICE = "fixed_device"
    LEFT_ON_THE_CPU = "tensor_on_the_cpu"
    RESULT_ON_THE_CPU = "result_on_the_cpu"
    WHERE_THE_GPU_IS = "goes_where_the_gpu_is"
    RAISES = "raises"


SWITCHES = {
    "default_dtype": "torch's default dtype",
    "grad_mode": "whether torch records gradients",
    "threads": "the number of torch's threads",
    "default_device": "torch's default device",
    "autocast": "whether torch computes in fewer bits (`autocast`)",
    "determinism": "whether torch insists on deterministic algorithms",
    "matmul_precision": "the precision of matrix products",
    "anomaly_mode": "whether autograd looks for anomalies",
    "inference_mode": "whether torch is in inference mode",
}


class Caller(Protocol):
    """What reaches the submission, wherever it runs: in a sandbox, or in this very process (stock.py)."""

    def __call__(self, call: Call, /) -> Reply:
        """Makes a call and waits for what comes back; SubmissionError when nothing does that can be read."""


class Student:
    """One submission, as the checks see it: the base of an assignment's fixture.

    Args:
        call: reaches the submission.
        cuda: whether the worker has a GPU. Without one, `other_device` is the pretended one.
        policies: name → whether the arguable thing is accepted, for those that differ from their default.
        seed: added to the seed of every call. Marks use 0; other values show that they do not depend on it.

    Attributes:
        record: `Record` of the check that runs: each call and what came back, for a complaint.
        at: the moment as of which the notebook's definitions count: a test cell's, or "" for the notebook's end.
    """

    POLICIES: ClassVar[Sequence[Policy]] = ()
    DEFINES: ClassVar[Sequence[str]] = ()  # as `Assignment.defines`

    def __init__(self, call: Caller, cuda: bool = False, policies: Mapping[str, bool] | None = None, seed: int = 0) -> None:
        self._call, self._seed = call, seed
        self.other_device = CUDA if cuda else PRETEND
        self.policies = {policy.name: policy.default for policy in self.POLICIES} | dict(policies or {})
        self.record = Record()
        self.at = ""
        self._switches: set[str] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what the submission changed globally; it was put back for each call and costs nothing by itself."""
        if not self._switches:
            return ()
        what = " and ".join(SWITCHES[name] for name in sorted(self._switches))
        return (f"The notebook changes {what}, for everything that runs after it; the checks put it back for each call.",)

    def ask(
        self,
        operation: str,
        tensors: Mapping[str, torch.Tensor],
        *,
        seed: int,
        device: str = CPU,
        repeat: int = 1,
        each: tuple[str, ...] = (),
        gradients: bool = False,
        weights: torch.Tensor | None = None,
        training: bool = True,
        same_instance: bool = False,
        one_instance: bool = False,
        tail: bool = False,
        **options: object,
    ) -> Reply:
        """One call, as `messages.Call` has it. → its Reply

        Raises:
            SubmissionError: the student's function did not return.
        """
        # safetensors refuses tensors that share memory, as they do where a check passes one tensor twice.
        own = {name: tensor.clone() for name, tensor in tensors.items()}
        seed += self._seed
        instance = same_instance, one_instance
        call = Call(operation, own, seed, device, repeat, each, gradients, weights, training, *instance, tail, options, self.at)
        asked = self.record.ask(call)
        try:
            asked.reply = self._answered(call)
        except SubmissionError as error:
            asked.error = error
            raise
        return asked.reply

    def _answered(self, call: Call) -> Reply:
        reply = self._call(call)
        self._switches |= reply.switches & SWITCHES.keys()
        if reply.failure is not None:
            raise error_of(reply.failure, self.DEFINES)
        return reply

    def in_words(self, call: Call, function: str) -> str:
        """A call, for a person who asks how a mark came about."""
        mode = "" if call.training else " in evaluation mode"
        inputs = ", ".join(f"{name} {numbers(tensor)}" for name, tensor in call.tensors.items())
        return f"{function}{mode} with {inputs}{how(call)}"


def reply_to(call: Call, header: Header, tensors: Tensors) -> Reply:
    """The Reply in what a worker sent; BadReply where it is none."""
    try:
        return Reply.read(call, header, tensors)
    except FrameError as error:
        raise BadReply(str(error)) from error


# Exceptions whose names are shown: Python's, and those of torch and pytest that student code meets.
KINDS = {name for name, thing in vars(builtins).items() if isinstance(thing, type) and issubclass(thing, BaseException)}
KINDS |= {"AcceleratorError", "DataDependentOutputException", "DynamicOutputShapeException", "FakeTensorDeviceMismatchError"}
KINDS |= {"LinAlgError", "OutOfMemoryError", "Skipped", "UnsupportedFakeTensorException", "UnsupportedOperatorException"}


def error_of(failure: Failure, defines: Sequence[str]) -> SubmissionError:
    """The SubmissionError for the worker's description of an exception."""
    for name in defines:
        if (failure.kind, failure.text) == ("NameError", f"name {name!r} is not defined"):
            return NotCallable(name)
    # A student's class may call itself Python's own, and its name be anything.
    kind = failure.kind if failure.ours and failure.kind in KINDS else ""
    return Raised(kind, failure.text, failure.line or None, failure.device)


def stacked(cases: Sequence[Sequence[torch.Tensor]], most: int = CASES) -> Iterator[tuple[torch.Tensor, ...]]:
    """The arguments of several calls, up to `most` of them stacked for one `Call.each`, for a list of tuples of tensors."""
    for start in range(0, len(cases), most):
        yield tuple(torch.stack(parts) for parts in zip(*cases[start : start + most], strict=True))


# --- what came back --------------------------------------------------------------------------------------------------


def values(reply: Reply) -> torch.Tensor:
    """The tensor's numbers, float64; BadReply when it came without them (sparse, fake, on no real device)."""
    if "value" not in reply.tensors:
        raise BadReply("a tensor without numbers")
    return reply.tensors["value"].double()


def describe(reply: Reply) -> str:
    """What was returned, in words; only words of ours and of torch."""
    if reply.is_tensor:
        return f"a tensor of shape {reply.shape}"
    if reply.type == "NoneType":
        return "nothing (`None`)"
    if reply.length is not None:
        return f"a {'tuple' if reply.type == 'tuple' else 'list'} of {reply.length}"
    known = {"float": "a plain Python number", "int": "a plain Python number", "ndarray": "a numpy array"}
    known |= {name: f"a distribution object (`{name}`)" for name in ("Normal", "Independent", "MultivariateNormal")}
    return known.get(reply.type, "something that is not a tensor")


def numbers(tensor: torch.Tensor) -> str:
    """Shape, dtype and range, in words."""
    shape = "×".join(map(str, tensor.shape)) or "one number"
    dtype = str(tensor.dtype).removeprefix("torch.")
    if not tensor.numel():
        return f"({shape}, {dtype})"
    low, high = float(tensor.min()), float(tensor.max())
    span = f"all {low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"({shape}, {dtype}, {span})"


def how(call: Call) -> str:
    """How often a call was made, with which seed and where, in words."""
    cases = f", for one of the {call.cases} after the other" if call.each else ""
    times = f", {call.repeat} times" if call.repeat > 1 else ""
    where = {CPU: "", CUDA: " on the GPU", PRETEND: " on a pretend GPU", PRETEND_BESIDE: " beside a pretend GPU"}[call.device]
    return f"{cases}; seed {call.seed}{times}{where}"


def came_back(reply: Reply) -> str:
    """What came back, with the spread of its numbers, in words."""
    if not reply.is_tensor:
        return describe(reply)
    extra = " The call changed " + " and ".join(sorted(reply.changed)) + "." if reply.changed else ""
    if "value" not in reply.tensors:
        return f"{describe(reply)}, {reply.dtype}, on {reply.device}, without numbers.{extra}"
    value = reply.tensors["value"]
    if value.dim() == 0:
        return f"{float(value):.7g} ({reply.dtype}).{extra}"
    mean = f"; mean {float(value.double().mean()):.4g}" if value.numel() else ""
    return f"a tensor {numbers(value)}{mean}.{extra}"


# --- questions of several checks -------------------------------------------------------------------------------------


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = RTOL[CPU], atol: float = 0.0) -> bool:
    """Whether a and b agree element by element, in float64."""
    return torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol)


def generator(seed: int) -> torch.Generator:
    """A generator of our own, for inputs that are the same on every run."""
    return torch.Generator().manual_seed(seed)


def signs(seed: int, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random ±1."""
    return (torch.randint(0, 2, tuple(shape), generator=generator(seed)) * 2 - 1).to(dtype)


def uneven(seed: int, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random ±0.75 to ±1.25: directions along which errors in two entries do not cancel."""
    return signs(seed, shape, dtype) * (0.75 + 0.5 * torch.rand(tuple(shape), generator=generator(seed), dtype=dtype))


def inputs_unchanged(reply: Reply, function: str) -> None:
    """NotEarned when the call changed an input in place."""
    for name in sorted(reply.changed):
        raise NotEarned(
            f"`{function}` changed `{name}` while it worked, and whoever uses `{name}` next gets the wrong numbers: "
            "operations whose names end in `_`, and `+=`, work in place.",
            Mistake.CHANGED_IN_PLACE,
        )


def generators_left_alone(first: Reply, second: Reply, function: str) -> None:
    """NotEarned when a call seeds a global generator: then every training step would see the same numbers.

    After two calls with different seeds, both asked for their `tail`, the next two numbers of torch's, Python's and numpy's
    generator are compared. Two of torch's are equal by chance with probability 2⁻⁴⁸ = 3.6e-15, the others' less often.
    """
    tails = [reply.tensors.get("tail", torch.zeros(0)) for reply in (first, second)]
    same = all(tail.shape == (3, 2) for tail in tails) and bool((tails[0] == tails[1]).all(dim=1).any())
    if same or not (first.seed_kept and second.seed_kept):
        raise NotEarned(
            f"`{function}` seeds a random generator, so that every call starts from the same numbers (and so does "
            "everything random after it, the training data included): seed once, at the top of the notebook.",
            Mistake.RESEEDS,
        )


def in_either_precision(judge: Callable[[torch.dtype], None]) -> None:
    """`judge(dtype)` in float64, and in float32 where that fails: float64 serves the finite difference alone, and a right
    answer may hold constants that meet float32 inputs only."""
    try:
        judge(torch.float64)
    except (NotEarned, Raised):
        judge(torch.float32)


def wrong_gradient(name: str) -> str:
    """The sentence for a gradient to that input that is not the function's derivative."""
    return (
        f"The gradient to `{name}` is not the derivative of what your function returns: a part of the computation is hidden "
        "from autograd (a `detach`, a `no_grad`, `.item()`, or a change made in place)."
    )


def in_proportion(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-3) -> bool:
    """Whether a is b times a positive number."""
    a, b = a.double(), b.double()
    c = float((a * b).sum() / (b * b).sum())
    return c > 0 and bool(((a - c * b).abs() <= rtol * c * b.abs().max()).all())


def plays_no_part(function: Callable[[list[torch.Tensor]], Sequence[float] | torch.Tensor], at: torch.Tensor) -> bool:
    """Whether `function` (as below) stays what it is when the input moves far from `at`: then no gradient is cut off.

    Rounding is no change: terms that cancel leave some.
    """
    places = [at, at + 0.5 * signs(31, at.shape, at.dtype), at - 1.5, torch.zeros_like(at)]
    values = [float(value) for value in function(places)]
    return max(values) - min(values) <= 64 * torch.finfo(at.dtype).eps * max(map(abs, values))


def equals_finite_difference(
    function: Callable[[list[torch.Tensor]], Sequence[float] | torch.Tensor],
    at: torch.Tensor,
    found: torch.Tensor,
    dtype: str | None,
    name: str,
    see: Callable[[str], None],
) -> None:
    """NotEarned unless <found, d> equals the central difference of `function` at `at` along random directions d.

    The error of the difference is h²/6 of the third derivative plus the rounding over h; both are below 1e-4 for functions of
    ordinary size, and the rounding of very large ones is let pass.

    Args:
        function: maps a list of tensors like `at` to as many numbers.
        found: the gradient, shape as `at`.
        dtype: "float64", or that of what the function returns.
        name: of the input.
        see: takes a sentence of evidence.
    """
    step, rtol = DIFFERENCE["float64" if dtype == "float64" else "float32"]
    directions = [uneven(seed, at.shape, dtype=at.dtype) for seed in (31, 32)]
    values = function([at + side * step * d for d in directions for side in (1, -1)])
    for d, above, below in zip(directions, values[::2], values[1::2], strict=True):
        difference = float(above - below) / (2 * step)
        along = float((found.double() * d).sum())
        see(f"Along a random direction, autograd says {along:.5g}, and the function itself changes by {difference:.5g}.")
        rounding = (
            4 * torch.finfo(torch.float64 if dtype == "float64" else torch.float32).eps * max(abs(above), abs(below)) / step
        )
        slack = rtol * max(abs(difference), float((found.double() * d).norm())) + float(rounding) + 1e-9
        if not math.isfinite(difference) or not abs(difference - along) <= slack:
            raise NotEarned(wrong_gradient(name), Mistake.GRADIENT_IN_PART)


# --- devices ---------------------------------------------------------------------------------------------------------


def no_fixed_device(reply: Reply, function: str, like: str) -> None:
    """NotEarned when tensors of the CPU went in and something came back from, or asked for, a GPU.

    Args:
        like: the input on whose device new tensors belong.
    """
    if reply.fixed_device or reply.device == CUDA:
        raise NotEarned(
            f"`{function}` names a device itself, and fails on a machine that has no such device: make new tensors on the "
            f"device of `{like}`.",
            Mistake.FIXED_DEVICE,
            device=CPU,
        )


def on_the_other_device(student: Student, ask: Callable[[str], Reply], like: str) -> Reply | None:
    """A call with CUDA tensors, real ones where the worker has a GPU and pretended ones where not.

    On pretended tensors only a device mismatch, or a result that is not on the GPU, is evidence: they have no numbers, so
    code that looks at numbers (`.item()`, a check of its arguments) fails there and is right.

    Args:
        ask: makes the call on a device.
        like: the input on whose device new tensors belong.

    Returns:
        The Reply, with numbers, where the GPU is real, or None.
    """
    pretended = student.other_device == PRETEND
    try:
        reply = ask(student.other_device)
    except Raised as error:
        if error.device and (error.kind == "FakeTensorDeviceMismatchError" or not pretended):
            raise NotEarned(
                f"On a GPU this fails: a tensor on the CPU, or on a device fixed elsewhere, meets `{like}`, which is on the "
                f"GPU. Make new tensors like `{like}`, or on its device.",
                Mistake.LEFT_ON_THE_CPU,
                device=CUDA,
            ) from None
        if pretended:
            return None
        raise
    except SubmissionError:
        if pretended:
            return None
        raise
    if reply.is_tensor and reply.device != CUDA:
        raise NotEarned(
            f"On a GPU the result comes back on the CPU: a `.cpu()` or a fixed device takes it off the device of `{like}`.",
            Mistake.RESULT_ON_THE_CPU,
            device=CUDA,
        )
    return None if pretended else reply


def beside_a_gpu(student: Student, ask: Callable[[str], Reply], function: str, like: str) -> None:
    """NotEarned when tensors of the CPU meet others on a GPU because there is one: pretended, where the worker has none.

    Args:
        ask: makes the call on a device.
        like: the input on whose device new tensors belong.
    """
    if student.other_device != PRETEND:  # where the GPU is real, every call on the CPU is one beside it
        return
    try:
        on_the_gpu = ask(PRETEND_BESIDE).device == CUDA
    except Raised as error:
        on_the_gpu = error.kind == "FakeTensorDeviceMismatchError"
    except SubmissionError:
        return
    if on_the_gpu:
        raise NotEarned(
            f"On a machine with a GPU `{function}` fails for tensors on the CPU: it puts new tensors on the GPU because there "
            f"is one. What counts is where `{like}` is: make new tensors on its device.",
            Mistake.WHERE_THE_GPU_IS,
            device=CPU,
        )
