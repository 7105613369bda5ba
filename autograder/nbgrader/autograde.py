"""`nbgrader autograde`: what it is made of where a course is configured for marking outside.

    SubmissionExporter    reads whatever was handed in, and repairs it
    KeepOutputs           keeps the student's figures, which stock nbgrader clears
    GradeOutside          runs the cells in the sandbox and judges outside it; writes score, sentences and, for the person who
                          marks, the marking schemes
    SaveGrades            as nbgrader's, and leaves what cannot be marked to a person
    CheckMetadata         checks only what was not repaired

For assignments that are not ours each of them does what its stock namesake does.
"""

import asyncio
import concurrent.futures
import contextlib
import copy
import dataclasses
import datetime
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import nbformat
from nbconvert.exporters import Exporter, NotebookExporter
from nbconvert.preprocessors import ExecutePreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader import converters
from nbgrader.api import Gradebook, SubmittedAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, Execute, NbGraderPreprocessor, SaveAutoGrades
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from autograder.assignment import Assignment
from autograder.errors import CourseError, GraderError, SettingError, Ungradable
from autograder.grading import notebook as notebooks
from autograder.grading import results
from autograder.grading.notebook import Submission
from autograder.grading.results import Results
from autograder.grading.settings import Settings
from autograder.grading.verdict import Graded, Status, Verdict
from autograder.nbgrader import configuration, ending, headings, late, marks, pages, recognition, submitted, unread
from autograder.nbgrader.deadlines import Deadlines
from autograder.nbgrader.submitted import HandedIn

Resources = dict[str, Any]
R = TypeVar("R")


@dataclasses.dataclass
class Found:
    """What the exporter found out about a submission, for the preprocessors: `resources["autograder"]`.

    Attributes:
        root: the course's folder.
        assignment: the course's.
        settings: the course's.
        key: the name of the result.
        origin: all that determines the result.
        submission: what was read from them; None when there is nothing to mark.
        ungradable: why, else "".
        settled: grade_id → what a person gave the points for that stand in the gradebook: an answer, or points by machine.
    """

    root: pathlib.Path
    assignment: Assignment
    settings: Settings
    key: str
    origin: results.Origin
    submission: Submission | None = None
    ungradable: str = ""
    settled: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __deepcopy__(self, memo: object) -> "Found":
        """Itself: nbconvert copies its resources for each conversion, and this holds two notebooks."""
        return self


def ours(resources: Resources) -> Assignment | None:
    """The assignment that a notebook belongs to, or None when it is none of ours."""
    found = resources.get("autograder")
    return found.assignment if isinstance(found, Found) else None


class OneStudent(converters.Autograde):
    """`nbgrader autograde` for one student, by what they handed in: nbgrader would take the id for a pattern.

    Args:
        handed_in: by that student.
    """

    def __init__(self, handed_in: HandedIn, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.handed_in = handed_in

    def init_notebooks(self) -> None:
        """Leaves it to the exporter, which is made next."""


class SubmissionExporter(NotebookExporter):
    """Finds and reads submissions that stock nbgrader would choke on.

    nbgrader makes it once for a class, and converts each submission twice with it: first the staged file, which is read and
    repaired, then the sanitized copy of it, which we have written. `Found` is made by the first and used by both.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.optimistic_validation = True  # once after all preprocessors, not after each
        self._handed_in: dict[str, HandedIn] = {}
        self._found: Found | None = None
        self._assignment: Assignment | None = None
        if isinstance(self.parent, converters.Autograde):
            with ending.told(self, "nobody was marked"):
                self._prepare(self.parent)

    def _prepare(self, converter: converters.Autograde) -> None:
        """Checks the course's settings, and gives nbgrader what was handed in, staged."""
        coursedir = converter.coursedir
        if ending.is_of_a_program(converter):
            unread.readable(converter)
        self._assignment = assignment = recognition.find(coursedir, coursedir.assignment_id)
        if assignment is None:
            return
        marks_outside(converter)
        self._settings = configuration.settings(self.config, assignment)
        Deadlines.read(pathlib.Path(coursedir.root))  # what is wrong there is told before anybody is marked
        if isinstance(converter, OneStudent):
            class_ = [converter.handed_in]
        else:
            with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
                recognition.as_released(gradebook, assignment)
            class_ = submitted.look(coursedir, assignment, coursedir.student_id)
        for handed_in in class_:
            said = handed_in.problem or handed_in.note
            if said:
                self.log.warning("%s: %s", handed_in.student, said)
        self._handed_in = {handed_in.student: handed_in for handed_in in class_ if handed_in.is_students}
        self._settled = settled(coursedir, assignment, list(self._handed_in))  # nbgrader removes the notebooks of record first
        staged = [submitted.stage(coursedir, assignment, handed_in) for handed_in in self._handed_in.values()]
        converter.assignments = {str(paths[0].parent): list(map(str, paths)) for paths in staged}
        # A copy: formgrader's server, which may run this too, keeps its own.
        converter.coursedir = copy.copy(coursedir)
        converter.coursedir.submitted_directory = submitted.STAGED

    def from_filename(self, filename: str, resources: Resources | None = None, **kwargs: Any) -> tuple[str, Resources]:
        path, resources, assignment = pathlib.Path(filename), resources or {}, self._assignment
        about = resources.get("nbgrader", {})
        coursedir = self.parent.coursedir
        marked = coursedir.format_path(coursedir.autograded_directory, about.get("student"), about.get("assignment"))
        is_copy = path.parent == pathlib.Path(marked)
        if is_copy:  # which formgrader serves
            pages.remove_active(path.parent)
        if assignment is None or about.get("notebook") != assignment.notebook_id:
            converted: tuple[str, Resources] = super().from_filename(filename, resources=resources, **kwargs)
            return converted
        if not is_copy:
            nb, self._found = self._read(path, self._handed_in[about["student"]], assignment)
        else:
            nb = written_by_us(path)
        modified = datetime.datetime.fromtimestamp(path.stat().st_mtime)
        metadata = {"name": path.stem, "path": str(path.parent), "modified_date": f"{modified:%B %-d, %Y}"}
        resources = {**resources, "autograder": self._found, "metadata": metadata}
        if is_copy:
            converted = self.from_notebook_node(Unshared(nb), resources, **kwargs)
        else:  # which only we read again: in one line, as what indents is the slow half of `json`
            nb, resources = Exporter.from_notebook_node(self, Unshared(nb), resources, **kwargs)
            converted = json.dumps(nb), resources
        return converted

    def _read(self, path: pathlib.Path, handed_in: HandedIn, assignment: Assignment) -> tuple[NotebookNode, Found]:
        coursedir = self.parent.coursedir
        files = submitted.files_beside(coursedir, assignment, path)
        raw = path.read_bytes()
        problem = handed_in.problem
        origin = results.origin(raw, assignment, self._settings, files)
        key = results.unmarked(problem) if problem else results.key(origin)
        found = Found(pathlib.Path(coursedir.root), assignment, self._settings, key, origin)
        found.settled = self._settled.get(handed_in.student, {})
        try:
            if problem:
                raise Ungradable(problem)
            found.submission = Submission.read(raw, assignment.master, files)
        except Ungradable as error:
            found.ungradable = str(error)
            return placeholder(assignment, str(error)), found
        return copy.deepcopy(found.submission.nb), found  # what nbgrader makes of it is not what is marked


def marks_outside(converter: converters.Autograde) -> None:
    """SettingError where students' code would run without a sandbox, by the lists of preprocessors that a course may set."""
    outside = False
    for name in ("sanitize_preprocessors", "autograde_preprocessors"):
        for part in getattr(converter, name):
            try:
                kind = import_item(part) if isinstance(part, str) else part
            except ImportError as error:
                raise SettingError(f"c.Autograde.{name} names {part}, which cannot be imported: {error}") from error
            if not isinstance(kind, type) or not issubclass(kind, ExecutePreprocessor):
                continue
            if not issubclass(kind, GradeOutside):
                raise SettingError(
                    f"c.Autograde.{name} has {kind.__name__}, which runs students' code without a sandbox: take it out."
                )
            outside = outside or name == "autograde_preprocessors"
    if not outside:
        raise SettingError(
            "c.Autograde.autograde_preprocessors lacks autograder.nbgrader.autograde.GradeOutside, and nothing would be "
            "marked: start from MARKING in autograder/nbgrader/__init__.py."
        )


def settled(coursedir: CourseDirectory, assignment: Assignment, students: Sequence[str]) -> dict[str, dict[str, Any]]:
    """student → grade_id → what a person gave points for, as the notebooks of record show it; without what waits anew."""
    with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
        class_ = marks.of_assignment(gradebook, assignment.assignment_id, students, assignment.notebook_id)
    found: dict[str, dict[str, Any]] = {}
    for student, own in class_.items():
        by_person = {id: mark for id, mark in own.cells.items() if mark.by_person is not None and not mark.waits}
        folder = coursedir.format_path(coursedir.autograded_directory, student, assignment.assignment_id)
        with contextlib.suppress(OSError, ValueError):
            if by_person:
                nb = written_by_us(pathlib.Path(folder) / f"{assignment.notebook_id}.ipynb")
                found[student] = {id: handed_in_for(nb, assignment, id, mark.by_machine) for id, mark in by_person.items()}
    return found


def handed_in_for(nb: NotebookNode, assignment: Assignment, grade_id: str, by_machine: float | None) -> Any:
    """What a person marks who gives points to a cell: the answer, with the code that belongs to it, or the machine's points."""
    if grade_id in assignment.test_cells:
        return by_machine
    own = answered_in(assignment, grade_id)
    return [cell.source for cell in nb.cells if notebooks.grade_id_of(cell) in own]


def answered_in(assignment: Assignment, grade_id: str) -> set[str]:
    """grade_ids of the cells that make up an answer: its own, and those that students fill between it and the one before."""
    cells = list(assignment.graded_cells)
    above = cells[: cells.index(grade_id)]
    graded = [number for number, id in enumerate(above) if assignment.graded_cells[id]["grade"]]
    return {id for id in above[graded[-1] + 1 if graded else 0 :] if assignment.graded_cells[id]["solution"]} | {grade_id}


def written_by_us(path: pathlib.Path) -> NotebookNode:
    """The notebook in a file that needs no repair; nbformat.read would validate it."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


class Unshared(NotebookNode):
    """A notebook that nobody else holds; nbconvert and nbformat copy one four times on its way to a file."""

    def __deepcopy__(self, memo: object) -> "Unshared":
        return self


def placeholder(assignment: Assignment, message: str) -> NotebookNode:
    """The notebook that stands for a file nobody can read, so that a person finds it in formgrader."""
    empty = notebooks.read(b'{"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}')
    empty.cells = [notebooks.blank(cell) for cell in assignment.master.cells if notebooks.grade_id_of(cell)]
    notebooks.repair(empty, assignment.master)
    empty.cells.insert(0, new_markdown_cell(f"**This submission could not be marked.** {message}"))
    return empty


class KeepOutputs(ClearOutput):
    """Keeps the outputs that were handed in: cells that are run get new ones, the others show the student's figures."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        if ours(resources):
            return nb, resources
        done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
        return done


class GradeOutside(configuration.Traits, Execute):
    """Marks the notebook: the student's code in a sandbox, the verdict here."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        assignment = ours(resources)
        if assignment is None:
            if not isinstance(self.parent, SubmissionExporter):
                self._must_be_anothers(resources["nbgrader"])
            done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
            return done
        found: Found = resources["autograder"]
        if found.ungradable:
            graded = Graded(Verdict(Status.UNGRADABLE, message=found.ungradable), None)
        else:
            try:
                graded = self._graded(assignment, found)
            except GraderError as error:
                if isinstance(self.parent.parent, OneStudent):
                    raise
                self._stop(resources["nbgrader"], error)
        # The verdict itself, too: a feedback page may be made when what was kept is gone, or by another version.
        nb.metadata["autograder"] = {
            "result": found.key,
            "origin": found.origin,
            "verdict": dataclasses.asdict(graded.verdict),
        }
        say_what_is_marked(nb, assignment)
        if graded.outputs is None:
            found.ungradable = graded.verdict.message
            fail_closed(nb, assignment, graded.verdict.message)
            return nb, resources
        show(nb, assignment, graded.outputs)
        add_marking_schemes(nb, assignment)
        return nb, resources

    def _must_be_anothers(self, about: Mapping[str, str]) -> None:
        """Stops where the exporter did not tell whose assignment it is, and it is ours: it would run without a sandbox."""
        try:
            if recognition.find(self.parent.parent.coursedir, about["assignment"]) is not None:
                raise SettingError(
                    f"c.Autograde.exporter_class is {type(self.parent).__name__}, and must be "
                    "autograder.nbgrader.autograde.SubmissionExporter or made from it."
                )
        except CourseError as error:
            self._stop(about, error)

    def _stop(self, about: Mapping[str, str], error: GraderError) -> NoReturn:
        """Ends nbgrader's own command, which would go on to the next student and fail there, too.

        The half-made notebook of record goes first, as nbgrader does where a student fails: it would count as marked.
        """
        coursedir = self.parent.parent.coursedir
        folder = coursedir.format_path(coursedir.autograded_directory, about["student"], about["assignment"])
        shutil.rmtree(folder, ignore_errors=True)
        self.log.error("%s; %s and all that follow were not marked. %s", error.happened, about["student"], error)
        raise SystemExit(2) from error

    def _graded(self, assignment: Assignment, found: Found) -> Graded:
        """The result, from those that are kept where it is there."""
        store = Results(found.root / self.results)
        packed = store.get(found.key)
        if packed is None:
            from autograder.grading.submission import grade  # torch takes a second, and what is kept needs none

            graded = outside_of_any_loop(grade, found.submission, assignment, found.settings)
            packed = results.pack(graded)
            store.put(found.key, packed)
        return results.unpack(packed)


def outside_of_any_loop(function: Callable[..., R], *args: Any) -> R:
    """`function(*args)`, in a thread of its own when this one runs an event loop, as formgrader's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def say_what_is_marked(nb: NotebookNode, assignment: Assignment) -> None:
    """Gives each graded cell its name for people, and each answer the cells that draw its figures, for formgrader."""
    called = headings.names(assignment)
    for cell in nb.cells:
        if (grade_id := notebooks.grade_id_of(cell)) and assignment.graded_cells[grade_id]["grade"]:
            own = set() if grade_id in assignment.test_cells else answered_in(assignment, grade_id)
            drawn_in = [c.id for c in nb.cells if c.cell_type == "code" and notebooks.grade_id_of(c) in own]
            cell.metadata["autograder"] = {"name": called[grade_id], "drawn_in": drawn_in}


def show(nb: NotebookNode, assignment: Assignment, outputs: Any) -> None:
    """Gives each code cell its outputs. Without its own, a test cell would show what the student made of it."""
    shown = []
    for cell in nb.cells:
        if cell.id in outputs and cell.cell_type == "code":
            cell.outputs = outputs[cell.id]
            shown.append(notebooks.grade_id_of(cell))
    for grade_id in assignment.test_cells:
        if shown.count(grade_id) != 1:
            raise CourseError(f"The notebook changed between marking and recording, at the cell `{grade_id}`.")


def fail_closed(nb: NotebookNode, assignment: Assignment, message: str) -> None:
    """An error output in each test cell: to nbgrader, a test cell without outputs has earned full marks."""
    for cell in nb.cells:
        if notebooks.grade_id_of(cell) in assignment.test_cells:
            cell.outputs = [new_output("error", ename="Ungradable", evalue=message, traceback=[message])]


def add_marking_schemes(nb: NotebookNode, assignment: Assignment) -> None:
    """Puts model answer and marking scheme, from the master, above each written answer.

    Where a course keeps its release alone there are none; a release has checksums.
    """
    solutions = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in assignment.master.cells
        if cell.cell_type == "markdown"
        and (data := cell.metadata.get("nbgrader", {})).get("solution")
        and "checksum" not in data
    }
    for cell in [cell for cell in nb.cells if notebooks.grade_id_of(cell) in solutions]:
        if cell.cell_type != "markdown":
            continue
        lines = solutions[cell.metadata.nbgrader.grade_id].split("\n")
        text = "\n".join(line for line in lines if "BEGIN SOLUTION" not in line and "END SOLUTION" not in line)
        scheme = new_markdown_cell(f"*For the person who marks; not shown to students.*\n\n{text.strip()}")
        scheme.metadata["autograder"] = {"marking_scheme": True}
        nb.cells.insert(nb.cells.index(cell), scheme)


class SaveGrades(SaveAutoGrades):
    """nbgrader's, but what could not be marked waits for a person instead of being scored.

    So does an empty box next to which the student wrote something: nbgrader would give it 0, and nobody would look.
    What a person has marked waits again only where it is not what they marked; nbgrader's would, whenever it is marked anew.
    """

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        self._nb, about = nb, resources["nbgrader"]
        self.notebook_id, self.assignment_id, self.student_id = about["notebook"], about["assignment"], about["student"]
        with Gradebook(about["db_url"]) as self.gradebook, one_transaction(self.gradebook):
            nb, resources = NbGraderPreprocessor.preprocess(self, nb, resources)
            submission = self.gradebook.find_submission(self.assignment_id, self.student_id)
            late.set_dates(self.parent.parent.coursedir, submission)
            if ours(resources):
                nb.metadata["autograder"]["late"] = lateness(submission, self.config)
        return nb, resources

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, cell_index: int) -> tuple[NotebookNode, Resources]:
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        data, found = cell.metadata.get("nbgrader", {}), resources.get("autograder")
        if not (data.get("grade") and isinstance(found, Found)):
            return cell, resources
        elsewhere = found.submission is not None and data["grade_id"] in found.submission.beside_boxes
        if found.ungradable or elsewhere:
            grade = self.gradebook.find_grade(data["grade_id"], self.notebook_id, self.assignment_id, self.student_id)
            grade.auto_score, grade.needs_manual_grade = None, True
        elif data["grade_id"] in found.settled:
            grade = self.gradebook.find_grade(data["grade_id"], self.notebook_id, self.assignment_id, self.student_id)
            now = handed_in_for(self._nb, found.assignment, data["grade_id"], grade.auto_score)
            grade.needs_manual_grade = bool(now != found.settled[data["grade_id"]])
        return cell, resources


@contextlib.contextmanager
def one_transaction(gradebook: Gradebook) -> Iterator[None]:
    """All of what nbgrader commits meanwhile, or nothing: it commits after each cell, and loads everything anew after that."""
    commit, gradebook.db.commit = gradebook.db.commit, gradebook.db.flush
    try:
        yield
        commit()
    finally:
        del gradebook.db.commit  # the session's own shows again


def lateness(submission: SubmittedAssignment, config: Config) -> str:
    """All that decides by how much a submission is late, and what that costs."""
    plugins = {name: config[name] for name in ("AssignLatePenalties", "LateSubmissionPlugin") if name in config}
    return f"{submission.timestamp} {submission.duedate} {plugins}"


class CheckMetadata(CheckCellMetadata):
    """Not needed for notebooks that have been repaired: their metadata is the master's."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        if ours(resources):
            return nb, resources
        done: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
        return done
