"""What the commands print: tables, sentences, progress bars. Results go to stdout, everything else to stderr."""

import collections
import contextlib
import pathlib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from autograder.grading.verdict import Status, Verdict

if TYPE_CHECKING:  # what marks is imported only by the commands that mark
    from autograder.assignment import Assignment
    from autograder.course.analysis import Class
    from autograder.course.batch import Marked
    from autograder.course.demo import Demo
    from autograder.course.init import Begun, Plan
    from autograder.course.moves import Change, Move
    from autograder.course.regrade import Regrade
    from autograder.course.selftest import OfSlip, Outcome
    from autograder.doctor import Finding
    from autograder.lms.entering import Filled
    from autograder.lms.plan import Row
    from autograder.lms.returning import Packed
    from autograder.nbgrader.deadlines import Deadline
    from autograder.nbgrader.late import Changed
    from autograder.nbgrader.marks import Marks, Waiting
    from autograder.sandbox.outside.conformance import Result

out, err = Console(highlight=False), Console(stderr=True, highlight=False)

Advance = Callable[[int, int, str], None]


@contextlib.contextmanager
def bar(title: str, thread: bool = True) -> Iterator[Advance]:
    """A progress bar on stderr: `progress(done, total, what)`.

    Args:
        thread: whether a thread keeps its clock going; not where processes are forked meanwhile.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, auto_refresh=thread) as shown:
        task = shown.add_task(title)
        yield lambda done, total, what: shown.update(task, completed=done, total=total, description=what, refresh=not thread)


def show_demo(made: "Demo", assignment: "Assignment", output: pathlib.Path, seconds: float) -> None:
    """Prints who of the sample class got what, and where the files are."""
    table = Table("student", "what they handed in", *assignment.test_cells, "for a person", title="The sample class, as marked")
    for row in made.rows:
        cells = ["—" if score is None else f"{score:g} of {of:g}" for score, of in row.cells.values()]
        table.add_row(row.student, row.story, *cells, row.waiting)
    out.print(table)
    for what, path in [
        ("student release", made.release),
        ("gradebook", made.gradebook),
        ("grades", made.grades),
        ("feedback pages", made.feedback),
        ("class report", made.report),
    ]:
        out.print(f"{what:>16}  {path}", soft_wrap=True)
    out.print(f"\nMarked {len(made.rows)} submissions in {seconds:.0f} s. “—” could not be marked and waits for a")
    out.print(f"person. Mark the written answers with formgrader: `cd {output}` and `jupyter lab`.", soft_wrap=True)


def show_lines(plan: "Plan", lines: str) -> None:
    """Prints what a course's own configuration lacks."""
    path = plan.root / "nbgrader_config.py"
    out.print(f"{escape(str(path))} lacks these lines, and nothing was made. Put them at its end:\n", soft_wrap=True)
    out.print(escape(lines), soft_wrap=True)
    out.print("or let `--add-lines` do that. Then give the same command again. Other assignments stay as they are.")


def show_begun(begun: "Begun", course: pathlib.Path) -> None:
    """Prints what a course has now, and the commands that come next."""
    for word, paths in (("made", begun.made), ("was there", begun.kept)):
        for path in paths:
            shown = course / path.relative_to(begun.root) if path.is_relative_to(begun.root) else path
            out.print(f"{word:>9}  {escape(str(shown))}", soft_wrap=True)
    if begun.own:
        out.print(
            f"[yellow]The configuration sets {escape(', '.join(begun.own))} itself:[/] put our parts into it by hand; "
            "they are in autograder/nbgrader/__init__.py.",
            soft_wrap=True,
        )
    name, notebook = begun.assignment.assignment_id, f"{begun.assignment.notebook_id}.ipynb"
    typed = shlex.quote(name)
    commands = (
        (f"cd {shlex.quote(str(course))}", ""),
        (f"autograder deadline {typed} --due DATE --timezone ZONE", "and --per-day, what being late costs"),
        (f"autograder collect DOWNLOAD.zip {typed} --roster SHEET.csv", f"or put them at submitted/STUDENT/{name}/{notebook}"),
        (f"autograder grade {typed}", ""),
        ("jupyter lab", "Nbgrader → Formgrader: the written answers"),
        (f"autograder report {typed}", "what was misunderstood"),
        (f"autograder export {typed} --into SHEET.csv", "the marks, in that sheet; without it, in grades.csv"),
        (f"autograder return {typed}", "the feedback, packed"),
    )
    width = max(len(command) for command, purpose in commands if purpose) + 2
    out.print("\nThe master in the source folder holds solutions; the release is for students. Next:\n", soft_wrap=True)
    for command, purpose in commands:
        out.print(f"    {escape(command):{width}}{escape(purpose)}".rstrip(), soft_wrap=True)


def show_archive(path: pathlib.Path, assignment: "Assignment") -> None:
    """Prints what to do with the archive on Gradescope."""
    from autograder.gradescope import in_points
    from autograder.nbgrader import headings

    called = headings.names(assignment)
    points = {id: data["points"] for id, data in assignment.graded_cells.items() if data["grade"]}
    machine = sum(points[id] for id in assignment.test_cells)
    questions = [f"{called[id]}, {in_points(points[id])}" for id in points if id not in assignment.test_cells]
    out.print(f"{escape(str(path))} holds the hidden checks: keep it to yourself. On Gradescope:", soft_wrap=True)
    out.print(f"  a programming assignment of {machine:g} autograder points; upload it under Configure Autograder")
    if questions:
        out.print("  manual grading enabled, with a question for each of:")
    for question in questions:
        out.print(f"    {escape(question)}", soft_wrap=True)
    out.print("  Settings: at least 3 GB of memory, and 10 minutes")


class Tally:
    """How a class did, and who waits for a person: what is kept of it does not grow with the class."""

    def __init__(self) -> None:
        self.marked, self.known, self.recorded, self.of = 0, 0, 0, 0.0
        self.scores: collections.Counter[float] = collections.Counter()
        self.ungradable: list[tuple[str, str]] = []
        self.unrecorded: list[tuple[str, str]] = []
        self.odd: list[tuple[str, str]] = []

    def add(self, result: "Marked") -> None:
        self.marked, self.known = self.marked + 1, self.known + result.known
        self.recorded += result.handed_in.is_students and not result.unrecorded
        if result.unrecorded:
            self.unrecorded.append((result.student, result.unrecorded))
        if result.handed_in.note:
            self.odd.append((result.student, result.handed_in.note))
        if result.verdict.status == Status.UNGRADABLE:
            self.ungradable.append((result.student, result.verdict.message))
        else:
            self.scores[result.verdict.score] += 1
            self.of = max(self.of, result.verdict.max_score)

    def show(self, seconds: float, waiting: "Waiting") -> None:
        """Prints it, and what of the class waits for a person."""
        if self.scores:
            table, count = Table("points", "students", "", title="Marks by machine"), self.scores.total()
            for points, students in sorted(self.scores.items(), reverse=True):
                table.add_row(f"{points:g} of {self.of:g}", str(students), "█" * round(40 * students / count))
            out.print(table)
        for student, note in sorted(self.odd):
            out.print(f"{escape(student)}: {escape(note)}", soft_wrap=True)
        for student, why in sorted(self.unrecorded):
            out.print(f"[red]{escape(student)} is not in the gradebook:[/] {escape(why)}", soft_wrap=True)
        for student, message in sorted(self.ungradable):
            out.print(f"[yellow]{escape(student)} could not be marked:[/] {escape(message)}", soft_wrap=True)
        out.print(
            f"{self.marked} submissions in {seconds:.0f} s"
            + (f", {self.known} of them known from before" if self.known else "")
            + (f"; {len(self.ungradable)} could not be marked." if self.ungradable else ".")
        )
        what = f"{escape(str(waiting))} Mark them in formgrader." if waiting else "Nothing waits for a person."
        out.print(what, soft_wrap=True)


def show_collected(rows: "Sequence[Row]", dry: bool) -> None:
    """Prints all that came in, by student, and then what a person has to look at, in sentences."""
    zones = {row.time.tzname() for row in rows if row.time}
    table = Table(
        Column("student", overflow="fold"),
        Column("what came in", overflow="fold"),
        Column(f"when, {zones.pop()}" if len(zones) == 1 else "when", no_wrap=True),
        "",
        title="What came in",
    )
    for row in sorted(rows, key=lambda row: (row.student == "", row.student, row.time.timestamp() if row.time else 0)):
        when = f"{row.time:%Y-%m-%d %H:%M}" if row.time else ""
        late = f"{when} late".strip() if row.late else when
        style = "yellow" if row.for_a_person else "dim" if row.state == "not a hand-in" else None
        state = f"{row.state}: {row.what}" if row.what else row.state
        cells = (row.student or row.name or "?", row.own or row.file, late, state)
        table.add_row(*(escape(str(cell)) for cell in cells), style=style)
    out.print(table)
    for row in sorted(rows, key=lambda row: (row.student, row.file)):
        if row.note:
            whose = " · ".join(filter(None, [row.student, row.file]))
            out.print(
                f"[yellow]{escape(whose)}:[/] {escape(row.note)}" if row.for_a_person else escape(f"{whose}: {row.note}"),
                soft_wrap=True,
            )
    states = collections.Counter(f"{row.state}: {row.what}" if row.what else str(row.state) for row in rows)
    look = sum(row.for_a_person for row in rows)
    summary = "; ".join(f"{count} {state}" for state, count in sorted(states.items()))
    out.print(f"{summary}. {f'{look} for a person to look at.' if look else 'Nothing needs a person.'}", soft_wrap=True)
    if dry:
        out.print("Nothing was changed.")


def show_deadline(
    assignment_id: str, own: "Deadline", changed: "Sequence[Changed]", class_: "Mapping[str, Marks]", known: Collection[str]
) -> None:
    """Prints until when an assignment is handed in, what being late costs, who was late, and whose penalty is another now.

    Args:
        known: the students whom the course knows.
    """
    from autograder.nbgrader.deadlines import FILE, in_words

    out.print(
        f"{escape(assignment_id)}: {f'due {own.in_zone(own.due)}' if own.due else f'{FILE} has no deadline'}.", soft_wrap=True
    )
    policy = f"Late: {own.policy}." if own.policy else f"{FILE} does not say what being late costs."
    out.print(escape(policy), soft_wrap=True)
    for student, until in sorted(own.extensions.items()):
        unknown = "" if student in known else " [yellow](the course has no student of that name)[/]"
        out.print(f"{escape(student)} has until {own.in_zone(until)}.{unknown}", soft_wrap=True)
    late = {student: marks for student, marks in sorted(class_.items()) if marks.late}
    if late:
        before = {one.student: f"{one.before:g} → " for one in changed}
        table = Table("student", "late by", Column("penalty", justify="right"), title="Handed in late")
        for student, marks in late.items():
            by = "not known: the least is counted" if marks.by_word else in_words(marks.late)
            table.add_row(escape(student), by, f"{before.get(student, '')}{marks.penalty:g}")
        out.print(table)
    for one in changed:
        if one.student not in late:
            out.print(f"{escape(one.student)} was in time: {one.before:g} points are given back.", soft_wrap=True)


def show_filled(filled: "Filled", to: pathlib.Path, waiting: "Waiting") -> None:
    """Prints what was put into a sheet, and of whom a person should know something."""
    from autograder.lms.entering import State

    counts = collections.Counter(row.state for row in filled.rows)
    told = [
        row for row in filled.rows if row.state not in (State.FILLED, State.SAME) or (row.state == State.FILLED and row.before)
    ]
    if told:
        table = Table("student", "name in the sheet", "mark", "", title="To look at")
        for row in told:
            mark = f"{row.before} → {row.after}" if row.state == State.FILLED else row.after
            table.add_row(
                escape(row.student), escape(row.name), escape(mark), f"{row.state}{f': {row.note}' if row.note else ''}"
            )
        out.print(table)
    for sentence in filled.warnings:
        out.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    if waiting:
        out.print(f"[yellow]{escape(str(waiting))}[/] Their cells stay as they were.", soft_wrap=True)
    said = ", ".join(f"{count} {state}" for state in State if (count := counts[state]))
    out.print(f"{escape(filled.column)}: {said or 'nobody is in the sheet'}.", soft_wrap=True)
    out.print(escape(str(to)), soft_wrap=True)


# Where each system takes its zip; docs/returning.md says more.
UPLOADS = {
    "moodle": "Moodle: in the assignment, “Upload multiple feedback files in a zip”.",
    "canvas": "Canvas: in the assignment, “Upload Submissions”, where they were downloaded.",
    "brightspace": "Brightspace: in the assignment's submissions, “Add Feedback Files”.",
}


def show_returned(packed: "Sequence[Packed]", marked: bool, waiting: "Waiting") -> None:
    """Prints which zips there are, for whom, and where they are uploaded; none where no page has changed.

    Args:
        marked: that whoever waits was left out.
    """
    if packed:
        table = Table("zip", Column("students", justify="right"), "where it goes")
        for one in packed:
            table.add_row(one.path.name, str(len(one.students)), UPLOADS.get(one.system or "", "A folder for each student."))
        out.print(table)
    else:
        pages = "Every other page" if marked and waiting else "Every page"
        out.print(f"{pages} is as it was when it was packed last: nothing was packed.", soft_wrap=True)
    if waiting:
        out.print(f"[yellow]{escape(str(waiting))}[/] {'Left out.' if marked else 'Their pages say so.'}", soft_wrap=True)
    if packed:
        out.print(escape(str(packed[0].path.parent)), soft_wrap=True)


def show_moves(moves: "Sequence[Move]", to: Console = out) -> None:
    """Prints what changes, grouped by reason, each sentence once, and who moves from what to what."""
    by_cause: dict[tuple[str, ...], dict[Change, list[str]]] = {}
    by_points: dict[str, list[str]] = {}
    for move in moves:
        for change in move.changes:
            by_cause.setdefault(change.causes, {}).setdefault(change, []).append(move.student)
        name = f"{move.student}*" if move.by_hand else move.student
        by_points.setdefault(f"{of(move.before)} → {of(move.after)} of {move.of:g}", []).append(name)
    for causes, changes in by_cause.items():
        to.print(f"[bold]Because of {escape('; or '.join(causes))}:[/]", soft_wrap=True)
        told: dict[str, dict[str, list[Change]]] = {}  # the sentence of now → the one before it → what has them
        for change in sorted(changes, key=lambda change: -len(changes[change])):
            told.setdefault(change.says, {}).setdefault(change.said, []).append(change)
        for says, by_sentence in told.items():
            for said, alike in by_sentence.items():
                for change in alike:
                    what = f"{escape(change.id)} ({escape(change.title)}), {of(change.before)} → {of(change.after)}"
                    to.print(f"  {what}: {escape(', '.join(changes[change]))}", soft_wrap=True)
                if said and said != says:
                    to.print(f"    before: {escape(said)}", soft_wrap=True)
            if says and set(by_sentence) != {says}:
                to.print(f"    now: {escape(says)}", soft_wrap=True)
    if moves:
        to.print("[bold]Who moves:[/]")
    for points, students in sorted(by_points.items()):
        to.print(f"  {points}: {escape(', '.join(students))}", soft_wrap=True)
    if any(move.by_hand for move in moves):
        to.print(
            "  * A person has set points of theirs: these stay, and wait in formgrader to be looked at again.", soft_wrap=True
        )


def some(names: Sequence[str], most: int = 20) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def of(points: float | None) -> str:
    return "—" if points is None else f"{points:g}"


def show_report(class_: "Class", page: pathlib.Path, data: pathlib.Path) -> None:
    """Prints where the report is, and what it cannot know yet."""
    if class_.waiting:
        out.print(f"{escape(str(class_.waiting))} They are not counted as zero.", soft_wrap=True)
    if class_.unrecorded:
        out.print(f"{class_.unrecorded} handed in and are not marked yet: `autograder grade`.")
    for path in (page, data):
        out.print(f"{path}", soft_wrap=True)


def show_regrade(found: "Regrade", applied: bool) -> None:
    """Prints what marking a class anew would change."""
    show_moves(found.moves)
    moving = {0: "Nobody moves", 1: "1 student moves"}.get(len(found.moves), f"{len(found.moves)} students move")
    words = {0: "", 1: "; the page of 1 other changes, and the points stay"}.get(
        len(found.words), f"; the pages of {len(found.words)} others change, and their points stay"
    )
    out.print(f"{moving}, of {found.students} who are recorded{words}.", soft_wrap=True)
    if found.new:
        out.print(f"Not recorded yet, and left to `autograder grade`: {escape(some(found.new))}.", soft_wrap=True)
    if found.gone:
        out.print(f"Their submission is not there any more, so their marks stay: {escape(some(found.gone))}.", soft_wrap=True)
    if (found.moves or found.words) and not applied:
        out.print("Nothing was recorded. `autograder regrade --apply --reason TEXT` records it.", soft_wrap=True)


def show_regraded(count: int, record: pathlib.Path | None, unrecorded: Mapping[str, str]) -> None:
    """Prints what became of `regrade --apply`."""
    for student, why in sorted(unrecorded.items()):
        out.print(f"[red]{escape(student)} could not be recorded:[/] {escape(why)}", soft_wrap=True)
    if record is None:
        out.print("All are recorded as they would be marked today; there was nothing to do.")
    else:
        out.print(f"{count - len(unrecorded)} recorded. What moved and why is kept in {escape(str(record))}", soft_wrap=True)


def show_verdict(path: pathlib.Path, verdict: Verdict) -> None:
    """Prints a verdict as a table."""
    if verdict.status == Status.UNGRADABLE:
        out.print(f"[bold]{escape(str(path))}[/]: [yellow]could not be marked.[/] {escape(verdict.message)}\n", soft_wrap=True)
        return
    table = Table("criterion", "points", "what was seen, what to do next", title=escape(str(path)), title_justify="left")
    for cell, (got, of) in verdict.cells.items():
        table.add_row(f"[bold]{cell}[/]", f"[bold]{got:g} of {of:g}[/]", "")
        for result in verdict.checks:
            if result.cell == cell:
                sign = "[green]✓[/]" if result.points == result.max_points else "[red]✗[/]"
                points = f"{result.points:g} of {result.max_points:g}"
                table.add_row(f"  {sign} {escape(result.criterion.title)}", points, escape(result.message))
        table.add_section()
    table.add_row("[bold]total[/]", f"[bold]{verdict.score:g} of {verdict.max_score:g}[/]", "")
    out.print(table)
    for note in verdict.notes:
        out.print(f"Note: {escape(note)}")
    out.print()


SHOWN_CALLS = 3  # of one criterion; the rest is like them


def show_evidence(verdict: Verdict) -> None:
    """Prints, criterion by criterion, what was asked, called, returned and seen."""
    for result in verdict.checks:
        out.print(f"[bold]{result.cell}: {escape(result.criterion.title)}[/], {result.points:g} of {result.max_points:g}")
        table = Table(show_header=False, box=None, padding=(0, 1, 0, 2))
        table.add_row("asks", escape(result.criterion.asks))
        called, seen = (result.evidence.called, result.evidence.seen) if result.evidence else ((), ())
        for call, came_back in called[:SHOWN_CALLS]:
            table.add_row("called", escape(call))
            table.add_row("came back", escape(came_back))
        if (more := len(called) - SHOWN_CALLS) > 0:
            table.add_row("", f"and {more} more calls; --json shows them all")
        for sentence in seen:
            table.add_row("seen", escape(sentence))
        table.add_row("so", escape(result.message) or "The criterion is met.")
        out.print(table)
        out.print()


def show_recombined(count: int, seeds: int, rejected: "Sequence[Outcome]", seconds: float) -> None:
    """Prints which right answers were rejected, with which seed, and what they were told."""
    for outcome in rejected:
        out.print(f"[red]✗[/] {outcome.entry.target}, {escape(outcome.entry.name)}, seed {outcome.seed}:", soft_wrap=True)
        for name, message in outcome.messages.items():
            out.print(f"    {name}: {escape(message)}", soft_wrap=True)
    out.print(f"{count} right answers × {seeds} seeds in {seconds:.0f} s: {len(rejected) or 'none'} rejected.")


def show_selftest(outcomes: "Sequence[Outcome]", differing: "Sequence[Outcome]", seconds: float) -> None:
    """Prints the confusion matrix, the points of every wrong entry, and what differs from the catalogue."""
    from autograder.course.selftest import confusion

    table = Table("task", "entry", "points", "criteria lost, and the misconception named", title="Wrong answers")
    for outcome in outcomes:
        if outcome.entry.answer == "wrong" and outcome.seed == 0:
            lost = ", ".join(f"{name} ({mistake or 'a sentence'})" for name, mistake in outcome.lost.items())
            points = f"{outcome.points:g} of {outcome.max_points:g}"
            table.add_row(outcome.entry.target, outcome.entry.name, points, lost)
    out.print(table)
    matrix = Table("", "full points", "fewer", title="Confusion matrix")
    counts = confusion(outcomes)
    for answer in ("right", "wrong"):
        matrix.add_row(f"{answer} answers", *(str(counts[answer, got]) for got in ("full", "less")))
    out.print(matrix)
    wrong = [outcome for outcome in outcomes if outcome.entry.answer == "wrong" and outcome.seed == 0]
    named = sum(any(outcome.lost.values()) for outcome in wrong)
    out.print(f"{named} of {len(wrong)} wrong answers with a named misconception; {len(outcomes)} entries in {seconds:.0f} s.")
    for outcome in differing:
        expected, found = (outcome.entry.points, outcome.entry.lost), (outcome.points, outcome.lost)
        name = f"{outcome.entry.name}, seed {outcome.seed}" if outcome.seed else outcome.entry.name
        out.print(f"[red]✗[/] {outcome.entry.target}, {name}: expected {expected}, found {found}", soft_wrap=True)
    out.print(f"{len(differing)} differ from the catalogue." if differing else "None differs from the catalogue.")


SHOWN_SLIPS = 40  # of those that differ; the rest is like them


def show_slips(outcomes: "Sequence[OfSlip]", borderline: int, seconds: float) -> None:
    """Prints what each kind of slip was taken for, and what differs from what the answers break."""
    from autograder.course.selftest import by_kind

    rows = by_kind(outcomes)
    numbers = [Column(name, justify="right", no_wrap=True) for name in rows["all"]]
    table = Table("slip", *numbers, title="Wrong answers by typical slips", padding=0)  # ten columns, in a terminal's 80
    for kind, counts in rows.items():
        if kind == "all":
            table.add_section()
        table.add_row(kind, *(str(count) if count else "·" for count in counts.values()))
    out.print(table)
    differing = [found for found in outcomes if not found.as_expected]
    for found in differing[:SHOWN_SLIPS]:
        named = ", ".join(f"{name} as {given}" for name, given in found.lost.items() if given)
        what = {"broken and not lost": found.missed, "lost and not broken": found.unjust}
        told = "; ".join(f"{words}: {', '.join(names)}" for words, names in what.items() if names)
        out.print(f"[red]✗[/] {found.entry.target}, {escape(found.entry.name)}: {told or f'named {named}'}", soft_wrap=True)
    if len(differing) > SHOWN_SLIPS:
        out.print(f"and {len(differing) - SHOWN_SLIPS} more; --json shows them all")
    counts = rows["all"]
    nameable = counts["named"] + counts["misnamed"] + counts["unnamed"]
    share = f"{counts['named'] / nameable:.1%}" if nameable else "none"
    out.print("unjust: lost a criterion that it does not break; missed: kept one that it breaks; nameless: there is no name.")
    out.print(
        f"{counts['wrong']} wrong answers, {counts['accepted']} accepted; of {nameable} with a name, {share} named right. "
        f"{borderline} so near a tolerance that they were left out; {seconds:.0f} s."
    )


def show_guarantees(found: "Sequence[tuple[str, list[Result] | None, str]]") -> None:
    """Prints a table: guarantees by sandbox."""
    from autograder.sandbox.outside.conformance import ENDS, GUARANTEES

    table = Table("guarantee", "", *(name for name, _, _ in found), title="What each sandbox guarantees on this machine")
    for guarantee in (*GUARANTEES, ENDS):
        row = []
        for _, results, _ in found:
            held = {result.guarantee.name: result.holds for result in results or ()}.get(guarantee.name)
            row.append("—" if held is None else "[green]holds[/]" if held else "[red]no[/]")
        table.add_row(guarantee.name, guarantee.promise, *row)
    out.print(table)
    for name, results, why in found:
        if results is None:
            out.print(f"{name} does not work here: {escape(why)}", soft_wrap=True)


def show_findings(findings: "Sequence[Finding]") -> None:
    """Prints what a machine has, and what to do about what is missing."""
    table = Table("", "what", "found")
    for finding in findings:
        sign = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.needed else "[yellow]·[/]"
        table.add_row(sign, finding.what, escape(finding.found))
    out.print(table)
    for finding in [finding for finding in findings if finding.repair]:
        # On a line of its own, to be copied: a table would cut it.
        out.print(f"{finding.what}: [bold]{escape(finding.repair)}[/]", soft_wrap=True)
