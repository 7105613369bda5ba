"""What a wrong `compute_vae_loss` computes, told from its numbers.

Its parts are taken apart one after the other, each by inputs on which the others are nothing or known:

    the reconstruction error   what the loss gains when recon_x moves away from x
    β                          how what (mu, logvar) contribute grows with β
    the KL of one variable     one point, one latent variable, a grid of (mu, logvar): which formula is it?
    the average                the same (mu, logvar) everywhere, at several widths and batch sizes: which powers of both?
    the places                 one entry changed at a time: which points and dimensions count?

Each may be wrong by itself, and two slips at once are the commonest wrong KLs of public tutorials: all that is found is told.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from autograder.errors import NotEarned, SubmissionError
from autograder.grading import fitting
from autograder.vae_swiss_roll import misconceptions, probes
from autograder.vae_swiss_roll.reference import Average, kl_terms, reconstruction
from autograder.vae_swiss_roll.student import Case, Shape, Student, at

LOSS, AVERAGING, RECONSTRUCTION = "4. The loss", misconceptions.AVERAGING, "The reconstruction error"
BETAS = (0.0, 0.5, 1.0, 2.0, 3.0)
GRID_MU = torch.tensor([-4.7, -3.1, -1.7, -0.6, 0.0, 0.8, 2.3, 3.7, 5.0], dtype=torch.float64)
GRID_LOGVAR = torch.tensor([-8, -6.3, -4.9, -3.7, -2.6, -1.4, -0.55, 0.0, 0.45, 1.1, 1.9, 2.7, 3.4, 4.0], dtype=torch.float64)
HERE = (6, 9)  # a place of the grid where no part of the formula is small
SHAPES: list[Shape] = [(5, 3), (48, 3), (7, 4), (128, 2), (1, 2), (6, 1)]
MOST = 32  # cases in one call: they are small
MOST_TOLD = 3  # sentences at once


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a sentence for the student, its name, and the section to read again."""

    sentence: str
    name: str
    section: str | None = None


def explain(student: Student, averages: Mapping[str, Average]) -> NotEarned:
    """The NotEarned for a loss that is not recon + beta · KL under any of the averages."""
    for dtype in (torch.float64, torch.float32):
        try:
            found = findings(Asked(student, dtype), averages)
            break
        except (NotEarned, SubmissionError):  # it takes no float64, or no width but the usual
            found = []
    if not found:
        return NotEarned(
            "The loss is not the reconstruction error plus `beta` times the closed-form KL: work one point with one latent "
            "variable out by hand and compare it with the last line of the derivation."
        )
    sentences = list(dict.fromkeys(one.sentence for one in found))
    if len(sentences) > MOST_TOLD:
        sentences[MOST_TOLD - 1 :] = ["More is off: compare the formula with the last line of the derivation, term by term."]
    sentence = " Besides: ".join(sentences)
    named = "+".join(dict.fromkeys(one.name for one in found if one.name))
    return NotEarned(sentence, named or None, section=found[0].section)


class Asked:
    """The loss as a function of its parts.

    Args:
        dtype: of all inputs.
    """

    def __init__(self, student: Student, dtype: torch.dtype) -> None:
        self._student, self._dtype = student, dtype

    def __call__(self, cases: Sequence[Case], beta: float, perfect: bool = True) -> torch.Tensor:
        """The losses for several (mu, logvar) of one shape, float64, (n,); with a perfect reconstruction, or another."""
        x, recon_x = self.points(len(cases[0][0]))
        typed = [tuple(part.to(self._dtype) for part in case) for case in cases]
        found = self._student.loss_values(x, x if perfect else recon_x, typed, beta, most=MOST)
        return torch.tensor(found, dtype=torch.float64)

    def points(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        return probes.points(seed=71, batch=batch, dtype=self._dtype)


def findings(asked: Asked, averages: Mapping[str, Average]) -> list[Finding]:
    """All that is wrong, the formula first; empty where nothing is understood."""
    if rounded(asked):
        said = (
            "Your loss is a whole number whatever its arguments are: something rounds it (an `int`, a `.long()`, a `round`) or "
            "counts."
        )
        return [Finding(said, "loss_rounded", LOSS)]
    beta, kl_alone = of_beta(asked)
    recon = of_the_reconstruction(asked)
    names = {one.name for one in (*beta, *recon)}
    if {"beta_on_the_reconstruction", "beta_ignored"} <= names:
        beta = []  # the same confusion
    if "beta_on_the_reconstruction" in names and not beta and "beta_ignored" not in names:
        recon = [Finding("`beta` multiplies the whole loss: it weighs the KL alone.", "beta_on_both", LOSS)]
    kl = [] if kl_alone is None else of_the_kl(kl_alone, averages)
    factors = {"wrong_factor", "half_missing", "half_taken_twice"} if "not_linear_in_beta" in names else {"wrong_factor"}
    if names & {"beta_ignored", "not_linear_in_beta"} and {one.name for one in kl} <= factors:
        kl = []  # a weight of the student's own, in place of beta or with it
    return [*kl, *beta, *recon]


def rounded(asked: Asked) -> bool:
    mu, logvar = probes.latents(72, (5, 3))
    losses = asked([(mu / by, logvar / by) for by in (1, 2, 3)], 0.5, perfect=False)
    if float(losses.abs().max()) > 2**20:  # where numbers have no fractions left
        return False
    return bool((losses == losses.round()).all()) and not bool((losses == losses[0]).all())


# --- the reconstruction error ----------------------------------------------------------------------------------------


def of_the_reconstruction(asked: Asked) -> list[Finding]:
    def part(batch: int, beta: float) -> float:
        """What a reconstruction that is off adds to the loss, beside what it should."""
        mu, logvar = probes.latents(72, (batch, 3))
        cases = [(mu / 50, logvar / 50)]  # where the KL is small: beside a large one nothing would show
        gained = float(asked(cases, beta, perfect=False) - asked(cases, beta))
        return gained / float(reconstruction(*asked.points(batch)))

    def is_near(part: float, value: float) -> bool:
        return abs(part - value) <= 1e-4 * max(abs(value), 1e-2)

    # Nearly always nothing is wrong, which these show.
    if all(is_near(part(*at), 1.0) for at in ((5, 0.0), (48, 0.5), (7, 2.0))):
        return []
    batches = (5, 7, 48)
    parts = {beta: [part(batch, beta) for batch in batches] for beta in (0.0, 0.5, 2.0)}

    def near(beta: float, value: float) -> bool:
        return all(is_near(part, value) for part in parts[beta])

    def follows(weight: Callable[[float], float]) -> bool:
        return all(near(beta, weight(beta)) for beta in parts)

    if follows(lambda beta: beta):
        return [Finding("`beta` multiplies the reconstruction error: it weighs the KL.", "beta_on_the_reconstruction", LOSS)]
    if follows(lambda beta: 1 - beta):
        return [
            Finding(
                "`beta` takes away from the reconstruction error what it gives to the KL: the reconstruction error has the "
                "weight 1 whatever `beta` is.",
                "beta_as_a_share",
                LOSS,
            )
        ]
    if follows(lambda beta: 0.0):
        return [Finding("The reconstruction error is missing from the loss.", "reconstruction_missing", RECONSTRUCTION)]
    said = "is not the one that the notebook defines, the mean of (recon_x − x)² over all elements"
    at_zero = dict(zip(batches, parts[0.0], strict=True))
    law = fitting.power_law({(batch, 1): part for batch, part in at_zero.items()})
    if any(abs(part / own - 1) > 1e-4 for beta in parts for part, own in zip(parts[beta], parts[0.0], strict=True) if own):
        said = "counts more or less as `beta` changes, and it has the weight 1 whatever `beta` is"
    elif law is not None and law[1] in (0, 1):
        c, power, _ = law
        size = f"{c:.4g} times the batch size times" if power == 1 else f"{c:.4g} times"
        said = f"is {size} the one that the notebook defines, the mean of (recon_x − x)² over all elements"
    return [
        Finding(
            f"The reconstruction error in your loss {said}: leave that part as it is.", "reconstruction_changed", RECONSTRUCTION
        )
    ]


# --- beta ------------------------------------------------------------------------------------------------------------

NO_KL = (
    "Your loss is the same for every `mu` and `logvar` that were tried: the KL is missing, or always the same.",
    "kl_always_zero",
)
Kl = Callable[[Sequence[Case]], torch.Tensor]  # cases of one shape → the KL of each, (n,)


def of_beta(asked: Asked) -> tuple[list[Finding], Kl | None]:
    """(what is wrong with β, the KL alone; None where mu and logvar change nothing)"""
    mu, logvar = probes.latents(73, (5, 3))
    cases = [(mu, logvar), (mu / 50, logvar / 50)]  # near the prior a KL that is capped moves, too
    losses = {beta: asked(cases, beta) for beta in BETAS}
    moved = {beta: float(value[0] - value[1]) for beta, value in losses.items()}
    if moved[1.0] == 0 == moved[2.0]:
        return [elsewhere_alone(asked) or Finding(*NO_KL)], None
    size = max(abs(value) for value in moved.values())

    def follows(weight: Callable[[float], float]) -> bool:
        return all(abs(moved[beta] - moved[1.0] * weight(beta)) <= 1e-5 * size for beta in BETAS)

    without: dict[torch.Size, torch.Tensor] = {}

    def kl(given: Sequence[Case]) -> torch.Tensor:
        shape = given[0][0].shape
        if moved[0.0] != 0:
            return asked(given, 1.0) - asked(given, 0.0)
        if shape not in without:  # one case is like another
            without[shape] = asked(given[:1], 0.0)
        return asked(given, 1.0) - without[shape]

    if follows(lambda beta: beta):
        return [], kl

    def whole(given: Sequence[Case]) -> torch.Tensor:
        return asked(given, 0.0)

    if follows(lambda beta: 1.0):
        if all(fitting.same(losses[beta] - losses[0.0], torch.full((2,), beta)) for beta in (0.5, 2.0)):
            return [Finding("`beta` is added to the loss: it is a factor, the weight of the KL.", "beta_added", LOSS)], whole
        return [Finding("β changes nothing: multiply the KL by `beta`.", "beta_ignored", LOSS)], whole
    known: list[tuple[Callable[[float], float], Finding]] = [
        (
            lambda beta: (1 + beta) / 2,
            Finding(
                "The KL is in the loss twice, once without `beta`: with `beta` = 0 nothing of it may be left.",
                "kl_added_twice",
                LOSS,
            ),
        ),
        (lambda beta: beta**2, Finding("`beta` enters twice: multiply by it once.", "beta_squared", LOSS)),
        (lambda beta: beta**0.5, Finding("The root of `beta` weighs the KL: it is `beta` itself.", "not_linear_in_beta", LOSS)),
    ]
    for weight, finding in known:
        if follows(weight):
            return [finding], kl
    doubled = moved[2.0] / moved[1.0]
    said = f"with `beta` = 2 your KL weighs {doubled:.3g} times what it weighs with `beta` = 1"
    return [Finding(f"The KL does not grow in proportion to `beta`: {said}.", "not_linear_in_beta", LOSS)], functools.partial(
        asked, beta=1.0
    )


def elsewhere_alone(asked: Asked) -> Finding | None:
    """For a KL that does not move with 5 points and 3 latent dimensions: whether it does with others."""
    for shape, name in (((5, 2), "dimensions_left_out"), ((128, 3), "part_of_the_batch_left_out")):
        mu, logvar = probes.latents(73, shape)
        there, near = asked([(mu, logvar), (mu / 50, logvar / 50)], 1.0)
        if there != near:
            return Finding(
                f"{at((5, 3))}your KL is missing, or always the same; {at(shape).lower().rstrip(': ')} it is there. Nothing "
                "may depend on how many there are.",
                name,
                AVERAGING,
            )
    return None


# --- the KL ----------------------------------------------------------------------------------------------------------


def of_the_kl(kl: Kl, averages: Mapping[str, Average]) -> list[Finding]:
    # Off centre: over a range around 0 an average of mu is 0, and many formulas are alike.
    batches: list[Case] = []
    measured: list[torch.Tensor] = []
    for shape in SHAPES[:5]:
        mu, logvar = probes.latents(75, shape)
        cases: list[Case] = [(mu / by + 0.7 / by, logvar / by - 0.4 / by) for by in (1, 8)]
        with contextlib.suppress(NotEarned, SubmissionError):  # a batch of one is too small for a spread
            measured.append(kl(cases))
            batches += cases
    found = torch.cat(measured)
    if any(fitting.each_same(found, over_batches(kl_terms, average, batches)) for average in averages.values()):
        return []
    known = misconceptions.matching(misconceptions.KL, lambda formula: agrees(formula, found, batches, averages))
    if known:
        sentences, names = (dict.fromkeys(getattr(one, part) for one in known) for part in ("sentence", "name"))
        return [Finding(" Or: ".join(sentences), "/".join(names), known[0].section)]
    return taken_apart(kl, averages)


def taken_apart(kl: Kl, averages: Mapping[str, Average]) -> list[Finding]:
    """What is wrong with the formula of one variable, with its average, and with which entries count."""
    grid, alone = one_variable(kl)
    if float(grid.abs().max()) <= 1e-9:
        said = "Where all points and latent dimensions are alike, your KL is 0: it measures how they differ, not their average."
        return [Finding(said, "not_an_average", AVERAGING)]
    formula = of_one_variable(grid)
    if formula.whole:  # of the average, not of each term
        return formula.found
    of_each = formula.found
    if alone and of_each and right_for_several(kl):
        of_each = [dataclasses.replace(one, sentence=at((1, 1)) + one.sentence) for one in of_each]
    law, places = of_the_average(kl, grid), of_the_places(kl, grid)
    average = [] if law is None else named_average(formula.factor * law.factor, law, averages)
    if not alone and any(one.name == "dimensions_left_out" for one in places):
        average = []  # a factor is told from how many dimensions count by one variable alone
    if not of_each and law is None and not places:
        places = at_some_shapes(kl, averages)
    times = "right" if formula.factor == 1 else f"{formula.factor:.4g} times the closed form"
    said = f"For one point and one latent variable your KL is {times}; for a batch it is not" if alone else "Your KL is not"
    return [*of_each, *average, *places] or [Finding(f"{said} the average of its terms.", "not_an_average", AVERAGING)]


def over_batches(formula: misconceptions.Formula, average: Average, batches: Sequence[Case]) -> torch.Tensor:
    return torch.stack([average(formula(mu.double(), logvar.double())) for mu, logvar in batches])


def agrees(
    formula: misconceptions.Formula, found: torch.Tensor, batches: Sequence[Case], averages: Mapping[str, Average]
) -> bool:
    """Whether a formula of the table gives these KLs: by itself, or, for each latent variable, under an accepted average."""
    if formula(*(part.double() for part in batches[0])).dim() == 0:
        return fitting.each_same(found, over_batches(formula, lambda whole: whole, batches))
    return any(fitting.each_same(found, over_batches(formula, average, batches)) for average in averages.values())


def filled(shape: Shape, places: Iterable[tuple[float, float]]) -> list[Case]:
    """A case for each (mu, logvar): that one everywhere."""
    return [tuple(torch.full(shape, value, dtype=torch.float64) for value in place) for place in places]


def one_variable(kl: Kl) -> tuple[torch.Tensor, bool]:
    """(the KL over the grid, whether of one point and one latent variable: where that fails, several are alike)

    The grid is (mu, logvar).
    """
    places = [(float(m), float(v)) for m in GRID_MU for v in GRID_LOGVAR]
    for shape in ((1, 1), (4, 3)):
        try:
            grid = kl(filled(shape, places)).reshape(len(GRID_MU), len(GRID_LOGVAR))
        except (NotEarned, SubmissionError):
            if shape != (1, 1):
                raise
            continue
        if bool((grid != 0).any()):
            break
    return grid, shape == (1, 1)


def right_for_several(kl: Kl) -> bool:
    """Whether the KL of some batch of equal points is the closed form, whatever that of one point is."""
    places = [(float(m), float(v)) for m, v in zip(GRID_MU, GRID_LOGVAR, strict=False)]
    right = kl_terms(*torch.tensor(places, dtype=torch.float64).T)
    return any(fitting.ratio(kl(filled(shape, places)), right) is not None for shape in ((4, 3), (128, 2)))


@dataclasses.dataclass(frozen=True)
class OneVariable:
    """What the KL of one latent variable is.

    Attributes:
        found: what is wrong with the formula.
        factor: by which all of it is too large; 1 where that cannot be told.
        whole: whether what is wrong is done to the average, not to each term.
    """

    found: list[Finding]
    factor: float = 1.0
    whole: bool = False


def of_one_variable(grid: torch.Tensor) -> OneVariable:
    m, v = torch.meshgrid(GRID_MU, GRID_LOGVAR, indexing="ij")
    right = kl_terms(m, v)
    if (c := fitting.ratio(grid, right)) is not None:
        return OneVariable([], c)
    known = [(entry, c) for entry in misconceptions.KL if (c := ratio_to(entry.formula, grid, m, v)) is not None]
    exact = [entry for entry, c in known if c == 1]
    if exact:
        return OneVariable([Finding(entry.sentence, entry.name, entry.section) for entry in exact[:1]])
    if bool((grid != 0).any()) and fitting.sum_of_two(grid):
        terms = of_the_terms(grid)
        if terms is not None and (not known or len(terms.found) + (terms.factor != 1) <= 2):
            return terms
    elif (changed := of_the_whole(grid, right)) is not None:
        return OneVariable([changed], whole=True)
    if known:
        entry, c = known[0]
        return OneVariable([Finding(entry.sentence, entry.name, entry.section)], c)
    return OneVariable([unknown(grid, right)])


def ratio_to(formula: misconceptions.Formula, grid: torch.Tensor, m: torch.Tensor, v: torch.Tensor) -> float | None:
    """c where the grid is c times the formula of one latent variable; None where it is not, or the formula is of a batch."""
    try:
        value = formula(m, v)
    except (RuntimeError, IndexError):
        return None
    return fitting.ratio(grid, value) if value.shape == grid.shape and bool(torch.isfinite(value).all()) else None


def of_the_whole(grid: torch.Tensor, right: torch.Tensor) -> Finding | None:
    """What was done to a right KL afterwards."""
    least, most = float(grid.min()), float(grid.max())
    if fitting.same(grid, right.clamp(min=least)):
        return Finding(
            f"Your KL is never below {least:.3g} (“free bits”): a known trick, but not the divergence; that is 0 at the prior.",
            "free_bits",
        )
    if fitting.same(grid, right.clamp(max=most)):
        return Finding(
            f"Your KL never exceeds {most:.3g}: a cap takes away the pull towards the prior where it is needed most.", "capped"
        )
    k = float((right - grid).max())
    for sentence, changed in (
        (f"Your KL counts only what exceeds {k:.3g}: a known trick, but not the divergence.", (right - k).relu()),
        (f"Your KL is its distance from {k:.3g}: a known trick, but not the divergence.", (right - k).abs()),
    ):
        if fitting.same(grid, changed):
            return Finding(sentence, "free_bits")
    for name, sentence, changed in (
        ("squared", "Your KL is the square of the divergence: it is never negative without that.", right**2),
        ("root_of_the_divergence", "Your KL is the square root of the divergence.", right.sqrt()),
        ("function_of_the_divergence", "Your KL is a logarithm of the divergence.", right.log1p()),
        ("function_of_the_divergence", "Your KL is an exponential of the divergence.", right.exp()),
        ("function_of_the_divergence", "Your KL is a tanh of the divergence.", right.tanh()),
    ):
        if fitting.ratio(grid, changed) is not None:
            return Finding(sentence, name)
    return None


# --- term by term ----------------------------------------------------------------------------------------------------

RIGHT = {"mu²": 0.5, "exp(logvar)": 0.5, "logvar": -0.5, "1": -0.5}
WORDS = {"mu²": "the square of `mu`", "exp(logvar)": "the variance", "logvar": "`logvar`", "1": "the constant"}
NAMES = {"mu²": "mu", "exp(logvar)": "variance", "logvar": "logvar", "1": "constant"}
OF_MU: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mu²": lambda m: m**2,
    "mu": lambda m: m,
    "|mu|": lambda m: m.abs(),
    "mu³": lambda m: m**3,
    "mu⁴": lambda m: m**4,
    "√|mu|": lambda m: m.abs().sqrt(),
    "exp(mu)": lambda m: m.exp(),
    "exp(mu²)": lambda m: (m**2).exp(),
}
OF_LOGVAR: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exp(logvar)": lambda v: v.exp(),
    "logvar": lambda v: v,
    "exp(½ logvar)": lambda v: (v / 2).exp(),
    "exp(2 logvar)": lambda v: (2 * v).exp(),
    "exp(−logvar)": lambda v: (-v).exp(),
    "exp(−½ logvar)": lambda v: (-v / 2).exp(),
    "exp(−2 logvar)": lambda v: (-2 * v).exp(),
    "exp(¼ logvar)": lambda v: (v / 4).exp(),
    "exp(3 logvar)": lambda v: (3 * v).exp(),
    "exp(4 logvar)": lambda v: (4 * v).exp(),
    "2 to the logvar": torch.exp2,
    "10 to the logvar": lambda v: 10**v,
    "logvar²": lambda v: v**2,
    "|logvar|": lambda v: v.abs(),
    "√|logvar|": lambda v: v.abs().sqrt(),
    "exp(|logvar|)": lambda v: v.abs().exp(),
    "log(1 + exp(logvar))": lambda v: torch.nn.functional.softplus(v),
    "tanh(logvar)": torch.tanh,
}
# What stands where another term should be → its name and what to say.
IN_PLACE: dict[tuple[str, str], tuple[str, str]] = {
    ("mu²", "mu"): ("mu_not_squared", "`mu` enters without its square"),
    ("mu²", "|mu|"): ("mu_absolute", "`mu` enters by its absolute value, not by its square"),
    ("mu²", "mu³"): ("mu_to_another_power", "`mu` enters to another power than its square"),
    ("mu²", "mu⁴"): ("mu_to_another_power", "the square of `mu` is squared once more"),
    ("mu²", "√|mu|"): ("mu_to_another_power", "`mu` enters by its root, not by its square"),
    ("mu²", "exp(mu)"): ("mu_to_another_power", "an exponential of `mu` stands where its square should be"),
    ("mu²", "exp(mu²)"): ("mu_to_another_power", "the exponential of the square of `mu` stands where the square should be"),
    ("exp(logvar)", "exp(½ logvar)"): ("std_for_variance", "the standard deviation stands where the variance should be"),
    ("exp(logvar)", "exp(2 logvar)"): ("variance_squared", "the square of the variance stands where the variance should be"),
    ("exp(logvar)", "exp(−logvar)"): ("variance_upside_down", "the variance is upside down"),
    ("exp(logvar)", "exp(−½ logvar)"): ("variance_upside_down", "one divided by σ stands where the variance should be"),
    ("exp(logvar)", "exp(−2 logvar)"): ("variance_upside_down", "the variance is squared and upside down"),
    ("exp(logvar)", "exp(¼ logvar)"): ("variance_to_another_power", "the root of σ stands where the variance should be"),
    ("exp(logvar)", "exp(4 logvar)"): ("variance_to_another_power", "another power of σ stands where the variance should be"),
    ("exp(logvar)", "exp(|logvar|)"): ("variance_to_another_power", "the sign of `logvar` is lost on the way to the variance"),
    ("exp(logvar)", "exp(3 logvar)"): (
        "variance_to_another_power",
        "the third power of the variance stands where it should stand by itself",
    ),
    ("exp(logvar)", "2 to the logvar"): ("variance_to_another_power", "the variance is taken to the base 2, not to its own"),
    ("exp(logvar)", "10 to the logvar"): ("variance_to_another_power", "the variance is taken to the base 10, not to its own"),
    ("exp(logvar)", "|logvar|"): (
        "variance_to_another_power",
        "the absolute value of `logvar` stands where the variance should be",
    ),
    ("mu²", "logvar²"): ("logvar_for_mu", "the square of `logvar` stands where the square of `mu` should be"),
    ("mu²", "|logvar|"): ("logvar_for_mu", "`logvar` stands where `mu` should be"),
    ("exp(logvar)", "exp(mu)"): ("mu_for_logvar", "an exponential of `mu` stands where the variance should be"),
    ("exp(logvar)", "exp(mu²)"): ("mu_for_logvar", "an exponential of the square of `mu` stands where the variance should be"),
    ("exp(logvar)", "logvar²"): ("variance_to_another_power", "the square of `logvar` stands where the variance should be"),
    ("exp(logvar)", "log(1 + exp(logvar))"): ("variance_to_another_power", "a softplus stands where the variance should be"),
    ("logvar", "logvar²"): ("logvar_to_another_power", "`logvar` is squared where it should stand by itself"),
    ("logvar", "|logvar|"): ("logvar_to_another_power", "the absolute value of `logvar` stands where `logvar` should be"),
    ("logvar", "tanh(logvar)"): ("logvar_to_another_power", "a tanh of `logvar` stands where `logvar` should be"),
    ("logvar", "√|logvar|"): ("logvar_to_another_power", "the root of `logvar` stands where `logvar` should be"),
    ("logvar", "exp(½ logvar)"): ("logvar_to_another_power", "the standard deviation stands where `logvar` should be"),
    ("logvar", "log(1 + exp(logvar))"): ("logvar_to_another_power", "a softplus stands where `logvar` should be"),
}


def of_the_terms(grid: torch.Tensor) -> OneVariable | None:
    """What is wrong with a sum of a function of mu and one of logvar; None where no terms that are known add up to it."""
    if (stopped := cut_off(grid) or guarded(grid)) is not None:
        return stopped
    at_mu, at_logvar = int((GRID_MU == 0).nonzero()), int((GRID_LOGVAR == 0).nonzero())
    both = grid[at_mu, at_logvar]  # the constant, and what functions of 0 are
    one_mu, one_logvar = torch.ones_like(GRID_MU), torch.ones_like(GRID_LOGVAR)
    mu = added_up(grid[:, at_logvar], {name: f(GRID_MU) for name, f in OF_MU.items()} | {"1": one_mu}, 3, ("mu²",))
    logvar = added_up(
        grid[at_mu],
        {name: f(GRID_LOGVAR) for name, f in OF_LOGVAR.items()} | {"1": one_logvar},
        4,
        ("exp(logvar)", "logvar"),
    )
    if mu is None or logvar is None:
        return None
    # Both hold the constant and what the other one is at 0.
    of_zero = [c * float(OF_MU[t](GRID_MU[at_mu])) for t, c in mu.items() if t != "1"]
    of_zero += [c * float(OF_LOGVAR[t](GRID_LOGVAR[at_logvar])) for t, c in logvar.items() if t != "1"]
    constant = float(both) - sum(of_zero)
    terms = {t: c for t, c in (mu | logvar).items() if t != "1"}
    if abs(constant) > 1e-5 * (abs(float(both)) + sum(map(abs, of_zero))):
        terms["1"] = fitting.simple(constant)
    prior = of_another_prior(terms)
    if prior is not None:
        return OneVariable([prior])
    candidates = {*USUAL, *(fitting.simple(terms[name] / right) for name, right in RIGHT.items() if terms.get(name))}
    factor = min(candidates, key=lambda c: cost(terms, c))
    return OneVariable(list(deviations(terms, factor)), factor)


def added_up(y: torch.Tensor, terms: Mapping[str, torch.Tensor], most: int, first: Sequence[str]) -> dict[str, float] | None:
    """As `fitting.combination`, each number exact beside its own size: beside an exponential, others are small."""
    size = y.abs() + (y.abs().median() or y.abs().mean())
    if not bool((size > 0).all()):
        return {}
    return fitting.combination(y / size, {name: term / size for name, term in terms.items()}, most, first)


def of_another_prior(terms: Mapping[str, float]) -> Finding | None:
    """The KL to N(a, s²) is ½ ((mu − a)² + exp(logvar)) / s² − ½ logvar − ½ + log s."""
    if terms.keys() - {"mu", *RIGHT} or abs(terms.get("logvar", 0.0) + 0.5) > 1e-4:
        return None
    precision = 2 * terms.get("mu²", 0.0)
    if precision <= 0 or abs(2 * terms.get("exp(logvar)", 0.0) - precision) > 1e-4 * precision:
        return None
    a = -terms.get("mu", 0.0) / precision or 0.0  # not −0
    constant = precision * a**2 / 2 - 0.5 - math.log(precision) / 2
    if abs(terms.get("1", 0.0) - constant) > 1e-4 or (precision, a) == (1, 0):
        return None
    return Finding(
        f"Your KL is the divergence from a normal distribution with mean {a:.3g} and standard deviation {precision**-0.5:.3g}: "
        "the prior is the standard normal one.",
        "another_prior",
    )


USUAL = (1.0, 2.0, -1.0, 0.5, -2.0, -0.5)


def cost(terms: Mapping[str, float], factor: float) -> tuple[int, int]:
    """How many terms are wrong if all is taken `factor` times, and how unusual that is."""
    wrong = sum(abs(terms.get(name, 0.0) / (factor * right) - 1) > 1e-4 for name, right in RIGHT.items())
    return wrong + (factor != 1), USUAL.index(factor) if factor in USUAL else len(USUAL)


def deviations(terms: Mapping[str, float], factor: float) -> Iterable[Finding]:
    """A Finding for each term that is wrong, as if the whole were taken `factor` times."""
    extra = [name for name in terms if name not in RIGHT]
    for name, right in RIGHT.items():
        found = terms.get(name, 0.0) / (factor * right)
        of, short = WORDS[name], NAMES[name]
        if abs(found - 1) <= 1e-4:
            continue
        instead = next((other for other in extra if (name, other) in IN_PLACE), None)
        if found == 0 and instead is not None:
            extra.remove(instead)
            named, said = IN_PLACE[name, instead]
            weight = terms[instead] / (factor * right)
            more = "" if abs(weight - 1) <= 1e-4 else f", and with {weight:.3g} times the factor"
            yield Finding(f"In your KL {said}{more}: compare it with the last line of the derivation.", named)
        elif found == 0:
            yield Finding(f"In your KL {of} is missing.", f"{short}_missing")
        elif abs(found + 1) <= 1e-4:
            signs = "+−" if factor * right < 0 else "−+"
            yield Finding(
                f"In your KL {of} has the wrong sign: it has {signs[0]}, and the formula has {signs[1]}.",
                f"{short}_with_wrong_sign",
            )
        else:
            yield Finding(f"In your KL {of} counts {found:.3g} times what it should.", f"{short}_with_wrong_factor")
    for name in extra:
        yield Finding(f"Your KL has a term too many, {TOO_MANY.get(name, 'another function of `logvar`')}.", "term_too_many")


TOO_MANY = {
    "mu": "`mu` by itself",
    "|mu|": "the absolute value of `mu`",
    "mu⁴": "a higher power of `mu`",
    "mu³": "a higher power of `mu`",
    "√|mu|": "a root of `mu`",
    "exp(mu)": "an exponential of `mu`",
    "exp(mu²)": "an exponential of the square of `mu`",
    "exp(½ logvar)": "the standard deviation",
    "exp(2 logvar)": "the square of the variance",
    "logvar²": "the square of `logvar`",
    "|logvar|": "the absolute value of `logvar`",
}


def cut_off(grid: torch.Tensor) -> OneVariable | None:
    """A right formula in which mu, logvar or the exponential stops growing somewhere."""
    at_mu, at_logvar = int((GRID_MU == 0).nonzero()), int((GRID_LOGVAR == 0).nonzero())
    of_mu = grid[:, at_logvar] - grid[at_mu, at_logvar]
    for factor in (1.0, 2.0, -1.0):
        of_logvar = grid[at_mu] / factor
        said = (
            stops("`logvar` is", of_logvar, GRID_LOGVAR, lambda v: (v.exp() - v - 1) / 2, "logvar_cut_off")
            or stops("The exponential is", 2 * of_logvar + GRID_LOGVAR + 1, GRID_LOGVAR, torch.exp, "exponential_cut_off")
            or stops("`logvar` by itself is", GRID_LOGVAR.exp() - 1 - 2 * of_logvar, GRID_LOGVAR, torch.clone, "logvar_cut_off")
            or stops("`mu` is", of_mu / factor, GRID_MU, lambda m: m**2 / 2, "mu_cut_off")
        )
        if said is not None:
            return OneVariable([said], factor)
    return None


def guarded(grid: torch.Tensor) -> OneVariable | None:
    """A right formula with log(exp(logvar) + c) for `logvar`."""
    m, v = torch.meshgrid(GRID_MU, GRID_LOGVAR, indexing="ij")
    for factor in (1.0, 2.0, -1.0):
        added = (m**2 + v.exp() - 1 - 2 * grid / factor).exp() - v.exp()
        c = added.median()
        if float(c) and fitting.same((v.exp() + added).log(), (v.exp() + c).log()):
            said = f"A constant, {float(c):.2g}, is added to the variance inside the logarithm: it is too large for a guard."
            return OneVariable([Finding(said, "constant_in_the_logarithm")], factor)
    return None


def stops(
    what: str, found: torch.Tensor, grid: torch.Tensor, curve: Callable[[torch.Tensor], torch.Tensor], name: str
) -> Finding | None:
    """A Finding where what was found follows the curve between two places and stays the same beyond them."""
    between = fitting.follows_between(found, curve(grid))
    if between is None:
        return None
    first, last = between
    sides = []
    if first > 0:
        sides.append(f"below {fitting.place_of(float(found[0]), curve, float(grid[first - 1]), float(grid[first])):.2g}")
    if last < len(grid) - 1:
        sides.append(f"above {fitting.place_of(float(found[-1]), curve, float(grid[last]), float(grid[last + 1])):.2g}")
    return Finding(f"{what} cut off in your KL {' and '.join(sides)}: the formula needs it whole.", name)


def unknown(grid: torch.Tensor, right: torch.Tensor) -> Finding:
    """What can be said of a formula that is none of those known, with the student's own numbers."""
    at_mu, at_logvar = int((GRID_MU == 0).nonzero()), int((GRID_LOGVAR == 0).nonzero())
    of_mu, of_logvar = grid[:, at_logvar] - grid[at_mu, at_logvar], grid[at_mu] - grid[at_mu, at_logvar]
    if not fitting.sum_of_two(grid):
        said = "in yours `mu` and `logvar` meet in one term, and in the closed form they do not"
    elif fitting.same(of_mu, right[:, at_logvar]):
        said = "its part with `mu` is as it should be, its part with `logvar` is not"
    elif fitting.same(of_logvar, right[at_mu]):
        said = "its part with `logvar` is as it should be, its part with `mu` is not"
    else:
        said = "neither its part with `mu` nor that with `logvar` is as it should be"
    m, v = HERE
    return Finding(
        f"Your KL is not the closed form: {said}. With one point and one latent variable, `mu` {float(GRID_MU[m]):g} and "
        f"`logvar` {float(GRID_LOGVAR[v]):g}, yours is {float(grid[HERE]):.4g}: work it out by hand.",
        "",
    )


# --- how it is averaged ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Law:
    """The KL of a batch of equal terms: factor · nᵃ · dᵇ times one of them, at batch size n and width d (a mean: a = b = 0)."""

    factor: float
    a: int
    b: int


def of_the_average(kl: Kl, grid: torch.Tensor) -> Law | None:
    one = float(grid[HERE])
    values = {} if one == 0 else over_shapes(kl, SHAPES, one)
    law = fitting.power_law(values) if len(values) > len(SHAPES) / 2 else None
    return None if law is None else Law(*law)


def over_shapes(kl: Kl, shapes: Sequence[Shape], one: float) -> dict[Shape, float]:
    """The KL of equal terms, divided by `one` of them, at those widths and batch sizes that work: one point may be too few."""
    place = (float(GRID_MU[HERE[0]]), float(GRID_LOGVAR[HERE[1]]))
    found = {}
    for shape in shapes:
        with contextlib.suppress(NotEarned, SubmissionError):
            found[shape] = float(kl(filled(shape, [place]))[0]) / one
    return found


def at_some_shapes(kl: Kl, averages: Mapping[str, Average]) -> list[Finding]:
    """For a right formula: at which widths and batch sizes it is not averaged as at most others."""
    found = over_shapes(kl, [*SHAPES, (1, 1), (4, 3)], float(kl_terms(GRID_MU[HERE[0]], GRID_LOGVAR[HERE[1]])))
    off: list[dict[Shape, float]] = []
    for average in averages.values():
        times = {shape: ratio / float(average(torch.ones(shape))) for shape, ratio in found.items()}
        off.append({shape: by for shape, by in times.items() if abs(by - 1) > 1e-4})
    fewest = min(off, key=len)
    if not 0 < len(fewest) <= len(found) / 2:
        return []
    shape, by = next(iter(fewest.items()))
    is_off = f"{by:.4g} times what it should be" if by else "missing"
    return [
        Finding(
            f"{at(shape)}your KL is {is_off}, and right with others: nothing may depend on how many there are.",
            "not_an_average" if by else "part_of_the_batch_left_out",
            AVERAGING,
        )
    ]


def named_average(factor: float, law: Law, averages: Mapping[str, Average]) -> list[Finding]:
    """What is wrong with factor · nᵃ · dᵇ times the mean of the terms; nothing where that is an accepted average."""
    a, b = law.a, law.b
    ones = {shape: torch.ones(shape, dtype=torch.float64) for shape in SHAPES}
    if any(
        all(math.isclose(float(average(one)), factor * n**a * d**b, rel_tol=1e-4) for (n, d), one in ones.items())
        for average in averages.values()
    ):
        return []
    named = {
        (1 / 784, 0, 0): "divided_by_784",
        (1 / 784, 0, 1): "divided_by_784",
        (1 / 128, 1, 1): "divided_by_128",
        (0.5, 0, 1): "divided_by_data_elements",
    }
    for (c, *powers), name in named.items():
        if math.isclose(c, abs(factor), rel_tol=1e-4) and (a, b) == tuple(powers):
            entry = next(entry for entry in misconceptions.KL if entry.name == name)
            sign = [] if factor > 0 else [of_factor(-1.0)]
            return [*sign, Finding(entry.sentence, entry.name, entry.section)]
    if a == 1 and 0 < factor < 0.2 and abs(1 / factor - round(1 / factor)) < 1e-3 / factor:
        return [
            Finding(
                f"Your KL is summed over {'all its terms' if b == 1 else 'the batch'} and divided by {1 / factor:.0f} whatever "
                "the size of the batch: take the number from the tensors.",
                "divided_by_a_fixed_number",
                AVERAGING,
            )
        ]
    found = [] if math.isclose(factor, 1.0, rel_tol=1e-4) else [of_factor(factor)]
    if (a, b) in BY_POWERS:
        name, sentence = BY_POWERS[a, b]
        found.append(Finding(sentence, name, AVERAGING))
    elif a not in (0,) or b not in (0, 1):
        exponents = {"the batch size": a, "the number of latent dimensions": b}
        grows = " and ".join(f"with {what} to the power {exponent}" for what, exponent in exponents.items() if exponent)
        found.append(
            Finding(
                f"Beside a mean over all elements your KL grows {grows}.",
                "wrong_average",
                AVERAGING,
            )
        )
    return found


def of_factor(factor: float) -> Finding:
    known = {2.0: "half_missing", -1.0: "sign_flipped", 0.5: "half_taken_twice", -2.0: "half_missing+sign_flipped"}
    known |= {-0.5: "half_taken_twice+sign_flipped", 1 / math.log(2): "in_bits"}
    name = next((name for c, name in known.items() if math.isclose(c, factor, rel_tol=1e-4)), "wrong_factor")
    entries = [entry for part in name.split("+") for entry in misconceptions.KL if entry.name == part]
    sentence = " Besides: ".join(entry.sentence for entry in entries)
    return Finding(
        sentence or f"Your KL is {factor:.4g} times the closed form: the only weight that it has in the loss is `beta`.", name
    )


# powers of (batch size, latent dimensions), beside a mean over all elements
BY_POWERS = {
    (1, 1): (
        "summed_over_batch",
        "Your KL is summed over the batch, so it grows with the number of points in it: average over the batch, as the "
        "reconstruction error does.",
    ),
    (1, 0): (
        "summed_over_batch_mean_dimensions",
        "Your KL is summed over the batch and averaged over the latent dimensions, the wrong way round.",
    ),
    (-1, 0): ("divided_by_batch_twice", "Your KL is divided by the batch size twice: once is enough."),
    (-1, 1): ("divided_by_batch_twice", "Your KL is divided by the batch size twice: once is enough."),
    (0, -1): (
        "divided_by_dimensions_twice",
        "Your KL is divided by the number of latent dimensions twice: a mean over all elements has done it already.",
    ),
    (-1, -1): (
        "divided_by_batch_twice+divided_by_dimensions_twice",
        "Your KL is divided by the number of its terms twice: a mean has done it already.",
    ),
}


# --- which entries count ---------------------------------------------------------------------------------------------


def of_the_places(kl: Kl, grid: torch.Tensor) -> list[Finding]:
    """What is left out: found by changing one point, or one dimension, at a time in a batch of equal entries."""
    farthest = divmod(int((grid - grid[HERE]).abs().argmax()), len(GRID_LOGVAR))
    here, there = ((float(GRID_MU[m]), float(GRID_LOGVAR[v])) for m, v in (HERE, farthest))
    by = float(grid[farthest] - grid[HERE])
    if by == 0:
        return []
    for axis, shape in ((0, (128, 2)), (1, (7, 6))):
        cases = filled(shape, [here] * (shape[axis] + 1))
        for number, (mu, logvar) in enumerate(cases[1:]):
            mu.select(axis, number)[:], logvar.select(axis, number)[:] = there
        found = kl(cases)
        weights = (found[1:] - found[0]) / by
        if fitting.same(weights, weights.mean().expand_as(weights), rtol=1e-4):
            continue
        what = ("point of the batch", "points of the batch") if axis == 0 else ("latent dimension", "latent dimensions")
        counts = weights.abs() > 1e-6 * weights.abs().max()
        if bool(counts.all()):
            said, name = f"The {what[1]} do not all count alike in your KL", "uneven_average"
        elif int(counts.sum()) == 1:
            said, name = f"Your KL looks at one {what[0]} alone", "one_point_only" if axis == 0 else "dimensions_left_out"
        else:
            missing, last = (~counts).nonzero().flatten().tolist(), shape[axis] - 1
            one = {0: f"the first {what[0]}", last: f"the last {what[0]}"}.get(missing[0]) if len(missing) == 1 else None
            name = "part_of_the_batch_left_out" if axis == 0 else "dimensions_left_out"
            said = (
                f"Your KL leaves out {one or f'{len(missing)} of the {what[1]}'}, with {shape[0]} points and {shape[1]} latent "
                "dimensions"
            )
        return [Finding(f"{said}: every one counts, all alike.", name, AVERAGING)]
    return []
