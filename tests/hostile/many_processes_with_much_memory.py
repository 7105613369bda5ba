"""`compute_vae_loss` starts 24 processes that take 400 MB each: every one below the limit on a process, together far above
what a worker may have. The worker is ended, the machine does not swap: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import os, time
    for _ in range(24):
        if os.fork() == 0:
            held = bytearray(400 * 2**20)
            held[::4096] = b"1" * len(held[::4096])
            time.sleep(30)
            os._exit(0)
    time.sleep(4)
    raise RuntimeError("too many workers")
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
