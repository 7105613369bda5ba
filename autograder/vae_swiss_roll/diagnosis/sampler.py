"""How a wrong `reparameterize` uses mu and logvar, told from calls with the same noise."""

from collections.abc import Callable

import torch

from autograder.errors import NotEarned
from autograder.grading import fitting
from autograder.vae_swiss_roll import misconceptions
from autograder.vae_swiss_roll.student import SameNoise

NOT_CENTRED = "z is not centred on `mu`: when `mu` moves and the noise stays the same, z should move by just as much."


def not_centred(found: SameNoise) -> NotEarned:
    """The NotEarned for a z that does not move with mu one to one."""
    mu, logvar, at_zero, at_one = found.mu.double(), found.logvar.double(), found.at_zero, found.at_one
    moved = found.z - at_zero
    noise = at_one / at_one.abs().max().clamp(min=1e-12)
    said: list[tuple[str, str]] = []
    if fitting.same(found.z, at_zero):
        said.append(("`mu` plays no part in z: it is where z is centred.", "mu_not_used"))
    elif (c := fitting.ratio(moved, mu)) is not None:
        how = {-1.0: "`mu` is subtracted in place of being added", 2.0: "`mu` is added twice"}
        said.append(
            (f"{how.get(c, f'When `mu` moves by 1, z moves by {c:.3g}')}: z should move by just as much as `mu`.", "mu_scaled")
        )
    else:
        for c, (name, sentence, curve) in ((c, entry) for entry in CENTRES for c in (1.0, -1.0)):
            if fitting.same(moved, c * curve(mu, logvar)):
                said.append((sentence, name))
        for name, sentence, curve in WITH_NOISE:
            part = curve(mu, logvar) * noise
            if fitting.ratio(moved, part) is not None:
                said.append((sentence, name))
        # mu and logvar exchanged: z = logvar + eps exp(mu / 2), and 1 + eps where mu is 0 and logvar 1.
        if not said and fitting.same(found.z, logvar + (at_one - 1) * (mu / 2).exp()):
            said.append(
                ("`mu` and `logvar` are exchanged: z is centred on `logvar`, and `mu` sets its spread.", "arguments_exchanged")
            )
    if not said:
        return NotEarned(found.where + NOT_CENTRED)
    return NotEarned(found.where + " Or: ".join(s for s, _ in said), "/".join(name for _, name in said))


EXCHANGED = (
    "`mu` and `logvar` are exchanged: z is centred on `logvar`, and `mu` sets its spread.",
    "arguments_exchanged",
)


def exchanged(found: SameNoise) -> bool:
    """Whether z = logvar + eps · exp(mu / 2), which is 1 + eps where mu is 0 and logvar 1."""
    return fitting.same(found.z, found.logvar.double() + (found.at_one - 1) * (found.mu.double() / 2).exp())


Curve = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# name, sentence, by how much z moves from where mu is 0
CENTRES: list[tuple[str, str, Curve]] = [
    ("mu_squared", "z moves by the square of `mu`: it is centred on `mu` itself.", lambda m, v: m**2),
    ("mu_absolute", "z moves by the absolute value of `mu`: it is centred on `mu` itself.", lambda m, v: m.abs()),
    ("mu_cut_off", "Negative `mu` have no effect on z: it is centred on `mu` itself.", lambda m, v: m.relu()),
    ("mu_through_a_function", "`mu` goes through a tanh on its way to z: it is centred on `mu` itself.", lambda m, v: m.tanh()),
    ("mu_through_a_function", "`mu` goes through a sigmoid on its way to z.", lambda m, v: m.sigmoid() - 0.5),
    ("mu_through_a_function", "`mu` goes through an exponential on its way to z.", lambda m, v: m.exp() - 1),
    (
        "std_multiplies_mu",
        "`mu` is multiplied by the standard deviation as the noise is: the bracket closes too late.",
        lambda m, v: m * (v / 2).exp(),
    ),
    ("std_multiplies_mu", "`mu` is multiplied by the variance.", lambda m, v: m * v.exp()),
    ("std_multiplies_mu", "`mu` is multiplied by `logvar`.", lambda m, v: m * v),
    (
        "mu_averaged",
        "z moves by the average of `mu` over the batch: each point has its own.",
        lambda m, v: m.mean(0).expand_as(m),
    ),
    ("mu_averaged", "z moves by the average of `mu`: each entry has its own.", lambda m, v: m.mean().expand_as(m)),
    (
        "mu_averaged",
        "z moves by the average of each point's `mu`: each latent variable has its own.",
        lambda m, v: m.mean(1, keepdim=True).expand_as(m),
    ),
]
# The same, times the noise of each entry.
WITH_NOISE: list[tuple[str, str, Curve]] = [
    ("noise_multiplies_mu", "`mu` is multiplied by the noise: the noise is added to it.", lambda m, v: m),
    (
        "noise_multiplies_mu",
        "`mu` is multiplied by the noise and the standard deviation: only the noise is.",
        lambda m, v: m * (v / 2).exp(),
    ),
    ("mu_sets_the_spread", "`mu` stretches the noise: its spread comes from `logvar` alone.", lambda m, v: (m / 2).exp() - 1),
    ("mu_sets_the_spread", "`mu` stretches the noise: its spread comes from `logvar` alone.", lambda m, v: m.exp() - 1),
    (
        "mu_sets_the_spread",
        "`mu` stretches the noise: its spread comes from `logvar` alone.",
        lambda m, v: ((m / 2).exp() - 1) * (v / 2).exp(),
    ),
]


# --- how the noise grows with logvar ---------------------------------------------------------------------------------

UNKNOWN = (
    "The spread of z does not follow `logvar` as a standard deviation does: from `logvar` {low:+.2f} to {high:+.2f} your noise "
    "gets {got:.3g} times as wide, and should get {should:.3g} times as wide."
)
DOUBLES = 1.3863  # by how much logvar grows while σ doubles: 2 ln 2


def wrong_scale(agrees: Callable[..., bool], found: SameNoise, ratio: torch.Tensor) -> NotEarned:
    """The NotEarned for a noise that does not grow with logvar as it should.

    Args:
        agrees: whether noise that is stretched by `factor(logvar)` is the submission's, but for a constant factor.
        ratio: the noise's size for each logvar, divided by its size where logvar is 1; exact where calls follow the seed.
    """
    where, logvar = found.where, found.logvar.double()
    if exchanged(found):
        return NotEarned(where + EXCHANGED[0], EXCHANGED[1])
    known = misconceptions.matching(misconceptions.SCALE, agrees)
    if known:
        return misconceptions.told(known, where)
    order = logvar.flatten().argsort()
    v, r = logvar.flatten()[order], ratio.flatten()[order]
    fitted = curve(v, r)
    if fitted is not None:
        sentence, name = fitted
        return NotEarned(where + sentence, name)
    # The two places where it is the most off, of those with noise.
    fine = torch.isfinite(r) & (r != 0)
    if int(fine.sum()) < 2:
        return NotEarned(where + "Where `logvar` changes, the noise in z is gone or not finite.", "scale_not_finite")
    v, r = v[fine], r[fine].abs()
    off = r.log() - v / 2
    low, high = sorted((int(off.argmin()), int(off.argmax())))
    said = UNKNOWN.format(
        low=float(v[low]), high=float(v[high]), got=float(r[high] / r[low]), should=float(((v[high] - v[low]) / 2).exp())
    )
    return NotEarned(where + said)


def curve(v: torch.Tensor, r: torch.Tensor) -> tuple[str, str] | None:
    """(sentence, name) for the noise's size r as a function of logvar v, both (n,), v ascending; r is 1 where v is 1."""
    if not bool(torch.isfinite(r).all()):
        return None
    right = ((v - 1) / 2).exp()
    # Where logvar is cut off below 1, what r is divided by is off, too.
    whole = r / (r / right).median()
    between = fitting.follows_between(whole, right)
    if between is not None:
        low, high = (1 + 2 * float(edge.log()) for edge in (whole[0], whole[-1]))
        sides = [f"below {low:.2g}"] * (between[0] > 0) + [f"above {high:.2g}"] * (between[1] < len(v) - 1)
        return (
            f"Where `logvar` is {' or '.join(sides)}, the spread of your noise no longer changes: it is cut off.",
            "scale_clamped",
        )
    if bool((r > 0).all()):
        slope = fitting.combination(r.log(), {"v": v, "1": torch.ones_like(v)}, 2)
        if slope is not None and "v" in slope:
            rate = slope["v"]
            doubles = f"{'doubles' if rate > 0 else 'halves'} when `logvar` grows by {0.693147 / abs(rate):.3g}"
            return (
                f"The spread of your noise {doubles}; a standard deviation doubles when `logvar` grows by {DOUBLES:.3g}.",
                "scale_wrong_rate",
            )
    one = torch.ones_like(v)
    for terms, sentence, name in (
        (
            {"σ": (v / 2).exp(), "1": one},
            "A constant is added to the standard deviation: the noise never gets narrower than that.",
            "scale_shifted",
        ),
        (
            {"σ²": v.exp(), "1": one},
            "A constant is added to the variance, and the noise is scaled by that: it should be scaled by σ.",
            "variance_as_std",
        ),
        (
            {"v": v, "1": one},
            "The spread of your noise grows in proportion to `logvar`, not as a standard deviation does.",
            "scale_linear",
        ),
        (
            {"σ": (v / 2).exp(), "σ²": v.exp()},
            "Your noise is scaled by a mixture of the standard deviation and the variance: it should be σ alone.",
            "scale_mixes_variance",
        ),
        (
            {"v²": v**2, "v": v, "1": one},
            "The spread of your noise is a polynomial in `logvar`, which does not undo a logarithm.",
            "scale_linear",
        ),
    ):
        if fitting.combination(r, terms, len(terms)) is not None:
            return sentence, name
    squared = r**2 * r.sign()
    for terms, sentence, name in (
        (
            {"σ²": v.exp(), "1": one},
            "A constant is added to the variance before the root is taken: the noise never gets narrower than that.",
            "scale_shifted",
        ),
        (
            {"v": v, "1": one},
            "The spread of your noise is the root of `logvar`: a root does not undo a logarithm.",
            "scale_root",
        ),
        (
            {"|v|": v.abs(), "1": one},
            "The spread of your noise is the root of `logvar`: a root does not undo a logarithm.",
            "scale_root",
        ),
    ):
        if fitting.combination(squared, terms, 2) is not None:
            return sentence, name
    return None
