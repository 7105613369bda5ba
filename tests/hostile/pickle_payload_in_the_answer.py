"""Answers with an object that lies about equality and runs code when it is unpickled or copied. The grader must never
unpickle it: no file `PWNED_unpickled` outside the sandbox, and 0 points."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

LIE = """
    import pathlib

    class Payload:
        shape, dtype, device, requires_grad = None, torch.float32, torch.device("cpu"), True
        __eq__ = lambda self, other: True
        __sub__ = __rsub__ = lambda self, other: 0.0
        __float__ = lambda self: 0.0
        __array__ = lambda self, *args, **kwargs: np.zeros(())
        __getattr__ = lambda self, name: lambda *args, **kwargs: self if not name.startswith("__") else None
        __reduce_ex__ = lambda self, protocol: (exec, ("import pathlib; pathlib.Path('PWNED_unpickled').touch()",))

    return Payload()
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + LIE,
        kl_divergence="def compute_vae_loss(model, x, beta):" + LIE,
    )
