"""What a student's feedback page shows, as data for its template, `templates/feedback/student_page.html.j2`.

It is made of the notebook of record, which carries the verdict, of the gradebook's marks, and of the master, whose own text is
folded.
"""

import dataclasses
import datetime
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from typing import Any

from mistune.util import striptags
from nbconvert.filters.highlight import Highlight2HTML
from nbformat import NotebookNode

from autograder.assignment import Assignment
from autograder.grading.answers import plain
from autograder.grading.hidden import visible
from autograder.grading.notebook import grade_id_of
from autograder.grading.verdict import CheckResult, Outcome, Status, known_as
from autograder.nbgrader import deadlines, headings, pages
from autograder.nbgrader.marks import NO_RESPONSE, Mark, Marks, explained, verdict_of

CODE = re.compile(r"`([^`\n]+)`")
SEE = re.compile(r" See “([^”]+)” in the notebook\.$")


@dataclasses.dataclass
class Cause:
    """What cost one criterion or several.

    Attributes:
        check: the criterion that tells it.
        sentence: what it says.
        section: heading to read again, or "".
        anchor: of that heading on the page; "" where the student took it out.
        others: the criteria that were lost for the same reason.
    """

    check: CheckResult
    sentence: str
    section: str
    anchor: str
    others: list[CheckResult] = dataclasses.field(default_factory=list)

    @property
    def known_mistake(self) -> str:
        """The misconception's name, for people; "" where none is known."""
        return "" if self.check.unanswered else known_as(self.check.misconception)


@dataclasses.dataclass
class Part:
    """One graded cell: a task that the machine marks, or an answer that a person does.

    Attributes:
        grade_id, name: of the cell, for machines and for people.
        mark: the gradebook's.
        anchor: of the student's own cell on the page, or "".
        causes: what was lost and why; empty for an answer, and where the verdict says nothing of this cell.
        earned: the criteria that are met.
        comment: a person's, "" for none.
        unanswered: whether the student left it as it was handed out.
        said: what the notebook shows in place of criteria, where there is no verdict.
    """

    grade_id: str
    name: str
    mark: Mark
    anchor: str
    causes: list[Cause] = dataclasses.field(default_factory=list)
    earned: list[CheckResult] = dataclasses.field(default_factory=list)
    comment: str = ""
    unanswered: bool = False
    said: str = ""


@dataclasses.dataclass
class Page:
    """A student's page.

    Attributes:
        title: the assignment's.
        student: who, as the course knows them.
        marks: the gradebook's.
        tasks, answers: the parts that machine and person mark, in the notebook's order.
        notes: what was repaired, and other sentences about the notebook as a whole.
        ungradable: why it could not be marked, or "".
    """

    title: str
    student: str
    marks: Marks
    tasks: list[Part]
    answers: list[Part]
    notes: tuple[str, ...]
    ungradable: str

    @property
    def late(self) -> str:
        """How long after the deadline it was handed in, in words, as far as that is known; "" for in time."""
        if self.marks.by_word:
            return "after the deadline"
        return f"{deadlines.in_words(self.marks.late)} after the deadline" if self.marks.late else ""

    @property
    def handed_in(self) -> str:
        """When, and how late that was, in words, as far as either is known."""
        time = self.when(self.marks.timestamp) if self.marks.timestamp and not self.marks.by_word else ""
        return ", ".join(filter(None, [time, self.late]))

    @property
    def late_for(self) -> str:
        """What a penalty is for, in words."""
        if not (self.late and self.marks.due):
            return "handing in late"
        rest = "; nothing says by how much, so it is the least that being late costs" if self.marks.by_word else ""
        return f"handing in {self.late}, {self.when(self.marks.due)}{rest}"

    def when(self, moment: datetime.datetime) -> str:
        """A time for people, in the course's zone."""
        return deadlines.in_zone(moment, self.marks.zone)

    def shown(self, parts: Iterable[Part]) -> list[Part]:
        """Those of which there is more to say than that they are not yet marked."""
        return [part for part in parts if not self.ungradable or part.mark.points is not None or part.comment]

    @property
    def by_machine(self) -> tuple[float | None, float]:
        """(points of the tasks, or None where one of them is not marked; points that they can have)"""
        points = [part.mark.points for part in self.tasks]
        got = None if None in points else sum(point for point in points if point is not None)
        return got, sum(part.mark.of for part in self.tasks)

    @property
    def unmarked(self) -> float:
        """Points that nobody has given or refused yet."""
        return sum(part.mark.of for part in (*self.tasks, *self.answers) if part.mark.points is None)


def page(nb: NotebookNode, assignment: Assignment, marks: Marks, student: str) -> Page:
    """The page of a marked notebook, whose cells get what the template needs in `metadata.page`.

    Args:
        nb: as students may see it, without hidden regions and marking schemes.
        student: nbgrader's id.
    """
    sections = lay_out(nb, assignment)
    comments = {grade_id: said for grade_id, said in marks.comments.items() if said != NO_RESPONSE}
    anchors = {grade_id_of(cell): cell.metadata.page.anchor for cell in nb.cells if grade_id_of(cell)}
    verdict, called = verdict_of(nb), headings.names(assignment)
    parts = []
    for grade_id in [id for id in assignment.graded_cells if id in marks.cells]:
        by_machine = grade_id in assignment.test_cells
        own = (headings.code_of(assignment, grade_id) or "") if by_machine else grade_id
        part = Part(grade_id, called[grade_id], marks.cells[grade_id], anchors.get(own, ""))
        part.comment, part.unanswered = comments.get(own, ""), marks.comments.get(own) == NO_RESPONSE
        if checks := explained(verdict, grade_id, part.mark):
            part.causes = causes(checks, sections)
            part.earned = [check for check in checks if check.outcome == Outcome.PASSED]
        elif by_machine:
            part.said = said(nb, grade_id)
        parts.append(part)
    for cell in nb.cells:
        cell.metadata.page.comment = comments.get(grade_id_of(cell), "")
        cell.metadata.page.untouched = marks.comments.get(grade_id_of(cell)) == NO_RESPONSE
        if grade_id_of(cell) in assignment.test_cells:  # what the checks said stands above; what they printed before is kept
            cell.outputs = cell.outputs[:-2] if verdict and not verdict.message else []
    return Page(
        assignment.title,
        f"{marks.name} ({student})" if marks.name else student,
        marks,
        [part for part in parts if part.grade_id in assignment.test_cells],
        [part for part in parts if part.grade_id not in assignment.test_cells],
        verdict.notes if verdict else (),
        verdict.message if verdict and verdict.status == Status.UNGRADABLE else "",
    )


def causes(checks: Sequence[CheckResult], sections: dict[str, str]) -> list[Cause]:
    """What cost the criteria that are not met, each cause once."""
    found: dict[str, Cause] = {}
    for check in checks:
        if check.outcome == Outcome.PASSED:
            continue
        if check.cause in found:
            found[check.cause].others.append(check)
            continue
        match = SEE.search(check.message)
        section = match[1] if match else ""
        anchor = next((anchor for title, anchor in sections.items() if section and title.startswith(section)), "")
        found[check.id] = Cause(check, check.message[: match.start()] if match else check.message, section, anchor)
    return list(found.values())


def in_words(text: str) -> str:
    """A sentence as HTML, with code where it has backticks."""
    return CODE.sub(r"<code>\1</code>", escape(text))


def said(nb: NotebookNode, grade_id: str) -> str:
    """The text that a test cell shows."""
    shown: Iterable[Any] = next((cell.get("outputs", ()) for cell in nb.cells if grade_id_of(cell) == grade_id), ())
    return "".join(output.text for output in shown if output.output_type == "stream")


def lay_out(nb: NotebookNode, assignment: Assignment) -> dict[str, str]:
    """Says of each cell whose it is and how it is shown. → heading of the lesson's → its anchor on the page

    `metadata.page`: `anchor`; `label`, what the student's own is; of the lesson's cells, which are folded together from one
    heading to the next, `opens`, the heading of the first, and `closes`, for the last.
    """
    lesson = {
        (cell.cell_type, plain(visible(cell.source)))
        for cell in assignment.master.cells
        if not cell.metadata.get("nbgrader", {}).get("solution")
    }
    called = headings.names(assignment)
    sections: dict[str, str] = {}
    before: NotebookNode | None = None
    for number, cell in enumerate(nb.cells):
        grade_id, anchor = grade_id_of(cell), f"cell-{number}"
        about = cell.metadata["page"] = NotebookNode(anchor=anchor, label="", opens="", closes=False)
        if (cell.cell_type, plain(cell.source)) not in lesson or (grade_id and grade_id not in assignment.graded_cells):
            word = "answer" if cell.cell_type == "markdown" else "code"
            about.label = f"Your {word}: {called[grade_id]}" if grade_id in called else "Your own cell"
            close(before)
            before = None
            continue
        found = titles(cell) if cell.cell_type == "markdown" else []
        for at, title in enumerate(found):
            sections.setdefault(title, f"{anchor}-{at}")
        if found or before is None:
            close(before)
            about.opens = found[0] if found else "The lesson goes on"
        before = cell
    close(before)
    return sections


def close(cell: NotebookNode | None) -> None:
    if cell is not None:
        cell.metadata.page.closes = True


def warm(assignment: Assignment) -> None:
    """Renders what all pages have in common."""
    for cell in assignment.master.cells:
        if cell.cell_type == "code":
            highlighted(visible(cell.source))
        elif not cell.metadata.get("nbgrader", {}).get("solution"):
            pages.markdown(cell.source)


@functools.lru_cache(512)
def highlighted(source: str) -> str:
    """Python as HTML, with Pygments' classes; what many pages have in common is made once."""
    html: str = Highlight2HTML(pygments_lexer="ipython3")(source)
    return html


HEADING = re.compile(r"<h([1-6])>(.*?)</h\1>", re.DOTALL)
# Whole tags, as nh3 writes them: what stands in an attribute is none.
TAG = re.compile(r'<(/?)([a-z0-9]+)((?: [^\s="]+="[^"]*")*)>')


def titles(cell: NotebookNode) -> list[str]:
    """The headings of a Markdown cell, as a reader sees them."""
    return [unescape(striptags(match[2])) for match in HEADING.finditer(pages.markdown(cell.source))]


@functools.lru_cache(512)
def below(html: str, anchor: str = "") -> str:
    """The cleaned HTML of a cell, fit for the page: its headings below the page's own, what may be wide in boxes that scroll.

    Args:
        anchor: of the cell; with it, each heading can be linked.
    """
    count = itertools.count()
    wide: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        closes, name, attributes = match.groups()
        if re.fullmatch("h[1-6]", name):
            own = f' id="{anchor}-{next(count)}"' if anchor and not closes else ""
            return "</h4>" if closes else f'<h4 class="level-{name[1]}"{own}>'
        if name not in ("math", "table"):
            return match[0]
        if closes:
            return f"{match[0]}</div>" if wide and wide.pop() else match[0]
        wide.append(name == "table" or attributes == ' display="block"')
        label = "Table" if name == "table" else "Formula"
        return f'<div class="wide" role="group" aria-label="{label}" tabindex="0">{match[0]}' if wide[-1] else match[0]

    return TAG.sub(tag, html)
