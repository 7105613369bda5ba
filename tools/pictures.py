"""Takes the pictures of the documentation, with Chromium: run it when the pages look different.

python -m tools.pictures build/demo     of the demonstration
python -m tools.pictures lesson         of the lesson in JupyterLab, as three students see it
python -m tools.pictures whole          of the whole lesson, all answered, wide and narrow, into build/lesson
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from playwright.sync_api import Browser, Page, sync_playwright

from autograder.assignment import load
from autograder.course.fill import cell, fill
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, loss, sampler
from tools.lab import Lab, lab, tree

ROOT = pathlib.Path(__file__).parent.parent
NAME = "vae_swiss_roll"
# The picture, of which page, and how much of it, in pixels.
PICTURES = {
    "docs/feedback.png": (f"feedback/finn/{NAME}/{NAME}.html", 860, 770),
    "docs/report.png": (f"reports/{NAME}/report.html", 860, 1000),
}
FORMGRADER, STUDENT, ANSWER = "docs/formgrader.png", "pavel", "reflection_trick"
RELEASE = ROOT / "notebooks" / "vae_swiss_roll" / "vae_swiss_roll.ipynb"
VARIANCE = sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")
DOUBLED = loss("torch.mean(mu**2 + torch.exp(logvar) - logvar - 1)")
# The picture, the answers, what the last cell says when all has run, and the text at the top of the picture.
IN_JUPYTERLAB = {
    "docs/lesson-open.png": ({}, "were looked up in", "Ready to hand in?"),
    "docs/lesson-wrong.png": (
        {"vae_model": VARIANCE, "vae_loss": DOUBLED},
        "were looked up in",
        "Self-check: are the numbers right?",
    ),
    "docs/lesson-clouds.png": (RIGHT, "were looked up in", "Figure: the encoder's clouds"),
}
# The widths of the window, in pixels.
WIDTHS = (1400, 800)
WHOLE = ROOT / "build" / "lesson"


def demonstration(demo: pathlib.Path) -> None:
    """Of the pages in a folder of `make demo`."""
    with sync_playwright() as playwright, formgrader(demo) as address:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for picture, (page, width, height) in PICTURES.items():
            there = browser.new_page(viewport={"width": width, "height": height})
            there.goto((demo / page).resolve().as_uri())
            there.screenshot(path=ROOT / picture)
            print(picture)
        headers = {"Authorization": "token picture"}
        there = browser.new_page(viewport={"width": 1000, "height": 520}, extra_http_headers=headers)
        there.goto(address)
        there.wait_for_selector(".score")
        there.wait_for_timeout(2000)  # formgrader scrolls, too, when everything is there
        # The end of the box with the marking scheme, no more of it: the answer and the fields are below.
        there.locator(f"#{ANSWER}").evaluate("element => { element.scrollIntoView(); window.scrollBy(0, -235); }")
        there.wait_for_timeout(500)
        there.screenshot(path=ROOT / FORMGRADER)
        print(FORMGRADER)
        browser.close()


@contextlib.contextmanager
def formgrader(course: pathlib.Path) -> Iterator[str]:
    """The address of formgrader's page of a submission, on a server that runs meanwhile."""
    with Gradebook(f"sqlite:///{course.resolve()}/gradebook.db") as gradebook:
        id = gradebook.find_submission_notebook(NAME, NAME, STUDENT).id
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=picture"]
    with tempfile.TemporaryDirectory() as home:
        own = dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), home)
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "server", *options],
            cwd=course,
            env={**os.environ, **own},
            stderr=subprocess.DEVNULL,
        )
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api").close()
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/formgrader/submissions/{id}/"
        finally:
            server.terminate()
            server.wait()


def lesson(folder: pathlib.Path, there: Lab, browser: Browser) -> None:
    """Of the release, after Run All."""
    release = nbformat.read(RELEASE, as_version=4)
    for picture, (answers, until, top) in IN_JUPYTERLAB.items():
        student = folder / pathlib.Path(picture).stem
        student.mkdir()
        nbformat.write(fill(release, answers), student / RELEASE.name)
        page = there.open(browser, f"{student.name}/{RELEASE.name}", width=1000, height=720)
        there.choose(page, "Run", "Run All Cells", until)
        page.locator(".jp-Cell").filter(has_text=top).first.evaluate("cell => cell.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(500)
        page.screenshot(path=ROOT / picture)
        page.close()
        print(picture)


def whole(folder: pathlib.Path, there: Lab, browser: Browser) -> None:
    """Of all that a student sees of the lesson, and what a screen reader is told of it."""
    nbformat.write(answered(nbformat.read(RELEASE, as_version=4)), folder / RELEASE.name)
    page = there.open(browser, RELEASE.name)
    there.choose(page, "Run", "Run All Cells", "were looked up in")
    screens(page, WHOLE)
    print(WHOLE.relative_to(ROOT))


def screens(page: Page, to: pathlib.Path) -> None:
    """Of a notebook, screen by screen in each width, and what a screen reader is told of it: into a folder, made anew."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    (to / "accessibility.txt").write_text("\n".join(tree(page)) + "\n", encoding="utf-8")
    panel = page.locator(".jp-Notebook .jp-WindowedPanel-outer")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(2000)  # the formulas are set anew
        height, seen = panel.evaluate("panel => [panel.scrollHeight, panel.clientHeight]")
        shown = panel.bounding_box()
        assert shown is not None
        for number, top in enumerate(range(0, height, seen), start=1):
            panel.evaluate("(panel, top) => { panel.scrollTop = top; }", top)
            page.wait_for_timeout(300)
            page.screenshot(path=to / f"{width}-{number:02}.png", clip=shown)


def answered(release: NotebookNode) -> NotebookNode:
    """The release with all answers, the experiments' gaps filled as in the master."""
    nb, master = fill(release, RIGHT | WRITTEN), load(NAME).master
    for grade_id in ("experiment_dynamics", "experiment_beta"):
        solved = cell(master, grade_id).source
        cell(nb, grade_id).source = re.sub(r"^.* = \.\.\.\n|^ *### .*\n", "", solved, flags=re.MULTILINE)
    return nb


# What is taken of the lesson in a JupyterLab, by the command's argument.
OF_THE_LESSON = {"lesson": lesson, "whole": whole}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", help="lesson, whole, or the folder of a demonstration")
    of = parser.parse_args().of
    if of in OF_THE_LESSON:
        with tempfile.TemporaryDirectory() as folder, lab(pathlib.Path(folder)) as (there, browser):
            OF_THE_LESSON[of](pathlib.Path(folder), there, browser)
    elif (pathlib.Path(of) / "gradebook.db").is_file():
        demonstration(pathlib.Path(of))
    else:
        parser.error(f"{of} is no folder of a demonstration: it holds no gradebook.db; `make demo` makes build/demo")
