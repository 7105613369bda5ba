"""How a wrong `reparameterize` uses mu and logvar, told from calls with the same noise."""

import itertools
from collections.abc import Callable

import torch

from autograder.errors import NotEarned
from autograder.grading import fitting
from autograder.vae_swiss_roll import misconceptions
from autograder.vae_swiss_roll.student import SameNoise

NOT_CENTRED = "z is not centred on `mu`: when `mu` moves and the noise stays the same, z should move by just as much."
ATOL = 2e-4  # of z in float32, over the whole range


def not_centred(found: SameNoise) -> NotEarned:
    """The NotEarned for a z that does not move with mu one to one."""
    mu, logvar = found.mu.double(), found.logvar.double()
    moved, noise = found.z - found.at_zero, found.at_one / found.at_one.abs().max().clamp(min=1e-12)
    here, part = where_off((moved - mu).abs() > ATOL + 1e-4 * mu.abs(), mu)

    def is_(curve: torch.Tensor) -> bool:
        return fitting.same(moved[part], curve[part], atol=ATOL)

    said: list[tuple[str, str]] = []
    if is_(torch.zeros_like(mu)):
        said.append(("`mu` plays no part in z: it is where z is centred.", "mu_not_used"))
    elif int(part.sum()) < 3:  # so few numbers fit anything else
        return NotEarned(found.where + here + NOT_CENTRED)
    elif (c := fitting.ratio(moved[part], mu[part], atol=ATOL)) is not None:
        how = {-1.0: "`mu` is subtracted in place of being added", 2.0: "`mu` is added twice"}
        of = how.get(c, f"When `mu` moves by 1, z moves by {c:.6g}")
        said.append((f"{of}: z should move by just as much as `mu`.", "mu_scaled"))
    else:
        said += [(sentence, name) for name, sentence, curve in CENTRES if any(is_(c * curve(mu, logvar)) for c in (1, -1))]
        for name, sentence, curve in WITH_NOISE if not said else ():
            spread = (curve(mu, logvar) * noise)[part]
            if any(fitting.ratio((moved - more)[part], spread, atol=ATOL) is not None for more in (torch.zeros_like(mu), mu)):
                said.append((sentence, name))
        if not said and exchanged(found):
            said.append(EXCHANGED)
    said = said or [(NOT_CENTRED, "")]
    names = "/".join(dict.fromkeys(name for _, name in said if name))
    return NotEarned(found.where + here + " Or: ".join(dict.fromkeys(sentence for sentence, _ in said)), names or None)


def where_off(off: torch.Tensor, of: torch.Tensor) -> tuple[str, torch.Tensor]:
    """(in which points or dimensions alone, in words, their entries); ("", all entries) where it is no such part.

    The entries are a mask, (batch, latent).

    Args:
        off: (batch, latent), which entries are wrong; a wrong formula may be right at some of them.
        of: (batch, latent), what they were made of: those where it is large, or small, are no part of a batch.
    """
    if by_size(off, of):
        return "", torch.ones_like(off)
    for axis, one, several in ((1, "latent dimension", "latent dimensions"), (0, "point", "points of the batch")):
        concerned = off.any(dim=1 - axis)
        places = concerned.nonzero().flatten().tolist()
        entries = concerned.unsqueeze(1 - axis).expand_as(off)
        if len(places) in (0, len(concerned)) or float(off[entries].double().mean()) < 0.6:
            continue
        which = f"some {several}" if len(places) > 1 else f"{one} {places[0] + 1} of {len(concerned)}"
        return f"In {which} alone: ", entries
    return "", torch.ones_like(off)


def by_size(off: torch.Tensor, of: torch.Tensor) -> bool:
    """Whether it is the size of `of` that decides which are wrong: in its order right and wrong change three times at most."""
    ordered = off.flatten()[of.flatten().argsort()]
    return int(off.sum()) >= 8 and int((ordered[1:] != ordered[:-1]).sum()) <= 3


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
    (
        "mu_averaged",
        "The average of `mu` is taken away from it: z is centred on `mu` as it is.",
        lambda m, v: m - m.mean(),
    ),
    (
        "mu_averaged",
        "The average of `mu` over the batch is taken away from it: z is centred on `mu` as it is.",
        lambda m, v: m - m.mean(0),
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


def wrong_scale(agrees: Callable[[misconceptions.Formula], bool], found: SameNoise, ratio: torch.Tensor) -> NotEarned:
    """The NotEarned for a noise that does not grow with logvar as it should.

    Args:
        agrees: whether noise that is stretched by `factor(logvar)` is the submission's, but for a constant factor.
        ratio: the noise's size for each logvar, divided by its size where logvar is 1; exact where calls follow the seed.
    """
    logvar, one = found.logvar.double(), torch.ones((), dtype=torch.float64)
    if exchanged(found):
        return NotEarned(found.where + EXCHANGED[0], EXCHANGED[1])
    shared = of_others(ratio, logvar)
    if shared is not None:
        return NotEarned(found.where + shared[0], shared[1])
    here, part = where_off((ratio * ((1 - logvar) / 2).exp() - 1).abs() > 4e-3, logvar)
    v, r = logvar[part], ratio[part]
    if here == "":
        known = misconceptions.matching(misconceptions.SCALE, agrees)
    else:
        known = misconceptions.matching(misconceptions.SCALE, lambda f: fitting.same(r, f(v) / f(one), 1e-4))
    if known:
        return misconceptions.told(known, found.where + here)
    order = v.argsort()
    said = curve(v[order], r[order])
    if said is not None:
        return NotEarned(found.where + here + said[0], said[1])
    fine = torch.isfinite(r) & (r != 0)
    if int(fine.sum()) < 2:
        return NotEarned(found.where + here + "Where `logvar` changes, the noise in z is gone or not finite.", "not_finite")
    v, r = v[fine], r[fine].abs()
    off = r.log() - v / 2
    low, high = sorted((int(off.argmin()), int(off.argmax())), key=lambda place: float(v[place]))
    return NotEarned(
        found.where
        + here
        + UNKNOWN.format(
            low=float(v[low]),
            high=float(v[high]),
            got=float(r[high] / r[low]),
            should=float(((v[high] - v[low]) / 2).exp()),
        )
    )


def of_others(ratio: torch.Tensor, logvar: torch.Tensor) -> tuple[str, str] | None:
    """(sentence, name) where the noise's size comes from other entries' logvar, too; both (batch, latent)."""
    if not bool(torch.isfinite(ratio).all()) or 1 in ratio.shape:
        return None
    for sentence, alike in (
        ("All entries share one standard deviation", ratio.flatten()[:1].expand(ratio.numel()).reshape(ratio.shape)),
        ("All latent variables of a point share one standard deviation", ratio[:, :1].expand_as(ratio)),
        ("All points share the standard deviations of a batch", ratio[:1].expand_as(ratio)),
    ):
        if fitting.same(ratio, alike) and not fitting.same(ratio, torch.ones_like(ratio)):
            return f"{sentence}: each latent variable of each point has its own.", "one_std_for_the_batch"
    std = ((logvar - 1) / 2).exp()
    others = (std.flip(0), std.flip(1), std.flip(0, 1), std.roll(1, 0), std.roll(-1, 0), std.roll(1, 1))
    if any(fitting.ratio(ratio, other) is not None for other in others):
        return "Each entry's noise is scaled by another entry's standard deviation: the order is lost.", "another_entrys_logvar"
    axes = ((None, "the whole batch's"), (0, "each dimension's"), (1, "each point's"))
    for (power, too), (axis, of) in itertools.product(((1, ""), (2, "scaled by the variance, and ")), axes):
        relative = ratio / std**power
        if fitting.same(relative, torch.ones_like(relative)):
            continue
        alike = relative.flatten()[0] if axis is None else relative.select(axis, 0).unsqueeze(axis)
        if fitting.same(relative, alike.expand_as(relative)):
            return (
                f"Your noise is {too}divided or multiplied by a number that depends on {of} `logvar` together: each entry's "
                "spread depends on its own alone.",
                "scale_depends_on_others",
            )
    return None


def curve(v: torch.Tensor, r: torch.Tensor) -> tuple[str, str] | None:
    """(sentence, name) for the noise's size r as a function of logvar v, both (n,), v ascending; r is 1 where v is 1."""
    if not bool(torch.isfinite(r).all()):
        return None
    right = ((v - 1) / 2).exp()
    for whole in (r, r / (r / right).median()):  # where logvar is cut off below 1, what r is divided by is off, too
        between = fitting.follows_between(whole, right)
        if between is not None:
            low, high = (1 + 2 * float(edge.log()) for edge in (whole[0], whole[-1]))
            sides = [f"below {low:.2g}"] * (between[0] > 0) + [f"above {high:.2g}"] * (between[1] < len(v) - 1)
            said = f"Where `logvar` is {' or '.join(sides)}, the spread of your noise no longer changes: it is cut off."
            return said, "scale_clamped"
    if bool((r > 0).all()):
        slope = fitting.combination(r.log(), {"v": v, "1": torch.ones_like(v)}, 2)
        if slope is not None and "v" in slope and abs(slope["v"] - 0.5) > 1e-3:
            rate = slope["v"]
            doubles = f"{'doubles' if rate > 0 else 'halves'} when `logvar` grows by {0.693147 / abs(rate):.3g}"
            return (
                f"The spread of your noise {doubles}; a standard deviation doubles when `logvar` grows by {DOUBLES:.3g}.",
                "scale_wrong_rate",
            )
    one, polynomial = torch.ones_like(v), "a polynomial in `logvar`, which does not undo a logarithm"
    root = "The spread of your noise is the root of `logvar`: a root does not undo a logarithm."
    added = "the noise never gets narrower than that"
    # what is fitted, the terms, those that have to be among them
    fits: list[tuple[torch.Tensor, dict[str, torch.Tensor], set[str], str, str]] = [
        (
            r,
            {"σ": (v / 2).exp(), "1": one},
            {"σ", "1"},
            f"A constant is added to the standard deviation: {added}.",
            "scale_shifted",
        ),
        (
            r,
            {"σ²": v.exp(), "1": one},
            {"σ²"},
            "Your noise is scaled by the variance, and a constant is added to it: it should be scaled by σ.",
            "variance_as_std",
        ),
        (r, {"v": v, "1": one}, {"v"}, "The spread of your noise grows in proportion to `logvar`.", "scale_linear"),
        (
            r,
            {"σ": (v / 2).exp(), "σ²": v.exp()},
            {"σ", "σ²"},
            "Your noise is scaled by a mixture of the standard deviation and the variance: it should be σ alone.",
            "scale_mixes_variance",
        ),
        (r, {"v²": v**2, "v": v, "1": one}, {"v²"}, f"The spread of your noise is {polynomial}.", "scale_linear"),
        (
            r**2,
            {"σ²": v.exp(), "1": one},
            {"σ²", "1"},
            f"A constant is added to the variance before the root is taken: {added}.",
            "scale_shifted",
        ),
        (r**2, {"v": v, "1": one}, {"v"}, root, "scale_root"),
        (r**2, {"|v|": v.abs(), "1": one}, {"|v|"}, root, "scale_root"),
    ]
    for y, terms, needed, sentence, name in fits:
        # Relative to what is fitted, which spans many powers of ten.
        relative = {name: term / y for name, term in terms.items()}
        if needed <= (fitting.combination(one, relative, len(terms)) or {}).keys():
            return sentence, name
    return None
