"""Code that would do a student's task for them: the release must hold none."""

import ast

from IPython.core.inputtransformer2 import TransformerManager

EXPONENTIALS = {"exp", "exp_", "expm1", "exp2", "pow", "softplus", "sqrt"}
SAMPLERS = {"rsample", "kl_divergence", "kl_div", "randn_like", "Normal", "MultivariateNormal"}


def giveaways(source: str) -> list[str]:
    """What the code computes that is a student's task: `exp` of a log-variance, a KL, a sample around a mean."""
    result = []
    for node in ast.walk(ast.parse(TransformerManager().transform_cell(source))):
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} if isinstance(node, ast.expr) else set()
        logvar = any("logvar" in name.lower() or "log_var" in name.lower() for name in names)
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in EXPONENTIALS and logvar:
                result.append(f"computes `{called}` of a log-variance")
            if called in SAMPLERS:
                result.append(f"calls `{called}`")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and logvar:
            result.append("computes a power of a log-variance")
    return sorted(set(result))
