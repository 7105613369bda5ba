"""The questions that several checks ask: tolerances, finite differences, generators, devices. Statistics are in `noise.py`."""

import math

import torch

from autograder.errors import Raised, SubmissionError
from autograder.rubric import NotEarned
from autograder.vae_swiss_roll import probes

# Relative tolerance of values, by device. Several wrong formulas lie within 1 to 8 % of the right one, and sums in float32
# within 1e-5; a GPU may take products with 10 bits (TF32), and what it computes has been judged on the CPU before.
RTOL = {"cpu": 1e-4, "cuda": 2e-3}
# Of the noise's scale: a right answer may guard a root or a logarithm by adding 1e-6 to the variance, 4e-4 of the smallest.
SCALE_RTOL = 1e-3
# Step and relative tolerance of finite differences, by dtype.
DIFFERENCE = {"float64": (1e-5, 1e-3), "float32": (1e-2, 1e-2)}

WRONG_GRADIENT = (
    "The gradient to `{name}` is not the derivative of what your function returns: a part of the computation is hidden "
    "from autograd (a `detach`, a `no_grad`, `.item()`, or a change made in place)."
)


def close(a, b, rtol=RTOL["cpu"], atol=0.0):
    """Whether a and b agree element by element, in float64."""
    return torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol)


def proportional(a, b, factor_a, factor_b):
    """Whether a / factor_a = b / factor_b element by element, for two z of the same noise (sums of float32)."""
    rms = float((b**2).mean().sqrt())
    left, right = a * factor_b, b * factor_a
    slack = SCALE_RTOL * right.abs() + 1e-5 * rms * factor_a.abs() + 1e-12
    return bool(torch.isfinite(right).all()) and bool(((left - right).abs() <= slack).all())


def inputs_unchanged(returned, function):
    for name in sorted(returned.changed):
        raise NotEarned(
            f"`{function}` changed `{name}` while it worked, and whoever uses `{name}` next gets the wrong numbers: "
            "operations whose names end in `_`, and `+=`, work in place.",
            "changed_in_place",
        )


def generators_left_alone(student):
    """NotEarned when a call seeds a global generator: then every training step would see the same numbers.

    After two calls with different seeds, the next two numbers of torch's, Python's and numpy's generator are compared. Two of
    torch's are equal by chance with probability 2⁻⁴⁸ = 3.6e-15, the others' less often.
    """
    mu = torch.zeros(128, 2)
    first, second = (student.reparameterize(mu, mu + 1, seed=seed) for seed in (21, 22))
    tails = [returned.tensors.get("tail", mu) for returned in (first, second)]
    same = all(tail.shape == (3, 2) for tail in tails) and bool((tails[0] == tails[1]).all(dim=1).any())
    if same or not (first.seed_kept and second.seed_kept):
        raise NotEarned(
            "`reparameterize` seeds a random generator, so that every call starts from the same numbers (and so does "
            "everything random after it, the training data included): seed once, at the top of the notebook.",
            "reseeds_the_generator",
        )


def in_either_precision(judge):
    """`judge(dtype)` in float64, and in float32 where that fails: float64 serves the finite difference alone, and a right
    answer may hold constants that meet float32 inputs only."""
    try:
        judge(torch.float64)
    except (NotEarned, Raised):
        judge(torch.float32)


def equals_finite_difference(function, at, found, dtype, name, see):
    """NotEarned unless <found, d> equals the central difference of `function` at `at` along random ±1 directions d.

    The error of the difference is h²/6 of the third derivative plus the rounding over h; both are below 1e-4 here.

    Args:
        function: maps a list of tensors like `at` to a list of numbers.
        dtype: "float64", or that of what it returns.
        see: takes a sentence of evidence.
    """
    step, rtol = DIFFERENCE["float64" if dtype == "float64" else "float32"]
    directions = [probes.signs(seed, at.shape, dtype=at.dtype) for seed in (31, 32, 33)]
    values = function([at + side * step * d for d in directions for side in (1, -1)])
    for d, above, below in zip(directions, values[::2], values[1::2], strict=True):
        difference = float(above - below) / (2 * step)
        along = float((found.double() * d).sum())
        see(f"Along a random direction, autograd says {along:.5g}, and the function itself changes by {difference:.5g}.")
        slack = rtol * max(abs(difference), float((found.double() * d).norm())) + 1e-9
        if not math.isfinite(difference) or not abs(difference - along) <= slack:
            raise NotEarned(WRONG_GRADIENT.format(name=name), "part_of_the_gradient_missing")


# --- devices ---------------------------------------------------------------------------------------------------------


def no_fixed_device(returned, function):
    """NotEarned when tensors of the CPU went in and something came back from, or asked for, a GPU."""
    if returned.fixed_device or returned.device == "cuda":
        raise NotEarned(
            f'`{function}` names the device "cuda" itself, and fails on a machine without a GPU: make new tensors on the '
            "device of `mu`.",
            "fixed_device",
            device="cpu",
        )


def on_the_other_device(student, function, mu, logvar, **arguments):
    """`function` with CUDA tensors, real ones where the worker has a GPU and pretend ones where not.

    On pretend tensors only a device mismatch, or a result that is not on the GPU, is evidence: they have no numbers, so
    code that looks at numbers (`.item()`, a check of its arguments) fails there and is right.

    Returns:
        `Returned`, with numbers where the GPU is real, or None.
    """
    pretended = student.other_device == "pretend"
    try:
        returned = function(mu, logvar, device=student.other_device, **arguments)
    except Raised as error:
        if error.device and (error.kind == "FakeTensorDeviceMismatchError" or not pretended):
            raise NotEarned(
                "On a GPU this fails: a tensor on the CPU, or on a device fixed elsewhere, meets `mu`, which is on the GPU. "
                "Make new tensors like `mu`, or on its device.",
                "tensor_on_the_cpu",
                device="cuda",
            ) from None
        if pretended:
            return None
        raise
    except SubmissionError:
        if pretended:
            return None
        raise
    if returned.is_tensor and returned.device != "cuda":
        raise NotEarned(
            "On a GPU the result comes back on the CPU: a `.cpu()` or a fixed device takes it off the device of `mu`.",
            "result_on_the_cpu",
            device="cuda",
        )
    return None if pretended else returned
