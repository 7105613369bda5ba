"""Right answers by recombination, for `autograder selftest --recombined`: no check may reject one.

The pieces are written in `m` and `v`, a part of `mu` and `logvar` (the whole, a row, a column, ...). A layout takes the parts
and puts the results together again.
"""

import itertools
import re
from collections.abc import Sequence

# name → the rest of a line that sets eps: standard normal noise like m.
SAMPLERS = {
    "randn_like": "torch.randn_like(m)",
    "randn": "torch.randn(m.shape, device=m.device, dtype=m.dtype)",
    "randn-moved": "torch.randn(m.shape).to(m)",
    "normal_": "torch.empty_like(m).normal_()",
    "init-normal_": "nn.init.normal_(torch.empty_like(m))",
    "torch-normal": "torch.normal(torch.zeros_like(m), torch.ones_like(m))",
    "Normal-sample": "D.Normal(0.0, 1.0).sample(m.shape).to(m)",
    "Multivariate-sample": "D.MultivariateNormal(torch.zeros_like(m), torch.eye(m.shape[-1]).to(m)).sample()",
    "numpy-randn": "torch.from_numpy(np.random.randn(*m.shape)).to(m)",
    "numpy-normal": "torch.tensor(np.random.normal(0, 1, size=tuple(m.shape))).to(m.device, m.dtype)",
    "numpy-default_rng": "torch.as_tensor(np.random.default_rng().standard_normal(tuple(m.shape))).to(m)",
    "gauss": "torch.tensor([random.gauss(0, 1) for _ in range(m.numel())]).view(m.shape).to(m)",
    "generator": "torch.randn(m.shape, generator=generator).to(m)",
    "own-generator": "torch.randn(m.shape, generator=self.generator).to(m)",
    # 1 - rand is never 0, and float64 leaves no gap in the tails.
    "box-muller": "(-2 * torch.log(1 - torch.rand_like(m))).sqrt() * torch.cos(2 * math.pi * torch.rand_like(m))",
    "erfinv": "(2**0.5 * torch.erfinv(2 * torch.rand(m.shape, dtype=torch.float64) - 1)).to(m)",
    "ndtri": "torch.special.ndtri(torch.rand_like(m, dtype=torch.float64)).to(m)",
    "sum-of-two": "(torch.randn_like(m) + torch.randn_like(m)) / math.sqrt(2)",
    "difference": "0.6 * torch.randn_like(m) - 0.8 * torch.randn_like(m)",
}
# Made once per call, before any loop.
BEFORE = {
    "generator": ["generator = torch.Generator()", "generator.seed()"],
    "own-generator": [
        'if not hasattr(self, "generator"):',
        "    self.generator = torch.Generator()",
        "    self.generator.seed()",
    ],
}
# name → std from v.
SCALES = {
    "half-exp": "torch.exp(0.5 * v)",
    "exp-of-half": "(v / 2).exp()",
    "chained": "v.mul(0.5).exp()",
    "sqrt-of-exp": "torch.sqrt(torch.exp(v))",
    "power-of-exp": "v.exp() ** 0.5",
    "pow": "torch.pow(torch.exp(v), 0.5)",
    "quarter-squared": "torch.exp(v / 4) ** 2",
    "exp2": "torch.exp2(v / (2 * math.log(2)))",
    "reciprocal": "1 / torch.exp(-v / 2)",
    "rsqrt": "torch.exp(-v).rsqrt()",
    "clamped": "torch.exp(0.5 * v.clamp(-20, 20))",
    "e-to-the": "math.e ** (0.5 * v)",
    "float64": "torch.sqrt(v.double().exp()).to(v)",
}
# name → z from m, std and eps.
SUMS = {
    "sum": "m + eps * std",
    "addcmul": "torch.addcmul(m, eps, std)",
    "minus": "m - std * eps",
    "lerp": "torch.lerp(m, m + std, eps)",
    "methods": "eps.mul(std).add(m)",
    "stacked": "torch.stack([m, std * eps]).sum(dim=0)",
    "factored": "(m / std + eps) * std",
}
# name → z from m and std, without noise of its own.
JOINT = {
    "rsample": "D.Normal(m, std).rsample()",
    "Independent-rsample": "D.Independent(D.Normal(m, std), 1).rsample()",
    "Multivariate-rsample": "D.MultivariateNormal(m, torch.diag_embed(std**2)).rsample()",
    "Multivariate-tril-rsample": "D.MultivariateNormal(m, scale_tril=torch.diag_embed(std)).rsample()",
}
# name → the line that makes m and v (a loop, when it ends in a colon), and what the function makes of `part` (`parts`).
LAYOUTS = {
    "whole": ("m, v = mu, logvar", "part"),
    "rows": ("for m, v in zip(mu, logvar):", "torch.stack(parts)"),
    "columns": ("for m, v in zip(mu.unbind(1), logvar.unbind(1)):", "torch.stack(parts, dim=1)"),
    "chunks": ("for m, v in zip(mu.split(1, dim=1), logvar.split(1, dim=1)):", "torch.cat(parts, dim=1)"),
    "flat": ("m, v = mu.flatten(), logvar.flatten()", "part.view(mu.shape)"),
    "transposed": ("m, v = mu.t(), logvar.t()", "part.t()"),
    "unsqueezed": ("m, v = mu.unsqueeze(0), logvar.unsqueeze(0)", "part.squeeze(0)"),
}
# Where judging takes seconds, some combinations show what there is to show: a loop over rows draws 128 times per call, and
# noise that no seed reaches is judged by averages over thousands of calls.
BY_ROWS = {"randn_like", "randn-moved", "normal_", "Normal-sample", "numpy-randn", "gauss", "box-muller"}
UNSEEDED = {"numpy-default_rng", "generator", "own-generator"}

MODELS = {
    "model": ["recon_x, mu, logvar = model(x)"],
    "encode": ["mu, logvar = model.encode(x)", "recon_x = model(x)[0]"],
    "forward": ["recon_x, mu, logvar = model.forward(x)"],
    "indexed": ["out = model(x)", "recon_x, mu, logvar = out[0], out[1], out[2]"],
}
RECONSTRUCTIONS = {
    "mean": "torch.mean((recon_x - x) ** 2)",
    "mse_loss": "F.mse_loss(recon_x, x)",
    "by-numel": "((x - recon_x) ** 2).sum() / x.numel()",
    "mean-of-means": "(recon_x - x).pow(2).mean(dim=1).mean()",
    "unreduced": 'F.mse_loss(recon_x, x, reduction="sum") / recon_x.numel()',
}
# name → the KL of each latent variable, from m and v.
TERMS = {
    "minus-half": "-0.5 * (1 + v - m.pow(2) - v.exp())",
    "half": "0.5 * (m**2 + v.exp() - v - 1)",
    "halves": "(m.square() + v.exp()) / 2 - v / 2 - 0.5",
    "expm1": "0.5 * (torch.expm1(v) - v + m * m)",
    "two-gaussians": "torch.log(1 / (v / 2).exp()) + (v.exp() + m**2) / 2 - 0.5",
    "chained": "v.exp().sub(v).sub(1).add(m.pow(2)).mul(0.5)",
    "addcmul": "torch.addcmul(v.exp() - v - 1, m, m) / 2",
    "stacked": "torch.stack([m**2, v.exp(), -v, -torch.ones_like(v)]).sum(dim=0) / 2",
    "kl_divergence": "D.kl_divergence(D.Normal(m, (v / 2).exp()), D.Normal(0.0, 1.0))",
    "kl_divergence-like": "D.kl_divergence(D.Normal(m, v.exp().sqrt()), D.Normal(torch.zeros_like(m), torch.ones_like(m)))",
    "entropy": "0.5 * (m**2 + v.exp() + math.log(2 * math.pi)) - D.Normal(m, torch.exp(0.5 * v)).entropy()",
}
AVERAGES = {
    "mean": "kl.mean()",
    "sum-mean": "kl.sum(dim=1).mean()",
    "mean-sum": "kl.mean(dim=0).sum()",
    "by-numel": "kl.sum() / mu.numel()",
    "by-batch": "torch.sum(kl) / x.shape[0]",
    "mean-of-rows": "torch.stack([row.mean() for row in kl]).mean()",
    "by-column": "sum(kl[:, j].mean() for j in range(kl.shape[1]))",
}
# name → the KL of each point.
POINTS = {
    "Independent": "D.kl_divergence(D.Independent(D.Normal(mu, (logvar / 2).exp()), 1), "
    "D.Independent(D.Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))",
    "Multivariate": "D.kl_divergence(D.MultivariateNormal(mu, torch.diag_embed(logvar.exp())), "
    "D.MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[1]).to(mu)))",
    "trace-logdet": "0.5 * (torch.diag_embed(logvar.exp()).diagonal(dim1=1, dim2=2).sum(1) + (mu**2).sum(1) - mu.shape[1] "
    "- torch.logdet(torch.diag_embed(logvar.exp())))",
    "einsum": 'torch.einsum("bd,bd->b", mu, mu) / 2 + (logvar.exp() - logvar - 1).sum(-1) / 2',
    "matmul": "(0.5 * (mu**2 + logvar.exp() - logvar - 1)) @ torch.ones_like(mu[0])",
    "dot-products": "torch.stack([(m @ m + v.exp().sum() - v.sum() - len(m)) / 2 for m, v in zip(mu, logvar)])",
}
AVERAGES_OF_POINTS = {
    "mean": "kl.mean()",
    "by-batch": "kl.sum() / kl.shape[0]",
    "by-dimensions": "kl.mean() / mu.shape[1]",
    "python-sum": "sum(kl) / len(kl)",
}
LOSSES = {
    "sum": "recon + beta * kl",
    "add": "torch.add(recon, kl, alpha=beta)",
    "methods": "kl.mul(beta).add(recon)",
}
IMPORTS = {
    "D": "import torch.distributions as D",
    "F": "import torch.nn.functional as F",
    "math": "import math",
    "np": "import numpy as np",
    "random": "import random",
}


def variants() -> list[tuple[str, str, str]]:
    """[(name, target, code)], always in the same order; the name tells the pieces.

    Every noise and every KL meets every layout. The other pieces come in turn; no two of these lists have a length with a
    common divisor, so that their pieces meet, too.
    """
    found = []
    sums, scales = itertools.cycle(SUMS), itertools.cycle(SCALES)
    for layout, sampler in itertools.product(LAYOUTS, [*SAMPLERS, *JOINT]):
        if (layout == "rows" and sampler not in BY_ROWS) or (sampler in UNSEEDED and layout not in ("whole", "columns")):
            continue
        scale, total = next(scales), "" if sampler in JOINT else next(sums)
        found.append((name(sampler, scale, total, layout), "reparameterize", reparameterize(sampler, scale, total, layout)))
    models, recons, losses = itertools.cycle(MODELS), itertools.cycle(RECONSTRUCTIONS), itertools.cycle(LOSSES)
    averages = itertools.cycle(AVERAGES)
    for layout, terms in itertools.product(LAYOUTS, TERMS):
        average = next(averages)
        kl = [*in_layout(layout, [], TERMS[terms], "kl = "), f"kl = {AVERAGES[average]}"]
        pieces = next(models), next(recons), next(losses)
        found.append((name(terms, average, *pieces, layout), "kl_divergence", compute_vae_loss(kl, *pieces)))
    for points, average in itertools.product(POINTS, AVERAGES_OF_POINTS):
        kl = [f"kl = {POINTS[points]}", f"kl = {AVERAGES_OF_POINTS[average]}"]
        pieces = next(models), next(recons), next(losses)
        found.append((name(points, average, *pieces), "kl_divergence", compute_vae_loss(kl, *pieces)))
    return found


def name(*pieces: str) -> str:
    return "+".join(piece for piece in pieces if piece)


def reparameterize(sampler: str, scale: str, total: str, layout: str) -> str:
    lines = [f"std = {SCALES[scale]}"] + ([] if sampler in JOINT else [f"eps = {SAMPLERS[sampler]}"])
    result = JOINT[sampler] if sampler in JOINT else SUMS[total]
    lines = [*BEFORE.get(sampler, []), *in_layout(layout, lines, result, "return ")]
    return function("reparameterize(self, mu, logvar)", lines)


def compute_vae_loss(kl: Sequence[str], model: str, recon: str, loss: str) -> str:
    lines = [*MODELS[model], f"recon = {RECONSTRUCTIONS[recon]}", *kl, f"return {LOSSES[loss]}"]
    return function("compute_vae_loss(model, x, beta)", lines)


def in_layout(layout: str, lines: Sequence[str], part: str, result: str) -> list[str]:
    """`lines` and the expression `part` for each part that the layout makes; `result` is what the last line starts with."""
    first, last = LAYOUTS[layout]
    if not first.endswith(":"):
        return [first, *lines, f"part = {part}", f"{result}{last}"]
    return ["parts = []", first, *(f"    {line}" for line in lines), f"    parts.append({part})", f"{result}{last}"]


def function(signature: str, lines: Sequence[str]) -> str:
    """The source of a function, which imports what it names."""
    body = "\n".join(f"    {line}" for line in lines)
    imports = [f"    {line}\n" for module, line in IMPORTS.items() if re.search(rf"(?<![\w.]){module}\.", body)]
    return f"def {signature}:\n{''.join(imports)}{body}\n"
