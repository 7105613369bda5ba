"""What an instructor may set; importing it takes none of what marking takes."""

import dataclasses
import enum
import importlib.util
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from autograder.assignment import Assignment
from autograder.errors import SettingError
from autograder.sandbox.outside import backends, gpu
from autograder.sandbox.outside.limits import Limits

if TYPE_CHECKING:
    from autograder.criteria import Criterion


class Execute(enum.StrEnum):
    """Which cells are run: those that the marks depend on, with the student's own outputs kept in the others, or all."""

    NEEDED = "needed"
    ALL = "all"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an instructor may set.

    Attributes:
        sandbox: name of the backend.
        limits: `Limits`.
        points: overrides of points, {"cell.criterion": points}.
        policies: what is accepted of what may be argued about, {name: bool}; see the assignment's `policies`.
        device: where the device parts of the checks run: "auto", "cpu" or "cuda"; see `sandbox/outside/gpu.py`.
        execute: which cells are run, "needed" or "all".
        packages: what students may import beyond the lesson's own packages, and what must therefore be there.
    """

    sandbox: str = "bubblewrap"
    limits: Limits = dataclasses.field(default_factory=Limits)
    points: Mapping[str, float] = dataclasses.field(default_factory=dict)
    policies: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    device: str = "auto"
    execute: str = Execute.NEEDED
    packages: tuple[str, ...] = ()

    def check(self, assignment: Assignment) -> None:
        """SettingError for what does not exist or does not fit the assignment, with what would."""
        for name, value, choices in (
            ("sandbox", self.sandbox, backends.NAMES),
            ("device", self.device, gpu.CHOICES),
            ("execute", self.execute, tuple(Execute)),
        ):
            known([value], choices, name)
        known(self.policies, [policy.name for policy in assignment.policies], "policies")
        for name, accepted in self.policies.items():
            if not isinstance(accepted, bool):
                raise SettingError(f"c.GradeOutside.policies[{name!r}] is {accepted!r}; it must be True or False.")
        missing = absent(self.packages)
        if missing:
            raise SettingError(
                f"c.GradeOutside.packages names {', '.join(missing)}, which cannot be imported here: install what is missing "
                "where notebooks are marked, or take it out."
            )
        if self.points:
            self._check_points(assignment)

    def _check_points(self, assignment: Assignment) -> None:
        from autograder.grading.kept_pytest import criteria  # the checks import torch, which takes a second

        known(self.points, [criterion.id for criterion in criteria(assignment)], "points")
        for name, points in self.points.items():
            if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < float("inf"):
                raise SettingError(f"c.GradeOutside.points[{name!r}] is {points!r}; it must be a number of points, 0 or more.")
        points_add_up(criteria(assignment, self.points), assignment)


def absent(packages: Iterable[str]) -> list[str]:
    """Those that cannot be imported here."""
    return [name for name in packages if not name.isidentifier() or importlib.util.find_spec(name) is None]


def points_add_up(criteria: "Iterable[Criterion]", assignment: Assignment) -> None:
    """SettingError unless the criteria of each test cell are worth what the gradebook has for it."""
    criteria = list(criteria)
    for cell in assignment.test_cells:
        of, points = sum(c.points for c in criteria if c.cell == cell), assignment.graded_cells[cell]["points"]
        if not math.isclose(of, points):
            raise SettingError(
                f"The criteria of {cell} are worth {of:g} points together, and its cell {points:g}, which the gradebook "
                "knows: mend c.GradeOutside.points in nbgrader_config.py so that the sum stays."
            )


def known(set_: Iterable[str], names: Iterable[str], what: str) -> None:
    """SettingError for a setting of something that does not exist."""
    names = tuple(names)
    for name in set_:
        if name not in names:
            raise SettingError(f"c.GradeOutside.{what} names {name!r}, which does not exist. Known: {', '.join(names)}.")
