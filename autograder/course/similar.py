"""Code as written, without its names and its layout: the lines of an answer, and which answers are the same.

Nothing here runs a student's code; it is parsed. What cannot be parsed has no lines and is the same as nothing.
"""

import ast
import dataclasses
import warnings
from collections.abc import Collection, Iterable, Iterator

MAX_CODE = 50_000  # characters of a cell that are looked at
MAX_DEPTH = 60  # of expressions in each other; Python gives up at some hundreds, in the middle of its work
MAX_LINE = 200  # characters of a line that is looked at
MAX_LINES = 12  # of a function that is shown
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


@dataclasses.dataclass(frozen=True)
class Line:
    """A simple statement of an answer.

    Attributes:
        text: as it was written, without comments and layout.
        function: the function that it stands in, in the same way, without docstrings; "" where that is long.
    """

    text: str
    function: str


def lines(sources: Iterable[str], graded: Collection[str] = ()) -> dict[str, Line]:
    """The simple statements inside an answer's functions, by what they are without its own names.

    Args:
        graded: names of functions: these count, and what they use of the same cell. All count where none of them is there.
    """
    found: dict[str, Line] = {}
    for source in sources:
        written, bare = parsed(source), parsed(source)
        chosen = used(written, graded)
        for function, other in zip(functions(written), functions(bare), strict=True):
            if function.name not in chosen:
                continue
            rename(other)
            pairs = list(zip(statements(function), statements(other), strict=True))
            without_docstrings(function)
            text = ast.unparse(function)
            shown = text if text.count("\n") < MAX_LINES and len(text) < MAX_LINES * MAX_LINE else ""
            for node, without in pairs:
                line = ast.unparse(without)
                if line not in found and len(line) <= MAX_LINE:
                    found[line] = Line(ast.unparse(node), shown)
    return found


def used(tree: ast.Module, graded: Collection[str]) -> set[str]:
    """Names of the functions of a cell that are graded, and of those that they use; of all where none is."""
    named = {function.name: set(map(name_of, ast.walk(function))) for function in functions(tree)}
    chosen: set[str] = set()
    more = set(graded) & set(named)
    while more:
        chosen |= more
        more = set().union(*(named[name] for name in more)) & set(named) - chosen
    return chosen or set(named)


def name_of(node: ast.AST) -> str:
    """What a name or an attribute is called, else ""."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


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
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    without_docstrings(tree)


def without_docstrings(tree: ast.stmt) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
