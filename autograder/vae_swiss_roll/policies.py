"""What may be argued about. Each policy is stated here once, and set in `nbgrader_config.py`:

c.GradeOutside.policies = {"kl_divided_by_data_elements": True}
"""

from autograder.assignment import Policy

POLICIES = (
    Policy(
        "mean_in_eval_mode",
        True,
        "`reparameterize` may return `mu` itself once the model is in evaluation mode. Much published code does; the lesson "
        "asks for a sample and never leaves training mode.",
        "`noise` also asks for noise in evaluation mode",
    ),
    Policy(
        "monte_carlo_kl",
        False,
        "The KL may be estimated from samples, log q(z|x) − log p(z), in place of the closed form. The expectation is right; "
        "the task is the closed form.",
        "such a loss loses `value`, and `prior` because a single estimate can be negative",
    ),
    Policy(
        "kl_summed_over_batch",
        False,
        "The KL may be summed over everything, the latent dimensions and the batch. Published code that also sums the "
        "reconstruction error does so; beside a mean it makes the weight of the KL grow with the batch size, and the model "
        "collapses. A mean over the dimensions that is summed over the batch is another number, and not accepted either way.",
        "such a loss loses `value`",
    ),
    Policy(
        "kl_divided_by_data_elements",
        False,
        "The summed KL may be divided by the number of elements of `x`. In the lesson `x` and `mu` happen to have equally "
        "many; with another latent width the numbers differ.",
        "such a loss loses `value`",
    ),
)
