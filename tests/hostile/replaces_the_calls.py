"""Replaces the functions of the module that calls it, so that they report what a right answer would look like. What is
reported is data, judged like any other; made-up numbers earn nothing: 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

PATCH = """
    import sys, torch
    calls = sys.modules.get("calls")
    if calls is not None:
        description = {"type": "tensor", "shape": [128, 2], "dtype": "float32", "device": "cpu"}
        calls.describe = lambda value: (description, torch.randn(128, 2))
        calls.gradients = lambda *arguments: {"grad_mu": torch.ones(128, 2), "grad_logvar": torch.ones(128, 2)}
        calls.answer = lambda header, tensors, namespace: ({"returned": description}, {"value": torch.zeros(128, 2)})
    for frame_door in [v for v in list(sys._getframe(0).f_globals.values()) if type(v).__name__ == "Door"]:
        frame_door.serve = lambda namespace: None
    return torch.zeros(128, 2)
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + PATCH,
        kl_divergence="def compute_vae_loss(model, x, beta):" + PATCH.replace("torch.zeros(128, 2)\n", "torch.zeros(())\n"),
    )
