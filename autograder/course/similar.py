"""Code as written, without its names and its layout: the lines of an answer, and which answers are the same.

Nothing here runs a student's code; it is parsed. What cannot be parsed has no lines and is the same as nothing.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator

MAX_CODE = 50_000  # characters of a cell that are looked at
MAX_DEPTH = 60  # of expressions in each other; Python gives up at some hundreds, in the middle of its work
MAX_LINE = 200  # characters of a line that is looked at
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


def lines(sources: Iterable[str]) -> dict[str, str]:
    """The simple statements inside an answer's functions: without its own names → as it was written, both in one layout."""
    found: dict[str, str] = {}
    for source in sources:
        written, bare = parsed(source), parsed(source)
        for function, other in zip(functions(written), functions(bare), strict=True):
            rename(other)
            for node, without in zip(statements(function), statements(other), strict=True):
                line = ast.unparse(without)
                if line not in found and len(line) <= MAX_LINE:
                    found[line] = ast.unparse(node)
    return found


def normal_form(sources: Iterable[str]) -> str:
    """An answer without names of its own, comments, docstrings, annotations and layout; "" where nothing could be parsed."""
    trees = [parsed(source) for source in sources]
    for tree in trees:
        for node in tree.body:
            rename(node)
    return "\n".join(filter(None, map(ast.unparse, trees)))


def parsed(source: str) -> ast.Module:
    """A cell, parsed; one without statements where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strings with odd escapes
            tree = ast.parse(source[:MAX_CODE])
            ast.unparse(tree)  # refuses numbers with thousands of digits, which parse
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
    return tree if depth(tree) <= MAX_DEPTH else ast.Module([], [])


def depth(tree: ast.AST) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest, level = deepest + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions and methods, but for those inside others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        else:
            yield from functions(node)


def statements(function: ast.FunctionDef) -> list[ast.stmt]:
    """Those that hold no others, docstrings left out."""
    found = [node for node in ast.walk(function) if isinstance(node, SIMPLE)]
    return [node for node in found if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]


def rename(tree: ast.stmt) -> None:
    """Takes docstrings and annotations away, and replaces the names that it gives itself by numbers, in their order."""
    own: dict[str, str] = {}
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.arg):
            node.annotation = None
            own.setdefault(node.arg, f"v{len(own)}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.setdefault(node.id, f"v{len(own)}")
    for node in nodes:
        if isinstance(node, ast.arg):
            node.arg = own[node.arg]
        elif isinstance(node, ast.Name):
            node.id = own.get(node.id, node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            if isinstance(node, ast.FunctionDef):
                node.returns = None
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
