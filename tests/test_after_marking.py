"""After a class is marked: the class report, and marking anew with the reasons for every mark that moves."""

import ast
import csv
import html
import io
import json
import re
import shutil

import nbformat
import pytest
import sqlalchemy
from nbgrader.api import Gradebook
from playwright.sync_api import sync_playwright

from autograder.course import analysis, moves, report, selftest, similar
from autograder.course.batch import grade_class
from autograder.course.fill import fill
from autograder.course.folder import Course
from autograder.criteria import Criterion
from autograder.grading import results
from autograder.grading.verdict import CheckResult, Outcome, Status, Verdict
from autograder.nbgrader.marks import Waiting
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, kl, sample
from tests import commands
from tests.conftest import ROOT
from tests.test_cli import run
from tools.lab import CHROMIUM, QUIET

pytestmark = pytest.mark.sandboxed

NAME = "vae_swiss_roll"
SUMMED = kl("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())")
ACCEPTED = 'c.GradeOutside.policies = {"kl_summed_over_batch": True}\n'
WORTH = 'c.GradeOutside.points = {"reparameterize.scale": 1.5, "reparameterize.noise": 0.5}\n'
LATE = 'c.LateSubmissionPlugin.penalty_method = "zero"\n'
SCRIPT = "</code><script>document.title='PWNED'</script>"
HANDED_IN = {
    "ada": WRITTEN,
    "chloe": sample("return mu + logvar.exp() * torch.randn_like(mu)"),
    "finn": {**SUMMED, "reflection_trick": "A thought."},
    "mallory": sample(f"return mu + torch.randn_like(mu) * len({SCRIPT!r}[:1])"),
    "nils": sample("std = torch.exp(logvar)\neps = torch.randn_like(std)\nreturn mu + eps * std"),
    "olga": sample("sigma = torch.exp(logvar)  # mine\nnoise = torch.randn_like(sigma)\nreturn mu + noise * sigma"),
    "sven": SUMMED,
}


@pytest.fixture(scope="module")
def marked(tmp_path_factory, release, assignment):
    """The folder of a class as it stands one evening: marked by machine, in part by a person, one submission late."""
    root = tmp_path_factory.mktemp("evening")
    shutil.copytree(ROOT / "source", root / "source")
    (root / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text() + LATE)
    raws = {name: nbformat.writes(fill(release, {**RIGHT, **answers})).encode() for name, answers in HANDED_IN.items()}
    for student, raw in {**raws, "gina": nbformat.writes(release).encode(), "jack": raws["ada"][:5000]}.items():
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
    (root / "submitted" / "sven" / NAME / "timestamp.txt").write_text("2026-02-02 10:00:00 UTC")
    Course(root).generate_assignment(assignment)
    with Gradebook(url(root)) as gradebook:
        gradebook.update_or_create_assignment(NAME, duedate="2026-02-01 10:00:00 UTC")
    done = run("grade", cwd=root)
    assert done.returncode == 1, done.stderr  # one could not be marked
    with Gradebook(url(root)) as gradebook:
        for cell, points in (("reflection_trick", 2), ("reflection_dynamics", 0.5)):
            grade = gradebook.find_grade(cell, NAME, NAME, "ada")
            grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.find_grade("reparameterize", NAME, NAME, "chloe").manual_score = 4.5
        gradebook.find_comment("reflection_trick", NAME, NAME, "finn").manual_comment = "Say more."
        gradebook.db.commit()
    # What this policy makes of the class is kept, so that it is marked once for all tests.
    before = (root / "nbgrader_config.py").read_text()
    set_(root, ACCEPTED)
    done = run("regrade", cwd=root)
    assert done.returncode == 3, done.stderr
    (root / "nbgrader_config.py").write_text(before)
    return root


@pytest.fixture
def course(marked, tmp_path):
    """A copy of that class, to be changed."""
    return shutil.copytree(marked, tmp_path / "course")


def url(root):
    return f"sqlite:///{root}/gradebook.db"


def by_hand(root):
    """All that a person or the deadline decided."""
    with Gradebook(url(root)) as gradebook:
        return {
            submission.student_id: (
                submission.late_submission_penalty is not None,
                [
                    (grade.cell.name, grade.manual_score, grade.extra_credit)
                    for notebook in submission.notebooks
                    for grade in sorted(notebook.grades, key=lambda grade: grade.cell.name)
                ],
                sorted(c.manual_comment for notebook in submission.notebooks for c in notebook.comments if c.manual_comment),
            )
            for submission in gradebook.assignment_submissions(NAME)
        }


def by_machine(root, student):
    with Gradebook(url(root)) as gradebook:
        found = gradebook.find_submission_notebook(NAME, NAME, student)
        return {
            grade.cell.name: grade.auto_score
            for grade in found.grades
            if grade.cell.name in ("reparameterize", "kl_divergence")
        }


def everything(root):
    """What must stay as it is where nothing is recorded: gradebook and marked notebooks."""
    with Gradebook(url(root)) as gradebook:
        tables = [list(gradebook.db.execute(sqlalchemy.text(f"select * from {t}"))) for t in ("grade", "submitted_assignment")]
    return tables, {path: path.read_bytes() for path in (root / "autograded").rglob("*.ipynb")}


def set_(root, *lines):
    with (root / "nbgrader_config.py").open("a") as file:
        file.writelines(lines)


# --- regrade ----------------------------------------------------------------------------------------------------------


def test_nobody_moves_where_nothing_changed(course):
    done = run("regrade", cwd=course)
    assert (done.returncode, done.stdout) == (0, "Nobody moves, of 9 who are recorded.\n"), done.stderr
    done = run("regrade", "--apply", "--reason", "to be sure", cwd=course)
    assert done.returncode == 0
    assert "there was nothing to do" in done.stdout
    assert not (course / "regrades").exists()


def test_who_moves_is_told_by_cause_with_both_sentences_and_nothing_is_recorded(course):
    before = everything(course)
    set_(course, ACCEPTED, WORTH)
    done = run("regrade", cwd=course)
    assert done.returncode == 3, done.stderr
    noise, policy, who = sorted(re.split(r"^(?=Because|Who)", done.stdout, flags=re.MULTILINE)[1:])
    assert noise.startswith("Because of the points of reparameterize.noise, not set → 0.5:\n")
    assert "reparameterize.noise (standard normal noise), 1 → 0.5: chloe, mallory, nils, olga\n" in noise
    assert policy.startswith("Because of the policy kl_summed_over_batch, not accepted → accepted:\n")
    assert "kl_divergence.value (the whole loss), 0 → 1: finn, sven\n    before: Your KL is summed over the batch" in policy
    for line in ("7 → 8 of 8: finn, sven", "7 → 6.5 of 8: nils, olga", "7.5 → 7.5 of 8: chloe*"):
        assert f"  {line}\n" in who
    assert "* A person has set points of theirs" in who
    assert "6 students move, of 9 who are recorded; the page of 1 other changes, and the points stay." in who
    assert everything(course) == before


def test_what_is_applied_leaves_what_a_person_decided_and_keeps_a_record(course):
    before = by_hand(course)
    assert before["sven"][0]  # late
    set_(course, ACCEPTED)
    done = run("regrade", "--apply", "--reason", "The sum is accepted this year.", cwd=course)
    assert done.returncode == 3, done.stderr
    assert by_hand(course) == before
    assert by_machine(course, "sven") == {"reparameterize": 5, "kl_divergence": 3}
    (path,) = (course / "regrades" / NAME).iterdir()
    assert path.name in done.stdout.replace("\n", "")
    record = json.loads(path.read_text())
    assert record["reason"] == "The sum is accepted this year."
    assert record["finished"] >= record["date"]
    assert record["settings"]["policies"] == {"kl_summed_over_batch": True}
    assert set(record["marked_with"]["libraries"]) >= {"torch", "numpy"}
    assert [(move["student"], move["before"], move["after"]) for move in record["moves"]] == [("finn", 7, 8), ("sven", 7, 8)]
    assert record["unrecorded"] == {}
    assert run("regrade", cwd=course).returncode == 0


def test_only_the_pages_that_change_are_written_after_marks_moved(course):
    assert "9 pages written" in run("feedback", cwd=course).stdout
    set_(course, ACCEPTED)
    assert run("regrade", "--apply", "--reason", "Accepted.", cwd=course).returncode == 3
    assert "2 pages written, 7 were up to date" in run("feedback", cwd=course).stdout  # of finn and sven


def test_marking_the_class_prints_the_same_list_before_it_records(course):
    set_(course, ACCEPTED)
    told = run("regrade", cwd=course).stdout
    done = run("grade", "--json", cwd=course)
    assert done.returncode == 1, done.stderr  # one could not be marked
    listed = told[: told.index("2 students move, of")]
    assert "  7 → 8 of 8: finn, sven\n" in listed
    assert listed in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 9
    assert {row["student"] for row in rows[-2:]} == {"finn", "sven"}  # recorded after they were told
    assert by_machine(course, "finn")["kl_divergence"] == 3
    assert "Because of" not in run("grade", cwd=course).stderr


class Idle:
    """An executor for a class of which everything is marked."""

    slots = 1


def test_who_has_no_notebook_any_more_is_told_one_sentence_and_how_many_points(course):
    """The criteria that were lost before have their own sentences."""
    for student in ("ada", "finn"):
        folder = course / f"submitted/{student}/vae_swiss_roll"
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "essay.pdf").write_bytes(b"%PDF-1.7")
    done = run("grade", cwd=course)
    assert done.stderr.count("    now: There is no notebook, but essay.pdf: ask the student for vae_swiss_roll.ipynb.") == 1
    assert "reparameterize.tensor (a proper tensor), 1 → —: ada, finn\n" in done.stderr
    assert "8 → — of 8: ada\n" in done.stderr


def test_the_list_comes_before_the_first_mark_moves(course, assignment):
    set_(course, ACCEPTED)
    told = []

    def tell(found):
        told.append(([move.student for move in found], [by_machine(course, move.student)["kl_divergence"] for move in found]))

    list(grade_class(Course(course), assignment, Idle(), lambda *_: None, tell=tell))
    assert told == [(["finn", "sven"], [2, 2])]
    assert by_machine(course, "sven")["kl_divergence"] == 3


def rewritten(course, student, change):
    """Changes what is recorded for a student."""
    path = course / "autograded" / student / NAME / f"{NAME}.ipynb"
    nb = nbformat.read(path, 4)
    change(nb.metadata.autograder)
    nbformat.write(nb, path)


def test_what_is_marked_again_is_compared_with_what_it_was(course):
    def once_lost(found):
        found["verdict"]["checks"][0] |= {"outcome": "failed", "points": 0.0, "message": "An old sentence."}

    rewritten(course, "nils", once_lost)
    done = run("grade", "--again", cwd=course)
    assert "Because of nothing that determines a mark: the same was marked a second time:\n" in done.stderr
    assert "  6 → 7 of 8: nils\n" in done.stderr
    assert "before: An old sentence." in done.stderr


def test_other_libraries_and_other_checks_are_reasons_by_name(course):
    def older(found):
        found["origin"]["libraries"]["torch"] = "1.0"
        found["origin"]["checks"] = "others"
        found["result"] = results.key(found["origin"])
        found["verdict"]["checks"][0] |= {"outcome": "failed", "points": 0.0, "message": "An old sentence."}

    rewritten(course, "nils", older)
    done = run("regrade", cwd=course)
    assert done.returncode == 3, done.stderr
    assert re.match(rf"Because of the hidden checks of {NAME}; or torch 1\.0 → \S+:\n", done.stdout)
    assert "  6 → 7 of 8: nils\n1 student moves, of 9" in done.stdout


def test_where_the_old_verdicts_are_gone_points_are_compared_with_the_gradebooks(course):
    set_(course, ACCEPTED)
    for student in ("finn", "sven"):
        rewritten(course, student, lambda found: found.pop("verdict"))
    done = run("regrade", "--json", cwd=course)
    assert done.returncode == 3, done.stderr
    finn, sven = (json.loads(line) for line in done.stdout.splitlines())
    assert (finn["student"], finn["before"], finn["after"], finn["moves"]) == ("finn", 7, 8, True)
    assert finn["changes"][0]["causes"] == [moves.NOT_KEPT]
    assert [(c["id"], c["before"], c["after"]) for c in sven["changes"]] == [("kl_divergence", 2, 3)]


def test_those_who_are_not_recorded_and_those_whose_work_is_gone_are_named(course, marked):
    shutil.copytree(marked / "submitted" / "ada", course / "submitted" / "zoe")
    shutil.rmtree(course / "submitted" / "nils")
    done = run("regrade", cwd=course)
    assert done.returncode == 0
    assert "Not recorded yet, and left to `autograder grade`: zoe." in done.stdout
    assert "Their submission is not there any more, so their marks stay: nils." in done.stdout


def test_a_reason_is_asked_for_what_is_recorded_and_for_nothing_else(course):
    done = run("regrade", "--apply", cwd=course)
    assert done.returncode == 2
    assert "--apply needs a reason" in done.stderr
    assert run("regrade", "--reason", "x", cwd=course).returncode == 2


ORIGIN = {
    "submission": "a", "files": {}, "checks": "b", "package": "c", "master": "d",
    "python": "3.11.1", "libraries": {"torch": "2.6"},
    "settings": {"policies": {}, "points": {}, "limits": {"call_seconds": 5}, "packages": [], "execute": "needed"},
}  # fmt: skip


def changed(**parts):
    return {**ORIGIN, **parts}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, ["a hand-in in which no notebook can be read any more"]),
        (changed(submission="z"), ["another file that was handed in"]),
        (changed(files={"data.csv": "1"}), ["other files beside the notebook"]),
        (changed(package="z", master="z"), ["the autograder itself", "the master notebook"]),
        (changed(python="3.12.0"), ["Python 3.11.1 → 3.12.0"]),
        (changed(settings={**ORIGIN["settings"], "limits": {"call_seconds": 9}}), ["the limit call_seconds, 5 → 9"]),
        (changed(settings={**ORIGIN["settings"], "packages": ["scipy"]}), ["the setting packages, none → scipy"]),
    ],
)
def test_each_part_that_determines_a_mark_is_a_cause_in_words(now, words, assignment):
    assert [cause.words for cause in moves.causes(ORIGIN, now, assignment)] == words


def test_a_kept_verdict_has_the_name_of_all_that_determined_it(marked):
    place = Course(marked)
    for path in (marked / "autograded").glob(f"*/{NAME}/{NAME}.ipynb"):
        about = nbformat.read(path, 4).metadata.autograder
        assert about.result == results.key(about.origin)
        assert about.result in place.results


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def class_(marked, assignment):
    return analysis.gather(Course(marked), assignment, formgrader="http://localhost:8888/formgrader")


@pytest.fixture(scope="module")
def page(class_):
    return report.page(class_, similar=True)


def facts(page):
    """The text of a page, as it is read."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_what_nobody_marked_is_counted_as_waiting_and_never_as_zero(class_, page):
    rows = {row.title: row for row in analysis.written(class_)}
    trick = rows["Question 1: why the trick?"]
    assert (trick.marked, trick.waiting, trick.mean) == (
        1,
        1,
        2.0,
    )  # ada; finn; jack waits as a whole; empty otherwise
    machine = analysis.by_machine(class_)
    assert (len(machine.points), machine.waiting) == (8, 1)
    assert machine.mean == pytest.approx((8 + 7.5 + 7 + 6 + 7 + 7 + 7 + 0) / 8)  # chloe has what a person gave her
    whole = analysis.whole(class_)
    assert (len(whole.points), whole.waiting) == (6, 3)  # ada, finn and jack wait
    assert "For 3 students something still waits; they are not counted as zero" in facts(page)
    table = list(csv.DictReader(io.StringIO(report.table(class_))))
    waiting = [row for row in table if row["state"] == "not yet marked"]
    assert {row["points"] for row in waiting} == {""}
    assert {row["student"] for row in waiting} == {"ada", "finn", "jack"}
    assert sum(float(row["points"]) for row in table if row["student"] == "ada" and row["points"]) == 10.5


def test_mistakes_are_ranked_with_a_typical_line_and_what_to_say(class_, assignment):
    variance, summed, *others = analysis.mistakes(class_)
    assert (variance.name, len(variance.people), variance.cost) == ("variance_as_std", 3, 1)
    assert (variance.line, variance.with_line, variance.right_with_line) == ("std = torch.exp(logvar)", 2, 0)
    assert [text.strip() for text, told in variance.function if told] == ["std = torch.exp(logvar)"]
    assert [text.strip() for text, told in variance.function if not told] == [
        "def reparameterize(self, mu, logvar):",
        "eps = torch.randn_like(std)",
        "return mu + eps * std",
    ]
    assert variance.remarks == [assignment.remarks["variance_as_std"]]
    assert (summed.name, summed.with_line) == ("summed_over_batch", 2)
    assert "torch.sum" in summed.line
    assert [(row.name, len(row.people)) for row in others] == [("no_scale", 1)]


def test_criteria_have_their_counts_and_separate_strong_from_weak(class_, page):
    rows = {row.id: row for row in analysis.criteria(class_)}
    scale = rows["reparameterize.scale"]
    assert (scale.earned, scale.lost, scale.not_run, scale.unanswered) == (3, 4, 0, 1)
    assert scale.share == pytest.approx(3 / 8)
    assert rows["reparameterize.centre"].separates is None  # everybody who answered has it
    assert "With fewer than 50 students it is mostly chance" in facts(page)


def person(*points, names=("a.first", "a.second", "a.third", "b.fourth")):
    """Somebody with these points, of one each."""
    made = [
        CheckResult(Criterion(name, name[0], 1.0, name, "", ""), Outcome.PASSED if got else Outcome.FAILED, float(got))
        for name, got in zip(names, points, strict=True)
    ]
    return analysis.Person("x", "", {}, Verdict(Status.GRADED, tuple(made)), "", {})


def test_what_the_strong_earn_separates_and_what_they_lose_does_the_reverse(assignment):
    people = [person(1, 1, 1, 0), person(1, 1, 1, 0), person(1, 0, 1, 1), person(0, 0, 0, 1), person(0, 0, 0, 1)]
    first, *_, fourth = analysis.criteria(analysis.Class(assignment, "", people, 0, 0, False, Waiting.of({})))
    assert first.separates > 0.5
    assert fourth.separates < -0.5


def test_how_the_run_went_names_what_is_unreadable_with_a_way_there(class_, page):
    (jack,) = analysis.run(class_).ungradable
    assert jack.name == "jack"
    assert "is not JSON" in jack.problem
    assert re.search(r'<a href="http://localhost:8888/formgrader/submissions/\w{32}/">jack</a>', page)
    assert jack.problem in html.unescape(facts(page))


def test_a_report_claims_nothing_where_files_were_put_away(course, assignment):
    assert "9 students all who handed in" in facts(report.page(analysis.gather(Course(course), assignment)))
    shutil.rmtree(course / "submitted" / "nils")
    for student in HANDED_IN:
        rewritten(course, student, lambda found: found.pop("verdict"))
    rewritten(course, "gina", lambda found: found.pop("verdict"))
    page = facts(report.page(analysis.gather(Course(course), assignment)))
    assert "9 students what 1 of them handed in is not there any more" in page
    assert "How the run went Something else marked 8 students" in page
    shutil.rmtree(course / "submitted")
    assert "what 9 of them" in facts(report.page(analysis.gather(Course(course), assignment)))


def test_similar_answers_are_shown_when_asked_for_with_how_often_right_ones_agree(class_, page):
    assert "Similar answers" not in facts(report.page(class_))
    groups = {tuple(sorted(one.name for one in group.people)): group for group in analysis.similar_answers(class_)}
    assert set(groups) == {("nils", "olga"), ("finn", "sven")}
    assert groups["nils", "olga"].others == 1  # chloe made the same mistake in other words
    assert groups["nils", "olga"].base == 1  # ada, finn and sven
    assert "100 % of the pairs of right answers agree as much" in facts(page)


def test_an_anonymous_report_names_nobody_and_leads_nowhere(marked, assignment):
    class_ = analysis.gather(Course(marked), assignment, anonymous=True, formgrader="http://localhost:8888/formgrader")
    page, table = report.page(class_, similar=True), report.table(class_)
    for name in (*HANDED_IN, "gina", "jack"):
        assert not re.search(rf"\b{name}\b", facts(page) + table), name
    assert 'href="http' not in page
    assert "localhost" not in page
    assert {row["student"] for row in csv.DictReader(io.StringIO(table))} == {f"student {n}" for n in range(1, 10)}


def test_a_report_costs_as_many_queries_for_a_large_class_as_for_a_small_one(marked, assignment):
    asked = []

    def note(*args):
        asked.append(args[2])

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        assert len(analysis.gather(Course(marked), assignment).people) == 9
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)
    reads = [statement for statement in asked if re.search(r"(FROM|JOIN) (grade|comment|submitted_notebook)\b", statement)]
    assert 0 < len(reads) < 9


def test_what_a_spreadsheet_would_run_is_text_in_both_tables(course, assignment):
    with Gradebook(url(course)) as gradebook:
        gradebook.find_student("nils").last_name = "=1+1"
        gradebook.add_student("@x", first_name="+1", email="-1@example.org")
        gradebook.db.commit()
    rewritten(course, "nils", lambda found: found["verdict"]["checks"][0].update(message="=2+2"))
    assert commands.run("nbgrader", "export", cwd=course).returncode == 0
    tables = (course / "grades.csv").read_text(), report.table(analysis.gather(Course(course), assignment))
    values = {value for table in tables for row in csv.reader(io.StringIO(table)) for value in row}
    assert {"'=1+1", "'@x", "'+1", "'-1@example.org", "'=2+2"} <= values
    assert not [value for value in values if value.startswith(("=", "+", "@"))]


@pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need Debian's chromium: `make browser` installs it")
def test_the_page_loads_and_runs_nothing_and_fits_a_telephone(page, tmp_path):
    assert html.escape(SCRIPT, quote=True).replace("&#x27;", "&#39;") in page  # mallory's line is shown
    assert "<script" not in page
    path = tmp_path / "report.html"
    path.write_text(page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        shown, said, requests = browser.new_page(viewport={"width": 390, "height": 844}), [], []
        shown.on("console", lambda message: said.append(message.text))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(path.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        assert shown.title() == "Class report: A variational autoencoder on the Swiss roll"
        # The style sheet is the one that the policy allows, and every picture is drawn.
        assert shown.evaluate("getComputedStyle(document.querySelector('article')).borderTopStyle") == "solid"
        assert shown.evaluate("[...document.images].map(image => image.naturalWidth > 0 && image.alt != '')") == [True] * 4
        assert said == []
        assert [url for url in requests if not url.startswith("data:image/svg+xml")] == [path.as_uri()]
        # Nothing of what a page could do is allowed.
        shown.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title=1'}))"
        )
        assert shown.title() != "1"
        browser.close()


WAITING = "2 answers wait for a person, of 2 students: ada, finn. 1 submission could not be marked and needs a person: jack."


def test_every_command_and_the_report_count_alike_what_waits(course):
    said = {name: run(name, cwd=course) for name in ("grade", "feedback", "report")}
    said["export"] = commands.run("nbgrader", "export", cwd=course)
    for name, done in said.items():
        assert WAITING in " ".join((done.stdout + done.stderr).split()), (name, done.stdout, done.stderr)
    shown = facts((course / "reports" / NAME / "report.html").read_text())
    assert "Written answers 2 wait" in shown
    assert "Could not be marked 1 waiting for a person" in shown
    assert "jack not yet marked not yet marked the submission" in shown


def test_the_command_writes_page_and_table_and_says_what_waits(course):
    done = run("report", "--anonymous", cwd=course)
    assert done.returncode == 0, done.stderr
    assert "of 2 students: student" in done.stdout
    assert "They are not counted as zero." in done.stdout
    for name in ("report.html", "report.csv"):
        assert (course / "reports" / NAME / name).read_text()
    assert run("report", "--formgrader", "javascript:alert(1)", cwd=course).returncode == 2


def test_each_mistake_of_the_catalogue_has_something_to_say_about_it(assignment):
    lost = [entry.lost for entry in selftest.catalogue(assignment)]
    named = {name for names in lost for mistake in names.values() if mistake for name in re.split(r"[+/]", mistake)}
    assert len(named) > 100
    assert named - set(assignment.remarks) == {"not_done"}
    # And nothing is said about what nobody is told: a name is in an answer of the catalogue, in a slip, or in the code.
    slips = {name for entry in selftest.slipped(assignment, 1) for name in entry.names}
    code = [path for path in assignment.folder.rglob("*.py") if path.name != "remarks.py"]
    nodes = (node for path in code for node in ast.walk(ast.parse(path.read_text())))
    literals = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert set(assignment.remarks) - named - slips <= literals
    assert all(40 < len(remark) < 400 for remark in assignment.remarks.values())


# --- code, compared ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, b):\n    c = a * 2  # twice\n    return c + b\n",
        "def f(x: int, y) -> int:\n    'What it does.'\n    double = (x\n        * 2)\n    return double + y\n",
    ],
    ids=["names and comments", "annotations, docstring, layout"],
)
def test_names_comments_and_layout_make_no_difference(other):
    first = "def f(p, q):\n    r = p * 2\n    return r + q\n"
    assert similar.normal_form([other]) == similar.normal_form([first])
    assert list(similar.lines([other])) == list(similar.lines([first])) == ["v2 = v0 * 2", "return v2 + v1"]


def test_another_operator_constant_or_attribute_makes_a_difference():
    forms = [
        similar.normal_form([f"def f(a):\n    return {body}"]) for body in ("a + 1", "a - 1", "a + 2", "a.b + 1", "a.c + 1")
    ]
    assert len(set(forms)) == 5


def test_lines_are_those_of_what_is_graded_and_of_what_that_uses():
    source = """class A:
    def __init__(self): self.n = 2
    def helper(self, a): return a * 2
    def task(self, a): return self.helper(a) + 1
def other(a): return a
"""
    assert [line.text for line in similar.lines([source], ["task"]).values()] == ["return a * 2", "return self.helper(a) + 1"]
    assert len(similar.lines([source], ["unknown"])) == len(similar.lines([source])) == 4


@pytest.mark.parametrize(
    "source",
    ["def f(:", "x = " + "(" * 500 + ")" * 500, "x = " + "+".join("1" * 3000), "\0", "def f():\n" + " " * 50_000 + "x"],
)
def test_code_that_cannot_be_parsed_or_is_made_to_break_parsers_has_no_lines(source):
    assert similar.lines([source]) == {}
    assert similar.normal_form([source]) == ""
