"""Code that would do a student's task for them: the release must hold none.

The pictures and self-checks of the release work with given numbers, pairs of a log-variance and its standard deviation, and
with what the student's own functions return. Neither the way between the two nor the closed form may be read off them.
"""

import ast

from IPython.core.inputtransformer2 import TransformerManager

EXPONENTIALS = {"exp", "exp_", "expm1", "exp2", "pow", "softplus", "sqrt"}
SAMPLERS = {"rsample", "kl_divergence", "kl_div", "randn_like", "Normal", "MultivariateNormal"}


def giveaways(source: str) -> list[str]:
    """What the code computes that is a student's task: `exp` of a log-variance, a KL or its terms, a sample around a mean."""
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
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            if logvar and any(is_square_of_a_mean(part) for part in ast.walk(node)):
                result.append("adds up terms of the KL")
            if any(is_mean(a) and is_scaled_noise(b) for a, b in ((node.left, node.right), (node.right, node.left))):
                result.append("moves scaled noise to a mean")
    return sorted(set(result))


def is_mean(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id.lower() in ("mu", "mean")


def is_scaled_noise(node: ast.AST) -> bool:
    """A product of two things that have names, one of them the noise: `std * eps`, but not `5 * std`."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
        return False
    sides = [{part.id.lower() for part in ast.walk(side) if isinstance(part, ast.Name)} for side in (node.left, node.right)]
    return all(sides) and any("eps" in name or "noise" in name for name in set.union(*sides))


def is_square_of_a_mean(node: ast.AST) -> bool:
    """`mu**2`, `mu * mu`, `mu.pow(2)`, `mu.square()`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return is_mean(node.left)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return is_mean(node.left) and is_mean(node.right)
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ("pow", "square") and is_mean(called.value)
