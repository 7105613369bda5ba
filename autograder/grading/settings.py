"""What an instructor may set; importing it takes none of what marking takes."""

import dataclasses
from collections.abc import Mapping

from autograder.sandbox.limits import Limits

NEEDED, ALL = "needed", "all"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an instructor may set.

    Attributes:
        sandbox: name of the backend.
        limits: `Limits`.
        points: overrides of points, {"cell.criterion": points}.
        policies: what is accepted of what may be argued about, {name: bool}; see the assignment's `policies.py`.
        device: where the device parts of the checks run: "auto", "cpu" or "cuda"; see `sandbox/gpu.py`.
        execute: which cells are run: those that the marks depend on ("needed"), with the student's own outputs kept in the
            others, or "all".
    """

    sandbox: str = "bubblewrap"
    limits: Limits = dataclasses.field(default_factory=Limits)
    points: Mapping[str, float] = dataclasses.field(default_factory=dict)
    policies: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    device: str = "auto"
    execute: str = NEEDED
