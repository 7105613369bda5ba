"""The command line: options and help. What the commands do is in the packages beside this file; printing.py shows it."""

import contextlib
import dataclasses
import functools
import io
import json
import pathlib
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from traitlets.config import Config

from autograder import assignment as assignments
from autograder.assignment import Assignment
from autograder.errors import DeadlineError, GraderError, UnknownAssignment
from autograder.nbgrader import FORMGRADER
from autograder.printing import bar, err, out

if TYPE_CHECKING:
    from autograder.course import folder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Marks the course's notebooks outside the students' Python. For instructors, in the order of an evening: `init`, "
    "`deadline`, `collect`, `grade`, `report`, `feedback`, `export`, `return`. `demo` shows everything on a sample class; "
    "`doctor` says what this machine lacks.",
)

WHICH = "Which assignment, by the name that the course gives it; not needed where there is one."
Name = Annotated[str | None, typer.Argument(metavar="[ASSIGNMENT]", help=WHICH, show_default=False)]
Option = Annotated[str | None, typer.Option("--assignment", "-a", metavar="ASSIGNMENT", help=WHICH, show_default=False)]
Course = Annotated[pathlib.Path, typer.Option(exists=True, file_okay=False, help="Course folder, with nbgrader_config.py.")]
Configured = Annotated[
    pathlib.Path,
    typer.Option(
        exists=True, file_okay=False, help="Folder whose nbgrader_config.py sets points, policies and limits, if it has one."
    ),
]
Folder = Annotated[pathlib.Path, typer.Option(exists=True, file_okay=False, help="Folder of a course to look at, too.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Submissions at a time; one per core by default.", show_default=False)]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Mark on a Dask cluster: the scheduler's address, tcp://…", show_default=False),
]
HERE = pathlib.Path()
MARKING = ("grade", "check", "regrade", "selftest", "demo")  # commands of which an error says that nobody was marked


def main() -> None:
    """Runs the command line. Exit code 2 is the grader's own failure, or a request that cannot be met: nobody is marked."""
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot show ends nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except GraderError as error:
        from autograder.nbgrader.submitted import printable

        said = "\n".join(map(printable, str(error).splitlines()))  # it may hold names that others have given
        nobody = "; nobody was marked" if sys.argv[1] in MARKING else ""
        err.print(f"[bold red]{error.happened}{nobody}.[/] {escape(said)}")
    except Exception as error:
        err.print_exception()
        err.print(
            f"[bold red]The grader failed in a way that nobody foresaw.[/] {escape(repr(error))}. "
            "What was recorded before stays. Please report it with the lines above."
        )
    sys.exit(2)


@contextlib.contextmanager
def naming() -> Iterator[None]:
    """Where a name is looked up: one that no assignment has is a usage error, which lists those that exist."""
    try:
        yield
    except UnknownAssignment as error:
        raise typer.BadParameter(str(error)) from error


def chosen(name: str | None, option: str | None = None) -> Assignment:
    """The installed assignment that was named."""
    with naming():
        return assignments.load(one_name(name, option) or assignments.default())


def one_name(name: str | None, option: str | None) -> str | None:
    """What was named, as an argument or as an option."""
    if name and option and name != option:
        raise typer.BadParameter(f"two assignments are named, {name} and {option}")
    return name or option


def one_place(workers: int | None, scheduler: str | None) -> None:
    """A usage error where both are named that say where submissions are marked."""
    if workers and scheduler:
        raise typer.BadParameter("--workers is for this machine; a cluster has the workers that were started for it")


def in_course(place: "folder.Course", name: str | None) -> Assignment:
    """The course's assignment of that name, or its only one."""
    with naming():
        return place.find(name, assignments.default())


def configured(course: pathlib.Path, config: Config, name: str | None) -> Assignment:
    """The assignment of that name as a folder's course has it, or as it is installed; there need be no course."""
    from autograder.nbgrader import configuration, recognition

    configuration.settings(config)
    try:
        return recognition.in_course(configuration.CourseDirectory(course, config), name, assignments.default())
    except UnknownAssignment:
        return chosen(name)


def files_beside(course: pathlib.Path, config: Config, of: Assignment, notebook: pathlib.Path) -> dict[str, bytes]:
    """What was handed in beside a notebook in the course's folder of submissions; elsewhere anything may lie beside one."""
    from autograder.nbgrader import configuration

    light = configuration.CourseDirectory(course, config)
    if not notebook.resolve().is_relative_to(pathlib.Path(light.root, light.submitted_directory).resolve()):
        return {}
    from nbgrader.coursedir import CourseDirectory

    from autograder.nbgrader import submitted

    with configuration.wrong_values():
        coursedir = CourseDirectory(config=config, root=light.root)
    return submitted.files_beside(coursedir, of, notebook)


@app.command()
def demo(
    assignment: Name = None,
    output: Annotated[pathlib.Path, typer.Option(help="Course folder to make; made anew each time.")] = pathlib.Path(
        "build/demo"
    ),
    option: Option = None,
) -> None:
    """The main job on a sample class: release, marking through nbgrader, feedback pages, grades, class report."""
    started, of = time.monotonic(), chosen(assignment, option)
    from autograder.course import demo as course_demo
    from autograder.printing import show_demo

    with bar("sample class") as progress:
        made = course_demo.run(output, of, progress)
    show_demo(made, of, output, time.monotonic() - started)


@app.command()
def init(
    course: Annotated[pathlib.Path, typer.Argument(file_okay=False, help="Course folder: a new one, or one that is there.")],
    option: Annotated[
        str | None,
        typer.Option("--assignment", "-a", metavar="ASSIGNMENT", help="Which of those that are installed.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="What the course calls it: hw3. By default as it is installed.", show_default=False
        ),
    ] = None,
    add_lines: Annotated[
        bool, typer.Option("--add-lines", help="Put our lines into an nbgrader_config.py that is there, at its end.")
    ] = False,
) -> None:
    """Sets a course up, or an assignment in a course that is there: configuration, source, release, gradebook.

    What is there stays as it is. Exit code 0: the course is ready; 1: its configuration lacks our lines, and nothing was made.
    """
    of = chosen(option)
    from autograder.course import init as course_init
    from autograder.printing import show_begun, show_lines

    try:
        plan = course_init.look(course, of, name or of.name)
    except (FileExistsError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    if plan.lacks_lines and not add_lines:
        show_lines(plan, course_init.LINES)
        raise typer.Exit(1)
    with bar("making the release", thread=False) as progress:
        progress(0, 1, "making the release")
        begun = course_init.begin(plan)
        progress(1, 1, "done")
    show_begun(begun, course)


@app.command()
def release(assignment: Name = None, course: Course = HERE, option: Option = None) -> None:
    """Generates the student release and proves that it holds no solution, no hidden check, no reference value."""
    named = one_name(assignment, option)
    from autograder.course import folder
    from autograder.course.release import make

    place = folder.Course(course)
    of = in_course(place, named)
    path, leaks = make(place, of)
    if leaks:
        for leak in leaks:
            err.print(f"[red]✗[/] {escape(leak)}")
        path.unlink()
        err.print(f"{len(leaks)} leaks: the release was removed again. Mend {of.assignment_id} in the source folder.")
        raise typer.Exit(1)
    out.print(f"{path}: no solution, hidden check, marking scheme or output in it.", soft_wrap=True)


@app.command()
def check(
    notebooks: Annotated[list[pathlib.Path], typer.Argument(help="Notebooks to mark.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per notebook and line.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="For a complaint: what each criterion asks, what was called, what came back.")
    ] = False,
    option: Option = None,
    course: Configured = HERE,
    sandbox: Annotated[
        str | None,
        typer.Option(
            help="What runs the student's code, in place of the course's; `autograder doctor` lists what works here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Marks single notebooks; needs no course and no database.

    Exit code 0: every notebook was graded; 1: some could not be; 2: the grader itself failed, and there are no marks.
    """
    from autograder.nbgrader import configuration

    config, verdicts = configuration.read(course), {}
    of = configured(course, config, option)
    from autograder.grading.submission import grade
    from autograder.grading.verdict import Status, Verdict
    from autograder.printing import show_evidence, show_verdict

    settings = configuration.settings(config, of, sandbox=sandbox)
    with bar("marking") as progress:
        for number, path in enumerate(notebooks):
            progress(number, len(notebooks), f"marking {path.name}")
            try:
                files = files_beside(course, config, of, path)
                verdicts[path] = grade(path.read_bytes(), of, settings, explain, files).verdict
            except OSError as error:
                verdicts[path] = Verdict(Status.UNGRADABLE, message=f"The file cannot be read: {error.strerror}.")
        progress(len(notebooks), len(notebooks), "done")
    for path, verdict in verdicts.items():
        if as_json:
            print(json.dumps(verdict.to_json(path), ensure_ascii=False))
        else:
            show_verdict(path, verdict)
            if explain:
                show_evidence(verdict)
    if any(verdict.status == Status.UNGRADABLE for verdict in verdicts.values()):
        raise typer.Exit(1)


@app.command()
def collect(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ZIP_OR_FOLDER]... [ASSIGNMENT]",
            help="What was downloaded; without any, what lies in downloaded/ASSIGNMENT/archive/. Then the assignment's name; "
            "not needed where there is one.",
            show_default=False,
        ),
    ] = None,
    roster: Annotated[
        pathlib.Path | None,
        typer.Option(
            dir_okay=False,
            exists=True,
            metavar="FILE.csv",
            help="The sheet with the course's students, as the learning management system exports it.",
            show_default=False,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The column of it that names students here; the login by default.", show_default=False
        ),
    ] = None,
    day_first: Annotated[
        bool | None,
        typer.Option("--day-first/--month-first", help="Whether 4/5/2026 is in May or in April.", show_default=False),
    ] = None,
    timezone: Annotated[
        str,
        typer.Option(metavar="ZONE", help="Of times that name none, such as Europe/Berlin; this machine's by default."),
    ] = "",
    who: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=STUDENT",
            help="Whose a file or folder is whose name begins so; can be given again. NAME=none takes it back.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where it is from, if that is not seen: canvas, moodle, brightspace, blackboard, gradescope, or folders.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the table, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line of the table.")] = False,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Puts what Canvas, Moodle, Brightspace, Blackboard or Gradescope hand out, or plain folders, where nbgrader expects it.

    Of what a student handed in several times, the last counts. Everything that came in is in the table. Exit code 0: nothing
    needs a person; 1: something does, and the table says what; 2: something cannot be read, and nothing was collected.
    """
    sources = list(what or ())
    named = None
    if sources and not pathlib.Path(sources[-1]).exists() and not sources[-1].lower().endswith((".zip", ".ipynb")):
        named = sources.pop()
    named = one_name(named, option)
    by_hand = dict(each.rpartition("=")[::2] for each in who or ())
    if not all(by_hand) or not all(by_hand.values()):
        raise typer.BadParameter("--who says whose something is: --who 'NAME=STUDENT'")
    from autograder.course import folder
    from autograder.lms import collect as lms_collect
    from autograder.lms.sheets import System
    from autograder.lms.times import Reading
    from autograder.nbgrader import zip_collect
    from autograder.printing import show_collected

    place = folder.Course(course)
    with naming():
        try:
            named = place.find(named, assignments.default()).assignment_id
        except UnknownAssignment:  # nbgrader marks the course's others, and they come from the same place
            if named is None:
                raise
    options = zip_collect.configured(place.coursedir.config, place.coursedir.root)
    reading = Reading.in_zone(timezone) if timezone else options.reading
    if day_first is not None:
        reading = dataclasses.replace(reading, day_first=day_first)
    systems = {"folders" if each is System.PLAIN else str(each): each for each in System}
    if system is not None and system not in systems:
        raise typer.BadParameter(f"--system is one of {', '.join(systems)}")
    options = lms_collect.Options(
        roster or options.roster,
        id_column or options.id_column,
        reading,
        by_hand,
        systems[system] if system is not None else None,
        dry_run,
    )
    with naming(), folder.grader_failures(), folder.quiet(), folder.no_alembic():
        rows = lms_collect.collect(place.coursedir, named, [pathlib.Path(source) for source in sources], options)
    if as_json:
        for row in rows:
            print(json.dumps(row.to_json(), ensure_ascii=False))
    else:
        show_collected(rows, dry_run)
    if any(row.for_a_person for row in rows):
        raise typer.Exit(1)


@app.command()
def grade(
    assignment: Name = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
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
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Marks a whole class into nbgrader's gradebook, in parallel.

    Marks, gradebook and feedback are those of `nbgrader autograde`. Interrupted, it goes on where it stopped; what has not
    changed is not marked again. Exit code 0: everybody was graded; 1: some could not be; 2: the grader itself failed.
    """
    one_place(workers, scheduler)
    started, total = time.monotonic(), 0
    named = one_name(assignment, option)
    from autograder.nbgrader import configuration, recognition

    # What is wrong is told before anything starts.
    config = configuration.of_course(course)
    configuration.settings(config)
    with naming():
        of = recognition.in_course(configuration.CourseDirectory(course, config), named, assignments.default())
    from autograder.course.executors import Cluster, Executor, Processes
    from autograder.printing import Tally, show_moves

    tally = Tally()

    def tell(done: int, count: int, what: str) -> None:
        nonlocal total
        total, rate = count, done / (time.monotonic() - started)
        progress(done, count, f"marking, {rate:.1f} a second" if done else "starting")

    try:
        with contextlib.ExitStack() as stack:
            executor: Executor
            if scheduler:
                executor = stack.enter_context(Cluster(scheduler))
            else:  # where the class was not marked before, the processes start while the rest is imported
                first = again or not any(configuration.results(course, config).folder.glob("*"))
                executor = stack.enter_context(Processes(of, workers, at_once=first))
            progress = stack.enter_context(bar("starting"))
            from autograder.course import folder
            from autograder.course.batch import grade_class

            place = folder.Course(course, execute)
            place.settings.check(of)
            for result in grade_class(place, of, executor, tell, again, functools.partial(show_moves, to=err)):
                tally.add(result)
                if as_json:
                    print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
    except KeyboardInterrupt:
        err.print(f"Interrupted: {tally.marked} of {total} are marked and recorded. The same command goes on with the others.")
        raise typer.Exit(130) from None
    except GraderError as error:
        if not tally.marked:
            raise
        err.print(f"[bold red]The run stopped.[/] {tally.recorded} of {total} are marked and recorded. {escape(str(error))}")
        raise typer.Exit(2) from error
    if not as_json:
        tally.show(time.monotonic() - started, place.waiting(of))
    if tally.ungradable or tally.unrecorded:
        raise typer.Exit(1)


@app.command()
def feedback(
    assignment: Name = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.", show_default=False)] = None,
    again: Annotated[bool, typer.Option("--again", help="Write anew what has not changed, too.")] = False,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Writes the students' feedback pages, in parallel, and only those that changed.

    The pages are those of `nbgrader generate_feedback`. Exit code 0: all are there; 2: they could not be written.
    """
    started, named = time.monotonic(), one_name(assignment, option)
    from autograder.course import feedback_pages, folder

    place = folder.Course(course)
    of = in_course(place, named)
    try:
        with bar("writing feedback", thread=False) as progress:
            written = feedback_pages.write(place, of, progress, again, workers)
    except KeyboardInterrupt:
        err.print("Interrupted: the pages that are written stay. The same command goes on with the others.")
        raise typer.Exit(130) from None
    if written.waiting:
        out.print(f"[yellow]{escape(str(written.waiting))}[/] The pages say so.", soft_wrap=True)
    known = f", {written.unchanged} were up to date" if written.unchanged else ""
    pages = "1 page" if len(written.pages) == 1 else f"{len(written.pages) or 'No'} pages"
    out.print(f"{pages} written{known}, in {time.monotonic() - started:.0f} s: {written.folder}", soft_wrap=True)


@app.command()
def deadline(
    assignment: Name = None,
    due: Annotated[str | None, typer.Option(metavar="TIME", help="2026-10-05 23:59, or a day alone, until its end.")] = None,
    student: Annotated[
        list[str] | None, typer.Option(metavar="STUDENT", help="Who has longer, with --until; may be given several times.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when; `none` takes it back.")] = None,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also who is in the course only later on.")] = False,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Of all times, Europe/Berlin, say.")] = None,
    per_day: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="What a day begun costs: 1.5 (points), `10 %` of all, `10 % of the score`."),
    ] = None,
    once: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What being late costs at all.")] = None,
    cap: Annotated[str | None, typer.Option(metavar="AMOUNT", help="The most that being late costs.")] = None,
    grace: Annotated[str | None, typer.Option(metavar="SPAN", help="Until then it is in time: `15 minutes`.")] = None,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Shows or sets until when an assignment is handed in, who has longer, and what being late costs, in deadlines.toml.

    Nobody is marked again. `none` takes a setting out of the file.
    """
    if bool(student) != (until is not None):
        raise typer.BadParameter("--student and --until belong together: who, and until when")
    named = one_name(assignment, option)
    from autograder.course import folder
    from autograder.printing import show_deadline

    place = folder.Course(course)
    of = in_course(place, named)
    typed = {"due": due, "per_day": per_day, "once": once, "cap": cap, "grace": grace}
    settings = {key: value.strip() for key, value in typed.items() if value is not None}
    longer = dict.fromkeys(student or [], (until or "").strip())
    found = place.deadlines()
    known = place.students(of)
    if not unknown:
        known_here(longer, known, found.find(of.assignment_id).extensions)
    if settings or longer or timezone:
        try:
            found = found.changed(of.assignment_id, settings, longer, timezone)
        except DeadlineError as error:  # the file itself could be read: it is what was typed
            given = [*settings, *(["until"] if longer else []), *(["timezone"] if timezone else [])]
            wrong = "until" if "extensions" in error.key else error.key[-1]
            options = [f"--{key.replace('_', '-')}" for key in ([wrong] if wrong in given else given)]
            raise typer.BadParameter(error.reason, param_hint=" or ".join(options)) from error
        found.write()
    changed = place.settle(of)
    show_deadline(of.assignment_id, found.find(of.assignment_id), changed, place.marks(of), known)


def known_here(typed: Iterable[str], known: Mapping[str, str], extensions: Collection[str]) -> None:
    """A usage error where somebody has typed a student whom neither the course knows nor its file."""
    from autograder.lms.people import near

    for student in typed:
        if student not in known and student not in extensions:
            alike = ", ".join(near(student, known))
            like = f"Near it: {alike}. " if alike else ""
            raise typer.BadParameter(
                f"the course has no student {student!r}. {like}If they are yet to come, add --unknown.",
                param_hint="--student",
            )


@app.command()
def export(
    assignment: Name = None,
    into: Annotated[
        pathlib.Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="SHEET",
            show_default=False,
            help="Fill this sheet, as Canvas, Moodle, Brightspace or Blackboard exports it, instead.",
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(help="The file to write; grades.csv, or SHEET.filled.csv beside the sheet.", show_default=False),
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --into: the column to fill, if it is not found by itself.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --into: the column that holds nbgrader's student ids.")
    ] = None,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """The list of grades, a line a student, with each task, criterion and answer; or marks into the LMS's own sheet.

    What nobody has marked yet stays empty. Exit code 0: all is there; 1: a mark could not be put into the sheet.
    """
    if into is None and (column or id_column):
        raise typer.BadParameter("--column and --id-column are for a sheet: --into SHEET")
    named = one_name(assignment, option)
    from autograder.course import folder
    from autograder.lms.entering import filled_beside
    from autograder.printing import show_filled

    place = folder.Course(course)
    if into is None:
        to = output or place.root / "grades.csv"
        own = in_course(place, named) if named else None
        for assignment_id, waiting in place.export(to, own.assignment_id if own else None).items():
            if waiting:
                said = f"{escape(assignment_id)}: [yellow]{escape(str(waiting))}[/] Their cells are empty."
                out.print(said, soft_wrap=True)
        out.print(f"{to}", soft_wrap=True)
        return
    of = in_course(place, named)
    to = output or filled_beside(into)
    filled = place.export_into(into, of, to, column, id_column)
    show_filled(filled, to, place.waiting(of))
    if not filled.complete:
        raise typer.Exit(1)


@app.command("return")
def return_feedback(
    assignment: Name = None,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Folder for the zips; returned/ASSIGNMENT by default.", show_default=False)
    ] = None,
    marked: Annotated[bool, typer.Option("--marked", help="Only of students for whom nothing waits any more.")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not as it was packed last, in a folder of its own, changed-1, …")
    ] = False,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Writes the feedback pages and packs them as Moodle, Canvas and Brightspace take them back, by what `collect` recorded.

    Students of whom no such system is known get a folder each, in students.zip.
    """
    named = one_name(assignment, option)
    from autograder.course import feedback_pages, folder
    from autograder.lms import returning
    from autograder.printing import show_returned

    place = folder.Course(course)
    of = in_course(place, named)
    with bar("writing feedback", thread=False) as progress:
        written = feedback_pages.write(place, of, progress)
    class_ = place.marks(of)
    pages: dict[str, Sequence[pathlib.Path]]
    pages = {student: [place.feedback(of, student)] for student in class_ if place.feedback(of, student).is_file()}
    left_out = {student for student in pages if marked and class_[student].waiting}
    pages = {student: own for student, own in pages.items() if student not in left_out}
    if not pages:
        all_wait = f"Something waits for everybody who has a page: nothing was packed. {written.waiting}"
        err.print(escape(all_wait) if left_out else "There is no feedback to return yet.", soft_wrap=True)
        raise typer.Exit(1)
    to = output or place.root / returning.FOLDER / of.assignment_id
    if changed:
        to, pages = returning.fresh(to), returning.changed(place.coursedir, of.assignment_id, pages)
    packed: Sequence[returning.Packed] = []
    if pages:
        packed = returning.pack(of.assignment_id, pages, returning.collected(place.coursedir, of.assignment_id), to)
        returning.remember(place.coursedir, of.assignment_id, pages)
    show_returned(packed, marked, written.waiting)


@app.command()
def report(
    assignment: Name = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Numbers in random order for names, and no links; to show it to others.")
    ] = False,
    similar: Annotated[
        bool, typer.Option("--similar", help="Also groups of similar answers with the same mistakes: a hint, never a verdict.")
    ] = False,
    formgrader: Annotated[str, typer.Option(metavar="URL", help="Where formgrader is, for the links.")] = FORMGRADER,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Folder for it; reports/ASSIGNMENT by default.", show_default=False)
    ] = None,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """The class report: what went well, what was misunderstood and what to say about it, what still waits. A page and a CSV."""
    if not formgrader.startswith(("http://", "https://")):
        raise typer.BadParameter("--formgrader is an address that begins with http:// or https://")
    named = one_name(assignment, option)
    from autograder.course import analysis, folder
    from autograder.course import report as course_report
    from autograder.printing import show_report

    place = folder.Course(course)
    of = in_course(place, named)
    class_ = analysis.gather(place, of, anonymous, formgrader)
    folder_ = output or place.root / course_report.FOLDER / of.assignment_id
    show_report(class_, *course_report.write(class_, folder_, similar))


@app.command()
def regrade(
    assignment: Name = None,
    apply: Annotated[bool, typer.Option("--apply", help="Record it; manual marks, comments and penalties stay.")] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for the record that --apply keeps.", show_default=False)
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object and line for each student whose points or sentences change.")
    ] = False,
    course: Course = HERE,
    option: Option = None,
) -> None:
    """Who moves, and why, after checks, points, policies or versions changed: marks anew, compares, and records nothing.

    Exit code 0: nobody moves; 3: somebody does; 2: the grader itself failed. With --apply it is recorded, and 1 means that it
    could not be for somebody.
    """
    if apply and not (reason or "").strip():
        raise typer.BadParameter("--apply needs a reason, for the record: --reason TEXT")
    if reason is not None and not apply:
        raise typer.BadParameter("--reason is for the record that --apply keeps")
    one_place(workers, scheduler)
    named = one_name(assignment, option)
    from autograder.course import folder
    from autograder.course import regrade as course_regrade
    from autograder.course.executors import Cluster, Processes
    from autograder.printing import show_regrade, show_regraded

    place = folder.Course(course)
    of = in_course(place, named)
    try:
        with bar("marking anew") as progress, Cluster(scheduler) if scheduler else Processes(of, workers) as executor:
            found = course_regrade.look(place, of, executor, lambda done, total, _: progress(done, total, "marking anew"))
        if as_json:
            for move in (*found.moves, *found.words):
                print(json.dumps(move.to_json(), ensure_ascii=False))
        else:
            show_regrade(found, apply)
        if apply:
            with bar("recording") as progress:
                record, unrecorded = course_regrade.apply(place, of, found, reason or "", progress)
            if not as_json:
                show_regraded(len(found.old), record, unrecorded)
            if unrecorded:
                raise typer.Exit(1)
    except KeyboardInterrupt:
        err.print(
            "Interrupted: what was marked is kept, and what was recorded stays. The same command goes on with the others."
        )
        raise typer.Exit(130) from None
    raise typer.Exit(3 if found.moves else 0)


@app.command()
def gradescope(
    assignment: Name = None,
    output: Annotated[pathlib.Path, typer.Option(help="Where to write the archive.")] = pathlib.Path("gradescope.zip"),
    visibility: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="When students see criteria and points: visible (at once), after_due_date or after_published."
        ),
    ] = "visible",
    torch_index: Annotated[
        str, typer.Option(metavar="URL", help="The index to install torch from; for one without CUDA.", show_default=False)
    ] = "",
    course: Course = HERE,
    option: Option = None,
) -> None:
    """The archive with which Gradescope marks this assignment, with the course's own master notebook and settings."""
    from autograder.gradescope import VISIBILITIES

    if visibility not in VISIBILITIES:
        raise typer.BadParameter(f"--visibility is one of {', '.join(VISIBILITIES)}")
    if torch_index and not re.fullmatch(r"https?://[\w.:/~%-]+", torch_index):
        raise typer.BadParameter("--torch-index is an address that begins with http:// or https://")
    named = one_name(assignment, option)
    from autograder.course import folder
    from autograder.gradescope import archive
    from autograder.printing import show_archive

    place = folder.Course(course)
    of = in_course(place, named)
    archive.write(output, place.coursedir, of, place.settings, visibility, torch_index)
    show_archive(output, of)


@app.command()
def rubric(
    assignment: Name = None,
    course: Configured = HERE,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Write it there instead of printing it.", show_default=False)
    ] = None,
    option: Option = None,
) -> None:
    """The rubric as a Markdown page, made from the hidden checks themselves; it holds no solution."""
    named = one_name(assignment, option)
    from autograder.course.rubric import page
    from autograder.nbgrader import configuration

    config = configuration.read(course)
    of = configured(course, config, named)
    text = page(of, configuration.settings(config, of))
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        out.print(f"{output}", soft_wrap=True)


@app.command()
def selftest(
    names: Annotated[list[str] | None, typer.Argument(help="Entries to run; all by default.", show_default=False)] = None,
    fast: Annotated[bool, typer.Option("--fast", help="One worker for many entries, instead of a notebook for each.")] = False,
    recombined: Annotated[
        bool,
        typer.Option("--recombined", help="Right answers made by recombination, instead of the catalogue; implies --fast."),
    ] = False,
    slips: Annotated[
        bool,
        typer.Option("--slips", help="Wrong answers made by typical slips, instead of the catalogue; implies --fast."),
    ] = False,
    sample: Annotated[int, typer.Option(min=1, metavar="N", help="Every N-th of them, for a quick run; with --slips.")] = 1,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many times to judge each entry, with other random numbers each time; with --fast.")
    ] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per entry and line.")] = False,
    option: Option = None,
) -> None:
    """Runs the catalogue of right and wrong answers through the grader: what was caught, what was not.

    Exit code 0: every entry got the points and the diagnosis that the catalogue states; 1: something differs. With --slips,
    what an answer breaks is computed from what it does: 1 where it lost other criteria than those, or was named wrongly.
    """
    if slips and recombined:
        raise typer.BadParameter("--slips and --recombined are two sets of answers: run one after the other")
    if sample > 1 and not slips:
        raise typer.BadParameter("--sample needs --slips: the other sets are small enough")
    if seeds > 1 and (slips or not (fast or recombined)):
        raise typer.BadParameter("--seeds needs --fast or --recombined: a notebook is judged with the seeds that marks use")
    started, of = time.monotonic(), chosen(option)
    from autograder.course import selftest as course_selftest
    from autograder.course.init import generated
    from autograder.printing import show_recombined, show_selftest, show_slips

    if slips:
        entries = course_selftest.slipped(of, sample)
    else:
        entries = course_selftest.recombined(of) if recombined else course_selftest.catalogue(of)
    unknown = set(names or ()) - {entry.name for entry in entries}
    if unknown:
        raise typer.BadParameter(f"there is no entry named {', '.join(sorted(unknown))}")
    entries = [entry for entry in entries if not names or entry.name in names]
    run: Callable[..., Sequence[Any]] = course_selftest.full
    if slips:
        run = course_selftest.slips
    elif fast or recombined:
        run = functools.partial(course_selftest.fast, seeds=range(0, 1000 * seeds, 1000))
    with bar("starting") as progress:
        outcomes = run(of, generated(of), of.samples.ANSWERS, entries, progress, workers)
    differing = [outcome for outcome in outcomes if not outcome.as_expected]
    if as_json:
        for found in course_selftest.rejections(outcomes) if recombined else (outcome.to_json() for outcome in outcomes):
            print(json.dumps(found, ensure_ascii=False))
    elif recombined:
        show_recombined(len(entries), seeds, differing, time.monotonic() - started)
    elif slips:
        show_slips(outcomes, len(entries) - len(outcomes), time.monotonic() - started)
    else:
        show_selftest(outcomes, differing, time.monotonic() - started)
    if differing:
        raise typer.Exit(1)


@app.command()
def doctor(course: Folder = HERE) -> None:
    """What this machine has, the exact command that mends what is missing, and what each sandbox guarantees here.

    In a course's folder also whether nbgrader can read its configuration, and whether others can read its files. Exit code 2:
    this machine, or this course, cannot be marked with.
    """
    from autograder.doctor import examine, guarantees
    from autograder.printing import show_findings, show_guarantees

    findings = examine(course)
    show_findings(findings)
    with bar("sandboxes") as progress:
        show_guarantees(guarantees(progress))
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(2)
