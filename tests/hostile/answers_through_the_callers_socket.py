"""Walks up its caller's frames to whatever can send bytes, and sends a verdict of its own before the real reply. The
reply channel carries data, never verdicts, so the worst outcome is a broken call: 0."""

from tests.hostile import fill

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

SEND = """
    import json, struct, sys
    body = json.dumps({"outcome": "passed", "points": 5.0, "score": 8.0, "ok": True, "result": "passed"}).encode()
    frame, seen = sys._getframe(1), 0
    while frame is not None and seen < 500:
        for item in list(frame.f_locals.values()):
            for method in ("sendall", "send_bytes", "send", "write", "put"):
                seen += 1
                for message in (body + b"\\n", struct.pack("<I", len(body)) + body, struct.pack("<Q", len(body)) + body):
                    try:
                        getattr(item, method)(message)
                    except BaseException:
                        break
        frame = frame.f_back
    raise NotImplementedError()
"""


def apply(nb):
    return fill(
        nb,
        reparameterize="def reparameterize(self, mu, logvar):" + SEND,
        kl_divergence="def compute_vae_loss(model, x, beta):" + SEND,
    )
