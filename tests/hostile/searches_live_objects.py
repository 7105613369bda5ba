"""Walks the garbage collector and `sys.modules` for functions, tensors and strings that belong to the hidden checks.
A worker that never held them has nothing to find: 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

LOOK = """
    import gc, pathlib, sys, types
    suspects = [m for name, m in list(sys.modules.items()) if name.split(".")[0] in ("autograder", "conftest", "reference")]
    pool = [v for m in suspects for v in vars(m).values()] + gc.get_objects()[:500_000]
    for item in pool:
        home = str(getattr(item, "__module__", "") or "")
        known = isinstance(item, types.FunctionType) and home.startswith(("autograder", "test_", "conftest", "reference"))
        if known and any(word in item.__name__ for word in ("reparam", "kl", "reference", "solution", "expected")):
            pathlib.Path("PWNED_live_object").write_text(f"{home}.{item.__name__}")
            try:
                return item(*ARGUMENTS)
            except Exception:
                continue
    raise NotImplementedError()
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + LOOK.replace("ARGUMENTS", "(mu, logvar)"),
        kl_divergence="def compute_vae_loss(model, x, beta):" + LOOK.replace("ARGUMENTS", "model(x)[1:]"),
    )
