"""How long the lesson takes to run, beside a naive form of it.

    python benchmarks/lesson.py                 three runs of each, in turn; prints a table
    python benchmarks/lesson.py --output FILE   writes it as Markdown, too

“Run All” up to the questions, in a Jupyter kernel, the tasks solved. The naive form is made from the master: it redraws the bar
with the loss in every step, joins points and reconstructions by a thousand lines drawn one by one, and has none of the figures
and self-checks beyond its own. A second is counted from a cell's start to its answer, so the imports of the first cell and of
the first training are in it, and the kernel's start is not. The seconds of the processor are those of the kernel.
"""

import argparse
import ast
import copy
import dataclasses
import datetime
import pathlib
import platform
import statistics
import tempfile

import nbclient
import nbformat
import psutil
import torch
from nbformat import NotebookNode

from autograder.course.fill import cell
from autograder.grading.notebook import visible

ROOT = pathlib.Path(__file__).parent.parent
MASTER = ROOT / "source" / "vae_swiss_roll" / "vae_swiss_roll.ipynb"
# What the naive form is made of; whatever else the master has, it does without.
NAIVE_CELLS = [
    "set-up-code",
    "drawing-helpers-code",
    "check-helpers-code",
    "data-code",
    "data-facts",
    "data-plot",
    "vae-model",
    "reparameterize",
    "try-model-code",
    "vae-loss",
    "kl-divergence",
    "training-code",
    "training-trial",
    "training-run",
    "loss-curve",
    "reconstructions-code",
    "latent-space-code",
]


class Naive(ast.NodeTransformer):
    """Makes `train_vae` redraw its bar in every step, and `visualize_reconstructions` draw one line at a time.

    Attributes:
        changed: how often each was done.
    """

    def __init__(self) -> None:
        self.changed = {"bar": 0, "lines": 0}

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """`if step % n == 0: progress.set_postfix(...)`: on every step."""
        self.generic_visit(node)
        return node.body if "set_postfix" in ast.unparse(node) else node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        called = ast.unparse(node.func)
        if called.endswith("set_postfix"):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "refresh"]
            self.changed["bar"] += 1
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """`ax.add_collection(LineCollection(lines...))`: a plot for each line."""
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Attribute(value=ax, attr="add_collection"), args=[ast.Call(args=[lines, *_]) as collection]):
                if ast.unparse(collection.func) == "LineCollection":
                    self.changed["lines"] += 1
                    return ast.parse(
                        f"for line in {ast.unparse(lines)}:\n"
                        f"    {ast.unparse(ax)}.plot(*line.T, color='0.6', linewidth=0.7, zorder=1)"
                    ).body[0]
        return node


def lesson() -> NotebookNode:
    """The master's code cells up to the questions, without hidden checks."""
    master = nbformat.read(MASTER, as_version=4)
    last = master.cells.index(cell(master, "question_trick"))
    nb = copy.deepcopy(master)
    nb.cells = [part for part in nb.cells[:last] if part.cell_type == "code"]
    for part in nb.cells:
        part.outputs, part.source = [], visible(part.source)
    return nb


def naive() -> NotebookNode:
    """The naive form of `lesson`."""
    nb, change = lesson(), Naive()
    nb.cells = [part for part in nb.cells if part.id in NAIVE_CELLS]
    for part in nb.cells:
        part.source = ast.unparse(change.visit(ast.parse(part.source)))
    if list(change.changed.values()) != [1, 1]:
        raise SystemExit(f"The master has changed, and its naive form is not made: {change.changed}")
    return nb


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        wall, processor: seconds by cell, from its start to its answer, and of the kernel's processor.
        said: the last line of the training's.
    """

    wall: dict[str, float]
    processor: dict[str, float]
    said: str


def run(nb: NotebookNode) -> Run:
    """Runs it in a kernel of its own."""
    nb, used = copy.deepcopy(nb), {}
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(nb, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}})
        with client.setup_kernel():
            kernel = psutil.Process(client.km.provisioner.process.pid)
            for index, part in enumerate(nb.cells):
                before = sum(kernel.cpu_times()[:2])
                client.execute_cell(part, index)
                used[part.id] = sum(kernel.cpu_times()[:2]) - before
    said = "".join(o.text for part in nb.cells if part.id == "training-run" for o in part.outputs if o.get("name") == "stdout")
    return Run({part.id: seconds(part) for part in nb.cells}, used, said.strip().splitlines()[-1])


def seconds(part: NotebookNode) -> float:
    """From a cell's start to its answer."""
    times = part.metadata.execution
    start, end = (datetime.datetime.fromisoformat(times[name]) for name in ("iopub.execute_input", "shell.execute_reply"))
    return (end - start).total_seconds()


def report(naive: list[Run], lesson: list[Run]) -> str:
    """The tables, as Markdown."""
    lines = [
        f"# How long the lesson runs: {datetime.date.today()}",
        "",
        f"{psutil.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}; each form in turn.",
        "`python benchmarks/lesson.py --help` says what is compared. CPU seconds are those of the kernel.",
        "",
        "| run | naive, s | lesson, s | ratio | naive, CPU s | lesson, CPU s | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [[sum(of.values()) for of in (a.wall, b.wall, a.processor, b.processor)] for a, b in zip(naive, lesson, strict=True)]
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    for name, (a, b, c, d) in [*((str(number), row) for number, row in enumerate(rows, start=1)), ("median", middle)]:
        lines.append(f"| {name} | {a:.1f} | {b:.1f} | {b / a:.2f} | {c:.1f} | {d:.1f} | {d / c:.2f} |")
    said = {found.said for found in (*naive, *lesson)}
    lines += [
        "",
        f"All trainings said the same: {said.pop()}." if len(said) == 1 else f"The trainings differ: {'; '.join(sorted(said))}",
        "",
        "By cell, the median:",
        "",
        "| cell | naive, s | lesson, s | naive, CPU s | lesson, CPU s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for id in lesson[0].wall:
        columns = [
            [found.get(id) for found in of]
            for of in (
                [r.wall for r in naive],
                [r.wall for r in lesson],
                [r.processor for r in naive],
                [r.processor for r in lesson],
            )
        ]
        shown = ["" if None in column else f"{statistics.median(column):.2f}" for column in columns]
        lines.append(f"| `{id}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each form, in turn")
    parser.add_argument("--output", type=pathlib.Path, help="Markdown file to write")
    given = parser.parse_args()
    forms = {"naive": naive(), "lesson": lesson()}
    runs: dict[str, list[Run]] = {form: [] for form in forms}
    for _ in range(given.runs):
        for form, nb in forms.items():
            runs[form].append(run(nb))
    text = report(**runs)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
