"""Counts the wrong answers of the catalogue that a student cannot see to be wrong before handing in.

    python tools/invisible.py [notebooks/vae_swiss_roll/vae_swiss_roll.ipynb] [--names]

Each answer stands in the release, the other task answered right, and the notebook is run up to its first training, as a student
does. A mistake is seen where a cell stops, where a line has ✗, or where the numbers under a picture disagree by more than the
uncertainty that is drawn. Whoever knows what a right loss or figure looks like may see more; that is not counted.
"""

import argparse
import ast
import contextlib
import dataclasses
import functools
import io
import multiprocessing
import os
import pathlib
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any

import matplotlib
import nbformat
from nbformat import NotebookNode

from autograder import assignment
from autograder.course.fill import fill
from autograder.course.selftest import Entry, catalogue
from autograder.grading.notebook import visible
from autograder.vae_swiss_roll.samples import ANSWERS, RIGHT

ROOT = pathlib.Path(__file__).parent.parent
NAME = "vae_swiss_roll"
RELEASE = ROOT / "notebooks" / NAME / f"{NAME}.ipynb"
# Task → the cell that shows its numbers beside those that are due, and the function that measures them.
SELF_CHECKS = {"reparameterize": "self-check-1-code", "kl_divergence": "self-check-2-code"}
NUMBERS = {"reparameterize": "numbers_of_task_1", "kl_divergence": "numbers_of_task_2"}
WAYS = ("a cell stops", "a check has ✗", "the numbers disagree")


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a student sees that an answer is wrong.

    Attributes:
        name, target: of the entry.
        way: one of `WAYS`, the first that applies; "" if nothing shows it.
        said: what stands there.
    """

    name: str
    target: str
    way: str
    said: str = ""


def entries(answer: str) -> list[Entry]:
    """The catalogue's entries that are "right" or "wrong"."""
    return [entry for entry in catalogue(assignment.load(NAME)) if entry.answer == answer]


class Student:
    """Runs the release with an answer in place, up to the first training; what was imported before serves all answers."""

    def __init__(self, release: NotebookNode) -> None:
        self._release = release
        matplotlib.use("agg")
        self.look(entries("right")[0])  # imports what the first optimizer needs, once

    def look(self, entry: Entry, seed: int = 42) -> Seen:
        """What a student sees of this answer.

        Args:
            seed: stands in for all of the notebook's.
        """
        notebook = fill(self._release, {**RIGHT, ANSWERS[entry.target][0]: entry.code})
        names: dict[str, Any] = {"__name__": "__main__"}
        for part in up_to_the_training(notebook):
            out = io.StringIO()
            found = functools.partial(Seen, entry.name, entry.target)
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                    exec(without_pictures(part, seed), names)
                    rows = names[NUMBERS[entry.target]]() if part.id == SELF_CHECKS[entry.target] else []
            except BaseException as error:
                return found(WAYS[1] if "✗" in out.getvalue() else WAYS[0], f"{error.__class__.__name__}: {error}")
            if "✗" in out.getvalue():
                return found(WAYS[1], out.getvalue())
            if apart := [row for row in rows if names["differs"](row)]:
                return found(WAYS[2], f"{apart[0]}")
        return found("")


def up_to_the_training(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """The code cells up to the first training."""
    for part in notebook.cells:
        if part.cell_type == "code":
            yield part
            if "train_vae(n_steps=" in part.source:
                return


def without_pictures(part: NotebookNode, seed: int) -> CodeType:
    """A cell's code with another seed; of a cell that only shows something, its definitions."""
    source = visible(part.source).replace("seed(42)", f"seed({seed})").replace("set_apart(seed=0)", f"set_apart(seed={seed})")
    tree = ast.parse(source.replace("default_rng(1)", f"default_rng({seed})"))
    if "display-only" in part.metadata.get("tags", []):
        tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    return compile(tree, part.id, "exec")


_student: list[Student] = []


def look(entry: Entry, seed: int) -> Seen:
    return _student[0].look(entry, seed)


def looked(release: NotebookNode, entries: Sequence[Entry], seed: int = 42) -> list[Seen]:
    """What a student sees of each, in a process of its own: some of them change what is global."""
    _student[:] = [Student(release)]
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0)), maxtasksperchild=1) as pool:
        return pool.starmap(look, [(entry, seed) for entry in entries], chunksize=1)


def table(seen: Sequence[Seen]) -> str:
    """By task: how many wrong answers show in which way."""
    targets = sorted({found.target for found in seen}, reverse=True)
    rows = ["| task | wrong answers | " + " | ".join(WAYS) + " | invisible |", "| --- " * (len(WAYS) + 3) + "|"]
    for target in [*targets, "both"]:
        group = [found for found in seen if target in (found.target, "both")]
        counts = [sum(found.way == way for found in group) for way in (*WAYS, "")]
        share = f"{counts.pop():3} ({sum(not found.way for found in group) / len(group):.0%})"
        rows.append(f"| {target} | {len(group)} | " + " | ".join(map(str, counts)) + f" | {share} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("release", nargs="?", type=pathlib.Path, default=RELEASE)
    parser.add_argument("--answer", choices=("wrong", "right"), default="wrong")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--names", action="store_true", help="name the invisible ones; of right answers, those that show")
    given = parser.parse_args()
    seen = looked(nbformat.read(given.release, as_version=4), entries(given.answer), given.seed)
    print(table(seen))
    if given.names:
        for found in seen:
            if bool(found.way) == (given.answer == "right"):
                print(f"{found.target} {found.name}: {found.way} {found.said}")


if __name__ == "__main__":
    main()
