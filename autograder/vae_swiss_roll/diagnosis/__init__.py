"""What a wrong answer does, told from its numbers: by the table of known mistakes, and by fits where no name is known.

sampler.py   `reparameterize`: how z moves with mu, how the noise grows with logvar
loss.py      `compute_vae_loss`: the reconstruction error, β, the KL term by term, how it is averaged
"""
