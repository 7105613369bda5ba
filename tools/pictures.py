"""Takes the pictures of the documentation from the demonstration, with Chromium: run it when the pages look different.

python tools/pictures.py build/demo
"""

import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).parent.parent
# The picture, of which page, and how much of it, in pixels.
PICTURES = {
    "docs/feedback.png": ("feedback/finn/vae_swiss_roll/vae_swiss_roll.html", 860, 770),
    "docs/report.png": ("reports/vae_swiss_roll/report.html", 860, 1000),
}


def main(demo):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for picture, (page, width, height) in PICTURES.items():
            there = browser.new_page(viewport={"width": width, "height": height})
            there.goto((demo / page).resolve().as_uri())
            there.screenshot(path=ROOT / picture)
            print(picture)
        browser.close()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
