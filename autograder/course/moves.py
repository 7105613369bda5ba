"""What a new marking would change: who moves, from what to what, by which criterion, and what is the reason.

Two verdicts on one student's work are compared, the recorded one and the new one, and so is what determined each.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autograder.assignment import Assignment
from autograder.course.recorded import Recorded
from autograder.grading.results import Origin
from autograder.grading.verdict import Verdict
from autograder.nbgrader.marks import Mark, Marks

UNMARKED = "another file, or another way to read it: it could not be marked before"
NOT_KEPT = "something unknown (the earlier verdict is gone; compared with the gradebook's points)"
NOTHING = "nothing that determines a mark: the same was marked a second time"


@dataclasses.dataclass(frozen=True)
class Change:
    """What changed for one criterion, or for one test cell where the earlier verdict is not kept.

    Attributes:
        id: "cell.criterion", or a test cell's grade_id.
        title: for people.
        before, after: points; None where there are none, as where it could not be marked.
        of: what it is worth now.
        said, says: the sentence for the student, before and now; "" where it is met, or not known.
        causes: what determines marks, is not what it was, and can be the reason, in words.
    """

    id: str
    title: str
    before: float | None
    after: float | None
    of: float
    said: str = ""
    says: str = ""
    causes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Cause:
    """Something that determines marks and is not what it was.

    Attributes:
        words: for people.
        worth: id of the criterion whose points it sets, else "".
    """

    words: str
    worth: str = ""


@dataclasses.dataclass(frozen=True)
class Move:
    """What changes for one student.

    Attributes:
        student: nbgrader's id.
        before, after: points of the test cells together, as the gradebook has and would have them; what a person set stays in
            both. None: one of them could not be marked.
        of: what they could be now.
        changes: criterion by criterion, in the test cells whose points change, or, where none does, in all.
        cells: whether the points of a test cell change, which are what the gradebook has.
        by_hand: whether a person has set the points of a test cell; they stay, and wait to be looked at.
    """

    student: str
    before: float | None
    after: float | None
    of: float
    changes: tuple[Change, ...]
    cells: bool
    by_hand: bool = False

    def to_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        found["moves"] = found.pop("cells")
        return found


def compare(
    student: str, before: Recorded, marks: Marks, verdict: Verdict, origin: Origin, assignment: Assignment
) -> Move | None:
    """What changes for a student; None where points and sentences stay.

    Args:
        before: what is recorded for them.
        marks: what the gradebook has for them.
        verdict: the new one.
        origin: what determines it; empty where nothing can be read.
    """
    own = {cell: marks.cells[cell] for cell in assignment.test_cells if cell in marks.cells}
    by_hand = any(mark.by_person is not None for mark in own.values())
    of, after = verdict.max_score or sum(mark.of for mark in own.values()), total(own, by_machine(verdict))
    if before.verdict is None or not before.origin:
        recorded = {cell: mark.by_machine for cell, mark in own.items()}
        changes = tuple(by_cell(recorded, verdict))
        return Move(student, total(own, recorded), after, of, changes, True, by_hand) if changes else None
    found = list(causes(before.origin, origin, assignment))
    changes = tuple(by_criterion(before.verdict, verdict, found))
    if not changes:
        return None
    cells = moved_cells(before.verdict, verdict)
    changes = tuple(change for change in changes if change.id.partition(".")[0] in cells) or changes
    return Move(student, total(own, by_machine(before.verdict)), after, of, changes, bool(cells), by_hand)


def by_machine(verdict: Verdict) -> dict[str, float]:
    """Test cell → its points, as the gradebook has them: none where it could not be marked."""
    return {cell: got for cell, (got, _) in verdict.cells.items()}


def total(own: Mapping[str, Mark], points: Mapping[str, float | None]) -> float | None:
    """What the test cells come to where the machine gives these points; None where it gives one of them none."""
    found = [dataclasses.replace(mark, by_machine=points.get(cell), waits=False).points for cell, mark in own.items()]
    return None if None in found else sum(point for point in found if point is not None)


def moved_cells(old: Verdict, new: Verdict) -> set[str]:
    """The test cells whose points by machine change."""
    before, after = by_machine(old), by_machine(new)
    return {cell for cell in {*before, *after} if not same(before.get(cell), after.get(cell))}


def by_criterion(old: Verdict, new: Verdict, found: Sequence[Cause]) -> Iterator[Change]:
    before, after = ({check.id: check for check in verdict.checks} for verdict in (old, new))
    for id in dict.fromkeys((*after, *before)):
        was, now = before.get(id), after.get(id)
        about = now or was
        assert about is not None
        # Judged as before, it can only have changed its worth.
        worth = bool(was and now and (was.outcome, was.message) == (now.outcome, now.message))
        change = Change(
            id,
            about.criterion.title,
            was.points if was else None,
            now.points if now else None,
            now.max_points if now else 0.0,
            was.message if was else old.message,
            now.message if now else new.message,
            reasons(id if worth else "", found),
        )
        if not same(change.before, change.after) or change.said != change.says:
            yield change
    if not before and not after and old.message != new.message:
        yield Change("", "could not be marked", None, None, 0.0, old.message, new.message, reasons("", found))


def by_cell(before: Mapping[str, float | None], new: Verdict) -> Iterator[Change]:
    """Where nothing but the gradebook's points are known."""
    for cell, was in before.items():
        now, of = new.cells.get(cell, (None, 0.0))
        if not same(was, now):
            yield Change(cell, cell, was, now, of, causes=(UNMARKED if was is None else NOT_KEPT,))


def same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isclose(one, other, abs_tol=1e-9))


def reasons(worth: str, found: Sequence[Cause]) -> tuple[str, ...]:
    """Those that set what a criterion is worth, or, without one, those that set nothing's; all, where none fits."""
    fits = [cause.words for cause in found if cause.worth == worth]
    return tuple(fits or [cause.words for cause in found] or [NOTHING])


def causes(old: Origin, new: Origin, assignment: Assignment) -> Iterator[Cause]:
    """What determines a mark and is not what it was."""
    if not new:
        yield Cause("a hand-in in which no notebook can be read any more")
        return
    for part, words in (
        ("submission", "another file that was handed in"),
        ("files", "other files beside the notebook"),
        ("checks", f"the hidden checks of {assignment.name}"),
        ("package", "the autograder itself"),
        ("master", "the master notebook"),
    ):
        if old[part] != new[part]:
            yield Cause(words)
    yield from settings(old["settings"], new["settings"], assignment)
    versions = [{"Python": part["python"], **part["libraries"]} for part in (old, new)]
    for name, was, now in different(*versions):
        yield Cause(f"{name} {was} → {now}")


def settings(old: Mapping[str, Any], new: Mapping[str, Any], assignment: Assignment) -> Iterator[Cause]:
    """What of `c.GradeOutside` is not what it was."""
    defaults = {policy.name: policy.default for policy in assignment.policies}
    for name, was, now in different(*({**defaults, **part["policies"]} for part in (old, new))):
        yield Cause(f"the policy {name}, {said(was)} → {said(now)}")
    for name, was, now in different(old["points"], new["points"]):
        yield Cause(f"the points of {name}, {said(was)} → {said(now)}", name)
    for name, was, now in different(old["limits"], new["limits"]):
        yield Cause(f"the limit {name}, {said(was)} → {said(now)}")
    for name, was, now in different(old, new):
        if name not in ("policies", "points", "limits"):
            yield Cause(f"the setting {name}, {said(was)} → {said(now)}")


def different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = dict.fromkeys((*old, *new))
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def said(value: object) -> str:
    """A setting's value, for people."""
    words: dict[object, str] = {True: "accepted", False: "not accepted", None: "not set"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
