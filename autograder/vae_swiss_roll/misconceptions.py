"""The known mistakes: what a student who believes each would compute, and what to tell them.

A misconception is a formula. After a check has failed, the grader evaluates every formula of the table on the inputs that
it has just used and names the one whose numbers the submission's match. A new misconception is a line here.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch

from autograder.errors import NotEarned

AVERAGING = "What is averaged"
Formula = Callable[..., torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Misconception:
    """One known mistake.

    Attributes:
        name: for tables and JSON.
        formula: what it computes. For `SCALE`, the factor on the noise as a function of logvar; for `KL`, a function of
            (mu, logvar), both float64: the KL of each latent variable, which is tried under every accepted average, or, where
            the average itself is the mistake, the whole KL.
        sentence: what to tell the student: what was seen, and what to do next, without the answer.
        section: heading in the notebook to read again, where it is not the criterion's own.
    """

    name: str
    formula: Formula
    sentence: str
    section: str | None = None


SCALE: list[Misconception] = [
    Misconception(
        "variance_as_std",
        lambda logvar: logvar.exp(),
        "Your noise is scaled by the variance: `logvar` is the logarithm of σ², and the trick multiplies by σ. "
        "Take the square root on the way, and check it with one number by hand.",
    ),
    Misconception(
        "logvar_as_std",
        lambda logvar: logvar,
        "Your noise is multiplied by `logvar` itself; a standard deviation is never negative. "
        "Undo the logarithm first, then go from the variance to the standard deviation.",
    ),
    Misconception(
        "no_scale",
        lambda logvar: torch.ones_like(logvar),
        "Your noise has the same spread whatever `logvar` is: the standard deviation that the encoder asks for is not used.",
    ),
    Misconception(
        "root_taken_twice",
        lambda logvar: (logvar / 4).exp(),
        "Your noise is scaled by the square root of σ: the step from the variance to the standard deviation is made twice.",
    ),
    Misconception(
        "factor_two_upside_down",
        lambda logvar: (2 * logvar).exp(),
        "The factor between log-variance and log-standard-deviation is upside down or the result is squared once too often: "
        "your noise is scaled by the square of the variance.",
    ),
    Misconception(
        "root_of_abs_logvar",
        lambda logvar: logvar.abs().sqrt(),
        "Your noise is scaled by the root of the absolute value of `logvar`: a root and an `abs` do not undo a logarithm.",
    ),
    Misconception(
        "abs_logvar_as_std",
        lambda logvar: logvar.abs(),
        "Your noise is scaled by the absolute value of `logvar`: making it positive does not undo the logarithm.",
    ),
    Misconception(
        "abs_logvar_plus_small",
        lambda logvar: logvar.abs() + 1e-2,
        "Your noise is scaled by the absolute value of `logvar`, moved away from zero: this does not undo the logarithm.",
    ),
    Misconception(
        "relu_logvar_as_std",
        lambda logvar: logvar.clamp(min=0),
        "Your noise vanishes wherever `logvar` is negative: cutting off at zero does not undo the logarithm.",
    ),
    Misconception(
        "softplus_logvar_as_std",
        lambda logvar: torch.nn.functional.softplus(logvar),
        "Your noise is scaled by a softplus of `logvar`: in this lesson the encoder's second output is the logarithm of σ².",
    ),
    Misconception(
        "one_std_for_the_batch",
        lambda logvar: torch.full_like(logvar, (logvar / 2).exp().mean().item()),
        "All elements share one standard deviation: each latent variable of each point has its own.",
    ),
    Misconception(
        "inverse_std",
        lambda logvar: (-logvar / 2).exp(),
        "Your noise shrinks where `logvar` grows: somewhere a sign is turned, or a division should be a product.",
    ),
    Misconception(
        "inverse_variance",
        lambda logvar: (-logvar).exp(),
        "Your noise is divided by the variance: it should get wider, not narrower, as `logvar` grows, and by σ, not σ².",
    ),
    Misconception(
        "sigmoid_logvar_as_std",
        lambda logvar: logvar.sigmoid(),
        "Your noise is scaled by a sigmoid of `logvar`, which never exceeds 1: making a number positive does not undo a "
        "logarithm.",
    ),
    Misconception(
        "logvar_squared_as_std",
        lambda logvar: logvar**2,
        "Your noise is scaled by the square of `logvar`: making it positive does not undo the logarithm.",
    ),
    Misconception(
        "wrong_base",
        lambda logvar: 2 ** (logvar / 2),
        "Your noise is scaled by a power of 2: `logvar` is a natural logarithm, so undo it with its own base.",
    ),
    Misconception(
        "wrong_base_ten",
        lambda logvar: 10 ** (logvar / 2),
        "Your noise is scaled by a power of 10: `logvar` is a natural logarithm, so undo it with its own base.",
    ),
    Misconception(
        "elu_logvar_as_std",
        lambda logvar: torch.nn.functional.elu(logvar) + 1,
        "Your noise is scaled by an ELU of `logvar`, plus 1: making it positive does not undo the logarithm.",
    ),
    Misconception(
        "scale_symmetric",
        lambda logvar: (logvar / 2).cosh(),
        "Your noise is as wide for `logvar` as for −`logvar`, a hyperbolic cosine: it should get narrower as `logvar` falls.",
    ),
    Misconception(
        "logvar_through_a_function",
        lambda logvar: (logvar.tanh() / 2).exp(),
        "`logvar` goes through a tanh on its way to the spread of the noise: the spread is cut off on both sides.",
    ),
    Misconception(
        "exponential_minus_one",
        lambda logvar: (logvar / 2).expm1(),
        "Your noise vanishes where `logvar` is 0, where σ is 1: look up what the function that you use subtracts.",
    ),
    Misconception(
        "softplus_of_half",
        lambda logvar: torch.nn.functional.softplus(logvar / 2),
        "Your noise is scaled by a softplus: in this lesson the encoder's second output is the logarithm of σ².",
    ),
]


def _terms(m: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return 0.5 * (m**2 + v.exp() - v - 1)


KL: list[Misconception] = [
    Misconception(
        "half_missing",
        lambda m, v: m**2 + v.exp() - v - 1,
        "Your KL is twice the closed form: the factor ½ in front is missing. Follow it through the end of the derivation.",
    ),
    Misconception(
        "sign_flipped",
        lambda m, v: -_terms(m, v),
        "Your KL enters the loss with the wrong sign: a KL divergence is never negative and is a cost, and yours rewards "
        "distance from the prior.",
    ),
    Misconception(
        "summed_over_batch",
        lambda m, v: _terms(m, v).sum(),
        "Your KL is summed over the batch, so it grows with the number of points in it: average over the batch, as "
        "the reconstruction error does.",
        AVERAGING,
    ),
    Misconception(
        "summed_over_batch_mean_dimensions",
        lambda m, v: _terms(m, v).sum(dim=0).mean(),
        "Your KL is summed over the batch and averaged over the latent dimensions, the wrong way round.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_batch_twice",
        lambda m, v: _terms(m, v).sum(dim=1).mean() / len(m),
        "Your KL is divided by the batch size twice: once is enough.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_data_elements",
        lambda m, v: _terms(m, v).sum() / (2 * len(m)),
        "Your KL is divided by the number of elements of `x`: average over the elements of `mu`, which need not be as many.",
        AVERAGING,
    ),
    Misconception(
        "std_for_variance",
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - v - 1),
        "The KL holds the standard deviation where the formula has the variance.",
    ),
    Misconception(
        "variance_squared",
        lambda m, v: 0.5 * (m**2 + (2 * v).exp() - v - 1),
        "The KL holds the square of the variance where the formula has the variance.",
    ),
    Misconception(
        "logvar_as_log_std",
        lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 2 * v - 1),
        "Your KL takes `logvar` for the logarithm of σ; in this lesson it is the logarithm of σ².",
    ),
    Misconception(
        "sigma_for_both",
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - v / 2 - 1),
        "Your KL works with σ where the formula has σ², in both terms of the variance.",
    ),
    Misconception(
        "one_missing",
        lambda m, v: 0.5 * (m**2 + v.exp() - v),
        "The constant −1 inside the sum is missing: at the prior itself your KL is ½, not 0.",
    ),
    Misconception(
        "one_with_wrong_sign",
        lambda m, v: 0.5 * (m**2 + v.exp() - v + 1),
        "The constant 1 has the wrong sign: at the prior itself your KL is 1, not 0.",
    ),
    Misconception(
        "mu_missing",
        lambda m, v: 0.5 * (v.exp() - v - 1),
        "The means are missing from your KL: nothing pulls them towards the prior.",
    ),
    Misconception(
        "variance_missing",
        lambda m, v: 0.5 * (m**2 - v - 1),
        "The variance term is missing from your KL: without it, nothing stops `logvar` from growing.",
    ),
    Misconception(
        "mu_not_squared",
        lambda m, v: 0.5 * (m + v.exp() - v - 1),
        "`mu` enters your KL without its square: compare it with the last line of the derivation.",
    ),
    Misconception(
        "mu_absolute",
        lambda m, v: 0.5 * (m.abs() + v.exp() - v - 1),
        "`mu` enters your KL by its absolute value: the derivation gives its square.",
    ),
    Misconception(
        "mu_doubled",
        lambda m, v: 0.5 * (2 * m + v.exp() - v - 1),
        "`mu` is doubled in your KL: the derivation gives its square.",
    ),
    Misconception(
        "mu_with_wrong_sign",
        lambda m, v: 0.5 * (-(m**2) + v.exp() - v - 1),
        "The square of `mu` has the wrong sign in your KL: it rewards means far from the prior.",
    ),
    Misconception(
        "variance_with_wrong_sign",
        lambda m, v: 0.5 * (m**2 - v.exp() - v - 1),
        "The variance has the wrong sign in your KL.",
    ),
    Misconception(
        "half_binds_to_the_one",
        lambda m, v: -0.5 + v - m**2 - v.exp(),
        "The factor ½ reaches only the constant: put brackets around the whole sum.",
    ),
    Misconception(
        "half_binds_to_the_first_two",
        lambda m, v: -0.5 * (1 + v) - m**2 - v.exp(),
        "The factor −½ reaches only the constant and `logvar`: put brackets around the whole sum.",
    ),
    Misconception(
        "square_reaches_too_far",
        lambda m, v: 0.5 * ((m + v.exp()) ** 2 - v - 1),
        "The variance is squared together with `mu`: the bracket closes too late, only `mu` is squared.",
    ),
    Misconception(
        "variance_times_mu",
        lambda m, v: 0.5 * (m**2 + m * v.exp() - v - 1),
        "The variance is multiplied by `mu` in your KL: the two stand in terms of their own.",
    ),
    Misconception(
        "kl_reversed",
        lambda m, v: 0.5 * ((m**2 + 1) * (-v).exp() + v - 1),
        "You computed the divergence of the prior from the posterior: the two arguments are exchanged.",
    ),
    Misconception(
        "averaged_before_the_formula",
        lambda m, v: 0.5 * (m.mean() ** 2 + v.mean().exp() - v.mean() - 1),
        "You average `mu` and `logvar` first and apply the formula after: it is not linear, so the average comes last.",
        AVERAGING,
    ),
    Misconception(
        "averaged_before_the_formula",
        lambda m, v: _terms(m.mean(0, keepdim=True), v.mean(0, keepdim=True)),
        "You average `mu` and `logvar` over the batch first and apply the formula after: it is not linear, so the average "
        "comes last.",
        AVERAGING,
    ),
    Misconception(
        "averaged_before_the_formula",
        lambda m, v: _terms(m.mean(1, keepdim=True), v.mean(1, keepdim=True)),
        "You average `mu` and `logvar` of each point first and apply the formula after: it is not linear, so the average "
        "comes last.",
        AVERAGING,
    ),
    Misconception(
        "moments_of_the_means",
        lambda m, v: 0.5 * (m.mean(0) ** 2 + m.var(0) - 1 - m.var(0).log()).mean(),
        "You compare the mean and variance of all `mu` of the batch with the prior: the KL is taken for each point, with "
        "its own `mu` and `logvar`.",
    ),
    Misconception(
        "weight_decay_on_mu",
        lambda m, v: 0.5 * m**2,
        "Your KL is only the square of `mu`: the terms of the variance are missing.",
    ),
    Misconception(
        "arguments_exchanged",
        lambda m, v: 0.5 * (v**2 + m.exp() - m - 1),
        "`mu` and `logvar` are exchanged in your KL.",
    ),
    Misconception(
        "one_point_only",
        lambda m, v: 0.5 * (m[0] ** 2 + v[0].exp() - v[0] - 1).mean(),
        "Your KL looks at the first point of the batch alone.",
        AVERAGING,
    ),
    Misconception(
        "free_bits",
        lambda m, v: _terms(m, v).clamp(min=0.5),
        "Small terms of your KL are raised to a minimum (“free bits”): a known trick, but not the divergence.",
    ),
    Misconception(
        "largest_instead_of_mean",
        lambda m, v: _terms(m, v).max(),
        "Your KL is the largest of the batch: average it.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_784",
        lambda m, v: _terms(m, v).sum() / (784 * len(m)),
        "Your KL is divided by 784, the number of pixels of another data set: average over this lesson's own elements.",
        AVERAGING,
    ),
    Misconception(
        "exponential_cut_off",
        lambda m, v: 0.5 * (m**2 + v.clamp(max=1).exp() - v - 1),
        "The exponential in your KL is cut off for large `logvar`: the formula needs it whole.",
    ),
    Misconception(
        "capped",
        lambda m, v: _terms(m, v).mean().clamp(max=0.1),
        "Your KL never exceeds 0.1: a cap takes away the pull towards the prior where it is needed most.",
    ),
    Misconception(
        "entropy_only",
        lambda m, v: -0.5 * (1 + v + math.log(2 * math.pi)),
        "Your KL holds the entropy of the posterior alone: the expectation of the prior's logarithm is missing.",
    ),
    Misconception(
        "log_of_logvar_squared",
        lambda m, v: 0.5 * (m**2 + v**2 - (v**2).log() - 1),
        "Your KL takes `logvar` for σ: in this lesson it is the logarithm of σ².",
    ),
    Misconception(
        "logvar_exponentiated_twice",
        lambda m, v: _terms(m, v.exp()),
        "`logvar` is exponentiated before the formula does so: what you take for `logvar` is the variance.",
    ),
    Misconception(
        "logvar_exponentiated_twice",
        lambda m, v: _terms(m, (v / 2).exp()),
        "`logvar` is exponentiated before the formula does so: what you take for `logvar` is the standard deviation.",
    ),
    Misconception(
        "logvar_as_variance",
        lambda m, v: 0.5 * (m**2 + v - (v.abs() + 1e-8).log() - 1),
        "Your KL takes `logvar` for the variance: in this lesson it is its logarithm, and may be negative.",
    ),
    Misconception(
        "squared",
        lambda m, v: _terms(m, v).mean() ** 2,
        "Your KL is the square of the divergence: it is never negative without that.",
    ),
    Misconception(
        "in_bits",
        lambda m, v: _terms(m, v) / math.log(2),
        "Your KL is in bits, the formula's in nats: leave out the division by the logarithm of 2.",
    ),
    Misconception(
        "log_base_two",
        lambda m, v: 0.5 * (m**2 + v.exp() - v / math.log(2) - 1),
        "Your KL holds a logarithm to base 2: the derivation uses natural logarithms throughout.",
    ),
    Misconception(
        "divided_by_batch_twice",
        lambda m, v: _terms(m, v).mean() / len(m),
        "Your KL is divided by the batch size twice: once is enough.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_dimensions_twice",
        lambda m, v: _terms(m, v).mean() / m.shape[1],
        "Your KL is divided by the number of latent dimensions twice: a mean over all elements has done it already.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_one_less",
        lambda m, v: _terms(m, v).sum() / (m.numel() - 1),
        "Your KL is divided by one less than the number of its terms: that belongs to a sample variance, this is a plain mean.",
        AVERAGING,
    ),
    Misconception(
        "divided_by_128",
        lambda m, v: _terms(m, v).sum() / 128,
        "Your KL is divided by 128 whatever the size of the batch: take the number from the tensors.",
        AVERAGING,
    ),
    Misconception(
        "half_taken_twice",
        lambda m, v: _terms(m, v).mean() / 2,
        "Your KL is half of the closed form: the factor ½ is in it twice.",
    ),
    Misconception(
        "half_on_the_one_alone",
        lambda m, v: m**2 + v.exp() - v - 0.5,
        "The factor ½ reaches only the constant: put brackets around the whole sum.",
    ),
    Misconception(
        "half_on_the_means_alone",
        lambda m, v: 0.5 * m**2 + v.exp() - v - 1,
        "The factor ½ reaches only the term of `mu`: put brackets around the whole sum.",
    ),
    Misconception(
        "half_on_the_squares_alone",
        lambda m, v: 0.5 * (m**2 + v.exp()) - v - 1,
        "The factor ½ reaches only the first two terms: put brackets around the whole sum.",
    ),
    Misconception(
        "logvar_doubled",
        lambda m, v: 0.5 * (m**2 + v.exp() - 2 * v - 1),
        "The term of the logarithm is twice as large as it should be: the logarithm of σ is half of `logvar`.",
    ),
    Misconception(
        "logvar_halved",
        lambda m, v: 0.5 * (m**2 + v.exp() - v / 2 - 1),
        "The term of the logarithm is half as large as it should be: follow the factor ½ through the derivation.",
    ),
    Misconception(
        "square_of_the_mean",
        lambda m, v: 0.5 * (m.mean() ** 2 + (v.exp() - v - 1).mean()),
        "You average `mu` first and square after: square each one, the average comes last.",
        AVERAGING,
    ),
    Misconception(
        "cross_entropy_only",
        lambda m, v: 0.5 * (m**2 + v.exp() + math.log(2 * math.pi)),
        "Your KL holds the expectation of the prior's logarithm alone: the entropy of the posterior is missing.",
    ),
    Misconception(
        "wasserstein",
        lambda m, v: m**2 + ((v / 2).exp() - 1) ** 2,
        "You compare means and standard deviations by their squared differences: that is another distance, not the KL.",
    ),
    Misconception(
        "squared_penalties",
        lambda m, v: 0.5 * (m**2 + v**2),
        "Your KL is a squared penalty on `mu` and `logvar`: zero at the prior, but not the divergence.",
    ),
    Misconception(
        "root_of_the_divergence",
        lambda m, v: _terms(m, v).mean().sqrt(),
        "Your KL is the square root of the divergence.",
    ),
    Misconception(
        "logvar_cut_off",
        lambda m, v: _terms(m, v.clamp(-2, 2)),
        "`logvar` is cut off at ±2 in your KL: the formula needs it whole.",
    ),
    Misconception(
        "logvar_cut_off",
        lambda m, v: _terms(m, v.clamp(-1, 1)),
        "`logvar` is cut off at ±1 in your KL: the formula needs it whole.",
    ),
    Misconception(
        "median",
        lambda m, v: _terms(m, v).median(),
        "Your KL is the median of the batch: average it.",
        AVERAGING,
    ),
    Misconception(
        "variance_upside_down",
        lambda m, v: 0.5 * (m**2 + (-v).exp() - v - 1),
        "The variance is upside down in your KL.",
    ),
]


def matching(table: Sequence[Misconception], agrees: Callable[[Formula], bool]) -> list[Misconception]:
    """The misconceptions of `table` for which `agrees(formula)` holds."""
    return [misconception for misconception in table if agrees(misconception.formula)]


def told(found: Sequence[Misconception], where: str = "") -> NotEarned:
    """The NotEarned that names the misconceptions found. Several that agree are all told: the numbers cannot say which it was.

    Args:
        where: under which circumstances they show, or "".
    """
    sentences, names = dict.fromkeys(m.sentence for m in found), dict.fromkeys(m.name for m in found)
    sentence = next(iter(sentences))
    if len(names) > 1:
        sentence = "Your numbers fit more than one known mistake. " + " Or: ".join(sentences)
    return NotEarned(where + sentence, "/".join(names), section=found[0].section)
