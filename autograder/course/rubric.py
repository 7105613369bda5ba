"""The rubric page, made from the hidden checks themselves."""

import itertools

import jinja2

from autograder.assignment import Assignment
from autograder.grading.kept_pytest import criteria
from autograder.grading.settings import Settings


def page(assignment: Assignment, settings: Settings) -> str:
    """The rubric in Markdown, under a course's points and policies."""
    settings.check(assignment)
    found = criteria(assignment, settings.points)
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
