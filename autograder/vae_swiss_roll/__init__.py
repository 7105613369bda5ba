"""The assignment `vae_swiss_roll`: the reparameterization trick and the closed-form KL, 8 points by machine, 7 by a person."""

from autograder.assignment import Assignment, course_file
from autograder.vae_swiss_roll.policies import POLICIES

assignment = Assignment(
    name="vae_swiss_roll",
    title="A variational autoencoder on the Swiss roll",
    package=__name__,
    path=course_file("source", "vae_swiss_roll", "vae_swiss_roll.ipynb"),
    functions={"reparameterize": "reparameterize", "loss": "compute_vae_loss"},
    defines=("VAE", "compute_vae_loss"),
    like="mu",
    policies=POLICIES,
    rules=(
        "The numbers do not depend on luck: where noise is judged by statistics, a right answer fails a criterion less often "
        "than once in 1,000,000,000 submissions.",
    ),
)
