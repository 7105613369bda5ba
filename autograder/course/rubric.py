"""The rubric page, made from the hidden checks themselves."""

import dataclasses
import itertools

import jinja2

from autograder.grading.judge import run
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


class Reader:
    """A pytest plugin that collects the criteria and runs nothing."""

    def __init__(self):
        self.expected, self.broken = [], None

    def pytest_configure(self, config):
        config.addinivalue_line("markers", "criterion(cell, points, title, asks, section): a criterion of the rubric")

    def pytest_collection_finish(self, session):
        for item in session.items:
            about = item.get_closest_marker("criterion").kwargs
            id = f"{about['cell']}.{item.originalname.removeprefix('test_')}"
            self.expected.append(Criterion(id=id, **about))


def criteria(assignment):
    """The criteria of an assignment, in the rubric's order."""
    reader = Reader()
    run(assignment, None, reader, "--collect-only")
    return reader.expected


def page(assignment, settings):
    """The rubric in Markdown, under a course's points and policies."""
    found = criteria(assignment)
    known(settings.points, [criterion.id for criterion in found], "points")
    known(settings.policies, [policy.name for policy in assignment.policies], "policies")
    found = [dataclasses.replace(c, points=settings.points.get(c.id, c.points)) for c in found]
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
