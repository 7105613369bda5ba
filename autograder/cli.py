"""The command line: options, help and printing. What the commands do is in the packages beside this file."""

import collections
import contextlib
import functools
import json
import pathlib
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import autograder.quick  # noqa: F401 (first, before what it makes quick)
from autograder import assignment as assignments
from autograder.errors import GraderError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Marks the course's notebooks outside the students' Python. Instructors need `release`, `check` and nbgrader's own "
    "commands; `demo` shows everything on a sample class; `doctor` says what this machine lacks.",
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)

Name = Annotated[str, typer.Option("--assignment", "-a", help="Which assignment.")]
Sandbox = Annotated[str, typer.Option(help="What runs the student's code; `autograder doctor` lists what works here.")]
DEFAULT = "vae_swiss_roll"


def main():
    """Runs the command line. Exit code 2 is the grader's own failure: nobody is marked."""
    try:
        app()
    except GraderError as error:
        err.print(f"[bold red]The grader failed; nobody was marked.[/] {escape(str(error))}")
        sys.exit(2)


@app.command()
def demo(
    output: Annotated[pathlib.Path, typer.Option(help="Course folder to make; made anew each time.")] = pathlib.Path(
        "build/demo"
    ),
    assignment: Name = DEFAULT,
):
    """The main job on a sample class: release, marking through nbgrader, feedback pages, grades."""
    from autograder.course import demo as course_demo

    started, chosen = time.monotonic(), assignments.load(assignment)
    with bar("sample class") as progress:
        made = course_demo.run(output, chosen, progress)
    table = Table("student", "what they handed in", *chosen.test_cells, "for a person", title="The sample class, as marked")
    for row in made.rows:
        cells = ["—" if score is None else f"{score:g} of {of:g}" for score, of in row.cells.values()]
        table.add_row(row.student, row.story, *cells, f"{row.waiting} cells" if row.waiting else "")
    out.print(table)
    for what, path in [
        ("student release", made.release),
        ("gradebook", made.gradebook),
        ("grades", made.grades),
        ("feedback pages", made.feedback),
    ]:
        out.print(f"{what:>16}  {path}", soft_wrap=True)
    out.print(
        f"\nMarked {len(made.rows)} submissions in {time.monotonic() - started:.0f} s. “—” could not be marked and waits for a"
    )
    out.print(f"person. Mark the written answers with formgrader: `cd {output}` and `jupyter lab`.", soft_wrap=True)


@app.command()
def release(
    course: Annotated[pathlib.Path, typer.Option(help="Course folder, with nbgrader_config.py.")] = pathlib.Path(),
    assignment: Name = DEFAULT,
):
    """Generates the student release and proves that it holds no solution, no hidden check, no reference value."""
    from autograder.course.folder import Course
    from autograder.course.release import make

    path, leaks = make(Course(course), assignments.load(assignment))
    if leaks:
        for leak in leaks:
            err.print(f"[red]✗[/] {escape(leak)}")
        path.unlink()
        err.print(f"{len(leaks)} leaks: the release was removed again. Mend {assignment} in the source folder.")
        raise typer.Exit(1)
    out.print(f"{path}: no solution, hidden check, marking scheme or output in it.", soft_wrap=True)


@app.command()
def check(
    notebooks: Annotated[list[pathlib.Path], typer.Argument(help="Notebooks to mark.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per notebook and line.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="For a complaint: what each criterion asks, what was called, what came back.")
    ] = False,
    assignment: Name = DEFAULT,
    course: Annotated[
        pathlib.Path, typer.Option(help="Folder whose nbgrader_config.py sets points, policies and limits, if it has one.")
    ] = pathlib.Path(),
    sandbox: Annotated[
        str | None, typer.Option(help="What runs the student's code, in place of the course's.", show_default=False)
    ] = None,
):
    """Marks single notebooks; needs no course and no database.

    Exit code 0: every notebook was graded; 1: some could not be; 2: the grader itself failed, and there are no marks.
    """
    from autograder.course.settings import settings_of
    from autograder.grading.submission import grade
    from autograder.grading.verdict import UNGRADABLE, Verdict

    chosen, verdicts = assignments.load(assignment), {}
    settings = settings_of(course, sandbox)
    with bar("marking") as progress:
        for number, path in enumerate(notebooks):
            progress(number, len(notebooks), f"marking {path.name}")
            try:
                verdicts[path] = grade(path.read_bytes(), chosen, settings, evidence=explain).verdict
            except OSError as error:
                verdicts[path] = Verdict(UNGRADABLE, message=f"The file cannot be read: {error.strerror}.")
        progress(len(notebooks), len(notebooks), "done")
    for path, verdict in verdicts.items():
        if as_json:
            print(json.dumps(verdict.to_json(path), ensure_ascii=False))
        else:
            show(path, verdict)
            show_evidence(verdict) if explain else None
    if any(verdict.status == UNGRADABLE for verdict in verdicts.values()):
        raise typer.Exit(1)


@app.command()
def grade(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Submissions at a time; one per core by default.", show_default=False)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Mark on a Dask cluster: the scheduler's address, tcp://…", show_default=False),
    ] = None,
    execute: Annotated[
        str | None,
        typer.Option(
            metavar="needed|all",
            help="Which cells to run: those that the marks need, keeping the student's outputs in the others, or all.",
            show_default=False,
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Mark anew what was marked before, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per notebook and line.")] = False,
    course: Annotated[pathlib.Path, typer.Option(help="Course folder, with nbgrader_config.py.")] = pathlib.Path(),
    assignment: Name = DEFAULT,
):
    """Marks a whole class into nbgrader's gradebook, in parallel.

    Marks, gradebook and feedback are those of `nbgrader autograde`. Interrupted, it goes on where it stopped; what has not
    changed is not marked again. Exit code 0: everybody was graded; 1: some could not be; 2: the grader itself failed.
    """
    from autograder.course.executors import Cluster, Processes

    if workers and scheduler:
        raise typer.BadParameter("--workers is for this machine; a cluster has the workers that were started for it")
    started, total, chosen = time.monotonic(), 0, assignments.load(assignment)
    tally = Tally()

    def tell(done, of, what):
        nonlocal total
        total, rate = of, done / (time.monotonic() - started)
        progress(done, of, f"marking, {rate:.1f} a second" if done else "starting")

    try:
        with Cluster(scheduler) if scheduler else Processes(chosen, workers) as executor, bar("starting") as progress:
            # Imported only now: the processes start meanwhile.
            from autograder.course.batch import grade_class
            from autograder.course.folder import Course

            for result in grade_class(Course(course, execute), chosen, executor, tell, again):
                tally.add(result)
                if as_json:
                    print(json.dumps(result.verdict.to_json(result.path), ensure_ascii=False), flush=True)
    except KeyboardInterrupt:
        err.print(f"Interrupted: {tally.marked} of {total} are marked and recorded. The same command goes on with the others.")
        raise typer.Exit(130) from None
    if not as_json:
        tally.show(time.monotonic() - started)
    if tally.ungradable:
        raise typer.Exit(1)


class Tally:
    """How a class did, and who waits for a person: what is kept of it does not grow with the class."""

    def __init__(self):
        self.marked, self.known, self.of = 0, 0, 0.0
        self.scores, self.ungradable = collections.Counter(), []

    def add(self, result):
        from autograder.grading.verdict import UNGRADABLE

        self.marked, self.known = self.marked + 1, self.known + result.known
        if result.verdict.status == UNGRADABLE:
            self.ungradable.append((result.student, result.verdict.message))
        else:
            self.scores[result.verdict.score] += 1
            self.of = max(self.of, result.verdict.max_score)

    def show(self, seconds):
        """Prints it."""
        if self.scores:
            table, count = Table("points", "students", "", title="Marks by machine"), self.scores.total()
            for points, students in sorted(self.scores.items(), reverse=True):
                table.add_row(f"{points:g} of {self.of:g}", str(students), "█" * round(40 * students / count))
            out.print(table)
        for student, message in self.ungradable:
            out.print(f"[yellow]{escape(student)} could not be marked:[/] {escape(message)}", soft_wrap=True)
        out.print(
            f"{self.marked} submissions in {seconds:.0f} s"
            + (f", {self.known} of them known from before" if self.known else "")
            + f"; {len(self.ungradable) or 'none'} for a person to look at. Written answers: formgrader."
        )


def show(path, verdict):
    """Prints a verdict as a table."""
    from autograder.grading.verdict import UNGRADABLE

    if verdict.status == UNGRADABLE:
        out.print(f"[bold]{escape(str(path))}[/]: [yellow]could not be marked.[/] {escape(verdict.message)}\n", soft_wrap=True)
        return
    table = Table("criterion", "points", "what was seen, what to do next", title=escape(str(path)), title_justify="left")
    for cell, (got, of) in verdict.cells.items():
        table.add_row(f"[bold]{cell}[/]", f"[bold]{got:g} of {of:g}[/]", "")
        for result in verdict.checks:
            if result.cell == cell:
                sign = "[green]✓[/]" if result.points == result.max_points else "[red]✗[/]"
                points = f"{result.points:g} of {result.max_points:g}"
                table.add_row(f"  {sign} {escape(result.title)}", points, escape(result.message))
        table.add_section()
    table.add_row("[bold]total[/]", f"[bold]{verdict.score:g} of {verdict.max_score:g}[/]", "")
    out.print(table)
    for note in verdict.notes:
        out.print(f"Note: {escape(note)}")
    out.print()


SHOWN_CALLS = 3  # of one criterion; the rest is like them


def show_evidence(verdict):
    """Prints, criterion by criterion, what was asked, called, returned and seen."""
    for result in verdict.checks:
        out.print(f"[bold]{result.cell}: {escape(result.title)}[/], {result.points:g} of {result.max_points:g}")
        table = Table(show_header=False, box=None, padding=(0, 1, 0, 2))
        table.add_row("asks", escape(result.asks))
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


@app.command()
def rubric(
    assignment: Name = DEFAULT,
    course: Annotated[
        pathlib.Path, typer.Option(help="Folder whose nbgrader_config.py sets points and policies, if it has one.")
    ] = pathlib.Path(),
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Write it there instead of printing it.", show_default=False)
    ] = None,
):
    """The rubric as a Markdown page, made from the hidden checks themselves; it holds no solution."""
    from autograder.course.rubric import page
    from autograder.course.settings import settings_of

    text = page(assignments.load(assignment), settings_of(course))
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
        out.print(f"{output}", soft_wrap=True)


@app.command()
def selftest(
    names: Annotated[list[str] | None, typer.Argument(help="Entries to run; all by default.", show_default=False)] = None,
    fast: Annotated[bool, typer.Option("--fast", help="One worker for many entries, instead of a notebook for each.")] = False,
    recombined: Annotated[
        bool,
        typer.Option("--recombined", help="Right answers made by recombination, instead of the catalogue; implies --fast."),
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many times to judge each entry, with other random numbers each time; with --fast.")
    ] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per entry and line.")] = False,
    assignment: Name = DEFAULT,
):
    """Runs the catalogue of right and wrong answers through the grader: what was caught, what was not.

    Exit code 0: every entry got the points and the diagnosis that the catalogue states; 1: something differs.
    """
    import nbformat

    from autograder.course import selftest as course_selftest

    if seeds > 1 and not (fast or recombined):
        raise typer.BadParameter("--seeds needs --fast or --recombined: a notebook is judged with the seeds that marks use")
    chosen, started = assignments.load(assignment), time.monotonic()
    entries = course_selftest.recombined(chosen) if recombined else course_selftest.catalogue(chosen)
    unknown = set(names or ()) - {entry.name for entry in entries}
    if unknown:
        raise typer.BadParameter(f"there is no entry named {', '.join(sorted(unknown))}")
    entries = [entry for entry in entries if not names or entry.name in names]
    release = nbformat.read(assignments.course_file("notebooks", assignment, f"{assignment}.ipynb"), as_version=4)
    run = course_selftest.full
    if fast or recombined:
        run = functools.partial(course_selftest.fast, seeds=range(0, 1000 * seeds, 1000))
    with bar("starting") as progress:
        outcomes = run(chosen, release, chosen.samples.ANSWERS, entries, progress, workers)
    differing = [outcome for outcome in outcomes if not outcome.as_expected]
    if as_json:
        for found in course_selftest.rejections(outcomes) if recombined else map(course_selftest.Outcome.to_json, outcomes):
            print(json.dumps(found, ensure_ascii=False))
    elif recombined:
        show_recombined(len(entries), seeds, differing, time.monotonic() - started)
    else:
        show_selftest(outcomes, differing, time.monotonic() - started)
    if differing:
        raise typer.Exit(1)


def show_recombined(count, seeds, rejected, seconds):
    """Prints which right answers were rejected, with which seed, and what they were told."""
    for outcome in rejected:
        out.print(f"[red]✗[/] {outcome.entry.target}, {escape(outcome.entry.name)}, seed {outcome.seed}:", soft_wrap=True)
        for name, message in outcome.messages.items():
            out.print(f"    {name}: {escape(message)}", soft_wrap=True)
    out.print(f"{count} right answers × {seeds} seeds in {seconds:.0f} s: {len(rejected) or 'none'} rejected.")


def show_selftest(outcomes, differing, seconds):
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


@app.command()
def doctor():
    """What this machine has, the exact command that mends what is missing, and what each sandbox guarantees here.

    Exit code 2: this machine cannot mark.
    """
    from autograder.doctor import examine, guarantees

    findings = examine()
    table = Table("", "what", "found", "what to do")
    for finding in findings:
        sign = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.needed else "[yellow]·[/]"
        table.add_row(sign, finding.what, escape(finding.found), escape(finding.repair))
    out.print(table)
    with bar("sandboxes") as progress:
        show_guarantees(guarantees(progress))
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(2)


def show_guarantees(found):
    """Prints a table: guarantees by sandbox."""
    from autograder.sandbox.conformance import ENDS, GUARANTEES

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


@contextlib.contextmanager
def bar(title):
    """A progress bar on stderr: `progress(done, total, what)`."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(title)
        yield lambda done, total, what: shown.update(task, completed=done, total=total, description=what)
