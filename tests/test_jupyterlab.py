"""The release in JupyterLab and a real browser, as a student meets it: untouched, with both tasks wrong, and right."""

import nbformat
import pytest

from autograder.course.fill import cell, fill
from autograder.vae_swiss_roll.samples import loss, sampler
from tools.lab import CHROMIUM, lab, pictures
from tools.pictures import WIDTHS, answered, screens

NAME = "vae_swiss_roll.ipynb"
# The two commonest mistakes: together they cancel, and the trained model looks right.
WRONG = {
    "vae_model": sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)"),
    "vae_loss": loss("torch.mean(mu**2 + torch.exp(logvar) - logvar - 1)"),
}
UNANSWERED = "reflection_beta"
SUBMISSIONS = {
    "untouched": {},
    "wrong": WRONG,
}

pytestmark = [
    pytest.mark.sandboxed,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: `make browser` installs it"),
]


def trained_less(nb):
    """The notebook, whose trainings take twenty steps and every fiftieth: what is seen here does not depend on the others.

    The steps that an experiment looks at are all among them.
    """
    training = next(c for c in nb.cells if c.id == "training-code")
    begin = "    for step in progress:\n"
    assert training.source.count(begin) == 1
    training.source = training.source.replace(begin, f"{begin}        if step > 20 and step % 50:\n            continue\n")
    return nb


@pytest.fixture(scope="module")
def jupyterlab(release, tmp_path_factory):
    """(a `tools.lab.Lab` over a folder for each submission, a browser)"""
    root = tmp_path_factory.mktemp("students")
    submissions = {student: fill(release, answers) for student, answers in SUBMISSIONS.items()}
    submissions["right"] = trained_less(answered(release))
    cell(submissions["right"], UNANSWERED).source = cell(release, UNANSWERED).source
    for student, submission in submissions.items():
        (root / student).mkdir()
        nbformat.write(submission, root / student / NAME)
    with lab(root) as there:
        yield there


@pytest.fixture
def opened(jupyterlab):
    """`opened(student)` → (the Lab, the page with that submission), closed after the test"""
    there, browser = jupyterlab
    pages = []

    def go(student):
        pages.append(there.open(browser, f"{student}/{NAME}"))
        return there, pages[-1]

    yield go
    for page in pages:
        page.close()


def on_the_screen(page):
    """The text of the outputs that one sees without scrolling."""
    seen = """outputs => outputs.filter(output => {
        const box = output.getBoundingClientRect();
        return box.height && box.bottom > 0 && box.top < window.innerHeight;
    }).map(output => output.textContent).join('\\n')"""
    return page.locator(".jp-OutputArea-output").evaluate_all(seen)


def test_after_run_all_the_screen_says_which_task_is_open(opened):
    there, page = opened("untouched")
    there.choose(page, "Run", "Run All Cells", "were looked up in")
    seen = on_the_screen(page)
    assert "Still open: Task 1, Task 2" in seen
    assert "Task 1 is still to do: go to `reparameterize`" in seen
    assert "gaps in the experiment's cell" in seen


def test_both_commonest_mistakes_are_seen_below_their_tasks(opened):
    there, page = opened("wrong")
    page.get_by_text("def train_vae").first.click()
    there.choose(page, "Run", "Run All Above Selected Cell", "KL at mu")
    outputs = page.locator(".jp-OutputArea").all_inner_texts()
    assert sum("✓" in text and "✗" not in text for text in outputs) == 2
    differing = [line for text in outputs for line in text.split("\n") if "← differs" in line]
    assert any(line.startswith("spread of z at logvar") for line in differing)
    assert any(line.startswith("KL at mu") for line in differing)


@pytest.fixture(scope="module")
def right(jupyterlab):
    """(the page with the submission that lacks one answer after Run All, what was then on the screen)"""
    there, browser = jupyterlab
    page = there.open(browser, f"right/{NAME}")
    there.choose(page, "Run", "Run All Cells", "were looked up in")
    yield page, on_the_screen(page)
    page.close()


def test_the_end_and_validate_name_what_is_missing(right):
    page, seen = right
    assert "Still open: Question 3." in seen
    page.set_viewport_size({"width": 1400, "height": 900})
    page.locator(".jp-NotebookPanel-toolbar").get_by_text("Validate").first.click()
    said = page.locator(".jp-Dialog").inner_text()
    page.keyboard.press("Escape")
    assert said.count("The following cell failed") == 1
    assert "You did not provide a response." in said


def test_every_figure_has_its_text_and_every_screen_its_picture(right, assignment, tmp_path):
    """What `python -m tools.pictures whole` makes, of this page."""
    page, _ = right
    outputs = [output for c in assignment.master.cells for output in c.get("outputs", [])]
    described = [output.data["text/plain"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(described) == 13
    screens(page, tmp_path / "lesson")
    lines = (tmp_path / "lesson/accessibility.txt").read_text(encoding="utf-8").splitlines()
    assert pictures(lines) == [" ".join(text.split()) for text in described]
    assert not [text for text in page.locator(".jp-OutputArea").all_inner_texts() if "← differs" in text]
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() == []
    for width in WIDTHS:
        assert len(list((tmp_path / "lesson").glob(f"{width}-*.png"))) > 20
