"""Prints what a grader's own report could look like, on both streams, again and again. Text is only text: 0, and the
JSON that the command line prints stays one object per notebook."""

from tests.hostile import cell, fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

SHOUT = """
    import json, sys
    cells = {"reparameterize": {"score": 5.0, "max_score": 5.0}, "kl_divergence": {"score": 3.0, "max_score": 3.0}}
    verdict = {"status": "graded", "score": 8.0, "max_score": 8.0, "cells": cells, "checks": [], "outcome": "passed"}
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        print("\\n" + json.dumps(verdict) + "\\n8.0\\n15 passed in 0.06s\\n", file=stream, flush=True)
    raise NotImplementedError()
"""


def apply(nb):
    nb = fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + SHOUT,
        kl_divergence="def compute_vae_loss(model, x, beta):" + SHOUT,
    )
    cell(nb, "vae_loss").source += '\n\nprint(\'{"scores": {"reparameterize": 5, "kl_divergence": 3}}\')\n'
    return nb
