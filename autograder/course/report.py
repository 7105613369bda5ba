"""The class report: one HTML page, which loads and runs nothing, and its data as CSV, from the tables of `analysis.py`."""

import base64
import csv
import datetime
import hashlib
import importlib.resources
import io
import pathlib
from collections.abc import Iterator, Sequence

import jinja2

from autograder.assignment import Assignment
from autograder.course import analysis, plots
from autograder.course.analysis import Class, CriterionRow, Distribution, MistakeRow, Person, QuestionRow
from autograder.grading.verdict import Outcome
from autograder.nbgrader import headings
from autograder.nbgrader.deadlines import in_zone
from autograder.nbgrader.export import as_text

FOLDER = "reports"  # in the course's
LONG = 6  # mistakes that are told at length, if several made them; the others stand in a table
DRAWN = 8  # mistakes in the plot


def page(class_: Class, similar: bool = False) -> str:
    """The report: one HTML page with all that it needs in it.

    Args:
        similar: whether it holds groups of similar answers.
    """
    style = importlib.resources.files("autograder.course").joinpath("report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autograder.course", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": lambda value: f"{value:.3g}" if value % 1 else f"{value:g}", "percent": percent}
    machine, rows = analysis.by_machine(class_), analysis.criteria(class_)
    named, questions = analysis.mistakes(class_), analysis.written(class_)
    titles = headings.names(class_.assignment)
    return environment.get_template("report.html.j2").render(
        class_=class_,
        assignment=class_.assignment,
        made=in_zone(datetime.datetime.now(datetime.UTC), class_.zone),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        machine=machine,
        whole=analysis.whole(class_),
        criteria=rows,
        few=analysis.FEW if len(class_.graded) < analysis.FEW else None,
        cells={cell: titles[cell] for cell in class_.assignment.test_cells},
        mistakes=named,
        long=max(3, sum(len(row.people) > 1 for row in named[:LONG])),
        sentences=analysis.other_sentences(class_),
        questions=questions,
        run=analysis.run(class_),
        groups=analysis.similar_answers(class_) if similar else None,
        plots=pictures(machine, rows, named, questions),
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def pictures(
    machine: Distribution, rows: Sequence[CriterionRow], named: Sequence[MistakeRow], questions: Sequence[QuestionRow]
) -> dict[str, str]:
    """name → an SVG picture as a data URL, for an `img`, where nothing in it can run."""
    first = named[:DRAWN]
    drawn = {
        "machine": plots.histogram([words for words, _ in machine.steps], [count for _, count in machine.steps]),
        "criteria": plots.stacked(
            [row.title for row in rows],
            {
                "earned": [row.earned for row in rows],
                "lost": [row.lost for row in rows],
                "not run, or no answer": [row.not_run + row.unanswered for row in rows],
            },
        ),
        "mistakes": plots.stacked([row.title for row in first], {"students": [len(row.people) for row in first]}),
        "written": plots.stacked(
            [row.title for row in questions],
            {
                "marked": [row.marked for row in questions],
                "not yet marked": [row.waiting for row in questions],
                "left empty": [row.empty for row in questions],
            },
        ),
    }
    return {name: "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode() for name, svg in drawn.items()}


STATES = {Outcome.PASSED: "earned", Outcome.FAILED: "lost", Outcome.NOT_RUN: "not run"}
COLUMNS = ("student", "cell", "criterion", "title", "points", "of", "state", "misconception", "sentence")


def table(class_: Class) -> str:
    """The data of the report as CSV: a line for each student and criterion, and for each written answer.

    `points` is empty where nobody has marked it yet.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for person in class_.people:
        for line in lines(person, class_.assignment):
            writer.writerow([as_text(person.name), *map(as_text, line)])
    return text.getvalue()


def lines(person: Person, assignment: Assignment) -> Iterator[Sequence[object]]:
    for check in person.checks:
        state = "no answer" if check.unanswered else STATES[check.outcome]
        about = check.points, check.max_points, state, check.misconception or "", check.message
        yield check.cell, check.id, check.criterion.title, *about
    titles = headings.names(assignment)
    judged = {check.cell for check in person.checks}
    for cell in assignment.graded_cells:
        if cell in person.marks and cell not in judged:
            mark = person.marks[cell]
            points = "" if mark.points is None else mark.points
            state = "not yet marked" if mark.points is None else "marked"
            yield cell, "", titles[cell], points, mark.of, state, "", ""


def write(class_: Class, folder: pathlib.Path, similar: bool = False) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes page and table into a folder. → their paths"""
    folder.mkdir(parents=True, exist_ok=True)
    html, data = folder / "report.html", folder / "report.csv"
    html.write_text(page(class_, similar), encoding="utf-8")
    data.write_text(table(class_), encoding="utf-8")
    return html, data
