"""The assignment `vae_swiss_roll`: the reparameterization trick and the closed-form KL, 8 points by machine, 7 by a person."""

import pathlib

from autograder.assignment import Assignment
from autograder.vae_swiss_roll.giveaways import giveaways
from autograder.vae_swiss_roll.policies import POLICIES
from autograder.vae_swiss_roll.student import Student
from autograder.vae_swiss_roll.words import words

assignment = Assignment(
    name="vae_swiss_roll",
    title="A variational autoencoder on the Swiss roll",
    folder=pathlib.Path(__file__).parent,
    student=Student,
    functions={"reparameterize": "reparameterize", "loss": "compute_vae_loss"},
    words=words,
    policies=POLICIES,
    giveaways=giveaways,
)
