"""The command line: options, help and printing. What the commands do is in the packages beside this file."""

import contextlib
import json
import pathlib
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

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
    assignment: Name = DEFAULT,
    sandbox: Sandbox = "bubblewrap",
):
    """Marks single notebooks, without a course or a database.

    Exit code 0: every notebook was graded; 1: some could not be; 2: the grader itself failed, and there are no marks.
    """
    from autograder.grading.submission import Settings, grade
    from autograder.grading.verdict import UNGRADABLE, Verdict

    chosen, verdicts = assignments.load(assignment), {}
    settings = Settings(sandbox=sandbox)
    with bar("marking") as progress:
        for number, path in enumerate(notebooks):
            progress(number, len(notebooks), f"marking {path.name}")
            try:
                verdicts[path] = grade(path.read_bytes(), chosen, settings).verdict
            except OSError as error:
                verdicts[path] = Verdict(UNGRADABLE, message=f"The file cannot be read: {error.strerror}.")
        progress(len(notebooks), len(notebooks), "done")
    for path, verdict in verdicts.items():
        print(json.dumps(verdict.to_json(path), ensure_ascii=False)) if as_json else show(path, verdict)
    if any(verdict.status == UNGRADABLE for verdict in verdicts.values()):
        raise typer.Exit(1)


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


@app.command()
def selftest(
    names: Annotated[list[str] | None, typer.Argument(help="Entries to run; all by default.", show_default=False)] = None,
    fast: Annotated[bool, typer.Option("--fast", help="One worker for all entries, instead of a notebook for each.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per entry and line.")] = False,
    assignment: Name = DEFAULT,
):
    """Runs the catalogue of right and wrong answers through the grader: what was caught, what was not.

    Exit code 0: every entry got the points and the diagnosis that the catalogue states; 1: something differs.
    """
    import nbformat

    from autograder.course import selftest as course_selftest

    chosen, started = assignments.load(assignment), time.monotonic()
    entries = [entry for entry in course_selftest.catalogue(chosen) if not names or entry.name in names]
    if not entries:
        raise typer.BadParameter(f"the catalogue has no entry named {', '.join(names)}")
    release = nbformat.read(assignments.course_file("notebooks", assignment, f"{assignment}.ipynb"), as_version=4)
    run = course_selftest.fast if fast else course_selftest.full
    with bar("catalogue") as progress:
        outcomes = run(chosen, release, chosen.samples.ANSWERS, entries, progress)
    differing = [outcome for outcome in outcomes if not outcome.as_expected]
    if as_json:
        for outcome in outcomes:
            print(json.dumps(outcome.to_json(), ensure_ascii=False))
    else:
        show_selftest(outcomes, differing, time.monotonic() - started)
    if differing:
        raise typer.Exit(1)


def show_selftest(outcomes, differing, seconds):
    """Prints the confusion matrix, the points of every wrong entry, and what differs from the catalogue."""
    from autograder.course.selftest import confusion

    table = Table("task", "entry", "points", "criteria lost, and the misconception named", title="Wrong answers")
    for outcome in outcomes:
        if outcome.entry.answer == "wrong":
            lost = ", ".join(f"{name} ({mistake or 'a sentence'})" for name, mistake in outcome.lost.items())
            points = f"{outcome.points:g} of {outcome.max_points:g}"
            table.add_row(outcome.entry.target, outcome.entry.name, points, lost)
    out.print(table)
    matrix = Table("", "full points", "fewer", title="Confusion matrix")
    counts = confusion(outcomes)
    for answer in ("right", "wrong"):
        matrix.add_row(f"{answer} answers", *(str(counts[answer, got]) for got in ("full", "less")))
    out.print(matrix)
    wrong = [outcome for outcome in outcomes if outcome.entry.answer == "wrong"]
    named = sum(any(outcome.lost.values()) for outcome in wrong)
    out.print(f"{named} of {len(wrong)} wrong answers with a named misconception; {len(outcomes)} entries in {seconds:.0f} s.")
    for outcome in differing:
        expected, found = (outcome.entry.points, outcome.entry.lost), (outcome.points, outcome.lost)
        out.print(f"[red]✗[/] {outcome.entry.target}, {outcome.entry.name}: expected {expected}, found {found}", soft_wrap=True)
    out.print(f"{len(differing)} differ from the catalogue." if differing else "None differs from the catalogue.")


@app.command()
def doctor():
    """What this machine has, and the exact command that mends what is missing. Exit code 2 if it cannot mark."""
    from autograder.doctor import examine

    findings = examine()
    table = Table("", "what", "found", "what to do")
    for finding in findings:
        sign = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.needed else "[yellow]·[/]"
        table.add_row(sign, finding.what, escape(finding.found), escape(finding.repair))
    out.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(2)


@contextlib.contextmanager
def bar(title):
    """A progress bar on stderr: `progress(done, total, what)`."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(title)
        yield lambda done, total, what: shown.update(task, completed=done, total=total, description=what)


if __name__ == "__main__":
    main()
