"""The assignment `vae_swiss_roll`: the reparameterization trick and the closed-form KL, 8 points by machine, 7 by a person."""

import pathlib

from autograder.assignment import Assignment
from autograder.vae_swiss_roll.giveaways import giveaways
from autograder.vae_swiss_roll.policies import POLICIES

assignment = Assignment(
    name="vae_swiss_roll",
    title="A variational autoencoder on the Swiss roll",
    folder=pathlib.Path(__file__).parent,
    functions={"reparameterize": "reparameterize", "loss": "compute_vae_loss"},
    policies=POLICIES,
    giveaways=giveaways,
)
