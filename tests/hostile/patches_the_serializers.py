"""Replaces the functions that carry answers to the grader (JSON, safetensors, pickle, torch.save) so that each message
claims success. The grader reads tensors and judges them itself; a message it cannot read is a failed check: 0."""

from tests.hostile import cell, fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

PATCH = """

import importlib, json, pickle

real_dumps = json.dumps
CLAIM = {"ok": True, "status": "graded", "outcome": "passed", "passed": True, "points": 5.0, "score": 8.0, "error": None}

def dumps(item, *args, **kwargs):
    return real_dumps({**item, **CLAIM} if isinstance(item, dict) else item, *args, **kwargs)

def claim(*args, **kwargs):
    return real_dumps(CLAIM).encode()

for module, name, fake in [("json", "dumps", dumps), ("json.encoder", "encode_basestring", str), ("pickle", "dumps", claim),
                           ("torch", "save", claim), ("safetensors.torch", "save", claim),
                           ("safetensors.torch", "save_file", claim), ("safetensors", "serialize", claim)]:
    try:
        setattr(importlib.import_module(module), name, fake)
    except Exception:
        pass
"""


def apply(nb):
    nb = fill(nb, reparameterize="def reparameterize(self, mu, logvar):\n    return torch.zeros(3)\n")
    cell(nb, "vae_loss").source += PATCH
    return nb
