"""Records the seeds and inputs of the hidden calls and shouts them through prints, errors and files, hoping to read them
in the feedback. It earns 0, and the feedback must not show `LEAK`."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

LEAK = """
    import pathlib, sys, warnings
    text = "LEAK " + repr([torch.initial_seed(), *(v.tolist() if hasattr(v, "tolist") else v for v in VALUES)])[:20_000]
    print(text)
    print(text, file=sys.stderr)
    warnings.warn(text)
    with pathlib.Path("leaked_inputs.txt").open("a") as log:
        log.write(text + "\\n")
    raise NotImplementedError(text)
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + LEAK.replace("VALUES", "(mu, logvar)"),
        kl_divergence="def compute_vae_loss(model, x, beta):" + LEAK.replace("VALUES", "(beta, *model(x))"),
    )
