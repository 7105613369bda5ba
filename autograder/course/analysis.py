"""What a class did well, what it misunderstood, and what still waits: the tables of the class report.

    gradebook, all at once ───┐
    marked notebooks ─────────┴─► Class: a `Person` each ─► tables

What nobody has marked yet is counted as waiting, never as zero. Nothing is written.
"""

import collections
import dataclasses
import difflib
import functools
import itertools
import math
import re
import secrets
import statistics
import zoneinfo
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from nbgrader.api import Assignment as AssignmentRow
from nbgrader.api import Gradebook, Notebook, SubmittedAssignment, SubmittedNotebook

from autograder.assignment import Assignment
from autograder.course import recorded, similar
from autograder.course.batch import in_gradebook
from autograder.course.folder import Course, grader_failures, no_alembic, quiet
from autograder.course.recorded import Recorded
from autograder.errors import CourseError
from autograder.grading.verdict import CheckResult, Outcome, Status, Verdict, known_as
from autograder.nbgrader import headings, submitted
from autograder.nbgrader.marks import Mark, Marks, Waiting

FEW = 50  # students, below which a correlation is mostly chance
SHOWN = 12  # rows of a table of sentences
SLOW = 5  # times the median, and seconds


@dataclasses.dataclass(frozen=True)
class Person:
    """One student whose work is recorded.

    Attributes:
        name: as the report shows it.
        link: to formgrader's page of the submission, or "".
        marks: grade_id → `Mark`.
        verdict: None where something else marked it.
        problem: why it could not be marked, else "".
        code: test cell → sources of the cells that answer it.
        graded: names of the functions that are graded.
    """

    name: str
    link: str
    marks: Mapping[str, Mark]
    verdict: Verdict | None
    problem: str
    code: Mapping[str, Sequence[str]]
    graded: Collection[str] = ()

    @property
    def checks(self) -> Sequence[CheckResult]:
        return self.verdict.checks if self.verdict else ()

    @functools.cached_property
    def lines(self) -> Mapping[str, Mapping[str, similar.Line]]:
        """test cell → what `similar.lines` finds in the answer to it."""
        return {cell: similar.lines(sources, self.graded) for cell, sources in self.code.items()}

    def machine(self, cells: Iterable[str]) -> float | None:
        """Points for these cells together; None where one of them waits."""
        points = [self.marks[cell].points if cell in self.marks else None for cell in cells]
        return None if None in points else sum(point for point in points if point is not None)


@dataclasses.dataclass(frozen=True)
class Class:
    """A class as it stands.

    Attributes:
        assignment: as the course has it.
        course_id: nbgrader's, or "".
        people: those who are recorded, in the order of their shown names.
        unrecorded: how many handed in something that is not in the gradebook yet.
        put_away: of how many who are recorded it is not there any more.
        anonymous: whether names stand for others.
        waiting: what waits for a person, by shown names.
        zone: in which times are told; None for UTC.
    """

    assignment: Assignment
    course_id: str
    people: Sequence[Person]
    unrecorded: int
    put_away: int
    anonymous: bool
    waiting: Waiting
    zone: zoneinfo.ZoneInfo | None = None

    @property
    def graded(self) -> list[Person]:
        """Those with a verdict on what they handed in."""
        return [person for person in self.people if person.checks]


def gather(course: Course, assignment: Assignment, anonymous: bool = False, formgrader: str = "") -> Class:
    """Reads gradebook and marked notebooks, each once.

    Args:
        assignment: as the course has it.
        anonymous: whether people get numbers, in random order, and no links.
        formgrader: the address of formgrader's first page; without it people get no links.

    Raises:
        CourseError: nobody is recorded.
    """
    with grader_failures():
        registered, marks = in_gradebook(course, assignment), course.marks(assignment)
        if not marks:
            raise CourseError(f"Nobody is recorded for {assignment.assignment_id} yet: `autograder grade` comes first.")
        pages = formgraders_pages(course, assignment)
        try:
            handed_in = {one.student for one in submitted.look(course.coursedir, assignment) if one.is_students}
        except CourseError:  # no folder at all
            handed_in = set()
    order = list(marks)
    if anonymous:
        secrets.SystemRandom().shuffle(order)
    width, people, waiting = len(str(len(order))), [], {}
    for number, student in enumerate(order, start=1):
        link = "" if anonymous or not formgrader else f"{formgrader.rstrip('/')}/submissions/{pages[student]}/"
        name = f"student {number:0{width}}" if anonymous else student
        people.append(person(course, assignment, student, marks[student], name, link))
        waiting[name] = marks[student]
    unrecorded, put_away = len(handed_in - set(registered)), len(set(registered) - handed_in)
    zone, all_waiting = course.deadlines().find(assignment.assignment_id).zone, Waiting.of(waiting)
    return Class(assignment, course.coursedir.course_id, people, unrecorded, put_away, anonymous, all_waiting, zone)


def formgraders_pages(course: Course, assignment: Assignment) -> dict[str, str]:
    """student → the id of the submitted notebook, by which formgrader calls its page."""
    with quiet(), no_alembic(), Gradebook(course.coursedir.db_url, course.coursedir.course_id) as gradebook:
        found = (
            gradebook.db.query(SubmittedAssignment.student_id, SubmittedNotebook.id)
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
            .join(AssignmentRow, AssignmentRow.id == SubmittedAssignment.assignment_id)
            .filter(AssignmentRow.name == assignment.assignment_id, Notebook.name == assignment.notebook_id)
        )
        return {row.student_id: row.id for row in found}


def person(course: Course, assignment: Assignment, student: str, own: Marks, name: str, link: str) -> Person:
    nb = recorded.read(course.autograded(assignment, student))
    verdict = Recorded.in_notebook(nb).verdict
    sources = {grade_id_of(cell): source_of(cell) for cell in nb.get("cells", ())}
    code = {}
    for test in assignment.test_cells:
        answer = headings.code_of(assignment, test)
        code[test] = [sources[answer]] if answer in sources else []
    # Points for what has changed since are none yet.
    marks = {id: dataclasses.replace(mark, by_person=None) if mark.outdated else mark for id, mark in own.cells.items()}
    problem = verdict.message if verdict and verdict.status == Status.UNGRADABLE else ""
    return Person(name, link, marks, verdict, problem, code, assignment.functions.values())


def grade_id_of(cell: Mapping[str, Any]) -> str | None:
    found: str | None = cell["metadata"].get("nbgrader", {}).get("grade_id")
    return found


def source_of(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return "".join(source) if isinstance(source, list) else source


# --- marks ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How points are spread.

    Attributes:
        points: of those who are marked.
        of: what can be reached.
        waiting: how many are not marked yet.
    """

    points: Sequence[float]
    of: float
    waiting: int

    @property
    def mean(self) -> float:
        return statistics.fmean(self.points)

    @property
    def median(self) -> float:
        return statistics.median(self.points)

    @property
    def steps(self) -> list[tuple[str, int]]:
        """(points in words, how many), from none to full marks, which have a step of their own."""
        step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if self.of / step <= 16), self.of)
        edges = [step * n for n in range(math.ceil(self.of / step))]
        counts = [0] * (len(edges) + 1)
        for point in self.points:
            full = math.isclose(point, self.of) or point > self.of
            counts[-1 if full else min(max(int(point / step), 0), len(edges) - 1)] += 1
        words = [f"{edge:g} to under {min(edge + step, self.of):g}" for edge in edges]
        return list(zip([*words, f"{self.of:g}, full marks"], counts, strict=True))


def by_machine(class_: Class) -> Distribution:
    """Of the test cells together; a person's points count in place of the machine's."""
    cells = class_.assignment.test_cells
    points = [person.machine(cells) for person in class_.people]
    known = [point for point in points if point is not None]
    return Distribution(known, worth(class_, cells), len(points) - len(known))


def whole(class_: Class) -> Distribution:
    """Of those for whom nothing waits any more; before penalties for lateness."""
    found = [sum(mark.points or 0.0 for mark in person.marks.values()) for person in class_.people if not any_waiting(person)]
    cells = {cell for person in class_.people for cell in person.marks}
    return Distribution(found, worth(class_, cells), len(class_.people) - len(found))


def any_waiting(person: Person) -> bool:
    return any(mark.points is None for mark in person.marks.values())


def worth(class_: Class, cells: Iterable[str]) -> float:
    return sum(max((person.marks[cell].of for person in class_.people if cell in person.marks), default=0.0) for cell in cells)


# --- criteria ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CriterionRow:
    """How a class did on one criterion.

    Attributes:
        id, title, cell: as `Criterion`.
        of: what it is worth.
        earned, lost, not_run, unanswered: numbers of students. Lost: it was judged and is not met.
        share: of its points that were earned, by all who were marked.
        separates: correlation with the rest of the points by machine, of those who answered; None where it cannot be said.
    """

    id: str
    title: str
    cell: str
    of: float
    earned: int
    lost: int
    not_run: int
    unanswered: int
    share: float
    separates: float | None


def criteria(class_: Class) -> list[CriterionRow]:
    """In the rubric's order."""
    seen: dict[str, list[tuple[Person, CheckResult]]] = {}
    for person in class_.graded:
        for check in person.checks:
            seen.setdefault(check.id, []).append((person, check))
    return [criterion_row([check for _, check in found], separation(found)) for found in seen.values()]


def criterion_row(checks: Sequence[CheckResult], separates: float | None) -> CriterionRow:
    first, of = checks[0], max(check.max_points for check in checks)
    unanswered = sum(check.unanswered for check in checks)
    outcomes = collections.Counter(check.outcome for check in checks if not check.unanswered)
    share = sum(share_of(check) for check in checks) / len(checks)
    return CriterionRow(
        first.id,
        first.criterion.title,
        first.cell,
        of,
        outcomes[Outcome.PASSED],
        outcomes[Outcome.FAILED],
        outcomes[Outcome.NOT_RUN],
        unanswered,
        share,
        separates,
    )


def share_of(check: CheckResult) -> float:
    return check.points / check.max_points if check.max_points else float(check.outcome == Outcome.PASSED)


def separation(found: Sequence[tuple[Person, CheckResult]]) -> float | None:
    """Correlation of a criterion with all other points by machine (item-rest correlation); None without variation."""
    answered = [(person, check) for person, check in found if not check.unanswered]
    item = [share_of(check) for _, check in answered]
    rest = [sum(other.points for other in person.checks if other.id != check.id) for person, check in answered]
    if len(answered) < 3 or len(set(item)) == 1 or len(set(rest)) == 1:
        return None
    return statistics.correlation(item, rest)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MistakeRow:
    """One named misconception in a class.

    Attributes:
        name: the verdicts'; of either of two "a/b".
        cell: the test cell that showed it.
        people: whose answers show it.
        cost: points that they lost on the criteria that it broke, on average.
        sentence: what most of them were told.
        remarks: what to say in class.
        line: of code, as it is typical of them, or "".
        function: the shortest function that holds it, as (line, whether it is that one); empty where that is long.
        with_line: how many of them have it, but for names and layout.
        right_with_line, right: how many who lost nothing at this test cell have it, of how many.
    """

    name: str
    cell: str
    people: Sequence[Person]
    cost: float
    sentence: str
    remarks: Sequence[str]
    line: str
    function: Sequence[tuple[str, bool]]
    with_line: int
    right_with_line: int
    right: int

    @property
    def title(self) -> str:
        return known_as(self.name) or self.name.replace("_", " ")


def mistakes(class_: Class) -> list[MistakeRow]:
    """The named misconceptions, the most frequent first; answers that are missing are none."""
    seen: dict[tuple[str, str], list[tuple[Person, list[CheckResult]]]] = {}
    for person in class_.graded:
        own: dict[tuple[str, str], list[CheckResult]] = {}
        for check in person.checks:
            for name in (check.misconception or "").split("+") if not check.unanswered else ():
                if name:  # each of two at once
                    own.setdefault((name, check.cell), []).append(check)
        for key, checks in own.items():
            seen.setdefault(key, []).append((person, checks))
    found = [mistake(class_, name, cell, group) for (name, cell), group in seen.items()]
    return sorted(found, key=lambda row: (-len(row.people), row.name))


def mistake(class_: Class, name: str, cell: str, group: Sequence[tuple[Person, list[CheckResult]]]) -> MistakeRow:
    people = [person for person, _ in group]
    told = collections.Counter(check.message for _, checks in group for check in checks if not check.cause and check.message)
    cost = statistics.fmean(sum(check.max_points - check.points for check in checks) for _, checks in group)
    said = class_.assignment.remarks
    remarks = list(dict.fromkeys(said[part] for part in re.split(r"[+/]", name) if part in said))
    right = [person for person in class_.graded if all(check.points == check.max_points for check in at(person, cell))]
    line, function, with_line, right_with_line = typical(cell, people, right)
    sentence = told.most_common(1)[0][0] if told else ""
    return MistakeRow(name, cell, people, cost, sentence, remarks, line, function, with_line, right_with_line, len(right))


def at(person: Person, cell: str) -> list[CheckResult]:
    return [check for check in person.checks if check.cell == cell]


def typical(cell: str, people: Sequence[Person], right: Sequence[Person]) -> tuple[str, Sequence[tuple[str, bool]], int, int]:
    """(the line that tells these answers best from right ones, a function around it, how many have it, how many right ones).

    Best: in most of these and in fewest of those; of several, the one with the word that does so; of several, the one most like
    a line of a right answer, for that is where a slip is. A line that right answers have as often is none.
    """
    here, there = ([set(one.lines.get(cell, ())) for one in group] for group in (people, right))
    lines = excess(here, there)
    best = max(lines.values(), default=0.0)
    candidates = [line for line, value in lines.items() if math.isclose(value, best)] if best > 0 else []
    if not candidates:
        return "", (), 0, 0
    words = excess(*([set().union(*map(words_in, own)) for own in group] for group in (here, there)))
    others = [line for line, _ in collections.Counter(itertools.chain(*there)).most_common(20)]

    def rank(line: str) -> tuple[float, float]:
        return max(words[word] for word in words_in(line)), max((likeness(line, other) for other in others), default=0.0)

    line = max(candidates[:50], key=rank)
    found = [one.lines[cell][line] for one in people if line in one.lines.get(cell, ())]
    shown = collections.Counter(one.text for one in found).most_common(1)[0][0]
    around = min((one.function for one in found if one.text == shown), key=len).splitlines()
    function = [(text, text.strip() == shown) for text in around]
    return shown, function, sum(line in own for own in here), sum(line in own for own in there)


def excess(here: Sequence[set[str]], there: Sequence[set[str]]) -> dict[str, float]:
    """What is in the sets of `here` → the share of them that have it, less the share of those of `there`."""
    counts, others = (collections.Counter(itertools.chain(*group)) for group in (here, there))
    return {thing: counts[thing] / len(here) - others[thing] / max(len(there), 1) for thing in counts}


def words_in(line: str) -> set[str]:
    return {*re.findall(r"\w+", line), ""}


def likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


@dataclasses.dataclass(frozen=True)
class Sentence:
    """What several were told where no mistake has a name: (sentence, criterion's title, how many)."""

    sentence: str
    title: str
    count: int


def other_sentences(class_: Class) -> list[Sentence]:
    told = collections.Counter(
        (check.message, check.criterion.title)
        for person in class_.graded
        for check in person.checks
        if check.message and not check.misconception and not check.cause and not check.unanswered
    )
    return [Sentence(sentence, title, count) for (sentence, title), count in told.most_common(SHOWN)]


# --- written answers --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class QuestionRow:
    """How far a written question is.

    Attributes:
        title: its heading.
        of: what it is worth.
        marked, waiting, empty: numbers of students; what was left empty has 0 points and needs nobody. Whose submission waits
            as a whole is in none of them.
        mean: of those that a person marked; None where there are none.
    """

    title: str
    of: float
    marked: int
    waiting: int
    empty: int
    mean: float | None


def written(class_: Class) -> list[QuestionRow]:
    found, titles = [], headings.names(class_.assignment)
    people = [person for person in class_.people if person.name not in class_.waiting.ungradable]
    for grade_id, data in class_.assignment.graded_cells.items():
        marks = [person.marks[grade_id] for person in people if grade_id in person.marks]
        if not marks or grade_id in class_.assignment.test_cells or not data["grade"]:
            continue
        by_hand = [mark.points for mark in marks if mark.points is not None and mark.by_person is not None]
        waiting = sum(mark.points is None for mark in marks)
        found.append(
            QuestionRow(
                titles[grade_id],
                max(mark.of for mark in marks),
                len(by_hand),
                waiting,
                len(marks) - len(by_hand) - waiting,
                statistics.fmean(by_hand) if by_hand else None,
            )
        )
    return found


# --- how the run went -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """What was out of the ordinary while a class was marked.

    Attributes:
        median: seconds for one submission; None where no verdict of ours is kept.
        slow: those that took `SLOW` times as long and more, and as many seconds; the slowest first.
        ungradable: those that could not be marked by the machine.
        repaired: (note, whose), the most frequent first.
        lost: how many have no verdict of ours, so that only their points are known.
    """

    median: float | None
    slow: Sequence[Person]
    ungradable: Sequence[Person]
    repaired: Sequence[tuple[str, Sequence[Person]]]
    lost: int


def run(class_: Class) -> Run:
    seconds = {id(person): person.verdict.seconds for person in class_.graded if person.verdict}
    median = statistics.median(seconds.values()) if seconds else None
    slow = [person for person in class_.graded if seconds[id(person)] >= SLOW * max(median or 0.0, 1.0)]
    notes: dict[str, list[Person]] = {}
    for person in class_.graded:
        for note in person.verdict.notes if person.verdict else ():
            notes.setdefault(note, []).append(person)
    return Run(
        median,
        sorted(slow, key=lambda person: -seconds[id(person)]),
        [person for person in class_.people if person.problem],
        sorted(notes.items(), key=lambda item: -len(item[1])),
        sum(not person.problem and person.verdict is None for person in class_.people),
    )


# --- similar answers --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Group:
    """Students whose answers to a task are the same without names and layout, and lost the same for the same mistake.

    Attributes:
        cell: the task's test cell.
        people: two or more.
        lost: titles of the criteria that they lost, with the misconception where it has a name.
        others: how many others made the same mistake in other words.
        base: share of the pairs of right answers to the task that are the same as each other; None where there are none.
    """

    cell: str
    people: Sequence[Person]
    lost: Sequence[str]
    others: int
    base: float | None


def similar_answers(class_: Class) -> list[Group]:
    """The rarest agreement first. A hint: people also agree because they sat in one lecture."""
    found = []
    for cell in class_.assignment.test_cells:
        groups: dict[tuple[str, ...], dict[str, list[Person]]] = {}
        titles: dict[tuple[str, ...], list[str]] = {}
        for person in class_.graded:
            checks = at(person, cell)
            form = similar.normal_form(person.code.get(cell, ()))
            if not form or any(check.unanswered for check in checks):
                continue
            lost = [check for check in checks if check.points < check.max_points]
            key = tuple(f"{check.id} {check.misconception}" for check in lost)
            titles[key] = [title_of(check) for check in lost]
            groups.setdefault(key, {}).setdefault(form, []).append(person)
        base = agreement(groups.pop((), {}))
        for key, forms in groups.items():
            for people in forms.values():
                if len(people) > 1:
                    others = sum(map(len, forms.values())) - len(people)
                    found.append(Group(cell, people, titles[key], others, base))
    return sorted(found, key=lambda group: (-group.others, -len(group.people)))


def title_of(check: CheckResult) -> str:
    return check.criterion.title + (f" ({check.misconception})" if check.misconception else "")


def agreement(forms: Mapping[str, Sequence[Person]]) -> float | None:
    """The share of pairs that are the same."""
    n = sum(map(len, forms.values()))
    return sum(math.comb(len(group), 2) for group in forms.values()) / math.comb(n, 2) if n > 1 else None
