"""What an instructor's evening costs, from the last submission to what goes out: stock nbgrader and ours, part by part.

    python benchmarks/evening.py --sizes 60 600 --output benchmarks/evening.md

Parts: marking, feedback pages, the list of grades, the class report (ours alone), and the feedback again after a person has
marked one answer. As `grading.py`, whose classes these are, it wants a machine that does nothing else. Stock nbgrader marks the
lesson as it is usually written, on the first size alone; for a larger class its figures are scaled, and labelled so.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shutil
import sys
import tempfile

import psutil
from grading import BIN, NAME, Cost, Maker, count_lost, measured
from nbgrader.api import Gradebook

from autograder.course.executors import own_cores

STOCK = {
    "mark": ["nbgrader", "autograde", NAME],
    "feedback": ["nbgrader", "generate_feedback", NAME],
    "grades": ["nbgrader", "export"],
    "feedback again": ["nbgrader", "generate_feedback", NAME, "--force"],
}
OURS = {
    "mark": ["autograder", "grade"],
    "feedback": ["autograder", "feedback"],
    "grades": ["nbgrader", "export"],
    "report": ["autograder", "report"],
    "feedback again": ["autograder", "feedback"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, help="write the table there, too")
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 600], help="students in a class (default: 60 600)")
    parser.add_argument("--stock", type=int, help="students whom stock nbgrader marks (default: the first of --sizes)")
    parser.add_argument("--parts", nargs="+", choices=list(OURS), default=list(OURS), help="parts to measure (default: all)")
    options = parser.parse_args()
    stock = options.stock or options.sizes[0]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        maker = Maker(pathlib.Path(folder))
        theirs = evening(maker, stock, {part: STOCK[part] for part in options.parts if part in STOCK}, stock=True, naive=True)
        ours = {size: evening(maker, size, {part: OURS[part] for part in options.parts}) for size in options.sizes}
    text = report(stock, theirs, ours)
    print(text)
    if options.output:
        options.output.write_text(text)


def evening(maker, n, parts, **how):
    """part → its Cost, for a class of n."""
    root = maker.course(n, **how)
    costs = {}
    for part, command in parts.items():
        if part == "feedback again":
            mark_one(root)
        print(f"{' '.join(command)}: {n} submissions …", file=sys.stderr)
        costs[part] = measured(part, n, [str(BIN / command[0]), *command[1:]], root)
        if part == "mark":
            count_lost(costs[part], root, "stock" in how)
        if part == "feedback" and (pages := len(list(root.glob(f"feedback/*/{NAME}/*.html")))) != n and "stock" not in how:
            raise SystemExit(f"{pages} of {n} pages were written; look into it before you believe a figure")
    shutil.rmtree(root)
    return costs


def mark_one(root):
    """What formgrader does when a person marks an answer."""
    with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("reflection_beta", NAME, NAME, "student00000")
        grade.manual_score, grade.needs_manual_grade = 1.0, False
        gradebook.db.commit()


def scaled(cost, n):
    """The Cost of one row for a class of n."""
    factor = n / cost.n
    return dataclasses.replace(cost, n=n, seconds=cost.seconds * factor, cpu=cost.cpu * factor)


def report(stock, theirs, ours):
    """The tables, in Markdown."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "nbgrader", "nbconvert"))
    lines = [
        f"# What an evening costs: {datetime.date.today():%Y-%m-%d}",
        "",
        f"{len(own_cores())} of {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB; "
        f"Python {platform.python_version()}, {versions}.",
        "`python benchmarks/evening.py --help` says what the parts are. Seconds, and CPU seconds of the whole machine, with",
        f"start-up. Stock nbgrader was measured with {stock} submissions; where a class has more, its figures are scaled.",
    ]
    for n, costs in ours.items():
        label = "stock" if n == stock else f"stock, scaled from {stock}"
        lines += [
            "",
            f"## {n} submissions",
            "",
            f"| | {label}: s | CPU s | ours: s | CPU s | CPU s each | times stock |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        rows = [(part, scaled(theirs[part], n) if part in theirs else None, cost) for part, cost in costs.items()]
        both = [
            Cost("all", n, sum(one.seconds for one in side if one), sum(one.cpu for one in side if one), 0)
            for side in ([row[1] for row in rows], [row[2] for row in rows])
        ]
        for part, before, cost in [*rows, ("**all**", *both)]:
            was = f"{before.seconds:,.1f} | {before.cpu:,.1f}" if before else " | "
            times = f"{before.seconds / cost.seconds:.0f}" if before else ""
            lines.append(f"| {part} | {was} | {cost.seconds:,.1f} | {cost.cpu:,.1f} | {cost.cpu / n:.3f} | {times} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
