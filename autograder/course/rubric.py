"""The rubric page, made from the hidden checks themselves."""

import dataclasses
import itertools

import jinja2

from autograder.grading.judge import Checks, Collector
from autograder.grading.submission import known


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One criterion as its check states it; the fields are those of `autograder.rubric.criterion`."""

    id: str
    cell: str
    points: float
    title: str
    asks: str
    section: str


def criteria(assignment, points=None):
    """The criteria of an assignment, in the rubric's order, under a course's points."""
    found = Collector(None, "", points or {}, None)
    found.expect(Checks.of(assignment.checks()).items)
    return [
        Criterion(id, about["cell"], about["max_points"], about["title"], about["asks"], found.sections[id])
        for id, about in found.expected.items()
    ]


def page(assignment, settings):
    """The rubric in Markdown, under a course's points and policies."""
    found = criteria(assignment, settings.points)
    known(settings.points, [criterion.id for criterion in found], "points")
    known(settings.policies, [policy.name for policy in assignment.policies], "policies")
    cells = {cell: list(group) for cell, group in itertools.groupby(found, key=lambda criterion: criterion.cell)}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autograder.course", "."), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("rubric.md.j2").render(
        assignment=assignment,
        total=sum(criterion.points for criterion in found),
        cells=cells,
        policies=[(policy, settings.policies.get(policy.name, policy.default)) for policy in assignment.policies],
    )
