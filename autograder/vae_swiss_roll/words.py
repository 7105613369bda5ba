"""Calls and what they returned, in words, for a person who asks how a mark came about."""

import torch

from autograder.grading.explain import explain
from autograder.vae_swiss_roll.student import describe

ON = {"cpu": "", "cuda": " on the GPU", "pretend": " on a pretend GPU"}


def words(call, source):
    """(the call, what came back) of a `rubric.Call`; `source` is the submission's code, whose words may be quoted."""
    if call.error is not None:
        return asked(call), explain(call.error, source)[0]
    return asked(call), returned(call.returned)


def asked(call):
    header, tensors = call.header, call.tensors
    inputs = ", ".join(f"{name} {numbers(tensors[name])}" for name in ("mu", "logvar"))
    if header["op"] == "loss":
        same = torch.equal(tensors["x"], tensors["recon_x"])
        recon = "that reconstructs x perfectly" if same else "that reconstructs x imperfectly"
        text = f"compute_vae_loss(model, x, beta={header['beta']:g}) with a model {recon} and encodes it as {inputs}"
    else:
        mode = "" if header["training"] else " in evaluation mode"
        text = f"reparameterize(mu, logvar){mode} with {inputs}"
    text += f", for one of the {len(tensors['mu'])} after the other" if tensors["mu"].dim() == 3 else ""
    times = f", {header['repeat']} times" if header["repeat"] > 1 else ""
    return f"{text}; seed {header['seed']}{times}{ON[header['device']]}"


def numbers(tensor):
    """Shape, dtype and range."""
    shape = "×".join(map(str, tensor.shape)) or "one number"
    dtype = str(tensor.dtype).removeprefix("torch.")
    if not tensor.numel():
        return f"({shape}, {dtype})"
    low, high = float(tensor.min()), float(tensor.max())
    span = f"all {low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"({shape}, {dtype}, {span})"


def returned(found):
    """What came back, with the spread of its numbers."""
    if not found.is_tensor:
        return describe(found)
    extra = " The call changed " + " and ".join(sorted(found.changed)) + "." if found.changed else ""
    if "value" not in found.tensors:
        return f"{describe(found)}, {found.dtype}, on {found.device}, without numbers.{extra}"
    value = found.tensors["value"]
    if value.dim() == 0:
        return f"{float(value):.7g} ({found.dtype}).{extra}"
    mean = f"; mean {float(value.double().mean()):.4g}" if value.numel() else ""
    return f"a tensor {numbers(value)}{mean}.{extra}"
