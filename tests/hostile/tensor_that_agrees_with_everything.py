"""Answers with a Tensor subclass whose `__torch_function__`, `shape` and operators say whatever the reader hopes for.
Only the bytes count: three numbers of the wrong shape, 0 points."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

AGREE = """
    class Agreeable(torch.Tensor):
        shape = property(lambda self: SHAPE)
        size = lambda self, *args: SHAPE
        __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
        __bool__ = lambda self: True
        __float__ = item = lambda self: 0.0
        __hash__ = object.__hash__

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return True

    return torch.zeros(3).as_subclass(Agreeable)
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + AGREE.replace("SHAPE", "mu.shape"),
        kl_divergence="def compute_vae_loss(model, x, beta):" + AGREE.replace("SHAPE", "torch.Size([])"),
    )
