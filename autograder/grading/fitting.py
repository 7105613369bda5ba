"""What a submission computes, found out from its numbers: a few known functions added up, a curve that stops, a power law.

Only an exact fit is one. Numbers are float64; what came back in float32 is exact to `RTOL`.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy
import torch

RTOL = 1e-5
ROUND = 1e-4  # within which a coefficient is taken for a simple number
SIMPLE = sorted({n / d for n in range(13) for d in (1, 2, 3, 4, 5, 8, 10)})


def simple(value: float) -> float:
    """The simple number that `value` is within rounding, else itself."""
    nearest = min(SIMPLE, key=lambda known: abs(known - abs(value)))
    return math.copysign(nearest, value) if abs(nearest - abs(value)) <= ROUND * max(nearest, 1e-3) else value


def same(a: torch.Tensor, b: torch.Tensor, rtol: float = RTOL, atol: float = 1e-12) -> bool:
    """Whether a is b, to `rtol` of the largest of b and `atol`."""
    return bool(torch.isfinite(a).all()) and bool(((a - b).abs() <= rtol * b.abs().max() + atol).all())


def each_same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether each of a is that of b, to `RTOL` of itself."""
    return bool(torch.isfinite(a).all()) and bool(((a - b).abs() <= RTOL * b.abs() + 1e-12).all())


def ratio(y: torch.Tensor, x: torch.Tensor, atol: float = 1e-12) -> float | None:
    """c where y = c · x, else None."""
    if not bool((x != 0).any()):
        return None
    c = float((x * y).sum() / (x * x).sum())
    return simple(c) if c and same(y, c * x, atol=atol) else None


def combination(
    y: torch.Tensor, terms: Mapping[str, torch.Tensor], most: int, first: Sequence[str] = ()
) -> dict[str, float] | None:
    """The coefficients with which some of the terms add up to y, or None.

    The fewest that do are taken, at most `most`; of equally many those that hold more of `first`. Terms that are not finite
    are left out.

    Args:
        y: (n,)
        terms: name → (n,)
    """
    known = {name: term.numpy() for name, term in terms.items() if bool(torch.isfinite(term).all())}
    target = y.numpy()
    if not numpy.isfinite(target).all():
        return None
    allowed = RTOL * max(float(numpy.abs(target).max()), 1e-12)
    if float(numpy.abs(target).max()) < 1e-12:
        return {}
    for count in range(1, most + 1):
        chosen = sorted(itertools.combinations(known, count), key=lambda names: -len(set(first).intersection(names)))
        for names in chosen:
            columns = numpy.stack([known[name] for name in names], axis=1)
            coefficients = numpy.linalg.lstsq(columns, target, rcond=None)[0]
            if numpy.abs(columns @ coefficients - target).max() <= allowed:
                return {name: simple(float(c)) for name, c in zip(names, coefficients, strict=True)}
    return None


def sum_of_two(grid: torch.Tensor) -> bool:
    """Whether grid[i, j] = g[i] + h[j]."""
    parts = grid[:, :1] + grid[:1, :] - grid[0, 0]
    return same(grid, parts)


def follows_between(y: torch.Tensor, curve: torch.Tensor) -> tuple[int, int] | None:
    """(first, last) of the places between which y is `curve`, where it is constant on either side; None for anything else.

    Args:
        y, curve: (n,), in the order of what they depend on; at least a fifth of the places have to agree.
    """
    agree = ((y - curve).abs() <= RTOL * curve.abs().clamp(min=1e-9)).tolist()
    if all(agree) or sum(agree) < max(3, len(agree) / 5):
        return None
    first, last = agree.index(True), len(agree) - 1 - agree[::-1].index(True)
    below, above = y[:first], y[last + 1 :]
    if not all(agree[first : last + 1]):
        return None
    for outside in (below, above):
        if len(outside) > 1 and not same(outside, outside[:1].expand_as(outside)):
            return None
    return first, last


def power_law(values: Mapping[tuple[int, int], float]) -> tuple[float, int, int] | None:
    """(c, a, b) where the value at (n, d) is c · nᵃ · dᵇ with whole a and b, or None."""
    found = {shape: value for shape, value in values.items() if math.isfinite(value) and value != 0}
    if len(found) < len(values) or len({value > 0 for value in found.values()}) > 1:
        return None
    rows = numpy.array([[1.0, math.log(n), math.log(d)] for n, d in found])
    logs = numpy.array([math.log(abs(value)) for value in found.values()])
    coefficients = numpy.linalg.lstsq(rows, logs, rcond=None)[0]
    a, b = round(coefficients[1]), round(coefficients[2])
    cs = [value / (n**a * d**b) for (n, d), value in found.items()]
    c = sum(cs) / len(cs)
    return (simple(c), a, b) if max(abs(part / c - 1) for part in cs) <= 10 * RTOL else None


def place_of(value: float, curve: Callable[[torch.Tensor], torch.Tensor], low: float, high: float) -> float:
    """Where between low and high a monotonic curve takes a value."""
    places = torch.linspace(low, high, 10_001, dtype=torch.float64)
    return float(places[(curve(places) - value).abs().argmin()])
