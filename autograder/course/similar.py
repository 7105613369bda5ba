"""Code as written, without its names and its layout: the lines of an answer, and which answers are the same.

Nothing here runs a student's code; it is parsed. What cannot be parsed has no lines and is the same as nothing.
"""

import ast
import copy
import warnings
from collections.abc import Iterable, Iterator

MAX_CODE = 50_000  # characters of a cell that are looked at
MAX_DEPTH = 60  # of expressions in each other; Python gives up at some hundreds, in the middle of its work
MAX_LINE = 200  # characters of a line that is shown
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


def parsed(sources: Iterable[str]) -> list[ast.Module]:
    """The cells of an answer that are Python, parsed."""
    found = []
    for source in sources:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of strings with odd escapes
                tree = ast.parse(source[:MAX_CODE])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if depth(tree) <= MAX_DEPTH:
            found.append(tree)
    return found


def depth(tree: ast.AST) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest, level = deepest + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def lines(sources: Iterable[str]) -> dict[str, str]:
    """The simple statements inside an answer's functions: without its own names → as it was written, both in one layout."""
    found: dict[str, str] = {}
    for tree in parsed(sources):
        for function in functions(tree):
            for node, bare in zip(statements(function), statements(renamed(function)), strict=True):
                shown = text(node)
                if len(shown) <= MAX_LINE:
                    found.setdefault(text(bare), shown)
    return found


def normal_form(sources: Iterable[str]) -> str:
    """An answer without names of its own, comments, docstrings, annotations and layout; "" where nothing could be parsed."""
    return "\n".join(text(ast.Module([renamed(node) for node in tree.body], [])) for tree in parsed(sources))


def text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def statements(function: ast.AST) -> list[ast.stmt]:
    """Those that hold no others, docstrings left out."""
    found = [node for node in ast.walk(function) if isinstance(node, SIMPLE)]
    return [node for node in found if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]


def renamed(tree: ast.stmt) -> ast.stmt:
    """A copy without docstrings and annotations, and with the names that it gives itself replaced by numbers, in order."""
    tree = copy.deepcopy(tree)
    own: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
            own.setdefault(node.arg, f"v{len(own)}")
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.setdefault(node.id, f"v{len(own)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.arg = own[node.arg]
        elif isinstance(node, ast.Name) and node.id in own:
            node.id = own[node.id]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
