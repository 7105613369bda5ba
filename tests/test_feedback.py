"""What students and the list of grades are told: unmarked is never zero, each cause is told once, only what changed is made."""

import csv
import re
import shutil
import zipfile

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook

from autograder.course import feedback_pages
from autograder.course.fill import cell, fill
from autograder.nbgrader import marks, student_page
from autograder.nbgrader.marks import Mark, Marks
from autograder.nbgrader.submitted import look
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler
from tests import commands

pytestmark = pytest.mark.sandboxed

NAME = "vae_swiss_roll"
UNMARKED = "not yet marked (of 2)"
CEM = "1 submission could not be marked and needs a person: cem."
WAITING = f"3 answers wait for a person, of 1 student: ann. {CEM}"


@pytest.fixture(scope="module")
def course(new_course, assignment):
    """A marked class: ann made a mistake, bob's sampler fails, cem handed in half a file, dora the release."""
    course = new_course()
    release = nbformat.read(course.generate_assignment(assignment), as_version=4)
    half = fill(release, {**RIGHT, **WRITTEN, "vae_model": sampler("return mu + logvar.exp() * torch.randn_like(mu)")})
    del half.cells[half.cells.index(cell(half, "reparameterize"))]
    fails = fill(release, {"vae_model": sampler("return mu + std * torch.randn_like(mu)"), "vae_loss": RIGHT["vae_loss"]})
    class_ = {
        "ann": nbformat.writes(half).encode(),
        "bob": nbformat.writes(fails).encode(),
        "cem": nbformat.writes(half).encode()[:5000],
        "dora": nbformat.writes(release).encode(),
    }
    for student, raw in class_.items():
        hand_in(course, student, raw)
    grade(course, assignment)
    feedback_pages.write(course, assignment)
    return course


def hand_in(course, student, raw):
    path = course.root / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)


def grade(course, assignment, *students):
    for handed_in in look(course.coursedir, assignment):
        if not students or handed_in.student in students:
            course.autograde(assignment, handed_in)


def page(course, assignment, student):
    """The student's page, parsed."""
    return BeautifulSoup(course.feedback(assignment, student).read_text(), "html.parser")


def said(tag):
    return " ".join(tag.get_text().split())


def mark(course, student, points, comment=None):
    """What formgrader does when a person marks: student's grade_ids → points."""
    with Gradebook(course.coursedir.db_url, course.coursedir.course_id) as gradebook:
        for grade_id, number in points.items():
            grade = gradebook.find_grade(grade_id, NAME, NAME, student)
            grade.manual_score, grade.needs_manual_grade = number, False
            if comment:
                gradebook.find_comment(grade_id, NAME, NAME, student).manual_comment = comment
        gradebook.db.commit()


@pytest.fixture
def own_course(course, tmp_path, assignment):
    """A copy of the class, to be changed."""
    shutil.copytree(course.root, tmp_path / "course")
    return type(course)(tmp_path / "course")


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_page_begins_with_who_what_and_the_score_as_it_stands(course, assignment):
    found = page(course, assignment, "ann")
    assert said(found.select_one("header")).startswith(
        f"Feedback for ann {assignment.title} 7 of 15 points so far 7 of 8 for the tasks that are marked by machine "
        "7 points not yet marked Task 1 4 of 5 Task 2 3 of 3 Question 1 not yet marked (of 2)"
    )
    assert [said(heading) for heading in found.select("h1, h2")] == [
        assignment.title,
        "Tasks",
        "About your notebook",
        "Written answers",
        "Your notebook",
    ]
    assert said(found.select_one(".notes")) == "The cell reparameterize was missing and was put back."


def test_a_lost_criterion_stands_first_with_its_mistake_and_where_to_look(course, assignment):
    found = page(course, assignment, "ann")
    task = found.select_one("article")
    first = task.select_one("li")
    assert said(first).startswith("✗Lost: scaled by the standard deviation 0 of 1 Your noise is scaled by the variance")
    assert "Known mistake: variance as std" in said(first)
    assert [said(link) for link in first.select("a")] == ["Read again: The reparameterization trick", "Your code for Task 1"]
    section, code = (found.select_one(link["href"]) for link in first.select("a"))
    assert said(section) == "The reparameterization trick"
    assert "logvar.exp()" in code.find_parent("section").get_text()
    assert len(task.select(".earned li")) == 5


def test_a_cause_that_costs_six_criteria_is_told_once(course, assignment):
    task = page(course, assignment, "bob").select_one("article")
    assert len(task.select(".sentence")) == 1
    assert "std" in said(task.select_one(".sentence"))
    assert [said(one) for one in task.select(".lost li")] == [
        "centred on mu 0 of 0.5",
        "scaled by the standard deviation 0 of 1",
        "standard normal noise 0 of 1",
        "gradient to mu 0 of 0.5",
        "gradient to logvar 0 of 1",
    ]


def test_every_link_of_a_page_leads_somewhere_on_it(course, assignment):
    for student in ("ann", "bob", "cem", "dora"):
        found = page(course, assignment, student)
        ids = [tag["id"] for tag in found.select("[id]")]
        assert len(set(ids)) == len(ids)
        assert {link["href"].removeprefix("#") for link in found.select("a")} <= set(ids)
        assert {tag["aria-labelledby"] for tag in found.select("[aria-labelledby]")} <= set(ids)


def test_what_could_not_be_marked_is_told_first_and_shows_no_zero(course, assignment):
    text = said(page(course, assignment, "cem").body)
    assert "This submission could not be marked: what was handed in could not be read" in text
    assert "JSON" not in text  # for whoever marks
    assert "Not yet marked 15 points not yet marked Task 1 not yet marked (of 5)" in text
    assert not re.search(r"\b0(\.0)? of", text)


def test_what_the_student_wrote_is_open_and_the_lesson_is_folded(course, assignment):
    found = page(course, assignment, "ann")
    own = [said(section.h3) for section in found.select(".notebook > .own")]
    assert own == [
        "Your code: Task 1",
        "Your code: Task 2",
        "Your answer: Question 1: why the trick?",
        "Your answer: Question 2: how does the latent space come about?",
        "Your answer: Question 3: what does β trade off?",
    ]
    folded = [said(summary) for summary in found.select(".lesson > summary")]
    assert folded[:3] == ["A variational autoencoder on the Swiss roll", "1. Set-up", "2. The data: a Swiss roll"]
    assert "Your code: Question 3: what does β trade off? (left as it was handed out)" in folded
    assert not found.select("details[open]")


def test_a_persons_points_and_comment_are_shown_and_only_that_page_is_written(own_course, assignment):
    typed = "See **why**: mu<sigma and beta>0; Tensor<float>.\n\n<script>x</script><img src=x onerror=alert(1)>"
    mark(own_course, "ann", {"reflection_trick": 1.5}, typed)
    mark(own_course, "ann", {"reparameterize": 4.5})
    written = feedback_pages.write(own_course, assignment)
    assert list(written.pages) == ["ann"]
    assert written.unchanged == 3
    assert str(written.waiting) == f"2 answers wait for a person, of 1 student: ann. {CEM}"
    found = page(own_course, assignment, "ann")
    answer = found.select_one("#part-reflection_trick").find_parent("article")
    assert said(answer).startswith("Question 1: why the trick? 1.5 of 2 Comment See why: mu<sigma and beta>0; Tensor<float>.")
    assert not found.select("script, [onerror]")
    assert "9 of 15 points so far" in said(found.header)
    assert "A person set these points; by machine it was 4." in said(found.select_one("article"))
    assert feedback_pages.write(own_course, assignment).pages == {}


def test_nbgraders_own_command_renders_the_same_page_without_what_was_kept(own_course, assignment):
    before = {student: own_course.feedback(assignment, student).read_bytes() for student in ("ann", "bob", "cem", "dora")}
    shutil.rmtree(own_course.root / ".autograder")
    shutil.rmtree(own_course.root / "feedback")
    done = commands.run("nbgrader", "generate_feedback", NAME, cwd=own_course.root)
    assert done.returncode == 0, done.stderr
    assert f"{WAITING} The pages say so." in done.stdout + done.stderr
    assert {student: own_course.feedback(assignment, student).read_bytes() for student in before} == before


def test_a_mark_that_the_verdict_did_not_make_is_not_explained_by_it(own_course, assignment):
    with Gradebook(own_course.coursedir.db_url, own_course.coursedir.course_id) as gradebook:
        gradebook.find_grade("reparameterize", NAME, NAME, "ann").auto_score = 2
        gradebook.db.commit()
    feedback_pages.write(own_course, assignment)
    task = page(own_course, assignment, "ann").select_one("article")
    assert said(task).startswith("Task 1 reparameterize 2 of 5 Your marks for")
    assert not task.select(".criteria")


def test_several_processes_write_the_pages_that_one_does(own_course, assignment, monkeypatch):
    one = {student: own_course.feedback(assignment, student).read_bytes() for student in ("ann", "bob", "cem", "dora")}
    monkeypatch.setattr(feedback_pages, "FEW", 1)
    written = feedback_pages.write(own_course, assignment, again=True, workers=2)
    assert {student: path.read_bytes() for student, path in written.pages.items()} == one


def test_the_command_says_what_it_wrote_and_who_waits(own_course):
    (own_course.root / "feedback" / "bob" / NAME / f"{NAME}.html").unlink()
    for count, line in ((1, "1 page written, 3 were up to date"), (0, "No pages written, 4 were up to date")):
        done = commands.run("autograder", "feedback", cwd=own_course.root)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{WAITING} The pages say so.\n"), count
        assert line in done.stdout


# --- an answer that changed after a person marked it -------------------------------------------------------------------


def test_only_pages_that_changed_are_packed_again_and_no_zip_is_lost(own_course):
    def packed(*options):
        done = commands.run("autograder", "return", *options, cwd=own_course.root)
        assert done.returncode == 0, done.stderr
        zips = sorted((own_course.root / "returned" / NAME).rglob("*.zip"))
        names = {str(path.relative_to(own_course.root / "returned" / NAME)): zipfile.ZipFile(path).namelist() for path in zips}
        return done.stdout, {path: [name.partition("/")[0] for name in own] for path, own in names.items()}

    everybody = {"students.zip": ["ann", "bob", "cem", "dora"]}
    assert packed()[1] == everybody
    said, zips = packed("--changed")
    assert zips == everybody
    assert said.startswith("Every page is as it was when it was packed last: nothing was packed.\n")
    assert said.endswith("Their pages say so.\n")
    mark(own_course, "bob", {"reflection_trick": 1})
    first = everybody | {"changed-1/students.zip": ["bob"]}
    assert packed("--changed")[1] == first
    mark(own_course, "ann", {"reflection_trick": 2})
    said, zips = packed("--changed", "--marked")  # others of hers still wait
    assert zips == first
    assert said.startswith("Every other page is as it was when it was packed last: nothing was packed.\n")
    assert said.endswith("Left out.\n")
    assert packed("--changed")[1] == first | {"changed-2/students.zip": ["ann"]}
    assert packed("--changed")[0].startswith("Every page is as it was")


def test_where_something_waits_for_everybody_it_says_so(own_course):
    with Gradebook(own_course.coursedir.db_url, own_course.coursedir.course_id) as gradebook:
        for student in ("bob", "dora"):
            gradebook.remove_submission(NAME, student)
            for folder in ("submitted", "autograded", "feedback"):
                shutil.rmtree(own_course.root / folder / student)
    done = commands.run("autograder", "return", "--marked", cwd=own_course.root)
    said = f"Something waits for everybody who has a page: nothing was packed. {WAITING}"
    assert (done.returncode, done.stderr.strip()) == (1, said)
    assert not (own_course.root / "returned").exists()


def test_an_answer_that_changed_after_it_was_marked_is_said_to_have(own_course, assignment):
    """And one that did not change stays marked, whatever else is marked anew."""
    mark(own_course, "ann", {"reflection_trick": 2, "reflection_beta": 3})
    path = own_course.root / "submitted" / "ann" / NAME / f"{NAME}.ipynb"
    nb = nbformat.read(path, as_version=4)
    cell(nb, "reflection_trick").source += " One more sentence."
    hand_in(own_course, "ann", nbformat.writes(nb).encode())
    grade(own_course, assignment, "ann")
    own = own_course.marks(assignment)["ann"]
    assert {id: (m.points, m.outdated) for id, m in own.cells.items() if id.startswith("reflection")} == {
        "reflection_trick": (2, True),
        "reflection_beta": (3, False),
        "reflection_dynamics": (None, False),
    }
    assert "(1 changed since a person marked it)" in str(own_course.waiting(assignment))
    feedback_pages.write(own_course, assignment)
    answer = page(own_course, assignment, "ann").select_one("#part-reflection_trick").find_parent("article")
    assert "2 of 2 These points are for an earlier version. Your answer has changed" in said(answer)
    row = exported(own_course)["ann"]
    assert (row["reflection_trick"], row["changed_since_marked"], row["score"]) == ("2.0", "reflection_trick", "")
    assert row["not_yet_marked"] == "reflection_dynamics"


def exported(course):
    """student → the line of the list of grades."""
    to = course.root / "grades.csv"
    course.export(to)
    with to.open() as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def test_the_sums_in_the_list_of_grades_are_those_of_its_columns(course, assignment):
    for student, row in exported(course).items():
        cells = [row[grade_id] for grade_id in assignment.graded_cells if grade_id in row]
        assert len(cells) == 5
        assert row["score_so_far"] == (str(float(sum(float(one) for one in cells if one))) if any(cells) else ""), student
        for task in assignment.test_cells:
            criteria = [float(value) for column, value in row.items() if column.startswith(f"{task}.") and value]
            assert not row[task] or sum(criteria) == float(row[task])
    assert not any(exported(course)["cem"][column] for column in (*assignment.test_cells, "score", "raw_score", "score_so_far"))


# --- parts ------------------------------------------------------------------------------------------------------------


def test_marks_tell_what_is_there_from_what_is_not():
    marked = Marks("", None, 1.0, {"a": Mark(5, 4), "b": Mark(2, None, None, waits=True), "c": Mark(2, None, 2, waits=True)})
    assert (marked.so_far, marked.score, marked.of, marked.waiting) == (5.0, None, 9, ["b", "c"])
    assert Marks("", None, 0, {"a": Mark(5, None, waits=True)}).so_far is None
    assert Marks("", None, 3, {"a": Mark(5, 1, extra=0.5)}).score == 0.0
    assert not marks.Waiting.of({"x": Marks("", None, 0, {"a": Mark(5, 5)})})


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's own
def test_two_notebooks_of_an_assignment_are_told_apart(tmp_path):
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        gradebook.add_assignment("hw")
        for notebook in ("one", "two"):
            gradebook.add_notebook(notebook, "hw")
            gradebook.add_grade_cell("q", notebook, "hw", max_score=2, cell_type="code")
        gradebook.add_student("ann", first_name="Ann")
        gradebook.add_submission("hw", "ann")
        gradebook.find_grade("q", "one", "hw", "ann").auto_score = 1
        gradebook.find_grade("q", "one", "hw", "ann").needs_manual_grade = False
        gradebook.db.commit()
        own = marks.of_assignment(gradebook, "hw")["ann"]
        assert (list(own.cells), own.waiting, own.so_far, own.name) == (["one/q", "two/q"], ["two/q"], 1.0, "Ann")
        assert list(marks.of_assignment(gradebook, "hw", ["ann"], "two")["ann"].cells) == ["q"]
        assert marks.of_assignment(gradebook, "hw", ["bob"]) == {}


def test_a_tag_in_an_attribute_is_no_tag():
    html = '<h2>a<img alt="<h1><table></math>"></h2><table><tbody></tbody></table><math display="block"></math><math></math>'
    found = student_page.below(html, "cell-1")
    assert '<h4 class="level-2" id="cell-1-0">a<img alt="<h1><table></math>"></h4>' in found
    assert found.count("<div") == found.count("</div>") == 2
