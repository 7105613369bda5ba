"""Takes the pictures of the documentation from the demonstration, with Chromium: run it when the pages look different.

python tools/pictures.py build/demo
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from nbgrader.api import Gradebook
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).parent.parent
NAME = "vae_swiss_roll"
# The picture, of which page, and how much of it, in pixels.
PICTURES = {
    "docs/feedback.png": (f"feedback/finn/{NAME}/{NAME}.html", 860, 770),
    "docs/report.png": (f"reports/{NAME}/report.html", 860, 1000),
}
FORMGRADER, STUDENT, ANSWER = "docs/formgrader.png", "pavel", "reflection_trick"


def main(demo):
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
def formgrader(course):
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


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
