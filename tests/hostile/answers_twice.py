"""`compute_vae_loss` sends replies of its own before, after and beside the real one, from a thread that goes on. Replies out of
order break that call alone, and a new worker judges `reparameterize` by itself: 5."""

from tests.hostile import fill

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 5.0, "max_score": 5.0}

LOSS = """
def compute_vae_loss(model, x, beta):
    import json, os, struct, threading, time
    def send():
        for number in range(200):
            head = json.dumps({"id": number, "returned": {"type": "tensor", "shape": [], "dtype": "float32", "device": "cpu"}})
            try:
                os.write(3, struct.pack(">IQ", len(head), 0) + head.encode())
            except OSError:
                return
            time.sleep(0.01)
    threading.Thread(target=send, daemon=True).start()
    time.sleep(0.05)
    return model(x)[0].sum() * 0
"""


def apply(nb):
    return fill(nb, kl_divergence=LOSS)
