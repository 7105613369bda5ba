"""Hostile, broken and unlucky submissions, each with the score that it must get.

One situation per module:

    KIND    "cheat": nothing is solved, and the code tries to gain; "harm": solved, and it does damage or breaks;
            "damage": the notebook itself is broken
    BASE    "stub" (nothing answered) or "correct"
    EXPECT  {"status": …, "min_score": …, "max_score": …}; no upper bound means 8, no lower one 0
    apply   apply(nb) → the notebook, or the file's bytes
"""

import copy
import dataclasses
import importlib
import json
import pkgutil

from autograder.course.fill import cell
from autograder.course.fill import fill as fill_cells
from autograder.vae_swiss_roll.samples import ANSWERS

__all__ = ["CORRECT", "Hostile", "cell", "fill", "submissions"]
CORRECT = {target: answer for target, (_, answer) in ANSWERS.items()}


@dataclasses.dataclass(frozen=True)
class Hostile:
    """One submission of this catalogue."""

    name: str
    kind: str
    status: str
    min_score: float
    max_score: float
    why: str
    raw: bytes

    def as_expected(self, status, score):
        """Whether this is what the submission must get."""
        return status == self.status and self.min_score <= score <= self.max_score


def fill(nb, **functions):
    """A copy of the notebook with answers by task: fill(nb, reparameterize=source, kl_divergence=source)."""
    return fill_cells(nb, {ANSWERS[target][0]: source for target, source in functions.items()})


def submissions(release):
    """All of them, made from the release (a notebook), by name."""
    return [submission(release, module.name) for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)]


def submission(release, name):
    """The one of that name."""
    module = importlib.import_module(f"{__name__}.{name}")
    made = module.apply(fill(release, **CORRECT) if module.BASE == "correct" else copy.deepcopy(release))
    if not isinstance(made, (str, bytes)):
        made = json.dumps(made)  # nbformat would repair what is broken on purpose
    raw = made if isinstance(made, bytes) else made.encode()
    expect = {"min_score": 0.0, "max_score": 8.0, **module.EXPECT}
    return Hostile(name, module.KIND, why=" ".join(module.__doc__.split()), raw=raw, **expect)
