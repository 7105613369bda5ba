"""Writes forged result files next to the notebook and tries to leave a mark in a gradebook in the folders above. None
may exist after the run (`PWNED_results`, a table `PWNED_gradebook`), and the mark is 0."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

WRITE = """

import json, pathlib, sqlite3

here = pathlib.Path.cwd()
for name in ("results.json", "verdict.json", "result.json", "grades.json"):
    if not (here / name).exists():
        (here / name).write_text(json.dumps({"score": 8.0, "max_score": 8.0, "status": "graded", "outcome": "passed"}))
for folder in list(here.parents)[:6]:
    try:
        (folder / "PWNED_results").touch()
    except OSError:
        pass
    try:
        if (folder / "gradebook.db").exists():
            with sqlite3.connect(folder / "gradebook.db", timeout=0.5) as book:
                book.execute("CREATE TABLE IF NOT EXISTS PWNED_gradebook (mark REAL)")
    except sqlite3.Error:
        pass
"""


def apply(nb):
    cell(nb, "vae_model").source += WRITE
    return nb
